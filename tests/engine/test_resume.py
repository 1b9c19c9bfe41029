"""A driver that goes on where an earlier one ended: what is kept, and what is done again."""

from __future__ import annotations

import json
import os
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from daskrun.core.events import BundleReturned, NodeReady
from daskrun.core.report import RunStatus
from daskrun.data import Dataset
from daskrun.data.tabular.planning.table_plan import TablePlan
from daskrun.engine.driver import RunControl, execute
from daskrun.engine.past import read_past
from daskrun.output.assembly import file_assembler as finalize
from daskrun.output.folder import temporary_file
from daskrun.script.node_folders import base_folder, clear_leftovers
from daskrun.storage.journal import Journal
from tests.running import Watch, kill_driver_at, lines, make_request, wait_until_nothing_is_left

if TYPE_CHECKING:
    from pathlib import Path

    from daskrun.core.events import Event
    from daskrun.core.report import Report
    from daskrun.engine.request import StepRequest

pytestmark = pytest.mark.usefixtures("forks")

CALLS = """
import os
def run(mini_batch, context):
    with open({calls!r}, "a") as file:
        file.write(f"{{context.minibatch_index}}\\n")
    {body}
    return [open(path).read() for path in mini_batch]
"""


def script(tmp: Path, body: str = "pass") -> str:
    return CALLS.format(calls=str(tmp / "calls"), body=body)


def calls(tmp: Path) -> Counter[int]:
    path = tmp / "calls"
    return Counter(map(int, path.read_text().split())) if path.exists() else Counter()


def output(request: StepRequest) -> bytes | None:
    assert request.output_folder is not None
    path = request.output_folder / request.settings.append_row_file_name
    return path.read_bytes() if path.exists() else None


def drive(request: StepRequest, watch: Watch | None = None) -> Report:
    report = execute(request, [watch or Watch()], RunControl())
    assert wait_until_nothing_is_left() == []
    return report


def killed(request: StepRequest, kill_at: str) -> None:
    """Have a driver killed at a point of the commit."""
    kill_driver_at(request, kill_at)
    clear_leftovers(base_folder())  # as the next run would, if it had anything to run


def resumed(request: StepRequest, **changes: Any) -> StepRequest:
    return replace(request, resumed=True, **changes)


def outcomes(request: StepRequest) -> list[list[Any]]:
    return [
        o for r in Journal.read(request.run_folder / "journal", "bundle") for o in r["outcomes"]
    ]


@pytest.mark.parametrize(
    ("point", "again"),
    [
        ("written:1", True),
        ("journalled:1", False),
        ("counted:1", False),
        ("finalizing", False),
        ("renamed", False),
        ("finalized", False),
        ("swept", False),
    ],
)
def test_a_driver_killed_at_any_step_of_the_commit(tmp_path: Path, point: str, again: bool) -> None:
    request = make_request(tmp_path, script(tmp_path), files=40, target="inline")
    killed(request, point)
    before = calls(tmp_path)
    committed = {o[0] for o in outcomes(request)}
    late = point in ("finalizing", "renamed", "finalized", "swept")
    assert (len(committed) == 40) is late

    watch = Watch()
    report = drive(resumed(request), watch)
    assert report.status is RunStatus.COMPLETED
    assert (report.succeeded, report.attempts, report.items) == (40, 40, 40)
    assert output(request) == lines(range(40))
    after = calls(tmp_path)
    assert {n for n in after if after[n] > before[n]} == set(range(40)) - committed
    assert any(count > 1 for count in after.values()) is again
    assert request.output_folder is not None
    assert [path.name for path in request.output_folder.iterdir()] == ["parallel_run_step.txt"]
    if late:
        assert not watch.of(NodeReady)  # nothing was left to be run


def test_what_is_left_of_a_torn_record_is_dropped(tmp_path: Path) -> None:
    request = make_request(tmp_path, script(tmp_path), files=60, target="inline")
    killed(request, "counted:1")
    journal = request.run_folder / "journal"
    whole = outcomes(request)
    data = journal.read_bytes()
    journal.write_bytes(data[:-7])
    assert len(outcomes(request)) < len(whole)
    report = drive(resumed(request))
    assert report.status is RunStatus.COMPLETED
    assert (report.succeeded, report.attempts) == (60, 60)
    assert output(request) == lines(range(60))


