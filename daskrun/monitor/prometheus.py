"""Figures of runs among those that Dask's own ``/metrics`` gives to Prometheus."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from daskrun.monitor.snapshot import Snapshot

    Runs = Callable[[], Mapping[str, Snapshot]]

_added: list[object] = []
_adding = threading.Lock()


def add_metrics(runs: Runs) -> None:
    """Add the figures of runs, once per process, where Dask gives any.

    It does where ``prometheus_client`` is installed, and has imported that by the time that a
    scheduler is there.
    """
    client = sys.modules.get("prometheus_client")
    with _adding:
        if client is not None and not _added:
            _added.append(Metrics(runs, client.core))
            client.REGISTRY.register(_added[0])


class Metrics:
    """Collects the figures when they are asked for; ``core`` is ``prometheus_client.core``."""

    def __init__(self, runs: Runs, core: Any) -> None:
        self._runs = runs
        self._core = core

    def describe(self) -> list[Any]:
        """Return nothing: what there is depends on the runs, and none has to be looked at now."""
        return []

    def collect(self) -> Iterator[Any]:
        """Yield a family for each figure, with the run and the step as labels."""
        known = self._runs()
        for name, (text, counter, figure) in FIGURES.items():
            kind = self._core.CounterMetricFamily if counter else self._core.GaugeMetricFamily
            family = kind(f"daskrun_{name}", text, labels=["run", "step"])
            for run_id, snapshot in known.items():
                family.add_metric([run_id, snapshot.step], float(figure(snapshot)))
            yield family


FIGURES: dict[str, tuple[str, bool, Callable[[Snapshot], float]]] = {
    "mini_batches": ("Mini-batches, as far as known", False, lambda s: s.progress.total or 0),
    "mini_batches_succeeded": ("Mini-batches done", True, lambda s: s.progress.succeeded),
    "mini_batches_failed": ("Mini-batches without a try left", True, lambda s: s.progress.failed),
    "mini_batches_in_flight": ("Mini-batches with nodes", False, lambda s: s.progress.in_flight),
    "tries_repeated": ("Failed tries followed by another", True, lambda s: s.progress.retried),
    "items": ("Items of mini-batches that have ended", True, lambda s: s.progress.items),
    "items_failed": ("Items that failed", True, lambda s: s.progress.items_failed),
    "results": ("Rows, or whatever run() returned", True, lambda s: s.results),
    "output_bytes": ("Bytes of results", True, lambda s: s.output_bytes),
    "seconds": ("Seconds that drivers have worked", True, lambda s: s.seconds),
    "slots": ("Script processes", False, lambda s: s.slots),
    "run_seconds": ("Seconds inside run()", True, lambda s: s.times.run),
    "load_seconds": ("Seconds in which data was read", True, lambda s: s.times.load),
    "write_seconds": ("Seconds in which results were written", True, lambda s: s.times.write),
    "failed_seconds": ("Seconds of tries that failed", True, lambda s: s.times.failed),
}
"""By the end of its name, each with what it is, whether it only grows, and where it comes from."""
