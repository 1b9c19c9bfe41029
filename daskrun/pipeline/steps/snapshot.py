"""The code of a run as it was at submit: found and checked first, copied after."""

from __future__ import annotations

import os
import re
import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from daskrun.engine.request import ScriptSource
from daskrun.errors import SettingsError, StorageError
from daskrun.output.sinks.settings_file import SETTINGS_FILE
from daskrun.storage.durable import read_file
from daskrun.storage.folders import MODE, make_folder, user_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from daskrun.core.settings import RunSettings

MOST_BYTES = 300 * 1024**2
MOST_FILES = 20_000
"""The original's limits for a source folder."""
SUBJECT = "source_directory"
ALWAYS = frozenset({".git", "__pycache__", ".ipynb_checkpoints", ".daskrun"})
"""Names left out wherever they are."""


@dataclass(frozen=True)
class Snapshot:
    """The files of a snapshot, not copied yet."""

    root: Path
    """Folder that they are relative to."""
    files: tuple[str, ...]
    """Relative paths, with ``/``."""
    entry_script: str
    """One of them."""
    whole_folder: bool
    """Whether a ``source_directory`` was given."""
    origin: Path | None = None
    """Of code that was kept: the folder that it was kept from."""

    @property
    def script_folder(self) -> Path:
        """The folder of the entry script, where its settings file is looked for."""
        return (self.root / self.entry_script).parent

    def copy(self, target: Path) -> ScriptSource:
        """Copy the files to ``target`` and return where the script is now."""
        made: set[Path] = set()
        try:
            make_folder(target)
            for name in self.files:
                place = target / name
                if place.parent not in made:
                    make_folder(place.parent)
                    made.add(place.parent)
                _copy(self.root / name, place)
        except OSError as error:
            raise StorageError(f"can't copy the code of {self.root}: {error}") from error
        if self.whole_folder:
            return ScriptSource(target, self.entry_script, str(target / self.entry_script))
        home = self.origin or self.root
        own = str(home / self.entry_script)
        return ScriptSource(target, self.entry_script, own, extra_path=str(home))


def _copy(source: Path, place: Path) -> None:
    """Copy a file with its times, and of its mode what every file may have: no setuid."""
    shutil.copyfile(source, place)
    found = source.stat()
    place.chmod(found.st_mode & MODE)
    os.utime(place, ns=(found.st_atime_ns, found.st_mtime_ns))


def find_code(settings: RunSettings, workspace_folder: Path) -> Snapshot:
    """Find and check the entry script and what goes with it.

    With a ``source_directory`` that is the folder, without what its ignore files name; else the
    script and its settings file alone. What isn't there or is too large raises SettingsError.
    """
    if settings.source_directory is None:
        return _script_alone(settings.entry_script)
    root = user_path(settings.source_directory).resolve()
    if not root.is_dir():
        given = f"source_directory={settings.source_directory!r}"
        problem = f"{given} is not a folder ({root}). Write one that is there."
        raise SettingsError("ParallelRunConfig", [problem])
    script = _script_in(root, settings)
    links: list[Path] = []
    files = tuple(_walk(root, workspace_folder, links))
    if links:
        raise SettingsError(SUBJECT, [_leading_out(root, links)])
    # A script that an ignore file names is part of the snapshot all the same.
    if script not in files:
        files = (*files, script)
    return Snapshot(root, files, script, whole_folder=True)


def _script_alone(entry_script: str) -> Snapshot:
    path = _file_named(Path(), entry_script)
    absolute = Path(os.path.abspath(path))  # noqa: PTH100 - a link keeps its own name and folder
    if not absolute.is_file():
        raise SettingsError("ParallelRunConfig", [_no_script(entry_script, absolute)])
    beside = [SETTINGS_FILE] if (absolute.parent / SETTINGS_FILE).is_file() else []
    return Snapshot(absolute.parent, (absolute.name, *beside), absolute.name, whole_folder=False)


def _script_in(root: Path, settings: RunSettings) -> str:
    """Return the entry script's path relative to the source folder."""
    given = settings.entry_script
    path = Path(os.path.normpath(_file_named(root, given)))
    if not path.is_relative_to(root):
        problem = (
            f"entry_script={given!r} is not inside source_directory={settings.source_directory!r}. "
            "Write a path relative to that folder."
        )
        raise SettingsError("ParallelRunConfig", [problem])
    if not path.is_file():
        raise SettingsError("ParallelRunConfig", [_no_script(given, path)])
    return path.relative_to(root).as_posix()


def _file_named(folder: Path, given: str) -> Path:
    """Return the file that is meant: a path, or a module's full name such as ``steps.score``."""
    file = folder / user_path(given)
    module = given.removesuffix(".py")
    if not file.exists() and "/" not in given and "." in module:
        named = folder / f"{module.replace('.', '/')}.py"
        return named if named.is_file() else file
    return file


def _no_script(given: str, path: Path) -> str:
    what = "a folder" if path.is_dir() else "not there"
    return f"entry_script={given!r} is {what} ({path}). Write the path of the file that has run()."


