"""How many results a run has, each mini-batch's counted once."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from daskrun.core.outcome import Outcome


class ResultCount:
    """Counts the results of successes, and the bytes that they are in the parts."""

    def __init__(self) -> None:
        self.results = self.nbytes = 0
        self._past: tuple[array[int], array[int]] | None = None
        """Of a run that is resumed: by mini-batch what its last success had."""

    def go_on(self, past: Iterable[Outcome]) -> None:
        """Begin with what earlier drivers have journalled; any of it may be made again."""
        self._past = array("q"), array("q")
        for outcome in past:
            if not outcome.status:
                self.add(outcome.index, outcome.results, outcome.length)

    def add(self, index: int, results: int, nbytes: int) -> None:
        """Count a success, in the place of an earlier one of that mini-batch."""
        self.results += results
        self.nbytes += nbytes
        if self._past is None:
            return
        of_index, bytes_of_index = self._past
        missing = [0] * (index + 1 - len(of_index))
        of_index.extend(missing)
        bytes_of_index.extend(missing)
        self.results -= of_index[index]
        self.nbytes -= bytes_of_index[index]
        of_index[index], bytes_of_index[index] = results, nbytes
