"""Values that don't fit an inferred type, where the user has said what becomes of them.

Text and JSON lines only: elsewhere the type comes with the values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from daskrun.core.warned import FIRST_MET
from daskrun.data.tabular.values.coercion import CoercionError, Fitted, cut
from daskrun.data.tabular.values.law import fit
from daskrun.data.tabular.values.types import shown_type
from daskrun.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from daskrun.data.tabular.values.kinds import Kind

FAIL, NULL, TEXT = "fail", "null", "text"


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


def nulled(column: pa.ChunkedArray, type_text: str) -> tuple[Fitted, int]:
    """Return a column of text as its type, what doesn't fit missing; and the first such row."""
    import pyarrow as pa
    import pyarrow.compute as pc

    wrong = misfits(column, type_text)
    while True:
        left = pc.if_else(pa.array(wrong), pa.scalar(None, pa.string()), column)
        try:
            return fit(left, type_text), int(wrong.argmax())
        except CoercionError as error:  # what fits alone and not beside others
            wrong[error.row] = True


def misfits(column: pa.ChunkedArray, type_text: str) -> NDArray[np.bool_]:
    """Find the values of a column of text that don't fit a type, each by itself."""
    import numpy as np

    encoded = column.combine_chunks().dictionary_encode()
    values = encoded.dictionary
    wrong = np.zeros(len(values) + 1, np.bool_)  # the last stands for what is missing
    ranges = [(0, len(values))]
    while ranges:  # halved until all of a range fits, or it is one value
        low, high = ranges.pop()
        if high == low or _fits(values[low:high], type_text):
            continue
        if high - low == 1:
            wrong[low] = True
            continue
        middle = (low + high) // 2
        ranges += [(low, middle), (middle, high)]
    found: NDArray[np.bool_] = wrong[encoded.indices.fill_null(len(values)).to_numpy()]
    return found


def _fits(values: pa.Array, type_text: str) -> bool:
    import pyarrow as pa

    try:
        fit(pa.chunked_array([values]), type_text)
    except CoercionError:
        return False
    return True


def conflict_text(name: str, type_text: str, choice: str, value: object, where: str) -> str:
    """Return the warning of a column with values that were replaced, or that became text."""
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
        fit(column, type_text, kinds=kinds)
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
