"""From columns as a reader found them to those of the schema, and what has to be said of them."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import date, datetime, time
from typing import TYPE_CHECKING, Any

from daskrun.core.warned import FIRST_MET
from daskrun.data.libraries import np, pa, pc
from daskrun.data.tabular.values.coercion import (
    Change,
    CoercionError,
    Fitted,
    Reason,
    Warnings,
    cut,
)
from daskrun.data.tabular.values.convert import EXACT
from daskrun.data.tabular.values.frame import inner_columns
from daskrun.data.tabular.values.hold import value_of
from daskrun.data.tabular.values.infer import fits
from daskrun.data.tabular.values.kinds import MOMENTS, WRITTEN, Kind, kind_of
from daskrun.data.tabular.values.law import fit, widens
from daskrun.data.tabular.values.types import (
    arrow_field,
    arrow_schema,
    arrow_type,
    asking,
    datetime_formats,
    shown_arrow,
    shown_type,
)
from daskrun.errors import DatasetError, TableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    Where = Callable[[int], str]
    """Says where the value of a row is from: file and line, or row."""

FAIL, NULL, TEXT = "fail", "null", "text"
"""What becomes of values that don't fit an inferred type; of text and JSON lines only, as elsewhere
the type comes with the values."""


class Fitter:
    """Gives what a reader found the types of its schema, by the law, and keeps the warnings.

    ``choice``: ``on_type_conflict`` of formats that have it; ``reads`` as :func:`.kinds.admits`
    takes it; ``of_frame``: of a dataframe, of which messages say what to write.
    """

    def __init__(
        self,
        columns: Iterable[tuple[str, str]],
        declared: Iterable[str],
        strict: bool,
        choice: str = "",
        reads: frozenset[Kind] = frozenset(),
        of_frame: bool = False,
    ) -> None:
        self.types = dict(columns)
        self.warnings = Warnings(of_frame)
        self._of_frame = of_frame
        self._declared = frozenset(declared)
        self._strict = strict
        self._choice = choice
        self._reads = reads
        self._plans: dict[tuple[str, ...], tuple[pa.Schema | None, list[int], bool]] = {}

    def column(
        self,
        name: str,
        found: pa.ChunkedArray,
        where: Where,
        kinds: Mapping[Kind, int] | None = None,
        written: bool = False,
    ) -> pa.ChunkedArray:
        """Return a column as its type, or as float64; ``kinds`` as :func:`.law.fit` takes it.

        ``written``: it is text as it is in the file, so that the user's choice can be followed.
        Raises TableError: the first value that can't be held.
        """
        text = self.types[name]
        with self.told(name, where, len(found)):
            try:
                fitted = fit(found, text, name in self._declared, kinds, self._reads)
            except CoercionError as error:
                choice = self.choice_of(name) if written else FAIL
                if choice == FAIL:
                    raise
                fitted, row = (Fitted(found), error.row) if choice == TEXT else _nulled(found, text)
                self.chosen(name, found[row].as_py(), where, row)
        if fitted.change:
            self.changed(name, found, fitted.change, fitted.row, where)
        return fitted.values

    def changed(
        self, name: str, found: pa.ChunkedArray, change: Change, row: int, where: Where
    ) -> None:
        """Warn that a column was widened for the value of a row; an error with strict types."""
        if self._strict:
            with self.told(name, where, len(found)):
                raise change.error(row, value_of(found, row))
        self.warnings.widened(name, self.types[name], change, lambda: where(row))

    def choice_of(self, name: str) -> str:
        """Return what becomes of values of a column that don't fit its type."""
        return FAIL if name in self._declared else self._choice or FAIL

    def chosen(self, name: str, value: object, where: Where, row: int) -> None:
        """Warn of a value that was replaced, or made its column text."""
        text = _conflict_text(name, self.types[name], self.choice_of(name), value, where(row))
        self.warnings.add((name, self._choice), text)

    @contextmanager
    def told(self, name: str, where: Where, rows: int) -> Iterator[None]:
        """Have a value of this column that can't be held told with its place."""
        try:
            yield
        except CoercionError as error:
            ways = bool(self._choice) and name not in self._declared
            text = _told(where(error.row), name, self.types[name], error, ways, self._of_frame)
            raise TableError(text, rows, lasting=True) from None

    def table(
        self,
        columns: Iterable[str],
        found: Mapping[str, pa.ChunkedArray],
        rows: int,
        where: Where,
        kinds: Mapping[str, Mapping[Kind, int]] | None = None,
        *,
        written: bool = False,
    ) -> pa.Table:
        """Join columns in this order, each as its type; one that wasn't found is missing."""
        arrays, fields = [], []
        for name in columns:
            field = arrow_field(name, self.types[name])
            values = found.get(name)
            if values is None:
                values = pa.chunked_array([pa.nulls(rows)])
            values = self.column(name, values, where, (kinds or {}).get(name), written)
            arrays.append(values)
            fields.append(field.with_type(values.type))
        if not arrays:
            return without_columns(rows)
        return pa.Table.from_arrays(arrays, schema=pa.schema(fields))

    def as_found(self, table: pa.Table, columns: Sequence[str]) -> pa.Table | None:
        """Return a table that has just these columns and their types, as most do; else None.

        To look at each column takes 0.15 ms of the 3 that reading a million bytes takes.
        """
        names = tuple(columns)
        if names not in self._plans:
            self._plans[names] = self._plan(names)
        schema, widened, marked = self._plans[names]
        if schema is None or not table.schema.equals(schema):
            return None
        if any(table.column(position).null_count for position in widened):
            return None
        return pa.Table.from_arrays(table.columns, schema=schema) if marked else table

    def _plan(self, names: Sequence[str]) -> tuple[pa.Schema | None, list[int], bool]:
        """Return the schema of columns, which of them widen, and whether it marks some.

        No schema: they have a type only once they were looked at.
        """
        types = [self.types[name] for name in names]
        if not names or "int_as_float" in types:
            return None, [], False
        schema = arrow_schema(list(zip(names, types, strict=True)))
        widened = [
            position
            for position, (kind, text) in enumerate(zip(schema.types, types, strict=True))
            if widens(kind, text)
        ]
        return schema, widened, "boolean" in types


