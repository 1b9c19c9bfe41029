"""Types that ``set_column_types`` asks for, of columns whose values have types already."""

from __future__ import annotations

from typing import TYPE_CHECKING

from daskrun.data.tabular.formats.files import check_known
from daskrun.data.tabular.values.kinds import Kind, admits, kind_of
from daskrun.data.tabular.values.types import arrow_type, shown_type
from daskrun.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from daskrun.data.tabular.values.types import DataType


def with_types(
    columns: Iterable[tuple[str, str]], types: Mapping[str, DataType] | None
) -> tuple[tuple[str, str], ...]:
    """Return columns with the types asked for.

    Raises
    ------
    DatasetError
        A column is not there, or has no such form.
    """
    found = dict(columns)
    check_known(types, found)
    for name, kind in (types or {}).items():
        found[name] = _asked(name, found[name], kind)
    return tuple(found.items())


def _asked(name: str, text: str, kind: DataType) -> str:
    wanted, found = kind.type, kind_of(arrow_type(text))
    if not admits(wanted, found, declared=True):
        raise DatasetError(
            f"set_column_types={{{name!r}: {kind!r}}}: the column is {shown_type(text)}, "
            "which has no such form. Leave it out, and change it in run()."
        )
    if wanted == "datetime" and found is Kind.ZONED:
        return "datetime_utc"
    # That values are missing is known, whichever of the two types was asked for by name.
    known = {("int", "int_as_float"): text, ("bool", "boolean"): text}
    return known.get((wanted, text), wanted)
