"""What it costs to see a run: throughput with all observers and without, memory of the page."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from benchmarks.rounds import asked_items, middle, one_round, show

PROCESSES, MINI_BATCHES = 2, 30_000
BUSY = 0.0008
"""Seconds of a core that ``run()`` takes: two processes then make some 2,000 mini-batches a
second."""
SCRIPT = f"""
import time

def run(mini_batch):
    end = time.thread_time() + {BUSY}
    while time.thread_time() < end:
        pass
    return ["ok"]
"""
SHARE = 2.0
"""Percent of the throughput that all observers may cost."""
COUNT, BUNDLE, LOOKS = 1_000_000, 200, 200
"""Mini-batches on the page, those of a bundle, and times that a browser is shown them."""
NODES, A_NODE = 125, 8
GROWTH = 8.0
"""Megabytes that the page's process may grow by in the last three quarters."""


def main(rounds: int) -> bool:
    """Measure and print; True when both targets are met."""
    count = asked_items(MINI_BATCHES)
    print(f"views: {count:,} mini-batches of {1000 * BUSY:g} ms in {PROCESSES} processes")
    pairs = [(one_round("views", "off"), one_round("views", "on")) for _ in range(rounds)]
    off, on = [one for one, _ in pairs], [one for _, one in pairs]
    for name, found in (("without observers", off), ("with all of them", on)):
        each = ", ".join(f"{one['a_second']:,.0f}" for one in found)
        cpu = 1e6 * middle(found, "cpu") / count
        print(f"  {name:<58}{middle(found, 'a_second'):>8,.0f}/s  ({each})")
        print(f"    processor time of the driver's process: {cpu:.1f} us a mini-batch")
    lost = 100 * (1 - middle(on, "a_second") / middle(off, "a_second"))
    met = show("throughput that all observers cost", lost, "%", SHARE)
    cpu = (middle(on, "cpu") - middle(off, "cpu")) / middle(off, "all_cpu")
    print(f"  {'their processor time, of that of the whole run':<58}{100 * cpu:>14.1f} %")
    page = one_round("views", "page", limit=900.0)
    sizes = ", ".join(f"{each:.0f}" for each in page["megabytes"])
    count, processes = page["mini_batches"], NODES * A_NODE
    print(f"  the page during {count:,} mini-batches of {processes:,} processes: {page['looks']:,}")
    print(f"    looks, at most {page['values']:,} values in its plots, a snapshot has "
          f"{page['kilobytes']:,.0f} KB; MB after each tenth: {sizes}")  # fmt: skip
    grown = page["megabytes"][-1] - page["megabytes"][2]
    return show("what it grows by after three tenths", grown, "MB", GROWTH) and met


def measure_run(seen: bool) -> dict[str, Any]:
    """Run it once, in this process, seen by all that a run has or by nobody."""
    from benchmarks.ground import make_files, make_request, output_of
    from daskrun.data import Dataset
    from daskrun.data.file_plan import FilePlan
    from daskrun.engine.driver import RunControl, execute
    from daskrun.monitor.event_log import EVENTS, EventLog
    from daskrun.monitor.logs import LogWriter
    from daskrun.monitor.report import ReportFile

    count = asked_items(MINI_BATCHES)
    with tempfile.TemporaryDirectory() as place:
        make_files(Path(place) / "data", count)
        plan = FilePlan([("files", Dataset.File.from_files(f"{place}/data"))], 1)
        request = make_request(
            Path(place), plan, SCRIPT, mini_batch_size=1, process_count_per_node=PROCESSES,
            error_threshold=-1,
        )  # fmt: skip
        logs = Path(place) / "run" / "logs"
        observers = [EventLog(logs / EVENTS), LogWriter(logs, plan), ReportFile(logs, plan)]
        used, cpu, began = os.times(), time.process_time(), time.monotonic()
        report = execute(request, observers if seen else [], RunControl())
        seconds, cpu = time.monotonic() - began, time.process_time() - cpu
        now = os.times()  # keeper and script processes have been waited for
        children = now.children_user + now.children_system
        children -= used.children_user + used.children_system
        assert report.succeeded == count, report
        assert output_of(request).read_bytes().count(b"\n") == count
    return {
        "seconds": seconds,
        "cpu": cpu,
        "all_cpu": cpu + children,
        "a_second": count / seconds,
    }


def measure_page() -> dict[str, Any]:
    """Show a run that is made up on the page, to a browser's session, in this process."""
    import psutil
    from bokeh.client import pull_session
    from bokeh.models import ColumnDataSource
    from bokeh.server.server import Server

    from daskrun.core.events import BundleReturned, NodeReady, RunStarted
    from daskrun.core.outcome import Outcome, ProcessInfo
    from daskrun.core.report import Progress
    from daskrun.core.settings import RunSettings
    from daskrun.monitor import page as page_file
    from daskrun.monitor.dask_pages import Runs
    from daskrun.monitor.statistics import RunStatistics

    runs, seen, now = Runs(), RunStatistics(epoch=1e9), 0.0
    count = asked_items(COUNT)
    seen.notify(RunStarted("run-1", "score", RunSettings(entry_script="score.py"), count, now))
    for node in range(NODES):
        seen.notify(NodeReady(f"node{node:03d}", A_NODE, now))
    runs.take_in("run-1", seen.snapshot(now).as_json())
    page_file.INTERVAL = 20
    server = Server({"/daskrun": page_file.page(runs)}, port=0)
    server.start()
    threading.Thread(target=server.io_loop.start, daemon=True).start()
    session = pull_session(url=f"http://localhost:{server.port}/daskrun")
    own, megabytes, values, looks, text = psutil.Process(), [], 0, 0, ""
    for first in range(0, count, BUNDLE):
        number, now = first // BUNDLE, first / 2000
        node, slot = divmod(number % (NODES * A_NODE), A_NODE)
        process = ProcessInfo(f"node{node:03d}", f"process{slot:03d}", number % 1000, 1e9, "part")
        outcomes = tuple(
            Outcome(n, 1, 0, 1, 1, 0, 8, 0, 0, 1e9 + now, 0.02, 0.005 + n % 97 / 1e4, 0.001, None)
            for n in range(first, min(first + BUNDLE, count))
        )
        seen.notify(BundleReturned(number, process, outcomes, 1.0, now))
        if first % (count // LOOKS) < BUNDLE:
            looks += 1
            seen.progress(Progress(count, first, first, 0, 0, 0, first, 0, now, None))
            text = seen.snapshot(now).as_json()
            runs.take_in("run-1", text)
            time.sleep(0.05)  # its periodic look
            session.force_roundtrip()
            [shown] = server.get_sessions("/daskrun")
            sources = shown.document.select({"type": ColumnDataSource})
            values = max(values, sum(len(v) for each in sources for v in each.data.values()))
        if first % (count // 10) < BUNDLE:
            megabytes.append(own.memory_info().rss / 1e6)
    session.close()
    return {
        "megabytes": megabytes,
        "values": values,
        "kilobytes": len(text) / 1e3,
        "looks": looks,
        "mini_batches": count,
    }


if __name__ == "__main__":
    what = sys.argv[1]
    print(json.dumps(measure_page() if what == "page" else measure_run(what == "on")))
