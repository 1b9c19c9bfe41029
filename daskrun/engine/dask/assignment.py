"""Which worker has which node of a run, and which workers are to have none."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from daskrun.engine.dask.health_check import NO_TASKS
from daskrun.engine.dask.versions import NAMED, named

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping, Sequence

    from daskrun.core.events import Bundle

IDLE = frozenset({"paused", "closing_gracefully", "closing", "closed"})
"""States of a worker in which Dask gives it no tasks; one that joins is none of these."""
MOST_FAILURES = 3
"""Dask tasks in a row that may fail on a worker before it is given up."""


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    """What the scheduler knows of a worker."""

    host: str
    name: str = ""
    status: str = "running"

    @classmethod
    def read(cls, told: Mapping[str, object]) -> Self:
        """Return what ``scheduler_info`` has of a worker."""
        return cls(str(told["host"]), str(told["name"]), str(told.get("status", "running")))


def _name(number: int) -> str:
    return f"node{number:03d}"


class Assignment:
    """The nodes of a run and the addresses of their workers; for any thread.

    Without a ``count`` there are as many as the cluster has workers. ``local`` workers are the
    run's own, each made for the node of its name.
    """

    def __init__(self, count: int | None, *, local: bool) -> None:
        self._count = count
        self.names = [_name(n) for n in range(count or 0)]
        self._local = local
        self._lock = threading.Lock()
        self._addresses: dict[str, str] = {}
        """Node -> address of its worker."""
        self._unfit: dict[str, str] = {}
        """Address -> why that worker can't take part."""
        self._silent: set[str] = set()
        """Addresses of workers that were asked to start a node and have not answered."""
        self._leaving: set[str] = set()
        """Addresses of workers that get no more work."""
        self._failures: dict[str, int] = {}
        """Address -> tasks in a row that failed there."""
        self._told_short = False
        self.idle: list[str] = []
        """Addresses of workers that could have a node if Dask gave them tasks."""
        self.obstacle = ""
        """What was in the way of nodes when they were last chosen; ``""`` where nothing was."""

    @property
    def addresses(self) -> list[str]:
        """Addresses of the workers that have a node."""
        with self._lock:
            return list(self._addresses.values())

    def new_shortage(self) -> str:
        """Return how many nodes have no worker, the first time that some have none; else ``""``.

        Where no count was asked for: how many there are, the first time that there are any.
        """
        have = len(self._addresses)
        if self._told_short or (have == len(self.names) if self._count else not have):
            return ""
        self._told_short = True
        if self._count is None:
            every = "the one Dask worker is" if have == 1 else f"all {have} Dask workers are"
            return f"{every} used, and those that come later: node_count was not given"
        there = f"{len(self._addresses)} of the node_count={len(self.names)} nodes asked for"
        return f"{there} have a Dask worker; the others join when there are more workers"

    def address_of(self, node: str) -> str | None:
        """Return the address of a node's worker."""
        return self._addresses.get(node)

    def has(self, node: str, address: str | None) -> bool:
        """Return whether a node's worker is the one at an address."""
        return self.address_of(node) == address

    def choose(
        self, workers: Mapping[str, WorkerInfo], there: Container[str] | None = None
    ) -> list[tuple[str, str]]:
        """Return the nodes to be started, each with the address of its worker.

        Workers go to nodes that have none, then to those whose worker does not answer. ``workers``
        is what the scheduler knows of each, by address; only those that are ``there`` are chosen,
        which is all where it is None.
        """
        with self._lock:
            untaken = self._free(workers)
            silent = [] if there is None else [a for a in untaken if a not in there]
            untaken = [address for address in untaken if address not in silent]
            self.idle = [a for a in untaken if workers[a].status in IDLE]
            free = [a for a in untaken if a not in self.idle]
            self.obstacle = "" if workers else "the cluster has no Dask worker"
            if silent and not untaken:
                self.obstacle = f"no answer from {named(silent)}"
            if self.idle and not free:
                each, more = self.idle[0], len(self.idle) - 1
                self.obstacle = f"worker {each} {NO_TASKS}" + (f"; {more} more" if more else "")
            missing = [n for n in self.names if n not in self._addresses]
            if self._count is None:
                new = [_name(len(self.names) + n) for n in range(len(free) - len(missing))]
                self.names += new
                missing += new
            if self._local:
                by_name = {workers[a].name: a for a in free}
                chosen = [(name, by_name[name]) for name in missing if name in by_name]
            else:
                waiting = [n for n, a in self._addresses.items() if a in self._silent]
                chosen = list(zip([*missing, *waiting], free, strict=False))
            self._addresses.update(chosen)
        return chosen

    def neighbours(self, workers: Mapping[str, WorkerInfo], address: str) -> list[str]:
        """Return the workers with a node on the machine of one, itself too."""
        host = workers[address].host
        return [a for a in self.addresses if a in workers and workers[a].host == host]

    def why_none(self, workers: Mapping[str, WorkerInfo]) -> str:
        """Return why no worker can take part; nothing where one has a node or could have."""
        with self._lock:
            if self._addresses or self._free(workers):
                return ""
            reasons = sorted(self._unfit.values())
        more = f"; and {len(reasons) - NAMED} more" if len(reasons) > NAMED else ""
        return "; ".join(reasons[:NAMED]) + more

    def _free(self, workers: Iterable[str]) -> list[str]:
        taken = {*self._addresses.values(), *self._unfit, *self._silent}
        return [address for address in sorted(workers) if address not in taken]

    def leave(self, address: str) -> list[str]:
        """Note that a worker is to leave; return its nodes, the first time."""
        with self._lock:
            known = address in self._leaving
            self._leaving.add(address)
            return [n for n, a in self._addresses.items() if a == address and not known]

    def lose(self, address: str, why_unfit: str = "", *, keep: bool = False) -> list[str]:
        """Return the nodes of a worker, which are lost; with ``keep`` they start again there."""
        with self._lock:
            self._leaving.discard(address)
            if why_unfit:
                self._unfit[address] = why_unfit
            nodes = [n for n, a in self._addresses.items() if a == address]
            for node in nodes if not keep else ():
                del self._addresses[node]
        return nodes

    def lose_all(self) -> Sequence[str]:
        """Return all nodes, which are lost; forget what was known of the workers."""
        with self._lock:
            nodes = list(self._addresses)
            for known in (self._addresses, self._unfit, self._silent, self._failures):
                known.clear()
            self._leaving.clear()
        return nodes

    def renew(self, address: str) -> None:
        """Note that another worker is at an address, or comes there."""
        with self._lock:
            self._unfit.pop(address, None)
            self._failures.pop(address, None)
            self._silent.discard(address)

    def silent(self, address: str) -> None:
        """Note that a worker does not answer: its node may go to another."""
        with self._lock:
            self._silent.add(address)

    def spoke(self, address: str) -> bool:
        """Note that a worker has started its node; return whether it is to leave."""
        with self._lock:
            self._silent.discard(address)
            return address in self._leaving

    def failed(self, address: str) -> bool:
        """Count a task that failed on a worker; return whether too many in a row did."""
        with self._lock:
            self._failures[address] = self._failures.get(address, 0) + 1
            return self._failures[address] >= MOST_FAILURES

    def worked(self, address: str) -> None:
        """Note that a task on a worker has not failed."""
        with self._lock:
            self._failures.pop(address, None)


