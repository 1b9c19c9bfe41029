"""The mini-batches of one table, found in order, as its files are cut and its rows are counted."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Any

from daskrun.core.minibatch import TablePieces
from daskrun.data.tabular.conditions.row_steps import Steps
from daskrun.data.tabular.planning.cutting import Cutting
from daskrun.data.tabular.planning.windows import Arrival, Slices, Windows
from daskrun.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from daskrun.data.tabular.planning.resolve import TableInput

WHOLE = 1 << 62
"""A ``mini_batch_size`` that no file reaches: with ``partition_keys`` files are not cut."""

COUNTED_AHEAD = 32
"""Pieces that wait for their rows to be counted: a ``take`` of a few rows is not to cut it all."""


class InputPlan:
    """The mini-batches of one input, in order.

    ``groups``: with ``partition_keys``: for each mini-batch the numbers of its files; else None.
    """

    def __init__(
        self,
        number: int,
        table: TableInput,
        mini_batch_size: int,
        groups: list[list[int]] | None = None,
    ) -> None:
        self._number = number
        self._groups = groups
        size = mini_batch_size if groups is None else WHOLE
        self._cutting = Cutting(table.listing.table, table.splitter(table.listing, size))
        self._members: list[list[int]] = []
        """With groups: the pieces of each mini-batch, found when all pieces are."""
        steps = Steps(table.spec.steps)
        bounds = steps.windows
        self._keeps_rows = steps.counts_known(len(bounds))
        known = [steps.counts_known(n) for n in range(len(bounds))]
        self._windows = Windows(bounds, known) if bounds else None
        self._entered = 0
        self._kept = array("q")
        """With windows: which pieces are left."""
        self._slices = array("q")
        self._first_rows = array("q")
        """For each mini-batch the index of its first row, as far as that is known."""
        self._rows = 0
        self._counting: dict[int, Arrival] = {}

    @property
    def known(self) -> int:
        """How many mini-batches have been found."""
        return len(self._first_rows)

    @property
    def complete(self) -> bool:
        """Whether that is all."""
        windows = self._windows
        if windows is not None and windows.full:
            return not len(windows)
        return self._cutting.complete and (windows is None or not len(windows))

    def extend(self, upto: int) -> None:
        """Look on until ``upto`` are known, or a survey must be waited for."""
        while self.known < upto and not self.complete:
            before = self.known, len(self._cutting.cuts)
            if self._windows is None:
                self._cutting.extend(before[1] + upto - before[0])
            elif not self._full and len(self._windows) < COUNTED_AHEAD:
                self._cutting.extend(before[1] + COUNTED_AHEAD)
            self._advance()
            if (self.known, len(self._cutting.cuts)) == before:
                return  # a survey is waited for, or nothing is left

    def begin(self, number: int) -> tuple[tuple[Any, ...], tuple[Any, ...], int] | None:
        """Return the next survey: load, key, bytes; None when there is none to begin now."""
        if self._windows is not None:
            for window, arrival in self._windows.uncounted():
                arrival.asked = True
                self._counting[number] = arrival
                index = arrival.index
                load = ("survey", "count", self._cutting.pieces([index]), arrival.slices, window)
                return load, (self._number, "count", index, window), self._nbytes([index])
        if self._full:
            return None
        what = self._cutting.begin(number)
        if what is None:
            return None
        return ("survey", "look", *what), (self._number, "look", *what), -1

    def learn(self, number: int, found: Any) -> None:
        """Take what a survey found."""
        arrival = self._counting.pop(number, None)
        if arrival is None:
            self._cutting.learn(number, found)
        elif self._windows is not None:
            self._windows.count(arrival, int(found))
        self._advance()

    def give_up(self, number: int, trouble: str) -> None:
        """Take it that a survey can't be made."""
        if number in self._counting:
            # How many rows are before a row is not known any more: no take can be right.
            raise DatasetError(f"take() and skip() count rows, and some can't be read: {trouble}")
        self._cutting.give_up(number, trouble)
        self._advance()

    def load(self, index: int) -> tuple[TablePieces, int | None, int]:
        """Return what a mini-batch loads, its rows where they are known, its bytes."""
        members, slices = self._place(index)
        rows = slices[-1][1] - slices[-1][0] if slices else self._rows_of(members)
        first = self._first_rows[index]
        items = rows if self._keeps_rows and rows >= 0 else None
        load = TablePieces(self._cutting.pieces(members), slices, None if first < 0 else first)
        return load, items, self._nbytes(members)

    def bundle_size(self, index: int, count: int) -> int:
        """Return how many to put together from ``index`` on; see :meth:`TablePlan.bundle_size`."""
        cuts = self._cutting.cuts
        if not cuts.any_goes_on or self._groups is not None:
            return count
        for off in range(count + 1):
            for size in (count - off, count + off):
                end = index + size
                if size < (count + 1) // 2 or end > self.known:
                    continue
                if end == self.known or not cuts.goes_on(self._piece(end)):
                    return size
        return count

    @property
    def _full(self) -> bool:
        return self._windows is not None and self._windows.full

    def _place(self, index: int) -> tuple[Sequence[int], Slices]:
        if self._groups is not None:
            members = self._members[index]
            return [self._piece(at) for at in members], self._joined_slices(members)
        return [self._piece(index)], self._slices_at(index)

    def _piece(self, at: int) -> int:
        return at if self._windows is None else self._kept[at]

    def _slices_at(self, at: int) -> Slices:
        if self._windows is None:
            return ()
        width = 2 * self._windows.width
        values = self._slices[at * width : (at + 1) * width]
        return tuple(zip(values[::2], values[1::2], strict=True))

    def _joined_slices(self, members: Sequence[int]) -> Slices:
        """Return what windows keep of pieces put together.

        A window keeps rows that follow one another, and so it does of the pieces in between: all
        it leaves out is before its first row here and behind its last.
        """
        slices = [self._slices_at(at) for at in members]
        return tuple(
            (each[0][0], each[0][0] + sum(high - low for low, high in each))
            for each in zip(*slices, strict=True)
        )

    def _rows_of(self, pieces: Sequence[int]) -> int:
        rows = [self._cutting.cuts[n][1].rows for n in pieces]
        return -1 if min(rows) < 0 else sum(rows)

    def _nbytes(self, pieces: Sequence[int]) -> int:
        sizes = [self._cutting.cuts[n][1].nbytes for n in pieces]
        return -1 if min(sizes) < 0 else sum(sizes)

    def _advance(self) -> None:
        """Let what has been cut become mini-batches."""
        found = len(self._cutting.cuts)
        rows = (self._rows_of([piece]) for piece in range(self._entered, found))
        windows = self._windows
        if windows is None:
            for each in rows:
                self._add(each)
        else:
            for piece, each in enumerate(rows, self._entered):
                windows.enter(piece, each)
            for arrival in windows.kept():
                self._kept.append(arrival.index)
                for bounds in arrival.slices:
                    self._slices.extend(bounds)
                self._add(arrival.rows)
        self._entered = found
        if self._groups is not None and self.complete and not self._first_rows:
            self._group(self._groups)

    def _group(self, groups: list[list[int]]) -> None:
        """Put the pieces that are left together, each to the others of its group."""
        group_of = {file: n for n, files in enumerate(groups) for file in files}
        members: list[list[int]] = [[] for _ in groups]
        left = self._entered if self._windows is None else len(self._kept)
        for at in range(left):
            members[group_of[self._cutting.file(self._piece(at))]].append(at)
        self._members = [each for each in members if each]
        # The rows of a group do not follow one another: none is the first of those behind it.
        self._first_rows.extend([-1] * len(self._members))

    def _add(self, rows: int) -> None:
        """Have one more mini-batch; with groups they are made at the end."""
        if self._groups is not None:
            return
        self._first_rows.append(self._rows)
        counted = self._keeps_rows and rows >= 0 and self._rows >= 0
        self._rows = self._rows + rows if counted else -1
