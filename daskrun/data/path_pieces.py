"""Holding a path against a format of many wildcards, in a time that grows with its length only.

A regular expression tries all the ways in which wildcards can share a name: with five of them, a
name of 250 characters takes half a minute. Here no way is tried twice.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

MOST_CHOICES = 2
"""Wildcards beyond the first in each name, up to which a regular expression is as fast."""


class Piece(NamedTuple):
    """A part of a format."""

    pattern: str
    """What it matches, as a regular expression."""
    least: int = -1
    """Characters that a wildcard takes at least: 0 for one that takes all it can, 1 for one that
    takes no more than it must; -1 where it is no wildcard."""


def choices(pieces: Sequence[Piece]) -> int:
    """Return how many wildcards share a name with one before them."""
    count, shared = 0, False
    for piece in pieces:
        if piece.least >= 0:
            count += shared
            shared = True
        elif "/" in piece.pattern:
            shared = False
    return count


class CutFirst:
    """Finds which piece matches what of a path, and has the expression match that alone."""

    def __init__(self, pieces: Sequence[Piece]) -> None:
        self._pieces = pieces
        self._fixed = [re.compile(piece.pattern).match for piece in pieces]
        # Between two pieces stands what no path has.
        marked = "\0".join(piece.pattern.replace("[^/]", "[^/\0]") for piece in pieces)
        self._marked = re.compile(marked).fullmatch

    def match(self, path: str) -> re.Match[str] | None:
        """Match the end of a path, from the beginning of one of its names."""
        failed: set[tuple[int, int]] = set()
        starts = [0, *(found.end() for found in re.finditer("/", path))]
        for start in reversed(starts):
            if (ends := self._ends_from(path, start, failed)) is not None:
                begins = [start, *ends[:-1]]
                cut = (path[begin:end] for begin, end in zip(begins, ends, strict=True))
                return self._marked("\0".join(cut))
        return None

    def _ends_from(self, path: str, start: int, failed: set[tuple[int, int]]) -> list[int] | None:
        """Return where each piece ends; ``failed`` are those that can't begin somewhere."""
        begins, ways = [start], [self._ends(path, 0, start)]
        while ways:
            number, end = len(ways) - 1, next(ways[-1], None)
            if end is None:
                failed.add((number, begins.pop()))
                ways.pop()
            elif number + 1 < len(self._pieces):
                if (number + 1, end) not in failed:
                    begins.append(end)
                    ways.append(self._ends(path, number + 1, end))
            elif end == len(path):
                return [*begins[1:], end]
        return None

    def _ends(self, path: str, number: int, start: int) -> Iterator[int]:
        least = self._pieces[number].least
        if least < 0:
            found = self._fixed[number](path, start)
            return iter(() if found is None else (found.end(),))
        slash = path.find("/", start)
        most = slash if slash >= 0 else len(path)
        found_ends = range(start + least, most + 1)
        return iter(found_ends if least else reversed(found_ends))
