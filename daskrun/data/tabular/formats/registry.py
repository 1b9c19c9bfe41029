"""The formats there are, by name; each is loaded when it is first used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from daskrun.core import plugins
from daskrun.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from daskrun.data.tabular.formats.contract import Reader, ReaderSpec

GROUP = "daskrun.formats"
"""Group of entry points: each is a :class:`Format`, under the name of the format."""


class Format(NamedTuple):
    """A format: where its classes are, as ``module:attribute``."""

    spec: str
    """Its :class:`~daskrun.data.tabular.formats.contract.ReaderSpec`."""
    reader: str
    """Its :class:`~daskrun.data.tabular.formats.contract.Reader`."""
    source: str = ""
    """Its :class:`~daskrun.data.tabular.formats.contract.Source`, where datasets of it can be kept
    in a file; ``""``: they are only in memory."""


def _own(folder: str, name: str, spec: str = "reader") -> Format:
    place = f"daskrun.data.tabular.formats.{folder}"
    return Format(
        f"{place}.{spec}:{name}Spec", f"{place}.reader:{name}Reader", f"{place}.format:{name}Source"
    )


FORMATS = {
    "delimited": _own("delimited", "Delimited", "spec"),
    "json_lines": _own("json_lines", "JsonLines"),
    "parquet": _own("parquet", "Parquet", "spec"),
    "sql": _own("sql", "Sql", "keys"),
    "frame": _own("frames", "Frame")._replace(source=""),
    # Read as the format that it names.
    "mltable": Format("", "", "daskrun.data.tabular.formats.mltable.format:MLTableSource"),
}


def format_named(name: str) -> Format:
    """Return a format of this package, or one that an installed package registers.

    Raises DatasetError: there is none of that name here.
    """
    if name in FORMATS:
        return FORMATS[name]
    found = plugins.entry_points(GROUP).get(name)
    if found is None:
        raise DatasetError(
            f"there is no format {name!r} of tables in this Python. Install the package that has "
            f"it, which registers an entry point {name!r} of the group {GROUP!r}."
        )
    made: Format = found.load()
    return made


def spec_class(name: str) -> type[ReaderSpec]:
    """Return the class of the reader specifications of a format."""
    found: type[ReaderSpec] = plugins.load(format_named(name).spec)
    return found


def spec_of(plain: Mapping[str, Any]) -> ReaderSpec:
    """Make a reader's specification of its plain form."""
    return spec_class(plain["format"]).of(plain)


def reader_class(spec: ReaderSpec) -> type[Reader]:
    """Return the class of the readers of a format."""
    found: type[Reader] = plugins.load(format_named(spec.format).reader)
    return found


def source_classes(*, installed: bool) -> dict[str, str]:
    """Return by name the classes of sources that can be kept; ``installed``: those of packages too.

    To look for packages takes some 20 ms.
    """
    formats = [*FORMATS.values()]
    if installed:
        formats += [format_named(name) for name in plugins.entry_points(GROUP)]
    return {each.source.partition(":")[2]: each.source for each in formats if each.source}
