"""How often mini-batches were out on nodes that were lost: one that ends them must not go on."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from daskrun.core.events import Bundle


class NodeLossLimit:
    """The count of one run.

    Parameters
    ----------
    most
        As ``Intervals.most_losses``.

    Examples
    --------
    >>> from daskrun.core.events import Bundle
    >>> losses, bundles = NodeLossLimit(2), [Bundle(7, "node000", ((3, 1), (4, 1)))]
    >>> losses.lost(bundles, "it left")
    ''
    >>> losses.lost(bundles, "it went")
    'mini-batches 3, 4 were out on 2 nodes that were lost, and may end them; last: it went'
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._counts: dict[tuple[bool, int], int] = {}
        """(whether it is a survey, its index) -> nodes lost."""

    def lost(self, bundles: Sequence[Bundle], reason: str) -> str:
        """Count what was out on a lost node; return why the run must end, or ``""``."""
        over: dict[bool, list[int]] = {}
        for survey, index in [(b.survey, index) for b in bundles for index, _ in b.entries]:
            count = self._counts[survey, index] = self._counts.get((survey, index), 0) + 1
            if count >= self._most:
                over.setdefault(survey, []).append(index)
        for survey, found in over.items():
            what = "looks at the data" if survey else "mini-batch"
            what += "es" if len(found) > 1 and not survey else ""
            named = f"{what} {', '.join(map(str, sorted(found)))}"
            were = "was" if len(found) == 1 and not survey else "were"
            words = f"{named} {were} out on {self._most} nodes that were lost, and may end"
            return f"{words} them; last: {reason}"
        return ""
