"""From a pattern to a plan that is whole: 10,000 tables of 1 MB, and a million files."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.million import Peak
from benchmarks.rounds import middle, one_round, show, show_spread
from benchmarks.table_data import make_csv, make_parquet

FILES = 10_000
PATHS = 1_000_000
FILES_SECONDS = 2.0
PATHS_SECONDS = 30.0
PATHS_MEGABYTES = 500.0
SIZE = 1 << 20
_EACH_FOLDER = 1000
_EACH_INODE = 10_000
"""Names of one file: file systems allow 32,000 or more."""
KINDS = {"csv": "CSV files of 1 MB", "parquet": "Parquet files of 1 MB"}
"""Each file with its own name, all of the same bytes: what is planned is names, sizes, footers."""


def main(rounds: int) -> bool:
    """Measure and print; True when all targets are met."""
    share = int(os.environ.get("DASKRUN_BENCHMARK_MB", "1000")) / 1000
    files, paths = int(FILES * share), int(PATHS * share)
    print(f"planning: from the pattern to the last of the mini-batches, {files:,} tables and "
          f"{paths:,} paths")  # fmt: skip
    met = True
    for kind, what in KINDS.items():
        with tempfile.TemporaryDirectory() as place:
            make_files(Path(place), kind, files)
            found = [one_round("planning", kind, place, str(files)) for _ in range(rounds)]
        met &= show(f"{files:,} {what}", middle(found, "seconds"), "s", FILES_SECONDS, 2)
        imports = middle(found, "import_seconds")
        print(f"    not counted: {imports:.2f} s to import pandas and pyarrow; memory "
              f" {middle(found, 'megabytes'):.0f} MB")  # fmt: skip
        show_spread("seconds", found, "seconds")
    with tempfile.TemporaryDirectory() as place:
        make_files(Path(place), "csv", paths, size=100)
        for kind, what in (("files", "files"), ("csv", "CSV files")):
            found = [one_round("planning", kind, place, str(paths)) for _ in range(rounds)]
            met &= show(f"{paths:,} {what}", middle(found, "seconds"), "s", PATHS_SECONDS)
            peak = middle(found, "megabytes")
            met &= show("memory at its highest, beyond the imports", peak, "MB", PATHS_MEGABYTES, 0)
            show_spread("seconds", found, "seconds")
    return met


def make_files(place: Path, kind: str, count: int, size: int = 1_000_000) -> None:
    """Make ``count`` names, a thousand a folder, of a few files: links, as fast as names alone."""
    suffix = "parquet" if kind == "parquet" else "csv"
    original = place / "original"
    if kind == "parquet":
        make_parquet(original, size, size / 4)
    else:
        make_csv(original, size)
    first = original
    for number in range(count):
        if number % _EACH_FOLDER == 0:
            folder = place / "data" / f"{number // _EACH_FOLDER:04d}"
            folder.mkdir(parents=True)
        path = folder / f"{number % _EACH_FOLDER:03d}.{suffix}"
        if number % _EACH_INODE == 0:
            shutil.copyfile(original, path)
            first = path
        else:
            os.link(first, path)


def measure(kind: str, place: str, count: int) -> dict[str, Any]:
    """Plan once, in this process."""
    from daskrun.data import Dataset
    from daskrun.data.file_plan import FilePlan

    began = time.monotonic()
    if kind != "files":
        import pandas  # noqa: F401
        import pyarrow.parquet  # noqa: F401

    imported = time.monotonic() - began
    peak = Peak()
    began = time.monotonic()
    plan: Any
    if kind == "files":
        plan = FilePlan([("files", Dataset.File.from_files(f"{place}/data"))], 1)
    else:
        plan = _plan_tables(kind, place)
    seconds = time.monotonic() - began
    assert plan.complete, plan.known
    # of Parquet each row group is a quarter of a mini-batch, and a file of four is one
    assert plan.known == count, plan.known
    megabytes = peak.stop() / 1e6
    return {"seconds": seconds, "import_seconds": imported, "megabytes": megabytes}


def _plan_tables(kind: str, place: str) -> Any:
    from daskrun.data import Dataset
    from daskrun.data.tabular.planning.table_plan import TablePlan

    pattern = f"{place}/data/**/*.{kind}"
    if kind == "csv":
        dataset = Dataset.Tabular.from_delimited_files(pattern)
    else:
        dataset = Dataset.Tabular.from_parquet_files(pattern)
    plan = TablePlan([("tables", dataset.resolve())], SIZE)
    plan.extend(sys.maxsize)
    return plan


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], sys.argv[2], int(sys.argv[3]))))
