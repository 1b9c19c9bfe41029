"""What becomes of the headers of mini-batches in an output that is all bytes in a row."""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import insort
from typing import TYPE_CHECKING, Any, ClassVar

from daskrun.core.typing import override

if TYPE_CHECKING:
    from collections.abc import Iterable

MOST_WARNINGS = 10


class Headers(ABC):
    """What is in the output beside rows: its beginning, headers, its end."""

    aside: ClassVar[bool] = False
    """Whether headers are no part of the output: then the CRC of a mini-batch is without them."""
    begins: ClassVar[bytes] = b""
    """What the output begins with."""

    @abstractmethod
    def take(self, index: int, header: bytes, nbytes: int) -> bool:
        """Take in the header of a mini-batch, and the length of its rows; True: it is written.

        Headers come in mini-batch order where it matters which is first, else in any order.
        """

    @abstractmethod
    def mark(self) -> Any:
        """Return what :meth:`rewind` goes back to."""

    @abstractmethod
    def rewind(self, mark: Any) -> None:
        """Forget what was taken since a mark."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is odd about the output."""
        return ()

    def end(self) -> Iterable[bytes]:
        """Return what the output ends with; called once all headers are taken."""
        return ()

    def close(self) -> None:  # noqa: B027  (most have nothing open)
        """Release what is open; may be called again."""


class FirstHeader(Headers):
    """The header of the output: the first there is, compared with each other one."""

    def __init__(self) -> None:
        self.first: bytes | None = None
        self._differing: list[tuple[int, str]] = []  # of the first mini-batches that differ
        self._count = 0

    @override
    def take(self, index: int, header: bytes, nbytes: int) -> bool:
        if self.first is None:
            self.first = header
            return True
        if header != self.first:
            self._count += 1
            if len(self._differing) < MOST_WARNINGS or index < self._differing[-1][0]:
                text = (
                    f"mini-batch {index} has the header {_shown(header)}, "
                    f"the output has {_shown(self.first)}: its columns may be mixed up"
                )
                insort(self._differing, (index, text))
                del self._differing[MOST_WARNINGS:]
        return False

    @override
    def mark(self) -> tuple[bytes | None, int, int]:
        return self.first, len(self._differing), self._count

    @override
    def rewind(self, mark: tuple[bytes | None, int, int]) -> None:
        self.first, kept, self._count = mark
        del self._differing[kept:]

    @property
    @override
    def warnings(self) -> tuple[str, ...]:
        shown = tuple(text for _, text in self._differing)
        more = self._count - len(shown)
        if not more:
            return shown
        return (*shown, f"{more} more mini-batches have a header that differs")


def _shown(header: bytes) -> str:
    """Show a header in a warning, not all of a long one."""
    text = header.decode("utf-8", "replace").rstrip("\r\n")
    return repr(text if len(text) <= 200 else text[:200] + "…")
