"""The waits of a run that must end, and what is said when one has lasted too long."""

from __future__ import annotations

STOP_GRACE = 0.5
"""Seconds that mini-batches in hand get to end when the run stops."""
STOP_LIMIT = 6.0
"""Seconds after which what has not come back by then is counted as unfinished."""


class Waits:
    """How long a run has had no node, and how long it has been stopping.

    Parameters
    ----------
    no_worker_timeout
        Seconds for which a run may have no node.
    now
        When it began, on the clock that all other times are of.

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
