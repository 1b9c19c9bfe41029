"""The real driver against slots that are simulated: its CPU, its memory, how well it fills them."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.rounds import asked_items, middle, one_round, show, show_least

if TYPE_CHECKING:
    from daskrun.engine.request import StepRequest

GRID = ((10, 0.1), (100, 0.1), (1_000, 0.1), (100, 1), (1_000, 1), (10_000, 1), (10_000, 10))
"""Slots, and seconds that each mini-batch takes there."""
EACH, EACH_LONG = 60, 20
"""Mini-batches for each slot; of those that take longer than a second."""
JUDGED = (1_000, 1)
WORKERS, WINDOW, SECONDS = 2, 16, 10.0
"""Of the real scheduler: workers, bundles that are out on each, and for how long."""
SHORT, SHORT_SECONDS, SHORT_EFFICIENCY = 10_000, 0.01, 0.93
"""Mini-batches on two real workers, and seconds that each takes."""
PLAIN = 500
"""How often a loop beside it sleeps as long."""
CORES, EFFICIENCY = 0.5, 0.97


def main(rounds: int) -> bool:
    """Measure and print; True when the targets are met."""
    print(f"scale: the driver against simulated slots, {EACH} or {EACH_LONG} mini-batches for each")
    met = True
    for slots, seconds in GRID:
        limit = 60.0 + 4 * EACH * seconds
        arguments = (str(slots), str(seconds))
        found = [one_round("scale", *arguments, limit=limit) for _ in range(rounds)]
        what = f"{slots:,} slots, mini-batches of {seconds:g} s"
        cores, efficiency = middle(found, "cores"), middle(found, "efficiency")
        if (slots, seconds) == JUDGED:
            met &= show(f"{what}: driver's CPU", cores, "cores", CORES, 2)
            met &= show_least(f"{what}: efficiency", efficiency, "", EFFICIENCY)
        else:
            print(f"  {what:<58}{cores:>8.2f} cores, efficiency {efficiency:.3f}")
        print(
            f"    {middle(found, 'a_second'):,.0f} mini-batches and {middle(found, 'bundles'):,.0f}"
            f" bundles a second, {middle(found, 'megabytes'):.0f} MB, journal "
            f"{middle(found, 'journal_megabytes'):.1f} MB"
        )
    found = [one_round("scale", "dask", str(SECONDS)) for _ in range(rounds)]
    rate = middle(found, "bundles")
    print(
        f"  a real scheduler, {WORKERS} workers whose bundles take no time: {rate:,.0f} bundles a "
        f"second, the driver's process {middle(found, 'cores'):.2f} cores. Bundles hold 0.5 s of "
        f"work, or 5 ms for each slot: {rate / 2:,.0f} slots are fed with the former"
    )
    found = [one_round("scale", "short", limit=600.0) for _ in range(rounds)]
    what = f"two real workers, {SHORT:,} mini-batches of 10 ms: efficiency"
    met &= show_least(what, middle(found, "efficiency"), "", SHORT_EFFICIENCY)
    plain, inside = middle(found, "plain"), middle(found, "inside")
    print(
        f"    share of the time inside run(), which sleeps longer than asked: {inside:.3f}; two "
        f"loops of Python that do nothing else, before and after: {plain:.3f} of the ideal"
    )
    return met


def measure_short() -> dict[str, Any]:
    """Measure short mini-batches on two workers that are processes, one script process each."""
    from distributed import LocalCluster

    from benchmarks.ground import Watch, make_request
    from daskrun.core.events import BundleReturned, Observer
    from daskrun.data import Dataset
    from daskrun.data.file_plan import FilePlan
    from daskrun.data.listing import Listing
    from daskrun.data.paths import PathTable
    from daskrun.engine.driver import RunControl, execute

    class Inside(Observer):
        """Adds up the seconds inside ``run()``, which sleeps longer where a core is not free."""

        seconds = 0.0

        def on_bundle_returned(self, event: BundleReturned) -> None:
            self.seconds += sum(outcome.run_seconds for outcome in event.outcomes)

    count = asked_items(SHORT)
    script = f"import time\ndef run(mini_batch):\n    time.sleep({SHORT_SECONDS})\n    return [0]\n"
    with tempfile.TemporaryDirectory() as place:
        dataset = Dataset.File.from_files(place, validate=False)
        names = ((f"{n:07d}.txt", 1, 0) for n in range(count))
        listing = Listing(place, PathTable(names), remote=False)
        plan = FilePlan([("files", dataset)], 1, listings=[listing])
        with LocalCluster(WORKERS, threads_per_worker=1, dashboard_address="127.0.0.1:0") as made:
            target, watch, inside = made.scheduler_address, Watch(), Inside()
            settings = {"mini_batch_size": 1, "process_count_per_node": 1}
            request = make_request(Path(place), plan, script, target, **settings)
            before = measure_plain()
            report = execute(request, [watch, inside], RunControl())
            plain = (before + measure_plain()) / 2
        assert report.succeeded == count, report
    wall = watch.last["BundleReturned"] - watch.first["ProcessReady"]
    return {
        "efficiency": count * SHORT_SECONDS / WORKERS / wall,
        "inside": inside.seconds / WORKERS / wall,
        "plain": plain,
    }


def measure_plain() -> float:
    """Measure how near to the ideal loops come that only sleep, one for each worker at once."""
    count = asked_items(PLAIN)
    code = (
        f"import time\nbegan = time.monotonic()\nfor _ in range({count}): "
        f"time.sleep({SHORT_SECONDS})\nprint(time.monotonic() - began)"
    )
    loops = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
        for _ in range(WORKERS)
    ]
    took = [float(loop.communicate()[0]) for loop in loops]
    return count * SHORT_SECONDS * len(took) / sum(took)


def measure_dask(seconds: float) -> dict[str, Any]:
    """Measure how many bundles a second go to workers and back, by the way that runs take."""
    from distributed import LocalCluster

    from daskrun.core.events import Bundle
    from daskrun.engine.dask.connection import Connection
    from daskrun.engine.dask.outstanding import Outstanding
    from daskrun.engine.dispatch import Packed, pack_entries

    with LocalCluster(WORKERS, threads_per_worker=4, dashboard_address="127.0.0.1:0") as cluster:
        connection = Connection("scale", "scale", 10.0)
        connection.connect(cluster.scheduler_address)
        client = connection.client
        client.run(_answer_at_once)
        out = Outstanding("scale", connection, 20.0)
        out.connected("scale", "scale")
        workers = sorted(client.scheduler_info(n_workers=-1)["workers"])
        payload = pack_entries([(b"x" * 200, 1)] * 32)

        def submit(number: int) -> None:
            bundle = Bundle(number, "node", ((0, 1),))
            where = workers[number % len(workers)]
            assert out.hand_out(where, [Packed(bundle, payload)], 1.0, lambda: True)

        cpu, began, done, asked = time.process_time(), time.monotonic(), 0, 0
        while time.monotonic() < began + seconds:
            while len(out) < WINDOW * WORKERS:
                submit(asked)
                asked += 1
            number, found = out.fetched.get()  # type: ignore[misc]
            assert isinstance(found, list), found
            out.take(number)
            done += 1
        wall, cpu = time.monotonic() - began, time.process_time() - cpu
        connection.close(quick=True)
        connection.leave()
    return {"bundles": done / wall, "cores": cpu / wall}


def _answer_at_once() -> None:
    import daskrun.engine.dask.worker as side

    def answer(*_: object) -> bytes:
        return b"x" * 2000

    side.run_bundle = answer


def measure(slots: int, seconds: float) -> dict[str, Any]:
    """Measure once, in this process. The files need not exist: nobody opens them."""
    from benchmarks.ground import SCRIPT, make_request
    from benchmarks.million import Peak
    from benchmarks.simulated import SimulatedSlots
    from daskrun.data import Dataset
    from daskrun.data.file_plan import FilePlan
    from daskrun.data.listing import Listing
    from daskrun.data.paths import PathTable
    from daskrun.engine.driver import RunControl, execute

    count = slots * asked_items(EACH if seconds <= 1 else EACH_LONG)
    with tempfile.TemporaryDirectory() as place:
        peak = Peak()
        names = ((f"{n:07d}.txt", 1, 0) for n in range(count))
        dataset = Dataset.File.from_files(place, validate=False)
        listing = Listing(place, PathTable(names), remote=False)
        plan = FilePlan([("files", dataset)], 1, listings=[listing])
        request = make_request(Path(place), plan, SCRIPT, mini_batch_size=1)
        made: list[SimulatedSlots] = []

        def make(request: StepRequest) -> SimulatedSlots:
            made.append(SimulatedSlots(request, slots, seconds))
            return made[0]

        cpu = time.process_time()
        report = execute(replace(request, target=make), [], RunControl())
        cpu = time.process_time() - cpu
        assert report.succeeded == count, report
        journal = (Path(place) / "run" / "journal").stat().st_size
        [dispatcher] = made
        wall = dispatcher.ended - dispatcher.began
    return {
        "cores": (cpu - dispatcher.own) / wall,
        "efficiency": count * seconds / slots / wall,
        "a_second": count / wall,
        "bundles": dispatcher.bundles / wall,
        "megabytes": peak.stop() / 1e6,
        "journal_megabytes": journal / 1e6,
    }


if __name__ == "__main__":
    if sys.argv[1] == "dask":
        print(json.dumps(measure_dask(float(sys.argv[2]))))
    elif sys.argv[1] == "short":
        print(json.dumps(measure_short()))
    else:
        print(json.dumps(measure(int(sys.argv[1]), float(sys.argv[2]))))
