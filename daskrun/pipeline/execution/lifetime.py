"""Runs and the life of this process: signals inside a wait, and the end of the script."""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import signal
import sys
import threading
import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from daskrun.core.intervals import USUAL
from daskrun.script.node_folders import clear_inline
from daskrun.shown.printable import safe
from daskrun.workspace.run_folders.working_copy import remove_copies

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import FrameType

    from daskrun.core.report import RunStatus

NOTE_LIMIT = 2.0
"""Seconds for noting the end of a run whose process is ended at once."""
POLL = 0.2
"""Seconds that one wait lasts. A signal is handled only between Python's own instructions: one that
comes as a wait begins interrupts nothing, and is handled when the wait is over."""


class WatchedRun(ABC):
    """A run of this process."""

    id: str

    @property
    @abstractmethod
    def _failure(self) -> str | None:
        """Why it failed, if it did and nobody was told by a wait or a status."""

    @property
    @abstractmethod
    def _ids(self) -> set[str]:
        """Its own id and those of its steps."""

    @property
    @abstractmethod
    def status(self) -> RunStatus:
        """Which state it is in, as an enum."""

    @property
    @abstractmethod
    def message(self) -> str:
        """What happened, once it has ended."""

    @property
    @abstractmethod
    def _resume_hint(self) -> str:
        """How it is resumed, once it has failed or was canceled."""

    @property
    def resume_hint(self) -> str:
        """What helps a run that has ended early, or in which something has failed, in words."""
        return self._resume_hint if self.status.ended else ""

    @abstractmethod
    def _ended_within(self, seconds: float) -> bool:
        """Wait for its end, and return whether it has come."""

    @abstractmethod
    def _closed_within(self, seconds: float) -> bool:
        """Wait until nothing of it is left to do in this process; return whether that is so."""

    @abstractmethod
    def cancel(self, reason: str = "cancel() was called") -> None:
        """Ask the run to end with status Canceled; what it finished is kept. Doesn't wait."""

    @abstractmethod
    def _kill(self) -> None:
        """End the script processes that run in this process's nodes, at once."""

    @abstractmethod
    def _give_up(self, reason: str) -> None:
        """Note the end of a run of this process, which ends now."""


class Terminated(KeyboardInterrupt):
    """SIGTERM or SIGHUP came inside a wait: it acts as the first Ctrl-C."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


_runs: list[WatchedRun] = []
"""Those that the end of the script may have to wait for or to tell of."""
_changing = threading.Lock()
_given_up: dict[str, KeyboardInterrupt] = {}
"""What ended the wait, by the ids of runs, and of their steps, that nobody waits for any more."""
_process: int | None = None
_code = 0
"""What the process ends with when it was interrupted while it waited at its end."""


def watch(run: WatchedRun) -> None:
    """Make the end of the script wait for a run."""
    global _process
    with _changing:  # a notebook may live for weeks and submit thousands
        _runs[:] = [run for run in _runs if not run._closed_within(0) or run._failure is not None]
        _runs.append(run)
        for name in run._ids:  # it may be resumed
            _given_up.pop(name, None)
    if _process == os.getpid():
        return
    _process = os.getpid()
    atexit.register(_exit_code)
    # Dask's workers in this process use executors of concurrent.futures, which refuse work as soon
    # as that module's own hook has run: before threads are joined and before atexit. Hooks run last
    # registered first, so ours has to be registered after its. Dask also imports the module of
    # process pools, which registers a hook too, and can't any more when the script has ended.
    import concurrent.futures.process
    import concurrent.futures.thread  # noqa: F401

    register = getattr(threading, "_register_atexit", None)
    try:
        if register is None:
            raise RuntimeError("this Python has no threading._register_atexit")
        register(_wait_at_end)
    except RuntimeError:
        # Without that private function, or when threads are being shut down already.
        atexit.register(_wait_at_end)


@contextlib.contextmanager
def signals_as_interrupts() -> Iterator[None]:
    """Make SIGTERM and SIGHUP raise :class:`Terminated` here, unless the user handles them."""
    taken = []
    if threading.current_thread() is threading.main_thread():
        for name in ("SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) is signal.SIG_DFL:
                signal.signal(number, _raise_terminated)
                taken.append(number)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)


def _raise_terminated(number: int, frame: FrameType | None) -> None:
    del frame
    raise Terminated(number)


def cancel_and_wait(
    runs: Sequence[WatchedRun], interrupt: KeyboardInterrupt, limit: float = USUAL.cancel_limit
) -> None:
    """Cancel runs and wait up to ``limit`` seconds for the ends of all of them.

    Another Ctrl-C, SIGTERM or SIGHUP meanwhile kills their script processes in this process's
    nodes, and is raised as KeyboardInterrupt or SystemExit.
    """
    deadline = time.monotonic() + limit
    reason = describe(interrupt)
    try:
        say(f"{reason}: {_names(runs)} is being canceled (Ctrl-C again: at once)")
        for run in runs:
            run.cancel(reason)
        for run in runs:
            if _ended_by(run, deadline):
                _say_end(run)
            else:
                say(f"run {run.id} has not ended {limit:.0f} s after it was canceled")
                _give_up([run], interrupt)
    except KeyboardInterrupt as again:
        say(f"{describe(again)} once more: ending {_names(runs)} at once")
        _give_up(runs, again)
        leave_if_terminated(again)
        raise


def _ended_by(run: WatchedRun, deadline: float) -> bool:
    """Wait for a run's end until then, in short waits: see ``POLL``."""
    while (left := deadline - time.monotonic()) > POLL:
        if run._ended_within(POLL):
            return True
    return run._ended_within(max(0.0, left))


