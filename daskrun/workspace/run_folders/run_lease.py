"""That this process drives a run behind a URL: a lease, renewed while what is written is put."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from daskrun.core.intervals import USUAL
from daskrun.core.logs import get_logger
from daskrun.core.typing import override
from daskrun.errors import DaskrunError, StorageError
from daskrun.storage.lease import Lease
from daskrun.storage.lock_handle import LockHandle

if TYPE_CHECKING:
    from collections.abc import Callable

    from daskrun.core.intervals import Intervals
    from daskrun.storage.mirror import Mirror

logger = get_logger("daskrun")
PATIENCE = 0.5
"""Seconds in which a run's end is waited for that its driver has told already."""
CANCEL = "cancel.json"
ASIDE = frozenset({"journal", "lease", "driver.lock", "inputs", "side_inputs", CANCEL})
"""What of a run's folder has ways of its own: dataframes are written there, not here."""


def left_out(name: str) -> bool:
    """Return whether what is at a name in a run's folder isn't put with the rest."""
    return name.partition("/")[0] in ASIDE


class RunLease(LockHandle):
    """The right of this process to drive a pipeline's run, with the runs of its steps.

    While it is held, the working copy is newer than what is at the URL, and is uploaded every few
    seconds; what must be at the URL before anything else is uploaded by the code that writes it.
    ``mirror`` is that of the pipeline's run.
    """

    def __init__(self, mirror: Mirror, intervals: Intervals = USUAL) -> None:
        self.lease = Lease(mirror.remote, intervals)
        self._intervals = intervals
        self.whole_here = False
        """Whether the copy here is the newest there is of the run: it was made or brought while
        this process had the lease that it has now, or the one before."""
        self._name = mirror.folder.name
        self._mirrors = {self._name: mirror}
        self._lock = threading.Condition()
        """Also waited on, so that others can look while this process waits for the lease."""
        self._over: threading.Event | None = None
        self._released = threading.Event()
        self._threads: list[threading.Thread] = []
        self._closing = False
        self._told: set[str] = set()
        self.trouble = ""
        """What the store said when it was asked last, ``""`` where it did what it was asked."""

    @property
    def held(self) -> bool:
        """Whether this process holds the run."""
        return self.lease.held

    def is_held(self) -> bool:
        """Return whether a process, this one or another, does."""
        with self._lock:
            return self.lease.is_held()

    def last_renewal(self) -> float:
        """Return when it was renewed last, by its holder's clock; 0 where it is let go of."""
        with self._lock:
            return self.lease.last_renewal()

    def acquire(self, *, puts: bool = True) -> None:
        """Take the run.

        With ``puts`` what is written here is put, now and then and at the end. Raises StorageError
        where another process has it, or the store fails.
        """
        self._await_end()
        with self._lock:
            before = self.lease.number
            self.lease.acquire(self._lock.wait)
            self.whole_here = self.whole_here and self.lease.number == before + 1
            self._over, self._released = threading.Event(), threading.Event()
            # Two: a slow put must not let the lease grow old.
            self._threads = [self._start(self._renew, self._released)]
            if puts:
                self._threads.append(self._start(self._put, self._over))

    def add(self, mirror: Mirror) -> None:
        """Put what is written of a step's run too."""
        with self._lock:
            self._mirrors[mirror.folder.name] = mirror

    def forget(self, mirror: Mirror) -> None:
        """Put nothing more of a run, which is being removed; of the pipeline's: let go of it."""
        with self._lock:
            self._mirrors.pop(mirror.folder.name, None)
            if mirror.remote is self.lease.folder:
                self.lease.held = False

    def check(self) -> None:
        """See that the run is held, by asking there.

        Raises StorageError where it isn't any more, or the store fails.
        """
        with self._lock:
            self.lease.check()
        if not self.held:
            raise StorageError(
                f"{self.lease.folder.shown()} was taken over by another process, so this one can't "
                "write there. Nothing of what is committed is lost."
            )

    @override
    def close(self) -> None:
        with self._lock:
            if self._over is None or self._closing:
                return
            self._closing = True
            over, released, (renews, *puts) = self._over, self._released, self._threads
        deadline = time.monotonic() + self._intervals.closing_limit
        try:
            over.set()
            for thread in puts:
                thread.join()
                self._end(self._put_all, deadline, "not all of a run's folder could be put")
            released.set()
            renews.join()
            self._end(self._release, deadline, "a run's lease could not be released")
        finally:
            released.set()
            with self._lock:
                self._over, self._closing, self.lease.held = None, False, False

    def _await_end(self) -> None:
        """Wait until an earlier use of this lease is closed, where that has begun or is due."""
        began = time.monotonic()
        while self._over is not None:
            limit = 2 * self._intervals.closing_limit if self._closing else PATIENCE
            if time.monotonic() < began + limit:
                time.sleep(PATIENCE / 50)
                continue
            raise StorageError(
                f"{self.lease.folder.shown()} is driven by this process already. Wait for its end."
            )

    def _start(self, work: Callable[[threading.Event], None], over: threading.Event) -> Any:
        name = f"daskrun-lease-{self._name}"
        thread = threading.Thread(target=work, args=(over,), name=name, daemon=True)
        thread.start()
        return thread

    def _renew(self, over: threading.Event) -> None:
        """Renew the lease until it is released or lost."""
        while not over.wait(self._intervals.lease_check) and self.held:
            try:
                with self._lock:
                    self.lease.renew()
            except Exception as error:  # noqa: BLE001  (else the lease would grow old unseen)
                self._tell(error)

    def _put(self, over: threading.Event) -> None:
        """Put what was written, until the run is over or lost."""
        while not over.wait(self._intervals.upload_interval) and self.held:
            try:
                self._put_all(all_of_it=False)
            except Exception as error:  # noqa: BLE001  (put again later, and at the end)
                self._tell(error)
            else:
                self.trouble = ""

    def _put_all(self, *, all_of_it: bool = True) -> None:
        self.check()
        for mirror in list(self._mirrors.values()):
            mirror.put("states/", all_of_it=all_of_it, code=False)  # the code never changes

    def _release(self) -> None:
        with self._lock:
            self.lease.release()

    def _end(self, what: Callable[[], object], deadline: float, trouble: str) -> None:
        """Do one of the last things, again while the store fails."""
        while self.held:
            try:
                what()
            except Exception as error:  # noqa: BLE001  (the lease has to be let go of all the same)
                if not self.held or time.monotonic() > deadline:
                    logger.warning("%s: %s", trouble, error)
                    return
                self._tell(error)
                time.sleep(self._intervals.closing_retry)
            else:
                return

    def _tell(self, error: Exception) -> None:
        """Say what can't be done, once for each thing."""
        known = isinstance(error, DaskrunError | OSError)
        self.trouble = text = str(error) if known else f"{type(error).__name__}: {error}"
        if text not in self._told:
            self._told.add(text)
            more = " It is tried again." if self.held else ""
            logger.warning("%s.%s", text.rstrip("."), more, exc_info=None if known else error)


class StepLock(LockHandle):
    """In place of a lock: who drives a pipeline's run drives those of its steps."""

    @override
    def close(self) -> None:
        """Nothing is held."""
