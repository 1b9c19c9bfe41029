"""Which paths a glob means, followed folder by folder."""

from __future__ import annotations

import re
from fnmatch import translate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_MAGIC = re.compile(r"[*?\[]")

State = tuple[int, ...]
"""Which components of a pattern the next name may match."""


def has_magic(text: str) -> bool:
    """Return whether a path has a character that means more than itself in a glob."""
    return _MAGIC.search(text) is not None


def _visible(name: str) -> bool:
    return not name.startswith(".")


def _component(part: str) -> Callable[[str], bool]:
    """Make the test for one component of a path."""
    if part == "**":
        return _visible
    if not has_magic(part):
        return part.__eq__
    match = re.compile(translate(part)).match
    if part.startswith("."):
        return lambda name: match(name) is not None
    return lambda name: _visible(name) and match(name) is not None


class Pattern:
    """A glob over relative paths.

    ``*``, ``?`` and ``[..]`` stay within a name, ``**`` is any number of folders. It means files,
    never folders; ``**`` at the end means every file below. As in a shell, a name that begins with
    ``.`` is meant only by a component that begins with ``.`` itself.

    Parameters
    ----------
    parts
        The components of the glob, without the folder it starts from.

    Examples
    --------
    >>> pattern = Pattern(["**", "*.png"])
    >>> pattern.matches("0.png"), pattern.matches("a/b/1.png"), pattern.matches("a/.b/1.png")
    (True, True, False)
    """

    def __init__(self, parts: Sequence[str]) -> None:
        self.parts = tuple(parts)
        self._last = len(self.parts) - 1
        self._tests = [_component(part) for part in self.parts]
        self.start = self._closure([0])
        self.depth = None if "**" in self.parts else len(self.parts)
        """Levels of folders that can hold a match; None: any."""

    def _closure(self, states: Sequence[int]) -> State:
        """Add what can be reached because ``**`` may stand for no folder at all."""
        found = set(states)
        for state in states:
            while state < self._last and self.parts[state] == "**":
                state += 1
                found.add(state)
        return tuple(sorted(found))

    def enter(self, state: State, folder: str) -> State:
        """Return the state inside a folder; empty when nothing in it can match."""
        inside = []
        for i in state:
            if self._tests[i](folder):
                if self.parts[i] == "**":
                    inside.append(i)
                elif i < self._last:
                    inside.append(i + 1)
        return self._closure(inside)

    def takes(self, state: State, name: str) -> bool:
        """Return whether the pattern means the file of that name in a folder of that state."""
        return state[-1] == self._last and self._tests[self._last](name)

    def matches(self, relative: str) -> bool:
        """Return whether the pattern means the file of that relative path."""
        *folders, name = relative.split("/")
        state = self.start
        for folder in folders:
            state = self.enter(state, folder)
            if not state:
                return False
        return self.takes(state, name)


EVERYTHING = Pattern(["**"])
"""All files below a folder, hidden ones excepted."""


def nothing_found(typed: str, pattern: Pattern, root: str) -> str:
    """Return that a folder or glob, as it was typed, means no file."""
    if pattern is EVERYTHING:
        return (
            f"path={typed} is a folder without files (names that begin with '.' are left out). "
            "Give a folder that has files in it, or name a hidden file itself."
        )
    return (
        f"path={typed} matches no file below {root}. A glob means files: write 'folder/*' for "
        "those in a folder, 'folder/**' for all below it."
    )
