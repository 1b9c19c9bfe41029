"""Bringing what a piece of a remote Parquet file needs: its footer and column chunks, as ranges.

What is written locally is a sparse file of the object's size, with holes where nothing is needed:
offsets are those of the footer, and the reader finds all in its place.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daskrun.data.tabular.formats.contract import Look, Piece
from daskrun.data.tabular.formats.parquet.row_groups import (
    chunk_range,
    footer_bytes,
    parse_footer,
    unreadable,
)
from daskrun.errors import TableError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from daskrun.data.remote_files import RemoteFolder
    from daskrun.data.tabular.formats.node_cache import NodeCache

_GAP = 128 * 1024
"""Bytes between two ranges that are fetched too: a request costs as much as 100 KB of transfer."""
_RANGE = 8 * 2**20
"""Longest range of one request."""
_AT_ONCE = 4
"""Ranges in memory at a time: they are written before others are asked for."""
_SIZE = 8
"""Bytes that say the file's size, before the footer in the node's cache."""

Range = tuple[int, int]


def bring(
    folder: RemoteFolder, wanted: Sequence[str], what: Piece | Look, target: str, cache: NodeCache
) -> None:
    """Write ``target`` with what is needed of these columns.

    A row group that several pieces share is fetched once per node.
    """
    assert isinstance(what, Piece), "a Parquet file is not surveyed"
    name, start, stop = what.name, int(what.start), what.stop
    size, footer = _footer(folder, name, cache)
    try:
        metadata = parse_footer(footer)
    except Exception as error:  # pyarrow's own
        raise TableError(unreadable(folder.path(name), error)) from error
    groups, shared = _groups(metadata, start, stop)
    columns = set(wanted)
    ranges = _joined(_ranges(metadata, groups, columns), size - len(footer))

    def make(path: str) -> None:
        _write(folder, name, path, size, footer, ranges)

    if not shared:
        make(target)
        return
    told = ",".join(sorted(columns))
    made = cache.get(f"parquet {folder.url} {name} row group {groups[0]} of {told}", make)
    try:
        os.link(made, target)
    except OSError:  # the cache is on another file system, or that has no hard links
        shutil.copyfile(made, target)


def _footer(folder: RemoteFolder, name: str, cache: NodeCache) -> tuple[int, bytes]:
    """Return a file's size and footer, fetched once per node."""

    def make(path: str) -> None:
        size, tail = footer_bytes(folder, name, -1)
        Path(path).write_bytes(size.to_bytes(_SIZE, "little") + tail)

    data = Path(cache.get(f"parquet {folder.url} {name} footer", make)).read_bytes()
    return int.from_bytes(data[:_SIZE], "little"), data[_SIZE:]


def _groups(metadata: Any, start: int, stop: int | None) -> tuple[list[int], bool]:
    """List the row groups of a piece, and say whether it is a part of just one."""
    groups = []
    row = 0
    whole = True
    for group in range(metadata.num_row_groups):
        high = row + metadata.row_group(group).num_rows
        if row < (high if stop is None else stop) and high > start:
            groups.append(group)
            whole = whole and row >= start and (stop is None or high <= stop)
        row = high
    return groups, len(groups) == 1 and not whole


def _ranges(metadata: Any, groups: list[int], columns: set[str]) -> Iterator[Range]:
    for number in groups:
        group = metadata.row_group(number)
        for n in range(group.num_columns):
            chunk = group.column(n)
            # A column's own name may have dots; those of nested values follow one.
            path = chunk.path_in_schema.split(".")
            if any(".".join(path[:end]) in columns for end in range(len(path), 0, -1)):
                yield chunk_range(chunk)


def _joined(ranges: Iterator[Range], end: int) -> list[Range]:
    """Join ranges that lie close together, and cut those that are too long for one request."""
    joined: list[Range] = []
    for start, stop in sorted(ranges):
        if joined and start - joined[-1][1] <= _GAP:
            joined[-1] = joined[-1][0], max(joined[-1][1], stop)
        else:
            joined.append((start, stop))
    return [
        (low, min(low + _RANGE, stop, end))
        for start, stop in joined
        for low in range(start, min(stop, end), _RANGE)
    ]


def _write(
    folder: RemoteFolder, name: str, target: str, size: int, footer: bytes, ranges: list[Range]
) -> None:
    path = folder.path(name)
    file = os.open(target, os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.truncate(file, size)
        os.pwrite(file, b"PAR1"[:size], 0)
        os.pwrite(file, footer, max(0, size - len(footer)))
        for n in range(0, len(ranges), _AT_ONCE):
            some = ranges[n : n + _AT_ONCE]
            starts, stops = [r[0] for r in some], [r[1] for r in some]
            found = folder.system.cat_ranges([path] * len(some), starts, stops, on_error="raise")
            for start, data in zip(starts, found, strict=True):
                os.pwrite(file, data, start)
    except BaseException:
        with suppress(OSError):
            os.unlink(target)  # noqa: PTH108
        raise
    finally:
        os.close(file)
