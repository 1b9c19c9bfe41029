"""What nodes tell and what comes of bundles, made into events of the run."""

from __future__ import annotations

import time
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any, NamedTuple

from daskrun.core.events import (
    BundleLost,
    Event,
    InitFailed,
    NodePreparing,
    NodeReady,
    Note,
    ProcessReady,
)
from daskrun.core.outcome import Failure, ProcessInfo
from daskrun.engine.dispatch import returned
from daskrun.script.wire import loads

if TYPE_CHECKING:
    from collections.abc import Mapping

OF_NODES = ("preparing", "unprepared", "up", "ready", "init_failed")
"""Kinds of messages that only count while the node is on the worker that sent them."""


def event_told(message: Mapping[str, Any], now: float) -> Event | None:
    """Return the event that a node's message is; None where it asks for more than to be passed on.

    Examples
    --------
    >>> told = {"kind": "up", "node": "node000", "address": "inproc://1", "value": 2}
    >>> event_told(told, 5.0)
    NodeReady(node='node000', slots=2, now=5.0, where='inproc://1')
    """
    kind, value, node = message["kind"], message["value"], message.get("node", "")
    if kind == "preparing":
        return NodePreparing(node, value, now)
    if kind == "up":
        return NodeReady(node, value, now, where=message["address"])
    if kind == "ready":
        return ProcessReady(ProcessInfo(*value[0]), value[1], now)
    if kind == "init_failed":
        return InitFailed(ProcessInfo(*value[0]), Failure.from_plain(value[1]), now)
    if kind == "note":
        return Note(f"{node}: {value}", now)
    return None


def why_unfit(message: Mapping[str, Any]) -> str:
    """Return why a worker that could not begin its node, or lost it for good, can't take part."""
    worker, value = f"worker {message['address']}", message["value"]
    if message["kind"] == "missing":
        return f"{worker} has no daskrun ({value}): install it there"
    if message["kind"] == "unreachable":
        return f"{worker} can't reach {value}: it must have that path too"
    return f"{worker}: {value}"


class Answer(NamedTuple):
    """What came of a bundle."""

    event: Event
    """``BundleReturned`` or ``BundleLost``."""
    result: Mapping[str, Any]
    """As the node gave it; empty where its Dask task ended without."""
    failed: str
    """What the task failed with; ``""`` where it gave a result or was canceled."""


def answer(number: int, found: Any) -> Answer:
    """Read the result of a bundle's Dask task, or why there is none."""
    try:
        if isinstance(found, BaseException):
            raise found
        [data] = found
        result = loads(data)
        return Answer(returned(result), result, "")
    except BaseException as error:  # noqa: BLE001  (also CancelledError: a lost bundle)
        reason = f"{type(error).__name__}: {error}"
        # canceled by a break of the connection, or by somebody else
        failed = "" if isinstance(error, CancelledError) else reason
        return Answer(BundleLost(number, reason, time.monotonic()), {}, failed)
