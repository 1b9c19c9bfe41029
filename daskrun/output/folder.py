"""The folder of an output: checked before a run, watched for room during it, cleaned after."""

from __future__ import annotations

import os
import shutil
import stat
import time
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from daskrun.core.intervals import USUAL
from daskrun.core.settings import ASIDE
from daskrun.errors import SettingsError, StorageError
from daskrun.storage.error_hints import FULL, RESUME
from daskrun.storage.folders import make_folder

if TYPE_CHECKING:
    from pathlib import Path

TRIES = 5
"""How often a folder is removed in which a process that is being killed still writes."""


def prepare_output(
    output_folder: Path, run_id: str, file_name: str | None, overwrite: bool
) -> Path:
    """Check, before a run, that its output can be written, and make the folder for its parts.

    That is ``<output_folder>/_daskrun/<run_id>``, which may exist already: the run is resumed.
    ``file_name`` is None when the script writes its own files.
    """
    parts = output_folder / ASIDE / run_id
    try:
        if file_name is not None:
            _check_file(output_folder / file_name, overwrite)
        _make(parts)
        probe = parts / f".probe-{os.getpid()}-{os.urandom(4).hex()}"
        with probe.open("xb") as file:
            file.write(b"x")
        probe.unlink()
        problem = too_little(parts)
    except OSError as error:
        _unmake(parts)
        problem = (
            f"output={str(output_folder)!r} can't be written: {error}. "
            "Give a folder in which this user may create files."
        )
        if error.errno in FULL:
            problem += " Or free space there."
        raise SettingsError("output", [problem]) from error
    if problem:
        _unmake(parts)
        remedy = "Free space there, or give a folder on another disk."
        raise SettingsError("output", [f"output={str(output_folder)!r}: {problem}. {remedy}"])
    return parts


def temporary_file(parts: Path, folder: Path) -> Path:
    """Return where, in the output's ``folder``, a run gathers its output until it is published."""
    return folder / f".{parts.parent.name}-{parts.name}.tmp"


def sweep(path: Path) -> None:
    """Remove a run's parts folder as :func:`prepare_output` gave it, and an empty ``_daskrun``.

    The temporary file that a killed driver left beside it goes too.
    """
    if path.parent.name != ASIDE:
        raise ValueError(f"{path} is not a folder of parts: it isn't in a folder named {ASIDE}")
    for chance in range(TRIES):
        try:
            shutil.rmtree(path)
        except FileNotFoundError:
            if not path.exists():
                break
        except OSError as error:
            if chance == TRIES - 1:
                raise StorageError(f"can't remove {path}: {error}") from error
            time.sleep(0.05 * 2**chance)
        else:
            break
    temporary_file(path, path.parent.parent).unlink(missing_ok=True)
    with suppress(OSError):  # not empty: another run's parts are there
        path.parent.rmdir()


def _check_file(target: Path, overwrite: bool) -> None:
    """Refuse a target that is there, unless it is a file that may be replaced."""
    name = f"append_row_file_name={target.name!r}"
    try:
        mode = target.lstat().st_mode
    except FileNotFoundError:
        return
    if stat.S_ISDIR(mode):
        raise SettingsError("output", [f"{name}: {target} is a folder. Give another name."])
    if not overwrite:
        how = "Pass overwrite=True (--overwrite in a shell) or give another name."
        raise SettingsError("output", [f"{name}: {target} exists already. {how}"])


def _unmake(parts: Path) -> None:
    """Remove what :func:`_make` has made, unless something is in it."""
    with suppress(OSError):
        parts.rmdir()
        parts.parent.rmdir()


def _make(parts: Path) -> None:
    """Make the folder; a run that ends may remove an empty ``_daskrun`` at the same moment."""
    for _ in range(TRIES):
        with suppress(FileNotFoundError):
            make_folder(parts)
            return
    make_folder(parts)


RESERVE = 32 * 2**20
"""Bytes that must stay free: with them a run can still end in good order, which takes its journal,
states, logs and report. Between two looks the journal gets about 70 bytes for each mini-batch."""
FEWEST_FILES = 64
"""Files that it must still be possible to make, for the same reason."""
FORESEEN_AFTER = 0.02
"""Share of the mini-batches that must be done before it is judged what all of them will need."""
FEWEST_DONE = 10
"""Mini-batches that must be done before that: the first few may be odd."""


