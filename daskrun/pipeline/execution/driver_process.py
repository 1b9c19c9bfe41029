"""A process that drives one run that was submitted before: ``python -m`` this module.

It is told what to do by a line of JSON on its standard input. On a cluster that stays open: when it
ends, the worker that has started the process is gone, and so is the process; another takes the run
over. Signals that end processes end this one, and not the run.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from base64 import b64decode, b64encode
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from platform import python_version
from typing import TYPE_CHECKING, Any

from daskrun.core.intervals import USUAL, Intervals
from daskrun.core.json_text import parsed
from daskrun.core.logs import get_logger
from daskrun.core.report import RunStatus
from daskrun.engine.dask.driver_host import CANCEL
from daskrun.engine.dask.versions import misfit
from daskrun.engine.journal_records import read_attempts
from daskrun.engine.request import GivenCluster
from daskrun.errors import (
    ComputeTargetException,
    DaskrunError,
    ResumeError,
    SettingsError,
    StorageError,
)
from daskrun.pipeline.execution.output_log import DRIVER_LOG, print_into
from daskrun.pipeline.execution.resume import make_driver
from daskrun.pipeline.execution.state import note_end
from daskrun.script.wire import packed, unpacked
from daskrun.workspace.run_folders import handover
from daskrun.workspace.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Mapping

    from daskrun.storage.lock_handle import LockHandle
    from daskrun.storage.urls import StorageOptions
    from daskrun.workspace.run_folders.run_folder import RunFolder

logger = get_logger("daskrun")
PROGRAM = __name__
"""What it is started as: its name is another where it runs."""
TURN = 1.0
"""Seconds between two looks whether another driver of the run has ended."""
BEAT = 5.0
"""Seconds between two signs that the run is driven."""
MOST_STUCK = 5
"""Drivers that may end one after the other without getting any further."""


class _NoRunError(StorageError):
    """The workspace is there, and has no such run."""


@dataclass(frozen=True)
class Asked:
    """What such a process is told."""

    run: str
    """The run's id."""
    workspace: str
    """Folder or URL."""
    options: StorageOptions = field(default_factory=dict, repr=False)
    """Of a URL."""
    intervals: Mapping[str, Any] = field(default_factory=lambda: asdict(USUAL))
    scheduler: str = ""
    """Address to connect to; ``""``: the run is driven on this machine."""
    security: Mapping[str, str] = field(default_factory=dict, repr=False)
    """What ``distributed.Security`` needs for that."""
    worker: str = ""
    """Address of the Dask worker that has started this process."""
    like: Mapping[str, str] = field(default_factory=lambda: _versions())
    """What was installed where the run was submitted, as what takes part has to have it."""
    only_looks: bool = False
    """Whether it only says why it could not drive the run."""

    @property
    def told(self) -> dict[str, str]:
        """It, for a line of JSON; options may be any objects.

        Raises SettingsError where they can't be sent.
        """
        try:
            return {"asked": b64encode(packed(vars(self))).decode()}
        except Exception as error:
            problem = (
                f"detached=True: storage_options of the workspace can't be sent to another process "
                f"({type(error).__name__}: {error}). Give plain values, or have the store's own "
                "client find them where the run is driven."
            )
            raise SettingsError("submit", [problem]) from error

    @staticmethod
    def of(told: Mapping[str, Any]) -> Asked:
        """Return what was told, and what who passes it on has added."""
        added = {name: value for name, value in told.items() if name != "asked"}
        return Asked(**{**unpacked(b64decode(told["asked"])), **added})

    def open(self) -> tuple[Workspace, RunFolder]:
        """Return the workspace, and the run's folder there.

        Raises DaskrunError where one of them can't be reached, or what is installed here can't
        drive the run: it would leave out all workers that are unlike itself.
        """
        if why := misfit(_versions(), self.like, "who has submitted the run"):
            raise ComputeTargetException(f"the process {why}.")
        intervals = Intervals(**self.intervals)
        workspace = Workspace(self.workspace, self.options or None, intervals=intervals)
        folder = workspace.site.find_run(self.run)
        if folder is None:
            raise _NoRunError(f"{self.workspace} has no run {self.run} when it is looked at here.")
        return workspace, folder

    @property
    def target(self) -> object:
        """What the engine runs on; None for what the run's steps name."""
        if not self.scheduler or not self.security:
            return self.scheduler or None
        from distributed import Security

        security = Security(**self.security, require_encryption=True)  # type: ignore[no-untyped-call]
        return GivenCluster(self.scheduler, security)


def _versions() -> dict[str, str]:
    from daskrun.engine.dask.worker import WIRE  # an import of daskrun needs it not

    return {"python": python_version(), "daskrun": version("daskrun"), "wire": WIRE}


