"""What a column's type is called, what Arrow type holds it, and what pandas makes of it.

A reader's ``columns`` travel as plain texts:

=================== ============================= ===========================================
text                Arrow                         pandas
=================== ============================= ===========================================
``text``            string                        ``str``
``int``             int64                         ``int64``
``int_as_float``    double                        ``float64``: whole numbers, some missing
``float``           double                        ``float64``
``bool``            bool                          ``bool``
``boolean``         bool                          ``boolean``: some missing
``datetime``        timestamp[us]                 ``datetime64[us]``; written as ISO 8601
``datetime_utc``    timestamp[us, UTC]            the same with a zone offset in the data
``datetime_ns``     timestamp[ns]                 more than six digits of a second
``datetime_ns_utc`` timestamp[ns, UTC]            the same with a zone offset
``datetime:<how>``  timestamp[us], UTC with %z    read with a strptime format, or a JSON list
``arrow:<base64>``  any other                     what ``pyarrow.Table.to_pandas`` gives
=================== ============================= ===========================================
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from daskrun.core.absent_names import OriginalClass, original_keywords
from daskrun.core.json_text import parsed
from daskrun.data.libraries import pa
from daskrun.errors import DatasetError

NULLABLE = b"daskrun.nullable"
"""Field metadata of a bool column that is pandas' ``boolean`` in every mini-batch."""


@dataclass(frozen=True, slots=True, repr=False)
class DataType(OriginalClass):
    """The type of a column, for ``set_column_types``.

    Examples
    --------
    >>> {"id": DataType.to_string(), "day": DataType.to_datetime("%d/%m/%Y")}
    {'id': DataType.to_string(), 'day': DataType.to_datetime('%d/%m/%Y')}
    """

    type: str
    """As a reader's ``columns`` write it."""
    written: str
    """The call that made it."""

    def __repr__(self) -> str:
        return f"DataType.{self.written}"

    @staticmethod
    def to_string() -> DataType:
        """Leave the values as the text that is in the file."""
        return DataType("text", "to_string()")

    @staticmethod
    def to_long() -> DataType:
        """Read whole numbers: int64, or float64 where values are missing."""
        return DataType("int", "to_long()")

    @staticmethod
    def to_float() -> DataType:
        """Read numbers: float64."""
        return DataType("float", "to_float()")

    @staticmethod
    def to_bool() -> DataType:
        """Read true and false, also written ``True``, ``TRUE``, ``1`` and so on."""
        return DataType("bool", "to_bool()")

    @staticmethod
    @original_keywords
    def to_datetime(format: str | Sequence[str] | None = None) -> DataType:
        """Read dates and times.

        Parameters
        ----------
        format
            How they are written, as :meth:`datetime.datetime.strptime` knows it, such as
            ``'%d/%m/%Y'``; a list: the first that fits a value counts. With ``%z`` times become
            UTC. None: ISO 8601, such as ``2024-05-31`` or ``2024-05-31 17:30:00.25``.

        Raises
        ------
        DatasetError
            If a format is no text with a ``%`` in it, or only some have ``%z``.
        """
        if format is None:
            return DataType("datetime", "to_datetime()")
        formats = [format] if isinstance(format, str) else list(format)
        if not formats or not all(isinstance(f, str) and "%" in f for f in formats):
            raise DatasetError(
                f"to_datetime(format={format!r}) is no date format. Write one such as "
                "'%d/%m/%Y %H:%M', a list of them, or leave it out for ISO dates."
            )
        if len({"%z" in f for f in formats}) > 1:
            raise DatasetError(
                f"to_datetime(format={format!r}): some formats have a zone offset (%z) and some "
                "have none, and one column can't hold both. Give formats of one kind."
            )
        shown = formats[0] if len(formats) == 1 else formats
        return DataType(datetime_text(formats), f"to_datetime({shown!r})")


def datetime_text(formats: Sequence[str]) -> str:
    """Return the type of a column whose dates are written in one of these strptime formats.

    Examples
    --------
    >>> datetime_text(["%d/%m/%Y"])
    'datetime:%d/%m/%Y'
    """
    if len(formats) == 1 and not formats[0].startswith("["):
        return f"datetime:{formats[0]}"
    return f"datetime:{json.dumps(list(formats))}"


