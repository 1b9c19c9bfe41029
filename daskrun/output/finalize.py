"""Finalize: committed rows, in mini-batch order, into one output that appears whole."""

from __future__ import annotations

import errno
import os
import zlib
from collections import OrderedDict
from typing import TYPE_CHECKING

from daskrun.errors import StorageError
from daskrun.output.commit_table import SKIPPED, SMALL, Committed, Entry, Headers, Heads, changed
from daskrun.output.folder import temporary_file
from daskrun.storage.durable import publish_new, pwrite_all, sync_folder
from daskrun.storage.error_hints import explained

if TYPE_CHECKING:
    from pathlib import Path

BLOCK = 1024 * 1024
"""Bytes read and written at once."""
MOST_OPEN = 64
"""Parts kept open; a process may have only 256 files on macOS."""

_copy_file_range = getattr(os, "copy_file_range", None)  # Linux only
_NOT_HERE = frozenset(
    {errno.EXDEV, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL, errno.EPERM}
    | {errno.EACCES, errno.ETXTBSY, errno.EBADF}
)
"""What ``copy_file_range`` answers where it can't copy these two files, but read and write can."""


class Finalizer:
    """Copies committed rows into one file and publishes it.

    Mini-batches are committed or skipped in any order, each once. :meth:`advance` copies those that
    are next in order, so that little is left when the last one is done. One thread at a time.

    Parameters
    ----------
    parts
        The folder of parts, as :func:`daskrun.output.folder.prepare_output` gave it.
    target
        The output. Until :meth:`publish` its rows are in a hidden file beside it; one that an
        earlier driver of the same run left is begun anew.
    heads
        What becomes of the heads; None: they are headers of tables.

    Raises
    ------
    StorageError
        That file can't be created.
    """

    def __init__(self, parts: Path, target: Path, heads: Heads | None = None) -> None:
        self._parts = parts
        self._target = target
        self._temporary = temporary_file(parts, target.parent)
        self._committed = Committed()
        self._end = 0  # bytes of the output
        self._open: OrderedDict[int, int] = OrderedDict()
        self._joined: list[bytes] = []  # small ranges, not yet written
        self._joined_size = 0
        self._heads = heads or Headers()
        self._finished = False
        self._kernel_copies = _copy_file_range is not None
        self._output = -1
        try:
            self._output = os.open(self._temporary, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o666)
            pwrite_all(self._output, self._heads.begins, 0)
        except OSError as error:
            self.abandon()
            raise StorageError(explained(f"can't create {self._temporary}", error)) from error
        self._end = len(self._heads.begins)

    @property
    def done(self) -> int:
        """How many mini-batches, from the first on, are copied or passed over."""
        return self._committed.done

    @property
    def nbytes(self) -> int:
        """How many bytes the output has so far."""
        return self._end

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is odd about the output: headers that differ from its own."""
        return self._heads.warnings

    @property
    def mark(self) -> str:
        """What the output is known by, hidden or published; after :meth:`finish`."""
        return _mark(os.fstat(self._output), self._end)

    def commit(self, index: int, part: str, offset: int, length: int, head: int, crc: int) -> None:
        """Take in which bytes of a part are the rows of a mini-batch, ``head`` of them a head.

        ``crc`` is the CRC-32 of those bytes, without a head that stays aside; :meth:`advance` holds
        what it reads against it. A mini-batch that wrote nothing (``part=""`` or ``length=0``) is
        skipped.
        """
        self._committed.commit(index, part, offset, length, head, crc)

    def skip(self, index: int) -> None:
        """Take in that a mini-batch has no rows: it failed, or it wrote nothing."""
        self._committed.skip(index)

    def advance(self) -> int:
        """Copy what is next in order, as far as it is committed; give :attr:`done`.

        Raises
        ------
        StorageError
            A part is missing, too short or not what was written, or the output can't be written.
            What the failing chunk had copied is copied again at the next call.
        WrongResultError
            A head doesn't go with the others.
        """
        while entries := self._committed.ready():
            before, mark = self._end, self._heads.mark()
            try:
                self._copy_entries(entries)
            except BaseException as error:
                self._end = before
                self._heads.rewind(mark)
                self._joined.clear()
                self._joined_size = 0
                if isinstance(error, OSError) and not isinstance(error, StorageError):
                    what = f"can't copy to {self._temporary}"
                    raise StorageError(explained(what, error)) from error
                raise
        self._committed.forget()
        return self.done

    def finish(self) -> None:
        """Write what comes behind the last rows; may be called again.

        Raises
        ------
        StorageError
            It can't be written.
        """
        if self._finished:
            return
        end = self._end
        try:
            for block in self._heads.end():
                pwrite_all(self._output, block, end)
                end += len(block)
        except OSError as error:
            if isinstance(error, StorageError):
                raise
            raise StorageError(explained(f"can't write {self._temporary}", error)) from error
        self._end = end
        self._finished = True

    def publish(self, overwrite: bool, total: int) -> None:
        """Give the output its name, whole, on the disk when this returns; and close.

        Parameters
        ----------
        overwrite
            Whether a file of that name is replaced.
        total
            How many mini-batches the run has; all must be committed or skipped.

        Raises
        ------
        StorageError
            Some aren't, or there is a file of that name, or the disk failed. :meth:`abandon` is
            still to be called then.
        """
        if self.advance() != total:
            raise StorageError(
                f"can't publish {self._target}: mini-batch {self.done} of {total} is not committed"
            )
        self.finish()
        try:
            os.ftruncate(self._output, self._end)  # a failed copy may have gone further
            os.fsync(self._output)
            if overwrite:
                self._temporary.replace(self._target)
                sync_folder(self._target.parent)
            else:
                publish_new(self._temporary, self._target)
        except FileExistsError as error:
            raise StorageError(
                f"can't publish {self._target}: a file of that name appeared during the run. "
                "Pass overwrite=True or give another append_row_file_name."
            ) from error
        except OSError as error:
            raise StorageError(explained(f"can't publish {self._target}", error)) from error
        self._close()

    def abandon(self, keep: bool = False) -> None:
        """Close without publishing; may be called again, and after :meth:`publish`.

        Parameters
        ----------
        keep
            Leave the hidden file with what is copied so far, to be looked at.
        """
        self._heads.close()
        if self._output < 0:
            return
        self._close()
        if not keep:
            self._temporary.unlink(missing_ok=True)

    def _copy_entries(self, entries: list[Entry]) -> None:
        """Copy one chunk; small ranges that follow each other in a part are read as one."""
        run: list[tuple[int, Entry]] = []
        part, end, size = SKIPPED, 0, 0
        for numbered in enumerate(entries, self.done):
            _, this, offset, length, _, _ = numbered[1]
            if this == SKIPPED:
                continue
            if this != part or offset != end or size + length > BLOCK or length >= SMALL:
                self._copy_run(run)
                run, size = [], 0
            part, end = this, offset + length
            if length >= SMALL:
                self._copy_large(*numbered)
            else:
                run.append(numbered)
                size += length
        self._copy_run(run)
        self._write_joined()
        self._committed.take(len(entries))

    def _copy_run(self, run: list[tuple[int, Entry]]) -> None:
        """Read the rows of small mini-batches that lie side by side, and join them."""
        if not run:
            return
        first, last = run[0][1], run[-1][1]
        part, start = first[1], first[2]
        data = self._read(part, start, last[2] + last[3] - start)
        crc32 = zlib.crc32
        joined = 0  # bytes of ``data`` that are joined or passed over
        aside = self._heads.aside
        for index, entry in run:
            offset, length, head, crc = entry[2:]
            at = offset - start
            if (found := crc32(data[at + head * aside : at + length])) != crc:
                raise self._changed(index, entry, found)
            if head:
                self._join(data[joined:at])
                self._take_head(index, data[at : at + head], length - head)
                joined = at + head
        self._join(data[joined:])

    def _copy_large(self, index: int, entry: Entry) -> None:
        """Copy the rows of a mini-batch, inside the kernel where that can be done."""
        _, part, start, length, head, crc = entry
        end, found = start + length, 0
        if head:
            text = self._read(part, start, head)
            self._take_head(index, text, length - head)
            start, found = start + head, 0 if self._heads.aside else zlib.crc32(text)
        self._write_joined()
        source, seen = self._descriptor(part), True
        while start < end:
            copied = self._copy_inside(source, start, end - start)
            if copied:
                seen = False
            else:
                data = self._read(part, start, min(end - start, BLOCK))
                found = zlib.crc32(data, found)
                pwrite_all(self._output, data, self._end)
                copied = len(data)
            start += copied
            self._end += copied
        if seen and found != crc:
            raise self._changed(index, entry, found)

    def _take_head(self, index: int, head: bytes, nbytes: int) -> None:
        """Have a head taken in, and keep it where it belongs in the output."""
        if self._heads.take(index, head, nbytes):
            self._join(head)

    def _changed(self, index: int, entry: Entry, found: int) -> StorageError:
        """Say that a part does not hold what a mini-batch wrote."""
        return StorageError(changed(str(self._path(entry[1])), index, entry, found))

    def _path(self, part: int) -> Path:
        return self._parts / self._committed.names[part]

    def _copy_inside(self, source: int, start: int, size: int) -> int:
        """Have the kernel copy up to ``size`` bytes; 0 where it can't."""
        if not self._kernel_copies or _copy_file_range is None:
            return 0
        try:
            # 0 may be the end of the part; some file systems mean "not here"
            return int(_copy_file_range(source, self._output, size, start, self._end))
        except OSError as error:
            if error.errno not in _NOT_HERE:
                raise
            self._kernel_copies = False
            return 0

    def _join(self, data: bytes) -> None:
        self._joined.append(data)
        self._joined_size += len(data)
        if self._joined_size >= BLOCK:
            self._write_joined()

    def _write_joined(self) -> None:
        if self._joined:
            pwrite_all(self._output, b"".join(self._joined), self._end)
            self._end += self._joined_size
            self._joined.clear()
            self._joined_size = 0

    def _read(self, part: int, offset: int, size: int) -> bytes:
        """Read bytes of a part, all or an error that names it."""
        source = self._descriptor(part)
        data = os.pread(source, size, offset)
        while len(data) < size:
            more = os.pread(source, size - len(data), offset + len(data))
            if not more:
                path = self._path(part)
                raise StorageError(
                    f"the part {path} is too short: rows from byte {offset} to {offset + size} "
                    f"are committed, it ends at {os.fstat(source).st_size}"
                )
            data += more
        return data

    def _descriptor(self, part: int) -> int:
        """Return an open part; the one not used for longest is closed when there are many."""
        source = self._open.get(part)
        if source is not None:
            self._open.move_to_end(part)
            return source
        path = self._path(part)
        try:
            source = os.open(path, os.O_RDONLY)
        except OSError as error:
            raise StorageError(
                f"the part {path}, which holds committed rows, can't be read: {error}"
            ) from error
        self._open[part] = source
        if len(self._open) > MOST_OPEN:
            os.close(self._open.popitem(last=False)[1])
        return source

    def _close(self) -> None:
        for descriptor in (*self._open.values(), self._output):
            os.close(descriptor)
        self._open.clear()
        self._output = -1
        self._heads.close()


def file_mark(path: Path) -> str:
    """Return the mark of a file, ``""`` where there is none; see :attr:`Finalizer.mark`."""
    try:
        found = path.stat()
    except OSError:
        return ""
    return _mark(found, found.st_size)


def _mark(found: os.stat_result, size: int) -> str:
    # The time is not in it: renaming and linking keep it, copies on their way do not.
    return f"{found.st_dev}:{found.st_ino}:{size}"
