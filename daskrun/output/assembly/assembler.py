"""``Assembler``: what makes one output of the committed rows of a run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from daskrun.output.assembly.commit_table import CommitTable
from daskrun.output.sinks.headers import FirstHeader

if TYPE_CHECKING:
    from daskrun.output.sinks.headers import Headers


class Assembler(ABC):
    """Makes one output of committed rows, in mini-batch order, and publishes it.

    Mini-batches are committed or skipped in any order, each once. One thread at a time. Without
    ``headers`` the output has the first header.
    """

    def __init__(self, headers: Headers | None = None) -> None:
        self._committed = CommitTable()
        self._headers = headers or FirstHeader()

    def commit(
        self, index: int, part: str, offset: int, length: int, header: int, crc: int
    ) -> None:
        """Take in which bytes of a part are the rows of a mini-batch.

        ``header`` of them are a header. ``crc`` is the CRC-32 of those bytes, without a header that
        stays aside; they are checked against it. A mini-batch that wrote nothing (``part=""`` or
        ``length=0``) is skipped.
        """
        self._committed.commit(index, part, offset, length, header, crc)

    def skip(self, index: int) -> None:
        """Take in that a mini-batch has no rows: it failed, or it wrote nothing."""
        self._committed.skip(index)

    @property
    def done(self) -> int:
        """How many mini-batches, from the first on, are in the output or on their way to it."""
        return self._committed.done

    @property
    def nbytes(self) -> int:
        """Bytes of the output that no longer need room beside their parts."""
        return 0

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is odd about the output, such as headers that differ from its own."""
        return self._headers.warnings

    @abstractmethod
    def advance(self) -> int:
        """Go on with what is next in order, as far as it is committed; return :attr:`done`.

        Raises
        ------
        StorageError
            A part is missing, too short or not what was written, or the output can't be written.
        WrongResultError
            A header doesn't go with the others.
        """

    @abstractmethod
    def finish(self) -> None:
        """Write what comes behind the last rows, or raise DaskrunError; may be called again."""

    @property
    @abstractmethod
    def mark(self) -> str:
        """What :meth:`Destination.published` knows the output by; asked after :meth:`finish`."""

    @abstractmethod
    def publish(self, overwrite: bool, total: int) -> None:
        """Publish the output under its name, whole and durable when this returns.

        Raises
        ------
        StorageError
            Not all of ``total`` mini-batches are committed or skipped, or there is an output of
            that name, or the store failed. :meth:`abandon` is still to be called then.
        """

    @abstractmethod
    def abandon(self) -> None:
        """Release everything without publishing; may be called again, and after :meth:`publish`."""
