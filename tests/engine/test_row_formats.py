"""Each output format: the same bytes for any number of processes, with faults and resumed."""

from __future__ import annotations

import csv
import functools
import io
import json
import multiprocessing
import os
import signal
import tempfile
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from running import Watch, make_request, run_request

from daskrun.core.report import RunStatus
from daskrun.engine.driver import RunControl, execute
from daskrun.engine.history import KILL_AT
from daskrun.script.node_folders import base_folder, clear_leftovers
from daskrun.testing import account

pytestmark = pytest.mark.usefixtures("own_temporary_folder")

FILES = 60
LISTS = """
import os, signal
from pathlib import Path

def rows(n):
    return {"n": n, "text": 'say "%d",' % n * (n % 3), "none": None}

def run(mini_batch):
    numbers = [int(open(path).read()) for path in mini_batch]
    again = Path("@tmp@", f"tried{numbers[0]}")
    if "@kill@" and numbers[0] % 25 == 0 and not again.exists():
        again.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return [rows(n) for n in numbers]
"""
FRAMES = LISTS.replace(
    "return [rows(n) for n in numbers]",
    "import pandas\n    return pandas.DataFrame(map(rows, numbers))",
)
ROWS = [{"n": n, "text": f'say "{n}",' * (n % 3), "none": None} for n in range(FILES)]
NAME = {"append_row_file_name": "rows.out"}


def script(tmp_path: Path, code: str, kill: str = "") -> str:
    return code.replace("@tmp@", str(tmp_path)).replace("@kill@", kill)


def expected(name: str, code: str = LISTS) -> bytes:
    if name == "parquet":
        return parquet_file(code)
    if name == "jsonl":
        return b"".join(json.dumps(row).encode() + b"\n" for row in ROWS)
    text = StringIO(newline="")
    writer = csv.DictWriter(text, ["n", "text", "none"])  # of RFC 4180 as it comes
    writer.writeheader()
    writer.writerows(ROWS)
    return text.getvalue().encode()


@functools.cache
def parquet_file(code: str) -> bytes:
    """Give the file of such a run in one process, seen to hold the rows."""
    with tempfile.TemporaryDirectory() as folder:
        text = script(Path(folder), code)
        request = make_request(
            Path(folder),
            text,
            files=FILES,
            size=5,
            target="inline",
            append_row_format="parquet",
            **NAME,
        )
        data = run_request(request).output
    file = pq.ParquetFile(io.BytesIO(data), page_checksum_verification=True)
    groups = [file.read_row_group(n).to_pylist() for n in range(file.num_row_groups)]
    assert groups == [ROWS[n : n + 5] for n in range(0, FILES, 5)]
    return data


