"""The nodes of a run: the bundles that fill them, and how long the run may be without one."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from daskrun.core.events import HandOut, RoomFor, SlotsIdle
from daskrun.core.minibatch import digest
from daskrun.core.sizing import BundleSizer
from daskrun.engine.dispatch import Packed, pack_entries

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from daskrun.core.events import Bundle, Order
    from daskrun.core.ledger import Ledger
    from daskrun.core.minibatch import Plan

LOOK_INTERVAL = 0.2
"""Seconds between two looks for mini-batches that take long."""


class Slots:
    """The slots of a run's nodes, and how many bundles each node owes.

    ``extend`` is called where the ledger wants to know more of the plan.
    """

    def __init__(self, plan: Plan, ledger: Ledger, extend: Callable[[], None]) -> None:
        self._plan = plan
        self.ledger = ledger
        self._extend = extend
        self._sizer = BundleSizer()
        self.counts: dict[str, int] = {}
        """Slots of each node."""
        self._owed: dict[str, int] = {}
        self._digests: dict[int, dict[int, str]] = {}
        self._next_look = 0.0

    @property
    def budget(self) -> float:
        """Seconds after which a bundle's script process hands back what it has not started."""
        return self._sizer.budget(sum(self.counts.values()))

    @property
    def wanted(self) -> int | None:
        """How many slots the work that is left can fill; None while that is not known."""
        if not self._plan.complete:
            return None
        busy = min(len(self.ledger.out), sum(self.counts.values()))
        return self._sizer.slots(self.ledger.remaining(), busy)

    def came(self, node: str, slots: int) -> None:
        """Note that a node is there."""
        self.counts[node] = slots

    def went(self, node: str) -> None:
        """Note that a node is lost."""
        self.counts.pop(node, None)

    def came_back(self, bundle: Bundle, count: int, seconds: float) -> None:
        """Note that a bundle is back, ``count`` of whose mini-batches took ``seconds``."""
        self._owed[bundle.node] = self._owed.get(bundle.node, 1) - 1
        self._digests.pop(bundle.number, None)
        self._sizer.observe(count, seconds)

    def fill(self) -> list[Packed]:
        """Return a bundle for every slot that has room, one for each node in turn."""
        total = sum(self.counts.values())
        bundles: list[Packed] = []
        given = True
        while given:
            given = False
            for node, count in self.counts.items():
                if (bundle := self._bundle_for(node, count, total)) is not None:
                    bundles.append(self._pack(bundle))
                    given = True
        return bundles

    def repeat(self) -> tuple[list[Packed], list[Order]]:
        """Return what is late, for slots that have nothing else to do, and what is ordered beside.

        Such slots are looked for a few times a second.
        """
        now = time.monotonic()
        if now < self._next_look or self.ledger.has_work(now):
            return [], []
        self._next_look = now + LOOK_INTERVAL
        free = {node: count - self._owed.get(node, 0) for node, count in self.counts.items()}
        limit = self._sizer.size(0, sum(self.counts.values()))
        orders = self.ledger.handle(SlotsIdle(free, limit, now))
        bundles = [order.bundle for order in orders if isinstance(order, HandOut)]
        for bundle in bundles:
            self._owed[bundle.node] = self._owed.get(bundle.node, 0) + 1
        return [self._pack(bundle) for bundle in bundles], orders

    def _bundle_for(self, node: str, count: int, total: int) -> Bundle | None:
        """Return a bundle for one node, if it has room and there is work."""
        ledger, now = self.ledger, time.monotonic()
        if ledger.wants_plan:
            self._extend()
        window = self._sizer.window(total, ledger.remaining())
        if count * window <= self._owed.get(node, 0) or not ledger.has_work(now):
            return None
        size = self._sizer.size(ledger.remaining(), total)
        size = self._plan.bundle_size(ledger.next_fresh, size)
        for order in ledger.handle(RoomFor(node, size, now)):
            if isinstance(order, HandOut):
                self._owed[node] = self._owed.get(node, 0) + 1
                return order.bundle
        return None

    def _pack(self, bundle: Bundle) -> Packed:
        entries = []
        digests = self._digests[bundle.number] = {}
        for index, attempt in bundle.entries:
            descriptor = self._plan.encode(index)
            digests[index] = digest(descriptor)
            entries.append((descriptor, attempt))
        return Packed(bundle, pack_entries(entries))

    def digests_of(self, number: int) -> Mapping[int, str]:
        """Return the digests of the descriptors in a bundle that is owed."""
        return self._digests.get(number, {})


STOP_GRACE = 0.5
"""Seconds that mini-batches in hand get to end when the run stops."""
STOP_LIMIT = 6.0
"""Seconds after which what has not come back by then is counted as unfinished."""


class Waits:
    """How long a run has had no node, and how long it has been stopping; all on one clock.

    Examples
    --------
    >>> waits = Waits(no_worker_timeout=300, now=0.0)
    >>> waits.too_long_nodeless(now=300.0)
    ''
    >>> waits.too_long_nodeless(now=301.0)
    'no Dask worker had a node of this run for 301 s (no_worker_timeout=300)'
    >>> waits.node_came()
    >>> waits.too_long_nodeless(now=900.0)
    ''
    """

    def __init__(self, no_worker_timeout: float, now: float) -> None:
        self._timeout = no_worker_timeout
        self._nodeless_since: float | None = now
        self._lost = ""
        """Why the last node was lost."""
        self._stopped_at: float | None = None

    def node_came(self) -> None:
        """Note that there is a node."""
        self._nodeless_since = None

    def node_went(self, reason: str, now: float, left: int) -> None:
        """Note that a node is lost, and how many are left."""
        self._lost = reason
        if not left and self._nodeless_since is None:
            self._nodeless_since = now

    def hold(self, now: float) -> None:
        """Count anew how long there is no node: nobody could have told of one."""
        if self._nodeless_since is not None:
            self._nodeless_since = now

    def stopped(self, now: float) -> None:
        """Note that the run ends before its data does."""
        self._stopped_at = now

    def too_long_stopped(self, now: float) -> bool:
        """Return whether the bundles that are still out are to be given up."""
        return self._stopped_at is not None and now > self._stopped_at + STOP_LIMIT

    def too_long_nodeless(self, now: float, obstacle: str = "") -> str:
        """Return why the run has to end, as it had no node for too long; ``""`` if it had one.

        ``obstacle`` is what is known to be in the way of one.
        """
        if self._nodeless_since is None or self._stopped_at is not None:
            return ""
        waited = now - self._nodeless_since
        if waited <= self._timeout:
            return ""
        why = f": {obstacle}" if obstacle else ""
        if self._lost and (not obstacle or obstacle not in self._lost):
            why += f"; last: {self._lost}"
        reason = f"no Dask worker had a node of this run for {waited:.0f} s"
        return f"{reason} (no_worker_timeout={self._timeout:g}){why}"
