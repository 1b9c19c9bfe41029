"""The seam between the driver and what runs bundles, and which of these a target means."""

from __future__ import annotations

import pickle
import queue
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from daskrun.core.events import BundleLost, BundleReturned, Event, Note, StopAsked
from daskrun.core.plugins import entry_points, load
from daskrun.engine.request import INLINE
from daskrun.script.messages import BundleGone, BundleResult
from daskrun.script.outcome_log import read_outcome_log

if TYPE_CHECKING:
    from collections.abc import Sequence

    from daskrun.core.events import Bundle
    from daskrun.engine.request import StepRequest


@dataclass(frozen=True, slots=True)
class Packed:
    """A bundle as it travels."""

    bundle: Bundle
    payload: bytes
    """What :func:`pack_entries` gave for its entries."""


class Dispatcher(ABC):
    """Runs bundles somewhere; made for one run, by what :mod:`daskrun.engine.dispatch` has.

    The driver's thread makes all calls; nothing but its constructor may be called where the run is
    over before it starts, then :meth:`close`. Where ``closes_beside`` that one is called from a
    thread of its own, while the driver tells what nodes say of their end. What an implementation
    has to keep is tested by
    :class:`daskrun.testing.contracts.dispatchers.DispatcherContract`.
    """

    closes_beside = False

    def __init__(self) -> None:
        self.events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        """What happened, from any thread: nodes, processes, bundles that came back."""

    @property
    def obstacle(self) -> str:
        """What is in the way of nodes, as far as that is known; else ``""``."""
        return ""

    @property
    def unreachable(self) -> bool:
        """Whether what makes nodes can't be reached for now: that none is there has no limit."""
        return False

    @abstractmethod
    def start(self) -> None:
        """Begin to make nodes; return soon. Each is announced by a ``NodeReady``.

        Whatever is in the way of all of them is put as a ``StopAsked``, never raised.
        """

    @abstractmethod
    def hand_out(self, bundles: Sequence[Packed], budget: float) -> None:
        """Run bundles on the nodes they are for.

        Each comes back exactly once, as a ``BundleReturned``, in which what was not begun within
        ``budget`` seconds has no outcome, or as a ``BundleLost`` after its node's ``NodeLost``.
        """

    def want(self, slots: int | None) -> None:  # noqa: B027  (most have the nodes they have)
        """Take note of how many slots the work that is left can fill; None: any number.

        Called often; one that can have more or fewer nodes asks for them.
        """

    @abstractmethod
    def stop(self, grace: float) -> None:
        """Make everything come back soon: what is in hand may end within ``grace`` seconds."""

    @abstractmethod
    def close(self) -> None:
        """End every process and connection of the run, however far they are."""

    def leave(self) -> None:  # noqa: B027  (most show the run nowhere)
        """Let go of what shows the run elsewhere: it is closed, and has been told how it ended."""

    def _note(self, text: str, dashboard: str = "", *, warns: bool = False) -> None:
        self.events.put(Note(text, time.monotonic(), dashboard, warns))

    def _stop_run(self, reason: str) -> None:
        self.events.put(StopAsked(reason, canceled=False, now=time.monotonic()))


def pack_entries(entries: Sequence[tuple[bytes, int]]) -> bytes:
    """Pack what is to be run: the encoded descriptor and the attempt of each mini-batch."""
    return pickle.dumps(entries, 5)


def returned(result: BundleResult | BundleGone, now: float | None = None) -> Event:
    """Turn what a node gives for a bundle into an event."""
    now = time.monotonic() if now is None else now
    if isinstance(result, BundleGone):
        return BundleLost(result.number, result.reason, now)
    charged = () if result.charged is None else (result.charged,)
    return BundleReturned(
        number=result.number,
        process=result.process,
        outcomes=(*read_outcome_log(result.outcome_log), *charged),
        seconds=result.seconds,
        now=now,
        warnings=tuple(result.warnings),
        trouble=result.trouble,
        alone=tuple(result.alone),
    )


DASK = "dask"
DISPATCHERS = {
    INLINE: "daskrun.engine.inline:InlineDispatcher",
    DASK: "daskrun.engine.dask.dispatcher:DaskDispatcher",
}
"""By kind of target; each is called with the :class:`StepRequest`."""
DASK_SCHEMES = frozenset({"tcp", "tls", "ws", "wss", "ucx", "inproc"})
GROUP = "daskrun.dispatchers"
"""Entry points, named by the scheme of the URLs that they take as targets."""


def make_dispatcher(request: StepRequest) -> Dispatcher:
    """Make what runs the bundles of ``request``.

    ``target`` is ``"inline"`` (this process), None (Dask workers in this process), an address, a
    ``distributed.Client`` or any Dask cluster object, a URL of an entry point's scheme, or what
    makes a dispatcher when it is called with the request.
    """
    target = request.target
    if callable(target):
        made: Any = target(request)
    elif registered(target):
        made = entry_points(GROUP)[str(target).partition("://")[0]].load()(request)
    else:
        made = load(DISPATCHERS[INLINE if target == INLINE else DASK])(request)
    return made  # type: ignore[no-any-return]


def registered(target: object) -> bool:
    """Return whether a target is a URL that an installed package has a dispatcher for."""
    scheme, separator, _ = target.partition("://") if isinstance(target, str) else ("", "", "")
    return bool(separator) and scheme not in DASK_SCHEMES and scheme in entry_points(GROUP)
