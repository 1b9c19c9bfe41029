"""``account``: every item of a run, counted from what is on the disk."""

from __future__ import annotations

import tempfile
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daskrun.core.absent_names import original_keywords
from daskrun.core.report import RunStatus
from daskrun.errors import SettingsError, StorageError
from daskrun.output.sinks.parquet.sink import ParquetSink
from daskrun.output.sinks.registry import recorded_sink
from daskrun.pipeline.runs.run import PipelineRun, StepRun
from daskrun.pipeline.runs.submitted import SubmittedRun
from daskrun.storage.journal import Journal
from daskrun.storage.urls import is_url
from daskrun.testing.joined import Difference, RowGroups, Rows, compare
from daskrun.workspace.run_folders.run_folder import RunFolder

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from daskrun.core.report import Report

MOST_SHOWN = 10
"""Mini-batches that a problem names."""


@dataclass(frozen=True)
class Account:
    """What became of every mini-batch and item of a run."""

    mini_batches: int | None
    """In all; None where the run ended before all of its data had been looked at."""
    succeeded: int
    """Mini-batches whose rows are committed."""
    failed: int
    """Mini-batches that used up their tries."""
    unfinished: int | None
    """Mini-batches that are neither; None where ``mini_batches`` is."""
    items: int
    """Items of the mini-batches that have succeeded or failed."""
    items_succeeded: int
    items_failed: int
    attempts: int
    """Attempts that came back."""
    lost: tuple[int, ...]
    """Mini-batches that are committed and whose rows are not in the output, in their place."""
    doubled: tuple[int, ...]
    """Mini-batches that are committed twice, or whose rows are in the output twice."""
    exact: bool | None
    """Whether the output is the committed rows, in the order of the mini-batches, and nothing else;
    None where no output has these bytes: the script or a sink of yours makes another, or the run
    isn't Completed."""
    problems: tuple[str, ...] = field(repr=False)
    """What is wrong, a message each."""

    def check(self) -> None:
        """Raise AssertionError, with a line for each thing that is wrong."""
        if self.problems:
            lines = "".join(f"\n  {text}" for text in self.problems)
            raise AssertionError(f"the run's account doesn't add up:{lines}")


@original_keywords
def account(
    run: StepRun | PipelineRun | str | os.PathLike[str],
    output: str | os.PathLike[str] | None = None,
) -> Account:
    """Account for every item of a step run.

    Read are its journal and the output's bytes; ``report.json`` is held against them, and nothing
    is taken from it but the plan's size where the journal could not be told it any more.

    Parameters
    ----------
    run
        A step's run, a pipeline's that has one step, or the folder of a step's run.
    output
        Folder of its output, if it is not where the run's own record says.

    Returns
    -------
    Account
        Its ``check()`` raises where something is wrong.

    Raises
    ------
    SettingsError
        ``run`` is not one step's.
    StorageError
        It has no journal: it was never started.
    """
    step = _step_of(run)
    folder = RunFolder(Path(run) if step is None else step.folder)  # type: ignore[arg-type]
    seen = _Seen()
    for entry in Journal.read(folder.path / "journal"):
        seen.take(entry)
    if not seen.settings:
        raise StorageError(f"{folder.path} has a journal without a record: no run was begun there.")
    report = folder.report()
    completed = report is not None and report.status is RunStatus.COMPLETED
    if seen.size is None and report is not None and not completed:
        seen.size = report.total
    sink = recorded_sink(seen.settings)
    compared = sink.writes_rows and not sink.assembles and not seen.by_name and completed
    return seen.account(report, _difference(step, folder, output, seen) if compared else None)


def _step_of(run: object) -> StepRun | None:
    """Return the one step's run; None for a folder."""
    if not isinstance(run, PipelineRun):  # there is no third kind of run
        return run if isinstance(run, SubmittedRun) else None  # type: ignore[return-value]
    steps = run.get_steps()
    if len(steps) == 1:
        return steps[0]
    names = ", ".join(repr(step.name) for step in steps)
    problem = f"has {len(steps)} steps. Write run.find_step_run(name)[0], the name one of {names}."
    raise SettingsError("account", [f"run={run!r} {problem}"])


