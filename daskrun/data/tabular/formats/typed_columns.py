"""Types that ``set_column_types`` asks for, of columns whose values have types already."""

from __future__ import annotations

from typing import TYPE_CHECKING

from daskrun.data.tabular.formats.files import check_known
from daskrun.data.tabular.values.kinds import Kind, admits, kind_of
from daskrun.data.tabular.values.types import arrow_type, shown_type
from daskrun.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from daskrun.data.tabular.values.types import DataType


def with_types(
    columns: Iterable[tuple[str, str]],
    types: Mapping[str, DataType] | None,
    missing: Callable[[str], bool],
) -> tuple[tuple[str, str], ...]:
    """Return columns with the types asked for; ``missing``: whether the sample lacks some values.

    Raises
    ------
    DatasetError
        A column is not there, or has no such form.
    """
    found = dict(columns)
    check_known(types, found)
    for name, kind in (types or {}).items():
        found[name] = _asked(name, found[name], kind)
        if found[name] in _WITH_MISSING and missing(name):
            found[name] = _WITH_MISSING[found[name]]
    return tuple(found.items())


def _asked(name: str, text: str, kind: DataType) -> str:
    wanted, found = kind.type, kind_of(arrow_type(text))
    if wanted == "datetime" and found is Kind.ZONED:
        return "datetime_utc"
    if found is not Kind.FLOAT and not admits(wanted, found, declared=True):  # NaN is of any type
        raise DatasetError(
            f"set_column_types={{{name!r}: {kind!r}}}: the column is {shown_type(text)}, "
            "which has no such form. Leave it out, and change it in run()."
        )
    return wanted


_WITH_MISSING = {"int": "int_as_float", "bool": "boolean"}
"""Types of the same name that hold missing values in every mini-batch."""
