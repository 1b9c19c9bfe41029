"""``Sink``: the one contract for what becomes of results, from ``run()`` to the output."""

from __future__ import annotations

import json
import sys
from abc import ABC, abstractmethod
from bisect import insort
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from daskrun.core.typing import override
from daskrun.errors import StorageError, WrongResultError
from daskrun.output.sinks.settings_file import SETTINGS_FILE, TO_CSV

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

MOST_WARNINGS = 10


class PutByName(Exception):  # noqa: N818  (it isn't an error)
    """Columns are in another order, or others: the output is made by :meth:`Sink.join_by_name`."""


class LostRowsError(StorageError):
    """Rows that are committed are not in their part as they were written."""


class Headers(ABC):
    """What is in the output beside rows: its beginning, headers, its end."""

    by_name: ClassVar[bool] = False
    """Whether :meth:`take` may raise :class:`PutByName`."""

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

    def is_whole(self, header: bytes) -> bool:  # noqa: ARG002  (most are in the CRC)
        """Return whether a header that stays aside is what was written."""
        return True

    def end(self) -> Iterable[bytes]:
        """Return what the output ends with; called once all headers are taken."""
        return ()

    def close(self) -> None:  # noqa: B027  (most have nothing open)
        """Release what is open; may be called again."""


class FirstHeader(Headers):
    """The header of the output: the first with rows below it, compared with each other one.

    One without rows, of an empty DataFrame, is the output's where there is no other.
    """

    def __init__(self) -> None:
        self.first: bytes | None = None
        self._of_nothing: tuple[int, bytes] | None = None
        self._differing: list[tuple[int, str]] = []  # of the first mini-batches that differ
        self._count = 0

    @override
    def take(self, index: int, header: bytes, nbytes: int) -> bool:
        if not nbytes:
            self._of_nothing = min(self._of_nothing or (index, header), (index, header))
            return False
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
    def end(self) -> Iterable[bytes]:
        return () if self.first is not None or self._of_nothing is None else self._of_nothing[1:]

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


BLOCK = 10_000
"""Elements that are made text at a time: all of them at once would be in memory three times."""
NOT_UTF8 = (
    "run() returned text that UTF-8 can't hold, such as a file name that is not text. Characters "
    "that it can't hold are written as their escape, like \\udce9."
)


class EncodedRows(NamedTuple):
    """The results of one mini-batch as bytes."""

    data: bytes
    """Empty for no rows: then nothing is written."""
    header: int = 0
    """How many bytes at the front are a header, which the output has once."""


class CommittedRows(NamedTuple):
    """The rows of one mini-batch on their way into the output: exactly what was encoded."""

    mini_batch: int
    """Its position in the run."""
    header: bytes
    rows: bytes


