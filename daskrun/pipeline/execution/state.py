"""How a run stands: as the thread that drives it knows, or as its folder tells."""

from __future__ import annotations

import os
import socket
import threading
import time
from abc import ABC, abstractmethod
from contextlib import suppress
from typing import TYPE_CHECKING

from daskrun.core.events import Observer
from daskrun.core.logs import get_logger
from daskrun.core.report import Progress, Report, RunStatus
from daskrun.core.typing import override
from daskrun.errors import DaskrunError, StorageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from daskrun.workspace.run_folders.run_folder import RunFolder

logger = get_logger("daskrun")
POLL = 0.5
"""Seconds between two looks at the folder of a run that another process drives."""
GONE = (
    "the process that drove the run is gone; it did not note an end",
    "the process that submitted the run is gone",
)
LOST = (
    "nothing has driven the run for {limit:g} s: the cluster of {at} is gone, or has no worker "
    "that can"
)
"""Of one whose driver was to be on its cluster."""


class RunState(ABC):
    """How a run stands."""

    folder: RunFolder
    """Where the run is kept."""
    progress: Progress | None = None
    """How far it is; None while and where that isn't known."""

    @property
    @abstractmethod
    def status(self) -> RunStatus:
        """Which state it is in."""

    @property
    @abstractmethod
    def message(self) -> str:
        """What happened, once it has ended."""

    @abstractmethod
    def first_error(self) -> str:
        """Return traceback, or what else is known, of the run's first error; ``""`` for none."""

    @abstractmethod
    def wait(self, seconds: float) -> bool:
        """Wait for its end, and return whether it has come."""

    @abstractmethod
    def wait_until_closed(self, seconds: float) -> bool:
        """Wait until nothing of it is left to do in this process, and return whether that is so."""

    @abstractmethod
    def cancel(self, reason: str) -> None:
        """Ask it to end; nothing happens when it has.

        Raises
        ------
        StorageError
            Another process drives it, and the run's folder can't be written.
        """


class Latch:
    """Set once, and waited for where a signal may raise in the middle of the wait.

    An exception that comes while ``threading.Event`` takes its own lock leaves that taken: who sets
    the event, and who waits for it next, then waits for ever. Here nothing is held in a wait.

    Examples
    --------
    >>> latch = Latch()
    >>> latch.wait(0.01)
    False
    >>> latch.set()
    >>> latch.wait(0.01), latch.is_set
    (True, True)
    """

    def __init__(self) -> None:
        self.is_set = False
        """Whether it is."""
        self._closed = threading.Lock()
        self._closed.acquire()

    def set(self) -> None:
        """Set it; all waits end."""
        if not self.is_set:
            self.is_set = True
            self._open()

    def wait(self, seconds: float) -> bool:
        """Wait until it is set, and tell whether it is."""
        if not self.is_set and self._closed.acquire(timeout=seconds):
            # An exception before this leaves others waiting for their time, not for ever.
            self._open()
        return self.is_set

    def _open(self) -> None:
        with suppress(RuntimeError):  # it is open already
            self._closed.release()


class LiveState(RunState):
    """A run that this process drives. Every method may be called from any thread.

    Each state is noted in the folder; ``on_cancel`` is called when the run is asked to end.
    """

    def __init__(self, folder: RunFolder, on_cancel: Callable[[str], None]) -> None:
        self.folder = folder
        self.report: Report | None = None
        self._on_cancel = on_cancel
        self._status = RunStatus.NOT_STARTED
        self._message = ""
        self._ended = Latch()
        self.closed = Latch()
        """Set when everything of it is kept and others may go on with it."""

    @property
    @override
    def status(self) -> RunStatus:
        return self._status

    @property
    @override
    def message(self) -> str:
        return self._message

    @override
    def first_error(self) -> str:
        return self.report.errors[0].text if self.report and self.report.errors else ""

    def enter(self, status: RunStatus, message: str = "") -> None:
        """Go on to another state."""
        self._status, self._message = status, message
        try:
            self.folder.add_state(status.value, message)
        except (DaskrunError, OSError) as error:
            what = f"its state {status.value} can't be noted, so others don't see it"
            logger.warning("run %s: %s: %s", self.folder.id, what, error)
        if status.ended:
            self._ended.set()

    def end(self, report: Report) -> None:
        """Go on to the state a report tells."""
        self.report = report
        try:
            self.folder.write_report(report)
        except (DaskrunError, OSError) as error:
            where = self.folder.shown()
            logger.warning(
                "run %s: its report can't be kept in %s: %s", self.folder.id, where, error
            )
        self.enter(report.status, report.message)

    def give_up(self, message: str) -> None:
        """Note an end in place of the thread that drives the run, which the process ends with."""
        if not self._status.ended:
            self.enter(RunStatus.CANCELED, message)

    @override
    def wait(self, seconds: float) -> bool:
        return self._ended.wait(seconds)

    @override
    def wait_until_closed(self, seconds: float) -> bool:
        return self.closed.wait(seconds)

    @override
    def cancel(self, reason: str) -> None:
        if not self._ended.is_set:
            self._on_cancel(reason)