@pytest.mark.parametrize("first", [True, False])
def test_what_is_behind_a_damaged_record_is_done_again_and_told(
    tmp_path: Path, first: bool
) -> None:
    request = make_request(tmp_path, script(tmp_path), files=60, target="inline")
    killed(request, "counted:3")
    journal = request.run_folder / "journal"
    records = journal.read_bytes().splitlines(keepends=True)
    damaged = 0 if first else len(records) - 2
    at = sum(map(len, records[:damaged]))
    with journal.open("r+b") as file:
        file.seek(at + 20)
        file.write(b"?")
    behind, nbytes = len(records) - damaged - 1, sum(map(len, records[damaged:]))
    kept = {o[0] for o in outcomes(request)}
    before = calls(tmp_path)

    killed(resumed(request), "counted:1")  # and it is told again by whoever goes on
    report = drive(resumed(request))
    assert report.status is RunStatus.COMPLETED
    assert (report.succeeded, report.attempts) == (60, 60)
    assert output(request) == lines(range(60))
    [warning] = report.warnings
    assert f"damaged at byte {at:,}: the {behind} whole records behind it" in warning
    assert f"({nbytes:,} bytes) were passed over" in warning
    again = {n for n, count in calls(tmp_path).items() if count > before[n]}
    assert again == set(range(60)) - kept


def test_what_readers_warned_of_is_told_by_the_next_driver_once(tmp_path: Path) -> None:
    rows = [*map(str, range(2000)), "", *map(str, range(2000))]  # in no sample
    data = tmp_path / "rows.csv"
    data.write_text("a,b\n" + "".join(f"{row},{'x' * 400}\n" for row in rows))
    code = CALLS.format(calls=str(tmp_path / "calls"), body="return mini_batch[['a']]")

    def plan() -> TablePlan:
        dataset = Dataset.Tabular.from_delimited_files(str(data))
        return TablePlan([("t", dataset.resolve())], 100_000)

    request = make_request(tmp_path, code, plan=plan(), size=100_000, target="inline")
    killed(request, "finalizing")
    [told] = Journal.read(request.run_folder / "journal", "warnings")
    report = drive(resumed(request, plan=plan()))
    assert report.status is RunStatus.COMPLETED
    assert list(report.warnings) == told["texts"]
    assert "'a'" in report.warnings[0]
    assert report.message.endswith("1 warning: see job_result.txt.")
    assert len(list(Journal.read(request.run_folder / "journal", "warnings"))) == 1


def test_how_many_mini_batches_there_are_is_noted_once_that_is_known(tmp_path: Path) -> None:
    data = tmp_path / "rows.csv"
    data.write_text("a,b\n" + "".join(f'{n},"x"\n' for n in range(4000)))
    code = CALLS.format(calls=str(tmp_path / "calls"), body="return mini_batch[['a']]")

    def plan() -> TablePlan:
        dataset = Dataset.Tabular.from_delimited_files(str(data))
        return TablePlan([("t", dataset.resolve())], 1000)

    request = make_request(tmp_path, code, plan=plan(), size=1000, target="inline")
    assert not request.plan.complete
    killed(request, "finalizing")
    report = drive(resumed(request, plan=plan()))
    sizes = [
        (entry["kind"], entry["mini_batches"])
        for entry in Journal.read(request.run_folder / "journal", "run", "planned", "finalizing")
    ]
    total = report.total
    assert sizes == [("run", None), ("planned", total), *[("finalizing", total)] * 2]


@pytest.mark.parametrize("how", ["missing", "short"])
def test_rows_whose_part_is_gone_are_made_again(tmp_path: Path, how: str) -> None:
    request = make_request(tmp_path, script(tmp_path), files=60, target="inline")
    killed(request, "counted:1")
    assert request.output_folder is not None
    [part] = [
        p for p in (request.output_folder / "_daskrun" / "run1").iterdir() if p.stat().st_size
    ]
    committed = sorted(o[0] for o in outcomes(request))
    gone = committed
    if how == "missing":
        part.unlink()
    else:
        os.truncate(part, 3)  # "0\n1"
        gone = committed[1:]
    killed(resumed(request), "finalizing")  # and once more: what was lost is not lost twice
    report = drive(resumed(request))
    assert report.status is RunStatus.COMPLETED
    assert (report.succeeded, report.attempts, report.items) == (60, 60, 60)
    assert output(request) == lines(range(60))
    assert {n for n, count in calls(tmp_path).items() if count > 1} >= set(gone)
    records = list(Journal.read(request.run_folder / "journal", "resumed"))
    assert [r["lost"] for r in records] == [gone, []]


