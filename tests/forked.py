"""Processes that have Dask and daskrun imported when they begin.

Importing them takes a process 1.5 s of a core, which is more than most faults take. One process
does it once and forks the others (``multiprocessing``'s fork server, which pytest is no parent of).
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import tempfile
from functools import cache
from multiprocessing.util import get_temp_dir
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from multiprocessing.context import ForkServerProcess as Process
    from pathlib import Path

IMPORTED = [
    "distributed.cli.dask_scheduler",
    "distributed.cli.dask_worker",
    "distributed.http.scheduler.info",
    "distributed.http.scheduler.json",
    "distributed.http.scheduler.missing_bokeh",
    "dask.dataframe",
    "daskrun.data.tabular.formats.frames.write",
    "daskrun.data.tabular.planning.table_plan",
    "daskrun.engine.dask.local_cluster",
    "daskrun.engine.dask.dispatcher",
    "daskrun.engine.dask.plugin",
    "daskrun.engine.dask.worker",
    "pyarrow.parquet",
    "pandas",
]
"""What the processes would import; one that is not here they import themselves."""
_SHORT = tempfile.gettempdir()  # of the test process, before a test has its own
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(IMPORTED)


@cache
def get_ready() -> None:
    """Start the process that forks, if it isn't there, and wait until it can.

    Its socket is in a folder that multiprocessing makes once: not in a test's own, whose path may
    be longer than a socket's can be.
    """
    own, tempfile.tempdir = tempfile.tempdir, _SHORT
    try:
        get_temp_dir()
        first = FORKS.Process(target=os.getpid)
        first.start()
        first.join()
    finally:
        tempfile.tempdir = own


def fork(
    target: Callable[..., object],
    *arguments: Any,
    log: Path,
    environment: Mapping[str, str],
    folder: str | Path = ".",
) -> Process:
    """Have a function called in a process of its own.

    Parameters
    ----------
    log
        File for what it says.
    environment
        Its variables, beside those of this process.
    folder
        Its working directory.
    """
    get_ready()
    variables = {**os.environ, **environment}
    begin = (target, arguments, str(log), variables, str(folder))
    log.touch()
    process = FORKS.Process(target=_begin, args=begin, daemon=True)
    process.start()
    return process


def _begin(
    target: Callable[..., object],
    arguments: tuple[Any, ...],
    log: str,
    variables: dict[str, str],
    folder: str,
) -> None:
    """Become what a process started with this log, environment and folder would be."""
    import dask

    multiprocessing.current_process().daemon = False  # else a nanny could not start a process
    with open(log, "ab") as file:
        os.dup2(file.fileno(), sys.stdout.fileno())
        os.dup2(file.fileno(), sys.stderr.fileno())
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(variables)
    tempfile.tempdir = None
    dask.config.refresh()
    target(*arguments)
