"""A driver of the soak: daskrun's, or a peer's as a user who knows the tool would write it.

Each is started again with the same arguments after it was killed. daskrun resumes its run; peers
read which rows are there already and do the others, into another file or folder.
"""

from __future__ import annotations

import sys
import time
from concurrent.futures import BrokenExecutor
from pathlib import Path
from typing import Any

from benchmarks.rounds import ROOT
from benchmarks.soak_work import SCRIPT, TRIES, Work, index_of

NODES, PROCESSES = 2, 2
"""daskrun's: as many script processes in all as the peers have workers."""
WORKERS = NODES * PROCESSES
TIMEOUT = 1
PARTITION = 100
"""Items of a partition of Dask and a block of Ray: a second of work."""


def daskrun(place: Path, items: int, address: str) -> None:
    """Submit a run, or resume the one that lost its driver."""
    from daskrun import Experiment, Workspace

    workspace = Workspace.create("soak", place)
    experiment = Experiment(workspace, "soak")
    known = list(experiment.get_runs())
    if known:
        run = known[0].resume()
    else:
        run = experiment.submit(_pipeline(workspace, place, items, address))
    run.wait_for_completion()


def _pipeline(workspace: Any, place: Path, items: int, address: str) -> Any:
    from daskrun import Dataset, ParallelRunConfig, ParallelRunStep, Pipeline, PipelineData

    script = place / "score.py"
    script.write_text(SCRIPT.format(root=str(ROOT), place=str(place), items=items))
    data = Dataset.File.from_files(str(place / "data")).as_named_input("items")
    config = ParallelRunConfig(
        entry_script=str(script),
        mini_batch_size=1,
        error_threshold=-1,
        output_action="append_row",
        compute_target=address,
        node_count=NODES,
        process_count_per_node=PROCESSES,
        run_invocation_timeout=TIMEOUT,
        run_max_try=TRIES,
    )
    step = ParallelRunStep(
        "soak", config, inputs=[data], output=PipelineData("rows"), allow_reuse=False
    )
    return Pipeline(workspace, [step])


def dask(place: Path, items: int, address: str) -> None:
    """Map partitions of a bag, each written to a file by its worker.

    A partition is tried again where its worker dies (Dask's ``allowed-failures``) and where it
    raises (``retries``); one that is given up leaves the others be. Dask has no limit for a task.
    """
    from dask.bag import from_sequence
    from distributed import Client, wait

    left, folder = _left(place, items)
    with Client(address) as client:
        bag = from_sequence(left, partition_size=PARTITION).map_partitions(_score, place, items)
        files = bag.to_textfiles(str(folder / "*.txt"), compute=False)
        wait(client.compute(list(files), retries=TRIES - 1))


def pool(place: Path, items: int, address: str) -> None:
    """Have a pool of processes; this one writes the rows as they come.

    A process that dies breaks ``ProcessPoolExecutor``, which tells that it did, and not by which
    item (``Pool.imap_unordered`` would not even tell); what hangs is ended by ending all. So all
    that were begun are suspects, which are done alone when the others are through.
    """
    del address
    left, folder = _left(place, items)
    work, suspects = Work(place, items), []
    with (folder / "rows.txt").open("a", buffering=1) as file:
        while left:
            left, some = _pool_pass(work, left, WORKERS, file)
            suspects += some
        for index in suspects:
            for _ in range(TRIES):
                if not _pool_pass(work, [index], 1, file)[1]:
                    break


def _pool_pass(
    work: Work, indices: list[int], workers: int, file: Any
) -> tuple[list[int], list[int]]:
    """Do items with one pool until it breaks; give those not begun, and those begun in vain."""
    from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait

    ahead, out, overdue = list(reversed(indices)), {}, False
    executor = ProcessPoolExecutor(workers)
    try:
        while (ahead or out) and not overdue:
            while ahead and len(out) < workers:
                future = executor.submit(work.do_patiently, ahead[-1])
                out[future] = ahead.pop(), time.monotonic()
            for future in wait(out, timeout=TIMEOUT, return_when=FIRST_COMPLETED).done:
                row = future.result()
                file.write(row + "\n" if row is not None else "")
                del out[future]
            overdue = any(time.monotonic() - begun > 2 * TIMEOUT for _, begun in out.values())
    except BrokenExecutor:
        pass
    finally:
        if out:  # there is no public way to end the processes of a pool
            for process in (executor._processes or {}).values():
                process.kill()
        executor.shutdown(cancel_futures=True)
    return list(reversed(ahead)), [index for index, _ in out.values()]


def ray(place: Path, items: int, address: str) -> None:
    """Map batches with Ray Data on a local Ray; its workers write a file for each block.

    Ray does a task again whose worker dies; blocks that raise are left out, not the end.
    """
    del address
    import ray as tool

    left, folder = _left(place, items)
    for attempt in range(1, TRIES + 1):  # what is left of one whose driver was killed disturbs it
        try:
            tool.init("local", num_cpus=WORKERS, object_store_memory=200 * 2**20)
            break
        except Exception:
            if attempt == TRIES:
                raise
    context = tool.data.DataContext.get_current()
    context.max_errored_blocks = -1

    def score(batch: dict[str, Any]) -> dict[str, Any]:
        return {"row": _score([int(i) for i in batch["item"]], place, items)}

    blocks = max(1, len(left) // PARTITION)
    data = tool.data.from_items([{"item": i} for i in left], override_num_blocks=blocks)
    scored = data.map_batches(score, batch_size=PARTITION, max_retries=TRIES)
    scored.write_csv(str(folder), arrow_csv_args_fn=_without_header)


def _without_header() -> dict[str, Any]:
    from pyarrow.csv import WriteOptions

    return {"write_options": WriteOptions(include_header=False, quoting_style="none")}


def _score(indices: Any, place: Path, items: int) -> list[str]:
    """Be what a partition is mapped with: an item that goes on raising has no row."""
    work = Work(place, items)
    rows = (work.do_patiently(index) for index in indices)
    return [row for row in rows if row is not None]


def _left(place: Path, items: int) -> tuple[list[int], Path]:
    """Give the items that no earlier driver has a row of, and a folder for these."""
    done = {index_of(line) for line in rows_of_peer(place)}
    folder = place / "rows" / str(len(list((place / "rows").glob("*"))))
    folder.mkdir(parents=True)
    return [index for index in range(items) if index not in done], folder


def rows_of_peer(place: Path) -> list[str]:
    """Give the lines that a peer's drivers have written, all of them."""
    files = sorted(path for path in (place / "rows").rglob("*") if path.is_file())
    return [line for path in files for line in path.read_text().splitlines()]


CONTESTANTS = {one.__name__: one for one in (daskrun, dask, pool, ray)}

if __name__ == "__main__":
    CONTESTANTS[sys.argv[1]](Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
