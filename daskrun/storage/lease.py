"""A lock behind a URL: an object that its holder renews; once it is old others may take it."""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daskrun.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from daskrun.storage.url_folder import UrlFolder

RENEWED = 10.0
"""Seconds between two renewals."""
OLD = 60.0
"""Seconds without a renewal after which another process may take the lease over."""
LOOK = 1.0
"""Seconds between two looks whether it is renewed."""
CLOCKS_APART = 3600.0
"""Seconds that the clocks of two machines may be apart: what is older by them is old at once."""
FOLDER = "lease"


class Lease:
    """A lock that whoever holds it has to renew. Not for several threads at once.

    To take it is to create the object of the next number, which one process alone can do; the
    number that is highest holds. So who was stopped for a minute and lost it can't take it back
    unawares: it finds a higher number when it renews.

    A holder whose machine is this one is looked for among its processes; of others only the
    renewals tell, and how old one is, is measured here: from when it was first seen as it is.

    Parameters
    ----------
    folder
        What is locked; the lease is in ``lease/`` there.

    Examples
    --------
    >>> from daskrun.storage.stores import open_url_folder
    >>> lease = Lease(open_url_folder("memory://lease-example", {}))
    >>> lease.acquire()
    >>> lease.held, Lease(lease.folder).is_held()
    (True, True)
    >>> lease.release()
    >>> Lease(lease.folder).is_held()
    False
    """

    def __init__(self, folder: UrlFolder) -> None:
        self.folder = folder
        self.number = 0
        """That this object holds or has held; 0 for none."""
        self.held = False
        self._renewed = 0.0
        self._seen: tuple[int, dict[str, Any], float] | None = None
        """Number and content that were seen last, and since when they are so."""

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
        while found is not None and self._holds(*found):
            if found != first or found[1].get("machine") == _machine():
                raise StorageError(
                    f"{self.folder.shown()} is locked by {_who(found[1])}. Wait for its end or "
                    "stop it."
                )
            pause(LOOK)
            found = self._look()
        number = 1 if found is None else found[0] + 1
        numbers = self._create(number)
        self.number, self.held, self._renewed = number, True, time.monotonic()
        with suppress(StorageError):  # they are of no use, and do no harm
            self.folder.delete([_name(each) for each in numbers if each < number])

    def _create(self, number: int) -> list[int]:
        """Take a number, and give all there are; see :meth:`acquire`."""
        try:
            self.folder.create(_name(number), _content())
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
        found = self._look()
        who = _who(found[1] if found else {})
        return StorageError(f"{self.folder.shown()} was taken by {who} just now.")

    def renew(self) -> None:
        """Renew it, where that is due.

        Raises
        ------
        StorageError
            Another process has taken it over (:attr:`held` is False from then on), or the store
            fails.
        """
        if not self.held or time.monotonic() < self._renewed + RENEWED:
            return
        self.check()
        self.folder.put(_name(self.number), _content())
        self._renewed = time.monotonic()

    def check(self) -> None:
        """See that nobody has taken it over; see :meth:`renew`."""
        newest = max(self._numbers(), default=0)
        if self.held and newest != self.number:
            self.held = False
            found = self._look()
            raise StorageError(
                f"{self.folder.shown()} was taken over by {_who(found[1] if found else {})}: this "
                f"process had not renewed its lease for {OLD:g} s."
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
        return found is not None and self._holds(*found)

    def _holds(self, number: int, content: dict[str, Any]) -> bool:
        """Return whether the holder of a lease has not released it, nor died, nor forgotten it."""
        if content.get("released"):
            return False
        if number == self.number and not self.held and content.get("pid") == os.getpid():
            return False  # this object's own, which could not be released
        if content.get("machine") == _machine():
            return _lives(content)
        return self._unchanged(number, content) < OLD

    def _unchanged(self, number: int, content: dict[str, Any]) -> float:
        """Return the seconds for which a lease is as it is, as far as this object knows."""
        now = time.monotonic()
        if self._seen is None or self._seen[:2] != (number, content):
            said = time.time() - float(content.get("time", 0.0))
            self._seen = number, content, now - (said if said > CLOCKS_APART else 0.0)
        return now - self._seen[2]

    def _look(self) -> tuple[int, dict[str, Any]] | None:
        for number in reversed(self._numbers()):
            with suppress(FileNotFoundError, ValueError):  # removed by who took the next
                return number, dict(json.loads(self.folder.read_whole(_name(number))))
        return None

    def _numbers(self) -> list[int]:
        names = (name.partition(".") for name in self.folder.names(FOLDER))
        return sorted(int(number) for number, _, _ in names if number.isdecimal())


def _name(number: int) -> str:
    return f"{FOLDER}/{number}.json"


def _content() -> bytes:
    pid = os.getpid()
    about = {"pid": pid, "host": os.uname().nodename, "machine": _machine(), "began": _began(pid)}
    return json.dumps({**about, "time": time.time()}).encode()


def _who(content: dict[str, Any]) -> str:
    if "pid" not in content:
        return "another process"
    return f"process {content['pid']} on {content['host']}"


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


def _lives(content: dict[str, Any]) -> bool:
    return bool(_began(int(content["pid"])) == content["began"] != "")
