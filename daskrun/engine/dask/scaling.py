"""Workers that a cluster object is asked for while runs have work for them, and given back.

A cluster that adapts looks at Dask's tasks, of which a run has few: its own minimum is raised to
what the runs need, and put back. One that does not is scaled up, and back at the end.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
from math import ceil
from typing import TYPE_CHECKING, Any

from daskrun.core.logs import get_logger
from daskrun.engine.request import GivenCluster

if TYPE_CHECKING:
    from collections.abc import Callable

logger = get_logger(__name__)

ANSWER_LIMIT = 30.0
"""Seconds in which a cluster has to answer that it takes workers back: a service may be gone."""
_lock = threading.Lock()
_shared: dict[int, _Scaled] = {}
"""By ``id`` of a cluster, which is held meanwhile: what all runs on it need together."""


class Scaling:
    """What one run needs of a cluster; ``tell`` gets what the user should know."""

    def __init__(
        self, cluster: Any, bounds: tuple[int, int] | None, tell: Callable[[str], None]
    ) -> None:
        self._tell = tell
        self._needed = 0
        with _lock:
            self._of = _shared.setdefault(id(cluster), _Scaled(cluster, bounds))
            self._of.needs[self] = 0

    @property
    def most(self) -> int | None:
        """Workers that the cluster may have at most; None: no bound is known."""
        return self._of.most

    def need(self, slots: int | None, of_each: int, count: int | None) -> None:
        """Ask for workers with so many slots for this run, off this thread: some answer late.

        ``count`` are its nodes at most; None: no bound. Slots of None: as many as may be.
        """
        most = count or self.most or 1
        workers = max(1, most if slots is None else min(most, ceil(slots / of_each)))
        if workers != self._needed:
            self._needed = workers
            threading.Thread(
                target=self._change, args=(workers,), name="daskrun-scale", daemon=True
            ).start()

    def end(self) -> None:
        """Give back what the run has asked for."""
        with _lock:
            self._of.needs.pop(self, None)
            last = not self._of.needs
            if last:
                _shared.pop(id(self._of.cluster), None)
        give = self._of.end if last else self._of.ask
        thread = threading.Thread(target=_give_back, args=(give,), daemon=True)
        thread.start()
        thread.join(ANSWER_LIMIT)
        if thread.is_alive():
            logger.warning("giving workers back: no answer within %g s", ANSWER_LIMIT)

    def _change(self, workers: int) -> None:
        with _lock:
            if self not in self._of.needs:
                return  # over
            self._of.needs[self] = workers
        try:
            self._of.ask()
        except Exception as error:  # noqa: BLE001  (the cluster's own code)
            words = f"{type(error).__name__}: {error}"
            self._tell(f"the cluster can't be asked for {workers} workers: {words}")


def _give_back(give: Callable[[], None]) -> None:
    try:
        give()
    except Exception as error:  # noqa: BLE001  (the cluster's own code)
        logger.warning("giving workers back: %s: %s", type(error).__name__, error)


class _Scaled:
    """A cluster, as its user had it set and as runs need it."""

    def __init__(self, cluster: Any, bounds: tuple[int, int] | None) -> None:
        self.cluster = cluster
        self.needs: dict[Scaling, int] = {}
        self._asking = threading.Lock()
        self._bounds = bounds
        self._asked: int | None = None
        self._had = _planned(cluster)
        adaptive = getattr(cluster, "_adaptive", None)
        self._adaptive = adaptive if getattr(adaptive, "periodic_callback", None) else None
        if bounds is None and self._adaptive is not None:
            self._least = self._adaptive.minimum
        elif bounds is not None:
            self._least = bounds[0]

    @property
    def most(self) -> int | None:
        if self._bounds is not None:
            return self._bounds[1]
        most = getattr(self._adaptive, "maximum", None)
        return most if isinstance(most, int) else None

    def ask(self) -> None:
        """Ask for what all runs need together."""
        with self._asking:
            with _lock:
                needed = sum(self.needs.values())
            if self.most is not None:
                needed = min(needed, self.most)
            if self._bounds is None and self._adaptive is None:
                needed = max(needed, self._asked or self._had or 0)  # else it ends busy workers
                if needed != (self._asked or self._had):
                    self._call("scale", needed)
                self._asked = needed
            else:
                self._adapt(max(needed, self._least))

    def end(self) -> None:
        """Have the cluster as it was before the first run."""
        with self._asking:
            if self._bounds is not None or self._adaptive is not None:
                self._adapt(self._least)
            elif self._asked and self._had is not None and self._asked == _planned(self.cluster):
                self._call("scale", self._had)  # else its user has scaled it meanwhile

    def _adapt(self, least: int) -> None:
        if self._adaptive is not None:
            # in place: asked of the cluster it would forget the rest of what its user has set
            self._adaptive.minimum = least
            if self._bounds is not None:
                self._adaptive.maximum = self._bounds[1]
        elif least != self._asked:
            self._asked = least
            most = self._bounds[1] if self._bounds is not None else least
            self._call("adapt", minimum=least, maximum=most)
            adaptive = getattr(self.cluster, "_adaptive", None)
            self._adaptive = adaptive if hasattr(adaptive, "minimum") else None

    def _call(self, name: str, *arguments: int, **options: int) -> None:
        cluster = self.cluster
        if not getattr(cluster, "asynchronous", False):
            getattr(cluster, name)(*arguments, **options)
            return

        async def call() -> None:
            answer = getattr(cluster, name)(*arguments, **options)
            if inspect.isawaitable(answer):
                await answer

        asyncio.run_coroutine_threadsafe(call(), cluster.loop.asyncio_loop).result(ANSWER_LIMIT)


def scaling_of(target: object, tell: Callable[[str], None]) -> Scaling | None:
    """Return what asks for more workers of a target; None where it has those it has."""
    given = target if isinstance(target, GivenCluster) else GivenCluster(target)
    cluster = cluster_to_scale(given.at)
    return None if cluster is None else Scaling(cluster, given.bounds, tell)


def cluster_to_scale(target: Any) -> Any:
    """Return the cluster object that a target is, or a client has; None where none can be scaled.

    Examples
    --------
    >>> cluster_to_scale("tcp://10.0.0.5:8786")
    """
    cluster = target if callable(getattr(target, "scale", None)) else None
    if cluster is None:
        cluster = getattr(target, "cluster", None)  # a client's
    if not callable(getattr(cluster, "scale", None)):
        return None
    return cluster if getattr(cluster, "_supports_scaling", True) else None


def _planned(cluster: Any) -> int | None:
    """Return how many workers a cluster has or has been asked for, as far as it says."""
    for look in (lambda: cluster.plan, lambda: cluster.scheduler_info["workers"]):
        try:
            return len(look())
        except Exception:  # noqa: BLE001  (the cluster's own code, or none)
            continue
    return None