def why_unable(asked: Asked) -> str:
    """Return why this process could not drive a run that another holds now; ``""`` if it could."""
    try:
        _, folder = asked.open()
        driven = folder.is_driven()
    except ComputeTargetException as error:
        return str(error)
    except (DaskrunError, OSError) as error:
        return (
            f"{error} Put the workspace into a folder that all workers have under the same path, "
            "or behind a URL: Workspace.create(name, path='s3://bucket/team')."
        )
    if driven:
        return ""
    return (
        f"locks on files in {asked.workspace} don't hold between that host and this one, so two "
        "drivers could write at once. Mount it with locks (NFS without nolock or local_lock), or "
        "put the workspace behind a URL."
    )


def drive(asked: Asked) -> int:
    """Drive a run until it has ended; return the process's exit code, 0 if it has.

    One that was removed has ended too.
    """
    try:
        workspace, folder = asked.open()
    except _NoRunError as error:
        logger.warning("%s There is nothing to drive.", error)
        return 0
    if asked.scheduler:
        threading.Thread(
            target=_heed_host, args=(folder,), name="daskrun-host", daemon=True
        ).start()
    try:
        held = _take(folder)
    except StorageError as error:
        if folder.is_there():
            raise
        logger.warning("run %s was removed, there is nothing to drive: %s", folder.id, error)
        return 0
    if held is None:
        return 0
    print_into(folder.logs / DRIVER_LOG)
    is_last = True
    try:
        is_last = _note_begin(folder, asked.worker) or not asked.scheduler
        driver = make_driver(folder, held, workspace, target=asked.target)
        driver.start(heeds_before=True)
    except Exception as error:
        if not isinstance(error, DaskrunError):
            logger.exception("run %s: its driver failed", folder.id)
        with held:
            if not is_last:
                logger.warning("run %s: another process is to drive it: %s", folder.id, error)
                return 1
            note_end(folder, RunStatus.FAILED, str(error))
        return 0
    while not driver.state.closed.wait(BEAT):
        folder.beat()
    return 0 if folder.last_state().status.ended else 1


def _take(folder: RunFolder) -> LockHandle | None:
    """Take the run as soon as no other process has it; None where it has ended, or is not ours.

    Somebody may have gone on with it by ``run.resume()``.
    """
    while not folder.last_state().status.ended:
        try:
            held = folder.drive()
        except StorageError:
            if not folder.is_driven():
                raise
            time.sleep(TURN)
            continue
        if not folder.last_state().status.ended and folder.handover() is not None:
            return held
        held.close()
        break
    return None


def _note_begin(folder: RunFolder, worker: str) -> bool:
    """Note that this process drives the run now; return whether no other may after it.

    Raises ResumeError where too many have had it, and not one has got further.
    """
    steps = [folder.sibling(name) for name in folder.manifest().steps]
    done = sum(each.last_state().status is RunStatus.COMPLETED for each in steps)
    journals = (each.path / "journal" for each in steps)
    done += sum(1 for each in journals if each.exists() for _ in read_attempts(each))
    kept = handover.read(folder.path)
    assert kept is not None  # it is there before any such process
    if kept.stuck(MOST_STUCK, done):
        raise ResumeError(
            f"{MOST_STUCK} processes that drove the run have ended, one after the other, and not "
            f"one mini-batch has got done meanwhile; the last was {kept.drivers[-1]}. What they "
            f"said is in {folder.shown(f'logs/{DRIVER_LOG}')}."
        )
    kept = kept.with_driver(worker, done)
    handover.write(folder.path, kept)
    folder.push()
    return kept.stuck(MOST_STUCK, done)


def _heed_host(folder: RunFolder) -> None:
    """Do what the worker says that has started this process; end with it."""
    for line in sys.stdin:
        if parsed(line) == CANCEL:
            _pass_on_cancel(folder)
    os._exit(1)  # at once: its lock is free then, and another goes on


def _pass_on_cancel(folder: RunFolder) -> None:
    try:
        if folder.is_there():  # else it was removed, and nothing may be put there any more
            folder.ask_to_cancel("its Dask task was canceled")
    except StorageError as error:  # what the worker says is heard all the same
        logger.warning("run %s: %s", folder.id, error)


def main() -> None:
    """Do what standard input says, and end the process."""
    asked = Asked.of(json.loads(sys.stdin.readline()))
    if asked.only_looks:
        sys.stdout.write(json.dumps(why_unable(asked)))
        sys.exit()
    sys.exit(drive(asked))


if __name__ == "__main__":
    main()
