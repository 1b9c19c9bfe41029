"""Scoring a CSV and a Parquet file: daskrun beside two bare loops and a hand-written pool."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.rounds import middle, one_round, show_least, show_spread
from benchmarks.table_data import make_csv, make_parquet

LIMIT = 0.95
"""Of what two bare loops reach, at least."""
POOL = 1.0
"""Of what the pool reaches, one by one and with its best chunk size, at least."""
LARGE = 64 << 20
"""Bytes of a large row group."""


class Case(NamedTuple):
    """A file, and what is asked of it."""

    what: str
    file: str
    target: bool
    """False: for information, and without the pool."""


CASES = (
    Case("CSV", "plain.csv", target=True),
    Case("CSV, texts quoted", "quoted.csv", target=False),
    Case("Parquet, row groups of 1 MB", "groups.parquet", target=True),
    Case("Parquet, row groups of 64 MB", "large.parquet", target=False),
)


def main(rounds: int) -> bool:
    """Measure and print; True when every target is met."""
    size_mb = int(os.environ.get("DASKRUN_BENCHMARK_MB", "1000"))
    print(
        f"tables: {size_mb:,} MB, 10 numbers and 2 texts a row, mini-batches of 1 MB, 2 processes"
    )
    with tempfile.TemporaryDirectory() as place:
        bounds = _prepare(Path(place), size_mb * 1_000_000)
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        found: dict[Case, list[dict[str, float]]] = {case: [] for case in CASES}
        for _ in range(rounds):
            # interleaved: a slow minute of the machine meets all of them
            for case in CASES:
                found[case].append(_round(place, case, bounds[case.file], environment))
    met = True
    for case in CASES:
        met &= _report(case, found[case], size_mb)
    return met


def _prepare(place: Path, size: int) -> dict[str, str]:
    """Write the files and, for each, the ranges of its mini-batches."""
    make_csv(place / "plain.csv", size)
    make_csv(place / "quoted.csv", size, quoted=True)
    make_parquet(place / "groups.parquet", size)
    make_parquet(place / "large.parquet", size, LARGE)
    bounds = {}
    for file in {case.file for case in CASES}:
        path = place / f"{file}.json"
        path.write_text(json.dumps(one_round("table_contestants", "ranges", str(place / file))))
        bounds[file] = str(path)
    return bounds


def _round(place: str, case: Case, bounds: str, environment: dict[str, str]) -> dict[str, float]:
    """Let each contestant score the file once; they must agree about the rows."""
    names = ["bare", "daskrun", *(["pool"] if case.target else [])]
    arguments = (f"{place}/{case.file}", bounds)
    found: dict[str, dict[str, Any]] = {
        name: one_round("table_contestants", name, *arguments, environment=environment)
        for name in names
    }
    keys = {"bare": ("rows",), "daskrun": ("rows",), "pool": ("lines", "ones")}
    for name, one in found.items():
        for key in keys[name]:  # a pool gives its rows in any order
            assert one[key] == found["bare"][key], found
    ours = found["daskrun"]["seconds"]
    figures = {
        "daskrun": ours,
        "bare": found["bare"]["seconds"],
        "limit": found["bare"]["seconds"] / ours,
    }
    if case.target:
        pool = found["pool"]
        figures["pool"] = pool["seconds"] / ours
        figures["pool_best"] = pool["best_seconds"] / ours
        figures["pool_chunk"] = pool["best_chunk"]
    return figures


def _report(case: Case, rounds: list[dict[str, float]], size_mb: int) -> bool:
    ours = middle(rounds, "daskrun")
    rate = size_mb / ours
    print(f"  {case.what}: {ours:.2f} s, {rate:,.0f} MB/s; "
          f"two bare loops {middle(rounds, 'bare'):.2f} s")  # fmt: skip
    if not case.target:
        print(f"  {'two bare loops / daskrun':<58}{middle(rounds, 'limit'):>12.2f} x   (no target)")
        _each("two bare loops / daskrun", rounds, "limit")
        return True
    met = show_least("two bare loops / daskrun", middle(rounds, "limit"), "x", LIMIT)
    met &= show_least("Pool one by one / daskrun", middle(rounds, "pool"), "x", POOL)
    best = f"the same, best chunksize ({middle(rounds, 'pool_chunk'):.0f})"
    met &= show_least(best, middle(rounds, "pool_best"), "x", POOL)
    for key in ("limit", "pool", "pool_best"):
        _each(key, rounds, key)
    show_spread("seconds of daskrun", rounds, "daskrun")
    return met


def _each(what: str, rounds: list[dict[str, float]], key: str) -> None:
    print(f"    {what}, each round: {', '.join(f'{one[key]:.3f}' for one in rounds)}")
