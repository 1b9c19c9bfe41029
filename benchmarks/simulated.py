"""Slots that are simulated, for the driver: bundles take their time, and nothing else."""

from __future__ import annotations

import heapq
import threading
import time
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

from daskrun.core.events import NodeReady
from daskrun.core.outcome import Outcome, ProcessInfo
from daskrun.core.typing import override
from daskrun.engine.dispatch import Dispatcher, returned
from daskrun.engine.nodes import output_of
from daskrun.script.messages import BundleResult
from daskrun.script.outcome_log import pack_outcome

if TYPE_CHECKING:
    from collections.abc import Sequence

    from daskrun.engine.dispatch import Packed
    from daskrun.engine.request import StepRequest

A_NODE = 8
"""Slots of a node."""
ROUND_TRIP = 0.005
"""Seconds a bundle is on its way, both ways together."""
PROCESS = ProcessInfo("node", "process000", 1, 0.0, "made-up")


class SimulatedSlots(Dispatcher):
    """A bundle waits for a slot of its node, then takes ``seconds`` for each of its mini-batches.

    What its budget does not hold comes back unstarted, as from a script process.
    """

    def __init__(self, request: StepRequest, slots: int, seconds: float) -> None:
        super().__init__()
        self.own = self.began = self.ended = 0.0
        """CPU seconds of the simulation; when the first slot was there; when all was done."""
        self.bundles = 0
        output = output_of(request)
        assert output is not None
        self._slots = slots
        self._seconds = seconds
        self._free: dict[str, list[float]] = {}
        self._due: list[tuple[float, int, Sequence[tuple[int, int]]]] = []
        self._changed = threading.Condition()
        self._over = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._part = (Path(output.parts) / PROCESS.part).open("ab")

    @override
    def start(self) -> None:
        self.began = time.monotonic()
        for first in range(0, self._slots, A_NODE):
            name, size = f"node{first // A_NODE:04d}", min(A_NODE, self._slots - first)
            self._free[name] = [self.began] * size
            self.events.put(NodeReady(name, size, self.began))
        self._thread.start()

    @override
    def hand_out(self, bundles: Sequence[Packed], budget: float) -> None:
        began = time.thread_time()
        now = time.monotonic() + ROUND_TRIP / 2
        most = max(1, -int(-budget // self._seconds))
        with self._changed:
            for each in bundles:
                free, done = self._free[each.bundle.node], each.bundle.entries[:most]
                end = max(now, free[0]) + len(done) * self._seconds
                heapq.heapreplace(free, end)
                heapq.heappush(self._due, (end + ROUND_TRIP / 2, each.bundle.number, done))
            self._changed.notify()
        self.bundles += len(bundles)
        self.own += time.thread_time() - began

    def _run(self) -> None:
        while not self._over:
            with self._changed:
                wait = self._due[0][0] - time.monotonic() if self._due else 0.1
                if wait > 0:
                    self._changed.wait(min(wait, 0.1))
                    continue
                _, number, done = heapq.heappop(self._due)
            took = len(done) * self._seconds
            self.ended = time.monotonic()
            self.events.put(returned(BundleResult(number, PROCESS, self._log(done), None, took)))
        self.own += time.thread_time()

    def _log(self, done: Sequence[tuple[int, int]]) -> bytes:
        log, rows, offset, now = bytearray(), bytearray(), self._part.tell(), time.time()
        for index, attempt in done:
            row = b"%d\n" % index
            place = (offset + len(rows), len(row), 0, zlib.crc32(row))
            times = (now, self._seconds, self._seconds, 0.0)
            log += pack_outcome(Outcome(index, attempt, 0, 1, 1, *place, *times, None))
            rows += row
        self._part.write(rows)
        self._part.flush()
        return bytes(log)

    @override
    def stop(self, grace: float) -> None:
        pass

    @override
    def close(self) -> None:
        self._over = True
        self._thread.join()
        self._part.close()
