"""The driver's connection to a Dask cluster: made within a limit, watched, and undone whole."""

from __future__ import annotations

import asyncio
import contextlib
import pickle
import threading
import time
from concurrent.futures import CancelledError
from enum import Enum
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from daskrun.core.intervals import USUAL
from daskrun.core.logs import get_logger
from daskrun.engine.dask.client import open_client, silent, synchronous
from daskrun.engine.dask.local_cluster import (
    connect_when_asked,
    end_silence,
    silence,
    start_cluster,
)
from daskrun.engine.dask.source import pickled_as_source
from daskrun.engine.request import GivenCluster
from daskrun.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from daskrun.core.intervals import Intervals
    from daskrun.engine.request import Pages

logger = get_logger(__name__)


LEAVE_MARGIN = 5.0
"""Seconds that a worker which is to leave gets beyond the longest that a mini-batch may take."""


class Abandoned(Exception):  # noqa: N818  (not an error: the run ended while it was connecting)
    """The connection was closed while it was being made."""


class Link(Enum):
    """How the connection to a scheduler is."""

    FINE = "fine"
    BROKEN = "broken"
    BACK = "back"
    """It is there again, maybe to another scheduler at the same address; seen once."""
    GONE = "gone"
    """It was broken for ``scheduler_timeout``, or the client that was given is closed."""


class LinkState(NamedTuple):
    """What a look at the connection has found."""

    link: Link
    reason: str = ""


class TopicEvent(NamedTuple):
    """What a worker or the scheduler tells the driver; a dictionary on its way."""

    kind: str
    """``node``, ``worker_came``, ``worker_went``, ``leaves``, ``stays``, ``cleared``;
    ``worker_here``, ``scheduler_here``: what is installed there."""
    address: str
    """The worker's."""
    value: Any
    """Why; of a node the message, encoded; what is installed, by name."""
    node: str = ""


class Registered(NamedTuple):
    """What has come of registering the plugins."""

    failed: Mapping[str, str] = MappingProxyType({})
    """Addresses of workers that can't take them -> why."""
    done: frozenset[str] = frozenset()
    """Addresses of workers that have them."""
    whole: bool = True
    """Whether every worker has answered in time."""