def without_columns(rows: int) -> pa.Table:
    """Return a table without columns, which still knows how many rows it has."""
    return pa.table({"": pa.nulls(rows)}).select([])


def parsed_as(kind: str) -> pa.DataType:
    """Return the type that a parser shall make of a column, for the law to go on from."""
    if kind == "int_as_float":
        return pa.int64()  # read as a float it would be rounded without a word
    return pa.string() if datetime_formats(kind) else arrow_type(kind)


def may_be_whole(column: pa.ChunkedArray) -> bool:
    """Return whether a column has whole numbers, as decimals too."""
    if pa.types.is_floating(column.type):
        return any((part == np.floor(part)).any() for part in _parts(column))
    return bool(pa.types.is_integer(column.type))


def has_negative(column: pa.ChunkedArray) -> bool:
    """Return whether some numbers of a column are below 0."""
    return any((part < 0).any() for part in _parts(column))


def _parts(column: pa.ChunkedArray) -> Iterator[NDArray[Any]]:
    return (c.to_numpy(zero_copy_only=not c.null_count) for c in column.chunks)


def may_be_rounded(column: pa.ChunkedArray) -> bool:
    """Return whether a parser may have made other numbers of whole ones that float64 can't hold."""
    if pa.types.is_floating(column.type):  # by numpy: Arrow's min_max takes 20 times as long
        return any((np.abs(part) >= EXACT).any() for part in _parts(column))
    if pa.types.is_nested(column.type):
        return any(map(may_be_rounded, inner_columns(column)))
    return False


def _told(
    where: str, name: str, kind: str, error: CoercionError, ways: bool, of_frame: bool
) -> str:
    what, call = "as text", "to_string"
    if error.reason in (Reason.STRICT, Reason.DECIMAL) and kind in ("int", "int_as_float"):
        what, call = "as float64 everywhere", "to_float"
    elif error.reason is Reason.INEXACT and not error.path and kind.startswith("arrow:"):
        wider = _WIDER.get((kind_of(arrow_type(kind)), type(error.value)))
        what, call = ("in a wider type", wider) if wider else (what, call)
    way = f"have the column {what}: {asking(name, call, of_frame)}"
    if error.reason is Reason.TEXT and not of_frame:
        way += f", or read what is written: {shown_type(kind)}"
    # Bytes of no text are none as text either.
    if error.reason is Reason.OTHER_TYPE and (kind == "text" or isinstance(error.value, bytes)):
        way = f"leave the column out: .drop_columns({name!r})"
    elif ways and error.reason not in (Reason.STRICT, Reason.DECIMAL):
        way += ", or say what becomes of such values: on_type_conflict='null' or 'text'"
    at = f", at {name}{error.path}" if error.path else ""
    shown = shown_arrow(arrow_type(kind)) if of_frame else shown_type(kind)
    return (
        f"{where}, column {name!r} ({shown}){at}: {_shown(error.value)} {error.why}. "
        f"Mend the value, or {way}."
    )


