"""20,000 items with faults, workers and drivers that are killed: is each row there, once?"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import logging
import sys
import tempfile
from collections import Counter
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from benchmarks.ground import make_files
from benchmarks.rounds import asked_items, one_round, show
from benchmarks.soak_contestants import NODES, TIMEOUT, WORKERS, rows_of_peer
from benchmarks.soak_storm import EVERY, SHARES, Storm, Told, children, marked, sweep
from benchmarks.soak_work import EACH, Work

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.soak_work import Ready

ITEMS = 20_000
SLACK = 1.3
RESPAWN = 0.5
"""Seconds that replacing a script process may take, beside its ``init()``."""
LIMIT = 300.0
"""Seconds after which a contestant could not finish: three times what daskrun needs."""
PEERS = {
    "dask": "Dask, map_partitions of a bag",
    "pool": "ProcessPoolExecutor, a loop of 40 lines around it",
    "ray": "Ray Data, map_batches",
}


def main(rounds: int) -> bool:
    """Measure and print; True when daskrun has lost nothing and kept to its time."""
    items = asked_items(ITEMS)
    raising, killing = items // 100, max(1, items // 1000)
    print(
        f"soak: {items:,} items of {EACH * 1000:g} ms, {WORKERS} processes; {raising} raise, "
        f"{killing} segfault, {killing} hang ({TIMEOUT} s),\n  half of them each time; a worker "
        f"killed every {EVERY:g} s, the driver {len(SHARES)} times"
    )
    met = True
    for _ in range(rounds):
        met &= _show_daskrun(_round("daskrun"))
    for name, words in PEERS.items():
        if name == "ray" and importlib.util.find_spec("ray") is None:
            print(f"  {words}: not installed (pip install -e '.[peers]')")
        else:
            _show_peer(words, _round(name))
    return met


def _round(name: str) -> dict[str, Any]:
    found: dict[str, Any] = one_round("soak", name, limit=LIMIT + 120)
    return found


def _show_daskrun(one: dict[str, Any]) -> bool:
    """Print what the limit is made of, and what daskrun has come to."""
    limit = SLACK * _show_terms(one)
    met = show("wall time", one["seconds"], "s", limit)
    met &= _show_rows(one, must=True)
    met &= _show_none("mini-batches failed but those that must", one["failed_otherwise"])
    met &= _show_none("what daskrun.testing.account finds wrong", len(one["problems"]))
    for problem in one["problems"]:
        print(f"    {problem}")
    met &= _show_none("processes left 5 s after the end", one["left"])
    _show_end(one)
    return met and one["code"] == 0


def _show_terms(one: dict[str, Any]) -> float:
    """Print each term of the time that is allowed for; give their sum."""
    items = asked_items(ITEMS)
    each, init, restart, start = one["each"], one["init"], one["restart"], one["start_up"]
    terms = [
        (f"useful: {items:,} x {each * 1000:.2f} ms / {WORKERS}", items * each / WORKERS),
        (
            f"time-outs: {one['timeouts']} x {TIMEOUT} s / {WORKERS}",
            one["timeouts"] * TIMEOUT / WORKERS,
        ),
        (
            f"respawns: {one['respawns']} x ({init:.2f} + {RESPAWN} s) / {WORKERS}",
            one["respawns"] * (init + RESPAWN) / WORKERS,
        ),
        (
            f"worker kills: {one['workers_killed']} x {restart:.2f} s",
            one["workers_killed"] * restart,
        ),
        (f"driver kills: {one['drivers_killed']} x {start:.2f} s", one["drivers_killed"] * start),
    ]
    whole = sum(seconds for _, seconds in terms)
    for words, seconds in [*terms, ("together", whole)]:
        print(f"    {words:<56}{seconds:>12.1f} s")
    return whole


def _show_peer(words: str, one: dict[str, Any]) -> None:
    killed = f"{one['workers_killed']} workers and {one['drivers_killed']} drivers killed"
    print(f"  {words}: {killed}")
    if one["code"] is None:
        print(f"    could not finish within {LIMIT:g} s: ended")
    else:
        print(f"    {'wall time':<56}{one['seconds']:>12.1f} s")
    _show_rows(one, must=False)
    print(f"    {'processes left 5 s after the end':<56}{one['left']:>12}")
    _show_end(one)


def _show_rows(one: dict[str, Any], *, must: bool) -> bool:
    counts = {
        "rows lost": one["lost"],
        "rows there twice": one["doubled"],
        "lines that are nobody's row, or one of an item to fail": one["strange"],
    }
    met = True
    for what, count in counts.items():
        if must:
            met &= _show_none(what, count)
        else:
            print(f"    {what:<56}{count:>12,}")
    return met


def _show_none(what: str, count: int) -> bool:
    """Print a count that must be 0."""
    print(f"  {what:<58}{count:>14,}   target 0: {'MISSED' if count else 'met'}")
    return not count


def _show_end(one: dict[str, Any]) -> None:
    print(
        f"    {'rows; items begun, those done again too':<56}{one['rows']:>12,}; {one['calls']:,}"
    )
    if one["code"]:
        print(f"    the driver ended with {one['code']}; its last words: {one['words']}")


def measure(name: str) -> dict[str, Any]:
    """Have one contestant go through the storm, and count its rows."""
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        place, items = Path(folder), asked_items(ITEMS)
        work = Work(place, items)
        each = work.seconds_each()
        if name == "daskrun":
            make_files(place / "data", items)
        told, left = _through_the_storm(name, place, work)
        found = _of_daskrun(place, work, told) if name == "daskrun" else {}
        rows = found.pop("output") if found else rows_of_peer(place)
        said = (place / "driver.log").read_text(errors="replace").strip().splitlines()
        return {
            **work.hold(rows)._asdict(),
            **found,
            "each": each,
            "seconds": told.seconds,
            "code": told.code,
            "words": " / ".join(said[-3:])[-500:],
            "workers_killed": len(told.workers_killed),
            "drivers_killed": len(told.drivers_killed),
            "calls": work.calls,
            "left": left,
        }


def _through_the_storm(name: str, place: Path, work: Work) -> tuple[Told, int]:
    """Run a contestant's drivers to the end; tell also how many processes they have left."""

    def blow(victims: Callable[[int], list[int]], address: str) -> tuple[Told, int]:
        command = ["benchmarks.soak_contestants", name, str(place), str(work.items), address]
        return Storm(place, work, command, victims, LIMIT).blow(), sweep(place)

    if name == "pool":
        return blow(children, "")
    if name == "ray":
        return blow(lambda _: _ray_workers(place), "")
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=NODES if name == "daskrun" else WORKERS,
        threads_per_worker=1,
        processes=True,
        dashboard_address=None,
        silence_logs=logging.CRITICAL,
    ) as cluster:

        def workers(_: int) -> list[int]:
            pids = [nanny.pid for nanny in cluster.workers.values()]
            return [pid for pid in pids if pid] if all(pids) else []

        return blow(workers, cluster.scheduler_address)


