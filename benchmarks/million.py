"""A million mini-batches through plan, ledger, journal and output; a dispatcher that pretends."""

from __future__ import annotations

import json
import queue
import sys
import tempfile
import threading
import time
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.rounds import middle, one_round, show, show_spread

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from daskrun.core.events import Event
    from daskrun.core.orders import Bundle

COUNT = 1_000_000
SECONDS = 60.0
MEGABYTES = 300.0
EACH = 5e-5
"""Seconds a mini-batch is said to have taken: what a no-op does, so that bundles are as large."""


def main(rounds: int) -> bool:
    """Measure and print; True when both targets are met."""
    print(f"million: {COUNT:,} mini-batches of one tiny item, a dispatcher that makes up outcomes")
    found = [one_round("million") for _ in range(rounds)]
    met = show("plan, ledger, journal, output", middle(found, "seconds"), "s", SECONDS, 1)
    peak = middle(found, "megabytes")
    met &= show("memory at its highest, beyond the imports", peak, "MB", MEGABYTES, 0)
    show_spread("seconds", found, "seconds")
    print(f"  of them plan {middle(found, 'plan_seconds'):.1f} s, the pretender itself "
          f"{middle(found, 'pretended_seconds'):.1f} s; journal "
          f"{middle(found, 'journal_megabytes'):.0f} MB, memory of the plan "
          f"{middle(found, 'plan_megabytes'):.0f} MB")  # fmt: skip
    return met


class Pretender:
    """A dispatcher without processes: every bundle is back, done, as soon as it is handed out.

    What it gives comes as frames on an outcome log, as a node gives it, so that the driver pays
    for reading them. One row for each mini-batch goes into a part, for the output to be made of.
    """

    obstacle = ""

    def __init__(self, parts: Path) -> None:
        self.events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self.seconds = 0.0
        """Time spent in making things up."""
        self._part = (parts / "made-up").open("wb")

    def start(self) -> None:
        """Announce one node of two slots."""
        from daskrun.core.events import NodeReady, ProcessReady

        now = time.monotonic()
        self.events.put(NodeReady("node000", 2, now))
        for _ in range(2):
            self.events.put(ProcessReady(self._process(), 0.0, now))

    def hand_out(self, bundles: Sequence[tuple[Bundle, bytes]], budget: float) -> None:  # noqa: ARG002
        """Answer at once."""
        from daskrun.engine.dispatch import returned

        for bundle, _ in bundles:
            began = time.monotonic()
            result = self._make_up(bundle)
            self.seconds += time.monotonic() - began
            self.events.put(returned(result))

    def stop(self, grace: float) -> None:
        """Nothing is out."""

    def close(self) -> None:
        """Close the part."""
        self._part.close()

    def _make_up(self, bundle: Bundle) -> dict[str, Any]:
        from daskrun.script.outcome_log import pack_outcome

        outcome_log, rows = bytearray(), bytearray()
        offset, now = self._part.tell(), time.time()
        for index, attempt in bundle.entries:
            row = b"%d\n" % index
            head = (index, attempt, 0, 1, 1, offset + len(rows), len(row), 0, zlib.crc32(row))
            rows += row
            outcome_log += pack_outcome((*head, now, EACH, EACH, None))
        self._part.write(rows)
        self._part.flush()
        return {
            "number": bundle.number,
            "process": tuple(self._process()),
            "outcome_log": bytes(outcome_log),
            "charged": [],
            "seconds": EACH * len(bundle.entries),
        }

    def _process(self) -> Any:
        from daskrun.core.outcome import ProcessInfo

        return ProcessInfo("node000", "process000", 1, 0.0, "made-up")


class Peak:
    """The highest resident memory of this process, looked at a hundred times a second."""

    def __init__(self) -> None:
        import psutil

        self._process = psutil.Process()
        self.before = self.now()
        self.highest = self.before
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def now(self) -> int:
        """Bytes resident."""
        return int(self._process.memory_info().rss)

    def stop(self) -> int:
        """Give the bytes above what there was at first."""
        self._over.set()
        self._thread.join()
        return self.highest - self.before

    def _look(self) -> None:
        while not self._over.wait(0.01):
            self.highest = max(self.highest, self.now())


def _rows() -> Iterator[tuple[str, int, int]]:
    for i in range(COUNT):
        yield f"{i:07d}.txt", 1, 0


def measure() -> dict[str, Any]:
    """Measure once, in this process. The files need not exist: nobody opens them."""
    from benchmarks.ground import SCRIPT, make_request, output_of
    from daskrun.data import Dataset
    from daskrun.data.file_plan import FilePlan
    from daskrun.data.listing import Listing
    from daskrun.data.paths import PathTable
    from daskrun.engine.driver import Driver, RunControl
    from daskrun.engine.nodes import output_of as place_of

    with tempfile.TemporaryDirectory() as place:
        peak = Peak()
        began = time.monotonic()
        listing = Listing(place, PathTable(_rows()), remote=False)
        dataset = Dataset.File.from_files(place, validate=False)
        plan = FilePlan([("files", dataset)], 1, listings=[listing])
        planned, plan_memory = time.monotonic() - began, peak.now() - peak.before
        request = make_request(Path(place), plan, SCRIPT, mini_batch_size=1)
        place_of_output = place_of(request)
        assert place_of_output is not None
        pretender = Pretender(Path(place_of_output.parts))
        report = Driver(request, [], RunControl(), dispatcher=pretender).run()
        seconds = time.monotonic() - began
        assert report.succeeded == COUNT, report
        lines = output_of(request).read_bytes().split(b"\n")
        assert len(lines) == COUNT + 1, len(lines)
        assert lines[:-1] == [b"%d" % i for i in range(COUNT)]
        journal = (Path(place) / "run" / "journal").stat().st_size
    return {
        "seconds": seconds,
        "plan_seconds": planned,
        "pretended_seconds": pretender.seconds,
        "megabytes": peak.stop() / 1e6,
        "plan_megabytes": plan_memory / 1e6,
        "journal_megabytes": journal / 1e6,
    }


if __name__ == "__main__":
    if "--profile" in sys.argv:
        import cProfile

        cProfile.run("measure()", sort="tottime")
    else:
        print(json.dumps(measure()))