_WIDER = {
    (Kind.WHOLE, int): "to_long",
    (Kind.FLOAT, int): "to_float",
    (Kind.FLOAT, float): "to_float",
    (Kind.DATE, datetime): "to_datetime",
}
"""What holds more than a narrow type of Parquet's does."""


def _shown(value: Any) -> str:
    return cut(repr(str(value) if isinstance(value, date | time) else value))


def check_choice(choice: str, strict: bool) -> None:
    """Check an ``on_type_conflict``, beside ``strict_types``."""
    if choice not in (FAIL, NULL, TEXT):
        raise DatasetError(
            f"on_type_conflict={choice!r} is not known. Write 'fail', 'null' to have values that "
            "don't fit an inferred type missing, or 'text' to have their column as text."
        )
    if strict and choice != FAIL:
        raise DatasetError(
            f"on_type_conflict={choice!r} changes columns, and strict_types=True says that none "
            "may be changed. Leave out one of them."
        )


def _nulled(column: pa.ChunkedArray, type_text: str) -> tuple[Fitted, int]:
    wrong = _misfits(column, type_text)
    while True:
        left = pc.if_else(pa.array(wrong), pa.scalar(None, pa.string()), column)
        try:
            return fit(left, type_text), int(wrong.argmax())
        except CoercionError as error:  # what fits alone and not beside others
            wrong[error.row] = True


def _misfits(column: pa.ChunkedArray, type_text: str) -> NDArray[np.bool_]:
    encoded = column.combine_chunks().dictionary_encode()
    values = encoded.dictionary
    wrong = np.zeros(len(values) + 1, np.bool_)  # the last stands for what is missing
    ranges = [(0, len(values))]
    while ranges:  # halved until all of a range fits, or it is one value
        low, high = ranges.pop()
        if high == low or fits(pa.chunked_array([values[low:high]]), type_text):
            continue
        if high - low == 1:
            wrong[low] = True
            continue
        middle = (low + high) // 2
        ranges += [(low, middle), (middle, high)]
    found: NDArray[np.bool_] = wrong[encoded.indices.fill_null(len(values)).to_numpy()]
    return found


def _conflict_text(name: str, type_text: str, choice: str, value: object, where: str) -> str:
    what = "are missing values" if choice == NULL else "make it text in their mini-batches"
    return (
        f"column {name!r} ({shown_type(type_text)}): values that don't fit the type its sample "
        f"had {what}, as on_type_conflict={choice!r} says, such as {cut(repr(value))}."
        f"{FIRST_MET}{where}."
    )


def risk(
    name: str,
    type_text: str,
    choice: str,
    column: pa.ChunkedArray,
    kinds: Mapping[Kind, int] | None = None,
) -> str:
    """Return what a wider sample of a column says of its inferred type; ``""``: it fits."""
    try:
        fit(column, type_text, kinds=kinds, reads=WRITTEN if kinds is None else MOMENTS)
    except CoercionError as error:
        what = {
            FAIL: "Rows with such values fail their mini-batches. Say what becomes of them: "
            "on_type_conflict='null' or 'text', or set_column_types=",
            NULL: "Such values will be missing, as on_type_conflict='null' says. To keep them "
            "write set_column_types=",
            TEXT: "Where such values are it will be text, as on_type_conflict='text' says. To "
            "have text everywhere write set_column_types=",
        }[choice]
        return (
            f"column {name!r} is read as {shown_type(type_text)}, and a wider sample has "
            f"{cut(repr(error.value))}. {what}{{{name!r}: DataType.to_string()}}."
        )
    return ""
