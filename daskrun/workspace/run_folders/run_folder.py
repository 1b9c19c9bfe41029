"""The folder of a run: what was asked, each state it has been in, and how it ended."""

from __future__ import annotations

import json
import os
import shutil
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daskrun.errors import StorageError
from daskrun.storage.durable import write_whole
from daskrun.storage.records import Records

if TYPE_CHECKING:
    from daskrun.storage.lock_handle import LockHandle

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
    """A run as it is kept on disk; copied elsewhere, the folder still tells all of it.

    ``run.json`` says what was asked, ``states/<n>.json`` each state with its time, ``report.json``
    how it ended, ``logs/`` the rest. The methods that synchronise with a URL do nothing here:
    :class:`~daskrun.workspace.run_folders.url_run_folder.UrlRunFolder` overrides them.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        # The folder's own name is the record's kind, so that states are kept inside the folder.
        self._records = Records(path.parent)

    def create(self, manifest: dict[str, Any]) -> None:
        """Make the folder of a new run, which others may drive.

        It is a run's for others once it has its ``run.json``, which comes last.

        Raises
        ------
        StorageError
            It can't be made, or is there already.
        """
        self.begin(manifest).close()

    def begin(self, manifest: dict[str, Any]) -> LockHandle:
        """Make the folder of a new run, and give the lock that says that this process drives it.

        There is no moment at which others see the run and not who drives it.
        """
        held = None
        try:
            self.path.mkdir(parents=True)
            self.logs.mkdir()
            held = self.drive()
            self.add_state("NotStarted")
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
        return RunFolder(self.path.parent / run_id)

    def shown(self, name: str = "") -> str:
        """Return the place of a file in it, as messages show it: one that is there tomorrow."""
        return str(self.path / name)

    def fetch(self, *names: str) -> None:
        """Have what others have written of it in :attr:`path`, or only some files and folders."""

    def push(self) -> None:
        """Have what was written to :attr:`path` where others find it."""

    def push_metrics(self) -> None:
        """Have what was logged where others find it; any process may log to a run."""

    def size(self) -> int:
        """Return the bytes of all that is in it."""
        return size_of(self.path)

    def last_change(self) -> float:
        """Return when something was last noted of the run, in seconds since the epoch."""
        last = float(self.last_state()["time"])
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

        Raises
        ------
        OSError
            It can't be removed whole.
        """
        # Without that it is no run's: nobody sees a part of one.
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

    def manifest(self) -> dict[str, Any]:
        """Return what was asked.

        Raises
        ------
        StorageError
            The folder isn't a run's.
        """
        value = _read(self.path / MANIFEST)
        if value is None:
            raise StorageError(f"{self.path} is not a run's folder: it has no {MANIFEST}.")
        return value

    def add_state(self, status: str, message: str = "") -> None:
        """Note that the run has entered a state."""
        value = {"status": status, "message": message, "time": time.time()}
        self._records.create(self.id, STATES, value)

    def states(self) -> list[dict[str, Any]]:
        """Return the states so far, in order: ``status``, ``message``, ``time`` since the epoch."""
        numbers = self._records.numbers(self.id, STATES)
        return [_renamed(self._records.get(self.id, STATES, number)) for number in numbers]

    def last_state(self) -> dict[str, Any]:
        """Return the state it is in."""
        found = self._records.latest(self.id, STATES)
        if found is None:
            raise StorageError(f"{self.path} holds no state of a run.")
        return _renamed(found[1])

    def write_report(self, report: dict[str, Any]) -> None:
        """Keep how the run ended."""
        write_whole(self.path / REPORT, _encode(report))

    def report(self) -> dict[str, Any] | None:
        """Return how the run ended, None when it has not."""
        return _read(self.path / REPORT)

    def forget_report(self) -> None:
        """Remove the report of an end that the run has been resumed from."""
        self.drop(REPORT)

    def reuse(self) -> dict[str, Any] | None:
        """Return what was found when an earlier run's output was looked for; None before."""
        return _read(self.path / REUSE)

    def ask_to_cancel(self, reason: str) -> None:
        """Ask the process that drives the run, whichever it is, to end it.

        Raises
        ------
        StorageError
            The folder can't be written.
        """
        try:
            write_whole(self.path / CANCEL, _encode({"reason": reason, "time": time.time()}))
        except OSError as error:
            raise StorageError(
                f"run {self.id} can't be asked to end: {error}. Press Ctrl-C in the process that "
                "drives it."
            ) from error

    def asked_to_cancel(self) -> str | None:
        """Return the reason for which the run is asked to end, None when it isn't."""
        asked = _read(self.path / CANCEL)
        return str(asked["reason"]) if asked is not None else None

    def forget_cancel(self) -> None:
        """Remove what :meth:`ask_to_cancel` has left."""
        (self.path / CANCEL).unlink(missing_ok=True)

    def drive(self) -> LockHandle:
        """Take the lock that says that this process drives the run, and have all of it here."""
        return self.lock()

    def lock(self) -> LockHandle:
        """Take that lock, and have no more than its states here."""
        from daskrun.storage.lock import RunLock  # needs fcntl, which Windows lacks

        lock = RunLock(self.path / ALIVE)
        lock.acquire()
        return lock

    def is_driven(self) -> bool:
        """Return whether a process, this one or another, drives the run now."""
        import fcntl

        try:
            with (self.path / ALIVE).open("rb") as file:
                # Shared, so that two who look don't see each other.
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False


def size_of(path: Path) -> int:
    """Return the bytes of a file, or of all files in a folder; 0 where there is none."""
    if not path.is_dir():
        with suppress(OSError):
            return path.lstat().st_size
        return 0
    total = 0
    for folder, _, names in os.walk(path):
        for name in names:
            with suppress(OSError):
                total += Path(folder, name).lstat().st_size
    return total


def _encode(value: dict[str, Any]) -> bytes:
    text = json.dumps(value, ensure_ascii=False, indent=1, default=str)
    return text.encode("utf-8", "backslashreplace") + b"\n"


def _renamed(found: dict[str, Any]) -> dict[str, Any]:
    """Return a state, report or note of reuse with the key of its message as it is today.

    Folders written by daskrun 0.1.0 before its words were settled have ``sentence`` there.
    """
    return {"message" if key == "sentence" else key: value for key, value in found.items()}


def _read(path: Path) -> dict[str, Any] | None:
    try:
        value = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise StorageError(f"{path} can't be read: {error}") from error
    if not isinstance(value, dict):
        raise StorageError(f"{path} holds {type(value).__name__}, not what a run keeps there.")
    return _renamed(value)