def _difference(
    step: StepRun | None, folder: RunFolder, output: Any, seen: _Seen
) -> Difference | None:
    """Compare the output with what is committed, wherever it is."""
    name = seen.settings["append_row_file_name"]
    if output is not None and not is_url(str(output)):
        return seen.compare(Path(output) / name)  # a folder alone may have no manifest
    outputs = folder.manifest().outputs
    place = outputs[0].folder if output is None and outputs else output
    if place is None:
        return None
    if not is_url(str(place)):
        return seen.compare(Path(place) / name)
    if step is None:
        problem = f"the output is at a URL, {place}. Write account(run) with the run, not a folder."
        raise SettingsError("account", [problem])
    told = folder.manifest().outputs[0]
    with tempfile.TemporaryDirectory(prefix="daskrun-account-") as copy:
        step.get_output_data(told.name).download(copy)
        return seen.compare(Path(copy) / told.path_on_datastore / name)


class _Seen:
    """What the records of a journal add up to."""

    def __init__(self) -> None:
        self.settings: dict[str, Any] = {}
        self.size: int | None = None
        self.by_name = False
        """Whether the output has the rows with their columns in another order."""
        self.problems: list[str] = []
        self._done: dict[int, list[int]] = {}
        """By mini-batch: the fields of the outcome that is its success."""
        self._failed: dict[int, tuple[int, int]] = {}
        """By mini-batch: attempt and items of its last failure."""
        self._tried: set[tuple[int, int]] = set()
        self._tries = 0
        self._attempts = 0
        self._before: dict[int, list[int]] = {}
        """By mini-batch: a success that ran again for items that had failed, and may stand."""
        self._again: Counter[int] = Counter()
        """Mini-batches that had a success when another came."""

    def take(self, entry: Mapping[str, Any]) -> None:
        """Add a record."""
        kind = entry["kind"]
        if kind == "run":
            self.settings = entry["settings"]
            self._tries = self.settings["run_max_try"]
            self._sized(entry["mini_batches"])
        elif kind in ("planned", "finalizing"):
            self._sized(entry["mini_batches"])
            self.by_name = entry.get("by_name", False)
        elif kind == "bundle":
            for fields in entry["outcomes"]:
                self._outcome(fields)
        elif kind == "resumed":
            self._tries = entry.get("tries", self._tries)  # a run can be resumed with another
            for index in entry["lost"]:  # its rows were gone, so it is owed again
                gone = self._done.pop(index, None) or self._before.pop(index)
                self._attempts -= 1
                self._tried.discard((index, gone[1]))
            for index in entry.get("again", ()):
                if index in self._done:
                    self._attempts -= index in self._before
                    self._before[index] = self._done.pop(index)
            for index in (*entry["forgiven"], *entry.get("again", ())):
                self._failed.pop(index, None)
                self._tried = {tried for tried in self._tried if tried[0] != index}

    def _sized(self, count: int | None) -> None:
        if count is None:  # the record doesn't know
            return
        if self.size not in (None, count):
            self.problems.append(f"the plan had {self.size} mini-batches, and later {count}")
        self.size = count

    def _outcome(self, fields: list[int]) -> None:
        index, attempt, status, items = fields[:4]
        self._attempts += 1
        if (index, attempt) in self._tried:
            self.problems.append(f"mini-batch {index} has two outcomes of its try {attempt}")
        self._tried.add((index, attempt))
        if index in self._done:
            self._again[index] += 1
        elif status == 0:
            self._done[index] = fields
        else:
            self._failed[index] = attempt, items

    def compare(self, output: Path) -> Difference:
        self._settle()
        rows = [Rows(n, done[6], done[7], done[8]) for n, done in sorted(self._done.items())]
        if not output.is_file():
            self.problems.append(f"the run is Completed, and there is no {output}")
            return Difference(lost=[each.index for each in rows if each.length])
        if isinstance(recorded_sink(self.settings), ParquetSink):
            return self._compare_row_groups(output, rows)
        return compare(output, rows)

    def _compare_row_groups(self, output: Path, rows: list[Rows]) -> Difference:
        bodies = [each._replace(length=each.length - each.head, head=0) for each in rows]
        try:
            found = RowGroups.read(output)
        except (OSError, ValueError) as error:
            self.problems.append(f"{output} is no Parquet file that can be read: {error}")
            return Difference(lost=[each.index for each in bodies if each.length])
        counted = self.settings.get("results_per_item", "one") == "one"
        wanted = [
            (each, self._done[each.index][4] if counted else -1) for each in bodies if each.length
        ]
        self.problems += found.problems([(each.index, each.length, n) for each, n in wanted])
        return compare(output, bodies, found.start, found.stop)

    def account(self, report: Report | None, difference: Difference | None) -> Account:
        """Add up."""
        self._settle()
        failed = {
            index: items
            for index, (attempt, items) in self._failed.items()
            if index not in self._done and attempt >= self._tries
        }
        items = sum(done[3] for done in self._done.values()) + sum(failed.values())
        good = sum(min(done[4], done[3]) for done in self._done.values())
        differs = difference or Difference()
        unfinished = None if self.size is None else self.size - len(self._done) - len(failed)
        found = Account(
            mini_batches=self.size,
            succeeded=len(self._done),
            failed=len(failed),
            unfinished=unfinished,
            items=items,
            items_succeeded=good,
            items_failed=items - good,
            attempts=self._attempts,
            lost=tuple(differs.lost),
            doubled=tuple(sorted({*self._again, *differs.doubled})),
            exact=None if difference is None else not difference,
            problems=(),
        )
        problems = [*self.problems, *self._wrong(differs), *_contradictions(found, report)]
        return replace(found, problems=tuple(problems))

    def _settle(self) -> None:
        """Let successes stand that have run again in vain; those of others count no more."""
        self._attempts -= len(self._before.keys() & self._done.keys())
        self._done = {**self._before, **self._done}
        self._before = {}

    def _wrong(self, differs: Difference) -> list[str]:
        size = self.size
        beyond = [n for n in (*self._done, *self._failed) if size is not None and n >= size]
        wrong = [
            f"{text}: {_named(indices)}"
            for text, indices in (
                (f"the plan has {size} mini-batches, and there are outcomes of others", beyond),
                ("committed twice", self._again),
                ("rows not in the output, in their place", differs.lost),
                ("rows in the output once more", differs.doubled),
            )
            if indices
        ]
        if differs.strange:
            wrong.append(f"the output ends with {differs.strange:,} bytes that nobody committed")
        return wrong


def _contradictions(found: Account, report: Report | None) -> list[str]:
    """Return where the report differs from what was found, and what is owed at a run's end."""
    if report is None:
        return []
    names = ("succeeded", "failed", "items", "items_succeeded", "items_failed", "attempts")
    pairs = [(name, getattr(report, name), getattr(found, name)) for name in names]
    if report.total is not None:
        pairs.append(("total", report.total, found.mini_batches))
        pairs.append(("unfinished", report.unfinished, found.unfinished))
    wrong = [
        f"report.json says {n}={said}, the journal {is_}" for n, said, is_ in pairs if said != is_
    ]
    if report.status is RunStatus.COMPLETED and found.mini_batches is None:
        wrong.append("the run is Completed, and its journal names no number of mini-batches")
    if report.status is RunStatus.COMPLETED and found.unfinished:
        wrong.append(f"the run is Completed, and {found.unfinished} mini-batches have no end")
    return wrong


def _named(indices: Any) -> str:
    """Name mini-batches, not all of many."""
    each = sorted(set(indices))
    more = f" and {len(each) - MOST_SHOWN} more" if len(each) > MOST_SHOWN else ""
    return f"mini-batches {', '.join(map(str, each[:MOST_SHOWN]))}{more}"
