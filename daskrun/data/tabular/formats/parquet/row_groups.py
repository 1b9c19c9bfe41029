"""Cutting Parquet files: row groups joined up to the size, large ones cut by rows."""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

from daskrun.core.typing import override
from daskrun.data.libraries import pa, pq
from daskrun.data.tabular.formats.contract import Cut, FileSplit, Splitter
from daskrun.shown.url_secrets import shown_text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future

    from daskrun.data.listing import Listing
    from daskrun.data.remote_files import RemoteFolder

_TAIL = 64 * 1024
"""Bytes asked for at a remote file's end: one request brings most footers (12 columns and 5 row
groups take 2.5 KB)."""
_LOCAL_TAIL = 16 * 1024
"""The same for a local file, where a second look costs little."""
_THREADS = {False: 2, True: 16}
"""Footers read at a time, of local and of remote files. Local ones: more threads wait for each
other (10,000 took twice as long with 8), two help where a folder is on a network."""
_CHUNK = 16
"""Files a thread is given at once: handing one over costs as much as reading a local footer."""
_AHEAD = 16
"""Chunks that are read before they are asked for."""
_PREFIXES = 4
"""Kinds of footers that are remembered."""
_SHORT = 300
"""Characters of another library's message that are shown."""


class RowGroups(NamedTuple):
    """What a footer says of a file's row groups."""

    rows: list[int]
    sizes: list[int]
    """Bytes of the file that each takes."""


class FooterError(ValueError):
    """A footer can't be read; the text names the file and says why."""


class Footers:
    """Reads footers of a listing's files, from any thread."""

    def __init__(self, listing: Listing) -> None:
        self._listing = listing
        self._remote = listing.opened()
        self.shown = listing.shown

    def read(self, name: str, size: int) -> Any:
        """Return a file's ``pyarrow.parquet.FileMetaData``.

        Raises FooterError if it is missing, truncated, corrupt, encrypted or no Parquet file at
        all.
        """
        return self.parse(name, self.tail(name, size))

    def tail(self, name: str, size: int) -> bytes:
        """Return the last bytes of a file, the footer among them; FooterError as :meth:`read`."""
        try:
            if self._remote is not None:
                return footer_bytes(self._remote, name, size)[1]
            return _local_tail(next(self._listing.paths([name])))
        except Exception as error:  # fsspec's and each file system's own
            raise FooterError(unreadable(self.shown(name), error)) from error

    def categories(self, name: str, column: str) -> Any:
        """Return the list of a column's categories, as a file's first row group with rows has it.

        None where there is none, or it can't be read: its rows will say so.
        """
        path, remote = next(self._listing.paths([name])), self._remote
        try:
            with (
                remote.system.open(remote.path(name)) if remote else open(path, "rb") as raw,  # noqa: PTH123
                pq.ParquetFile(raw, buffer_size=_LOCAL_TAIL, pre_buffer=False) as file,
            ):
                batch = next(file.iter_batches(1, columns=[column], use_threads=False), None)
                return None if batch is None else batch.column(0).dictionary
        except Exception:  # noqa: BLE001  (fsspec's, pyarrow's, each file system's own)
            return None

    def parse(self, name: str, tail: bytes) -> Any:
        """Parse a footer; FooterError as :meth:`read`."""
        try:
            return parse_footer(tail)
        except Exception as error:  # pyarrow's own
            raise FooterError(unreadable(self.shown(name), error)) from error


def _local_tail(path: str) -> bytes:
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        size = os.fstat(file).st_size
        return _tail(size, _LOCAL_TAIL, lambda low, high: os.pread(file, high - low, low))
    finally:
        os.close(file)


def footer_bytes(folder: RemoteFolder, name: str, size: int) -> tuple[int, bytes]:
    """Fetch a remote file's footer by one range or two: the file's size, and its last bytes."""
    path = folder.path(name)
    if size < 0:
        size = int(folder.system.info(path)["size"])

    def read(low: int, high: int) -> bytes:
        found: bytes = folder.system.cat_file(path, start=low, end=high)
        return found

    return size, _tail(size, _TAIL, read)


