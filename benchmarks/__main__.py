"""``python -m benchmarks [NAME …] [--rounds N] [--size MB] [--items N]``."""

from __future__ import annotations

import argparse
import os
import sys

from benchmarks import (
    idle,
    million,
    overhead,
    planning,
    resume,
    scale,
    scan,
    soak,
    startup,
    table_memory,
    tables,
    views,
)

BENCHMARKS = {"overhead": (overhead, 5), "startup": (startup, 5), "idle": (idle, 2),
              "million": (million, 3), "scan": (scan, 5), "tables": (tables, 5),
              "table_memory": (table_memory, 1), "planning": (planning, 3),
              "soak": (soak, 1), "resume": (resume, 1), "scale": (scale, 1),
              "views": (views, 5)}  # fmt: skip
"""Each with its usual number of rounds."""


def main() -> int:
    """Run what was asked for, one after another; 1 when a target is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=f"{', '.join(BENCHMARKS)}; all")
    parser.add_argument("--rounds", type=int, default=None, help="how often each is measured")
    parser.add_argument(
        "--size", type=int, default=1000, metavar="MB", help="of the tables that are scored; fewer"
        " than 1,000 are for trying: planning then has fewer files in proportion")  # fmt: skip
    parser.add_argument(
        "--items", type=int, default=0, metavar="N", help="of the soak, and mini-batches of resume;"
        " fewer than they have by themselves are for trying")  # fmt: skip
    asked = parser.parse_args()
    unknown = [name for name in asked.names if name not in BENCHMARKS]
    if unknown:
        parser.error(f"{unknown[0]!r} is none of {', '.join(BENCHMARKS)}")
    os.environ["DASKRUN_BENCHMARK_MB"] = str(asked.size)  # for all that runs in other processes
    os.environ["DASKRUN_BENCHMARK_ITEMS"] = str(asked.items)
    met = True
    for name in asked.names or BENCHMARKS:
        benchmark, usual = BENCHMARKS[name]
        met &= benchmark.main(asked.rounds or usual)
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
