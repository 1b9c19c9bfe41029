"""One output file of the rows that are committed in many parts of a folder."""

from __future__ import annotations

import os
import zlib
from typing import TYPE_CHECKING

from daskrun.core.typing import override
from daskrun.errors import StorageError
from daskrun.output.assembly.assembler import SKIPPED, Assembler, Entry, FilePartReader, changed
from daskrun.output.folder import temporary_file
from daskrun.storage.durable import publish_new, pwrite_all, sync_folder
from daskrun.storage.error_hints import explained

if TYPE_CHECKING:
    from pathlib import Path

    from daskrun.output.sinks.sink import Headers

BLOCK = 1024 * 1024
"""Bytes read and written at once."""
PIECE = 256 * 1024
"""Those of a mini-batch that has more: checking them finds them in the processor's cache."""


class FileAssembler(Assembler):
    """Copies committed rows into one file and publishes it.

    :meth:`advance` copies what is next in order, so that little is left when the last mini-batch is
    done. What a chunk had copied that fails is copied again at the next call.

    Until :meth:`publish` the rows are in a hidden file beside ``target``; one that an earlier
    driver of the same run left is begun anew.
    """

    parts: FilePartReader

    def __init__(self, parts: Path, target: Path, headers: Headers | None = None) -> None:
        super().__init__(headers)
        self._target = target
        self._temporary = temporary_file(parts, target.parent)
        self.parts = FilePartReader(parts, self.names)
        self._end = 0  # bytes of the output
        self._joined: list[bytes] = []  # small ranges, not yet written
        self._joined_size = 0
        self._finished = False
        self._output = -1
        try:
            self._output = os.open(self._temporary, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o664)
            pwrite_all(self._output, self._headers.begins, 0)
        except OSError as error:
            self.abandon()
            raise StorageError(explained(f"can't create {self._temporary}", error)) from error
        self._end = len(self._headers.begins)

    @property
    @override
    def nbytes(self) -> int:
        return self._end

    @property
    @override
    def mark(self) -> str:
        return _mark(os.fstat(self._output), self._end)

    @override
    def advance(self) -> int:
        while entries := self.ready():
            before, mark = self._end, self._headers.mark()
            try:
                self._copy_entries(entries)
            except BaseException as error:
                self._end = before
                self._headers.rewind(mark)
                self._joined.clear()
                self._joined_size = 0
                if isinstance(error, OSError) and not isinstance(error, StorageError):
                    what = f"can't copy to {self._temporary}"
                    raise StorageError(explained(what, error)) from error
                raise
        self.forget()
        return self.done

    @override
    def finish(self) -> None:
        if self._finished:
            return
        end = self._end
        try:
            for block in self._headers.end():
                pwrite_all(self._output, block, end)
                end += len(block)
        except StorageError:
            raise
        except OSError as error:
            raise StorageError(explained(f"can't write {self._temporary}", error)) from error
        self._end = end
        self._finished = True

    @override
    def publish(self, overwrite: bool, total: int) -> None:
        check_complete(self.advance(), total, self._target)
        self.finish()
        try:
            os.ftruncate(self._output, self._end)  # a failed copy may have gone further
        except OSError as error:
            raise StorageError(explained(f"can't publish {self._target}", error)) from error
        publish_file(self._output, self._temporary, self._target, overwrite)
        self._close()

    @override
    def abandon(self) -> None:
        self._headers.close()
        if self._output < 0:
            return
        self._close()
        self._temporary.unlink(missing_ok=True)

    def _copy_entries(self, entries: list[Entry]) -> None:
        """Copy one chunk; small ranges that follow each other in a part are read as one."""
        run: list[tuple[int, Entry]] = []
        part, end, size = SKIPPED, 0, 0
        for index, entry in enumerate(entries, self.done):
            _, this, offset, length, _, _ = entry
            if this == SKIPPED:
                continue
            if this != part or offset != end or size + length > BLOCK:
                self._copy_run(run)
                run, size = [], 0
            part, end = this, offset + length
            if length > BLOCK:
                self._copy_large(index, entry)
            else:
                run.append((index, entry))
                size += length
        self._copy_run(run)
        self._write_joined()
        self.take(len(entries))

    def _copy_run(self, run: list[tuple[int, Entry]]) -> None:
        """Read the rows of small mini-batches that lie side by side, and join them."""
        if not run:
            return
        first, last = run[0][1], run[-1][1]
        part, start = first.part, first.offset
        data = self.parts.read_one(part, start, last.stop)
        crc32 = zlib.crc32
        joined = 0  # bytes of ``data`` that are joined or passed over
        aside = self._headers.aside
        for index, entry in run:
            _, _, offset, length, header, crc = entry
            at = offset - start
            if (found := crc32(data[at + header * aside : at + length])) != crc:
                raise changed(self.parts.shown(part), index, entry, found)
            if header:
                self._join(data[joined:at])
                self._take_header(index, data[at : at + header], length - header)
                joined = at + header
        self._join(data[joined:])

    def _copy_large(self, index: int, entry: Entry) -> None:
        """Copy the rows of a mini-batch that are more than a block."""
        part, start, found = entry.part, entry.offset, 0
        if entry.header:
            text = self.parts.read_one(part, start, start + entry.header)
            self._take_header(index, text, entry.length - entry.header)
            start += entry.header
            found = 0 if self._headers.aside else zlib.crc32(text)
        self._write_joined()
        for at in range(start, entry.stop, PIECE):
            data = self.parts.read_one(part, at, min(entry.stop, at + PIECE))
            found = zlib.crc32(data, found)
            pwrite_all(self._output, data, self._end)
            self._end += len(data)
        if found != entry.crc:
            raise changed(self.parts.shown(part), index, entry, found)

    def _take_header(self, index: int, header: bytes, nbytes: int) -> None:
        """Take in a header, and write it where it belongs in the output."""
        if self._headers.take(index, header, nbytes):
            self._join(header)

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

    def _close(self) -> None:
        os.close(self._output)
        self._output = -1
        self.parts.close()
        self._headers.close()


def check_complete(done: int, total: int, target: object) -> None:
    """Raise StorageError where a mini-batch is missing in an output that is to be published."""
    if done != total:
        raise StorageError(f"can't publish {target}: mini-batch {done} of {total} is not committed")


def publish_file(descriptor: int, file: Path, target: Path, overwrite: bool) -> None:
    """Rename a whole file to the output's name, durably."""
    try:
        os.fsync(descriptor)
        if overwrite:
            file.replace(target)
            sync_folder(target.parent)
        else:
            publish_new(file, target)
    except FileExistsError as error:
        raise already_there(target, "a file") from error
    except OSError as error:
        raise StorageError(explained(f"can't publish {target}", error)) from error


def already_there(target: object, what: str) -> StorageError:
    """Return the error that something got the output's name during the run."""
    return StorageError(
        f"can't publish {target}: {what} of that name appeared during the run. "
        "Pass overwrite=True or give another append_row_file_name."
    )


def file_mark(path: Path) -> str:
    """Return the mark of a file, ``""`` where there is none; see :attr:`FileAssembler.mark`."""
    try:
        found = path.stat()
    except OSError:
        return ""
    return _mark(found, found.st_size)


def _mark(found: os.stat_result, size: int) -> str:
    # The time is not in it: renaming and linking keep it, copies on their way do not.
    return f"{found.st_dev}:{found.st_ino}:{size}"
