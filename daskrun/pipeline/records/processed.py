"""Which files of its inputs a step's run has processed, or has left out with ``since``.

A file counts as processed when each mini-batch that holds some of it has succeeded, in a step run
that is Completed: what a canceled or failed run has done is in no output. It is known by path,
size and time. What a run leaves out because of its own ``since`` counts as processed by it, so
that nightly runs need to name only the night before.

In a step run's folder: ``listings/`` what it was begun with
(:mod:`daskrun.pipeline.records.changes`); ``unprocessed.json`` files of it with a mini-batch that
failed; ``since/`` what it has left out.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from daskrun.core.json_text import parsed
from daskrun.core.minibatch import FilePaths, TablePieces
from daskrun.data.protocols import shown_url
from daskrun.errors import StorageError
from daskrun.pipeline.records.changes import FOLDER as LISTINGS
from daskrun.pipeline.records.changes import InputHead, keep_table, read_tables
from daskrun.storage.durable import read_file, write_whole

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from daskrun.core.minibatch import Plan
    from daskrun.data.file_plan import FilePlan
    from daskrun.data.paths import PathTable
    from daskrun.workspace.run_folders.run_folder import RunFolder

LEFT_OUT = "since"
"""Folder of what a step run leaves out, a file for each input."""
FAILED = "unprocessed.json"


@dataclass(frozen=True)
class LeftOut:
    """What a step's run leaves out."""

    run: str
    """The pipeline's run that was named."""
    roots: tuple[str, ...]
    """Of each input."""
    tables: tuple[PathTable, ...]
    """Of each input, the files that are left out."""

    @property
    def count(self) -> int:
        """How many files."""
        return sum(map(len, self.tables))

    def as_told(self) -> dict[str, str | int]:
        """Return what the manifest of the step's run has of it; see :func:`nothing_new`."""
        return {"run": self.run, "files_left_out": self.count}

    def keep(self, folder: Path) -> None:
        """Keep it in the folder of the step's run, for a resume and for the next ``since``."""
        for number, (root, table) in enumerate(zip(self.roots, self.tables, strict=True)):
            keep_table(folder / LEFT_OUT, number, InputHead(root), table)


def as_begun(plan: Plan, folder: RunFolder) -> Plan:
    """Leave out of a plan that is made again what the step's run has left out at submit."""
    if not (folder.path / LEFT_OUT).is_dir():
        return plan
    left, listed = Processed(), cast("FilePlan", plan)  # or of tables
    left.add(folder, LEFT_OUT)
    pairs = zip(listed.inputs, listed.tables, strict=True)
    return listed.narrowed(
        [
            table.chosen([not known for known in left.known(each.root, table)])
            for each, table in pairs
        ]
    )


def nothing_new(folder: RunFolder) -> str:
    """Return what is to be said where a step's run has nothing to do, ``""`` without ``since``."""
    told = folder.manifest().values.get("since")
    if told is None:
        return ""
    return (
        f"nothing is new since run {told['run']}: all {told['files_left_out']:,} files were "
        "processed by it or before it."
    )


def note_failed(folder: RunFolder, plan: Plan) -> None:
    """Note which files of a run that is Completed have a mini-batch that failed."""
    from daskrun.engine.journal_records import read_attempts

    succeeded = bytearray(plan.known)
    for _, outcome, _, _ in read_attempts(folder.path / "journal"):
        succeeded[outcome.index] = succeeded[outcome.index] or outcome.status == 0
    names: list[set[str]] = [set() for _ in plan.inputs]
    at = succeeded.find(0)
    while at >= 0:
        batch = plan[at]
        if isinstance(batch.load, FilePaths):
            names[batch.input].update(batch.load.names)
        elif isinstance(batch.load, TablePieces):
            names[batch.input].update(piece[0] for piece in batch.load.pieces)
        at = succeeded.find(0, at + 1)
    value = json.dumps([sorted(each) for each in names]).encode()
    write_whole(folder.path / FAILED, value, mode=0o600)


class Processed:
    """The files that a step's run has processed or left out, each known by path, size and time."""

    def __init__(self) -> None:
        self._tables: list[tuple[str, PathTable, dict[str, int]]] = []
        """Where names begin, files, and the row of each that counts."""

    @classmethod
    def by(cls, folder: RunFolder) -> Processed:
        """Return what a step's run has processed or left out."""
        found, made_by, reuse = cls(), folder, folder.reuse()
        if reuse is not None and reuse["run_id"] is not None:  # its output is that run's
            made_by = folder.sibling(reuse["run_id"])
        folder.fetch(LEFT_OUT)
        if (folder.path / LEFT_OUT).is_dir():
            found.add(folder, LEFT_OUT)
        try:
            found.add(made_by)
        except FileNotFoundError as error:
            raise StorageError(
                f"since: run {made_by.id} has not kept which files it was of: {error.filename} is "
                "not there: the run was removed, or an older daskrun made it. Run once without "
                "since."
            ) from error
        return found

    def add(self, folder: RunFolder, kind: str = "") -> None:
        """Take in files that are kept in a step run's folder, but for those that failed."""
        failed = []
        folder.fetch(kind or LISTINGS, FAILED)
        if not kind and (folder.path / FAILED).exists():
            failed = parsed(read_file(folder.path / FAILED))
        for number, (head, table) in enumerate(read_tables(folder.path, kind)):
            rows = {name: row for row, name in enumerate(table)}
            for name in failed[number] if failed else ():
                rows.pop(name, None)
            self._tables.append((_base(head.root), table, rows))

    def known(self, root: str, table: PathTable) -> list[bool]:
        """Return of each file of a listing whether it is one of these, unchanged."""
        found = [False] * len(table)
        base = _base(root)
        for their_base, theirs, rows in self._tables:
            names: Iterable[str] = table
            if base != their_base:
                names = _renamed(table, base, their_base)
            for at, row in enumerate(map(rows.get, names)):
                if row is None or theirs.sizes[row] != table.sizes[at]:
                    continue
                if theirs.times[row] == table.times[at]:
                    found[at] = True
        return found


def _base(root: str) -> str:
    return f"{shown_url(root).rstrip('/')}/"


def _renamed(names: Iterable[str], base: str, other: str) -> Iterator[str]:
    """Return names below one folder as names below another, ``""`` for what isn't there."""
    paths = (base + name for name in names)
    return (path[len(other) :] if path.startswith(other) else "" for path in paths)
