"""Runs over tables: what is planned by looking, read in parts, and what goes wrong with data."""

from __future__ import annotations

import gzip
import io
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from running import make_request, run_request

from daskrun.core.events import BundleLost, BundleReturned
from daskrun.core.outcome import Failure, Found, Outcome
from daskrun.core.report import RunStatus
from daskrun.data import Dataset
from daskrun.data.file_plan import FilePlan
from daskrun.data.tabular.planning.table_plan import TablePlan
from daskrun.engine.surveys import Surveys

pytestmark = pytest.mark.usefixtures("own_temporary_folder")

ROWS = """
def run(frame):
    assert list(frame.index) == list(range(len(frame)))
    return [repr(tuple(row)) for row in frame.itertuples(index=False)]
"""
CONTEXT = """
def run(frame, context):
    first = context.global_row_index_lower_bound
    values = context.partition_key_value
    return [f"{context.minibatch_index} {context.dataset} {first} {values}"]
"""


def plan_of(*datasets, size=4000, keys=None):
    return TablePlan([(f"t{n}", each.resolve()) for n, each in enumerate(datasets)], size, keys)


def run_plan(tmp_path, plan, code=ROWS, **options):
    options.setdefault("process_count_per_node", 2)
    return run_request(make_request(tmp_path, code, plan=plan, **options))


def a_frame(rows=400):
    chance = np.random.default_rng(3)
    texts = ["plain", 'with "quotes"', "two\nlines", "a,b", 'end"', "\n\n", "x" * 70]
    return pd.DataFrame(
        {
            "number": chance.integers(0, 1000, rows),
            "text": chance.choice(texts, rows),
            "value": chance.random(rows).round(3),
        }
    )


def expected(frame):
    return "".join(f"{tuple(row)!r}\n" for row in frame.itertuples(index=False)).encode()


@pytest.mark.slow
@pytest.mark.parametrize("target", ["inline", None])
def test_quoted_line_breaks_are_surveyed_once_and_each_row_is_there_once(tmp_path, target):
    frame = a_frame()
    (tmp_path / "in").mkdir()
    frame[:300].to_csv(tmp_path / "in" / "a.csv", index=False)
    frame[300:].to_csv(tmp_path / "in" / "b.csv", index=False)
    plan = plan_of(Dataset.Tabular.from_delimited_files(str(tmp_path / "in")), size=1000)
    assert not plan.complete
    done = run_plan(tmp_path, plan, target=target)
    assert done.report.status is RunStatus.COMPLETED
    assert done.output == expected(frame)
    assert done.report.succeeded == plan.known > 8
    keys = [tuple(e["key"][:3]) for e in done.journal if e["kind"] == "survey"]
    assert sorted(keys) == [(0, "look", "a.csv"), (0, "look", "b.csv")]


def put(bucket, frame, kind, group=37):
    buffer = io.BytesIO()
    if kind == "parquet":
        frame.to_parquet(buffer, row_group_size=group)
    elif kind == "json":
        frame.to_json(buffer, orient="records", lines=True)
    else:
        frame.to_csv(buffer, index=False)
    data = buffer.getvalue()
    name = {"csv": "x.csv", "gz": "x.csv.gz", "json": "x.jsonl", "parquet": "x.parquet"}[kind]
    bucket.put(f"in/{name}", gzip.compress(data) if kind == "gz" else data)
    return len(data)


@pytest.mark.slow
@pytest.mark.parametrize("target", ["inline", None])
@pytest.mark.parametrize("kind", ["csv", "gz", "json", "parquet"])
def test_tables_on_s3_are_read_by_ranges(tmp_path, bucket, kind, target):
    frame = a_frame(3000)
    put(bucket, frame, kind)
    place = SimpleNamespace(
        storage_options=bucket.options, url=lambda relative: f"{bucket.url}/{relative}"
    )
    make = {
        "json": Dataset.Tabular.from_json_lines_files,
        "parquet": Dataset.Tabular.from_parquet_files,
    }.get(kind, Dataset.Tabular.from_delimited_files)
    plan = plan_of(make((place, "in/")), size=8000)
    done = run_plan(tmp_path, plan, target=target)
    assert done.report.status is RunStatus.COMPLETED, done.report
    assert done.output == expected(frame)
    assert done.report.succeeded > 2
    gets = [ask for ask in bucket.asked("GET") if "/in/" in ask.path]
    assert gets
    if kind != "gz":  # what is compressed can only be had whole, once on a node
        assert [ask for ask in gets if not ask.range] == []