def datetime_formats(type_text: str) -> list[str]:
    """Return the strptime formats of a type; none for ISO dates and for other types."""
    kind, _, rest = type_text.partition(":")
    if kind != "datetime" or not rest:
        return []
    if rest.startswith("["):
        return [str(f) for f in parsed(rest)]
    return [rest]


@lru_cache(maxsize=4096)
def arrow_type(type_text: str) -> pa.DataType:
    """Return the Arrow type that holds a column."""
    kind, _, rest = type_text.partition(":")
    if kind == "arrow":
        return pa.ipc.read_schema(pa.py_buffer(base64.b64decode(rest))).field(0).type
    if kind in _PLAIN:
        return getattr(pa, _PLAIN[kind][0])()
    zoned = kind.endswith("_utc") or "%z" in rest
    return pa.timestamp("ns" if "_ns" in kind else "us", "UTC" if zoned else None)


_PLAIN = {
    "text": ("string", "to_string"),
    "int": ("int64", "to_long"),
    "int_as_float": ("float64", "to_long"),
    "float": ("float64", "to_float"),
    "bool": ("bool_", "to_bool"),
    "boolean": ("bool_", "to_bool"),
}
"""What makes a type, of pyarrow and of :class:`DataType`."""


def type_text(arrow: pa.DataType) -> str:
    """Return the text of an Arrow type; the plain ones have a word, others carry all of it."""
    plain = ("text", "int", "float", "bool", "datetime", "datetime_utc", "datetime_ns")
    for text in (*plain, "datetime_ns_utc"):
        if arrow_type(text).equals(arrow):
            return text
    schema = pa.schema([pa.field("", arrow)])
    return f"arrow:{base64.b64encode(schema.serialize().to_pybytes()).decode()}"


@lru_cache(maxsize=4096)
def arrow_field(name: str, type_text: str) -> pa.Field:
    """Return the field of a column, with what :func:`.frame.to_frame` must know beside its type."""
    metadata = {NULLABLE: b"1"} if type_text == "boolean" else None
    return pa.field(name, arrow_type(type_text), metadata=metadata)


def arrow_schema(columns: Sequence[Sequence[str]]) -> pa.Schema:
    """Return the schema of a reader's ``columns``, a list of ``[name, type]``."""
    return pa.schema([arrow_field(name, text) for name, text in columns])


def asking(name: str, call: str, of_frame: bool = False) -> str:
    """Return what to write to have a column of another type; ``of_frame``: of a dataframe.

    Examples
    --------
    >>> asking("n", "to_float"), asking("n", "to_float", of_frame=True)
    ("set_column_types={'n': DataType.to_float()}", "dataframe.astype({'n': 'float64'})")
    """
    if of_frame:
        return f"dataframe.astype({{{name!r}: {_DTYPES[call]!r}}})"
    return f"set_column_types={{{name!r}: DataType.{call}()}}"


_DTYPES = {"to_string": "str", "to_long": "int64", "to_float": "float64"}
_DTYPES["to_datetime"] = "datetime64[us]"
"""What pandas calls the types of :class:`DataType` that messages name."""


def shown_type(type_text: str) -> str:
    """Say a type in a message, as ``set_column_types`` has it where it can."""
    if type_text in _PLAIN:
        return f"DataType.{_PLAIN[type_text][1]}()"
    formats = datetime_formats(type_text)
    if formats:
        return f"DataType.to_datetime({formats[0] if len(formats) == 1 else formats!r})"
    if type_text.startswith("datetime"):
        return "DataType.to_datetime()"
    return shown_arrow(arrow_type(type_text))


def shown_arrow(arrow: pa.DataType) -> str:
    """Say an Arrow type in a message; numbers as pandas calls them."""
    if hasattr(arrow, "ordered"):
        return "an ordered category" if arrow.ordered else "a category"
    words = {"double": "float64", "float": "float32", "halffloat": "float16"}
    return words.get(str(arrow), str(arrow))