class Room(NamedTuple):
    """What is free on a disk."""

    nbytes: int
    files: int | None
    """How many more files can be made; None where the file system has no limit of its own."""


class Look(NamedTuple):
    """What a look at the room found; empty texts for nothing."""

    trouble: str
    """Why the run has to end, and what to do about it."""
    warning: str
    """What is foreseen, once."""


NOTHING = Look("", "")


def room(folder: Path) -> Room:
    """Return what is free for this user on the disk of a folder, or raise OSError."""
    found = os.statvfs(folder)
    return Room(found.f_bavail * found.f_frsize, found.f_favail if found.f_files else None)


def too_little(folder: Path) -> str:
    """Return that a folder's disk has too little room for a run; empty where it has enough."""
    free = room(folder)
    if free.nbytes < RESERVE:
        return f"{folder} has {size(free.nbytes)} free, a run needs {size(RESERVE)} at least"
    if free.files is not None and free.files < FEWEST_FILES:
        return f"{folder} is on a disk on which only {free.files} more files can be made (inodes)"
    return ""


class SpaceWatch:
    """Looks while a run goes on whether there is room for what it still has to write.

    Parts and output need twice the result: rows are in a part until the output is published.
    Journal and logs are in ``run_folder``.
    """

    def __init__(
        self, output: Path, parts: Path, run_folder: Path, interval: float = USUAL.space_look
    ) -> None:
        self._output = output
        self._parts = parts
        self._run_folder = run_folder
        self._interval = interval
        self._next = 0.0
        self._warned = False

    def check(self, now: float, committed: int, joined: int, done: int, total: int | None) -> Look:
        """Look, if the last time is some seconds ago.

        ``committed`` bytes of rows in parts are in the journal, of which the output has ``joined``;
        ``done`` mini-batches of ``total``, where that is known, have ended.
        """
        if now < self._next:
            return NOTHING
        self._next = now + self._interval
        if not self._parts.exists():
            trouble = (
                f"the folder {self._parts} was removed while the run went on: the rows in it are "
                "lost, and are made again by run.resume(). See that nothing else removes it."
            )
            return Look(trouble, "")
        try:
            free = room(self._output).nbytes
            trouble = self._trouble(free, committed - joined)
        except OSError:
            return NOTHING  # whoever writes there finds out what it is, and says it
        warning = "" if trouble else self._foresee(free, committed, joined, done, total)
        return Look(trouble, warning)

    def _trouble(self, free: int, waiting: int) -> str:
        """Return why what is committed can't be put together any more, or not be written down."""
        needed = waiting + RESERVE
        if free < needed:
            why = f"{self._output} has {size(free)} free and {size(needed)} are needed"
            if waiting > 0:
                why += f": {size(waiting)} of finished rows are still to be put into the output"
            return f"{why}. Free {size(needed - free)} there, {RESUME}."
        for folder in (self._run_folder, self._output):
            if why := too_little(folder):
                return f"{why}. Free space there, {RESUME}."
        return ""

    def _foresee(self, free: int, committed: int, joined: int, done: int, total: int | None) -> str:
        """Return, once, that what is still to come will not fit if it is as what has come."""
        if self._warned or not committed or total is None or done >= total:
            return ""
        if done < max(FEWEST_DONE, FORESEEN_AFTER * total):
            return ""
        whole = committed * total // done
        needed = (whole - committed) + (whole - joined) + RESERVE
        if free >= needed:
            return ""
        self._warned = True
        return (
            f"the output is going to take about {size(whole)}, and as much again while its parts "
            f"are there: {size(needed)} more in {self._output}, which has {size(free)} free. "
            f"Free {size(needed - free)} there while the run goes on: it ends when there is no room"
        )


def size(nbytes: int) -> str:
    """Write a number of bytes for people.

    Examples
    --------
    >>> size(900), size(31_400_000), size(2_500_000_000)
    ('0.0009 MB', '31.4 MB', '2.5 GB')
    """
    if nbytes < 10**9:
        return f"{nbytes / 10**6:.3g} MB"
    return f"{nbytes / 10**9:.3g} GB" if nbytes < 10**12 else f"{nbytes / 10**12:.3g} TB"
