"""What the fetcher is asked for, and the files and parts of files that it then brings."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from daskrun.data.paths import local_copies
from daskrun.script.fetching.waiting import labels


@dataclass(slots=True, eq=False)
class Order:
    """A mini-batch whose files are brought."""

    bundle: int
    index: int
    input: int
    load: tuple[Any, ...]
    nbytes: int
    """Bytes it counts as: expected, then found."""
    home: str
    """Where its files will be."""
    left: int = 0
    """Files neither here nor given up."""
    found: int = 0
    """Bytes brought so far."""
    error: str = ""
    """The first reason why it can't be had."""
    ready: bool = False
    dropped: bool = False


@dataclass(slots=True, eq=False)
class Transfer:
    """A file on its way, in one thread."""

    order: Order
    name: str
    path: str
    part: Any = None
    """What is wanted of it, where it is read in parts; None: all of it."""
    size: int = -1
    """Bytes here when last looked at."""
    since: float = field(default_factory=time.monotonic)
    """When that changed."""
    given_up: bool = False
    """The thread hangs: another has taken its place, and it ends when it comes back."""


def transfers_of(order: Order) -> list[Transfer]:
    """Return what must be fetched for a mini-batch, and where to.

    Raises DatasetError where a name in a bucket has no safe place of its own on this node.
    """
    folder, load = f"{order.home}.partial", order.load
    if load[0] == "files":
        copies = local_copies(folder, load[1:])
        return [Transfer(order, name, path) for name, path in copies.items()]
    from daskrun.data.tabular.loading.local_fetch import wants

    parts = zip(labels(load), wants(load), strict=True)
    return [Transfer(order, part.name, f"{folder}/{label}", part) for label, part in parts]
