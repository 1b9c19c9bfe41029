"""Which workers of a cluster have noted a run, and what is installed where they are."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from daskrun.engine.dask.versions import SCHEDULER, differences, misfit, named
from daskrun.script.keeper.gpus import shares, visible_gpus

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Set

    Versions = Mapping[str, str]


class Arrivals:
    """The workers that are there and fit, as each has said itself; for any thread."""

    def __init__(self) -> None:
        self._here: Versions = {}
        self._changed = threading.Condition()
        self._there: dict[str, Versions] = {}
        self._no_use: dict[str, Versions] = {}
        self._told: set[str] = set()
        """Addresses whose versions have been compared."""

    def came(self, address: str, found: Versions) -> str:
        """Note a worker, or the scheduler (no address); return why it is no use, or ``""``."""
        why = misfit(found, self._here) if address else ""
        with self._changed:
            (self._no_use if why else self._there)[address or SCHEDULER] = found
            self._changed.notify_all()
        return why

    def went(self, address: str) -> None:
        """Note that a worker has left."""
        with self._changed:
            self._there.pop(address, None)
            self._no_use.pop(address, None)

    def begin(self, here: Versions) -> None:
        """Expect workers anew; ``here`` is what is installed where the driver is."""
        with self._changed:
            self._here = here
            self._there.clear()
            self._no_use.clear()

    def wait_for(self, addresses: Set[str], limit: float) -> None:
        """Wait until these workers have come, or are known to be no use."""
        with self._changed:
            self._changed.wait_for(lambda: addresses <= {*self._there, *self._no_use}, limit)

    @property
    def there(self) -> frozenset[str]:
        """Addresses of those that have come and can take part."""
        with self._changed:
            return frozenset(self._there)

    def silence(self, workers: Iterable[str], limit: float) -> str:
        """Return what is said of workers that have not answered within ``limit`` seconds."""
        silent = named({*workers} - self.there)
        words = f"not every Dask worker has answered within {limit:g} s; the others are used"
        return f"{words}. Silent: {silent}"

    def gpus(self, workers: Iterable[str]) -> dict[str, list[str]]:
        """Return the GPUs that are each worker's own among those of one machine."""
        with self._changed:
            told = {a: self._there.get(a, {}).get("gpus", "") for a in workers}
        return shares({a: visible_gpus(text) for a, text in told.items()})

    def new_differences(self) -> str:
        """Return which versions differ, of those that have come since this was last asked."""
        with self._changed:
            news = {a: found for a, found in self._there.items() if a not in self._told}
        self._told.update(news)
        return differences(news, self._here)