def _give_up(runs: Sequence[WatchedRun], interrupt: KeyboardInterrupt) -> None:
    """End the processes of runs, and wait for them no more, also at the end of the script."""
    left = [run for run in runs if not run._ended_within(0)]
    _given_up.update({name: interrupt for run in left for name in run._ids})
    for run in left:
        run._kill()


def leave_if_terminated(interrupt: KeyboardInterrupt) -> None:
    """End as a shell expects of a process that a signal has ended, if it was no Ctrl-C."""
    if isinstance(interrupt, Terminated):
        raise SystemExit(_code_of(interrupt)) from None


def _code_of(interrupt: KeyboardInterrupt) -> int:
    number = interrupt.number if isinstance(interrupt, Terminated) else signal.SIGINT
    return 128 + number


def _names(runs: Sequence[WatchedRun]) -> str:
    return "run " + ", ".join(run.id for run in runs)


def _wait_at_end() -> None:
    """Wait for the runs that are still active when the script has reached its end."""
    global _code
    if _process != os.getpid():
        return
    active = _active()
    try:
        with signals_as_interrupts():
            waited = [run for run in active if run._ids.isdisjoint(_given_up)]
            try:
                _wait_for(waited)
            except KeyboardInterrupt as interrupt:
                _code = _code_of(interrupt)
                cancel_and_wait([run for run in waited if not run._ended_within(0)], interrupt)
            if not _active():
                _wait_until_closed()
    except (KeyboardInterrupt, SystemExit):
        pass  # what is active yet was given up
    if left := _active():
        _end_now(left)


def _wait_for(runs: Sequence[WatchedRun]) -> None:
    if runs:
        say(f"the script has ended; waiting for {_names(runs)} (Ctrl-C cancels)")
    for run in runs:
        while not run._ended_within(POLL):
            pass
    for run in runs:
        say(f"run {run.id} {run.status.value}")


def _wait_until_closed() -> None:
    """Wait for what comes after the ends of runs, while this process can still start threads.

    That is what is put behind a URL: its store may be slow, or fail for a while.
    """
    try:
        for run in _runs:
            while not run._closed_within(POLL):
                pass
    except KeyboardInterrupt as interrupt:
        _leave(_code_of(interrupt))


def _say_end(run: WatchedRun) -> None:
    resume_hint = f" {run._resume_hint}" if run.status.value == "Canceled" else ""
    say(f"run {run.id} {run.status.value}: {run.message.rstrip('.')}.{resume_hint}")


def _active() -> list[WatchedRun]:
    return [run for run in _runs if not run._ended_within(0)]


def _end_now(runs: Sequence[WatchedRun]) -> None:
    """End the process, and so the threads that drive these runs; what they had ends with it."""
    interrupts = [_given_up[name] for run in runs for name in run._ids if name in _given_up]
    interrupt = interrupts[0] if interrupts else KeyboardInterrupt()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # asked for already
    message = f"{describe(interrupt)}, and it was ended at once"
    for run in runs:
        run._kill()
        _within(NOTE_LIMIT, lambda run=run: run._give_up(message))  # type: ignore[misc]
        _say_end(run)
        clear_inline(run._ids)
    _leave(_code_of(interrupt))


def _within(seconds: float, what: Callable[[], None]) -> None:
    """Do something, for so long at most: a store that doesn't answer takes minutes to say so."""
    thread = threading.Thread(target=what, name="daskrun-last-note", daemon=True)
    try:
        thread.start()
    except RuntimeError:  # the interpreter ends
        return
    thread.join(seconds)


def _exit_code() -> None:
    """End the process with 1 if a run failed and nobody was told."""
    failed = [(run.id, run._failure) for run in _runs if run._failure is not None]
    code = _code or (1 if failed else 0)
    if not code or _process != os.getpid():
        return
    for name, reason in failed:
        say(f"run {name} failed: {reason}")
    _leave(code)


def _leave(code: int) -> None:
    """End the process when its script has ended: there is no other way to change its code."""
    logging.shutdown()  # what is buffered is written before
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    remove_copies()  # what would come after this hook doesn't
    os._exit(code)


def describe(interrupt: KeyboardInterrupt) -> str:
    """Return what canceled a run."""
    if isinstance(interrupt, Terminated):
        return f"{signal.Signals(interrupt.number).name} came during a wait"
    return "Ctrl-C was pressed during a wait"


def say(text: str) -> None:
    """Write a line to stderr, if that can still be written to."""
    with contextlib.suppress(Exception):
        sys.stderr.write(f"daskrun: {safe(text)}\n")
        sys.stderr.flush()
