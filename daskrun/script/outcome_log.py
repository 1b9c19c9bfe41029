"""How outcomes lie on the outcome log: a success as fixed fields, all else as an encoded tuple.

Nearly all outcomes are successes, and the driver reads every one of them: fixed fields take it a
quarter of the time (1.2 µs rather than 4.6).
"""

from __future__ import annotations

from struct import Struct

from daskrun.core.outcome import Failure, Found, ItemsFailed, Outcome, Status, Times, failed
from daskrun.script.wire import by_name, decode, pack

_LENGTH = Struct(">I")
_ERRORS = by_name(Failure, Found, ItemsFailed)
_SUCCESS = Struct(">IqqqqqqqqIdddd")
"""Length, then the fields of an outcome but its error. Length 0 means this: no pickle has it."""


def pack_outcome(outcome: Outcome) -> bytes:
    """Frame an outcome."""
    if outcome.error is None:
        return _SUCCESS.pack(0, *outcome[:-1])
    return pack(tuple(outcome))


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
        outcomes.append(Outcome._make(decode(outcome_log[start:at], _ERRORS)))
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
            times = Times(
                outcome.started, outcome.elapsed, outcome.run_seconds, outcome.load_seconds
            )
            lost = outcome.index, outcome.attempt, Status.NOT_WRITTEN, outcome.items
            kept.append(failed(*lost, times, error))
    return kept


def without_rows(outcome_log: bytes, error: Failure | None = None, *, files: bool = False) -> bytes:
    """Return the outcome log of :func:`rowless` outcomes."""
    kept = rowless(read_outcome_log(outcome_log), error, files=files)
    return b"".join(map(pack_outcome, kept))
