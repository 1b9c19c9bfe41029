"""One output object of the rows that are committed in many parts behind a URL."""

from __future__ import annotations

import queue
import threading
import zlib
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from daskrun.core.typing import override
from daskrun.errors import StorageError
from daskrun.output.assembly.assembler import (
    Assembler,
    Entry,
    ObjectPartReader,
    Slice,
    changed,
    unpacked,
)
from daskrun.output.assembly.file_assembler import already_there, check_complete
from daskrun.output.assembly.pieces import Piece, PieceCutter, Rows, Segment, Stretch
from daskrun.storage.s3 import piece_size

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from daskrun.output.sinks.sink import Headers
    from daskrun.storage.publication import Publication
    from daskrun.storage.url_folder import UrlFolder


AT_ONCE = 4
"""Pieces that are read and written at once."""
MOST_BYTES = 64 * 2**20
"""Bytes of pieces in memory at once, where one alone isn't larger."""
GAP = 64 * 1024
"""Bytes that nobody wants and that are read all the same, to save a request."""
ABANDON_LIMIT = 30.0
"""Seconds for what is on its way when a run ends without an output."""


class _Passed(NamedTuple):
    """Entries that follow each other, packed: a million may wait for a slow network."""

    first: int
    entries: bytes


class ObjectAssembler(Assembler):
    """Puts committed rows together as one object behind a URL.

    The driver's thread enters what is committed. A thread of its own cuts what is next in order
    into pieces, which a few others read and upload, so that the driver never waits for the network
    and little is left when the last mini-batch is done. Memory: a few pieces. ``parts`` is the path
    of the run's parts in the output's folder.
    """

    parts: ObjectPartReader

    def __init__(
        self, folder: UrlFolder, parts: str, name: str, headers: Headers | None = None
    ) -> None:
        super().__init__(headers)
        self.parts = ObjectPartReader(folder, parts, self.names)
        self._shown = folder.shown(name)
        self._header_lock = threading.Lock()
        self._publication: Publication = folder.publication(name, f"{parts}/upload")
        self._taken: queue.SimpleQueue[_Passed | None] = queue.SimpleQueue()
        """What the thread has not taken yet; None at the end."""
        self._overwrite: bool | None = None
        """Known once all mini-batches are passed on."""
        self._thread: threading.Thread | None = None
        self._trouble: Exception | None = None
        self._last = Piece(0)
        self._stopped = False

    @property
    @override
    def mark(self) -> str:
        return self._publication.mark

    @override
    def advance(self) -> int:
        self._raise_trouble()
        while entries := self.ready():
            self._pass_on(_Passed(self.done, self.take(len(entries))))
        self.forget()
        return self.done

    @override
    def finish(self) -> None:
        """Do nothing: the thread writes what comes behind the last rows."""

    @override
    def publish(self, overwrite: bool, total: int) -> None:
        check_complete(self.advance(), total, self._shown)
        self._overwrite = overwrite
        self._pass_on(None)
        assert self._thread is not None
        self._thread.join()  # each request of it has its limit
        self._thread = None
        self._raise_trouble()

    @override
    def abandon(self) -> None:
        self._stopped = True
        if self._thread is not None:
            self._taken.put(None)
            self._thread.join(ABANDON_LIMIT)
            self._thread = None
        self._publication.abort()
        self._headers.close()

    def _pass_on(self, passed: _Passed | None) -> None:
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._assemble, name="daskrun-finalize", daemon=True
            )
            self._thread.start()
        self._taken.put(passed)

    def _raise_trouble(self) -> None:
        if self._trouble is None:
            return
        if isinstance(self._trouble, StorageError):
            raise type(self._trouble)(str(self._trouble)) from self._trouble
        if isinstance(self._trouble, FileExistsError):
            raise already_there(self._shown, "an object") from self._trouble
        raise self._trouble

    # the thread that puts it together

    def _assemble(self) -> None:
        try:
            with ThreadPoolExecutor(AT_ONCE, "daskrun-finalize") as pool:
                pipe = _Pipe(pool, self._make, self._put, self._publication.ordered)
                pipe.run(self._pieces())
            if self._overwrite is not None and not self._stopped:
                self._put_end()
                self._publication.commit(self._overwrite)
        except Exception as error:  # noqa: BLE001  (raised where the driver asks next)
            self._trouble = error
            with suppress(StorageError):
                self._publication.abort()

    def _pieces(self) -> Iterator[Piece]:
        """Cut what is passed on into pieces; the last, which may be small, is for `_put_end`."""
        to, headers = self._publication, self._headers
        cutter = PieceCutter(
            to.smallest, piece_size, self._copies, self._header, headers.aside, headers.begins
        )
        while (passed := self._taken.get()) is not None and not self._stopped:
            for index, entry in enumerate(unpacked(passed.entries), passed.first):
                yield from cutter.add(index, entry)
        if self._stopped:
            return
        pieces = cutter.finish()
        last = pieces and not pieces[-1].copied
        self._last = pieces.pop() if last else Piece(cutter.number)
        yield from pieces

    def _put_end(self) -> None:
        """Upload the last rows and what comes behind them; all other rows are uploaded."""
        last = self._last
        number, data = last.number, self._make(last) if last.segments else b""
        for block in self._headers.end():
            data += block
            if len(data) >= max(self._publication.smallest, piece_size(number)):
                self._put(Piece(number), data)
                number, data = number + 1, b""
        if data or last.segments:
            self._put(Piece(number), data)

    def _copies(self, part: int) -> bool:
        """Whether bytes of a part may be taken unread: its ETag shows that they are as written."""
        return self._publication.copies and bool(self.etags[part])

    def _header(self, index: int, entry: Entry) -> tuple[bytes, bool]:
        """Read and take the header of a mini-batch; tell whether the output gets it."""
        wanted = Slice(entry.part, entry.offset, entry.offset + entry.header)
        text = bytes(self._read([wanted])[0])
        with self._header_lock:
            return text, self._headers.take(index, text, entry.length - entry.header)

    # the threads that read and upload

    def _make(self, piece: Piece) -> bytes:
        """Return the bytes of a piece, ``b""`` where the store has made it itself."""
        if piece.copied:
            (source,) = piece.segments
            assert isinstance(source, Slice)
            self._publication.copy(piece.number, self.parts.range(source))
            self.parts.check(source.part, self.etags[source.part])
            return b""
        wanted = [_slice(s) for s in piece.segments if not isinstance(s, bytes)]
        found = iter(self._read(wanted) if wanted else ())
        made: list[bytes | memoryview] = []
        for segment in piece.segments:
            data = segment if isinstance(segment, bytes) else next(found)
            made.append(self._checked(segment, data))
        return b"".join(made)

    def _put(self, piece: Piece, data: bytes) -> None:
        # The last piece may be empty: headers that were left out.
        if not piece.copied and (data or piece.number == 0):
            self._publication.write(piece.number, data)

    def _checked(self, segment: Segment, data: bytes | memoryview) -> bytes | memoryview:
        """Check what was read; return it, of rows without a header that isn't the output's."""
        if isinstance(segment, Rows):
            return self._without_header(segment, data)
        if isinstance(segment, Stretch):
            check = segment.check
            crc, entry = check.add(segment.slice.start, data), check.entry
            if crc != entry.crc:
                raise changed(self.parts.shown(entry.part), check.mini_batch, entry, crc)
        elif isinstance(segment, Slice):
            self.parts.check(segment.part, self.etags[segment.part])
        return data

    def _without_header(self, rows: Rows, data: bytes | memoryview) -> bytes | memoryview:
        """Check rows against their CRC; return them without a header that isn't the output's."""
        index, entry, keep = rows
        header = entry.header
        crc = zlib.crc32(data[header:] if self._headers.aside else data)
        if crc != entry.crc:
            raise changed(self.parts.shown(entry.part), index, entry, crc)
        if keep or not header:
            return data
        with self._header_lock:
            self._headers.take(index, bytes(data[:header]), len(data) - header)
        return data[header:]

    def _read(self, wanted: list[Slice]) -> list[memoryview]:
        """Read slices; those that are near each other in a part are one request."""
        joined: list[list[int]] = []  # part, start, stop
        places: list[tuple[int, int]] = []  # which of the joined, and where in it
        for part, start, stop in wanted:
            last = joined[-1] if joined else None
            if last is not None and last[0] == part and 0 <= start - last[2] <= GAP:
                last[2] = stop
            else:
                joined.append([part, start, stop])
            places.append((len(joined) - 1, start - joined[-1][1]))
        read = self.parts.read([Slice(*one) for one in joined])
        found = [memoryview(data) for data in read]
        return [
            found[n][at : at + stop - start]
            for (n, at), (_, start, stop) in zip(places, wanted, strict=True)
        ]


