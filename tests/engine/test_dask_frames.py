"""Dask dataframes as inputs of runs, written by the workers of a real cluster."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
from distributed import Client
from running import wait_until_nothing_is_left
from test_attached import Cluster

from daskrun import (
    Dataset,
    DatasetConsumptionConfig,
    Experiment,
    ParallelRunConfig,
    ParallelRunStep,
    Pipeline,
    PipelineData,
    Workspace,
)
from daskrun.data.tabular.formats.frames import write as frame_write
from daskrun.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Iterator

ROWS = 200
SCRIPT = """
def run(mini_batch):
    assert list(mini_batch.columns) == ["n", "writer"]
    return [f"{n} {writer}" for n, writer in zip(mini_batch.n, mini_batch.writer)]
"""


@pytest.fixture
def cluster(tmp_path: Path, own_temporary_folder: Path) -> Iterator[Cluster]:
    folder = tmp_path / "cluster"
    folder.mkdir()
    cluster = Cluster(folder)
    cluster.add_worker()
    cluster.add_worker()
    yield cluster
    cluster.close()
    assert wait_until_nothing_is_left() == []
    assert list(own_temporary_folder.glob("daskrun-frame-*")) == []


def workers(cluster: Cluster) -> set[int]:
    """Give the process ids of its workers."""
    return {process.pid for process in cluster.processes[1:]}


@dataclass
class Work:
    """What submits runs over Dask dataframes, and who has computed what."""

    path: Path
    ws: Workspace
    written_here: list[str]
    """Files that this process has written."""

    def numbers(self, partitions: int = 5, fails: int = -1) -> Any:
        """Give a frame that notes each time a partition is computed."""
        import dask.dataframe as dd

        seen = self.path / "seen"

        def tagged(part: pd.DataFrame) -> pd.DataFrame:
            if len(part) == 1:  # what Dask tries a function with
                return part.assign(writer=0)
            seen.mkdir(exist_ok=True)
            (seen / f"{part.n.iloc[0]}-{os.urandom(4).hex()}").touch()
            if part.n.iloc[0] <= fails <= part.n.iloc[-1]:
                raise ValueError(f"no row {fails} today")
            if fails >= 0:
                time.sleep(1)
            return part.assign(writer=os.getpid())

        whole = pd.DataFrame({"n": range(ROWS)})
        meta = {"n": "int64", "writer": "int64"}
        return dd.from_pandas(whole, npartitions=partitions).map_partitions(tagged, meta=meta)

    def submit(self, frame: Any, target: object) -> Any:
        config = ParallelRunConfig(
            entry_script="score.py",
            error_threshold=0,
            output_action="append_row",
            compute_target=target,
            mini_batch_size=400,
            process_count_per_node=1,
            append_row_file_name="rows.txt",
        )
        data = Dataset.Tabular.from_dask_dataframe(frame)
        inputs = [DatasetConsumptionConfig("frame", data)]
        step = ParallelRunStep("score", config, inputs, PipelineData("scores"))
        return Experiment(self.ws, "trial").submit(Pipeline(self.ws, [step]))

    def computed_by(self, run: Any, partitions: int = 5) -> set[int]:
        """Wait for a run, check its rows, and give which processes had computed them, once."""
        assert run.wait_for_completion() == "Completed"
        (step,) = run.get_steps()
        output = Path(step.output_folder)
        rows = [line.split() for line in (output / "rows.txt").read_text().splitlines()]
        assert [int(n) for n, _ in rows] == list(range(ROWS))
        assert [entry.name for entry in output.iterdir()] == ["rows.txt"]
        assert step.progress.total > partitions
        assert len(list((self.path / "seen").iterdir())) == partitions
        return {int(writer) for _, writer in rows}


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Work:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "score.py").write_text(SCRIPT)
    made = Work(tmp_path, Workspace.create("trial"), [])
    write = frame_write.write_part

    def noted(table: Any, folder: str, name: str, *rest: Any) -> None:
        made.written_here.append(name)
        write(table, folder, name, *rest)

    monkeypatch.setattr(frame_write, "write_part", noted)  # in this process, not on the workers
    return made


@pytest.mark.slow
def test_the_workers_of_the_default_client_write(work: Work, cluster: Cluster) -> None:
    with Client(cluster.address):
        run = work.submit(work.numbers(), cluster.address)
        assert work.computed_by(run) <= workers(cluster)
    assert work.written_here == []


@pytest.mark.slow
def test_without_a_client_the_runs_own_cluster_writes(work: Work, cluster: Cluster) -> None:
    run = work.submit(work.numbers(), cluster.address)
    assert work.computed_by(run) <= workers(cluster)
    assert work.written_here == []


@pytest.mark.slow
def test_the_local_target_with_a_default_client(work: Work, cluster: Cluster) -> None:
    with Client(cluster.address) as client:
        run = work.submit(work.numbers(), None)
        assert work.computed_by(run) <= workers(cluster)
        assert work.written_here == []
        assert client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks)) == 0
        assert client.status == "running"


@pytest.mark.slow
def test_without_any_cluster_this_process_writes(work: Work) -> None:
    assert work.computed_by(work.submit(work.numbers(), None)) == {os.getpid()}
    assert sorted(work.written_here) == [f"part-{n:05d}.parquet" for n in range(5)]


@pytest.mark.slow
@pytest.mark.parametrize("target", ["cluster", "local", "inline"])
def test_what_is_persisted_is_written_where_it_is(
    work: Work, cluster: Cluster, target: str
) -> None:
    """Also where its client is not the default one, or another one is."""
    with Client(cluster.address, set_as_default=False) as client:
        frame = client.persist(work.numbers())
        targets = {"cluster": cluster.address, "local": None, "inline": "inline"}
        run = work.submit(frame, targets[target])
        assert work.computed_by(run) <= workers(cluster)
        assert work.written_here == []
        assert client.status == "running"
        assert len(client.compute(frame).result()) == ROWS  # nothing of it was released


def test_another_default_client_leaves_a_persisted_frame_where_it_is(
    work: Work, cluster: Cluster
) -> None:
    with (
        Client(cluster.address, set_as_default=False) as client,
        Client(processes=False, n_workers=1, dashboard_address=":0"),
    ):
        frame = client.persist(work.numbers())
        run = work.submit(frame[frame.n >= 0], "inline")
        assert work.computed_by(run) <= workers(cluster)
    assert work.written_here == []


@pytest.mark.slow
@pytest.mark.parametrize("where", ["cluster", "threads"])
def test_a_partition_that_fails_is_named_and_nothing_is_left(
    work: Work, cluster: Cluster, where: str
) -> None:
    target = cluster.address if where == "cluster" else None
    with pytest.raises(DatasetError, match=r"ValueError: no row 30 today.*dataframe\.compute"):
        work.submit(work.numbers(10, fails=30), target)
    others = len(list((work.path / "seen").iterdir()))
    assert others > 1  # some were being computed, and end later: see that they bring nothing back
    time.sleep(1.5)
    assert list(work.ws.runs_folder.iterdir()) == []
    assert list(work.path.rglob("*.parquet")) == []
    assert list(work.path.rglob("_daskrun")) == []
    with Client(cluster.address, set_as_default=False) as client:
        assert client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks)) == 0


def test_a_folder_that_the_workers_do_not_see_is_named(work: Work, cluster: Cluster) -> None:
    from daskrun.data.tabular.formats.frames.format import DaskSource

    def elsewhere() -> None:
        """Have this worker look for folders below another root."""
        from daskrun.data.tabular.formats.frames import write as frame_write

        def other(folder: str) -> Path:
            return Path(f"/nowhere{folder}")

        frame_write.Path = other

    with Client(cluster.address) as client:
        client.run(elsewhere)
        with pytest.raises(DatasetError, match=r"can't be written to .* on .*that all workers"):
            DaskSource(work.numbers()).write(str(work.path / "mine"), 400)
    assert not (work.path / "mine").exists()
