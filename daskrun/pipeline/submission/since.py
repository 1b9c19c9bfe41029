"""``since``: a run over what is new, without the files that an earlier run has processed.

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
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

from daskrun.core.minibatch import FilePaths, TablePieces
from daskrun.core.report import RunStatus
from daskrun.data.protocols import shown_url
from daskrun.data.tabular.tabular_dataset import TabularDataset
from daskrun.errors import SettingsError, StorageError
from daskrun.pipeline.records.changes import FOLDER as LISTINGS
from daskrun.pipeline.records.changes import keep_table, read_tables
from daskrun.pipeline.runs.submitted import SubmittedRun
from daskrun.storage.durable import write_whole

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from daskrun.core.minibatch import Plan, PlanInput
    from daskrun.data.file_plan import FilePlan
    from daskrun.data.paths import PathTable
    from daskrun.pipeline.submission.prepare import PreparedStep
    from daskrun.workspace.run_folders.run_folder import RunFolder
    from daskrun.workspace.workspace import Workspace

LEFT_OUT = "since"
"""Folder of what a step run leaves out, a file for each input."""
FAILED = "unprocessed.json"
FILE_FORMATS = frozenset({"delimited", "json_lines", "parquet"})
"""Formats of tables that are files of the user's."""
RESUME = "Resume it first, and wait until it is Completed: run.resume()."


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

    def keep(self, folder: Path) -> None:
        """Keep it in the folder of the step's run, for a resume and for the next ``since``."""
        for number, (root, table) in enumerate(zip(self.roots, self.tables, strict=True)):
            keep_table(folder / LEFT_OUT, number, {"root": root}, table)


def earlier_run(workspace: Workspace, since: object) -> RunFolder:
    """Return the folder of the pipeline's run that ``since`` names.

    Raises
    ------
    SettingsError
        It names none, or one that isn't Completed.
    """
    if isinstance(since, SubmittedRun):
        run_id = since.id
    elif isinstance(since, str):
        run_id = since
    else:
        raise _wrong(f"since={since!r} is no run. Write since=run, or its id.")
    folder = workspace.site.run_folder(run_id)
    if "/" in run_id or not folder.is_run:
        raise _wrong(
            f"since={run_id!r}: {workspace!r} has no such run. Its runs: "
            "Experiment(ws, name).get_runs()."
        )
    if folder.manifest()["kind"] != "pipeline":
        whole = folder.manifest()["pipeline_run"]
        raise _wrong(f"since={run_id!r} is the run of one step. Write since={whole!r}.")
    status = folder.last_state()["status"]
    if status != RunStatus.COMPLETED.value:
        raise _wrong(
            f"since={run_id!r} is {status}, and only what a Completed run has done is in its "
            f"output. {RESUME}"
        )
    return folder


def without_processed(prepared: Sequence[PreparedStep], earlier: RunFolder) -> list[PreparedStep]:
    """Leave out of steps what an earlier run of the pipeline has processed.

    Steps whose inputs are outputs of others are left as they are.

    Parameters
    ----------
    prepared
        The steps of the run to be.
    earlier
        From :func:`earlier_run`.

    Raises
    ------
    SettingsError
        The earlier run has no step of a name, or an input is no files; all problems at once.
    """
    folders = [earlier.sibling(name) for name in earlier.manifest()["steps"]]
    by_name = {folder.manifest()["name"]: folder for folder in folders}
    problems = [text for each in prepared for text in _problems(each, earlier.id, by_name)]
    if problems:
        raise SettingsError("submit", problems)
    return [
        each
        if each.plan is None or not each.inputs
        else _without(each, each.plan, by_name[each.step.name], earlier.id)
        for each in prepared
    ]


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
    told = folder.manifest().get("since")
    if told is None:
        return ""
    return (
        f"nothing is new since run {told['run']}: all {told['files_left_out']:,} files were "
        "processed by it or before it."
    )


def note_failed(folder: RunFolder, plan: Plan) -> None:
    """Note which files of a run that is Completed have a mini-batch that failed."""
    from daskrun.engine.commit import told_again

    succeeded = bytearray(plan.known)
    for _, outcome, _, _ in told_again(folder.path / "journal"):
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


