"""The bundles that are out on Dask, each with its future."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Mapping, Sequence

    from daskrun.core.events import Bundle


class Outstanding:
    """Bundles by their numbers, from when they are submitted until they are taken; any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._out: dict[int, tuple[Bundle, Any]] = {}

    def __len__(self) -> int:
        return len(self._out)

    def add(
        self,
        bundles: Sequence[Bundle],
        futures: Mapping[int, Any],
        still: Callable[[], bool] = lambda: True,
    ) -> bool:
        """Note bundles with the futures of their numbers, if ``still``; return whether it was.

        A worker lost while its bundles were being submitted would never give them back.
        """
        with self._lock:
            there = bool(futures) and still()
            if there:
                self._out.update({b.number: (b, futures[b.number]) for b in bundles})
        return there

    def take(self, number: int) -> Bundle | None:
        """Return a bundle that is back; None where it was taken before."""
        with self._lock:
            bundle, _ = self._out.pop(number, (None, None))
        return bundle

    def take_of(self, nodes: Container[str]) -> tuple[list[Bundle], list[Any]]:
        """Return what is out on nodes, and the futures of that."""
        with self._lock:
            numbers = [n for n, (bundle, _) in self._out.items() if bundle.node in nodes]
            taken = [self._out.pop(number) for number in numbers]
        return [bundle for bundle, _ in taken], [future for _, future in taken]
