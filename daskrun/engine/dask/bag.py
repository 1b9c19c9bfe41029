"""Bundles as a Dask bag: one partition each, one task each."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from daskrun.engine.dask.worker import call_entry_script

if TYPE_CHECKING:
    from collections.abc import Mapping

MODULE, NAME = call_entry_script.__module__, call_entry_script.__name__
CALL = partial(eval, f"__import__('{MODULE}', fromlist=['']).{NAME}(data)")
"""The task of a bundle, called with ``{"data": payload}``: builtins and text, since the scheduler
unpickles it and pickles it again, and may have no daskrun and another Python."""


class BundleBags:
    """Submits bundles as the partitions of bags, on each of which ``CALL`` is mapped.

    The graph is made here: to have a bag mapped, tokenized and optimized took 1.5 ms of the
    driver's thread for every bundle. Bags are named after the step and the range of their
    mini-batches, which is what Dask's pages show; ``mark`` is the run's. Each has a new name: a
    repeated key gives the old result. What is before the first number is what Dask groups by.
    """

    def __init__(self, client: Any, step: str, mark: str) -> None:
        self._client = client
        self._step = step
        self._mark = mark
        self._made = 0

    def submit(
        self, payloads: Mapping[int, bytes], address: str, first: int = 0, last: int = 0
    ) -> dict[int, Any]:
        """Submit bundles to the worker at an address, and none other; return their futures.

        Both by the bundles' numbers; of those that wait, the lowest is run first. Their
        mini-batches lie between ``first`` and ``last``.
        """
        from dask.bag import Bag
        from dask.task_spec import Task

        self._made += 1
        name = f"daskrun-{self._step}-{first}-{last}-{self._mark}-{self._made}"
        partitions: dict[Any, Any] = {
            (name, i): Task((name, i), CALL, {"data": payload})
            for i, payload in enumerate(payloads.values())
        }
        bag = Bag(partitions, name, len(partitions))
        futures = self._client.get(
            bag.__dask_graph__(),
            bag.__dask_keys__(),
            sync=False,
            workers=[address],
            allow_other_workers=False,
            priority=-next(iter(payloads)),
        )
        return dict(zip(payloads, futures, strict=True))