def _problems(each: PreparedStep, run_id: str, by_name: dict[str, RunFolder]) -> Iterator[str]:
    """Return why what is new can't be told for a step."""
    frames = [
        name for name, data in each.inputs if isinstance(data, TabularDataset) and data.in_memory
    ]
    queries = [
        source.name
        for source in (each.plan.inputs if each.plan is not None else ())
        if source.kind == "tabular" and not _is_files(source) and source.name not in frames
    ]
    for name, what in [(n, "a dataframe") for n in frames] + [(n, "a query") for n in queries]:
        yield (
            f"since={run_id!r}: input {name!r} of step {each.step.name!r} is {what}, and only of "
            "files can be told which are new. Leave since out, or give it as files."
        )
    for source in each.plan.inputs if each.plan is not None else ():
        if _counts_rows(source):
            yield (
                f"since={run_id!r}: input {source.name!r} of step {each.step.name!r} counts rows "
                "(take, skip), which leaves files half read. Leave since out, or take() and skip()."
            )
    if each.plan is not None and each.inputs and each.step.name not in by_name:
        there = ", ".join(repr(name) for name in by_name)
        yield f"since={run_id!r} has no step {each.step.name!r}. Its steps are {there}."


def _without(each: PreparedStep, plan: Plan, earlier: RunFolder, run_id: str) -> PreparedStep:
    """Leave out of a step what its earlier run has processed."""
    plan, left = _narrowed(plan, Processed.by(earlier), run_id)
    told = {"run": run_id, "files_left_out": left.count}
    note = f"step {each.step.name!r}: {_message(left, plan)}"
    return replace(
        each,
        plan=plan,
        about={**each.about, "since": told},
        notes=(*each.notes, note),
        left_out=left,
    )


def _is_files(source: PlanInput) -> bool:
    return (source.table or {}).get("reader", {}).get("format") in FILE_FORMATS


def _counts_rows(source: PlanInput) -> bool:
    from daskrun.data.tabular.conditions.row_steps import Steps

    return source.kind == "tabular" and bool(Steps((source.table or {})["steps"]).windows)


class Processed:
    """The files that a step's run has processed or left out, each known by path, size and time."""

    def __init__(self) -> None:
        self._tables: list[tuple[str, PathTable, dict[str, int]]] = []
        """Where names begin, files, and the row of each that counts."""

    @classmethod
    def by(cls, folder: RunFolder) -> Processed:
        """Return what a step's run has processed or left out.

        Raises
        ------
        StorageError
            It hasn't kept that.
        """
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
            failed = json.loads((folder.path / FAILED).read_bytes())
        for number, head, table in read_tables(folder.path, kind):
            rows = {name: row for row, name in enumerate(table)}
            for name in failed[number] if failed else ():
                rows.pop(name, None)
            self._tables.append((_base(head["root"]), table, rows))

    def known(self, root: str, table: PathTable) -> list[bool]:
        """Tell of each file of a listing whether it is one of these, unchanged."""
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


def _narrowed(plan: Plan, processed: Processed, run_id: str) -> tuple[Plan, LeftOut]:
    """Return the plan of what is new, and what is left out."""
    listed, new, old = cast("FilePlan", plan), [], []
    for each, table in zip(listed.inputs, listed.tables, strict=True):
        known = _left_out(each, table, processed)
        new.append(table.chosen([not is_known for is_known in known]))
        old.append(table.chosen(known))
    roots = tuple(shown_url(each.root) for each in listed.inputs)
    return listed.narrowed(new), LeftOut(run_id, roots, tuple(old))


def _left_out(source: PlanInput, table: PathTable, processed: Processed) -> list[bool]:
    """Tell of each file whether it is left out; what is one mini-batch is so whole or not."""
    known = processed.known(source.root, table)
    keys = (source.table or {}).get("partition_keys")
    if keys:
        from daskrun.data.partition_format import PartitionFormat, grouped

        form = PartitionFormat((source.table or {})["partition"]["format"])
        for files in grouped(form, source.root, table, keys):
            if not all(known[file] for file in files):
                for file in files:
                    known[file] = False
    return known


def _message(left: LeftOut, plan: Plan) -> str:
    tables: Any = cast("FilePlan", plan).tables
    new = sum(map(len, tables))
    files = "file is" if new == 1 else "files are"
    return (
        f"since run {left.run} {new:,} {files} new or changed; {left.count:,} that were processed "
        "by it or before it are left out."
    )


def _wrong(problem: str) -> SettingsError:
    return SettingsError("submit", [problem])