def test_tries_are_counted_over_all_drivers(tmp_path: Path) -> None:
    body = "assert context.minibatch_index % 10 != 5, 'five'"
    request = make_request(
        tmp_path, script(tmp_path, body), files=40, target="inline", run_max_try=3
    )
    killed(request, "counted:1")
    killed(resumed(request), "journalled:1")
    report = drive(resumed(request))
    assert report.status is RunStatus.COMPLETED
    assert (report.succeeded, report.failed, report.items_failed) == (36, 4, 4)
    assert (report.attempts, report.retried) == (36 + 12, 8)
    assert [(e.message, e.count) for e in report.errors] == [("AssertionError: five", 12)]
    assert "assert context" in report.errors[0].text  # the traceback, from the journal
    found = Counter((o[0], o[1]) for o in outcomes(request))
    assert set(found.values()) == {1}
    assert {o for o in found if o[0] % 10 == 5} == {
        (n, t) for n in (5, 15, 25, 35) for t in (1, 2, 3)
    }
    assert output(request) == lines(n for n in range(40) if n % 10 != 5)


def test_what_failed_is_tried_again_where_that_is_asked(tmp_path: Path) -> None:
    good = tmp_path / "good"
    body = f"assert context.minibatch_index % 10 != 5 or os.path.exists({str(good)!r}), 'five'"
    request = make_request(
        tmp_path,
        script(tmp_path, body),
        files=40,
        target="inline",
        run_max_try=2,
        error_threshold=0,
    )
    first = drive(request)
    assert first.status is RunStatus.FAILED
    assert first.failed
    again = drive(resumed(request))  # too many have failed already
    assert (again.status, again.failed, again.attempts) == (
        RunStatus.FAILED,
        first.failed,
        first.attempts,
    )
    assert again.message == first.message
    good.touch()
    watch = Watch()
    report = drive(resumed(request, retry_failed=True), watch)
    assert report.status is RunStatus.COMPLETED
    assert (report.succeeded, report.failed, report.items_failed) == (40, 0, 0)
    assert output(request) == lines(range(40))
    assert min(o.attempt for o in watch.attempts if o.index == 5) == 1
    assert sum(o.index == 5 for o in watch.attempts) == 1


@pytest.mark.parametrize("point", ["renamed", "finalized", "swept"])
@pytest.mark.parametrize("asked", ["retry_failed", "run_max_try"])
def test_what_failed_gets_into_an_output_that_is_there_only_where_that_is_asked(
    tmp_path: Path, point: str, asked: str
) -> None:
    good = tmp_path / "good"
    body = f"assert context.minibatch_index != 7 or os.path.exists({str(good)!r}), 'seven'"
    code = script(tmp_path, body)
    request = make_request(tmp_path, code, files=20, target="inline", run_max_try=1)
    killed(request, point)
    good.touch()
    changes: dict[str, Any] = {"retry_failed": True}
    if asked == "run_max_try":
        changes = {"settings": replace(request.settings, run_max_try=3)}
    report = drive(resumed(request, **changes))
    again = asked == "retry_failed"
    assert (report.status, report.succeeded) == (RunStatus.COMPLETED, 19 + again)
    assert output(request) == lines(n for n in range(20) if n != 7 or again)
    assert calls(tmp_path) == {n: 1 + (again and n == 7) for n in range(20)}


@pytest.mark.parametrize("point", ["journalled:2", "finalizing", "renamed", "finalized", "swept"])
def test_a_driver_killed_while_it_reopens_an_output_loses_nothing(
    tmp_path: Path, point: str
) -> None:
    good = tmp_path / "good"
    body = f"assert context.minibatch_index % 3 or os.path.exists({str(good)!r}), 'three'"
    code = script(tmp_path, body)
    request = make_request(tmp_path, code, files=20, target="inline", run_max_try=1)
    assert drive(request).failed == 7
    good.touch()
    killed(resumed(request, retry_failed=True), point)
    report = drive(resumed(request))
    assert (report.status, report.succeeded) == (RunStatus.COMPLETED, 20)
    assert output(request) == lines(range(20))
    assert not (request.output_folder / "_daskrun").exists()


