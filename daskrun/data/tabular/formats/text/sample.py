"""A look at some bytes of files before a run: for the schema, and to see which are compressed.

Deterministic: the same files give the same samples. Of a file that is compressed or in UTF-16 only
the start is looked at, since nothing else can be reached without reading all before it.
"""

from __future__ import annotations

from bisect import bisect_right
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import accumulate
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from daskrun.data.tabular.formats.text.packing import named_packed
from daskrun.data.tabular.formats.text.source import TextFile, is_wide, raw_bytes
from daskrun.errors import DatasetError
from daskrun.storage.retry import harmless
from daskrun.storage.urls import secrets_of, without_secrets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from daskrun.data.listing import Listing
    from daskrun.data.remote_files import RemoteFolder

T = TypeVar("T")

SAMPLES = 8
WIDE = 64
"""Places of the wider sample, when a run is submitted."""
LOOKED = 1.0
"""Seconds after which no more of these are looked at."""
SAMPLE_BYTES = 64 << 10
ROWS = 200
"""That the first files must have together; all that was read for them is looked at."""

_THREADS = 16
_FIRST_FILES = 8
HEAD = 256 << 10
"""Bytes of the first files that 200 rows are looked for in; more where a row is longer."""
MOST = 64 << 20
EXPANSION = 20
"""How many times larger a compressed file is taken to be when it is plain, at most: tables grow to
3 to 10 times. What may be larger than a mini-batch then is looked at before it is cut."""
_AHEAD = 64


class Place(NamedTuple):
    """Where a sample is taken."""

    name: str
    offset: int
    """0: at the file's start, where its header may be."""
    size: int
    """Of the file, as listed."""


class SampleFiles:
    """Reads small parts of a dataset's files."""

    def __init__(self, listing: Listing, encoding: str) -> None:
        self._listing = listing
        self._encoding = encoding
        self._folder = listing.opened()
        self.shown = listing.shown

    def _file(self, name: str, size: int) -> TextFile:
        return TextFile(name, self._where(name), self._encoding, size)

    def _where(self, name: str) -> str | RemoteFolder:
        return self._folder or next(self._listing.paths([name]))

    def is_plain(self, name: str, size: int) -> bool | None:
        """Return whether a file can be looked at as it is; None: reading it says what is wrong."""
        try:
            return self._file(name, size).is_plain()
        except Exception:  # noqa: BLE001  (each of fsspec's file systems has its own)
            return None

    def start(self, name: str, nbytes: int, size: int = -1) -> bytes:
        """Read the first bytes of a file, decompressed, UTF-16 and UTF-32 as UTF-8.

        ``size``: of the file, as listed; spares a question where it is remote. Raises DatasetError
        if it can't be read; also a TableError where what it holds is broken.
        """
        return self._read(name, 0, nbytes, size)

    def lines(self, name: str, offset: int, size: int = -1) -> bytes:
        """Read whole lines from behind an offset."""
        data = self._read(name, offset, SAMPLE_BYTES, size)
        end = b"\n" if b"\n" in data else b"\r"
        return data[data.find(end) + 1 : data.rfind(end) + 1]

    def first(
        self, read: Callable[[str, int], T | None], rows: Callable[[T], int], least: str = ""
    ) -> list[T]:
        """Read the first files until 200 rows are there; what is None has nothing in it.

        ``read``: returns what begins a file of this name and size. ``least``: name of a file that
        must be read; else one is enough. Raises DatasetError if none can be read.
        """
        found: list[T] = []
        failed: DatasetError | None = None
        count = 0
        for number, (name, size, _) in enumerate(self._listing.table.rows()):
            if count >= ROWS or (found and number >= _FIRST_FILES):
                break
            try:
                begun = read(name, size)
            except DatasetError as error:
                if name == least:
                    raise
                failed = failed or error
                continue
            if begun is not None:
                found.append(begun)
                count += rows(begun)
        if failed is not None and not found:
            raise failed
        return found

    def spread(self, count: int = SAMPLES) -> list[Place]:
        """Choose files and offsets, evenly over all bytes; no bytes twice."""
        table = self._listing.table
        ends = list(accumulate(max(size, 1) for size in table.sizes))
        if not ends:
            return []
        chosen: list[Place] = []
        for number in range(count):
            at = ends[-1] * (2 * number + 1) // (2 * count)
            file = bisect_right(ends, at)
            offset = at - (ends[file - 1] if file else 0)
            name = table[file]
            if offset < SAMPLE_BYTES:
                offset = 0
            last = chosen[-1] if chosen else None
            if last is None or last.name != name or offset >= last.offset + SAMPLE_BYTES:
                chosen.append(Place(name, offset, table.sizes[file]))
        inner = {place.name: place.size for place in chosen if place.offset}
        looks = at_once(lambda each: self.is_plain(*each), inner.items())
        packed = {name for name, plain in zip(inner, looks, strict=True) if plain is False}
        return list(dict.fromkeys(p._replace(offset=0) if p.name in packed else p for p in chosen))

    def _read(self, name: str, offset: int, nbytes: int, size: int) -> bytes:
        try:
            if not offset:
                return self._file(name, size).start(nbytes)
            with closing(raw_bytes(name, self._where(name), size)) as source:
                return source.read(offset, offset + nbytes)
        except DatasetError:
            raise
        except Exception as error:  # noqa: BLE001  (each of fsspec's file systems has its own)
            options = self._listing.storage_options
            secret = secrets_of(self._listing.root, options if self._listing.remote else {})
            text = without_secrets(f"{type(error).__name__}: {error}", secret).rstrip(".")
            raise DatasetError(
                f"{self.shown(name)} can't be read: {text}. Check that the file is there, whole, "
                "and may be read."
            ) from harmless(error, secret)


