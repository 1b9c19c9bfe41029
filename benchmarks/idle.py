"""CPU that the driver's process takes while nothing happens: Dask, the driver, its threads."""

from __future__ import annotations

import json
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from benchmarks.rounds import middle, one_round, show

TARGET = 2.0
"""Percent of a core."""
SETTLE = 2.0
"""Seconds after the processes are ready until the measurement begins."""
WINDOW = 10.0
"""Seconds it takes."""
SCRIPT = f"""
import time
def run(mini_batch):
    time.sleep({SETTLE + WINDOW + 1})
    return mini_batch
"""


def main(rounds: int) -> bool:
    """Measure and print; True when the target is met."""
    print(f"idle: two processes in mini-batches of {SETTLE + WINDOW + 1:.0f} s, local target")
    found = [one_round("idle") for _ in range(rounds)]
    met = show("the driver's process, Dask included", middle(found, "driver"), "%", TARGET, 2)
    print(f"  {'the keeper':<58}{middle(found, 'keeper'):>12.2f} %")
    for name in sorted({name for one in found for name in one["threads"]}):
        each = ", ".join(f"{one['threads'].get(name, 0.0):.2f}" for one in found)
        print(f"    thread {name:<51}{each:>12} %")
    return met


def measure() -> dict[str, Any]:
    """Measure once, in this process."""
    from benchmarks.ground import Watch, make_files, make_request
    from daskrun.data import Dataset
    from daskrun.data.file_plan import FilePlan
    from daskrun.engine.driver import RunControl, execute

    watch = Watch()
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as place:
        data = Path(place) / "data"
        make_files(data, 2)
        plan = FilePlan([("files", Dataset.File.from_files(str(data)))], 1)
        request = make_request(Path(place), plan, SCRIPT, process_count_per_node=2)
        meter = threading.Thread(target=lambda: found.update(_meter(watch)), name="meter")
        meter.start()
        report = execute(request, [watch], RunControl())
        meter.join()
        assert report.succeeded == plan.known, report
    return found


def _meter(watch: Any) -> dict[str, Any]:
    """Wait until both processes work, then compare the CPU times at both ends of the window."""
    import psutil

    while "ProcessReady" not in watch.first:
        time.sleep(0.05)
    time.sleep(SETTLE)
    me = psutil.Process()
    [keeper] = me.children()
    before, began = (_cpu(me), _cpu(keeper), _threads(me)), time.monotonic()
    time.sleep(WINDOW)
    share = 100 / (time.monotonic() - began)
    after = _threads(me)
    threads = {name: share * (after[name] - before[2].get(name, 0.0)) for name in after}
    return {
        "driver": share * (_cpu(me) - before[0]),
        "keeper": share * (_cpu(keeper) - before[1]),
        "threads": {name: value for name, value in threads.items() if value >= 0.01},
    }


def _cpu(process: Any) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _threads(process: Any) -> dict[str, float]:
    """Give the CPU time of each Python thread, those of one name together."""
    names = {thread.native_id: thread.name for thread in threading.enumerate()}
    found: dict[str, float] = {}
    for thread in process.threads():
        name = names.get(thread.id, "other")
        found[name] = found.get(name, 0.0) + thread.user_time + thread.system_time
    return found


if __name__ == "__main__":
    print(json.dumps(measure()))
