"""What is known of a script process that is dead, who is charged for it, and what it leaves."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from daskrun.core.minibatch import Descriptor
from daskrun.core.outcome import Failure, Outcome, Status, Times, failed
from daskrun.script.keeper.script_process import megabytes
from daskrun.script.messages import Notice, ShutdownFailed
from daskrun.script.outcome_log import packed, read_outcome_log, rowless
from daskrun.script.status_block import Phase, blame
from daskrun.script.wire import decode_trusted, encode
from daskrun.storage.durable import sync_data, sync_folder
from daskrun.storage.error_hints import explained
from daskrun.storage.urls import is_url

if TYPE_CHECKING:
    from collections.abc import Sequence

    from daskrun.script.keeper.script_process import ScriptProcess

STDERR_TAIL = 16 * 1024
"""Bytes of a dead process's stderr that its error carries: the stacks of some thirty threads."""
LAST_WORDS = 200
"""Characters of the last line of it that its message has."""


def failure_of(process: ScriptProcess) -> Failure:
    """Describe a death: exit code or signal, peak memory, end of stderr."""
    status, peak = process.exit if process.exit is not None else (0, 0)
    code = os.waitstatus_to_exitcode(status) if process.exit is not None else None
    stderr = _stderr_tail(process)
    name = said = ""
    if process.verdict is not None:
        message = process.verdict.reason
    elif code is not None and code < 0:
        name = _signal_name(-code)
        message = f"the script process was ended by {name}"
    else:
        message = f"the script process ended by itself with exit code {code}"
        said = stderr.rpartition("\n")[2][:LAST_WORDS] if code else ""
    if process.ready and not process.proven and process.bundle is None:
        message += " right after init(), before it had returned anything"
    kind = process.verdict.status.name if process.verdict is not None else message
    if said:
        message += f"; its last words: {said}"
    tail = f"\nend of its stderr:\n{stderr}" if stderr else ""
    text = f"{message}; peak memory {megabytes(peak)}; pid {process.pid}{tail}"
    return Failure(
        message, kind, "", text, exit_code=code, signal=name, peak_memory=peak, stderr=stderr
    )


def end_of(process: ScriptProcess) -> Notice | ShutdownFailed | None:
    """Return what is to be told of a death that no mini-batch is charged for; None for nothing."""
    verdict = process.verdict
    in_shutdown = process.phase == Phase.SHUTDOWN and not process.has_left
    if verdict is None:
        if not in_shutdown:
            return None
        how = f"died in shutdown(): {failure_of(process).message}"
    elif verdict.status is Status.DIED:
        return None  # it was not to live on
    else:
        how = f"was killed: {verdict.reason}"
    if not in_shutdown:
        return Notice(f"{process.name} {how}")
    return ShutdownFailed(f"{process.name} {how}. What it had still to write is missing")


class Left(NamedTuple):
    """What a dead process leaves of its bundle, as :class:`BundleResult` has it."""

    outcome_log: bytes
    charged: Outcome | None = None
    trouble: str = ""
    alone: Sequence[int] = ()
    note: str = ""
    """What is to be told beside it."""


def account(process: ScriptProcess, parts: str, *, files: bool) -> Left:
    """Account for the bundle of a dead process.

    ``parts`` is where its rows are; ``files``: there are files, for a URL, that may be its own.
    """
    outcome_log, trouble, note = process.outcome_log(), "", ""
    outcomes, lost = read_outcome_log(outcome_log), list[Outcome]()
    process.proven = process.proven or bool(outcomes)
    charged = _charge_in_hand(process, {outcome.index for outcome in outcomes})
    if outcomes and (process.part or files):
        doubt, trouble = _keep_rows(process, parts, to_url=files)
        if doubt:
            kept = rowless(outcomes, files=files)
            lost = [each for each in outcomes if each not in kept]
            outcome_log = packed(kept)
            words = f"what {process.name} had finished when it died may not have been kept"
            note = f"{words}, and is made again: {doubt}"
    if charged is None and process.outcomes.is_short:
        charged = _charge_first_missing(process, {outcome.index for outcome in outcomes})
    if charged is None and len(lost) == 1 and not trouble:
        charged = _charge_lost(process, lost[0])  # who else
    alone = [each.index for each in lost] if charged is None else []
    return Left(outcome_log, charged, trouble, alone, note)


def _charge_in_hand(process: ScriptProcess, finished: set[int]) -> Outcome | None:
    """Return what becomes of the mini-batch that was in hand; None where there was none.

    ``finished`` are those whose outcomes are on the outcome log.
    """
    if process.bundle is None:
        return None
    if process.verdict is not None:
        at, status = process.verdict.blame, process.verdict.status
    else:
        at, status = blame(process.status), Status.DIED
    if at is None or at.index in finished:
        return None
    since = time.monotonic() - at.since
    running = 0.0 if at.loading else since
    times = Times(at.started_at, since, running, since - running)
    return failed(at.index, at.attempt, status, at.items, times, failure_of(process))


def _charge_first_missing(process: ScriptProcess, finished: set[int]) -> Outcome | None:
    """Return what becomes of the first whose outcome is not on the log: it has put it elsewhere."""
    payload = process.bundle.payload if process.bundle is not None else encode([])
    for encoded, attempt in decode_trusted(payload):
        index, _, _, items, _ = Descriptor.decode(encoded)
        if index not in finished:
            times = Times(time.time(), 0.0, 0.0, 0.0)
            return failed(index, attempt, Status.DIED, items or 1, times, failure_of(process))
    return None


def _charge_lost(process: ScriptProcess, outcome: Outcome) -> Outcome:
    """Return what becomes of a mini-batch that was done, whose rows were not yet kept."""
    status = Status.DIED if process.verdict is None else process.verdict.status
    times = Times(outcome.started, outcome.elapsed, outcome.run_seconds, outcome.load_seconds)
    lost = outcome.index, outcome.attempt, status, outcome.items
    return failed(*lost, times, failure_of(process))


def _keep_rows(process: ScriptProcess, parts: str, *, to_url: bool) -> tuple[str, str]:
    """Do for a dead process what it would have done at the end of its bundle.

    Returns why what it had finished may be lost, and what of that is the disk's own trouble.
    """
    if process.phase == Phase.SYNCING:
        # a failure is told once, to whoever asks first: that may have been the process
        return "it died while the disk or store was asked to keep it", ""
    if to_url or is_url(parts):
        return "it had not yet put that to the output's URL", ""
    path = Path(parts, process.part)
    try:
        fd = os.open(path, os.O_RDWR)
        try:
            sync_data(fd)
        finally:
            os.close(fd)
        sync_folder(Path(parts))
    except OSError as error:
        return str(error), explained(f"can't keep rows in {path}", error)
    return "", ""


def _stderr_tail(process: ScriptProcess) -> str:
    if not process.data_in_errors:
        return ""
    with contextlib.suppress(OSError), process.logs[1].open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        file.seek(max(process.stderr_start, end - STDERR_TAIL))
        return file.read().decode("utf-8", "replace").strip()
    return ""


def _signal_name(number: int) -> str:
    with contextlib.suppress(ValueError):
        return signal.Signals(number).name
    return f"signal {number}"