def at_once(work: Callable[[Any], T], things: Iterable[Any]) -> list[T]:
    """Do the same for several files at a time; in order."""
    with ThreadPoolExecutor(_THREADS, "daskrun-samples") as pool:
        return list(pool.map(work, things))


class FirstBytes:
    """Says of the files of a listing, in its order, whether their bytes can be cut as they are.

    A file is looked at where it may be larger than a mini-batch: the name is believed of others,
    and what is read of them tells.
    """

    def __init__(self, listing: Listing, encoding: str, mini_batch_size: int) -> None:
        self._listing, self._encoding, self._most = listing, encoding, mini_batch_size
        self._files: SampleFiles | None = None
        self._found: dict[str, bool] = {}
        self._at = 0

    def __call__(self, name: str, size: int) -> bool:
        """Return whether a file of this size is plain."""
        if is_wide(self._encoding) or size < 0:
            return False
        if not self._matters(name, size):
            return not named_packed(name)
        self._files = self._files or SampleFiles(self._listing, self._encoding)
        if not self._listing.remote:
            return self._plain((name, size))
        if name not in self._found:
            self._look_on(name)
        return self._found.pop(name)

    def _matters(self, name: str, size: int) -> bool:
        near = not self._listing.remote  # a look costs 10 us, not a request
        return size > (self._most // EXPANSION if near or named_packed(name) else self._most)

    def _look_on(self, name: str) -> None:
        """Look at this file and at those that are asked for next, at the same time."""
        table, names = self._listing.table, {name: -1}
        while self._at < len(table) and len(names) < _AHEAD:
            other, size = table[self._at], table.sizes[self._at]
            self._at += 1
            if size > 0 and self._matters(other, size):
                names[other] = size
        self._found.update(zip(names, at_once(self._plain, names.items()), strict=True))

    def _plain(self, file: tuple[str, int]) -> bool:
        assert self._files is not None
        found = self._files.is_plain(*file)
        return not named_packed(file[0]) if found is None else found
