"""daskrun's page beside Dask's own: ``/daskrun``, and each plot of it as ``/individual-daskrun-…``.

The scheduler's process shows what drivers tell it of their runs: snapshots as text, the last of
each of the last runs. Where that is the driver's own process, their files are read. Nothing is
drawn, and bokeh not loaded, before somebody looks.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from daskrun.core.logs import get_logger
from daskrun.monitor.prometheus import add_metrics
from daskrun.monitor.snapshot import from_json
from daskrun.storage.durable import read_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from daskrun.monitor.snapshot import Snapshot

    class RemoteScheduler(Protocol):
        """As :class:`daskrun.engine.request.RemoteScheduler`."""

        def run_there(self, function: Callable[..., object]) -> None:
            """Run an importable function in it."""

        def ask_there(self, operation: str, **message: object) -> None:
            """Call one of its operations."""


logger = get_logger(__name__)
MOST_RUNS = 20
INTERVAL = 2.0
"""Seconds between two snapshots that a scheduler is sent."""
PAGE, OPERATION = "daskrun", "daskrun_page"
SILENCE = 20.0
"""Seconds without a word after which a run's driver counts as gone: it may have been killed."""
LEFT = "The run's driver has left the cluster; how the run ended is known where that ran."


class Runs:
    """What is known in this process of runs; read when somebody looks."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[str, Path | str] = {}
        """By run the file that its snapshot is in, or the snapshot as text."""
        self._read: dict[str, tuple[object, Snapshot]] = {}
        """What was read, and when its file was written, or of which text."""
        self._heard: dict[str, float] = {}
        """When a run was last told of as a text."""

    def take_in(self, run_id: str, kept: Path | str) -> None:
        """Note where, or how, a run stands; of too many the oldest is forgotten."""
        with self._lock:
            if isinstance(kept, Path) or run_id not in self._kept:
                self._kept.pop(run_id, None)  # it is the newest, also where it is resumed
            self._kept[run_id] = kept
            self._heard[run_id] = time.monotonic()
            while len(self._kept) > MOST_RUNS:
                ended = (each for each in self._kept if self._has_ended(each))
                gone = next(ended, next(iter(self._kept)))
                del self._kept[gone], self._heard[gone]
                self._read.pop(gone, None)

    def _has_ended(self, run_id: str) -> bool:
        found = self._read.get(run_id)
        return found is not None and (found[1].status.ended or found[1].left)

    def __call__(self) -> dict[str, Snapshot]:
        """Return the runs, by id, the newest last; each snapshot is read once."""
        with self._lock:
            for run_id, kept in self._kept.items():
                # A file is replaced as it is read, or was cleared away; a text may be of another
                # version. What was read before stays.
                with suppress(OSError, ValueError, TypeError, KeyError):
                    mark = kept.stat().st_mtime_ns if isinstance(kept, Path) else kept
                    if run_id not in self._read or self._read[run_id][0] != mark:
                        text = read_file(kept).decode() if isinstance(kept, Path) else kept
                        self._read[run_id] = mark, from_json(text)
                    silent = isinstance(kept, str) and time.monotonic() - self._heard[run_id]
                    if silent > SILENCE and not self._has_ended(run_id):
                        self._read[run_id] = mark, _left(self._read[run_id][1])
            return {each: self._read[each][1] for each in self._kept if each in self._read}


runs = Runs()


def install(dask_scheduler: Any) -> None:
    """Make a scheduler take in how runs stand, and show them where Dask's dashboard is there."""
    dask_scheduler.handlers[OPERATION] = lambda run_id, text: runs.take_in(run_id, text)
    add_metrics(runs)
    add_pages(dask_scheduler)


