"""An output that is there, taken apart into rows again, so that more can get into it."""

from __future__ import annotations

import contextlib
from itertools import chain
from typing import TYPE_CHECKING, BinaryIO, NamedTuple
from zlib import crc32

from daskrun.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from daskrun.output.sinks.sink import Sink

BLOCK = 2**20


class Rows(NamedTuple):
    """The rows of a mini-batch in a part."""

    index: int  # type: ignore[assignment]  # hides tuple.index, which nothing here uses
    offset: int
    length: int
    head: int
    crc: int


def taken_apart(
    output: Path, sink: Sink, committed: Sequence[Rows], part: Path
) -> tuple[Path, list[Rows]]:
    """Return a file that holds the rows of an output as a part does, and where in it they are.

    That is the output itself, or ``part``, which is made. ``committed`` is what each mini-batch has
    committed, in their order. Raises StorageError where the output does not hold these rows, one
    behind the other, and nothing else.
    """
    if sink.assembles:
        raise StorageError(
            f"append_row_format={sink.reference!r} has made {output} of rows that are no more, so "
            "no others can get into it. Submit the pipeline again for a new run."
        )
    known = [each for each in committed if each.length > each.head]
    with output.open("rb") as file:
        size = output.stat().st_size
        if not sink.header_aside:
            return output, list(_joined(file, output, known, size))
        with contextlib.closing(sink.headers(None)) as headers:
            start = len(headers.begins)
        return part, list(_beside_headers(file, output, sink, known, part, start))


def _joined(file: BinaryIO, output: Path, known: Sequence[Rows], size: int) -> Iterator[Rows]:
    """Find rows that lie one behind the other, below one header."""
    place, header = 0, b""
    first = next((each.index for each in known if each.head), -1)
    for each in known:
        head = each.head if each.index == first else 0
        if head:
            file.seek(place)
            header = file.read(head)
        length = head + each.length - each.head
        before = header if each.head == len(header) and not head else b""
        crc, whole = _crc_of(file, place, length, before)
        if each.head in (0, len(header)) and whole != each.crc:
            raise _other(output, each.index)
        yield Rows(each.index, place, length, head, crc)
        place += length
    if known and place != size:
        raise _other(output, known[-1].index)


def _beside_headers(
    file: BinaryIO, output: Path, sink: Sink, known: Sequence[Rows], part: Path, start: int
) -> Iterator[Rows]:
    """Write a part of the rows of an output whose headers stayed aside."""
    lengths = [each.length - each.head for each in known]
    places = [start]
    for length in lengths:
        places.append(places[-1] + length)
    try:
        headers = list(sink.headers_again(output, places[:-1]))
    except (OSError, ValueError) as error:
        raise StorageError(f"{output} does not hold what the run had put there: {error}") from error
    with part.open("wb") as to:
        for each, place, length, header in zip(known, places[:-1], lengths, headers, strict=True):
            crc, _ = _crc_of(file, place, length, b"")
            if crc != each.crc:
                raise _other(output, each.index)
            offset = to.tell()
            to.write(header)
            for block in _blocks(file, place, length):
                to.write(block)
            yield Rows(each.index, offset, len(header) + length, len(header), crc)


def _crc_of(file: BinaryIO, place: int, length: int, before: bytes) -> tuple[int, int]:
    """Return the CRC of bytes of a file, and that of ``before`` with them behind it."""
    alone, whole = 0, crc32(before)
    for block in _blocks(file, place, length):
        alone = crc32(block, alone)
        whole = crc32(block, whole) if before else alone
    return alone, whole


def _blocks(file: BinaryIO, place: int, length: int) -> Iterator[bytes]:
    file.seek(place)
    sizes = chain([BLOCK] * (length // BLOCK), [length % BLOCK])
    return (file.read(size) for size in sizes)


def _other(output: Path, index: int) -> StorageError:
    return StorageError(
        f"{output} does not hold the rows of mini-batch {index} any more: something else has "
        "written to it since the run had completed. Submit the pipeline again for a new run."
    )
