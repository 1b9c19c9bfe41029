"""A script process as its keeper sees it: start, feed, watch its limits, account for its death."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from daskrun.core.outcome import Status
from daskrun.script import reaper
from daskrun.script.keeper.child import Program, read_messages, start
from daskrun.script.messages import KNOWN, RunBundle
from daskrun.script.outcome_log import OutcomeLog
from daskrun.script.status_block import Blame, Phase, StatusBlock, blame
from daskrun.script.wire import DUMP_SIGNAL, Inbox, Unpacker, shared_memory
from daskrun.storage.folders import make_folder, open_kept

if TYPE_CHECKING:
    from collections.abc import Sequence

    from daskrun.script.node_spec import Limits
    from daskrun.script.process_spec import ProcessSpec

DUMP_TIME = 0.15
"""Seconds between asking for the stacks and the kill."""
LEAVE_LIMIT = 2.0
"""Seconds in which an idle process must begin its ``shutdown()`` once it is asked to, and in which
Python must end once that has returned: threads may run on, and libraries take long to clear up."""
STOPPED_SHUTDOWN = 2.0
"""Seconds that ``shutdown()`` gets at most in a run that was stopped: its user waits."""
ABANDON_AFTER = 10.0
"""Seconds a process may survive SIGKILL (stuck in the kernel) before it is given up and named."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A decision to kill, and why: made once, before the process can change its mind."""

    status: Status
    reason: str
    blame: Blame | None
    outcome_log_end: int
    """Bytes of outcome_log that count: later outcomes are discarded."""
    when: float