def add_pages(scheduler: Any) -> None:
    """Add the page to the dashboard of a scheduler, where it has one; it is added once.

    In the thread of its event loop.
    """
    # Dask is imported here: only a process that has a scheduler needs it.
    application = scheduler.http_application
    ours = getattr(application, "daskrun_pages", False)
    if ours or not any("Bokeh" in type(each).__name__ for each in application.applications):
        return
    application.daskrun_pages = True
    from distributed.dashboard.core import BokehApplication
    from distributed.dashboard.scheduler import template_variables
    from tornado.ioloop import IOLoop

    variables = template_variables(scheduler)
    if PAGE not in variables["pages"]:
        variables["pages"].append(PAGE)
    dasks = next(each for each in application.applications if hasattr(each, "app_paths"))
    made: Any = BokehApplication(  # type: ignore[no-untyped-call]
        _documents(), scheduler, dasks.prefix, variables
    )
    application.add_application(made)
    made.initialize(IOLoop.current())
    made.start()
    # The list of plots, from which JupyterLab's extension has its own, is that of Dask's pages.
    dasks._applications.update(made._applications)


def _documents() -> dict[str, Callable[[Any, Any, Any], None]]:
    """Return what fills the documents, by their paths."""
    from daskrun.monitor.charts import CHARTS
    from daskrun.monitor.page import page, plot

    plots = {f"/individual-{PAGE}-{kind.name}": _with_template(plot(runs, kind)) for kind in CHARTS}
    return {f"/{PAGE}": _with_template(page(runs)), **plots}


def _with_template(fill: Callable[[Any], None]) -> Callable[[Any, Any, Any], None]:
    from distributed.dashboard.components.scheduler import BOKEH_THEME, env

    def make(_scheduler: Any, extra: Any, document: Any) -> None:
        fill(document)
        document.template = env.get_template("simple.html")
        document.template_variables.update(extra)
        document.theme = BOKEH_THEME

    return make


class RunPages:
    """A run on the pages of the scheduler that it uses; ``path`` is the file of its statistics."""

    def __init__(self, run_id: str, path: Path) -> None:
        self._run_id = run_id
        self._path = path

    def add_here(self, scheduler: Any) -> None:
        """Add the page to a scheduler of this process, once its dashboard is there."""
        with self._harmless():
            add_pages(scheduler)

    def show_here(self) -> None:
        """Have the run shown by the schedulers of this process."""
        with self._harmless():
            runs.take_in(self._run_id, self._path)
            add_metrics(runs)

    @contextmanager
    def _harmless(self) -> Iterator[None]:
        """Log what can't be shown: no run ends by that."""
        try:
            yield
        except Exception:
            logger.exception("run %s is not shown on the page /%s", self._run_id, PAGE)

    def show_there(self, scheduler: RemoteScheduler) -> Callable[[], None]:
        """Have it shown by a scheduler elsewhere; return what ends that.

        Where that fails, as where the scheduler has no daskrun, the page is done without: that is
        no trouble of the run.
        """
        over = threading.Event()
        thread = threading.Thread(
            target=self._tell, name="daskrun-page", args=(scheduler, over), daemon=True
        )
        thread.start()

        def end() -> None:
            over.set()
            thread.join(INTERVAL)

        return end

    def _tell(self, scheduler: RemoteScheduler, over: threading.Event) -> None:
        """Tell every other second how the run stands, and at last how it ended, or that it left."""
        last, installed, said, ends = "", False, False, False
        while not ends:
            ends = over.wait(INTERVAL)
            try:
                if not installed:  # or it has failed, since when it may be another's
                    scheduler.run_there(install)
                    installed = True
                last = self._tell_once(scheduler, "" if ends else last, left=ends)
            except Exception as error:  # noqa: BLE001  (whatever a scheduler answers)
                installed = False
                if not said:
                    said = True
                    logger.info("run %s: no page /%s for now: %s", self._run_id, PAGE, error)

    def _tell_once(self, scheduler: RemoteScheduler, last: str, *, left: bool) -> str:
        """Send what is kept of the run, unless it is the ``last`` that was sent; return it."""
        try:
            text = read_file(self._path).decode()
        except OSError:
            return last
        if text != last:
            shown = _left(from_json(text)).as_json() if left else text
            scheduler.ask_there(OPERATION, run_id=self._run_id, text=shown)
        return text


def _left(snapshot: Snapshot) -> Snapshot:
    """Return a run as it is shown when its driver has left the cluster."""
    if snapshot.status.ended:
        return snapshot
    gone = replace(snapshot, slots=0, nodes=0, in_flight=[], waiting_for="")
    return replace(gone, message=LEFT, left=True)
