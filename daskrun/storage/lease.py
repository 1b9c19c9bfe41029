"""A lock behind a URL: an object that its holder renews; once it is old others may take it."""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from daskrun.core.codec import from_record, record
from daskrun.core.intervals import USUAL
from daskrun.core.json_text import parsed
from daskrun.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from daskrun.core.intervals import Intervals
    from daskrun.storage.url_folder import UrlFolder

CLOCKS_APART = 3600.0
"""Seconds that the clocks of two machines may be apart: what is older by them is old at once."""
FOLDER = "lease"


@record
@dataclass(frozen=True, slots=True)
class Holder:
    """The contents of a lease's object: who holds it."""

    number: int
    """The object's, which is its name."""
    pid: int = 0
    """0: the object doesn't say."""
    host: str = ""
    machine: str = ""
    """The machine since its start, and the container."""
    began: str = ""
    """When the process began, in the kernel's own count."""
    time: float = 0.0
    """Of the renewal, by the holder's clock, in seconds since the epoch."""
    released: bool = False

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}" if self.pid else "another process"

    @classmethod
    def now(cls, number: int) -> Holder:
        """Return this process as the holder of a number."""
        pid = os.getpid()
        return cls(number, pid, os.uname().nodename, _machine(), _began(pid), time.time())

    @property
    def lives(self) -> bool:
        """Whether its process, on this machine, has not ended."""
        return _began(self.pid) == self.began != ""

    def encoded(self) -> bytes:
        """Return it as the object holds it."""
        return json.dumps({k: v for k, v in asdict(self).items() if k != "number"}).encode()


class Lease:
    """A lock that whoever holds it has to renew. Not for several threads at once.

    To take it is to create the object of the next number, which one process alone can do; the
    number that is highest holds. So who was stopped for a minute and lost it can't take it back
    unawares: it finds a higher number when it renews.

    Whether a holder on this machine lives is asked of the kernel. One on another machine counts as
    dead once its lease has not changed for a minute, by the clock of the process that looks.

    Parameters
    ----------
    folder
        What is locked; the lease is in ``lease/`` there.
    intervals
        How often it is renewed and looked at, and when it is old.
    """

    def __init__(self, folder: UrlFolder, intervals: Intervals = USUAL) -> None:
        self.folder = folder
        self.intervals = intervals
        self.number = 0
        """That this object holds or has held; 0 for none."""
        self.held = False
        self._renewed = 0.0
        self._seen: Holder | None = None
        self._seen_since = 0.0
        """Since when that is unchanged, by the monotonic clock."""

    def acquire(self, pause: Callable[[float], object] = time.sleep) -> None:
        """Take the lease; one that another machine's process has left takes a minute of looking.

        Parameters
        ----------
        pause
            Waits some seconds between two looks.

        Raises
        ------
        StorageError
            Another process holds it (the message says which), or the store fails.
        """
        found = first = self._look()
        while found is not None and self._holds(found):
            if found != first or found.machine == _machine():
                raise StorageError(
                    f"{self.folder.shown()} is locked by {found}. Wait for its end or stop it."
                )
            pause(self.intervals.lease_look)
            found = self._look()
        number = 1 if found is None else found.number + 1
        numbers = self._create(number)
        self.number, self.held, self._renewed = number, True, time.monotonic()
        with suppress(StorageError):  # they are of no use, and do no harm
            self.folder.delete([_name(each) for each in numbers if each < number])

    def _create(self, number: int) -> list[int]:
        """Take a number and return all there are; see :meth:`acquire`."""
        try:
            self.folder.create(_name(number), Holder.now(number).encoded())
        except FileExistsError:
            raise self._taken_just_now() from None
        try:
            numbers = self._numbers()
            # Others may have come and gone since the look: then this number was free again.
            if max(numbers) != number:
                raise self._taken_just_now()
        except BaseException:
            with suppress(StorageError):  # else it looks held as long as this process lives
                self.folder.delete([_name(number)])
            raise
        return numbers

    def _taken_just_now(self) -> StorageError:
        who = self._look() or Holder(0)
        return StorageError(f"{self.folder.shown()} was taken by {who} just now.")

    def renew(self) -> None:
        """Renew it, where that is due.

        Raises
        ------
        StorageError
            Another process has taken it over (:attr:`held` is False from then on), or the store
            fails.
        """
        if not self.held or time.monotonic() < self._renewed + self.intervals.lease_renewal:
            return
        self.check()
        self.folder.put(_name(self.number), Holder.now(self.number).encoded())
        self._renewed = time.monotonic()

    def check(self) -> None:
        """Raise where another process has taken it over; see :meth:`renew`."""
        newest = max(self._numbers(), default=0)
        if self.held and newest != self.number:
            self.held = False
            who = self._look() or Holder(0)
            raise StorageError(
                f"{self.folder.shown()} was taken over by {who}: this "
                f"process had not renewed its lease for {self.intervals.lease_lifetime:g} s."
            )

    def release(self) -> None:
        """Let others take it at once; nothing happens where it isn't held."""
        if not self.held:
            return
        self.check()
        self.folder.put(_name(self.number), json.dumps({"released": True}).encode())
        self.held = False

    def remove(self) -> None:
        """Delete all that is there of it: what it locks is gone."""
        self.held = False
        self.folder.delete([f"{FOLDER}/{name}" for name in self.folder.names(FOLDER)])

    def is_held(self) -> bool:
        """Return whether a process, this one or another, holds it."""
        if self.held:
            return True
        found = self._look()
        return found is not None and self._holds(found)

    def last_renewal(self) -> float:
        """Return when it was renewed last, by its holder's clock; 0 where it is let go of."""
        found = self._look()
        return found.time if found is not None else 0.0

    def _holds(self, found: Holder) -> bool:
        """Return whether a holder has not released the lease, nor died, nor stopped to renew it."""
        if found.released:
            return False
        if found.number == self.number and not self.held and found.pid == os.getpid():
            return False  # this object's own, which could not be released
        if found.machine == _machine():
            return found.lives
        return self._unchanged(found) < self.intervals.lease_lifetime

    def _unchanged(self, found: Holder) -> float:
        """Return the seconds for which a lease is unchanged, as far as this object knows."""
        now = time.monotonic()
        if self._seen != found:
            age = time.time() - found.time
            self._seen, self._seen_since = found, now - (age if age > CLOCKS_APART else 0.0)
        return now - self._seen_since

    def _look(self) -> Holder | None:
        for number in reversed(self._numbers()):
            # Removed by who took the next, or written by others.
            with suppress(FileNotFoundError, ValueError, TypeError, KeyError):
                kept = parsed(self.folder.read_whole(_name(number)))
                return from_record(Holder, {**kept, "number": number}, known_only=True)
        return None

    def _numbers(self) -> list[int]:
        names = (name.partition(".") for name in self.folder.names(FOLDER))
        return sorted(int(number) for number, _, _ in names if number.isdecimal())


def _name(number: int) -> str:
    return f"{FOLDER}/{number}.json"


def _machine() -> str:
    """Name this machine since its start, and this container; by chance where that can't be."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}-{Path('/proc/self/ns/pid').stat().st_ino}"
    except OSError:
        return f"unknown-{os.urandom(8).hex()}"


def _began(pid: int) -> str:
    """Return when a process began, in the kernel's own count; ``""`` where there is none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return "" if fields[0] in "ZX" else fields[19]
    except OSError:
        return ""
