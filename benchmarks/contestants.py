"""One contestant of the overhead benchmark, in a process of its own; prints its figures as JSON.

All do the same mini-batches with two processes that are warm, and are timed from the moment those
are ready until the last result is there; for daskrun that is the output on the disk, published.
"""

from __future__ import annotations

import json
import logging
import multiprocessing
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.ground import SCRIPT, Watch, make_request, output_of
from benchmarks.work import DATA, call

PROCESSES = 2
SIZE = 10
CHUNKS = (16, 64, 256, 1024)
WARM = 100
"""Mini-batches done before the clock is started, by those that have no start of their own."""
DASK_TASKS = 2000
"""Dask needs about a minute for as many tasks as there are mini-batches: its time is scaled."""

Names = list[tuple[str, ...]]


def all_names() -> Names:
    """Give the file names of each mini-batch, in order."""
    names = sorted(path.name for path in Path(DATA).iterdir())
    return [tuple(names[i : i + SIZE]) for i in range(0, len(names), SIZE)]


def bare() -> dict[str, Any]:
    """Two plain loops side by side, each over half of the mini-batches."""
    names = all_names()
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(PROCESSES)
    times = context.SimpleQueue()
    loops = [
        context.Process(target=_loop, args=(names[n::PROCESSES], barrier, times))
        for n in range(PROCESSES)
    ]
    for loop in loops:
        loop.start()
    found = [times.get() for _ in loops]
    for loop in loops:
        loop.join()
    seconds = max(end for _, end in found) - min(begin for begin, _ in found)
    return {"seconds": seconds, "mini_batches": len(names)}


def _loop(names: Names, barrier: Any, times: Any) -> None:
    for mini_batch in names[:WARM]:
        call(mini_batch)
    barrier.wait()
    begin = time.monotonic()  # one clock for all processes of a machine
    for mini_batch in names:
        call(mini_batch)
    times.put((begin, time.monotonic()))


def daskrun() -> dict[str, Any]:
    """Run them as a run: from all script processes ready to the output published."""
    from daskrun.data import Dataset
    from daskrun.data.file_plan import FilePlan
    from daskrun.engine.driver import RunControl, execute

    plan = FilePlan([("files", Dataset.File.from_files(DATA))], SIZE)
    watch = Watch()
    with tempfile.TemporaryDirectory() as place:
        request = make_request(
            Path(place),
            plan,
            SCRIPT,
            mini_batch_size=SIZE,
            process_count_per_node=PROCESSES,
        )
        report = execute(request, [watch], RunControl())
        assert report.succeeded == plan.known, report
        # the last thing that happens to the file is that it gets its name
        published = output_of(request).stat().st_ctime
    return {"seconds": published - watch.last["ProcessReady"], "mini_batches": plan.known}


def pool() -> dict[str, Any]:
    """A warm multiprocessing.Pool, one by one and with the best of some chunk sizes."""
    names = all_names()
    with multiprocessing.get_context("spawn").Pool(PROCESSES) as workers:
        _drain(workers.imap_unordered(call, names[:WARM]))
        chunked = {chunk: _timed_pool(workers, names, chunk) for chunk in (1, *CHUNKS)}
    best = min(CHUNKS, key=lambda chunk: chunked[chunk])
    return {
        "seconds": chunked[1],
        "best_seconds": chunked[best],
        "best_chunk": best,
        "mini_batches": len(names),
    }


def _timed_pool(workers: Any, names: Names, chunk: int) -> float:
    begin = time.monotonic()
    _drain(workers.imap_unordered(call, names, chunksize=chunk))
    return time.monotonic() - begin


def _drain(results: Any) -> None:
    for _ in results:
        pass


def joblib() -> dict[str, Any]:
    """Warm joblib (loky) with ``batch_size="auto"``."""
    from joblib import Parallel, delayed

    names = all_names()
    with Parallel(n_jobs=PROCESSES, batch_size="auto") as parallel:
        parallel(delayed(call)(mini_batch) for mini_batch in names[:WARM])
        begin = time.monotonic()
        parallel(delayed(call)(mini_batch) for mini_batch in names)
        seconds = time.monotonic() - begin
    return {"seconds": seconds, "mini_batches": len(names)}


def dask() -> dict[str, Any]:
    """One Dask task for each mini-batch, on two worker processes with a thread each."""
    from distributed import Client, LocalCluster

    names = all_names()[:DASK_TASKS]
    with (
        LocalCluster(
            n_workers=PROCESSES,
            threads_per_worker=1,
            dashboard_address=None,
            silence_logs=logging.CRITICAL,  # a heartbeat cut off by the end is no news
        ) as cluster,
        Client(cluster) as client,
    ):
        client.gather(client.map(call, names[:WARM], pure=False))
        begin = time.monotonic()
        client.gather(client.map(call, names, pure=False))
        seconds = time.monotonic() - begin
    return {"seconds": seconds, "mini_batches": len(names)}


CONTESTANTS = {one.__name__: one for one in (bare, daskrun, pool, joblib, dask)}

if __name__ == "__main__":
    print(json.dumps(CONTESTANTS[sys.argv[1]]()))
