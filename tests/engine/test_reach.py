"""Places of a run that a worker can't reach: looked at before its node begins, and named."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from running import make_request, run_request

from daskrun.core.minibatch import PlanInput
from daskrun.core.report import RunStatus
from daskrun.engine.dask import reach
from daskrun.engine.dask.assignment import Assignment
from daskrun.engine.nodes import node_spec
from daskrun.script.messages import Unreachable
from daskrun.script.wire import encode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from daskrun.script.node_spec import NodeSpec

pytestmark = pytest.mark.usefixtures("own_temporary_folder")

NOBODY = 65534


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> NodeSpec:
    monkeypatch.setattr(reach, "_reached", set())
    return node_spec(make_request(tmp_path), "node000", 1)


def with_input(spec: NodeSpec, root: str, **options: Any) -> NodeSpec:
    inputs = (PlanInput("images", root, "://" in root, options),)
    return replace(spec, process=replace(spec.process, inputs=encode(inputs)))


@pytest.mark.parametrize(
    ("gone", "what"),
    [("run1", "the run's folder"), ("data10", "input 'numbers'"), ("out", "the output")],
)
def test_a_path_that_is_not_there_is_named_with_what_it_is(
    tmp_path: Path, spec: NodeSpec, gone: str, what: str
) -> None:
    assert reach.unreachable(spec, 0) is None
    (tmp_path / gone).rename(tmp_path / "elsewhere")
    found = reach.unreachable(spec, 0)
    assert found is not None
    assert found.what.startswith(what)
    assert f"{tmp_path / gone}" in reach.told(found)
    remedy = "Mount it there under that path, open to the worker's user, or keep it behind a URL"
    assert remedy in reach.told(found)


@pytest.fixture
def as_nobody() -> Iterator[None]:
    """Look as a user who owns nothing here."""
    if os.geteuid():
        pytest.skip("only root may look as another user")
    os.setresuid(NOBODY, NOBODY, 0)
    yield
    os.setresuid(0, 0, 0)


@pytest.mark.parametrize(
    ("closed", "mode", "told"),
    [
        ("run1", 0o000, "the run's folder in the workspace, {}/run1: user id 65534 may not write"),
        (
            "out/_daskrun/run1",
            0o755,
            "the output, {}/out/_daskrun/run1: user id 65534 may not write there",
        ),
        ("data10", 0o000, "input 'numbers', {}/data10: user id 65534 may not read there"),
        ("", 0o000, "the run's folder in the workspace, {}/run1: Permission denied (user id 65534"),
    ],
)
def test_a_path_that_the_user_of_a_worker_may_not_use_is_named(
    tmp_path: Path, request: pytest.FixtureRequest, closed: str, mode: int, told: str
) -> None:
    place = Path("/tmp") / f"daskrun-reach-{os.getpid()}"  # pytest's own is closed to others
    place.mkdir()
    request.addfinalizer(lambda: shutil.rmtree(place))
    spec = node_spec(make_request(place), "node000", 1)
    for folder in (place, *(each for each in place.rglob("*") if each.is_dir())):
        folder.chmod(0o777)
    (place / closed).chmod(mode)
    request.getfixturevalue("as_nobody")
    found = reach.unreachable(spec, 0)
    assert found is not None
    assert told.format(place) in reach.told(found)


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (ConnectionRefusedError("no"), "ConnectionRefusedError: no"),
        (ImportError("no s3fs"), "ImportError: no s3fs"),
        (
            type("EndpointConnectionError", (ConnectionError,), {})("x"),
            "EndpointConnectionError: x",
        ),
        (type("NoCredentialsError", (Exception,), {})("none"), "NoCredentialsError: none"),
        (ConnectionError("with KEY-OF-IT"), "ConnectionError: with ***"),
        (PermissionError("no listing"), None),
        (FileNotFoundError("nothing below it"), None),
        (NotImplementedError(), None),
    ],
    ids=lambda value: value.partition(":")[0] if isinstance(value, str) else None,
)
def test_a_store_that_does_not_answer_is_named_and_one_that_refuses_is_not(
    spec: NodeSpec, monkeypatch: pytest.MonkeyPatch, error: Exception, why: str | None
) -> None:
    class System:
        def info(self, _: str) -> None:
            asked.append(1)
            raise error

    asked: list[int] = []
    monkeypatch.setattr(reach, "opened", lambda url, options: (System(), url))
    spec = with_input(spec, "s3://bucket/images", secret="KEY-OF-IT")
    found = reach.unreachable(spec, 0)
    if why is None:
        assert found is None
        assert reach.unreachable(spec, 0) is None
        assert asked == [1]  # one that has answered is not asked again
    else:
        assert found == Unreachable("input 'images'", "s3://bucket/images", why)
        assert "has the package and credentials for it" in reach.told(found)


def test_a_run_that_no_worker_reaches_ends_before_its_first_mini_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from distributed import LocalCluster

    monkeypatch.setattr(reach.unreachable, "__defaults__", (0.0,))
    request = make_request(tmp_path)
    (tmp_path / "data10").rename(tmp_path / "elsewhere")
    options = {"processes": False, "dashboard_address": "127.0.0.1:0", "protocol": "tcp"}
    with LocalCluster(n_workers=1, threads_per_worker=1, **options) as cluster:
        run = run_request(replace(request, target=cluster.scheduler_address))
    assert run.report.status is RunStatus.FAILED
    told = "can't reach input 'numbers', " + str(tmp_path / "data10")
    assert run.report.message.startswith("no Dask worker can take part: worker tcp://")
    assert told in run.report.message
    assert run.report.attempts == 0


def test_of_many_workers_that_are_no_use_some_are_named() -> None:
    workers = Assignment(1, local=False)
    for n in range(9):
        workers.lose(f"tcp://{n}", f"worker tcp://{n} is no use")
    assert workers.why_none({}).endswith("worker tcp://4 is no use; and 4 more")