def _tail(size: int, some: int, read: Callable[[int, int], bytes]) -> bytes:
    """Read some of a file's last bytes, and more where its footer is longer."""
    tail = read(max(0, size - some), size) if size else b""
    length = int.from_bytes(tail[-8:-4], "little") + 8
    if tail[-4:] == b"PAR1" and len(tail) < length <= size:
        tail = read(size - length, size - len(tail)) + tail
    return tail[-length:] if length <= len(tail) else tail


def parse_footer(tail: bytes) -> Any:
    """Make ``pyarrow.parquet.FileMetaData`` of a file's last bytes."""
    return pq.read_metadata(pa.BufferReader(tail))


def row_groups(metadata: Any) -> RowGroups:
    """List rows and sizes of the row groups.

    A group's size is the distance to the next one: asking each column chunk of a wide file would
    take longer than reading its footer.
    """
    groups = [metadata.row_group(n) for n in range(metadata.num_row_groups)]
    rows = [group.num_rows for group in groups]
    if not groups or not metadata.num_columns:
        return RowGroups(rows, [0] * len(rows))
    starts = [chunk_range(group.column(0))[0] for group in groups]
    starts.append(starts[-1] + _columns_size(groups[-1]))
    sizes = [stop - start for start, stop in pairwise(starts)]
    if min(sizes) < 0:  # written in another order than listed
        sizes = [_columns_size(group) for group in groups]
    return RowGroups(rows, sizes)


def chunk_range(chunk: Any) -> tuple[int, int]:
    """Return the bytes of the file that hold a column chunk: start and stop."""
    start = chunk.data_page_offset
    dictionary = chunk.dictionary_page_offset
    if dictionary is not None and 0 < dictionary < start:  # some writers put 0 for "none"
        start = dictionary
    return start, start + chunk.total_compressed_size


def _columns_size(group: Any) -> int:
    return sum(group.column(n).total_compressed_size for n in range(group.num_columns))


def cut_groups(groups: RowGroups, mini_batch_size: int, by_group: bool) -> list[Cut]:
    """Cut a file by its row groups.

    ``mini_batch_size``: consecutive groups are joined up to this many bytes; a larger group is cut
    into pieces of equal numbers of rows (give or take one), as many as it has times this size.

    Examples
    --------
    >>> [cut[:3] for cut in cut_groups(RowGroups([10, 10, 30], [40, 50, 200]), 100, False)]
    [(0, 20, 20), (20, 35, 15), (35, 50, 15)]
    """
    cuts: list[Cut] = []
    row = joined_rows = joined_bytes = 0

    def flush() -> None:
        nonlocal joined_rows, joined_bytes
        if joined_rows:
            cuts.append(Cut(row - joined_rows, row, joined_rows, joined_bytes))
        joined_rows = joined_bytes = 0

    for rows, size in zip(groups.rows, groups.sizes, strict=True):
        if not rows:
            continue
        if by_group or joined_bytes + size > mini_batch_size:
            flush()
        if not by_group and size > mini_batch_size:
            cuts.extend(_by_rows(row, rows, size, mini_batch_size))
        else:
            joined_rows, joined_bytes = joined_rows + rows, joined_bytes + size
        row += rows
    flush()
    return cuts