@pytest.mark.slow
def test_of_parquet_on_s3_only_the_columns_that_are_kept_are_fetched(tmp_path, bucket):
    chance = np.random.default_rng(1)
    frame = a_frame(2000).assign(wide=[chance.bytes(500).hex() for _ in range(2000)])
    size = put(bucket, frame, "parquet", 1000)  # what lies close together is fetched at once
    place = SimpleNamespace(storage_options=bucket.options, url=lambda path: f"{bucket.url}/{path}")
    kept = ["number", "text", "value"]
    dataset = Dataset.Tabular.from_parquet_files((place, "in/x.parquet")).keep_columns(kept)
    plan = plan_of(dataset, size=100_000)
    before = len(bucket.asked("GET"))
    done = run_plan(tmp_path, plan, target="inline")
    assert done.output == expected(frame[kept])
    fetched = 0
    for ask in bucket.asked("GET")[before:]:
        first, last = ask.range.removeprefix("bytes=").split("-")
        fetched += int(last) - int(first) + 1
    assert 0 < fetched < size / 2, f"{fetched} of {size} bytes"


def test_context_tells_rows_before_and_partition_values(tmp_path):
    frame = a_frame(50)
    for key in ("blue", "red"):
        (tmp_path / "in" / key).mkdir(parents=True)
        frame.to_parquet(tmp_path / "in" / key / "0.parquet")
        frame[:7].to_parquet(tmp_path / "in" / key / "1.parquet")
    path = str(tmp_path / "in")
    dataset = Dataset.Tabular.from_parquet_files(path, partition_format="{color}/{n}.parquet")
    done = run_plan(tmp_path, plan_of(dataset, size=1 << 20), CONTEXT, target="inline")
    firsts = [line.split()[2] for line in done.output.decode().splitlines()]
    assert firsts == ["0", "50", "57", "107"]
    done = run_plan(
        tmp_path, plan_of(dataset, keys=["color"]), CONTEXT, target="inline", run_id="r2",
        append_row_file_name="two.txt",
    )  # fmt: skip
    assert done.output.decode().splitlines() == [
        "0 t0 None {'color': 'blue'}",
        "1 t0 None {'color': 'red'}",
    ]


