"""The folder of a run: what was asked, each state it has been in, and how it ended."""

from __future__ import annotations

import errno
import json
import os
import shutil
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from daskrun.core.codec import to_record
from daskrun.core.json_text import parsed
from daskrun.core.notices import say_once
from daskrun.core.report import RunStatus
from daskrun.errors import StorageError
from daskrun.shown.url_secrets import shown_text, without_url_secrets
from daskrun.storage.durable import open_regular, read_file, write_whole
from daskrun.storage.folders import make_folder, size_of
from daskrun.storage.forms import LISTS_OF_RUNS, wrong_form
from daskrun.storage.records import Records
from daskrun.storage.safe_names import inside
from daskrun.workspace.run_folders import handover
from daskrun.workspace.run_folders.run_records import (
    Manifest,
    StateRecord,
    read_report,
    read_state,
    renamed,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from daskrun.core.codec import JsonObject
    from daskrun.core.report import Report
    from daskrun.storage.lock_handle import LockHandle
    from daskrun.workspace.run_folders.handover import Handover

Made = TypeVar("Made")
MANIFEST = "run.json"
REPORT = "report.json"
JOURNAL = "journal"
STATES = "states"
SNAPSHOT = "snapshot"
"""The code, as it was at submit."""
ALIVE = "driver.lock"
"""Locked while a process drives the run."""
REUSE = "reuse.json"
"""Of a step's run: whose output it uses, or why none."""
SHOWN = "models_used"
"""Models of which a script was shown the newest version, its number included: an empty file each.
"""
READ = "models_read"
"""Models of which a script was given the path alone: there only what the files hold counts."""
NOTED = (SHOWN, READ)
CANCEL = "cancel.json"
"""There while another process wants the one that drives the run to end it."""


class RunFolder:
    """A run as it is kept on disk; a copy of the folder elsewhere still holds all of it.

    ``run.json`` says what was asked, ``states/<n>.json`` each state with its time, ``report.json``
    how it ended, ``logs/`` the rest. Methods that download or upload do nothing here:
    :class:`~daskrun.workspace.run_folders.url_run_folder.UrlRunFolder` overrides them.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        # The folder's own name is the record's kind, so that states are kept inside the folder.
        self._records = Records(path.parent)

    def create(self, manifest: JsonObject) -> None:
        """Make the folder of a new run, which others may drive.

        Others see the run once there is its ``run.json``, which is written last.

        Raises StorageError where it can't be made, or exists already.
        """
        self.begin(manifest).close()

    def begin(self, manifest: JsonObject) -> LockHandle:
        """Make the folder of a new run; return the lock that says that this process drives it.

        At no moment do others see the run and nobody who drives it.
        """
        held = None
        try:
            make_folder(self.path, exist_ok=False)  # it holds code that is run, and private files
            make_folder(self.logs, exist_ok=False)
            held = self.drive()
            self.add_state(RunStatus.NOT_STARTED)
            write_whole(self.path / MANIFEST, _encode(manifest))
        except BaseException as error:
            if held is not None:
                held.close()
            if isinstance(error, OSError) and not isinstance(error, StorageError):
                raise StorageError(f"can't make the run's folder {self.path}: {error}") from error
            raise
        return held

    @property
    def url(self) -> str:
        """Where it is kept, ``""`` where that is :attr:`path` alone."""
        return ""

    def sibling(self, run_id: str) -> RunFolder:
        """Return the folder of another run of the workspace."""
        return RunFolder(inside(self.path.parent, run_id))

    def shown(self, name: str = "") -> str:
        """Return the lasting path or URL of a file in it, for messages."""
        return str(self.path / name)

    def fetch(self, *names: str) -> None:
        """Download what other processes have written of it, or only some files and folders."""

    def push(self) -> None:
        """Upload what was written to :attr:`path`."""

    def push_metrics(self) -> None:
        """Upload what was logged; any process may log to a run."""

    def size(self) -> int:
        """Return the bytes of all files in it."""
        return size_of(self.path)

    def last_change(self) -> float:
        """Return when a state or the journal was written last, in seconds since the epoch."""
        last = self.last_state().time
        with suppress(OSError):
            last = max(last, (self.path / JOURNAL).stat().st_mtime)
        return last

    def drop(self, *names: str) -> None:
        """Remove files and folders of it."""
        for path in (self.path / name for name in names):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove all of it.

        Raises OSError where it can't be removed whole.
        """
        # First: without it there is no run, so that nobody sees a part of one.
        (self.path / MANIFEST).unlink(missing_ok=True)
        shutil.rmtree(self.path)

    @property
    def id(self) -> str:
        """The run's id."""
        return self.path.name

    @property
    def logs(self) -> Path:
        """Where its logs are."""
        return self.path / "logs"

    def log_names(self) -> list[str]:
        """Return the paths of its log files, such as ``logs/job_result.txt``."""
        files = (path for path in self.logs.rglob("*") if path.is_file())
        return sorted(path.relative_to(self.path).as_posix() for path in files)

    @property
    def is_run(self) -> bool:
        """Whether there is a run, and all of its folder was made."""
        return (self.path / MANIFEST).is_file()

    def is_there(self) -> bool:
        """Return whether there is a run, also where others may have removed it.

        Raises StorageError where that can't be asked, as while the workspace is away.
        """
        if not self.path.parent.is_dir():
            raise StorageError(f"{self.path.parent} isn't there, so that no run can be looked for.")
        return self.is_run

    def manifest(self) -> Manifest:
        """Return what was asked.

        Raises StorageError where the folder isn't a run's.
        """
        value = _read(self.path / MANIFEST) if self.is_run else None
        if value is None:
            raise StorageError(f"{self.path} is not a run's folder: it has no {MANIFEST}.")
        return self._made("run.json", lambda: Manifest.read(value, self.id))

    def readable(self) -> Manifest | None:
        """Return :meth:`manifest`; None for a folder that can't be read, which is said once."""
        try:
            return self.manifest()
        except StorageError as error:
            left_out(error)
            return None

    def _made(self, name: str, make: Callable[[], Made]) -> Made:
        """Make what a file holds; StorageError where somebody has written something else there."""
        try:
            return make()
        except (TypeError, ValueError, KeyError, AttributeError, RecursionError) as error:
            raise StorageError(f"{self.path / name} holds no such record: {error!r}.") from error

    def add_state(self, status: str, message: str = "") -> None:
        """Note that the run has entered a state."""
        state = StateRecord(RunStatus(status), shown_text(message), time.time())
        self._records.create(self.id, STATES, to_record(state))

    def states(self) -> list[StateRecord]:
        """Return the states so far, in order."""
        self._refresh(STATES)
        numbers = self._records.numbers(self.id, STATES)
        found = (self._records.get(self.id, STATES, number) for number in numbers)
        return self._made(STATES, lambda: [read_state(each) for each in found])

    def last_state(self) -> StateRecord:
        """Return the state it is in."""
        self._refresh(STATES)
        found = self._records.latest(self.id, STATES)
        if found is None:
            raise StorageError(f"{self.path} holds no state of a run.")
        return self._made(STATES, lambda: read_state(found[1]))

    def write_report(self, report: Report) -> None:
        """Keep how the run ended."""
        write_whole(self.path / REPORT, _encode(to_record(report)))

    def report(self) -> Report | None:
        """Return how the run ended, None when it has not."""
        self._refresh(REPORT)
        found = _read(self.path / REPORT)
        return None if found is None else self._made(REPORT, lambda: read_report(found))

    def forget_report(self) -> None:
        """Remove the report of an end that the run has been resumed from."""
        self.drop(REPORT)

    def reuse(self) -> JsonObject | None:
        """Return what was found when an earlier run's output was looked for; None before."""
        self._refresh(REUSE)
        found = _read(self.path / REUSE)
        return None if found is None else renamed(found)

    def ask_to_cancel(self, reason: str) -> None:
        """Ask the process that drives the run, whichever it is, to end it.

        Raises StorageError where the folder can't be written.
        """
        try:
            self._write_cancel(_encode({"reason": reason, "time": time.time()}))
        except StorageError:
            raise
        except OSError as error:
            raise StorageError(
                f"run {self.id} can't be asked to end: {error}. Press Ctrl-C in the process that "
                "drives it."
            ) from error

    def asked_to_cancel(self) -> str | None:
        """Return the reason for which the run is asked to end, None when it isn't."""
        return reason_of(self.path / CANCEL)

    def forget_cancel(self) -> None:
        """Remove the request of :meth:`ask_to_cancel`."""
        (self.path / CANCEL).unlink(missing_ok=True)

    def drive(self) -> LockHandle:
        """Take the lock that says that this process drives the run; download all of the run."""
        return self.lock()

    def lock(self) -> LockHandle:
        """Take that lock; download no more than the run's states."""
        from daskrun.storage.lock import RunLock  # needs fcntl, which Windows lacks

        lock = RunLock(self.path / ALIVE)
        lock.acquire()
        return lock

    def is_driven(self) -> bool:
        """Return whether a process, this one or another, drives the run now."""
        import fcntl

        try:
            with open_regular(self.path / ALIVE) as file:
                # Shared, so that two who look don't see each other.
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):  # another user's, of whom the states tell
            return True
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.EINVAL):  # no file, or none that locks
                raise
        return False

    def handover(self) -> Handover | None:
        """Return who drives a pipeline's run in the place of who submitted it, if anybody does."""
        self._refresh(handover.FILE)
        return handover.read(self.path)

    def awaits_driver(self) -> bool:
        """Return whether a pipeline's run that nobody drives, and has not ended, soon is driven."""
        found = self.handover()
        if found is None or not found.waits:
            return False
        return time.time() < max(found.last, self._last_beat()) + found.limit

    def beat(self) -> None:
        """Show that the run is driven, for the time after that; to be called now and then."""
        with suppress(OSError):  # a file system that stumbles
            os.utime(self.path / ALIVE)

    def _last_beat(self) -> float:
        """Return when it was seen last that the run was driven; 0 for never."""
        with suppress(OSError):
            return (self.path / ALIVE).stat().st_mtime
        return 0.0

    def _refresh(self, name: str) -> None:
        """Download the newest of a file or folder, unless this process writes it."""

    def _write_cancel(self, data: bytes) -> None:
        write_whole(self.path / CANCEL, data)