class Sink(ABC):
    r"""What becomes of the results of a run.

    A sink encodes the results of one mini-batch into bytes, in a script process. Those bytes are
    kept, committed once, and handed out in mini-batch order by daskrun, whatever fails on the way.
    In the driver they become the output: one file of all bytes in a row, unless the sink overrides
    :meth:`assemble`, which makes another file of them. The output appears whole, or not at all.

    A sink is made anew in each process, from its class and, where it is a dataclass, the values of
    its fields. The class must be importable in script processes: write it in a module that is
    installed there, or that lies beside the entry script.

    Examples
    --------
    >>> class Upper(Sink):
    ...     def encode_elements(self, elements):
    ...         return EncodedRows(b"".join(self.utf8(f"{each}\n".upper()) for each in elements))
    >>> Upper().encode(["a", 1])
    EncodedRows(data=b'A\n1\n', header=0)
    """

    reference: str = ""
    """What ``append_row_format`` says; filled in by the registry."""
    packages: ClassVar[tuple[str, ...]] = ()
    """What :meth:`encode` imports beside the standard library, as lines for pip."""
    writes_rows: ClassVar[bool] = True
    """False where a run has no output of its own: results are counted only."""
    header_aside: ClassVar[bool] = False
    """Whether headers are no part of the output; :attr:`Headers.aside` of :meth:`headers`."""
    layout: Mapping[str, Any] = {}
    """The keywords of ``to_csv`` that describe this format, where that can be said so."""
    columns: str = "same"
    """What the setting of that name says."""
    any_columns: ClassVar[bool] = False
    """Whether rows of other columns go together in this format: then that says nothing."""

    # before a run

    def configure(self, file_settings: Mapping[str, Any]) -> list[str]:
        """Apply what the settings file beside the entry script says; return what is wrong with it.

        Parameters
        ----------
        file_settings
            As :func:`~daskrun.output.sinks.settings_file.read_settings` returns them.
        """
        asked = file_settings.get(TO_CSV, {})
        other = {key: value for key, value in asked.items() if self.layout.get(key) != value}
        if not other:
            return []
        shown = ", ".join(f"{key}={json.dumps(value)}" for key, value in other.items())
        problem = (
            f"append_row_format={self.reference!r} says how rows look, and {SETTINGS_FILE} beside "
            f"the entry script says {shown}. Remove that file, or leave append_row_format out."
        )
        return [problem]

    def notes(self, file_name: str) -> list[str]:  # noqa: ARG002  (for sinks that override it)
        """Return what a user should know before a run that writes ``file_name``."""
        return []

    # in a script process

    def count(self, result: Any) -> int:
        """Return the number of results in what ``run()`` returned.

        Raises
        ------
        WrongResultError
            It is None, str, dict, a generator or anything else that isn't a list, tuple, DataFrame,
            Series or ndarray.
        """
        if isinstance(result, (list, tuple)) or _is_series_or_array(result) or _is_frame(result):
            return len(result)
        raise WrongResultError(_type_name(result))

    def encode(self, result: Any) -> EncodedRows:
        """Return the bytes of what ``run()`` returned.

        Raises
        ------
        WrongResultError
            As :meth:`count`, or it holds what this format can't; the mini-batch fails.
        """
        if isinstance(result, (list, tuple)) or _is_series_or_array(result):
            return self.encode_elements(result)
        if _is_frame(result):
            return self.encode_frame(result)
        raise WrongResultError(_type_name(result))

    @abstractmethod
    def encode_elements(self, elements: Sequence[Any]) -> EncodedRows:
        """Return the bytes of a list, tuple, Series or ndarray, which may be empty."""

    def encode_frame(self, frame: Any) -> EncodedRows:
        """Return the bytes of a ``pandas.DataFrame``: of a list with a dict for each row."""
        return self.encode_elements(frame.to_dict("records"))

    def utf8(self, text: str) -> bytes:
        """Return text as UTF-8; a lone surrogate becomes its escape, which is warned of."""
        try:
            return text.encode()
        except UnicodeEncodeError:
            self.warn(NOT_UTF8)
            return text.encode("utf-8", "backslashreplace")

    def warn(self, text: str) -> None:
        """Note something odd about results; each text is reported once."""
        vars(self).setdefault("_warned", {}).setdefault(text, False)

    def new_warnings(self) -> list[str]:
        """Return the warnings that were not returned before."""
        warned: dict[str, bool] = vars(self).get("_warned", {})
        new = [text for text, reported in warned.items() if not reported]
        warned.update(dict.fromkeys(new, True))
        return new

    # in the driver

    def headers(self, spool: str | None) -> Headers:  # noqa: ARG002  (for sinks that need one)
        """Return what becomes of the headers where the output is all bytes in a row.

        Parameters
        ----------
        spool
            Folder for what is too much for memory; None: the system's for temporary files.
        """
        return FirstHeader()

    def headers_again(self, file: Path, places: Iterable[int]) -> Iterator[bytes]:
        """Yield headers that stayed aside, from the output that was made of them.

        Asked of a sink with :attr:`header_aside` where more rows are to get into its output.

        Parameters
        ----------
        file
            The output.
        places
            Where in it the rows of each mini-batch that has some begin.
        """
        raise NotImplementedError

    def join_by_name(self, mini_batches: Iterable[CommittedRows], file: Path) -> None:
        """Make the output where headers are no longer one, as :meth:`assemble` does.

        Parameters
        ----------
        mini_batches
            May be gone through again.
        file
            As of :meth:`assemble`.
        """
        raise NotImplementedError

    @property
    def assembles(self) -> bool:
        """Whether the output is what :meth:`assemble` makes."""
        return type(self).assemble is not Sink.assemble

    def assemble(self, mini_batches: Iterator[CommittedRows], file: Path) -> None:
        """Make the output of all committed rows.

        Called once in the driver, when all mini-batches have ended; after a fault again, from the
        start. Rows are read while the iterator is gone through, so that only those of one
        mini-batch need be in memory. What is raised ends the run, which can be resumed.

        Parameters
        ----------
        mini_batches
            In mini-batch order; those without rows are left out.
        file
            Where to write. It does not exist yet, and lies alone in its folder, on the driver's
            machine. It is published under the output's name when this returns.
        """
        raise NotImplementedError


def _loaded(module: str, name: str) -> tuple[Any, ...]:
    """Return a class for isinstance, if its module is loaded.

    Whoever returned a DataFrame has imported pandas: this process need not pay 0.3 s to see that.
    """
    found = getattr(sys.modules.get(module), name, None)
    return () if found is None else (found,)


def _is_frame(result: Any) -> bool:
    return isinstance(result, _loaded("pandas", "DataFrame"))


def _is_series_or_array(result: Any) -> bool:
    if isinstance(result, _loaded("numpy", "ndarray")):
        return bool(result.ndim)  # a 0-d array has no elements
    return isinstance(result, _loaded("pandas", "Series"))


def _type_name(result: Any) -> str:
    """Name a type as the user would write it."""
    kind = type(result)
    shown = kind.__qualname__
    if kind.__module__ != "builtins":
        shown = f"{kind.__module__}.{shown}"
    return f"0-d {shown}" if isinstance(result, _loaded("numpy", "ndarray")) else shown


class SummarySink(Sink):
    """Counts results and writes none of them."""

    writes_rows = False

    @override
    def configure(self, file_settings: object) -> list[str]:
        return []

    @override
    def encode_elements(self, elements: Sequence[Any]) -> EncodedRows:
        return EncodedRows(b"")
