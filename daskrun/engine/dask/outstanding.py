"""The bundles that are out on Dask, each with its future, and their results as they are fetched."""

from __future__ import annotations

import queue
import threading
from functools import partial
from typing import TYPE_CHECKING, Any

from daskrun.engine.dask import worker as side
from daskrun.engine.dask.bag import BundleBags

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Mapping, Sequence

    from daskrun.core.events import Bundle
    from daskrun.engine.dask.connection import Connection
    from daskrun.engine.dispatch import Packed


def by_node(bundles: Sequence[Packed]) -> dict[str, list[Packed]]:
    """Return the bundles of each node."""
    groups: dict[str, list[Packed]] = {}
    for each in bundles:
        groups.setdefault(each.bundle.node, []).append(each)
    return groups


class Outstanding:
    """Bundles by their numbers, from when they are submitted until they are taken; any thread.

    Fetching the result of one may take ``fetch_limit`` seconds.
    """

    def __init__(self, run_id: str, cluster: Connection, fetch_limit: float) -> None:
        self._run_id = run_id
        self._cluster = cluster
        self._fetch_limit = fetch_limit
        self._lock = threading.Lock()
        self._out: dict[int, tuple[Bundle, Any]] = {}
        self._bags: BundleBags | None = None
        self.fetched: queue.SimpleQueue[tuple[int, Any] | None] = queue.SimpleQueue()
        """Number of a bundle, and the result or why there is none; None: the end."""

    def __len__(self) -> int:
        return len(self._out)

    def connected(self, step: str, topic: str) -> None:
        """Submit from now on, on the client that the connection has."""
        self._bags = BundleBags(self._cluster.client, step, topic)

    def hand_out(
        self, address: str, group: Sequence[Packed], budget: float, still: Callable[[], bool]
    ) -> bool:
        """Submit bundles to one worker, if ``still``; return whether they are out there.

        A worker lost while its bundles were being submitted would never give them back.
        """
        futures = self._submit(address, group, budget)
        if not self.add([each.bundle for each in group], futures, still):
            self._cluster.cancel(list(futures.values()))
            return False
        for number, future in futures.items():
            future.add_done_callback(partial(self._fetch, number))
        return True

    def _submit(self, address: str, group: Sequence[Packed], budget: float) -> dict[int, Any]:
        bundles = {
            each.bundle.number: side.packed_bundle(self._run_id, each, budget) for each in group
        }
        if self._bags is None:
            return {}
        try:
            indices = [index for each in group for index, _ in each.bundle.entries] or [0]
            return self._bags.submit(bundles, address, min(indices), max(indices))
        except Exception:
            if self._cluster.there:
                raise
            return {}  # a client that is closed; its nodes are given up at the next look

    def _fetch(self, number: int, future: Any) -> None:
        """Fetch the result of a bundle that is done; nobody waits for that of another."""
        put = self.fetched.put
        self._cluster.fetch(future, self._fetch_limit, lambda found: put((number, found)))

    def add(
        self,
        bundles: Sequence[Bundle],
        futures: Mapping[int, Any],
        still: Callable[[], bool] = lambda: True,
    ) -> bool:
        """Note bundles with the futures of their numbers, if ``still``; return whether it was."""
        with self._lock:
            there = bool(futures) and still()
            if there:
                self._out.update({b.number: (b, futures[b.number]) for b in bundles})
        return there

    def take(self, number: int) -> Bundle | None:
        """Return a bundle that is back; None where it was taken before."""
        with self._lock:
            bundle, future = self._out.pop(number, (None, None))
        if future is not None:
            future.release()
        return bundle

    def take_of(self, nodes: Container[str]) -> list[Bundle]:
        """Return what is out on nodes, and cancel it."""
        with self._lock:
            numbers = [n for n, (bundle, _) in self._out.items() if bundle.node in nodes]
            taken = [self._out.pop(number) for number in numbers]
        self._cluster.cancel([future for _, future in taken])
        return [bundle for bundle, _ in taken]
