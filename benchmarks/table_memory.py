"""The highest resident memory of every process of a run, while files of two sizes are scored."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.rounds import ROOT, middle, one_round, show
from benchmarks.table_data import make_csv

SIZES = (1, 4)
"""Times ``DASKRUN_BENCHMARK_MB``."""
ALLOWED = 6 * (1 << 20) / 1e6 + 100
"""Megabytes above what a process takes for a tiny file: six mini-batches and 100 MB."""
TINY = 20_000
_LOOK = 0.02
"""Seconds between looks. The kernel keeps the highest: a look late misses only a process's end."""
_ROLES = ("driver", "keeper", "script process")
"""By how far a process is below the first one."""


def main(rounds: int) -> bool:
    """Measure and print; True when every process stays within what it may take."""
    size_mb = int(os.environ.get("DASKRUN_BENCHMARK_MB", "1000"))
    print("table_memory: CSV, a result for each row, mini-batches of 1 MB, 2 processes")
    sizes = {"tiny": TINY} | {f"{n * size_mb:,} MB": n * size_mb * 1_000_000 for n in SIZES}
    found: dict[str, list[dict[str, float]]] = {}
    for name, size in sizes.items():
        with tempfile.TemporaryDirectory() as place:
            path = Path(place) / "plain.csv"
            make_csv(path, size)
            found[name] = [one_round("table_memory", str(path)) for _ in range(rounds)]
    met = True
    base = found.pop("tiny")
    for role in _ROLES:
        least = middle(base, role)
        print(f"  {role}: {least:.0f} MB for a tiny file, the highest of its kind")
        for name, each in found.items():
            what = f"{role} beyond that, {name}"
            met &= show(what, middle(each, role) - least, "MB", ALLOWED, 0)
    return met


def measure(path: str) -> dict[str, float]:
    """Score a file in a process of its own; give the highest megabytes of each kind of process."""
    import psutil

    command = [sys.executable, "-m", "benchmarks.table_memory", "--score", path]
    with subprocess.Popen(command, cwd=ROOT) as first:
        driver = psutil.Process(first.pid)
        peaks: dict[tuple[str, int], float] = {}
        while first.poll() is None:
            for role, process in _family(driver):
                peaks[role, process.pid] = max(peaks.get((role, process.pid), 0), _peak(process))
            time.sleep(_LOOK)
    assert not first.returncode, first.returncode
    return {role: max(peak for (each, _), peak in peaks.items() if each == role) for role in _ROLES}


def _family(driver: Any) -> list[tuple[str, Any]]:
    """Give the driver's process, its children and theirs, each with what it is."""
    import psutil

    found, line = [(_ROLES[0], driver)], [driver]
    for role in _ROLES[1:]:
        below = []
        for process in line:
            try:
                below += process.children()
            except psutil.NoSuchProcess:
                continue
        found += [(role, process) for process in below]
        line = below
    return found


def _peak(process: Any) -> float:
    """Give the highest resident memory so far, in MB; 0 for one that has just ended."""
    try:
        status = Path(f"/proc/{process.pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    for line in status.splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / 1e6
    return 0.0  # a process that ends has no memory any more


def score(path: str) -> None:
    """Score a file; its output is left as it is, so that reading it costs the driver nothing."""
    from benchmarks.table_contestants import score as score_file

    with tempfile.TemporaryDirectory() as place:
        score_file(path, Path(place))


if __name__ == "__main__":
    if sys.argv[1] == "--score":
        score(sys.argv[2])
    else:
        print(json.dumps(measure(sys.argv[1])))
