"""How outcomes lie on the outcome log: a success as fixed fields, anything else as a pickled tuple.

Nearly all outcomes are successes, and the driver reads every one of them: fixed fields take it a
quarter of the time (1.2 µs rather than 4.6).
"""

from __future__ import annotations

from struct import Struct
from typing import Any

from daskrun.core.outcome import Failure, Found, Outcome, Status
from daskrun.script.wire import loads, pack

_LENGTH = Struct(">I")
_SUCCESS = Struct(">IqqqqqqqqIddd")
"""Length, then the fields of an outcome but its error. Length 0 means this: no pickle has it."""


def pack_outcome(outcome: tuple[Any, ...]) -> bytes:
    """Frame the fields of an outcome."""
    told = outcome[-1]
    if told is None:
        return _SUCCESS.pack(0, *outcome[:-1])
    return pack((*outcome[:-1], told.plain() if isinstance(told, Failure) else tuple(told)))


def read_outcome_log(outcome_log: bytes) -> list[Outcome]:
    """Return the outcomes on an outcome log; a frame that a dying process left unfinished ends it.

    Safe to call on what a process wrote that runs user code: it makes plain values only.
    """
    outcomes = []
    at, end = 0, len(outcome_log)
    while end - at >= _LENGTH.size:
        (length,) = _LENGTH.unpack_from(outcome_log, at)
        if not length:
            if end - at < _SUCCESS.size:
                break
            outcomes.append(Outcome._make((*_SUCCESS.unpack_from(outcome_log, at)[1:], None)))
            at += _SUCCESS.size
            continue
        start, at = at + _LENGTH.size, at + _LENGTH.size + length
        if at > end:
            break
        *fields, told = loads(outcome_log[start:at])
        error = Failure.from_plain(told) if isinstance(told, dict) else Found(*told)
        outcomes.append(Outcome._make((*fields, error)))
    return outcomes


def rowless(
    outcomes: list[Outcome], error: Failure | None = None, *, files: bool = False
) -> list[Outcome]:
    """Return outcomes of which none has rows, since they may not be on the disk.

    Those that had become failures with ``error``; without one they are left out, as if they had
    not been started. Successes that wrote nothing stay, but with ``files``: then any may have
    written files, and none is one.
    """
    kept = []
    for outcome in outcomes:
        if outcome.status or not (outcome.length or files):
            kept.append(outcome)
        elif error is not None:
            head = (outcome.index, outcome.attempt, int(Status.NOT_WRITTEN), outcome.items)
            times = (outcome.started, outcome.elapsed, outcome.run_seconds)
            kept.append(Outcome._make((*head, 0, -1, 0, 0, 0, *times, error)))
    return kept


def without_rows(outcome_log: bytes, error: Failure | None = None, *, files: bool = False) -> bytes:
    """Return the outcome log of :func:`rowless` outcomes."""
    kept = rowless(read_outcome_log(outcome_log), error, files=files)
    return b"".join(pack_outcome(tuple(outcome)) for outcome in kept)
