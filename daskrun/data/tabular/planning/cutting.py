"""The pieces of one input, found file by file, also where the workers must look first."""

from __future__ import annotations

from array import array
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from daskrun.data.tabular.formats.contract import Cut, FileSplit, Piece, Splitter

if TYPE_CHECKING:
    from collections.abc import Iterable

    from daskrun.data.paths import PathTable

MOST_AHEAD = 256
"""Files that are begun before those ahead of them are cut."""


class CutStore:
    """Cuts in order, 41 bytes each where they are plain numbers; a trouble costs its text."""

    def __init__(self) -> None:
        self._files = array("q")
        self._starts, self._stops = array("q"), array("q")
        self._rows, self._nbytes = array("q"), array("q")
        self._bounds: dict[int, tuple[Any, Any]] = {}
        """Bounds that are no numbers: the keys of a query."""
        self._troubles: dict[int, str] = {}
        self._goes_on = bytearray()
        self.any_goes_on = False
        """Whether a cut costs less behind the one before it."""

    def __len__(self) -> int:
        return len(self._files)

    def add(self, file: int, cut: Cut) -> None:
        """Put a cut of file number ``file`` behind the others."""
        start, stop = cut.start, cut.stop
        if not isinstance(start, int) or not (stop is None or isinstance(stop, int)):
            self._bounds[len(self)] = start, stop
            start = stop = 0
        if cut.trouble:
            self._troubles[len(self)] = cut.trouble
        self._starts.append(start)
        self._stops.append(-1 if stop is None else stop)
        self._rows.append(cut.rows)
        self._nbytes.append(cut.nbytes)
        self._files.append(file)
        self._goes_on.append(cut.goes_on)
        self.any_goes_on = self.any_goes_on or cut.goes_on

    def __getitem__(self, index: int) -> tuple[int, Cut]:
        stop = self._stops[index]
        bounds = self._bounds.get(index, (self._starts[index], None if stop < 0 else stop))
        trouble = self._troubles.get(index, "")
        rows, nbytes = self._rows[index], self._nbytes[index]
        return self._files[index], Cut(*bounds, rows, nbytes, trouble, bool(self._goes_on[index]))

    def goes_on(self, index: int) -> bool:
        """Return whether a cut costs less behind the one before it."""
        return bool(self._goes_on[index])


@dataclass(frozen=True, slots=True)
class _Trouble:
    """In place of what a survey found: why it can't be made."""

    text: str


@dataclass(slots=True)
class _Work:
    """A file that was begun: its cuts, or what finds them."""

    file: int
    cuts: list[Cut]
    split: FileSplit | None = None
    asked: int = 0
    """Surveys that were begun."""
    fed: int = 0
    found: dict[int, Any] = field(default_factory=dict)
    """What surveys found that were faster than one before them."""

    @property
    def whole(self) -> bool:
        """Whether all its cuts are known."""
        return self.split is None or self.fed == self.split.surveys


class Cutting:
    """Finds the pieces of one input."""

    def __init__(self, names: PathTable, splitter: Splitter) -> None:
        self._names = names
        self._splitter = splitter
        self._next = 0
        self._line: deque[_Work] = deque()
        self._begun: dict[int, tuple[_Work, int]] = {}
        """Surveys under way, by the caller's number: the file, and which of its surveys."""
        self.cuts = CutStore()

    @property
    def complete(self) -> bool:
        """Whether all pieces are known."""
        return self._next == len(self._names) and not self._line

    def extend(self, upto: int) -> None:
        """Look on until ``upto`` pieces are known, or a survey must be waited for."""
        while len(self.cuts) < upto and self._begin_file():
            self._drain()
        self._drain()

    def begin(self, number: int) -> tuple[Any, ...] | None:
        """Return what survey ``number`` is to look at, ``(name, *request)``; None: nothing now."""
        while True:
            for work in self._line:
                if work.split is not None and work.asked < work.split.surveys:
                    self._begun[number] = work, work.asked
                    request = work.split.request(work.asked)
                    work.asked += 1
                    return (self._names[work.file], *request)
            # Only behind a file that waits: what needs no survey is for extend() to find.
            if not self._line or len(self._line) >= MOST_AHEAD or not self._begin_file():
                return None

    def learn(self, number: int, found: Any) -> None:
        """Take what a survey found."""
        work, place = self._begun.pop(number)
        work.found[place] = found
        self._feed(work)

    def give_up(self, number: int, trouble: str) -> None:
        """Take it that a survey can't be made: its file from there on is one bad piece."""
        work, place = self._begun.pop(number)
        name = self._names[work.file]
        if name not in trouble:  # such as that of a process which died, or took too long
            trouble = f"{name} can't be cut into mini-batches: {trouble}"
        work.found[place] = _Trouble(trouble)
        self._feed(work)

    def piece(self, index: int) -> tuple[Piece, Cut]:
        """Return a piece, and what is known of it."""
        file, cut = self.cuts[index]
        return Piece(self._names[file], cut.start, cut.stop, cut.trouble), cut

    def pieces(self, indices: Iterable[int]) -> tuple[tuple[Any, ...], ...]:
        """Return pieces as plain tuples."""
        return tuple(tuple(self.piece(index)[0]) for index in indices)

    def file(self, index: int) -> int:
        """Say of which file a piece is."""
        return self.cuts[index][0]

    def _feed(self, work: _Work) -> None:
        """Take what was found in its order: the cuts are the same in whichever it came."""
        while work.split is not None and work.fed in work.found:
            found = work.found.pop(work.fed)
            if isinstance(found, _Trouble):
                work.cuts += work.split.give_up(found.text)
                work.split = None
            else:
                work.cuts += work.split.feed(found)
                work.fed += 1
        if work.split is None:
            work.found.clear()
        self._drain()

    def _begin_file(self) -> bool:
        """Begin the next file; False when there is none or a survey must be waited for first."""
        if self._next == len(self._names):
            return False
        if len(self._line) >= MOST_AHEAD:
            return False
        name, size = self._names[self._next], self._names.sizes[self._next]
        made = self._splitter.begin(name, size)
        work = _Work(self._next, made) if isinstance(made, list) else _Work(self._next, [], made)
        self._line.append(work)
        self._next += 1
        return True

    def _drain(self) -> None:
        """Move on what is certain: all of the first file in line, then of the next."""
        while self._line:
            work = self._line[0]
            for cut in work.cuts:
                self.cuts.add(work.file, cut)
            work.cuts.clear()
            if not work.whole:
                return
            self._line.popleft()