@dataclass
class _Pipe:
    """A few pieces at a time through threads, in order where the output needs that."""

    pool: ThreadPoolExecutor
    make: Callable[[Piece], bytes]
    put: Callable[[Piece, bytes], None]
    ordered: bool
    going: deque[tuple[Piece, Future[bytes]]] = field(default_factory=deque)

    def run(self, pieces: Iterator[Piece]) -> None:
        """Bring all pieces through."""
        try:
            for piece in pieces:
                self.going.append((piece, self.pool.submit(self._work, piece)))
                while self._full():
                    self._end_first()
            while self.going:
                self._end_first()
        except BaseException:
            for _, going in self.going:
                going.cancel()
            raise

    def _full(self) -> bool:
        size = sum(piece.size for piece, _ in self.going if not piece.copied)
        return len(self.going) > 1 and (len(self.going) > 2 * AT_ONCE or size > MOST_BYTES)

    def _work(self, piece: Piece) -> bytes:
        data = self.make(piece)
        if self.ordered:
            return data
        self.put(piece, data)
        return b""

    def _end_first(self) -> None:
        piece, going = self.going.popleft()
        data = going.result()
        if self.ordered:
            self.put(piece, data)


def _slice(segment: Rows | Slice | Stretch) -> Slice:
    if isinstance(segment, Slice):
        return segment
    if isinstance(segment, Stretch):
        return segment.slice
    return Slice(segment.entry.part, segment.entry.offset, segment.entry.stop)
