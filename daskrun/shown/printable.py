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


def unbroken(text: str) -> str:
    r"""Return a text with line breaks of every kind escaped, and nothing else.

    Examples
    --------
    >>> unbroken("bad\n2026-01-01 all is well\t")
    'bad\\n2026-01-01 all is well\t'
    """
    lines = text.splitlines(keepends=True)
    if len(lines) < 2 and text.splitlines() == lines:
        return text
    return "".join(map(_unbroken, lines))


def continued(text: str) -> str:
    r"""Return a text whose lines behind the first are indented: none passes for one of ours.

    Examples
    --------
    >>> continued("it ended with:\nno such package\n")
    'it ended with:\n    no such package'
    """
    lines = text.splitlines()
    return "\n".join([*lines[:1], *(f"    {line.removeprefix('    ')}" for line in lines[1:])])


def _unbroken(line: str) -> str:
    words = line.splitlines()[0]
    return words + line[len(words) :].encode("unicode_escape").decode()


def _escaped(text: str, kept: str) -> str:
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() or char in kept else char.encode("unicode_escape").decode()
        for char in text
    )