@pytest.mark.slow
@pytest.mark.parametrize("code", [LISTS, FRAMES], ids=["lists", "frames"])
@pytest.mark.parametrize("name", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize(
    ("target", "processes", "kill"),
    [("inline", 1, ""), (None, 1, "yes"), (None, 4, "yes")],
    ids=["inline", "one", "four"],
)
def test_the_same_bytes_wherever_it_runs(tmp_path, code, name, target, processes, kill):
    values = {"process_count_per_node": processes, "append_row_format": name}
    text = script(tmp_path, code, kill)
    run = run_request(
        make_request(tmp_path, text, files=FILES, size=5, target=target, **values, **NAME)
    )
    assert run.report.status is RunStatus.COMPLETED
    assert (run.report.items_succeeded, run.report.retried > 0) == (FILES, bool(kill))
    assert run.output == expected(name, code)
    assert run.report.warnings == ()


@pytest.mark.parametrize("point", ["journalled:2", "finalizing"])
@pytest.mark.parametrize("name", ["csv", "jsonl", "parquet"])
def test_the_same_bytes_when_the_driver_was_killed(tmp_path, name, point):
    code = script(tmp_path, LISTS)
    request = make_request(
        tmp_path, code, files=FILES, size=5, target="inline", append_row_format=name, **NAME
    )

    def go() -> None:
        os.environ[KILL_AT] = point
        execute(request, [Watch()], RunControl())
        os._exit(0)

    process = multiprocessing.get_context("fork").Process(target=go)
    process.start()
    process.join(30)
    assert process.exitcode == -signal.SIGKILL
    clear_leftovers(base_folder())
    report = execute(replace(request, resumed=True), [Watch()], RunControl())
    assert report.status is RunStatus.COMPLETED
    assert (request.output_folder / "rows.out").read_bytes() == expected(name)


COLUMNS = """
def run(mini_batch):
    import pandas
    n = int(open(mini_batch[0]).read())
    row = {"a": n, "b": f"b{n}, c"}
    if n == 0:
        return pandas.DataFrame({"zero": []})
    if n == 2:
        row = dict(reversed(row.items()))
    if n == 3 and @other@:
        row = {"c": 0.5, "a": 3}
    return pandas.DataFrame([row] * 2)
"""


def _rows(request) -> list[dict[str, object]]:
    file = request.output_folder / request.settings.append_row_file_name
    if request.settings.append_row_format == "parquet":
        return pq.read_table(file).to_pylist()
    with file.open(newline="", encoding="utf-8") as opened:
        return list(csv.DictReader(opened))


@pytest.mark.parametrize("name", ["csv", "parquet"])
def test_columns_in_another_order_are_written_by_name(tmp_path, name):
    request = make_request(
        tmp_path,
        COLUMNS.replace("@other@", "False"),
        files=5,
        target="inline",
        append_row_format=name,
    )
    assert run_request(request).report.status is RunStatus.COMPLETED
    found = _rows(request)
    assert [list(row) for row in found] == [["a", "b"]] * 8
    assert [str(row["a"]) for row in found] == ["1", "1", "2", "2", "3", "3", "4", "4"]
    assert {row["b"] for row in found[2:4]} == {"b2, c"}


@pytest.mark.parametrize("name", ["csv", "parquet"])
def test_other_columns_end_the_run_or_are_filled(tmp_path, name):
    code = COLUMNS.replace("@other@", "True")
    request = make_request(tmp_path, code, files=5, target="inline", append_row_format=name)
    report = run_request(request).report
    assert report.status is RunStatus.FAILED
    assert "other columns for mini-batch 3 than for mini-batch 1" in report.message
    assert "run.resume(columns='union')" in report.message
    union = replace(request.settings, columns="union")
    report = execute(replace(request, settings=union, resumed=True), [Watch()], RunControl())
    assert (report.status, report.items_succeeded) == (RunStatus.COMPLETED, 5 - 1)
    found = _rows(request)
    assert [list(row) for row in found] == [["a", "b", "c"]] * 8
    assert [row["c"] or None for row in found] == [None] * 4 + [found[4]["c"]] * 2 + [None] * 2
    assert (found[4]["a"] in ("3", 3), float(found[4]["c"]), found[4]["b"] or None) == (
        True,
        0.5,
        None,
    )
    account(request.run_folder, request.output_folder).check()


def test_a_result_that_the_format_cannot_hold_fails_its_mini_batch(tmp_path):
    code = "def run(mini_batch):\n    return [float(open(mini_batch[0]).read()) / 0.5 or {1, 2}]\n"
    run = run_request(
        make_request(
            tmp_path, code, files=3, target="inline", append_row_format="jsonl", run_max_try=1
        )
    )
    assert (run.report.succeeded, run.report.failed) == (2, 1)
    assert run.output == b"2.0\n4.0\n"
    message = run.report.errors[0].message
    assert "run() returned a value of type set, {1, 2}, which JSON can't hold" in message


def test_a_parquet_file_has_one_schema_or_the_run_says_which_mini_batches_differ(tmp_path):
    code = """
    def run(mini_batch):
        n = int(open(mini_batch[0]).read())
        return [{"n": n if n < 3 else n / 2, "note": None}]
    """
    run = run_request(
        make_request(tmp_path, code, files=5, target="inline", append_row_format="parquet")
    )
    assert run.report.status is RunStatus.FAILED
    assert run.report.message.startswith(
        "run() returned other columns for mini-batch 3 than for mini-batch 0, and a Parquet file "
        "has the same in all its row groups: column 'n' is double in 3, int64 in 0. Give each "
    )
    assert run.output is None


def test_a_column_of_nulls_takes_the_type_of_other_mini_batches(tmp_path):
    code = """
    def run(mini_batch):
        n = int(open(mini_batch[0]).read())
        return [{"a": "text" if n == 1 else None, "b": True if n == 2 else None, "c": None}]
    """
    run = run_request(
        make_request(tmp_path, code, files=3, target="inline", append_row_format="parquet")
    )
    assert run.report.status is RunStatus.COMPLETED
    file = pq.ParquetFile(io.BytesIO(run.output))
    assert [str(field.type) for field in file.schema_arrow] == ["string", "bool", "null"]
    assert file.read().to_pylist() == [
        {"a": None, "b": None, "c": None},
        {"a": "text", "b": None, "c": None},
        {"a": None, "b": True, "c": None},
    ]