def test_a_canceled_run_goes_on_and_is_canceled_again(tmp_path: Path) -> None:
    slow = "import time; time.sleep(0.02)"
    request = make_request(tmp_path, script(tmp_path, slow), files=60, target="inline")
    for turn in range(2):
        control = RunControl()

        def cancel(event: Event, control: RunControl = control) -> None:
            if isinstance(event, BundleReturned):
                control.cancel("enough")

        report = execute(replace(request, resumed=turn > 0), [Watch(cancel)], control)
        assert report.status is RunStatus.CANCELED
        assert report.unfinished > 0
    report = drive(resumed(request))
    assert (report.status, report.succeeded) == (RunStatus.COMPLETED, 60)
    assert set(calls(tmp_path).values()) == {1}
    assert output(request) == lines(range(60))


def test_a_driver_killed_before_its_first_record_has_the_run_begun_anew(tmp_path: Path) -> None:
    request = make_request(tmp_path, script(tmp_path), files=5, target="inline")
    (request.run_folder / "journal").write_bytes(b"0000")
    assert drive(resumed(request)).status is RunStatus.COMPLETED
    assert output(request) == lines(range(5))


@pytest.mark.parametrize("wide", [1, 2_000_000])
def test_rows_that_were_changed_are_made_again_on_resume(tmp_path: Path, wide: int) -> None:
    body = f"return [open(p).read().ljust({wide}) for p in mini_batch]"
    code = CALLS.format(calls=str(tmp_path / "calls"), body=body)
    request = make_request(tmp_path, code, files=4, target="inline")
    killed(request, "finalizing")
    assert request.output_folder is not None
    [part] = request.output_folder.glob("_daskrun/run1/inline-*")
    with part.open("r+b") as file:
        file.seek(2 * wide)
        file.write(b"??")  # also the line end of mini-batch 1
    report = drive(resumed(request))
    assert (report.status, report.succeeded, report.attempts) == (RunStatus.COMPLETED, 4, 4)
    assert calls(tmp_path) == {0: 1, 1: 2, 2: 1, 3: 1}
    assert output(request) == b"".join(str(n).ljust(wide).encode() + b"\n" for n in range(4))


@pytest.mark.parametrize("at", [40, -3])
def test_a_changed_byte_of_parquet_is_found_in_head_and_body(tmp_path: Path, at: int) -> None:
    pytest.importorskip("pyarrow")
    request = make_request(
        tmp_path,
        script(tmp_path),
        files=4,
        target="inline",
        append_row_format="parquet",
        append_row_file_name="out.parquet",
    )
    killed(request, "finalizing")
    assert request.output_folder is not None
    [part] = request.output_folder.glob("_daskrun/run1/inline-*")
    with part.open("r+b") as file:
        file.seek(at, 0 if at > 0 else 2)
        byte = file.read(1)
        file.seek(-1, 1)
        file.write(bytes([byte[0] ^ 1]))
    report = drive(resumed(request))
    assert (report.status, report.succeeded, report.attempts) == (RunStatus.COMPLETED, 4, 4)
    assert sorted(calls(tmp_path).values()) == [1, 1, 1, 2]


def test_a_record_that_is_there_twice_counts_once(tmp_path: Path) -> None:
    code = script(tmp_path, "if context.minibatch_index == 1: 1 / 0")
    request = make_request(tmp_path, code, files=8, target="inline", run_max_try=3)
    killed(request, "finalizing")
    journal = request.run_folder / "journal"
    *records, finalizing = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join([*records, *records, finalizing]))
    report = drive(resumed(request))
    assert (report.status, report.succeeded, report.failed) == (RunStatus.COMPLETED, 7, 1)
    assert (report.attempts, report.items) == (7 + 3, 8)
    assert output(request) == lines([n for n in range(8) if n != 1])


def test_another_file_of_the_outputs_name_is_not_taken_for_it(tmp_path: Path) -> None:
    request = make_request(tmp_path, script(tmp_path), files=10, target="inline")
    killed(request, "finalizing")
    assert request.output_folder is not None
    target = request.output_folder / "parallel_run_step.txt"
    target.write_bytes(lines(range(10)))  # the same bytes, but not ours
    report = drive(resumed(request))
    assert report.status is RunStatus.FAILED
    assert "a file of that name appeared" in report.message
    target.unlink()
    assert drive(resumed(request)).status is RunStatus.COMPLETED
    assert output(request) == lines(range(10))
    assert not temporary_file(request.output_folder / "_daskrun" / "run1", target.parent).exists()


