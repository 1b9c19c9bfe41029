"""An object store that fails for a while, for ever, slowly, or in the middle of an answer."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from daskrun.core.events import Note
from daskrun.core.report import RunStatus
from daskrun.engine.driver import RunControl, execute
from daskrun.engine.nodes import output_of
from tests.flaky import Break, FlakyProxy
from tests.running import Watch, make_request
from tests.s3 import KEY, SECRET

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from daskrun.core.report import Report
    from daskrun.engine.request import StepRequest
    from tests.s3 import Bucket

WIDE = "def run(m): return [open(path).read().rjust(100_000, '.') for path in m]\n"
EXPECTED = b"".join(str(n).rjust(100_000, ".").encode() + b"\n" for n in range(6))
OUTPUT = "out/parallel_run_step.txt"


@pytest.fixture
def proxy(bucket: Bucket) -> Iterator[FlakyProxy]:
    with FlakyProxy(bucket.endpoint) as proxy:
        yield proxy


def request_to(tmp: Path, bucket: Bucket, endpoint: str = "", **more: Any) -> StepRequest:
    """Ask for a run of six wide rows whose output goes to the bucket, by this way."""
    options = {**bucket.options, "endpoint_url": endpoint or bucket.endpoint, **more}
    request = replace(
        make_request(tmp, WIDE, files=6, target="inline"),
        output_folder=None,
        output_url=f"{bucket.url}/out",
        output_options=options,
    )
    place = output_of(request)
    assert place is not None
    place.prepare(request.settings.append_row_file_name, overwrite=False)
    return request


def drive(request: StepRequest) -> tuple[Report, Watch]:
    watch = Watch()
    return execute(request, [watch], RunControl()), watch


def check_complete(report: Report, watch: Watch, bucket: Bucket) -> None:
    """See that nothing is missing, there twice, charged, or left behind."""
    assert report.status is RunStatus.COMPLETED, report.message
    assert [(o.attempt, o.status) for o in watch.attempts] == [(1, 0)] * 6
    assert bucket.get(OUTPUT) == EXPECTED
    assert bucket.keys() == [OUTPUT]
    assert bucket.uploads() == 0


@pytest.mark.slow
@pytest.mark.parametrize("status", [500, 503])
@pytest.mark.parametrize("part", ["_daskrun/run1", OUTPUT])
def test_a_store_that_fails_for_a_while_is_asked_again(
    tmp_path: Path, bucket: Bucket, status: int, part: str
) -> None:
    request = request_to(tmp_path, bucket)
    bucket.fail("PUT", part, count=2, status=status)
    check_complete(*drive(request), bucket)
    assert len([a for a in bucket.asked("PUT", part) if a.status == status]) == 2


@pytest.mark.slow
def test_what_is_asked_again_is_told(
    tmp_path: Path, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    once = {"config_kwargs": {"retries": {"total_max_attempts": 1}}}
    request = request_to(tmp_path, bucket, **once)
    monkeypatch.setattr("s3fs.core.S3FileSystem.retries", 1)  # else it hides two failures
    monkeypatch.setattr("daskrun.storage.retry.FIRST_DELAY", 0.01)
    bucket.fail("PUT", "_daskrun/run1", count=1, status=503)
    report, watch = drive(request)
    check_complete(report, watch, bucket)
    begun, ended = [each.text for each in watch.of(Note) if "_daskrun/run1" in each.text]
    assert f"can't write {bucket.url}/out/_daskrun/run1/" in begun
    assert begun.endswith("It is tried again, up to 5 times")
    assert "the store has answered after" in ended
    assert report.warnings == ()


def test_a_store_that_answers_slowly_is_waited_for(tmp_path: Path, bucket: Bucket) -> None:
    request = request_to(tmp_path, bucket)
    bucket.fail("PUT", "_daskrun/run1", count=2, seconds=0.5)
    check_complete(*drive(request), bucket)


@pytest.mark.parametrize(
    "ends",
    [Break(sent=20_000, marked=b"PUT ", times=2), Break(received=20_000, marked=b"GET ", times=2)],
    ids=["upload", "download"],
)
def test_a_transfer_that_is_cut_off_is_made_again(
    tmp_path: Path, bucket: Bucket, proxy: FlakyProxy, ends: Break
) -> None:
    request = request_to(tmp_path, bucket, proxy.endpoint)
    proxy.breaks(replace(ends))
    check_complete(*drive(request), bucket)
    assert proxy.broken == 2


@pytest.mark.slow
def test_a_store_that_fails_for_ever_ends_the_run(tmp_path: Path, bucket: Bucket) -> None:
    # botocore's own patience is no concern of this test: each of its tries would have three
    request = request_to(tmp_path, bucket, config_kwargs={"retries": {"total_max_attempts": 1}})
    bucket.fail("PUT", "_daskrun/run1", count=10**6, status=500)
    report, watch = drive(request)
    assert report.status is RunStatus.FAILED
    assert {o.status for o in watch.attempts} <= {0}
    assert f"can't write {bucket.url}/out/_daskrun/run1/" in report.message
    assert "(InternalError, HTTP status 500)" in report.message
    assert report.message.endswith("then go on with run.resume().")
    for secret in (KEY, SECRET):
        assert secret not in report.message
    found = bucket.keys()
    assert OUTPUT not in found
