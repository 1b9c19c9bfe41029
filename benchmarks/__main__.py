"""``python -m benchmarks [overhead] [startup] [idle] [million] [scan] [--rounds N]``."""

from __future__ import annotations

import argparse
import sys

from benchmarks import idle, million, overhead, scan, startup

BENCHMARKS = {"overhead": (overhead, 5), "startup": (startup, 5), "idle": (idle, 2),
              "million": (million, 3), "scan": (scan, 5)}  # fmt: skip
"""Each with its usual number of rounds."""


def main() -> int:
    """Run what was asked for, one after another; 1 when a target is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=f"{', '.join(BENCHMARKS)}; all")
    parser.add_argument("--rounds", type=int, default=None, help="how often each is measured")
    asked = parser.parse_args()
    unknown = [name for name in asked.names if name not in BENCHMARKS]
    if unknown:
        parser.error(f"{unknown[0]!r} is none of {', '.join(BENCHMARKS)}")
    met = True
    for name in asked.names or BENCHMARKS:
        benchmark, usual = BENCHMARKS[name]
        met &= benchmark.main(asked.rounds or usual)
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
