"""Expressions in texts of a job file: ``${{inputs.x}}``, ``$[[--x ${{inputs.x}}]]``, and words."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# What begins anew before its end is no expression: so each character is looked at once.
EXPRESSION = re.compile(r"\$\{\{((?:(?!\$\{\{).)*?)\}\}", re.DOTALL)
OPTIONAL = re.compile(r"\$\[\[((?:(?!\$\[\[).)*?)\]\]", re.DOTALL)
_MARK = re.compile("\0(\\d+)\0")


class Reference(NamedTuple):
    """What an expression names."""

    text: str
    """As it is written, without ``${{`` and ``}}``."""

    def __str__(self) -> str:
        return f"${{{{{self.text}}}}}"


def only(text: str) -> Reference | None:
    """Return the expression that a text is, None where it is none or more."""
    found = EXPRESSION.fullmatch(text.strip())
    return Reference(found[1].strip()) if found else None


def without_absent(text: str, absent: Callable[[Reference], bool]) -> str:
    """Return a text with its ``$[[ … ]]`` kept where all inputs in them are given, else left out.

    Examples
    --------
    >>> text = "a.py $[[--x ${{inputs.x}}]] $[[--y ${{inputs.y}}]]"
    >>> without_absent(text, lambda each: each.text.endswith("y"))
    'a.py --x ${{inputs.x}} '
    """

    def kept(match: re.Match[str]) -> str:
        named = [each for each in pieces(match[1]) if isinstance(each, Reference)]
        return "" if any(map(absent, named)) else match[1]

    return OPTIONAL.sub(kept, text)


def pieces(text: str) -> Iterator[str | Reference]:
    """Yield a text's parts: expressions, and what is between them.

    Examples
    --------
    >>> list(pieces("cat ${{ inputs.x }}/a"))
    ['cat ', Reference(text='inputs.x'), '/a']
    """
    for number, part in enumerate(EXPRESSION.split(text)):
        if number % 2:
            yield Reference(part.strip())
        elif part:
            yield part


def words(text: str) -> list[list[str | Reference]]:
    r"""Split a text as a shell does, where an expression is never split; each word as its pieces.

    ValueError is raised where a quote is not closed.

    Examples
    --------
    >>> words("--m ${{inputs.m}}/a.pkl --title 'two words'")
    [['--m'], [Reference(text='inputs.m'), '/a.pkl'], ['--title'], ['two words']]
    """
    found: list[Reference] = []

    def marked(match: re.Match[str]) -> str:
        found.append(Reference(match[1].strip()))
        return f"\0{len(found) - 1}\0"

    lexer = shlex.shlex(EXPRESSION.sub(marked, text), posix=True, punctuation_chars=False)
    lexer.whitespace_split, lexer.commenters = True, ""
    return [list(_parts(word, found)) for word in lexer]


def _parts(word: str, found: list[Reference]) -> Iterator[str | Reference]:
    if not word:
        yield ""
    for number, part in enumerate(_MARK.split(word)):
        if number % 2:
            yield found[int(part)]
        elif part:
            yield part