def test_a_mark_ends_with_the_hidden_file_that_it_is_of(tmp_path: Path) -> None:
    request = make_request(tmp_path, script(tmp_path), files=10, target="inline")
    killed(request, "finalizing")
    journal = request.run_folder / "journal"
    past = read_past(journal)
    assert past is not None
    assert past.mark
    assert drive(resumed(request)).status is RunStatus.COMPLETED
    told = [record["kind"] for record in Journal.read(journal)]
    # another file may have its inode by then
    assert told[told.index("finalizing") :][:2] == ["finalizing", "unfinished"]


def test_an_output_that_was_there_when_publishing_failed_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: object) -> None:
        raise OSError(5, "Input/output error")

    request = make_request(tmp_path, script(tmp_path), files=5, target="inline", overwrite=True)
    with monkeypatch.context() as patch:
        patch.setattr(finalize, "sync_folder", refuse)
        assert "Input/output error" in drive(request).message
    assert output(request) == lines(range(5))
    again = drive(resumed(request, settings=replace(request.settings, overwrite=False)))
    assert (again.status, again.succeeded) == (RunStatus.COMPLETED, 5)
    assert set(calls(tmp_path).values()) == {1}


def test_a_plan_that_is_another_is_refused(tmp_path: Path) -> None:
    request = make_request(tmp_path, script(tmp_path), files=60, target="inline")
    killed(request, "counted:1")
    other = make_request(tmp_path / "other", files=60, size=2)
    report = drive(resumed(request, plan=other.plan))
    assert report.status is RunStatus.FAILED
    assert "mini-batch 0 is not what it was" in report.message
    assert drive(resumed(request)).succeeded == 60


def test_cuts_that_surveys_found_are_not_looked_for_again(tmp_path: Path) -> None:
    data = tmp_path / "tables"
    data.mkdir()
    text = "a,b\n" + "".join(f'{n},"x\ny {n}"\n' for n in range(4000))
    for name in ("one.csv", "two.csv"):
        (data / name).write_text(text)
    code = CALLS.format(calls=str(tmp_path / "calls"), body="return mini_batch[['a']]")

    def plan() -> TablePlan:
        dataset = Dataset.Tabular.from_delimited_files(str(data))
        return TablePlan([("t", dataset.resolve())], 4096)

    request = make_request(tmp_path, code, plan=plan(), size=4096, target="inline")
    killed(request, "counted:1")
    journal = request.run_folder / "journal"
    assert len(list(Journal.read(journal, "survey"))) > 0
    report = drive(resumed(request, plan=plan()))
    assert report.status is RunStatus.COMPLETED
    assert report.items == report.items_succeeded == 8000
    assert output(request) == b"".join(b"%d\n" % n for n in range(4000)) * 2
    keys = Counter(json.dumps(r["key"]) for r in Journal.read(journal, "survey"))
    assert set(keys.values()) == {1}


def test_a_count_that_ended_the_run_is_made_again(tmp_path: Path) -> None:
    data = tmp_path / "tables"
    data.mkdir()
    for name in ("one.csv", "two.csv", "three.csv"):
        (data / name).write_text("a,b\n" + "".join(f'{n},"x"\n' for n in range(400)))

    def plan() -> TablePlan:
        dataset = Dataset.Tabular.from_delimited_files(str(data)).skip(500)
        return TablePlan([("t", dataset.resolve())], 2048)

    code = CALLS.format(calls=str(tmp_path / "calls"), body="return mini_batch[['a']]")
    request = make_request(
        tmp_path, code, plan=plan(), size=2048, target="inline", error_threshold=-1
    )
    (data / "two.csv").rename(tmp_path / "aside.csv")
    report = drive(request)
    assert report.status is RunStatus.FAILED
    assert "some can't be read" in report.message
    (tmp_path / "aside.csv").rename(data / "two.csv")
    report = drive(resumed(request, plan=plan()))
    assert report.status is RunStatus.COMPLETED, report.message
    rows = [n for _ in range(3) for n in range(400)][500:]
    assert output(request) == b"".join(b"%d\n" % n for n in rows)


@pytest.mark.slow
def test_real_processes_go_on_too(tmp_path: Path) -> None:
    slow = "import time; time.sleep(0.002)"
    request = make_request(tmp_path, script(tmp_path, slow), files=200, process_count_per_node=2)
    killed(request, "counted:5")
    done = {o[0] for o in outcomes(request)}
    report = drive(resumed(request))
    assert (report.status, report.succeeded) == (RunStatus.COMPLETED, 200)
    assert output(request) == lines(range(200))
    assert {calls(tmp_path)[n] for n in done} == {1}
