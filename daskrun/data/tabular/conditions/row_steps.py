"""What a tabular dataset does to its rows after they are read: plain steps, applied in order.

- ``("filter", condition)``: see :mod:`daskrun.data.tabular.conditions.expression`
- ``("sample", low, high, seed)``: the rows whose draw is in ``[low, high)``
- ``("window", start, stop)``: rows ``start`` to ``stop`` (None: the end) of those that reach it
- ``("keep", names)``, ``("drop", names)``: columns
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Any, TypeAlias

from daskrun.data.libraries import np
from daskrun.data.tabular.conditions.expression import uses
from daskrun.data.tabular.conditions.mask import mask

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import pandas as pd
    from numpy.typing import NDArray


Step = tuple[Any, ...]
Keys: TypeAlias = "NDArray[np.uint64] | None"
"""For each row its number of :func:`row_keys`; None where no step needs them."""
Slices: TypeAlias = "Sequence[tuple[int, int]]"
"""For each window (``take``, ``skip``) the rows, of those that reach it here, that it keeps: as the
plan says."""


class Steps:
    """Applies the steps of a dataset to the rows of one mini-batch."""

    def __init__(self, plain: Iterable[Sequence[Any]]) -> None:
        self.plain: list[Step] = [tuple(step) for step in plain]
        self._at = [n for n, step in enumerate(self.plain) if step[0] == "window"]
        self.needs_ids = any(step[0] == "sample" for step in self.plain)
        """Whether rows need keys (:func:`row_keys`)."""

    @property
    def windows(self) -> list[tuple[int, int | None]]:
        """First row kept and one past the last (None: to the end) of each window, in order."""
        return [(self.plain[at][1], self.plain[at][2]) for at in self._at]

    def counts_known(self, window: int) -> bool:
        """Return whether a mini-batch's own number of rows says how many reach window ``window``.

        So it is where no filter and no sample is between it and the window before, or the
        beginning; for ``window == len(windows)``: the end.
        """
        first = self._at[window - 1] + 1 if window else 0
        kinds = {step[0] for step in self.plain[first : self._until(window)]}
        return not kinds & {"filter", "sample"}

    def looks_at(self, window: int | None = None) -> set[str]:
        """Return the columns that filters before this window (None: all filters) look at."""
        steps = self.plain[: self._until(window)]
        return set().union(*(uses(step[1]) for step in steps if step[0] == "filter"))

    def samples_before(self, window: int) -> bool:
        """Return whether rows need keys to be counted at this window."""
        return any(step[0] == "sample" for step in self.plain[: self._until(window)])

    def _until(self, window: int | None) -> int:
        inner = window is not None and window < len(self._at)
        return self._at[window or 0] if inner else len(self.plain)

    def apply(
        self, frame: pd.DataFrame, keys: Keys, slices: Slices = (), window: int | None = None
    ) -> pd.DataFrame:
        """Return what is left of a mini-batch, or reaches this window, with index 0..n-1."""
        whole = frame
        samples = windows = 0
        for kind, *given in self.plain[: self._until(window)]:
            chosen: slice | NDArray[np.bool_]
            if kind == "keep":
                frame = frame[list(given[0])]
                continue
            if kind == "drop":
                frame = frame.drop(columns=list(given[0]))
                continue
            if kind == "window":
                chosen = slice(*slices[windows])
                windows += 1
            elif kind == "filter":
                chosen = mask(frame, given[0])
            else:
                assert keys is not None, "sampled rows have keys"
                chosen = drawn(keys, *given, position=samples)
                samples += 1
            if not _all(chosen, len(frame)):
                frame = frame.iloc[chosen]
                keys = None if keys is None else keys[chosen]
        # A frame of its own also where pandas 2 would warn that it is a part of another.
        return frame if frame is whole else frame.reset_index(drop=True)


def _all(chosen: slice | NDArray[np.bool_], rows: int) -> bool:
    if isinstance(chosen, slice):
        return bool(chosen.start == 0 and chosen.stop >= rows)
    return bool(chosen.all())


def row_keys(name: str, ids: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return each row of a file a number that it has in every mini-batch size and every run."""
    digest = blake2b(name.encode("utf-8", "surrogateescape"), digest_size=8).digest()
    return _mixed(ids + np.uint64(int.from_bytes(digest)))


def drawn(
    keys: NDArray[np.uint64], low: float, high: float, seed: int, *, position: int
) -> NDArray[np.bool_]:
    """Draw a number in 0..1 for each row; true where it is at least ``low`` and below ``high``.

    The draw depends on the row's key, the seed and how many samples came before: a second sample
    of the same seed is independent of the first.
    """
    salt = blake2b(f"{seed}:{position}".encode(), digest_size=8).digest()
    bits = _mixed(keys + np.uint64(int.from_bytes(salt))) >> np.uint64(11)
    draws = bits.astype(np.float64) * 2.0**-53
    return (draws >= low) & (draws < high)


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Mix bits as splitmix64 does (Steele, Lea and Flood, 2014): every bit depends on all."""
    values = values + np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        values = (values ^ (values >> np.uint64(shift))) * np.uint64(factor)
    return values ^ (values >> np.uint64(31))
