"""Wall time per no-op mini-batch beyond two bare loops side by side, beside the peers."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.contestants import CONTESTANTS, PROCESSES, SIZE
from benchmarks.ground import make_files
from benchmarks.rounds import middle, one_round, show

MINI_BATCHES = 20_000
TARGET = 50.0
"""Microseconds per mini-batch beyond the bare loops."""
DASK_RATIO = 50.0
"""How many times one Dask task each may cost what a mini-batch does, at least."""


def main(rounds: int) -> bool:
    """Measure and print; True when every target is met."""
    print(f"overhead: {MINI_BATCHES:,} no-op mini-batches of {SIZE} files, {PROCESSES} processes")
    with tempfile.TemporaryDirectory() as place:
        data = Path(place) / "data"
        make_files(data, MINI_BATCHES * SIZE)
        environment = {**os.environ, "DASKRUN_BENCHMARK_DATA": str(data)}
        # interleaved: a slow minute of the machine meets all of them
        found = [
            {name: one_round("contestants", name, environment=environment) for name in CONTESTANTS}
            for _ in range(rounds)
        ]
    return _report([_beyond(one) for one in found])


def _beyond(found: dict[str, dict[str, Any]]) -> dict[str, float]:
    """Give microseconds per mini-batch beyond the bare loops of the same round."""
    bare = found["bare"]["seconds"] / found["bare"]["mini_batches"]
    costs = {"bare": 1e6 * bare, "pool_chunk": found["pool"]["best_chunk"]}
    for name in ("daskrun", "pool", "joblib", "dask"):
        costs[name] = 1e6 * (found[name]["seconds"] / found[name]["mini_batches"] - bare)
    pool = found["pool"]
    costs["pool_best"] = 1e6 * (pool["best_seconds"] / pool["mini_batches"] - bare)
    return costs


def _report(rounds: list[dict[str, float]]) -> bool:
    ours = middle(rounds, "daskrun")
    met = show("daskrun, beyond the bare loops", ours, "us", TARGET)
    met &= show("daskrun / Pool one by one", ours / middle(rounds, "pool"), "x", 1.0, 2)
    ratio = middle(rounds, "dask") / ours
    word = "met" if ratio >= DASK_RATIO else "MISSED"
    print(
        f"  {'one Dask task each / daskrun':<56}{ratio:>14.0f} x  at least {DASK_RATIO:g} x: {word}"
    )
    labels = {
        "bare": "two bare loops (the whole mini-batch)",
        "daskrun": "daskrun",
        "pool": "multiprocessing.Pool.imap_unordered, one by one",
        "pool_best": f"the same, best chunksize ({middle(rounds, 'pool_chunk'):.0f})",
        "joblib": 'joblib, batch_size="auto"',
        "dask": "one Dask task each",
    }
    print("  microseconds per mini-batch, beyond the bare loops unless said: median (each round)")
    for name, label in labels.items():
        each = ", ".join(f"{one[name]:.1f}" for one in rounds)
        print(f"    {label:<56}{middle(rounds, name):>10.1f}   ({each})")
    return met and ratio >= DASK_RATIO
