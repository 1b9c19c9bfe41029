"""What nodes tell and what comes of bundles, made into events of the run."""

from __future__ import annotations

import time
from concurrent.futures import CancelledError
from typing import Any, NamedTuple

from daskrun.core.events import (
    BundleLost,
    Event,
    InitFailed,
    NodePreparing,
    NodeReady,
    Note,
    ProcessReady,
)
from daskrun.engine.dispatch import returned
from daskrun.script.messages import (
    KNOWN,
    BundleGone,
    BundleResult,
    Notice,
    Preparing,
    ProcessInitFailed,
    ProcessUp,
    ShutdownFailed,
    SlotsUp,
    Told,
    Unprepared,
)
from daskrun.script.wire import decode

OF_LIVING = (Preparing, Unprepared, SlotsUp, ProcessUp, ProcessInitFailed)
"""Messages that only count while the node is on the worker that sent them."""


def event_told(node: str, address: str, message: Told, now: float) -> Event | None:
    """Return the event that a node's message is; None where it asks for more than to be passed on.

    Examples
    --------
    >>> event_told("node000", "inproc://1", SlotsUp(2), 5.0)
    NodeReady(node='node000', slots=2, now=5.0, where='inproc://1')
    """
    match message:
        case Preparing(text):
            return NodePreparing(node, text, now)
        case SlotsUp(count):
            return NodeReady(node, count, now, where=address)
        case ProcessUp(process, seconds, repeatable, gpu):
            return ProcessReady(process, seconds, now, repeatable, gpu)
        case ProcessInitFailed(process, failure):
            return InitFailed(process, failure, now)
        case Notice(text):
            return Note(f"{node}: {text}", now)
        case ShutdownFailed(text):
            return Note(f"{node}: {text}", now, warns=True)
        case _:
            return None


class Answer(NamedTuple):
    """What came of a bundle."""

    event: Event
    """``BundleReturned`` or ``BundleLost``."""
    result: BundleResult | BundleGone | None
    """As the node gave it; None where its Dask task ended without."""
    failed: str
    """What the task failed with; ``""`` where it gave a result or was canceled."""


def answer(number: int, found: Any) -> Answer:
    """Read the result of a bundle's Dask task, or why there is none."""
    try:
        if isinstance(found, BaseException):
            raise found
        [data] = found
        result = decode(data, KNOWN)
        return Answer(returned(result), result, "")
    except BaseException as error:  # noqa: BLE001  (also CancelledError: a lost bundle)
        reason = f"{type(error).__name__}: {error}"
        # canceled by a break of the connection, or by somebody else
        failed = "" if isinstance(error, CancelledError) else reason
        return Answer(BundleLost(number, reason, time.monotonic()), None, failed)
