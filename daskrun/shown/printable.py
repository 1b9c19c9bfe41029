"""Text as people may see it: what a terminal would act on, or hide, is shown as its escape."""

from __future__ import annotations

from daskrun.shown.url_secrets import shown_text

_SPACES = "\u00a0\u1680\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
"""Spaces that Python doesn't count as printable."""
UNDECODED = "".join(map(chr, range(0xDC80, 0xDD00)))
"""The bytes of file names that are not UTF-8, as ``surrogateescape`` reads them."""


def safe(text: str) -> str:
    """Return a text as :func:`printable` does, without secrets in the URLs that it names."""
    return printable(shown_text(text))


def printable(text: str) -> str:
    r"""Return a text for a console, a message or a text log; line breaks and tabs stay.

    Escaped are control characters (a terminal obeys them), those without a width (they reorder or
    hide what is beside them), and lone surrogates (no encoding has them).

    Examples
    --------
    >>> printable("a.csv\x1b[2J\u202e\n")
    'a.csv\\x1b[2J\\u202e\n'
    """
    return _escaped(text, f"\n\t{_SPACES}")


def one_line(text: str, kept: str = "") -> str:
    r"""Return a text as :func:`printable` does, but with line breaks and tabs escaped as well.

    ``kept`` are characters that stay as they are.

    Examples
    --------
    >>> one_line("a.csv\n2026-01-01 all is well")
    'a.csv\\n2026-01-01 all is well'
    """
    return _escaped(text, _SPACES + kept)


def _escaped(text: str, kept: str) -> str:
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() or char in kept else char.encode("unicode_escape").decode()
        for char in text
    )
