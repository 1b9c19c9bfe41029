"""The folder of a run: what was asked, each state it has been in, and how it ended."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from daskrun.errors import StorageError
from daskrun.storage.durable import write_whole
from daskrun.storage.records import Records

if TYPE_CHECKING:
    from pathlib import Path

    from daskrun.storage.lock import RunLock

STORY = "run.json"
REPORT = "report.json"
STATES = "states"
ALIVE = "driver.lock"
"""Locked while a process drives the run."""
REUSE = "reuse.json"
"""Of a step's run: whose output it uses, or why none."""
CANCEL = "cancel.json"
"""There while another process wants the one that drives the run to end it."""


class RunFolder:
    """A run as it is kept on disk; copied elsewhere, the folder still tells all of it.

    ``run.json`` says what was asked, ``states/<n>.json`` each state with its time, ``report.json``
    how it ended, ``logs/`` the rest.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        # The folder's own name is the record's kind, so that states are kept inside the folder.
        self._records = Records(path.parent)

    @staticmethod
    def create(path: Path, story: dict[str, Any]) -> RunFolder:
        """Make the folder of a new run.

        It is a run's for others once it has its ``run.json``, which comes last.

        Raises
        ------
        StorageError
            It can't be made, or is there already.
        """
        folder, held = RunFolder.create_driven(path, story)
        held.close()
        return folder

    @staticmethod
    def create_driven(path: Path, story: dict[str, Any]) -> tuple[RunFolder, RunLock]:
        """Make the folder of a new run, and give the lock that says that this process drives it.

        There is no moment at which others see the run and not who drives it.
        """
        folder, held = RunFolder(path), None
        try:
            path.mkdir(parents=True)
            folder.logs.mkdir()
            held = folder.drive()
            folder.add_state("NotStarted")
            write_whole(path / STORY, _encode(story))
        except BaseException as error:
            if held is not None:
                held.close()
            if isinstance(error, OSError) and not isinstance(error, StorageError):
                raise StorageError(f"can't make the run's folder {path}: {error}") from error
            raise
        return folder, held

    @property
    def id(self) -> str:
        """The run's id."""
        return self.path.name

    @property
    def logs(self) -> Path:
        """Where its logs are."""
        return self.path / "logs"

    def story(self) -> dict[str, Any]:
        """Give what was asked.

        Raises
        ------
        StorageError
            The folder isn't a run's.
        """
        value = _read(self.path / STORY)
        if value is None:
            raise StorageError(f"{self.path} is not a run's folder: it has no {STORY}.")
        return value

    def add_state(self, status: str, sentence: str = "") -> None:
        """Note that the run has entered a state."""
        value = {"status": status, "sentence": sentence, "time": time.time()}
        self._records.create(self.id, STATES, value)

    def states(self) -> list[dict[str, Any]]:
        """Give the states so far, in order: ``status``, ``sentence``, ``time`` since the epoch."""
        numbers = self._records.numbers(self.id, STATES)
        return [self._records.get(self.id, STATES, number) for number in numbers]

    def last_state(self) -> dict[str, Any]:
        """Give the state it is in."""
        found = self._records.latest(self.id, STATES)
        if found is None:
            raise StorageError(f"{self.path} holds no state of a run.")
        return found[1]

    def write_report(self, report: dict[str, Any]) -> None:
        """Keep how the run ended."""
        write_whole(self.path / REPORT, _encode(report))

    def report(self) -> dict[str, Any] | None:
        """Give how the run ended, None when it has not."""
        return _read(self.path / REPORT)

    def forget_report(self) -> None:
        """Remove the report of an end that the run has been resumed from."""
        (self.path / REPORT).unlink(missing_ok=True)

    def reuse(self) -> dict[str, Any] | None:
        """Give what was found when an earlier run's output was looked for; None before."""
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
        """Give the reason for which the run is asked to end, None when it isn't."""
        asked = _read(self.path / CANCEL)
        return str(asked["reason"]) if asked is not None else None

    def forget_cancel(self) -> None:
        """Remove what :meth:`ask_to_cancel` has left."""
        (self.path / CANCEL).unlink(missing_ok=True)

    def drive(self) -> RunLock:
        """Take the lock that says that this process drives the run."""
        from daskrun.storage.lock import RunLock  # needs fcntl, which Windows lacks

        lock = RunLock(self.path / ALIVE)
        lock.acquire()
        return lock

    def is_driven(self) -> bool:
        """Tell whether a process, this one or another, drives the run now."""
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


def _encode(value: dict[str, Any]) -> bytes:
    text = json.dumps(value, ensure_ascii=False, indent=1, default=str)
    return text.encode("utf-8", "backslashreplace") + b"\n"


def _read(path: Path) -> dict[str, Any] | None:
    try:
        value = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise StorageError(f"{path} can't be read: {error}") from error
    if not isinstance(value, dict):
        raise StorageError(f"{path} holds {type(value).__name__}, not what a run keeps there.")
    return value