def left_out(error: StorageError) -> None:
    """Say once that a run is left out of a list, and why."""
    say_once(f"{str(error).rstrip('.')}. That run is left out.")


def _encode(value: JsonObject) -> bytes:
    safe = without_url_secrets(value)
    text = json.dumps(safe, ensure_ascii=False, indent=1, default=str)
    return text.encode("utf-8", "backslashreplace") + b"\n"


def reason_of(place: Path | str, read: Callable[[Any], bytes] = read_file) -> str | None:
    """Return the reason that a request to cancel has, None where there is none.

    Raises StorageError where it is no request: others may have written it.
    """
    asked = _read(place, read)
    reason = None if asked is None else asked.get("reason")
    if asked is not None and not isinstance(reason, str):
        raise StorageError(f"{place} is no request to cancel: it has no reason that is a text.")
    return reason


def _read(path: Path | str, read: Callable[[Any], bytes] = read_file) -> JsonObject | None:
    try:
        value = parsed(read(path))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise StorageError(f"{path} can't be read: {error}") from error
    if not isinstance(value, dict):
        raise StorageError(f"{path} holds {type(value).__name__}, not what a run keeps there.")
    if wrong := wrong_form(value, LISTS_OF_RUNS):
        raise StorageError(f"{path} {wrong}, not what a run keeps there.")
    return value
