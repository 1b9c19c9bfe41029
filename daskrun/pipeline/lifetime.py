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
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from daskrun.core.report import RunStatus

CANCEL_LIMIT = 10.0
"""Seconds that a canceled run gets to end before a wait gives up on it."""
POLL = 0.2
"""Seconds between two looks: a signal is handled only between Python's own instructions."""


class WatchedRun(Protocol):
    """A run of this process."""

    @property
    def id(self) -> str:
        """Its id."""

    @property
    def failure(self) -> str | None:
        """Why it failed, if it did and nobody was told."""

    def ended_within(self, seconds: float) -> bool:
        """Wait for its end, and tell whether it has come."""

    def cancel(self, reason: str = ...) -> None:
        """Ask it to end."""

    @property
    def status(self) -> RunStatus:
        """Which state it is in."""


class Terminated(KeyboardInterrupt):
    """SIGTERM or SIGHUP came inside a wait: it acts as the first Ctrl-C.

    Parameters
    ----------
    number
        Which signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


_runs: list[WatchedRun] = []
"""Those that the end of the script may have to wait for or to tell of."""
_changing = threading.Lock()
_process: int | None = None
_code = 0
"""What the process ends with when it was interrupted while it waited at its end."""


def watch(run: WatchedRun) -> None:
    """Let the end of the script wait for a run."""
    global _process
    with _changing:  # a notebook may live for weeks and submit thousands
        _runs[:] = [each for each in _runs if not each.ended_within(0) or each.failure is not None]
        _runs.append(run)
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


def cancel_and_wait(runs: list[WatchedRun], reason: str) -> None:
    """Cancel runs and wait for their ends, ten seconds for all of them."""
    deadline = time.monotonic() + CANCEL_LIMIT
    for run in runs:
        run.cancel(reason)
    for run in runs:
        if not run.ended_within(max(0.0, deadline - time.monotonic())):
            say(f"run {run.id} has not ended {CANCEL_LIMIT:.0f} s after it was canceled")


def _wait_at_end() -> None:
    """Wait for the runs that are still active when the script has reached its end."""
    global _code
    active = [run for run in _runs if not run.ended_within(0)]
    if not active or _process != os.getpid():
        return
    names = ", ".join(run.id for run in active)
    say(f"the script has ended; waiting for run {names} (Ctrl-C cancels)")
    try:
        with signals_as_interrupts():
            for run in active:
                while not run.ended_within(POLL):
                    pass
    except KeyboardInterrupt as interrupt:
        _code = 128 + interrupt.number if isinstance(interrupt, Terminated) else 130
        cancel_and_wait(active, describe(interrupt))
    for run in active:
        say(f"run {run.id}: {run.status.value}")


def _exit_code() -> None:
    """End the process with 1 if a run failed and nobody was told."""
    failed = [(run.id, run.failure) for run in _runs if run.failure is not None]
    code = _code or (1 if failed else 0)
    if not code or _process != os.getpid():
        return
    for name, reason in failed:
        say(f"run {name} failed: {reason}")
    # At exit there is no other way to change the code; what is buffered is written before.
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    os._exit(code)


def describe(interrupt: KeyboardInterrupt) -> str:
    """Say what canceled a run."""
    if isinstance(interrupt, Terminated):
        return f"{signal.Signals(interrupt.number).name} came during a wait"
    return "Ctrl-C was pressed during a wait"


def say(text: str) -> None:
    """Tell on stderr, if that can still be written to."""
    with contextlib.suppress(Exception):
        sys.stderr.write(f"daskrun: {text}\n")
        sys.stderr.flush()