class NodeLossLimit:
    """How often mini-batches were out on nodes that were lost: one that ends them must not go on.

    ``most`` is as ``Intervals.most_losses``.

    Examples
    --------
    >>> from daskrun.core.events import Bundle
    >>> losses, bundles = NodeLossLimit(2), [Bundle(7, "node000", ((3, 1), (4, 1)))]
    >>> losses.lost(bundles, "it left")
    ''
    >>> losses.lost(bundles, "it went")
    'mini-batches 3, 4 were out on 2 nodes that were lost, and may end them; last: it went'
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._counts: dict[tuple[bool, int], int] = {}
        """(whether it is a survey, its index) -> nodes lost."""

    def lost(self, bundles: Sequence[Bundle], reason: str) -> str:
        """Count what was out on a lost node; return why the run must end, or ``""``."""
        over: dict[bool, list[int]] = {}
        for survey, index in [(b.survey, index) for b in bundles for index, _ in b.entries]:
            count = self._counts[survey, index] = self._counts.get((survey, index), 0) + 1
            if count >= self._most:
                over.setdefault(survey, []).append(index)
        for survey, found in over.items():
            what = "looks at the data" if survey else "mini-batch"
            what += "es" if len(found) > 1 and not survey else ""
            named = f"{what} {', '.join(map(str, sorted(found)))}"
            were = "was" if len(found) == 1 and not survey else "were"
            words = f"{named} {were} out on {self._most} nodes that were lost, and may end"
            return f"{words} them; last: {reason}"
        return ""