class ScriptProcess:
    """A running script process.

    ``name`` is that of its slot, the same for a replacement; ``logs`` are its stdout and stderr;
    ``folder`` is its working directory, made here and removed with it; on ``board``, a descriptor,
    the block ``slot`` is its own.
    """

    def __init__(
        self,
        name: str,
        spec: ProcessSpec,
        environment: dict[str, str],
        logs: tuple[Path, Path],
        folder: Path,
        board: int,
        program: Program,
    ) -> None:
        self.name = name
        self.folder = folder
        self.logs = logs
        self.data_in_errors = spec.script.data_in_errors
        self.part = self.etag = ""
        self.bundle: RunBundle | None = None
        self.verdict: Verdict | None = None
        self.exit: tuple[int, int] | None = None
        """Wait status and peak memory in bytes, once it is dead."""
        self.ready = False
        """Whether ``init()`` has ended well, in time."""
        self.failed_init = False
        """Whether it has said that ``init()`` failed."""
        self._left: float | None = None
        """When it said that nothing is left to do."""
        self._held_up = ""
        """By which threads its end is held up."""
        self.warnings: list[str] = []
        self.proven = False
        """Whether it has returned an outcome, or been charged one."""
        self._hung_up: float | None = None
        self.silent = False
        """Whether it has closed its end: it is dead, or user code has closed what it should not."""
        self.started = time.time()
        self._spawned = self.given = time.monotonic()
        self._killed_at: float | None = None
        self._unpacker = Unpacker(KNOWN)
        make_folder(folder)
        for log in logs:
            make_folder(log.parent)
        self.status = StatusBlock(board, spec.slot, create=True)
        self._log = shared_memory("daskrun-outcome-log")
        self.outcomes = OutcomeLog(self._log, self.status)
        child_in, self._bell = os.pipe()
        self._memory = shared_memory("daskrun-inbox")
        self._inbox = Inbox(self._memory, self._bell)
        self.out, child_out = os.pipe()
        os.set_blocking(self.out, False)
        passed = (self._memory, board, self._log, child_in, child_out)
        marked = {**environment, reaper.PROCESS_MARK: str(folder)}
        with open_kept(logs[0], "ab") as stdout, open_kept(logs[1], "ab") as stderr:
            self.stderr_start = stderr.tell()
            self._popen = start(
                "process.main", passed, marked, stdout, stderr, program=program, folder=str(folder)
            )
        self.pid = self._popen.pid
        self.pidfd = os.pidfd_open(self.pid) if hasattr(os, "pidfd_open") else None
        for fd in (child_in, child_out):
            os.close(fd)
        self._raise_oom_score()
        self._tell(spec)

    def _raise_oom_score(self) -> None:
        """Make the kernel kill this process before keeper, worker, driver when memory is short."""
        with contextlib.suppress(OSError):
            Path(f"/proc/{self.pid}/oom_score_adj").write_text("500")

    @property
    def phase(self) -> int:
        """What it is at, from its status block."""
        return self.status.ints[StatusBlock.PHASE]

    @property
    def idle(self) -> bool:
        """Whether it can take a bundle."""
        free = self.bundle is None and self.verdict is None and self.exit is None
        return free and self.phase == Phase.IDLE

    def give(self, bundle: RunBundle) -> None:
        """Send it a bundle."""
        self.bundle = bundle
        # it is idle, so nobody writes: were the outcome log left to it, a process that dies before
        # it has begun would have done what is on it from the bundle before
        self.outcomes.replace(())
        self.status.ints[StatusBlock.RECALL] = 0
        self.given = time.monotonic()
        self._tell(bundle)

    def recall(self) -> None:
        """Ask it to stop after the mini-batch in hand."""
        self.status.ints[StatusBlock.RECALL] = 1

    def hang_up(self) -> None:
        """Close its input: it calls ``shutdown()`` and exits."""
        if self._bell >= 0:
            os.close(self._bell)
            self._bell = -1
            self._hung_up = time.monotonic()

    def messages(self) -> list[object]:
        """Return what it has said since the last time; one that can't be understood is killed."""
        try:
            found, open_ = read_messages(self.out, self._unpacker)
        except Exception:  # noqa: BLE001  (what bytes of another's making lead pickle to)
            self.silent = True
            self.distrust("it wrote to a descriptor that daskrun talks by")
            return []
        self.silent = not open_
        return found

    def outcome_log(self) -> bytes:
        """Read its outcomes of the bundle in hand, as frames."""
        outcome_log = self.outcomes.read()
        return outcome_log if self.verdict is None else outcome_log[: self.verdict.outcome_log_end]

    # limits

    def check(self, now: float, limits: Limits, resident: int) -> Verdict | None:
        """Judge it by its limits; a verdict is carried out over the next calls."""
        if self.verdict is not None or self.exit is not None:
            return None
        # looked at once: what is judged is what is blamed, however the process moves on meanwhile
        at = blame(self.status)
        verdict = self._over_limit(now, limits, resident, at)
        if verdict is None:
            return None
        self._judge(*verdict, at)
        self.recall()  # the signal below may wake it: it must not begin another mini-batch
        with contextlib.suppress(ProcessLookupError):
            if verdict[0] is Status.TIMED_OUT and self.phase != Phase.STARTING:
                os.kill(self.pid, DUMP_SIGNAL)
        return self.verdict

    def distrust(self, why: str) -> None:
        """Kill it, as what it says is not to be believed any more."""
        self._judge(Status.DIED, why, blame(self.status))
        self.kill()

    def leaves(self, threads: Sequence[str]) -> None:
        """Note that it has nothing left to do but to end, after these threads."""
        self._left = time.monotonic()
        if threads:
            self._held_up = f", held up by its threads {', '.join(map(repr, threads))}"

    def ending(self, now: float) -> str:
        """Return what its end waits for."""
        if self._left is not None:
            return f"{self.name}, which has nothing left to do{self._held_up}"
        since = now - self.status.times[StatusBlock.PHASE_SINCE]
        doing = Phase(self.phase).name.lower() if self.phase in set(Phase) else "?"
        return f"{self.name}, in {doing}() for {since:.0f} s"

    @property
    def has_left(self) -> bool:
        """Whether it has said that it ends."""
        return self._left is not None

    def _judge(self, status: Status, reason: str, at: Blame | None) -> None:
        """Decide that it is killed, once."""
        if self.verdict is None:
            self.verdict = Verdict(status, reason, at, self.outcomes.end, time.monotonic())

    def _over_limit(
        self, now: float, limits: Limits, resident: int, at: Blame | None
    ) -> tuple[Status, str] | None:
        if limits.memory is not None and resident > limits.memory:
            words = (
                f"used {megabytes(resident)}, process_memory_limit is {megabytes(limits.memory)}"
            )
            return Status.OUT_OF_MEMORY, words
        phase = self.phase
        if self._left is not None:
            if now - self._left > LEAVE_LIMIT:
                over = f"it had not ended {LEAVE_LIMIT:g} s after it had nothing left to do"
                return Status.TIMED_OUT, over + self._held_up
        elif phase in (Phase.STARTING, Phase.INIT):
            if now - self._spawned > limits.init:
                return Status.TIMED_OUT, f"init() took longer than init_timeout={limits.init:g} s"
        elif phase == Phase.SHUTDOWN:
            if now - self.status.times[StatusBlock.PHASE_SINCE] > limits.shutdown:
                name = f"shutdown_timeout={limits.shutdown:g} s"
                return Status.TIMED_OUT, f"shutdown() took longer than {name}"
        elif self.bundle is not None:
            return self._over_time(now, limits, at)
        elif self._hung_up is not None and now - self._hung_up > LEAVE_LIMIT:
            words = f"it did not go on to shutdown() within {LEAVE_LIMIT:g} s"
            return Status.TIMED_OUT, words
        return None

    def _over_time(self, now: float, limits: Limits, at: Blame | None) -> tuple[Status, str] | None:
        since = at.since if at is not None else self._last_sign()
        since = since if since <= now else self.given  # its clock may not be ours any more
        limit, name = limits.progress, "progress_update_timeout"
        if at is not None and at.loading:
            limit, name = min((limits.load, "load_timeout"), (limit, name))
        elif at is not None:
            limit, name = min((limits.run, "run_invocation_timeout"), (limit, name))
        if now - since <= limit:
            return None
        if at is None:
            words = "it showed no progress between two mini-batches for longer than"
        else:
            words = f"{'reading it' if at.loading else 'run()'} took longer than"
        return Status.TIMED_OUT, f"{words} {name}={limit:g} s"

    def _last_sign(self) -> float:
        """Return when it last moved on, while no mini-batch is in hand."""
        return max(self.given, self.status.times[StatusBlock.RUNNING_SINCE])

    def deadline(self, limits: Limits) -> float:
        """Return the earliest time (monotonic) at which it could be over a limit of time."""
        if self.verdict is not None:
            return self.verdict.when + DUMP_TIME
        if self._left is not None:
            return self._left + LEAVE_LIMIT
        phase = self.phase
        if phase in (Phase.STARTING, Phase.INIT):
            return self._spawned + limits.init
        if phase == Phase.SHUTDOWN:
            return self.status.times[StatusBlock.PHASE_SINCE] + limits.shutdown
        if self.bundle is None:
            return float("inf") if self._hung_up is None else self._hung_up + LEAVE_LIMIT
        at = blame(self.status)
        shortest = min(limits.run, limits.load, limits.progress)
        return (at.since if at is not None else self._last_sign()) + shortest

    def execute_verdict(self, now: float) -> bool:
        """Kill it when its stacks have had time to be written; True when it must be given up."""
        if self.verdict is None or self.exit is not None:
            return False
        waits = DUMP_TIME if self.verdict.status is Status.TIMED_OUT else 0.0
        if self._killed_at is None and now >= self.verdict.when + waits:
            self.kill()
        return self._killed_at is not None and now - self._killed_at > ABANDON_AFTER

    def condemn(self, reason: str) -> None:
        """Kill it now, charging no mini-batch."""
        self._judge(Status.DIED, reason, None)
        self.kill()

    def kill(self) -> None:
        """SIGKILL it and every process it has started, wherever those have moved to.

        But for its resource tracker, which has to clear up behind it.
        """
        self._killed_at = self._killed_at or time.monotonic()
        below = reaper.but_trackers(reaper.descendants(self.pid))
        reaper.kill([self.pid, *below])

    # death

    def reap(self) -> bool:
        """Collect its exit, if it is dead."""
        if self.exit is None:
            with contextlib.suppress(ChildProcessError):
                pid, status, usage = os.wait4(self.pid, os.WNOHANG)
                if pid == 0:
                    return False
                scale = 1024 if sys.platform == "linux" else 1
                self.exit = (status, usage.ru_maxrss * scale)
                self._popen.returncode = os.waitstatus_to_exitcode(status)
        return True

    def close(self) -> None:
        """Release descriptors and the working directory; end what it left running."""
        reaper.kill_all(lambda: reaper.marked(reaper.PROCESS_MARK, str(self.folder)))
        self.hang_up()
        self.status.close()
        os.close(self.out)
        os.close(self._log)
        os.close(self._memory)
        if self.pidfd is not None:
            os.close(self.pidfd)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _tell(self, message: object) -> None:
        with contextlib.suppress(BrokenPipeError):  # its death is learnt from its exit
            self._inbox.put(message)


def megabytes(size: int) -> str:
    """Return bytes as text."""
    return f"{size / 2**20:,.0f} MB"
