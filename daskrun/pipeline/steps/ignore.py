"""Which files of a folder are no part of a snapshot: ``.amlignore``, or else ``.gitignore``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

ALWAYS = frozenset({".git", "__pycache__", ".ipynb_checkpoints", ".daskrun"})
"""Names left out wherever they are."""


@dataclass(frozen=True, slots=True)
class _Pattern:
    """One line of an ignore file."""

    base: Path
    """The folder of the file; the pattern is relative to it."""
    expression: re.Pattern[str]
    negated: bool
    folders_only: bool


class IgnoreRules:
    """Tells what is left out of a source folder, as git would.

    The last pattern that matches counts. An ``.amlignore`` in the folder itself is taken alone.
    Else every ``.gitignore`` counts: those of the folders above, up to the root of the repository,
    and those of the folders below.
    """

    def __init__(self, root: Path) -> None:
        self._patterns: list[_Pattern] = []
        self._git = not (root / ".amlignore").is_file()
        if not self._git:
            self._read(root / ".amlignore")
            return
        for folder in _up_to_repository(root):
            self._read(folder / ".gitignore")

    def enter(self, folder: Path) -> None:
        """Take in the ``.gitignore`` of a folder below the root."""
        if self._git:
            self._read(folder / ".gitignore")

    def leaves_out(self, path: Path, is_folder: bool) -> bool:
        """Return whether a file or folder is left out."""
        if path.name in ALWAYS:
            return True
        for pattern in reversed(self._patterns):
            if pattern.folders_only and not is_folder:
                continue
            if not path.is_relative_to(pattern.base):
                continue
            if pattern.expression.fullmatch(path.relative_to(pattern.base).as_posix()):
                return not pattern.negated
        return False

    def _read(self, file: Path) -> None:
        try:
            lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            return
        parsed = (_parse(line, file.parent) for line in lines)
        self._patterns.extend(pattern for pattern in parsed if pattern is not None)


def _up_to_repository(root: Path) -> list[Path]:
    """Return the folders from the repository's root down to ``root``; only that outside of one."""
    for number, folder in enumerate((root, *root.parents)):
        if (folder / ".git").exists():
            return list(reversed((root, *root.parents)[: number + 1]))
    return [root]


def _parse(line: str, base: Path) -> _Pattern | None:
    text = line.rstrip()
    if not text or text.startswith("#"):
        return None
    negated = text.startswith("!")
    text = text[1:] if negated else text.removeprefix("\\")
    folders_only = text.endswith("/")
    text = text.rstrip("/")
    if not text:
        return None
    # Without a slash in it a pattern means a name at any depth.
    anchored = "/" in text
    expression = _translate(text.lstrip("/"))
    if not anchored:
        expression = f"(?:.*/)?{expression}"
    try:
        return _Pattern(base, re.compile(expression, re.DOTALL), negated, folders_only)
    except re.error:
        return None  # as git: a broken pattern matches nothing


def _translate(pattern: str) -> str:
    """Turn a glob into a regular expression in which ``*`` and ``?`` stop at slashes."""
    parts, at = [], 0
    while at < len(pattern):
        if pattern.startswith("**/", at):
            parts.append("(?:.*/)?")
            at += 3
        elif pattern.startswith("/**", at) and at + 3 == len(pattern):
            parts.append("/.+")
            at += 3
        elif pattern[at] == "*":
            parts.append("[^/]*")
            at += 1
        elif pattern[at] == "?":
            parts.append("[^/]")
            at += 1
        elif pattern[at] == "[" and (end := pattern.find("]", at + 2)) > 0:
            inside = pattern[at + 1 : end].replace("\\", "\\\\")
            parts.append(f"[{'^' + inside[1:] if inside[0] in '!^' else inside}]")
            at = end + 1
        else:
            at += pattern[at] == "\\" and at + 1 < len(pattern)
            parts.append(re.escape(pattern[at]))
            at += 1
    return "".join(parts)