def _ray_workers(place: Path) -> list[int]:
    """Give Ray's processes that have a task in hand; their titles say so."""
    found = []
    for pid in marked(place):
        with contextlib.suppress(OSError):
            title = Path(f"/proc/{pid}/cmdline").read_text()
            if title.startswith("ray::") and "IDLE" not in title:
                found.append(pid)
    return found


def _of_daskrun(place: Path, work: Work, told: Told) -> dict[str, Any]:
    """Account for the run, and find out what each loss has cost."""
    from daskrun import Experiment, Workspace
    from daskrun.core.outcome import Status
    from daskrun.storage.journal import Journal
    from daskrun.testing import account

    [run] = Experiment(Workspace.create("soak", place), "soak").get_runs()
    [step] = run.get_steps()
    found = account(run)
    entries = Journal.read(step.folder / "journal", "bundle")
    statuses = Counter(fields[2] for entry in entries for fields in entry["outcomes"])
    output = Path(step.output_folder or "") / "parallel_run_step.txt"
    ready = work.ready()
    wrong = [] if found.exact else ["the output is not the committed rows, in their order"]
    return {
        "output": output.read_text().splitlines() if output.exists() else [],
        "problems": [*found.problems, *wrong],
        "failed_otherwise": abs(found.failed - work.given_up),
        "timeouts": statuses[Status.TIMED_OUT],
        "respawns": statuses[Status.TIMED_OUT] + statuses[Status.DIED],
        "init": median(one.seconds for one in ready),
        "restart": _restart(ready, told),
        "start_up": _start_up(ready, told),
    }


def _restart(ready: list[Ready], told: Told) -> float:
    """Give the median of seconds from a kill to a script process on a worker not seen before.

    The median: where a driver was killed at the same time, its start-up is in between.
    """
    first: dict[int, float] = {}
    for one in ready:
        first.setdefault(one.worker, one.end)
    later = sorted(first.values())[NODES:]
    pairs = zip(told.workers_killed, later, strict=False)  # one killed last may not be replaced
    return median([end - at for at, end in pairs] or [0.0])


def _start_up(ready: list[Ready], told: Told) -> float:
    """Give the median of seconds from a driver's kill to a script process of the next one.

    Nodes of the one that was killed go on for up to two seconds, and may replace theirs.
    """
    times = []
    for at in told.drivers_killed:
        before = {one.keeper for one in ready if one.end < at}
        times += [one.end - at for one in ready if one.keeper not in before][:1]
    return median(times or [0.0])


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1])))
