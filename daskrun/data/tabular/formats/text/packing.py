"""How a file is compressed, by its first bytes, and its bytes made plain."""

from __future__ import annotations

import bz2
import gzip
import lzma
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

from daskrun.data.libraries import pa
from daskrun.errors import TableError

FIRST = 16
"""Bytes that tell."""

USUAL_BYTES, USUAL_RATIO = 4 << 30, 100
"""What a compressed file may hold where nothing is said: the larger of so many bytes, and so many
for each of its own. Text packs 3 to 20 to one."""

_NAMED = (".gz", ".gzip", ".zst", ".bz2", ".xz", ".zip")
"""Ends of names, in any case, of files that are taken to be compressed until they are looked at."""

_MARKS = {
    "gzip": rb"\x1f\x8b\x08",
    "bz2": rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)",
    "xz": rb"\xfd7zXZ\x00",
    "zstd": rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18",
    "zip": rb"PK(?:\x03\x04|\x05\x06)",
}
_MARK = re.compile(b"|".join(b"(?P<%s>%s)" % (k.encode(), v) for k, v in _MARKS.items()), re.DOTALL)
_STEP = 1 << 20


def packing(first: bytes) -> str | None:
    r"""Tell from its first bytes how a file is compressed; None: it isn't.

    Examples
    --------
    >>> packing(b"\x1f\x8b\x08\0"), packing(b"BZh9,1\n"), packing(b"PK\x03\x04")
    ('gzip', None, 'zip')
    """
    found = _MARK.match(first)
    return found.lastgroup if found else None


def named_packed(name: str) -> bool:
    """Return whether a file's name says that it is compressed."""
    return name[name.rfind(".") :].lower() in _NAMED  # asked of each of a million names


def most_unpacked(asked: int | None, packed: int) -> int:
    """Return how many bytes a file of so many may hold: as asked for, or what is usual."""
    return asked if asked is not None else max(USUAL_BYTES, USUAL_RATIO * packed)


def unpacked(
    raw: BinaryIO, kind: str | None, shown: str, most: int | None = None
) -> Iterator[bytes]:
    """Yield a file's plain bytes, part by part.

    Raises TableError if it is truncated or corrupt, an archive of several files, or holds more than
    ``most``.
    """
    count = 0
    try:
        read = _reader(raw, kind, shown)
        while part := read(_STEP):
            count += len(part)
            if kind is not None and most is not None and count > most:
                raise TableError(
                    f"{shown} holds more than {most:,} bytes unpacked, so it is not read on: a "
                    "small file may stand for more than there is room for. Write a larger "
                    "max_unpacked, such as max_unpacked='100GB', if it is meant to be so large.",
                    lasting=True,
                )
            yield part
    except (EOFError, OSError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, RuntimeError) as e:
        if isinstance(e, OSError) and e.errno is not None:
            raise  # of the disk, not of what is on it
        reason = str(e).rstrip(".")
        raise TableError(
            f"{shown} can't be decompressed as {kind}, which its first bytes say it is: {reason}. "
            "It is truncated or damaged: make or copy it again.",
            lasting=True,
        ) from e


def _reader(raw: BinaryIO, kind: str | None, shown: str) -> Callable[[int], bytes]:
    if kind == "gzip":
        return gzip.GzipFile(fileobj=raw).read
    if kind == "bz2":
        return bz2.BZ2File(raw).read
    if kind == "xz":
        return lzma.LZMAFile(raw).read
    if kind == "zip":
        return _only_member(raw, shown)
    if kind == "zstd":
        stream: Any = pa.CompressedInputStream(pa.PythonFile(_Kept(raw), "r"), "zstd")
        return stream.read  # type: ignore[no-any-return]
    return raw.read


class _Kept:
    """A file that pyarrow reads and, as it lets go of it, would close under its owner."""

    closed = False

    def __init__(self, raw: BinaryIO) -> None:
        self.read, self.seek, self.tell = raw.read, raw.seek, raw.tell

    def close(self) -> None:
        """Do nothing."""


def _only_member(raw: BinaryIO, shown: str) -> Callable[[int], bytes]:
    archive = zipfile.ZipFile(raw)
    names = [each.filename for each in archive.infolist() if not each.is_dir()]
    if len(names) != 1:
        raise TableError(
            f"{shown} is a zip archive of {len(names)} files, and a table is read from one: unpack "
            "it, and give the folder or the files.",
            lasting=True,
        )
    return archive.open(names[0]).read
