"""Reads all mini-batches of a source of byte files, as a run would, without one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd

from daskrun.data.remote_files import RemoteFolder
from daskrun.data.tabular.formats.contract import Look, Piece, PieceFile
from daskrun.data.tabular.formats.node_cache import NodeCache
from daskrun.data.tabular.formats.registry import reader_class
from daskrun.data.tabular.formats.text.scan import Scan, Trace, scan_into
from daskrun.data.tabular.values.frame import to_frame
from daskrun.errors import TableError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from daskrun.data.tabular.formats.contract import ReaderSpec


class Read(NamedTuple):
    """What came of a source."""

    frames: list[pd.DataFrame]
    errors: list[TableError]
    ids: list[int]
    warnings: list[str]
    reader: ReaderSpec

    @property
    def rows(self) -> pd.DataFrame:
        assert not self.errors, self.errors
        return pd.concat(self.frames, ignore_index=True)


class Opened:
    """A source with its listing, schema and reader; brings remote files, as the fetcher does."""

    def __init__(self, source: Any, folder: Path) -> None:
        self.listing = source.listing()
        self.spec = source.describe(self.listing)
        self.cache = NodeCache(str(folder / "cache"))
        self.reader = reader_class(self.spec)(self.spec, {}, self.cache)
        self._source, self._folder = source, folder
        self._remote = None
        if self.listing.remote:
            self._remote = RemoteFolder(self.listing.root, self.listing.storage_options)

    def file(self, what: Any) -> PieceFile:
        shown = next(self.listing.paths([what.name]))
        if self._remote is None:
            return PieceFile(shown, False, shown)
        target = self._folder / "brought"
        target.unlink(missing_ok=True)
        names = [name for name, _ in self.spec.columns]
        reader_class(self.spec).bring(self.spec, self._remote, names, what, str(target), self.cache)
        return PieceFile(str(target), True, shown)

    def pieces(self, size: int) -> Iterator[Piece]:
        splitter = self._source.splitter(self.spec, self.listing, size)
        for name, nbytes, _ in self.listing.table.rows():
            cuts = splitter.begin(name, nbytes)
            if not isinstance(cuts, list):
                split, cuts = cuts, []
                for number in range(split.surveys):
                    request = split.request(number)
                    cuts += split.feed(self.reader.survey(request, self.file(Look(name, request))))
            for cut in cuts:
                yield Piece(name, cut.start, cut.stop, cut.trouble)


def read_all(
    source: Any, folder: Path, size: int = 1 << 20, columns: list[str] | None = None
) -> Read:
    """Read a source in pieces of a mini-batch size."""
    opened = Opened(source, folder)
    frames, errors, ids = [], [], []
    wanted = columns or [name for name, _ in opened.spec.columns]
    for piece in opened.pieces(size):
        try:
            rows = opened.reader.read(piece, opened.file(piece), wanted, True)
        except TableError as error:
            errors.append(error)
        else:
            frames.append(to_frame(rows.table))
            ids += rows.ids.tolist()
            assert len(frames[-1]) == len(rows.ids)
    return Read(frames, errors, ids, opened.reader.warnings, opened.spec)


def scan_block(data: bytes, separator: Any, offset: int, step: int) -> tuple[Trace, Trace]:
    """Scan a block entered outside quotes and inside; for what is given see ``scan_into``."""
    scans = Scan(False), Scan(True)
    scan_into(scans, data, separator, offset, step)
    return scans[0].trace(), scans[1].trace()
