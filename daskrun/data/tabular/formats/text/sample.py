"""A look at some bytes of a dataset's files before a run: what its schema is inferred from.

Deterministic: the same files give the same samples. Of a file that is compressed or in UTF-16 only
the start is looked at, since nothing else can be reached without reading all before it.
"""

from __future__ import annotations

from bisect import bisect_right
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import accumulate
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from daskrun.data.protocols import shown_url
from daskrun.data.tabular.formats.text.source import LocalBytes, RemoteBytes, is_plain, start_of
from daskrun.errors import DatasetError
from daskrun.storage.retry import harmless
from daskrun.storage.urls import secrets_of, without_secrets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from daskrun.data.listing import Listing

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
        self._folder: Any = None
        if listing.remote:
            from daskrun.data.remote_files import RemoteFolder

            self._folder = RemoteFolder(listing.root, listing.storage_options)

    def shown(self, name: str) -> str:
        """Return a file's path or URL for messages."""
        return shown_url(next(self._listing.paths([name])))

    def start(self, name: str, nbytes: int, size: int = -1) -> bytes:
        """Read the first bytes of a file, decompressed, UTF-16 and UTF-32 as UTF-8.

        Parameters
        ----------
        size
            Of the file, as listed; spares a question where it is remote.

        Raises
        ------
        DatasetError
            If it can't be read; also a TableError where what it holds is broken.
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

        Parameters
        ----------
        read
            Returns what begins a file of this name and size.
        least
            Name of a file that must be read; else one is enough.

        Raises
        ------
        DatasetError
            If none can be read.
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
        inner = list({place.name: place for place in chosen if place.offset}.values())
        plain = dict(zip((p.name for p in inner), at_once(self._is_plain, inner), strict=True))
        made = (p if plain.get(p.name, True) else p._replace(offset=0) for p in chosen)
        return list(dict.fromkeys(made))

    def _is_plain(self, place: Place) -> bool:
        where = self._folder or next(self._listing.paths([place.name]))
        try:
            return is_plain(place.name, where, self._encoding, place.size)
        except Exception:  # noqa: BLE001  (each of fsspec's; who reads it says what is wrong)
            return True

    def _read(self, name: str, offset: int, nbytes: int, size: int) -> bytes:
        where = self._folder or next(self._listing.paths([name]))
        try:
            if not offset:
                return start_of(name, where, self._encoding, nbytes, size)
            if isinstance(where, str):
                source: Any = LocalBytes(where, where)
            else:
                source = RemoteBytes(where, name, size)
            with closing(source):
                found: bytes = source.read(offset, offset + nbytes)
                return found
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
