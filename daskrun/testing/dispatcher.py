"""A dispatcher without processes, for tests of what is above it."""

from __future__ import annotations

import time
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from daskrun.core.events import NodeReady, ProcessReady
from daskrun.core.outcome import Failure, Outcome, ProcessInfo, Status, Times, failed
from daskrun.core.typing import override
from daskrun.engine.dispatch import Dispatcher, returned
from daskrun.engine.nodes import output_of
from daskrun.script.messages import BundleResult
from daskrun.script.outcome_log import pack_outcome

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from daskrun.core.events import Bundle
    from daskrun.engine.dispatch import Packed
    from daskrun.engine.request import StepRequest

NODE = "node000"
PROCESS = ProcessInfo(NODE, "process000", 1, 0.0, "made-up")


class FakeDispatcher(Dispatcher):
    """Returns every bundle, done, as soon as it is handed out: nothing is loaded, nothing is run.

    The row of a mini-batch is its index. Outcomes come as a node gives them, on an outcome log, so
    that the driver does all that it does in a run. Give the class as ``StepRequest.target``; with
    faults, ``functools.partial(FakeDispatcher, faults=…)``.

    Parameters
    ----------
    request
        Of the run; where it has an output, the rows are written to its part.
    faults
        By index of a mini-batch how its first attempts fail; those after them succeed.
    slots
        How many script processes it says its one node has.
    run_seconds
        How long a mini-batch is said to have taken, which is what bundles grow by.
    """

    def __init__(
        self,
        request: StepRequest,
        faults: Mapping[int, Sequence[Status]] | None = None,
        slots: int = 2,
        run_seconds: float = 0.0,
    ) -> None:
        super().__init__()
        self.seconds = 0.0
        """Time spent in making things up."""
        self._faults = faults or {}
        self._slots = slots
        self._run_seconds = run_seconds
        self._part: BinaryIO | None = None
        output = output_of(request) if request.settings.appends else None
        self._parts = Path(output.parts) if output is not None else None

    @override
    def start(self) -> None:
        if self._parts is not None:
            self._part = (self._parts / PROCESS.part).open("ab")
        now = time.monotonic()
        self.events.put(NodeReady(NODE, self._slots, now))
        for _ in range(self._slots):
            self.events.put(ProcessReady(PROCESS, 0.0, now))

    @override
    def hand_out(self, bundles: Sequence[Packed], budget: float) -> None:
        for each in bundles:
            began = time.monotonic()
            outcome_log = self._make_up(each.bundle)
            self.seconds += time.monotonic() - began
            seconds = self._run_seconds * len(each.bundle.entries)
            result = BundleResult(each.bundle.number, PROCESS, outcome_log, seconds=seconds)
            self.events.put(returned(result))

    @override
    def stop(self, grace: float) -> None:
        pass  # nothing is out

    @override
    def close(self) -> None:
        if self._part is not None:
            self._part.close()

    def _make_up(self, bundle: Bundle) -> bytes:
        outcome_log, rows = bytearray(), bytearray()
        offset = self._part.tell() if self._part is not None else 0
        now, took = time.time(), self._run_seconds
        for index, attempt in bundle.entries:
            if self._faults and attempt <= len(faults := self._faults.get(index, ())):
                status, failure = faults[attempt - 1], Failure(f"made up for attempt {attempt}")
                times = Times(now, took, took, 0.0)
                outcome_log += pack_outcome(failed(index, attempt, status, 1, times, failure))
                continue
            row = b"%d\n" % index
            head = (index, attempt, 0, 1, 1, offset + len(rows), len(row), 0, zlib.crc32(row))
            outcome_log += pack_outcome(Outcome(*head, now, took, took, 0.0, None))
            rows += row
        if self._part is not None:
            self._part.write(rows)
            self._part.flush()
        return bytes(outcome_log)
