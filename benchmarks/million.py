"""A million mini-batches through plan, ledger, journal and output; a dispatcher that pretends."""

from __future__ import annotations

import json
import sys
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.rounds import middle, one_round, show, show_spread

if TYPE_CHECKING:
    from collections.abc import Iterator

    from daskrun.engine.request import StepRequest

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
    print(f"  of them plan {middle(found, 'plan_seconds'):.1f} s, the dispatcher itself "
          f"{middle(found, 'pretended_seconds'):.1f} s; journal "
          f"{middle(found, 'journal_megabytes'):.0f} MB, memory of the plan "
          f"{middle(found, 'plan_megabytes'):.0f} MB")  # fmt: skip
    return met


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
    from daskrun.engine.driver import RunControl, execute
    from daskrun.testing import FakeDispatcher

    with tempfile.TemporaryDirectory() as place:
        peak = Peak()
        began = time.monotonic()
        listing = Listing(place, PathTable(_rows()), remote=False)
        dataset = Dataset.File.from_files(place, validate=False)
        plan = FilePlan([("files", dataset)], 1, listings=[listing])
        planned, plan_memory = time.monotonic() - began, peak.now() - peak.before
        request = make_request(Path(place), plan, SCRIPT, mini_batch_size=1)
        made: list[FakeDispatcher] = []

        def make(request: StepRequest) -> FakeDispatcher:
            made.append(FakeDispatcher(request, run_seconds=EACH))
            return made[0]

        report = execute(replace(request, target=make), [], RunControl())
        seconds = time.monotonic() - began
        assert report.succeeded == COUNT, report
        lines = output_of(request).read_bytes().split(b"\n")
        assert len(lines) == COUNT + 1, len(lines)
        assert lines[:-1] == [b"%d" % i for i in range(COUNT)]
        journal = (Path(place) / "run" / "journal").stat().st_size
    return {
        "seconds": seconds,
        "plan_seconds": planned,
        "pretended_seconds": made[0].seconds,
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
