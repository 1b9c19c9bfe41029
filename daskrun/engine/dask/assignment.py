"""Which worker has which node of a run, and which workers are to have none."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from daskrun.engine.dask.health_check import NO_TASKS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

IDLE = frozenset({"paused", "closing_gracefully", "closing", "closed"})
"""States of a worker in which Dask gives it no tasks; one that joins is none of these."""
MOST_FAILURES = 3
"""Dask tasks in a row that may fail on a worker before it is given up."""


class Assignment:
    """The nodes of a run and the addresses of their workers. Any thread may call anything.

    Parameters
    ----------
    names
        Of the nodes.
    local
        Whether the workers are the run's own, each there for the node of its name.
    """

    def __init__(self, names: Iterable[str], *, local: bool) -> None:
        self._names = tuple(names)
        self._local = local
        self._lock = threading.Lock()
        self._addresses: dict[str, str] = {}
        """Node -> address of its worker."""
        self._unfit: dict[str, str] = {}
        """Address -> why that worker can't take part."""
        self._silent: set[str] = set()
        """Addresses of workers that were asked to begin a node and have not answered."""
        self._failures: dict[str, int] = {}
        """Address -> tasks in a row that failed there."""
        self._told_short = False
        self._idle: list[str] = []
        """Addresses of workers that could have a node if Dask gave them tasks."""
        self._obstacle = ""

    @property
    def addresses(self) -> list[str]:
        """Addresses of the workers that have a node."""
        with self._lock:
            return list(self._addresses.values())

    @property
    def idle(self) -> list[str]:
        """Addresses of the workers that could have a node if Dask gave them tasks."""
        return list(self._idle)

    @property
    def obstacle(self) -> str:
        """What was in the way of nodes when they were last chosen; ``""`` where nothing was."""
        return self._obstacle

    def news_of_short(self) -> str:
        """Say, the first time it is so, how many nodes have no worker; else nothing."""
        if self._told_short or len(self._addresses) == len(self._names):
            return ""
        self._told_short = True
        there = f"{len(self._addresses)} of the node_count={len(self._names)} nodes asked for"
        return f"{there} have a Dask worker; the others join when there are more workers"

    def address_of(self, node: str) -> str | None:
        """Return the address of a node's worker."""
        return self._addresses.get(node)

    def choose(self, workers: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str]]:
        """Return workers to nodes that have none, then to those whose worker does not answer.

        Parameters
        ----------
        workers
            What the scheduler knows of each worker, by address.

        Returns
        -------
        list
            Node and address of each that is to be begun.
        """
        with self._lock:
            untaken = self._free(workers)
            self._idle = [a for a in untaken if workers[a].get("status") in IDLE]
            free = [a for a in untaken if a not in self._idle]
            self._obstacle = "" if workers else "the cluster has no Dask worker"
            if self._idle and not free:
                each, more = self._idle[0], len(self._idle) - 1
                self._obstacle = f"worker {each} {NO_TASKS}" + (f"; {more} more" if more else "")
            missing = [n for n in self._names if n not in self._addresses]
            if self._local:
                by_name = {str(workers[a]["name"]): a for a in free}
                chosen = [(name, by_name[name]) for name in missing if name in by_name]
            else:
                waiting = [n for n, a in self._addresses.items() if a in self._silent]
                chosen = list(zip([*missing, *waiting], free, strict=False))
            self._addresses.update(chosen)
        return chosen

    def neighbours(self, workers: Mapping[str, Mapping[str, Any]], address: str) -> int:
        """Count the nodes on the machine of a worker, its own too."""
        host = workers[address]["host"]
        return sum(a in workers and workers[a]["host"] == host for a in self.addresses)

    def why_none(self, workers: Mapping[str, Mapping[str, Any]]) -> str:
        """Return why no worker can take part; nothing where one has a node or could have."""
        with self._lock:
            if self._addresses or self._free(workers):
                return ""
            return "; ".join(sorted(self._unfit.values()))

    def _free(self, workers: Iterable[str]) -> list[str]:
        taken = {*self._addresses.values(), *self._unfit, *self._silent}
        return [address for address in sorted(workers) if address not in taken]

    def lose(self, address: str, why_unfit: str = "", *, keep: bool = False) -> list[str]:
        """Take it that a worker's nodes are gone; ``keep`` where they start again there."""
        with self._lock:
            if why_unfit:
                self._unfit[address] = why_unfit
            nodes = [n for n, a in self._addresses.items() if a == address]
            for node in nodes if not keep else ():
                del self._addresses[node]
        return nodes

    def lose_all(self) -> Sequence[str]:
        """Take it that every node is gone; what was known of the workers holds no more."""
        with self._lock:
            nodes = list(self._addresses)
            for known in (self._addresses, self._unfit, self._silent, self._failures):
                known.clear()
        return nodes

    def renew(self, address: str) -> None:
        """Take it that who is at an address, or comes there, is another worker."""
        with self._lock:
            self._unfit.pop(address, None)
            self._failures.pop(address, None)
            self._silent.discard(address)

    def silent(self, address: str) -> None:
        """Note that a worker does not answer: its node may go to another, or it is waited for."""
        with self._lock:
            self._silent.add(address)

    def spoke(self, address: str) -> None:
        """Note that the worker of a node has begun it."""
        with self._lock:
            self._silent.discard(address)

    def failed(self, address: str) -> bool:
        """Count a task that failed on a worker; True when these were too many in a row."""
        with self._lock:
            self._failures[address] = self._failures.get(address, 0) + 1
            return self._failures[address] >= MOST_FAILURES

    def worked(self, address: str) -> None:
        """Note that a task on a worker has not failed."""
        with self._lock:
            self._failures.pop(address, None)
