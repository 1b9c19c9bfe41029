"""Runs in coroutines: awaited, their events read, on asynchronous clusters too."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from distributed import Client, LocalCluster

from daskrun import ComputeTarget, Experiment, RunFailedError, Workspace
from daskrun.core.events import BundleReturned, RunEnded, RunStarted
from daskrun.data import Dataset
from daskrun.monitor import event_log
from daskrun.pipeline.runs.pipeline import Pipeline
from daskrun.pipeline.steps.config import ParallelRunConfig
from daskrun.pipeline.steps.parallel_step import ParallelRunStep

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("own_temporary_folder")


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    (tmp_path / "data").mkdir()
    for n in range(6):
        (tmp_path / "data" / f"{n}.txt").write_text(str(n))
    return Workspace.create("trial", path=tmp_path / "ws")


def submitted(ws: Workspace, tmp_path: Path, target: Any, code: str = "return m") -> Any:
    (tmp_path / "score.py").write_text(f"def run(m):\n    {code}\n")
    config = ParallelRunConfig(
        entry_script=str(tmp_path / "score.py"),
        mini_batch_size=1,
        compute_target=target,
        error_threshold=0,
        output_action="summary_only",
        process_count_per_node=1,
    )
    data = Dataset.File.from_files(str(tmp_path / "data")).as_named_input("numbers")
    step = ParallelRunStep(name="score", parallel_run_config=config, inputs=[data])
    return Experiment(ws, "trial").submit(Pipeline(ws, [step]))


def test_a_run_is_awaited_and_its_events_are_read(
    ws: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def follow() -> tuple[str, list[Any], int]:
        run = submitted(ws, tmp_path, "inline")
        turns = 0

        async def other() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0.001)

        task = asyncio.create_task(other())
        events = [event async for event in run.events()]
        monkeypatch.setattr(event_log, "AT_ONCE", 1)  # the run has ended, and more is left to read
        again = [event async for event in run.find_step_run("score")[0].events()]
        assert len(again) == len(events)
        task.cancel()
        return await run, events, turns

    status, events, turns = asyncio.run(follow())
    assert status == "Completed"
    assert turns > 2  # the loop was never blocked for long
    assert (type(events[0]), type(events[-1])) == (RunStarted, RunEnded)
    returned = [event for event in events if isinstance(event, BundleReturned)]
    assert sum(len(event.outcomes) for event in returned) == 6


def test_a_run_that_fails_raises_where_it_is_awaited(ws: Workspace, tmp_path: Path) -> None:
    async def fail() -> None:
        await submitted(ws, tmp_path, "inline", "raise ValueError('no')")

    with pytest.raises(RunFailedError, match="no"):
        asyncio.run(fail())


def test_who_gives_up_waiting_leaves_the_run_be(ws: Workspace, tmp_path: Path) -> None:
    async def give_up() -> str:
        run = submitted(ws, tmp_path, "inline", "import time; time.sleep(0.1); return m")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(run, 0.1)
        return await run

    assert asyncio.run(give_up()) == "Completed"


@pytest.mark.slow
@pytest.mark.parametrize("given", ["cluster", "client"])
def test_an_asynchronous_cluster_runs_in_the_programs_own_loop(
    ws: Workspace, tmp_path: Path, given: str
) -> None:
    async def run_there() -> str:
        options = {"processes": False, "dashboard_address": "127.0.0.1:0", "protocol": "tcp"}
        async with (
            LocalCluster(n_workers=0, asynchronous=True, **options) as cluster,
            Client(cluster, asynchronous=True, set_as_default=False) as client,
        ):
            by = {"cluster": cluster, "client": client}[given]
            run = submitted(ws, tmp_path, ComputeTarget.attach(ws, "own", **{given: by}))
            return await run

    assert asyncio.run(run_there()) == "Completed"
