"""How node, keeper, script process and fetcher talk: frames of pickled builtins, and the cell.

Only builtins travel. What comes from a process that runs user code is read by an unpickler that
knows no class at all, so that nothing it sends can run code here.
"""

from __future__ import annotations

import io
import mmap
import os
import pickle
import signal
import struct
import tempfile
from typing import Any, NamedTuple

DUMP_SIGNAL = signal.SIGRTMIN + 7 if hasattr(signal, "SIGRTMIN") else signal.SIGUSR2
"""Makes a script process write the stack of every thread to its stderr, in C, without the GIL."""
_LENGTH = struct.Struct(">I")


def pack(message: object) -> bytes:
    """Frame a message: 4 bytes of length, then its pickle."""
    body = pickle.dumps(message, 5)
    return _LENGTH.pack(len(body)) + body


class PlainUnpickler(pickle.Unpickler):
    """An unpickler of builtins only."""

    def find_class(self, module: str, name: str) -> Any:
        """Refuse every class and function."""
        raise pickle.UnpicklingError(f"only plain values travel here, not {module}.{name}")


def loads(data: bytes) -> Any:
    """Unpickle one plain value."""
    return PlainUnpickler(io.BytesIO(data)).load()


class Unpacker:
    """Cuts a stream of bytes back into messages."""

    def __init__(self) -> None:
        self._data = bytearray()

    def feed(self, data: bytes) -> list[Any]:
        """Take in what was read and give the messages that are whole now."""
        self._data += data
        messages = []
        start = 0
        while len(self._data) - start >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._data, start)
            end = start + _LENGTH.size + length
            if len(self._data) < end:
                break
            messages.append(loads(bytes(self._data[start + _LENGTH.size : end])))
            start = end
        del self._data[:start]
        return messages


def write_all(fd: int, data: bytes) -> None:
    """Write every byte to a blocking descriptor."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def shared_memory(name: str) -> int:
    """Open an anonymous file that children inherit by number; gone with its last holder."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create(name, os.MFD_CLOEXEC)
    with tempfile.TemporaryFile() as file:  # macOS has no memfd
        return os.dup(file.fileno())


class Inbox:
    """What a keeper tells a script process: the message in shared memory, its length down a pipe.

    A message of any size never blocks the keeper, also when the process is stopped. One message is
    under way at a time: the next is written when the process has answered.
    """

    _DOORBELL = struct.Struct("=q")

    def __init__(self, memory: int, pipe: int) -> None:
        self._memory = memory
        self._pipe = pipe

    def put(self, message: object) -> None:
        """Write a message (keeper's side)."""
        body = pickle.dumps(message, 5)
        os.ftruncate(self._memory, 0)
        view = memoryview(body)
        while view:
            view = view[os.pwrite(self._memory, view, len(body) - len(view)) :]
        os.write(self._pipe, self._DOORBELL.pack(len(body)))

    def get(self) -> Any:
        """Wait for the next message (the process's side); None when the keeper has hung up."""
        ring = os.read(self._pipe, self._DOORBELL.size)
        if len(ring) < self._DOORBELL.size:
            return None
        return loads(os.pread(self._memory, self._DOORBELL.unpack(ring)[0], 0))


class StatusBlock:
    """What a script process is doing, in memory that its keeper reads without asking.

    One writer (the script process), one reader (the keeper), aligned 8-byte fields written by one
    native store each: a field is never seen half written. The keeper writes only ``RECALL``.

    ``ints`` and ``times`` are two views of the same memory: a field is one or the other.
    """

    LOADING, LOADING_SINCE, RUNNING, RUNNING_SINCE = 0, 1, 2, 3
    ITEMS, ATTEMPT, STARTED_AT = 4, 5, 6
    """Items of the mini-batch in hand (0: not known yet), its try, its start (since the epoch)."""
    PHASE, PHASE_SINCE, RECALL = 7, 8, 9
    SIZE = 4096

    def __init__(self, fd: int, *, create: bool) -> None:
        if create:
            os.ftruncate(fd, self.SIZE)
        self._map = mmap.mmap(fd, self.SIZE)
        self.ints = memoryview(self._map).cast("q")
        self.times = memoryview(self._map).cast("d")
        if create:
            self.clear()

    def clear(self) -> None:
        """Say that nothing is being loaded or run."""
        self.ints[self.LOADING] = -1
        self.ints[self.RUNNING] = -1

    def enter(self, phase: int, now: float) -> None:
        """Say what the process is at since ``now`` (monotonic)."""
        self.times[self.PHASE_SINCE] = now
        self.ints[self.PHASE] = phase

    def close(self) -> None:
        """Unmap it."""
        self.ints.release()
        self.times.release()
        self._map.close()


class Phase:
    """What a script process is at, in its cell."""

    STARTING = 0
    INIT = 1
    IDLE = 2
    WORKING = 3
    SHUTDOWN = 4
    SYNCING = 5
    """Putting a bundle's rows on the disk: whoever dies here leaves it open whether they are."""


class Blame(NamedTuple):
    """The mini-batch a process's death is charged to."""

    index: int  # type: ignore[assignment]  # hides tuple.index, which nothing here uses
    attempt: int
    items: int
    since: float
    """When it began, monotonic seconds."""
    started_at: float
    """When it began, seconds since the epoch."""
    loading: bool
    """True: while it was being read."""


def blame(cell: StatusBlock) -> Blame | None:
    """Return which mini-batch a dead process was executing; None when it was none, or two at once.

    With one loading and one running, either may have been the cause: neither is charged, and both
    run again without read-ahead.
    """
    loading, running = cell.ints[StatusBlock.LOADING], cell.ints[StatusBlock.RUNNING]
    if (loading < 0) == (running < 0):
        return None
    is_loading = running < 0
    return Blame(
        index=loading if is_loading else running,
        attempt=cell.ints[StatusBlock.ATTEMPT],
        items=max(cell.ints[StatusBlock.ITEMS], 1),
        since=cell.times[StatusBlock.LOADING_SINCE if is_loading else StatusBlock.RUNNING_SINCE],
        started_at=cell.times[StatusBlock.STARTED_AT],
        loading=is_loading,
    )