class ProgressKeeper(Observer):
    """Keeps a step's progress where waits look for it."""

    def __init__(self, state: LiveState) -> None:
        self._state = state

    @override
    def progress(self, progress: Progress) -> None:
        self._state.progress = progress


class StoredState(RunState):
    """A run that another process drives or drove, as its folder tells.

    ``whole`` is, of a step, how its pipeline's run stands: no step is started once that has ended.
    """

    def __init__(self, folder: RunFolder, whole: StoredState | None = None) -> None:
        self.folder = folder
        self._whole = whole

    @property
    @override
    def status(self) -> RunStatus:
        return self._now()[0]

    @property
    @override
    def message(self) -> str:
        return self._now()[1]

    def _now(self) -> tuple[RunStatus, str]:
        """Return state and message: Failed where its process is gone and noted no end."""
        # Looked at first: between the looks the run may end and let go, never the reverse.
        whole = self._whole._now() if self._whole is not None else None
        driven = self.folder.is_driven()
        last = self.folder.last_state()
        status = last.status
        if status.ended or driven:
            return status, last.message
        if whole is not None and status is RunStatus.NOT_STARTED and whole[0].ended:
            return RunStatus.CANCELED, f"not started: {whole[1]}"
        # a step's run that its pipeline's next driver is about to go on with
        if whole is not None and not whole[0].ended:
            return status, last.message
        if whole is None and self.folder.awaits_driver():
            return status, last.message
        found = self.folder.handover() if whole is None else None
        if found is not None and found.at:
            return RunStatus.FAILED, LOST.format(limit=found.limit, at=found.at)
        return RunStatus.FAILED, GONE[status is RunStatus.NOT_STARTED]

    @override
    def first_error(self) -> str:
        report = self.folder.report()
        return report.errors[0].text if report is not None and report.errors else ""

    @override
    def wait(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while not self.status.ended:
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            time.sleep(min(POLL, left))
        return True

    @override
    def wait_until_closed(self, seconds: float) -> bool:
        return True

    @override
    def cancel(self, reason: str) -> None:
        if self.status.ended:
            return
        if self._whole is not None:
            self._whole.cancel(reason)
            return
        told = f"{reason} (in process {os.getpid()} on {socket.gethostname()})"
        if not self._ended_undriven(told):
            self.folder.ask_to_cancel(told)

    def _ended_undriven(self, message: str) -> bool:
        """Note the end of a run whose driver is still to come; return False where one is there."""
        if self.folder.is_driven() or not self.folder.awaits_driver():
            return False
        try:
            held = self.folder.lock()
        except StorageError:  # one has come meanwhile; or the request can't be written either
            return False
        with held:
            if not self.folder.last_state().status.ended:
                note_end(self.folder, RunStatus.CANCELED, message)
        return True


def note_end(folder: RunFolder, status: RunStatus, message: str) -> None:
    """Note how a pipeline's run ends that this process holds, and that nothing drives.

    Its steps that have not ended do before it. Raises StorageError where that can't be written.
    """
    for step in (folder.sibling(name) for name in folder.manifest().steps):
        if not step.is_run:  # submit did not get so far
            continue
        with step.lock():
            last = step.last_state().status
            if last is RunStatus.NOT_STARTED:
                step.add_state(RunStatus.CANCELED, f"not started: {message}")
            elif not last.ended:
                step.add_state(status, message)
    folder.add_state(status, message)
