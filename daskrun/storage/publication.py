"""An object in the making: nothing of it is seen until it is there whole."""

from __future__ import annotations

from typing import Protocol

Range = tuple[str, int, int]
"""Name of an object, first byte, one past the last."""


class Publication(Protocol):
    """An object in the making: readers see nothing of it until :meth:`commit`, then all."""

    ordered: bool
    """Whether pieces must be written in their order, one at a time; else any thread may write any
    piece at any time."""
    copies: bool
    """Whether :meth:`copy` can be asked."""
    smallest: int
    """Bytes that a piece must have, the last one excepted."""
    etag: str
    """Once it is there: as of :class:`Put`."""
    mark: str
    """What :meth:`UrlFolder.published` knows the object by."""

    def write(self, number: int, data: bytes) -> None:
        """Write piece ``number`` (0, 1, 2, …)."""

    def copy(self, number: int, source: Range) -> None:
        """Have the store itself make piece ``number`` of a range of an object in the folder."""

    def commit(self, overwrite: bool) -> None:
        """Let the object appear, whole.

        Raises FileExistsError where there is one of that name, and ``overwrite`` is False.
        """

    def abort(self) -> None:
        """Leave no trace; may be called again, and after anything."""
