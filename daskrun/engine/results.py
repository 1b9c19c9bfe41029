"""The output of a run, as its driver sees it: committed, assembled, published, swept."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from daskrun.core.logs import get_logger
from daskrun.engine.journal_records import FinalizedRecord, FinalizingRecord, UnfinishedRecord
from daskrun.engine.nodes import output_of
from daskrun.engine.reopen import reopened
from daskrun.errors import StorageError
from daskrun.output.folder import NOTHING, SpaceWatch
from daskrun.output.sinks.registry import sink_of
from daskrun.output.sinks.sink import LostRowsError, PutByName

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from daskrun.core.outcome import Outcome, ProcessInfo
    from daskrun.engine.history import Checkpoints
    from daskrun.engine.journal_records import Attempt, Record
    from daskrun.engine.past import Past
    from daskrun.engine.request import StepRequest
    from daskrun.output.assembly.assembler import Assembler
    from daskrun.output.destination import Destination
    from daskrun.output.folder import Look

logger = get_logger(__name__)


def looked_at(lost: Sequence[int], error: LostRowsError) -> str:
    """Say what came of reading all rows again after an error: which were lost, if any."""
    if not lost:
        return f"all rows were read, and are as they were written, though {error}"
    which = ", ".join(map(str, lost[:10])) + (" …" if len(lost) > 10 else "")
    return f"mini-batches were run again, as their rows had been changed: {which}. {error}"


class Results:
    """The one output of a run, where its sink makes one; of other runs, only their place.

    ``note`` puts a record in the journal and returns when it is on the disk.
    """

    def __init__(
        self, request: StepRequest, note: Callable[[Record], None], checkpoints: Checkpoints
    ) -> None:
        self._settings = request.settings
        self._retry_failed = request.retry_failed
        self._before: dict[int, tuple[Outcome, ProcessInfo | None]] = {}
        """Successes that run again."""
        self._by_name = False
        """Whether the output isn't the rows as they were committed, but with columns in order."""
        self._is_ours = False
        """Whether the output that is there is this run's own, to be replaced."""
        self._place = output_of(request)
        self._run_folder = request.run_folder
        self._name = ""
        self._note = note
        self._reach = checkpoints.reach
        self._assembler: Assembler | None = None
        self._lost: LostRowsError | None = None
        self._doubted = False
        """Whether ETags of parts count for nothing: all rows are read."""
        self._begun = False
        """Whether the journal says that the output is being published."""
        self.published = False
        """Whether the output is there, whole."""
        self._noted = False
        """Whether it says that it is."""
        self._committed = 0
        """Bytes of rows that are in parts."""
        self._watch: SpaceWatch | None = None
        if self._place is not None and request.output_folder and not request.output_url:
            parts = Path(self._place.parts)
            self._watch = SpaceWatch(
                request.output_folder, parts, request.run_folder, request.intervals.space_look
            )

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is to be said of the output."""
        return self._assembler.warnings if self._assembler is not None else ()

    def begin(self, past: Past | None) -> dict[str, int] | None:
        """Begin to assemble the output, unless an earlier driver has published it.

        Return the sizes of the parts that are there; None where they don't matter.
        """
        name = self._settings.output_file
        if self._place is None or name is None:
            return None
        if past is not None:
            self._noted = past.finalized
            if not past.finalized:
                self._place.halt(name)
            marked = past.mark is not None and self._place.published(name, past.mark)
            self.published = past.finalized or marked
            if self.published and self._retry_failed:
                self._reopen(self._place, name, past)
            self._is_ours = past.reopened >= 0
        if self.published:
            return None
        if past is not None and past.mark is not None:
            # What is marked is about to go, and another file may get its inode, and its mark.
            self._note(UnfinishedRecord())
        self._name = name
        self.begin_anew()
        return self._place.parts_there() if past is not None else None

    def _reopen(self, place: Destination, name: str, past: Past) -> None:
        """Have the output made anew of what is in it and of what is still to come."""
        if past.by_name:
            raise StorageError(
                f"the columns of {name} were put together by name, so its rows are not those that "
                "were committed, and no others can get into it. Submit the pipeline again."
            )
        for record in reopened(place, name, sink_of(self._settings), past, self._run_folder):
            self._note(record)
            past.take(record)
        self.published = self._noted = False

    def begin_anew(self) -> None:
        """Begin to assemble the output, from nothing."""
        assert self._place is not None
        if self._assembler is not None:
            self._assembler.abandon()
        if self._begun:
            self._note(UnfinishedRecord())
        self._begun, self._lost, self._committed = False, None, 0
        self._by_name = False
        self._before.clear()
        sink = sink_of(self._settings)
        self._assembler = self._place.assembler(self._name, sink, self._run_folder)

    def doubt(self) -> bool:
        """Take no ETag for a part's bytes any more; return whether any was before.

        A store gives the same bytes another when it encrypts, restores or moves them.
        """
        assert self._assembler is not None
        self._doubted, before = True, self._doubted
        return not before and any(self._assembler.etags)

    def lost(self, committed: Iterable[Attempt]) -> list[int]:
        """Read all rows that are committed; return which are not what their mini-batches wrote."""
        assert self._assembler is not None
        return self._assembler.lost(
            (o.index, process.part, o.offset, o.length, o.head, o.crc)
            for _, o, process, _ in committed
            if o.length and process is not None
        )

    def commit(self, outcome: Outcome, process: ProcessInfo | None, *, aside: bool = False) -> None:
        """Add the rows of a mini-batch, if it has succeeded; ``aside`` until :meth:`keep` at most.

        They are not added where others of it are committed before.
        """
        if self._assembler is None or outcome.status:
            return
        if aside:
            self._before[outcome.index] = outcome, process
            return
        if outcome.length and process is not None:
            o = outcome
            self._committed += o.length
            rows = o.index, process.part, o.offset, o.length, o.head, o.crc
            self._assembler.commit(*rows, "" if self._doubted else process.etag)
        else:
            self._assembler.skip(outcome.index)

    def keep(self, index: int) -> None:
        """Add the rows of a mini-batch that were put aside: it has run again in vain."""
        if index in self._before:
            self.commit(*self._before.pop(index))

    def skip(self, index: int) -> None:
        """Go on without rows of a mini-batch."""
        if self._assembler is not None:
            self._assembler.skip(index)

    def advance(self) -> None:
        """Assemble what is next in order; lost rows are told when all others are there."""
        if self._assembler is None or self._lost is not None:
            return
        try:
            self._assembler.advance()
        except PutByName:
            self._put_by_name(self._assembler)
        except LostRowsError as error:
            self._lost = error

    def _put_by_name(self, before: Assembler) -> None:
        """Go on with columns that are put together by their names, when all are known."""
        assert self._place is not None
        before.abandon()
        sink = sink_of(self._settings)
        self._assembler = self._place.assembler(self._name, sink, self._run_folder, before)
        self._by_name = True

    def look(self, now: float, done: int, total: int | None) -> Look:
        """Return whether there is room for what is still to be written."""
        if self._watch is None:
            return NOTHING
        nbytes = self._assembler.nbytes if self._assembler is not None else 0
        return self._watch.check(now, self._committed, nbytes, done, total)

    def publish(self, total: int) -> None:
        """Publish the output, whole."""
        if self._assembler is not None:
            self.advance()
            if self._lost is not None:
                raise self._lost
            self._assembler.finish()
            self._begun = True
            mark = self._assembler.mark
            self._note(FinalizingRecord(mark, total, self._by_name))
            self._reach("finalizing")
            overwrite = self._settings.overwrite or self._is_ours
            try:
                self._assembler.publish(overwrite, total)
            except PutByName:  # of what was read last
                self._put_by_name(self._assembler)
                self._assembler.finish()
                self._note(FinalizingRecord(self._assembler.mark, total, self._by_name))
                self._assembler.publish(overwrite, total)
            self.published = True
            self._reach("renamed")
        if self.published and not self._noted:
            self._note(FinalizedRecord())
            self._noted = True
            self._reach("finalized")

    def close(self, completed: bool) -> None:
        """Remove what nothing needs any more; without an output parts are kept for a resume."""
        if self._assembler is not None and not self.published:
            there = self._begun and self._is_there(self._assembler.mark)
            self._assembler.abandon()
            if self._begun and not there:
                with contextlib.suppress(Exception):  # then the mark tells that it isn't there
                    self._note(UnfinishedRecord())
        if completed and self._place is not None:
            self._place.sweep()
            self._reach("swept")

    def _is_there(self, mark: str) -> bool:
        """Return whether the output has its name after all: what failed came after."""
        assert self._place is not None
        with contextlib.suppress(Exception):  # then a next driver looks
            return self._place.published(self._name, mark)
        return False
