"""Which paths a glob means, followed folder by folder."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from fnmatch import translate

_MAGIC = re.compile(r"[*?\[]")

State = tuple[int, ...]
"""Which components of a pattern the next name may match."""


def has_magic(text: str) -> bool:
    """Return whether a path has a character that means more than itself in a glob."""
    return _MAGIC.search(text) is not None


def _component(part: str, hidden: str) -> Callable[[str], bool]:
    """Make the test for one component of a path."""
    marks = tuple(hidden)

    def visible(name: str) -> bool:
        # A partition of Hive's, _year=2024, is data.
        return not name.startswith(marks) or (name[0] == "_" and "=" in name)

    if part == "**":
        return visible
    if not has_magic(part):
        return part.__eq__
    match = re.compile(translate(part)).match
    if part.startswith(marks):
        return lambda name: match(name) is not None
    return lambda name: visible(name) and match(name) is not None


class Pattern:
    """A glob over relative paths.

    ``*``, ``?`` and ``[..]`` stay within a name, ``**`` is any number of folders. It means files,
    never folders; ``**`` at the end means every file below. As in a shell, a name that begins with
    ``.`` is meant only by a component that begins so itself. ``parts``: the components of the glob,
    without the folder it starts from. ``hidden``: the characters that names begin with which are
    meant only so: those of ``HIDDEN``.

    Examples
    --------
    >>> pattern = Pattern(["**", "*.png"])
    >>> pattern.matches("0.png"), pattern.matches("a/b/1.png"), pattern.matches("a/.b/1.png")
    (True, True, False)
    """

    def __init__(self, parts: Sequence[str], hidden: str = ".") -> None:
        self.parts = tuple(parts)
        self.hidden = hidden
        self._last = len(self.parts) - 1
        self._tests = [_component(part, hidden) for part in self.parts]
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


HIDDEN, NO_DATA, ALL = ".", "._", ""
"""Names that begin so are left out where they aren't named: of files; of tables, whose writers
leave ``_SUCCESS`` and ``_delta_log`` beside them; none."""

EVERYTHING = {hidden: Pattern(["**"], hidden) for hidden in (HIDDEN, NO_DATA, ALL)}
"""All files below a folder but the hidden ones."""


def nothing_found(typed: str, pattern: Pattern, root: str) -> str:
    """Return that a folder or glob, as it was typed, means no file."""
    if pattern is EVERYTHING[pattern.hidden]:
        marks = " or ".join(map(repr, pattern.hidden))
        left = f" (names that begin with {marks} are left out)" if marks else ""
        return (
            f"path={typed} is a folder without files{left}. Give a folder that has files in it, or "
            "name a hidden file itself."
        )
    return (
        f"path={typed} matches no file below {root}. A glob means files: write 'folder/*' for "
        "those in a folder, 'folder/**' for all below it."
    )
