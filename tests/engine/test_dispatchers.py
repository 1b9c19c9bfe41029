"""Each dispatcher keeps what a dispatcher has to keep."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest
from running import make_request, run_request, wait_until_nothing_is_left

from daskrun.core import plugins
from daskrun.core.outcome import Status
from daskrun.core.report import RunStatus
from daskrun.engine.dask.dispatcher import DaskDispatcher
from daskrun.engine.dispatch import GROUP, make_dispatcher, registered
from daskrun.engine.inline import InlineDispatcher
from daskrun.testing import FakeDispatcher
from daskrun.testing.contracts.dispatchers import DispatcherContract

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from daskrun.engine.dispatch import Dispatcher
    from daskrun.engine.request import StepRequest


@pytest.fixture(autouse=True)
def _nothing_is_left(own_temporary_folder: Path) -> Iterator[None]:
    yield
    assert wait_until_nothing_is_left() == []


class TestInline(DispatcherContract):
    def make_dispatcher(self, request: StepRequest) -> Dispatcher:
        return InlineDispatcher(request)


class TestDask(DispatcherContract):
    def make_dispatcher(self, request: StepRequest) -> Dispatcher:
        from dataclasses import replace

        return DaskDispatcher(replace(request, target=None))


class TestFake(DispatcherContract):
    def make_dispatcher(self, request: StepRequest) -> Dispatcher:
        return FakeDispatcher(request)


def test_the_fake_one_fails_as_it_is_told(tmp_path: Path):
    faults = {2: [Status.RAISED, Status.TIMED_OUT], 4: [Status.DIED] * 3}
    fake = partial(FakeDispatcher, faults=faults)
    run = run_request(make_request(tmp_path, files=6, target=fake, run_max_try=3))
    assert run.report.status is RunStatus.COMPLETED
    assert (run.report.succeeded, run.report.failed, run.report.retried) == (5, 1, 4)
    assert run.output == b"0\n1\n2\n3\n5\n"


def test_a_package_may_register_a_dispatcher_for_a_scheme(tmp_path: Path, monkeypatch):
    class Point:
        @staticmethod
        def load() -> type[Dispatcher]:
            return FakeDispatcher

    monkeypatch.setattr(plugins, "_groups", {GROUP: {"pretend": Point}})
    assert registered("pretend://here")
    assert not registered("other://here")
    assert not registered("tcp://10.0.0.1:8786")
    assert not registered("inline")
    made = make_dispatcher(make_request(tmp_path, target="pretend://here"))
    assert type(made) is FakeDispatcher