def _by_rows(first: int, rows: int, size: int, mini_batch_size: int) -> list[Cut]:
    count = min(rows, -(-size // max(1, mini_batch_size)))
    bounds = [rows * n // count for n in range(count + 1)]
    return [
        Cut(first + low, first + high, high - low, size * (high - low) // rows, goes_on=low > 0)
        for low, high in pairwise(bounds)
    ]


class ParquetSplitter(Splitter):
    """Cuts Parquet files by their footers, which threads read ahead in the listing's order.

    ``listing``: the files, in the order in which :meth:`begin` will be asked for them; others are
    read when they are asked for.
    """

    def __init__(self, listing: Listing, mini_batch_size: int, by_group: bool) -> None:
        self._names: Sequence[str] = listing.table
        self._sizes: Sequence[int] = listing.table.sizes
        self._threads = _THREADS[listing.remote]
        self._prefixes: tuple[bytes, ...] = ()
        self._footers = Footers(listing)
        self._size = mini_batch_size
        self._by_group = by_group
        self._pool: ThreadPoolExecutor | None = None
        self._asked = 0
        self._ahead: deque[Future[list[tuple[str, list[Cut]]]]] = deque()
        self._read: deque[tuple[str, list[Cut]]] = deque()

    @override
    def begin(self, name: str, size: int) -> list[Cut] | FileSplit:
        if not self._read:
            self._look_ahead()
        if self._read and self._read[0][0] == name:
            return self._read.popleft()[1]
        return self._cut(name, size)

    def _look_ahead(self) -> None:
        while self._asked < len(self._names) and len(self._ahead) < _AHEAD:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self._threads, "daskrun-footers")
            self._ahead.append(self._pool.submit(self._cut_all, self._asked))
            self._asked += _CHUNK
        if self._ahead:
            self._read.extend(self._ahead.popleft().result())
        if self._pool is not None and self._asked >= len(self._names):
            self._pool.shutdown(wait=False)
            self._pool = None

    def _cut_all(self, start: int) -> list[tuple[str, list[Cut]]]:
        stop = min(start + _CHUNK, len(self._names))
        return [
            (self._names[n], self._cut(self._names[n], self._sizes[n])) for n in range(start, stop)
        ]

    def _cut(self, name: str, size: int) -> list[Cut]:
        try:
            tail = self._footers.tail(name, size)
            one_piece = 0 <= size <= self._size and not self._by_group
            rows = self._rows_only(tail) if one_piece else -1
            if rows > 0:
                return [Cut(0, rows, rows, size)]
            metadata = self._footers.parse(name, tail)
        except FooterError as error:
            return [Cut(0, None, -1, size, str(error))]
        if one_piece:
            rows = sum(row_groups(metadata).rows)
            if rows == metadata.num_rows:  # some writers put 0 there
                self._learn(tail, rows)
            return [Cut(0, rows, rows, size)] if rows else []
        return cut_groups(row_groups(metadata), self._size, self._by_group)

    def _rows_only(self, tail: bytes) -> int:
        """Read the number of rows from a footer that begins as an earlier one did; else -1.

        To parse a footer takes 100 to 200 µs, and of a file that is one piece only this is wanted.
        """
        if tail[-4:] != b"PAR1" or int.from_bytes(tail[-8:-4], "little") + 8 != len(tail):
            return -1
        for prefix in self._prefixes:
            if tail.startswith(prefix):
                return _unsigned(tail, len(prefix)) // 2  # zigzag: never negative here
        return -1

    def _learn(self, tail: bytes, rows: int) -> None:
        """Remember what stands before the number of rows: version and schema.

        In Thrift's compact form the number is a 64-bit integer right after the schema (0x16), and
        the list of row groups (0x19) follows. Where these bytes are found once they are those.
        """
        coded = b"\x16" + _varint(rows * 2) + b"\x19"
        if len(self._prefixes) < _PREFIXES and tail.count(coded) == 1:
            self._prefixes += (tail[: tail.index(coded) + 1],)


def _varint(number: int) -> bytes:
    coded = bytearray()
    while number > 127:
        coded.append(number & 127 | 128)
        number >>= 7
    coded.append(number)
    return bytes(coded)


def _unsigned(data: bytes, at: int) -> int:
    number = shift = 0
    while True:
        byte = data[at]
        number |= (byte & 127) << shift
        if byte < 128:
            return number
        at, shift = at + 1, shift + 7


def unreadable(shown: str, error: Exception) -> str:
    """Return in one sentence or two why a file's footer can't be read, and what to do."""
    if isinstance(error, FileNotFoundError):
        return f"{shown} is missing: it was there when the files were listed."
    return (
        f"{shown} can't be read as a Parquet file: {reason(error)}. Write it anew if it is "
        "damaged, or give a path that leaves it out."
    )


def reason(error: BaseException) -> str:
    """Return another library's message on one line, without secrets, and not without end."""
    text = shown_text(" ".join(str(error).split())).rstrip(".") or type(error).__name__
    return text if len(text) <= _SHORT else text[: _SHORT - 1] + "…"
