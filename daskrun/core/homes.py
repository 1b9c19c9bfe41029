"""Which nodes are near the data of which mini-batches, where the user has said so."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

WAIT = 3.0
"""Seconds a node waits for work that is near it, as Spark's ``spark.locality.wait``. Then it takes
any, until some that is near is given to it again."""


class Homes:
    """Names of hosts by mini-batch, told in the order of the plan, and of those that have nodes.

    Examples
    --------
    >>> homes = Homes()
    >>> for host in ("10.0.0.1", "10.0.0.2", "10.0.0.1"):
    ...     homes.add([host])
    >>> homes.came("node000", "tcp://10.0.0.1:4000")
    >>> list(homes.fresh("node000", lambda index: True))
    [0, 2]
    """

    def __init__(self) -> None:
        self._groups: dict[frozenset[str], int] = {frozenset(): 0}
        self._hosts: list[frozenset[str]] = [frozenset()]
        self._of = array("L")
        """By mini-batch its group: those with the same hosts."""
        self._queues = [array("q")]
        """By group its mini-batches."""
        self._at = [0]
        """By group how many of these have been given."""
        self._names: dict[str, frozenset[str]] = {}
        self._since: dict[str, float] = {}
        """Since when nothing near was left for a node."""
        self.seen: set[str] = set()
        """Names of hosts that had a node."""

    def __len__(self) -> int:
        return len(self._of)

    def add(self, hosts: Iterable[str]) -> None:
        """Tell the hosts that the next mini-batch is near; none: any are."""
        named = frozenset(hosts)
        group = self._groups.setdefault(named, len(self._hosts))
        if group == len(self._hosts):
            self._hosts.append(named)
            self._queues.append(array("q"))
            self._at.append(0)
        self._queues[group].append(len(self._of))
        self._of.append(group)

    def came(self, node: str, where: str) -> None:
        """Note the address of a node's worker; its host is what stands between ``//`` and port."""
        place = where.partition("://")[2] or where
        host = place.rpartition(":")[0].strip("[]") or place
        self._names[node] = frozenset((where, place, host))
        self.seen |= self._names[node]

    def rewind(self) -> None:
        """Begin anew with what is fresh."""
        self._at = [0] * len(self._at)

    def is_near(self, node: str, index: int) -> bool:
        """Return whether a mini-batch is near a node, or near no other."""
        hosts = self._hosts[self._of[index]]
        return not hosts or not hosts.isdisjoint(self._names.get(node, ()))

    def fresh(self, node: str, is_fresh: Callable[[int], bool]) -> Iterator[int]:
        """Yield the mini-batches that are near a node, then those that are near none."""
        names = self._names.get(node, frozenset())
        near = [n for n, hosts in enumerate(self._hosts) if not hosts.isdisjoint(names)]
        for group in (*near, 0):
            queue = self._queues[group]
            while self._at[group] < len(queue):
                index = queue[self._at[group]]
                if is_fresh(index):
                    yield index
                self._at[group] += 1

    def waited(self, node: str, now: float) -> bool:
        """Return whether a node for which nothing near is left has waited long enough for some."""
        return now - self._since.setdefault(node, now) >= WAIT

    def found(self, node: str) -> None:
        """Note that a node was given what is near it."""
        self._since.pop(node, None)