def test_files_of_a_partition_are_one_mini_batch(tmp_path):
    for name in ("a/0.txt", "b/0.txt", "a/1.txt", "b/c/2.txt"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_text(name)
    dataset = Dataset.File.from_files(str(tmp_path / "in" / "*" / "*.txt"),
                                      partition_format="{top}/{n}.txt")  # fmt: skip
    plan = FilePlan([("files", dataset)], 1, partition_keys=["top"])
    code = """
    def run(paths, context):
        read = " ".join(open(path).read() for path in paths)
        return [f"{context.partition_key_value} {read}"] * len(paths)
    """
    done = run_plan(tmp_path, plan, code, target="inline")
    assert done.report.items == 3
    assert done.output.decode().splitlines() == [
        "{'top': 'a'} a/0.txt a/1.txt", "{'top': 'a'} a/0.txt a/1.txt", "{'top': 'b'} b/0.txt"
    ]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("target", ["inline", None])
def test_bad_rows_cost_their_mini_batch_and_are_named(tmp_path, target):
    lines = [f"{n},{n / 2}" for n in range(500)]
    lines[300] = "300,abc"
    lines[310] = "310,1,2"
    (tmp_path / "x.csv").write_text("a,b\n" + "\n".join(lines))
    plan = plan_of(Dataset.Tabular.from_delimited_files(str(tmp_path / "x.csv")), size=500)
    done = run_plan(tmp_path, plan, target=target, run_max_try=2)
    assert done.report.status is RunStatus.COMPLETED
    assert done.report.failed in (1, 2)
    first = done.report.errors[0]
    assert "x.csv" in first.message
    assert "312" in first.message or "302" in first.message  # the line, header and all
    rows = done.output.decode().splitlines()
    assert len(rows) == 500 - done.report.items_failed
    assert len(set(rows)) == len(rows)
    assert 0 < done.report.items_failed < 200


@pytest.mark.slow
@pytest.mark.parametrize("target", ["inline", None])
def test_what_a_quote_without_an_end_swallows_is_counted_by_its_lines(tmp_path, target):
    lines = [f"{n},text" for n in range(3000)]
    lines[1700] = '1700,"text'
    (tmp_path / "x.csv").write_text("a,b\n" + "\n".join(lines) + "\n")
    plan = plan_of(Dataset.Tabular.from_delimited_files(str(tmp_path / "x.csv")), size=5000)
    done = run_plan(tmp_path, plan, target=target, run_max_try=1, error_threshold=1300)
    assert done.report.status is RunStatus.COMPLETED
    assert (done.report.items_failed, done.report.items_succeeded) == (1300, 1700)
    assert done.output.count(b"\n") == 1700
    done = run_plan(tmp_path, plan_of(Dataset.Tabular.from_delimited_files(
        str(tmp_path / "x.csv")), size=5000), target=target, run_max_try=1, error_threshold=1299,
        run_id="run2", append_row_file_name="two.txt")  # fmt: skip
    assert done.report.status is RunStatus.FAILED


def test_a_run_without_rows_says_so(tmp_path):
    (tmp_path / "x.csv").write_text("a,b\n1,2\n")
    dataset = Dataset.Tabular.from_delimited_files(str(tmp_path / "x.csv"))
    for number, none in enumerate((dataset.filter(dataset["a"] > 5), dataset.take(0))):
        done = run_plan(tmp_path, plan_of(none), target="inline", run_id=f"run{number}",
                        append_row_file_name=f"{number}.txt")  # fmt: skip
        assert done.report.status is RunStatus.COMPLETED
        assert "the inputs have no items" in done.report.message


def test_what_is_small_only_as_it_is_packed_is_cut_all_the_same(tmp_path):
    frame = pd.DataFrame({"number": range(20_000), "text": "the same text in all of the rows"})
    packed = gzip.compress(frame.to_csv(index=False).encode())
    (tmp_path / "x.csv.gz").write_bytes(packed)
    dataset = Dataset.Tabular.from_delimited_files(str(tmp_path / "x.csv.gz"))
    done = run_plan(tmp_path, plan_of(dataset, size=len(packed) + 1), target="inline")
    assert done.report.succeeded > 8
    assert done.output == expected(frame)


@pytest.mark.slow
def test_an_integer_that_is_missing_later_is_said_once(tmp_path):
    lines = [str(n) for n in range(2000)]
    lines[1500] = lines[1620] = ""  # in two mini-batches, which two processes may have
    rows = "\n".join(f"{value},{'x' * 900}" for value in lines)  # so that no sample has it
    (tmp_path / "x.csv").write_text(f"a,b\n{rows}\n")
    plan = plan_of(Dataset.Tabular.from_delimited_files(str(tmp_path / "x.csv")), size=100_000)
    done = run_plan(tmp_path, plan)
    assert done.report.failed == 0
    (warning,) = done.report.warnings
    assert "'a'" in warning
    assert warning.endswith(("x.csv, line 1502.", "x.csv, line 1622."))
    assert done.report.message.endswith("1 warning: see job_result.txt.")
    # Another try would end the same: there is none.
    strict = Dataset.Tabular.from_delimited_files(str(tmp_path / "x.csv"), strict_types=True)
    done = run_plan(tmp_path, plan_of(strict, size=100_000), run_id="run2", run_max_try=3,
                    append_row_file_name="two.txt")  # fmt: skip
    assert done.report.failed == 2
    assert done.report.attempts == done.report.succeeded + 2
    assert "'a'" in done.report.errors[0].message


@pytest.mark.slow
@pytest.mark.parametrize("target", ["inline", None])
def test_a_line_break_in_quotes_ends_a_run_that_was_told_there_is_none(tmp_path, target):
    frame = a_frame(300)
    frame.to_csv(tmp_path / "x.csv", index=False)
    dataset = Dataset.Tabular.from_delimited_files(
        str(tmp_path / "x.csv"), support_multi_line=False
    )
    done = run_plan(tmp_path, plan_of(dataset, size=1000), target=target, run_max_try=1)
    assert done.report.status is RunStatus.FAILED
    assert "support_multi_line=True" in done.report.message
    assert done.output is None


def test_a_line_break_in_quotes_ends_the_run_also_in_its_last_mini_batch(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.csv").write_text("a,b\n1,x\n2,y\n")
    (tmp_path / "in" / "b.csv").write_text('a,b\n3,"two\nlines"\n')
    dataset = Dataset.Tabular.from_delimited_files(str(tmp_path / "in"), support_multi_line=False)
    done = run_plan(tmp_path, plan_of(dataset), target="inline", run_max_try=1)
    assert (done.report.succeeded, done.report.failed) == (1, 1)
    assert done.report.status is RunStatus.FAILED
    assert done.output is None


@pytest.mark.slow
def test_a_file_that_can_not_be_surveyed_is_one_failed_mini_batch(tmp_path):
    frame = a_frame(2000)
    (tmp_path / "in").mkdir()
    frame.to_csv(tmp_path / "in" / "a.csv", index=False)
    whole = gzip.compress(frame.to_csv(index=False).encode())
    (tmp_path / "in" / "b.csv.gz").write_bytes(whole[: len(whole) // 2])
    plan = plan_of(Dataset.Tabular.from_delimited_files(str(tmp_path / "in")), size=3000)
    done = run_plan(tmp_path, plan)
    assert done.report.failed == 1
    assert "b.csv.gz" in done.report.errors[0].message
    assert done.output == expected(frame)


class Surveyor:
    """Two surveys, of which the plan learns."""

    def __init__(self):
        self.left = [SimpleNamespace(number=n, descriptor=b"d", key=(n,)) for n in (0, 1)]
        self.learnt, self.lost = {}, {}

    def begin(self, most):
        given, self.left = self.left[:most], self.left[most:]
        return given

    def learn(self, number, found):
        self.learnt[number] = found

    def give_up(self, number, trouble):
        self.lost[number] = trouble


def outcome(index, attempt, status, told):
    return Outcome(index, attempt, status, 0, 0, -1, 0, 0, 0, 0.0, 0.0, 0.0, 0.0, told)


def test_surveys_come_back_are_tried_again_and_given_up():
    surveyor, notes = Surveyor(), []
    surveys = Surveys(SimpleNamespace(surveyor=surveyor, complete=False), 2, notes.append)
    first, second = (each.bundle for each in surveys.hand_out({"node": 1}))
    assert first.survey
    assert (first.number, second.number, first.entries) == (-1, -2, ((0, 1),))
    assert surveys.hand_out({"node": 1}) == []  # it owes two
    assert surveys.is_out(-1)
    assert not surveys.returned(BundleLost(-1, "gone", 0.0))
    assert not surveys.is_out(-1)
    [again] = (each.bundle for each in surveys.hand_out({"node": 1}))
    assert again.entries == ((0, 1),)  # lost, not tried
    back = (outcome(0, 1, 0, Found(7)),)
    assert surveys.returned(BundleReturned(again.number, None, back, 0.0, 0.0))
    assert (surveyor.learnt, len(notes)) == ({0: 7}, 1)
    failed = (outcome(1, 1, 6, Failure("torn")),)
    assert not surveys.returned(BundleReturned(second.number, None, failed, 0.0, 0.0))
    [third] = (each.bundle for each in surveys.hand_out({"node": 1}))
    assert third.entries == ((1, 2),)
    assert surveys.returned(BundleReturned(third.number, None, failed, 0.0, 0.0))
    assert surveyor.lost == {1: "torn"}
    assert not surveys.returned(BundleLost(-99, "unknown", 0.0))


@pytest.mark.slow
def test_what_the_schema_could_not_settle_is_in_the_report(tmp_path):
    (tmp_path / "x.csv").write_text("day,n\n01/02/2024,1\n03/04/2024,2\n")
    done = run_plan(
        tmp_path, plan_of(Dataset.Tabular.from_delimited_files(str(tmp_path / "x.csv")))
    )
    (warning,) = done.report.warnings
    assert "column 'day'" in warning


def test_an_error_in_the_data_is_told_without_what_the_reader_met(tmp_path):
    lines = "".join(f"{n},x\n" for n in range(500)) + "oops\n"
    (tmp_path / "x.csv").write_text(f"a,b\n{lines}")
    plan = plan_of(Dataset.Tabular.from_delimited_files(str(tmp_path / "x.csv"), validate=False))
    (error,) = run_plan(tmp_path, plan, run_max_try=1).report.errors
    assert error.text.strip() == f"daskrun.errors.{error.message}"
    assert "line 502" in error.message
