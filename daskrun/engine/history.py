"""The journal of a run: as its driver writes it, and as the next one reads it."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

from daskrun.core.settings import told_settings
from daskrun.core.warned import subject
from daskrun.engine.journal_records import (
    PlannedRecord,
    Recorder,
    RunRecord,
    WarningsRecord,
    encode,
)
from daskrun.engine.past import read_past
from daskrun.storage.journal import Journal
from daskrun.storage.segments import Segments

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from daskrun.core.events import BundleReturned
    from daskrun.engine.journal_records import Record
    from daskrun.engine.past import Past
    from daskrun.engine.request import StepRequest

KILL_AT = "DASKRUN_KILL_AT"
"""Environment variable: ``point`` or ``point:n``. The driver's process gets SIGKILL when it reaches
that point for the n-th time (from 1)."""

POINTS = ("written", "journalled", "counted", "finalizing", "renamed", "finalized", "swept")
"""The steps of the commit, in order: rows are in a part and the outcomes are back; the journal has
them on the disk; the ledger has counted them; the journal says that the output is being put
together; the output has its name; the journal says so; the run's parts are gone."""


class Checkpoints:
    """Counts the points that a driver reaches, and kills its process at the one asked for.

    Examples
    --------
    >>> Checkpoints("").reach("written")
    """

    def __init__(self, kill_at: str | None = None) -> None:
        text = os.environ.get(KILL_AT, "") if kill_at is None else kill_at
        self._point, _, number = text.partition(":")
        if self._point and (self._point not in POINTS or not (number or "1").isdecimal()):
            raise ValueError(f"{KILL_AT}={text!r}: write one of {', '.join(POINTS)}, or point:n")
        self._left = int(number or 1)

    def reach(self, point: str) -> None:
        """Note that a point is reached, and end the process there if that was asked for."""
        if point != self._point:
            return
        self._left -= 1
        if self._left <= 0:
            os.kill(os.getpid(), signal.SIGKILL)


class History:
    """What is committed, and what else a next driver of the run has to know."""

    def __init__(self, request: StepRequest, checkpoints: Checkpoints) -> None:
        self._request = request
        self._reach = checkpoints.reach
        self._path = request.run_folder / "journal"
        self._journal: Journal | None = None
        self._recorder = Recorder()
        self._damage: list[str] = []
        self._sized = False
        """Whether the journal says how many mini-batches there are."""
        self.warnings: dict[str, None] = {}
        """What readers have changed, and what is lost of the journal; each once."""

    def open(self) -> Past | None:
        """Begin the journal, or continue an earlier driver's and return what is in it."""
        path, segments = self._path, None
        if self._request.kept_at:
            from daskrun.storage.stores import open_url_folder

            kept = open_url_folder(self._request.kept_at, self._request.kept_options)
            segments = Segments(kept)
        if not self._request.resumed or not path.exists():
            self._journal = Journal(path, segments=segments)
            return None
        past, lost = read_past(path), Journal.passed_over(path)
        self._journal = Journal.open(path, segments)
        if lost.records:
            self._damage.append(
                f"the journal {path} was damaged at byte {lost.at:,}: the {lost.records:,} whole "
                f"records behind it ({lost.nbytes:,} bytes) were passed over, and what they told "
                "of is done again"
            )
        if past is not None:
            self._sized = past.mini_batches is not None
            self.warnings.update(dict.fromkeys(past.warnings))
            self._warn(self._damage)
        return past

    def begin(self) -> None:
        """Write the first record: what the run is."""
        settings, plan = told_settings(self._request.settings), self._request.plan
        self._sized = plan.complete
        known = plan.known if plan.complete else None
        self.note(RunRecord(self._request.run_id, plan.fingerprint(), known, settings))
        self._warn(self._damage)

    def note(self, record: Record) -> None:
        """Write a record; return when it is on the disk."""
        self.note_later(record)
        self.sync()

    def note_later(self, record: Record) -> None:
        """Write a record; it is on the disk before any that comes after it."""
        assert self._journal is not None
        self._journal.append(encode(record))

    def note_size(self) -> None:
        """Write how many mini-batches there are, once that is known."""
        if self._request.plan.complete and not self._sized:
            self._sized = True
            self.note_later(PlannedRecord(self._request.plan.known))

    def sync(self) -> None:
        """Wait until what was written is on the disk."""
        assert self._journal is not None
        self._journal.sync()

    def commit(
        self,
        bundles: Sequence[BundleReturned],
        surveys: Sequence[BundleReturned],
        digests_of: Callable[[int], Mapping[int, str]],
    ) -> None:
        """Put what came back on the disk, before anything of it counts as done.

        ``digests_of`` returns those of a bundle's descriptors. Of surveys only what is to be warned
        of is written.
        """
        with_outcomes = [each for each in bundles if each.outcomes]
        for each in (*surveys, *bundles):
            if each.warnings:
                known = set(map(subject, self.warnings))
                self._warn([text for text in each.warnings if subject(text) not in known])
        for each in with_outcomes:
            self._reach("written")
            self.note_later(self._recorder.record(each, digests_of(each.number)))
        if with_outcomes and self._request.before_commit is not None:
            self._request.before_commit()
        self.sync()
        for _ in with_outcomes:
            self._reach("journalled")

    def past(self) -> Past:
        """Return what is in the journal."""
        past = read_past(self._path)
        assert past is not None
        return past

    def close(self) -> None:
        """Close the journal, if it was opened."""
        if self._journal is not None:
            self._journal.close()

    def _warn(self, texts: list[str]) -> None:
        """Keep warnings for the report, also for that of a next driver."""
        if texts:
            self.warnings.update(dict.fromkeys(texts))
            self.note_later(WarningsRecord(texts))
