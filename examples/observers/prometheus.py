"""An observer that writes how runs are going to a file that Prometheus' node exporter reads.

Give one to a run::

    experiment.submit(pipeline, observers=[PrometheusFile("/var/lib/node_exporter")])

or register the class for every run, see README.md; the folder is then taken from the environment.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from daskrun import Observer

FOLDER = "DASKRUN_PROMETHEUS_FOLDER"
"""Environment variable: where the files go, if the observer is not told."""


class PrometheusFile(Observer):
    """Keeps one file for each experiment and step, replaced whole: ``<experiment>-<step>.prom``.

    Parameters
    ----------
    folder
        What ``node_exporter --collector.textfile.directory`` is told; by default what is in
        ``DASKRUN_PROMETHEUS_FOLDER``, and no file is written where that is not set.
    """

    def __init__(self, folder: str | None = None) -> None:
        place = folder or os.environ.get(FOLDER)
        self._folder = Path(place) if place else None
        self._file: Path | None = None
        self._labels = ""
        self._nodes: set[str] = set()
        self._values: dict[str, float] = {}

    def on_run_started(self, event) -> None:
        """Begin the file of this run."""
        if self._folder is None:
            return
        name = re.sub(r"[^\w.-]+", "_", f"{event.experiment}-{event.step_name}")
        self._file = self._folder / f"{name}.prom"
        self._labels = f'experiment="{event.experiment}",step="{event.step_name}"'
        self._nodes.clear()
        self._values = {"nodes": 0, "run_seconds_total": 0.0, "attempts_failed_total": 0}
        self._write()

    def on_node_ready(self, event) -> None:
        """Count a node; one may come again."""
        self._nodes.add(event.node)
        self._values["nodes"] = len(self._nodes)

    def on_node_lost(self, event) -> None:
        """Count it no more."""
        self._nodes.discard(event.node)
        self._values["nodes"] = len(self._nodes)

    def on_bundle_returned(self, event) -> None:
        """Add up what the attempts took, and how many failed."""
        for outcome in event.outcomes:
            self._values["run_seconds_total"] += outcome.run_seconds
            self._values["attempts_failed_total"] += outcome.status != 0

    def progress(self, progress) -> None:
        """Write how far the run is; this comes a few times a second."""
        for name in ("succeeded", "failed", "in_flight"):
            self._values[f"mini_batches_{name}"] = getattr(progress, name)
        if progress.total is not None:
            self._values["mini_batches"] = progress.total
        if progress.eta is not None:
            self._values["seconds_left"] = progress.eta
        self._write()

    def on_run_ended(self, event) -> None:
        """Write how the run ended."""
        self._values.pop("seconds_left", None)
        self._values["seconds"] = event.report.seconds
        self._values["completed"] = event.report.status.value == "Completed"
        self._write()

    def _write(self) -> None:
        if self._file is None:
            return
        lines = [
            f"# TYPE daskrun_{name} {'counter' if name.endswith('_total') else 'gauge'}\n"
            f"daskrun_{name}{{{self._labels}}} {float(value)!r}\n"
            for name, value in self._values.items()
        ]
        aside = self._file.with_suffix(".tmp")  # the exporter reads *.prom only
        aside.write_text("".join(lines))
        aside.replace(self._file)
