"""Types of a schema: those that ``set_column_types`` asks for, and readers that give them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from daskrun.core.typing import override
from daskrun.data.libraries import pa
from daskrun.data.tabular.formats.contract import Reader, ReaderSpec
from daskrun.data.tabular.formats.files import check_known
from daskrun.data.tabular.values.fitting import Fitter
from daskrun.data.tabular.values.infer import settle
from daskrun.data.tabular.values.kinds import Kind, admits, kind_of
from daskrun.data.tabular.values.types import DataType, arrow_schema, arrow_type, shown_type
from daskrun.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from daskrun.data.tabular.formats.node_cache import NodeCache


def with_types(
    columns: Iterable[tuple[str, str]],
    types: Mapping[str, DataType] | None,
    missing: Callable[[str], bool],
    texts: Callable[[str], list[str]],
) -> tuple[tuple[str, str], ...]:
    """Return columns with the types asked for, in view of a sample.

    ``missing``: whether it lacks some values of a column. ``texts``: texts that it has of one.
    Raises DatasetError: a column is not there, or has no such form.
    """
    found = dict(columns)
    check_known(types, found)
    for name, kind in (types or {}).items():
        found[name] = _asked(name, found[name], kind)
        if found[name] in _WITH_MISSING and missing(name):
            found[name] = _WITH_MISSING[found[name]]
        elif found[name] == "datetime":
            found[name] = settle("datetime", pa.chunked_array([texts(name)], pa.string()))
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


class TypedReader(Reader):
    """A reader that gives its columns their types by the law; reading rows is its formats'.

    ``choice``: ``on_type_conflict`` of formats that have it; ``of_frame``: rows are a dataframe's.
    """

    reads: ClassVar[frozenset[Kind]] = frozenset()
    """Kinds that the format has no other form for than text."""

    def __init__(
        self,
        spec: ReaderSpec,
        secrets: Mapping[str, Any],  # noqa: ARG002  (of the contract, as the next)
        cache: NodeCache,  # noqa: ARG002
        choice: str = "",
        of_frame: bool = False,
    ) -> None:
        self._columns = spec.columns
        given = spec.columns, spec.declared, spec.strict_types
        self._fitter = Fitter(*given, choice, self.reads, of_frame)
        self._types = self._fitter.types
        self._warnings = self._fitter.warnings

    @property
    @override
    def warnings(self) -> list[str]:
        return self._warnings.texts

    @override
    def empty(self, columns: Sequence[str]) -> pa.Table:
        return arrow_schema([(name, self._types[name]) for name in columns]).empty_table()