def _leading_out(root: Path, links: Sequence[Path]) -> str:
    named = ", ".join(
        f"{each.relative_to(root).as_posix()!r} (to {str(each.resolve())!r})" for each in links[:5]
    )
    more = f" and {len(links) - 5:,} more" if len(links) > 5 else ""
    return (
        f"source_directory={str(root)!r} has links that lead out of it, whose files all could "
        f"read who may read the run: {named}{more}. Copy what the script needs, give a folder that "
        f"has both, or name the links in {root.name}/.amlignore."
    )


def _walk(root: Path, workspace_folder: Path, links: list[Path]) -> Iterator[str]:
    """Yield the relative paths of all files that belong to the snapshot, in order.

    Links out of the folder are not followed; they are added to ``links``.
    """
    rules = IgnoreRules(root)
    sizes: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    seen = {root}
    for number, path in enumerate(_files(root, root, workspace_folder, rules, seen, links), 1):
        relative = path.relative_to(root).as_posix()
        top = relative.partition("/")[0] if "/" in relative else "."
        sizes[top] += path.stat().st_size
        counts[top] += 1
        if number > 10 * MOST_FILES:
            break  # enough is known; the folder may be a whole disk
        yield relative
    _check_size(root, sizes, counts)


def _files(
    root: Path,
    folder: Path,
    workspace_folder: Path,
    rules: IgnoreRules,
    seen: set[Path],
    links: list[Path],
) -> Iterator[Path]:
    """Walk a folder in order. Links inside ``root`` are followed, each folder is entered once."""
    if folder != root:
        rules.enter(folder)
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        path = Path(entry.path)
        if entry.is_symlink() and not path.resolve().is_relative_to(root):
            if path.exists() and not rules.leaves_out(path, entry.is_dir()):
                links.append(path)
        elif entry.is_dir():
            real = path.resolve()
            if real in seen or real == workspace_folder or rules.leaves_out(path, True):
                continue
            seen.add(real)
            yield from _files(root, path, workspace_folder, rules, seen, links)
        elif entry.is_file() and not rules.leaves_out(path, False):  # a pipe can't be copied
            yield path


def _check_size(root: Path, sizes: Counter[str], counts: Counter[str]) -> None:
    if sizes.total() <= MOST_BYTES and counts.total() <= MOST_FILES:
        return
    ranking = sizes if sizes.total() > MOST_BYTES else counts
    largest = ", ".join(
        f"{name} ({sizes[name] / 1024**2:,.1f} MB, {counts[name]:,} files)"
        for name, _ in ranking.most_common(5)
    )
    problem = (
        f"source_directory={str(root)!r} holds {sizes.total() / 1024**2:,.0f} MB in "
        f"{counts.total():,} files; {MOST_BYTES // 1024**2} MB and {MOST_FILES:,} files are the "
        f"most. The largest: {largest}. Name what the script doesn't need in "
        f"{root.name}/.amlignore, or give a smaller folder."
    )
    raise SettingsError(SUBJECT, [problem])


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
            lines = read_file(file).decode("utf-8", "replace").splitlines()
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
    """Turn a glob into a regular expression in which ``*`` and ``?`` stop at slashes.

    Of several wildcards in a name, and of several ``**/``, all but the last take the first fit and
    no other, which is enough, and keeps the time from growing with each of them.
    """
    below = [""]
    for token in _tokens(pattern):
        if token == "**/":
            below.append("")
        else:
            below[-1] += token
    names = ["/".join(map(_of_name, part.split("/"))) for part in below]
    inner = (f"(?>(?:.*?/)??{each})" for each in names[1:-1])
    last = f"(?:.*/)?{names[-1]}" if len(names) > 1 else ""
    return f"{names[0]}{''.join(inner)}{last}".replace(_ANY, "[^/]")


_STAR, _ANY = "\0", "\1"
"""What stands for ``*`` and ``?`` between the tokens of a name."""


def _of_name(tokens: str) -> str:
    first, *rest = tokens.split(_STAR)
    inner = "".join(f"(?>[^/]*?{each})" for each in rest[:-1])
    return f"{first}{inner}[^/]*{rest[-1]}" if rest else first


def _tokens(pattern: str) -> Iterator[str]:
    """Yield the parts of a glob as regular expressions, but ``**/`` and what stands for ``*``."""
    at = 0
    while at < len(pattern):
        if pattern.startswith("**/", at) and pattern[at - 1 : at] in ("", "/"):
            yield "**/"
            at += 3
        elif pattern.startswith("/**", at) and at + 3 == len(pattern):
            yield "/.+"
            at += 3
        elif pattern[at] == "*":
            yield _STAR
            at += 1
        elif pattern[at] == "?":
            yield _ANY
            at += 1
        elif pattern[at] == "[" and (end := pattern.find("]", at + 2)) > 0:
            inside = pattern[at + 1 : end].replace("\\", "\\\\")
            yield f"[^/{inside[1:]}]" if inside[0] in "!^" else f"[{inside}]"
            at = end + 1
        else:
            at += pattern[at] == "\\" and at + 1 < len(pattern)
            yield re.escape(pattern[at])
            at += 1
