"""A run in MLflow, where that is installed and ``MLFLOW_TRACKING_URI`` is set."""

from __future__ import annotations

import os
import threading
from importlib.util import find_spec
from typing import TYPE_CHECKING

from daskrun.core.events import Observer
from daskrun.core.report import RunStatus
from daskrun.core.typing import override
from daskrun.monitor.findings import efficiency
from daskrun.monitor.prometheus import FIGURES
from daskrun.monitor.snapshot import read_snapshot
from daskrun.monitor.statistics import shown_settings

if TYPE_CHECKING:
    from pathlib import Path

    from daskrun.core.events import RunEnded, RunStarted

URI = "MLFLOW_TRACKING_URI"
INTERVAL = 10.0
"""Seconds between two notes of how far a run is."""
CLOSE_LIMIT = 30.0
"""Seconds that the end of a run waits for a server."""
LONGEST = 500
"""Characters of a parameter that every MLflow takes."""
ENDS = {RunStatus.COMPLETED: "FINISHED", RunStatus.CANCELED: "KILLED"}


def is_wanted() -> bool:
    """Return whether runs are to be told to MLflow."""
    return bool(os.environ.get(URI)) and find_spec("mlflow") is not None


class MlflowLog(Observer):
    """Tells MLflow of a run of a step: settings, how far it is, its figures and its report.

    In a thread of its own, since a server may be slow: a run never waits for it but a while at its
    end. What fails there is a warning of the run.
    """

    def __init__(self, logs: Path, report: Path) -> None:
        self._logs = logs
        self._report = report
        self._started: RunStarted | None = None
        self._status = RunStatus.FAILED
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, name="daskrun-mlflow", daemon=True)

    @override
    def on_run_started(self, event: RunStarted) -> None:
        self._started = event
        self._thread.start()

    @override
    def on_run_ended(self, event: RunEnded) -> None:
        self._status = event.report.status
        self._over.set()
        if self._started is not None:
            self._thread.join(CLOSE_LIMIT)
            if self._thread.is_alive():
                self.warning = f"MLflow has not answered within {CLOSE_LIMIT:g} s"

    @override
    def close(self) -> None:
        self._over.set()

    def _work(self) -> None:
        try:
            self._tell()
        except Exception as error:  # noqa: BLE001  (whatever a server answers)
            self.warning = f"MLflow was not told of the run: {type(error).__name__}: {error}"

    def _tell(self) -> None:
        from mlflow import MlflowClient  # seconds; this thread has them

        started = self._started
        assert started is not None  # the thread was started with it
        client = MlflowClient()
        name = started.experiment or "daskrun"
        found = client.get_experiment_by_name(name)
        experiment = client.create_experiment(name) if found is None else found.experiment_id
        tags = {"daskrun.run": started.run_id, "daskrun.pipeline_run": started.pipeline_run_id}
        run = client.create_run(experiment, tags=tags, run_name=started.step_name).info.run_id
        for key, value in shown_settings(started.settings).items():
            client.log_param(run, key, value[:LONGEST])
        step, over = 0, False
        while not over:
            over = self._over.wait(INTERVAL)
            for key, figure in self._figures().items():
                client.log_metric(run, key, figure, step=step)
            step += 1
        if self._report.is_file():
            client.log_artifact(run, str(self._report))
        client.set_terminated(run, ENDS.get(self._status, "FAILED"))

    def _figures(self) -> dict[str, float]:
        snapshot = read_snapshot(self._logs)
        if snapshot is None:
            return {}
        found = {name: float(figure(snapshot)) for name, (_, _, figure) in FIGURES.items()}
        useful = efficiency(snapshot)
        return {**found, **({} if useful is None else {"efficiency": useful})}
