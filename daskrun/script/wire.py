"""How node, keeper and the keeper's children talk: values encoded, cut into frames, handed over.

This is the one place where borders between processes are encoded. What is told downwards (driver,
worker, keeper, child) is pickled and trusted: each is the same daskrun, and starts the next. What
comes from a process that runs user code is read by an unpickler that knows the classes of the
messages that may come there and no others, so that nothing it sends can run code here.
"""

from __future__ import annotations

import io
import os
import pickle
import signal
import struct
import tempfile
import zlib
from enum import EnumMeta
from typing import TYPE_CHECKING, Any

from daskrun.core.typing import override

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import ModuleType

    Classes = Mapping[tuple[str, str], type]

VERSION = 1
"""Of what processes of a run tell each other; to be raised when the meaning of something changes.
That other fields are seen by :func:`shape`."""
DUMP_SIGNAL = signal.SIGRTMIN + 7 if hasattr(signal, "SIGRTMIN") else signal.SIGUSR2
"""Makes a script process write the stack of every thread to its stderr, in C, without the GIL."""
_LENGTH = struct.Struct(">I")
LONGEST = 64 << 20
"""Bytes of a message of a process that runs user code; what claims more is none."""
NO_CLASSES: Classes = {}


def encode(value: object) -> bytes:
    """Encode a value that travels between processes."""
    return pickle.dumps(value, 5)


def decode_trusted(data: bytes | memoryview) -> Any:
    """Decode what a process has sent that runs no code of users."""
    return pickle.loads(data)


def packed(value: object) -> bytes:
    """Encode what may hold secrets, for an argument of what Dask calls.

    Dask logs the arguments of a call or task that fails.
    """
    return zlib.compress(encode(value), 1)


def unpacked(data: bytes) -> Any:
    """Return what :func:`packed` was given."""
    return decode_trusted(zlib.decompress(data))


def shape(*modules: ModuleType) -> int:
    """Return a checksum of the fields of the classes that modules have."""
    classes = {each for module in modules for each in vars(module).values() if type(each) is type}
    fields = {
        each.__qualname__: [*getattr(each, "_fields", getattr(each, "__dataclass_fields__", ()))]
        for each in classes
    }
    return zlib.crc32(repr(sorted(fields.items())).encode())


def by_name(*classes: type) -> Classes:
    """Return classes as :func:`decode` looks for them."""
    return {(each.__module__, each.__qualname__): each for each in classes}


class _Unpickler(pickle.Unpickler):
    def __init__(self, data: bytes, classes: Classes) -> None:
        super().__init__(io.BytesIO(data))
        self._classes = classes

    @override
    def find_class(self, module: str, name: str) -> Any:
        if (found := self._classes.get((module, name))) is not None:
            return found
        if (module, name) == ("builtins", "getattr"):  # as Python 3.11.0 to 3.11.3 pickle enums
            return self._member
        raise pickle.UnpicklingError(f"only plain values travel here, not {module}.{name}")

    def _member(self, kind: Any, name: str) -> Any:
        if isinstance(kind, EnumMeta) and kind in self._classes.values():
            return kind[name]
        raise pickle.UnpicklingError(f"only plain values travel here, not {name!r} of {kind!r}")


def decode(data: bytes, classes: Classes = NO_CLASSES) -> Any:
    """Decode plain values and instances of ``classes``, whoever has sent them.

    Raises
    ------
    pickle.UnpicklingError
        They hold anything else.
    """
    return _Unpickler(data, classes).load()


def pack(message: object) -> bytes:
    """Frame a message: 4 bytes of length, then its encoding."""
    body = encode(message)
    return _LENGTH.pack(len(body)) + body


class Unpacker:
    """Cuts a stream of bytes back into messages; without ``classes`` their sender is trusted."""

    def __init__(self, classes: Classes | None = NO_CLASSES) -> None:
        self._classes = classes
        self._data = bytearray()

    def feed(self, data: bytes) -> list[Any]:
        """Take in what was read and return the messages that are whole now."""
        self._data += data
        messages = []
        start = 0
        while len(self._data) - start >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._data, start)
            if length > LONGEST and self._classes is not None:
                raise pickle.UnpicklingError(f"a message of {length} bytes")
            end = start + _LENGTH.size + length
            if len(self._data) < end:
                break
            body = bytes(self._data[start + _LENGTH.size : end])
            messages.append(
                decode_trusted(body) if self._classes is None else decode(body, self._classes)
            )
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


def told_first(memory: int, *others: int) -> Any:
    """Return what the keeper told this child first; what it starts inherits none of its pipes."""
    for fd in (memory, *others):
        os.set_inheritable(fd, False)
    with open(memory, "rb") as file:
        file.seek(0)
        return decode_trusted(file.read())


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
        body = encode(message)
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
        return decode_trusted(os.pread(self._memory, self._DOORBELL.unpack(ring)[0], 0))
