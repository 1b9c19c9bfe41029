"""What a look at the connection, at the scheduler's health and at paused workers asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from daskrun.engine.dask.connection import Link

if TYPE_CHECKING:
    from collections.abc import Sequence

    from daskrun.engine.dask.assignment import Assignment
    from daskrun.engine.dask.connection import Connection
    from daskrun.engine.dask.health_check import HealthCheck


class Seen(NamedTuple):
    """What is to be done after a look; empty where all is well."""

    note: str = ""
    """Something for the log."""
    lost: str = ""
    """Why every node is lost."""
    end: str = ""
    """Why the run has to end."""
    rejoin: str = ""
    """Why it has to register again."""
    idle: Sequence[str] = ()
    """Addresses of workers whose node goes elsewhere, as Dask gives them no tasks."""
    ask: bool = False
    """Whether there may be workers for nodes again."""


class Lookout:
    """Watches the connection: a break cancels all futures, and nobody tells when it is over.

    ``patience`` is how many seconds a break is waited for; with ``local`` workers nobody asks the
    scheduler, which is in this process.
    """

    def __init__(
        self,
        cluster: Connection,
        health: HealthCheck,
        workers: Assignment,
        patience: float,
        *,
        local: bool,
    ) -> None:
        self._cluster, self._health, self._workers = cluster, health, workers
        self._patience = patience
        self._local = local
        self.unreachable = False
        """Whether the connection is broken."""

    def look(self, now: float) -> Seen:
        """Look, and return what is to be done."""
        link, reason = self._cluster.look(now)
        before, self.unreachable = self.unreachable, link is Link.BROKEN
        if link is Link.FINE and not self._local:
            return self._check_health(now)
        self._health.restart()
        if link is Link.BROKEN:
            told = f"{reason}; it is waited for (scheduler_timeout={self._patience:g})"
            return Seen(note="" if before else told, lost=reason)
        if link is Link.GONE:
            return Seen(end=reason, lost=reason)
        return Seen(rejoin=reason if link is Link.BACK else "")

    def _check_health(self, now: float) -> Seen:
        taken, scheduler = self._workers.addresses, f"the Dask scheduler {self._cluster.address}"
        found = self._health.check(self._cluster.client, [*taken, *self._workers.idle], now)
        trouble = f"{scheduler} {found.trouble}" if found.trouble else ""
        return Seen(
            note=f"{scheduler} {found.note}" if found.note else "",
            end=trouble,
            lost=trouble,
            idle=[address for address in found.idle if address in taken],
            ask=found.back,
        )