class Connection:
    """A client of a scheduler, the run's plugins there, and the topic its events come over.

    Ending the run's nodes may take ``close_limit`` seconds; a connection that is broken is waited
    for ``patience`` seconds.
    """

    def __init__(
        self,
        run_id: str,
        topic: str,
        close_limit: float,
        intervals: Intervals = USUAL,
        patience: float = 300.0,
    ) -> None:
        self._run_id = run_id
        self._topic = topic
        self._close_limit = close_limit
        self._patience = patience
        self._intervals = intervals
        self._lock = threading.Lock()
        self._closed = False
        self._undo: list[Callable[[], object]] = []
        """What undoes each thing that was made, in the order it was made."""
        self._undo_last: list[Callable[[], object]] = []
        self._subscribed = threading.Event()
        self._subscribing = False
        self._registered = False
        self.seen = 0.0
        """When the connection was last seen to be there."""
        self._comm: Any = None
        """The connection that the run's nodes and tasks were asked for over."""
        self._given = False
        """Whether the client is its user's."""
        self.client: Any = None
        self.address = ""
        self._here: tuple[Any, ...] = ()
        """The workers, where they are in this process, on the client's event loop."""

    def keep(self, undo: Callable[[], object], *, last: bool = False) -> None:
        """Call ``undo`` on close, or on leave; now where the connection is closed already."""
        with self._lock:
            if not self._closed:
                (self._undo_last if last else self._undo).append(undo)
                return
        self._try(undo)
        raise Abandoned

    def connect_here(self, names: list[str], pages: Pages | None) -> str:
        """Connect to workers of these names in this process; return their dashboard's address."""
        silence()
        self.keep(end_silence, last=True)
        cluster = start_cluster(names)
        self.keep(cluster.close, last=True)
        if pages is not None:
            pages.show_here()
        self._here = tuple(cluster.workers.values())
        self.connect(cluster)
        return connect_when_asked(cluster.scheduler, pages)

    def connect(self, target: Any) -> None:
        """Connect to a scheduler; a Client that is given is used and left open."""
        from distributed import Client

        if isinstance(target, GivenCluster) and target.security is None:
            target = target.at
        target = synchronous(target)
        self._given = isinstance(target, Client)
        client: Any = target if self._given else self._new_client(target)
        # else it closes itself 30 s after its scheduler was gone, and no scheduler brings it back
        before, client._timeout = client._timeout, self._patience
        self.keep(partial(setattr, client, "_timeout", before), last=True)
        self.address = str(client.scheduler.addr)
        self.seen = time.monotonic()
        self._comm = client.scheduler_comm
        self.client = client  # last: from now on the connection is looked at

    def _new_client(self, target: object) -> Any:
        found: list[Any] = []
        limit = self._intervals.connect_limit

        def made(client: Any) -> None:
            if not isinstance(client, Exception):
                with contextlib.suppress(Abandoned):
                    self.keep(client.close, last=True)
            found.append(client)

        done = open_client(target, limit, made)
        deadline = time.monotonic() + limit + 1
        while not self._closed and not done.wait(0.1) and time.monotonic() < deadline:
            pass
        if self._closed:
            raise Abandoned
        if not found:
            raise silent(target, limit)
        if isinstance(found[0], Exception):
            raise found[0]
        return found[0]

    def run_there(self, function: Callable[..., object]) -> None:
        """Run an importable function in the scheduler, which it gets as ``dask_scheduler``."""
        limit = self._intervals.register_limit
        self.client.sync(self.client._run_on_scheduler, function, callback_timeout=limit)

    def ask_there(self, operation: str, **message: object) -> None:
        """Call an operation of the scheduler; Dask logs no line of that."""
        limit = self._intervals.register_limit
        call = getattr(self.client.scheduler, operation)
        self.client.sync(call, **message, callback_timeout=limit)

    def subscribe(self, hear: Callable[[TopicEvent], None]) -> None:
        """Call ``hear`` with the run's events; return when the subscription holds."""

        def listen(event: Any) -> None:
            _, told = event
            if told["kind"] == "subscribed":
                self._subscribed.set()
            else:
                node = told.get("node", "")  # Dask adds more, which nobody needs
                hear(TopicEvent(told["kind"], told["address"], told["value"], node))

        client, limit = self.client, self._intervals.subscribe_limit
        deadline = time.monotonic() + limit
        self._subscribed.clear()
        client.subscribe_topic(self._topic, listen)
        if not self._subscribing:
            self._subscribing = True
            self.keep(lambda: self.there and client.unsubscribe_topic(self._topic))
        while True:
            mark = {"kind": "subscribed", "address": "", "value": None}
            log = client.scheduler.log_event
            with contextlib.suppress(TimeoutError):
                client.sync(log, topic=self._topic, msg=mark, callback_timeout=limit)
            if self._subscribed.wait(0.02):
                return
            if self._closed:
                raise Abandoned
            if time.monotonic() > deadline:
                raise StorageError(
                    f"the Dask scheduler {self.address} did not answer a subscription to its "
                    f"events within {limit:g} s. Is it overloaded or stopped?"
                )

    def register(self, patience: float) -> Registered:
        """Register the run's plugins with the scheduler and the workers.

        One that is to leave gets ``patience`` seconds for what it has in hand, and some to tell.
        """
        from daskrun.engine.dask import plugin as plugins  # it imports distributed

        client, scheduler = self.client, self.client.scheduler
        run = (self._run_id, self._topic, () if self._here else plugins.PACKAGES)
        grace, limit = self._intervals.client_grace, self._intervals.register_limit
        leave = patience + LEAVE_MARGIN
        watcher = pickled_as_source(plugins, "RunWatcher", *run, client.id, grace, leave)
        plugin = pickled_as_source(plugins, "EntryScriptPlugin", *run)
        if not self._registered:
            self._registered = True
            self.keep(self._unregister)
        name = f"daskrun-{self._run_id}"
        common = {"name": name, "idempotent": False, "callback_timeout": limit}
        try:
            client.sync(scheduler.register_scheduler_plugin, plugin=watcher, **common)
            answers = client.sync(scheduler.register_worker_plugin, plugin=plugin, **common)
        except TimeoutError:  # of a worker that is stopped
            return Registered(whole=False)
        except Exception as error:  # noqa: BLE001  (asked for below)
            if not self.there:
                return Registered(whole=False)
            logger.info("run %s: registering: %s", self._run_id, error)
            # a worker has died meanwhile, or can't read the plugin: one by one they say which
            message = {"op": "plugin-add", "name": name, "plugin": plugin}
            ask = {"msg": message, "on_error": "return_pickle", "callback_timeout": limit}
            answers = client.sync(scheduler.broadcast, **ask)
        failed = {a: why for a, each in answers.items() if (why := _failure(each))}
        return Registered(failed, frozenset(answers.keys() - failed.keys()))

    def _unregister(self) -> None:
        """Unregister the plugins, which ends every node."""
        client, name = self.client, f"daskrun-{self._run_id}"
        for kind in ("worker", "scheduler") if self.there else ():
            remove = getattr(client.scheduler, f"unregister_{kind}_plugin")
            try:
                client.sync(remove, name=name, callback_timeout=self._close_limit)
            except ValueError:
                pass  # cleared by the watcher
            except TimeoutError:
                text = "run %s: not every worker has answered that the run is over"
                logger.warning(text, self._run_id)

    @property
    def there(self) -> bool:
        """Whether the client is connected."""
        return self.client is not None and self.client.status == "running"

    def look(self, now: float) -> LinkState:
        """Return how the connection is; to be called often."""
        scheduler = f"the Dask scheduler {self.address}"
        if self.there:
            self.seen = now
            # a break that was over before anybody looked has canceled every future too
            before, self._comm = self._comm, self.client.scheduler_comm
            if before is self._comm:
                return LinkState(Link.FINE)
            return LinkState(Link.BACK, f"the connection to {scheduler} was broken")
        away = f"{now - self.seen:.0f} s"
        if self.client.status in ("closing", "closed"):
            given = "client" if self._given else "cluster"
            closed = f"the Dask {given} given as the run's target is closed"
            return LinkState(Link.GONE, f"{closed}; {scheduler} was last seen {away} before")
        if now > self.seen + self._patience:
            limit = f"scheduler_timeout={self._patience:g}"
            return LinkState(Link.GONE, f"{scheduler} is gone (for {away}; {limit})")
        return LinkState(Link.BROKEN, f"the connection to {scheduler} is broken")

    def call_on(
        self,
        addresses: list[str],
        function: Callable[..., object],
        *args: Any,
        limit: float | None = None,
        failed: Callable[[Exception], None] | None = None,
    ) -> None:
        """Call a function on workers without waiting: a stopped worker answers never.

        ``failed`` is called on the event loop with what went wrong; a TimeoutError after ``limit``
        seconds.
        """

        async def call() -> None:
            try:
                run = self.client._run(function, *args, workers=addresses)
                await asyncio.wait_for(run, limit)
            except Exception as error:  # noqa: BLE001  (told where somebody wants to know)
                logger.info("run %s: calling %s: %s", self._run_id, addresses, error)
                if failed is not None:
                    failed(error)

        self.client.loop.add_callback(call)

    def fetch(self, future: Any, limit: float, tell: Callable[[Any], None]) -> None:
        """Fetch the result of a future that is done; ``tell`` gets it, or the error.

        The client's own ``gather`` joins what is asked for at about the same time into one request,
        in which a worker that does not answer holds up the results of all others.
        """

        async def fetch() -> None:
            try:
                tell(await self._result(future, limit))
            except asyncio.CancelledError:
                tell(CancelledError("the client was closed"))
            except Exception as error:  # noqa: BLE001  (told)
                tell(error)

        self.client.loop.add_callback(fetch)

    async def _result(self, future: Any, limit: float) -> Any:
        if future.status != "finished":
            return await asyncio.wait_for(future._result(), limit)  # raises what it failed with
        for worker in self._here:
            if future.key in worker.data:  # to have it sent would be an eighth of a bundle's cost
                return worker.data[future.key]
        answer = await asyncio.wait_for(self.client.scheduler.gather(keys=[future.key]), limit)
        if answer["status"] != "OK":
            raise CancelledError(f"no worker has the result of {future.key} any more")
        return answer["data"][future.key]

    def cancel(self, futures: list[Any]) -> None:
        """Cancel futures, from any thread: on the event loop ``Future.cancel`` does nothing."""

        async def cancel() -> None:
            if self.client.status not in ("closing", "closed"):
                await self.client._cancel(futures)

        if futures:
            self.client.loop.add_callback(cancel)

    def close(self, *, quick: bool, silent: bool = False) -> None:
        """Undo everything but the client, what was made last first.

        ``quick`` where the run was stopped; ``silent`` where the scheduler does not answer: its
        watcher clears the run when it wakes up.
        """
        if quick:
            times = self._intervals
            limit = times.silent_close if silent else times.stopped_close
            self._close_limit = min(self._close_limit, limit)
        with self._lock:
            self._closed = True
        self._undo_all(self._undo)

    def leave(self) -> None:
        """Close the client too, and a cluster that is in this process."""
        self._undo_all(self._undo_last)

    def _undo_all(self, made: list[Callable[[], object]]) -> None:
        while made:
            self._try(made.pop())

    def _try(self, undo: Callable[[], object]) -> None:
        try:
            undo()
        except Exception:
            logger.exception("run %s: closing", self._run_id)


def _failure(answer: Any) -> str:
    """Return what a worker failed with; ``""`` where it did not."""
    if isinstance(answer, bytes):  # an exception of the scheduler's while it asked
        error = pickle.loads(answer)
        return str(error) or repr(error)
    return str(answer["exception_text"]) if answer["status"] == "error" else ""
