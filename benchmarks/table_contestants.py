"""One contestant of the tables benchmark, in a process of its own; prints its figures as JSON.

``python -m benchmarks.table_contestants NAME FILE [RANGES]``. All score the same ranges of
the same file with two warm processes, one thread each, and write the rows; they are timed from the
moment those are ready until the last row is written; for daskrun that is the output published.
"""

from __future__ import annotations

import json
import multiprocessing
import sys
import tempfile
import time
import zlib
from pathlib import Path
from typing import Any

from benchmarks.table_work import SCRIPT, Range, Work, group_starts

PROCESSES = 2
SIZE = 1 << 20
"""Bytes of a mini-batch: ``'1MB'``."""
CHUNKS = (4, 16, 64)
WARM = 4
"""Ranges done before the clock is started, by those that have no start of their own."""


def dataset_of(path: str) -> Any:
    """Make the dataset of one file or pattern, with nothing but defaults."""
    from daskrun.data import Dataset

    if path.endswith(".csv"):
        return Dataset.Tabular.from_delimited_files(path)
    return Dataset.Tabular.from_parquet_files(path)


def ranges(path: str) -> list[Range]:
    """Give the ranges of daskrun's own plan."""
    from daskrun.data.tabular.collect import plan_of

    plan = plan_of(dataset_of(path), SIZE)
    pieces = [plan[index].load.plain()[1] for index in range(plan.known)]
    return [(start, stop) for ((_, start, stop, _),) in pieces]


def bare(path: str, bounds: list[Range]) -> dict[str, Any]:
    """Two plain loops side by side, each over half of the ranges."""
    context = multiprocessing.get_context("spawn")
    barrier, times = context.Barrier(PROCESSES), context.SimpleQueue()
    with tempfile.TemporaryDirectory() as place:
        outputs = [f"{place}/{n}.txt" for n in range(PROCESSES)]
        loops = [
            context.Process(target=_loop, args=(path, each, output, barrier, times))
            for each, output in zip(_halves(path, bounds), outputs, strict=True)
        ]
        for loop in loops:
            loop.start()
        found = [times.get() for _ in loops]
        for loop in loops:
            loop.join()
        seconds = max(end for _, end in found) - min(begin for begin, _ in found)
        return {"seconds": seconds, **told(*outputs)}


def _halves(path: str, bounds: list[Range]) -> list[list[Range]]:
    """Cut the ranges in the middle, or beside it where a large row group goes on there."""
    middle = len(bounds) // PROCESSES
    if not path.endswith(".csv"):
        starts = group_starts(path)
        heads = [number for number, (start, _) in enumerate(bounds) if start in starts]
        middle = min(heads, key=lambda number: abs(number - middle))
    return [bounds[:middle], bounds[middle:]]


def _loop(path: str, bounds: list[Range], output: str, barrier: Any, times: Any) -> None:
    work = Work(path)
    for each in bounds[:WARM]:
        work(each)
    barrier.wait()
    begin = time.monotonic()  # one clock for all processes of a machine
    with Path(output).open("wb") as file:
        for each in bounds:
            file.write(work(each))
    times.put((begin, time.monotonic()))


def daskrun(path: str, _: list[Range]) -> dict[str, Any]:
    """Run them as a run: from all script processes ready to the output published."""
    with tempfile.TemporaryDirectory() as place:
        output, seconds = score(path, Path(place))
        return {"seconds": seconds, **told(str(output))}


def score(path: str, place: Path) -> tuple[Path, float]:
    """Score a file; give the output and the seconds from ready to published."""
    from benchmarks.ground import Watch, make_request, output_of
    from daskrun.data.tabular.planning.table_plan import TablePlan
    from daskrun.engine.driver import RunControl, execute

    plan = TablePlan([("table", dataset_of(path).resolve())], SIZE)
    watch = Watch()
    request = make_request(
        place, plan, SCRIPT, mini_batch_size=SIZE, process_count_per_node=PROCESSES
    )
    report = execute(request, [watch], RunControl())
    assert report.succeeded == plan.known, report
    output = output_of(request)
    # the last thing that happens to the file is that it gets its name
    return output, output.stat().st_ctime - watch.last["ProcessReady"]


_work: list[Work] = []
"""A pool's worker has one: its file stays open."""


def _begin(path: str) -> None:
    _work[:] = [Work(path)]


def _call(bounds: Range) -> bytes:
    return _work[0](bounds)


def pool(path: str, bounds: list[Range]) -> dict[str, Any]:
    """A warm multiprocessing.Pool whose parent writes, one by one and with the best chunk size."""
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as place, context.Pool(
        PROCESSES, initializer=_begin, initargs=(path,)
    ) as workers:  # fmt: skip
        list(workers.imap_unordered(_call, bounds[: PROCESSES * WARM]))
        output = f"{place}/rows.txt"
        chunked = {chunk: _timed_pool(workers, bounds, chunk, output) for chunk in (1, *CHUNKS)}
        figures = told(output)
    best = min(CHUNKS, key=lambda chunk: chunked[chunk])
    return {
        "seconds": chunked[1],
        "best_seconds": chunked[best],
        "best_chunk": best,
        **figures,
    }


def _timed_pool(workers: Any, bounds: list[Range], chunk: int, output: str) -> float:
    begin = time.monotonic()
    with Path(output).open("wb") as file:
        for rows in workers.imap_unordered(_call, bounds, chunksize=chunk):
            file.write(rows)
    return time.monotonic() - begin


def told(*outputs: str) -> dict[str, Any]:
    """Say what was written, for contestants to be compared by: one after the other, in order."""
    digest, lines, ones = 0, 0, 0
    for output in outputs:
        data = Path(output).read_bytes()
        digest = zlib.crc32(data, digest)
        lines += data.count(b"\n")
        ones += data.count(b"1")
    return {"rows": digest, "lines": lines, "ones": ones}


CONTESTANTS = {one.__name__: one for one in (bare, daskrun, pool)}

if __name__ == "__main__":
    name, path, *more = sys.argv[1:]
    if name == "ranges":
        print(json.dumps(ranges(path)))
    else:
        bounds = [(start, stop) for start, stop in json.loads(Path(more[0]).read_text())]
        print(json.dumps(CONTESTANTS[name](path, bounds)))
