"""Tables that an MLTable file defines; each is read as the format that the file names."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from daskrun.core.settings import close_to
from daskrun.core.typing import override
from daskrun.data.protocols import shown_elements
from daskrun.data.selection import as_names
from daskrun.data.tabular.formats.contract import Source
from daskrun.data.tabular.formats.delimited.format import DelimitedSource
from daskrun.data.tabular.formats.json_lines.format import JsonLinesSource
from daskrun.data.tabular.formats.mltable.conditions import condition_of
from daskrun.data.tabular.formats.mltable.definition import NAME, Definition, definition_of
from daskrun.data.tabular.formats.parquet.format import ParquetSource
from daskrun.data.tabular.values.types import DataType
from daskrun.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from daskrun.data.listing import Listing
    from daskrun.data.protocols import DataPath, PathElement
    from daskrun.data.tabular.formats.contract import ReaderSpec, Splitter

HEADERS: Mapping[str, bool | str] = {
    "all_files_same_headers": True,
    "from_first_file": "ONLY_FIRST_FILE_HAS_HEADERS",
    "all_files_different_headers": "COMBINE_ALL_FILES_HEADERS",
    "no_header": False,
    "true": True,
    "false": False,
}
READ = {
    "read_delimited": (
        DelimitedSource,
        {
            "delimiter": "separator",
            "header": "header",
            "encoding": "encoding",
            "empty_as_string": "empty_as_string",
            "include_path_column": "include_path",
            "infer_column_types": "infer_column_types",
            "support_multi_line": "support_multi_line",
            "partition_size": "",
        },
    ),
    "read_parquet": (ParquetSource, {"include_path_column": "include_path"}),
    "read_json_lines": (
        JsonLinesSource,
        {
            "include_path_column": "include_path",
            "invalid_lines": "invalid_lines",
            "encoding": "encoding",
            "partition_size": "",
        },
    ),
}
"""By transformation the source it makes, and by key the argument that it is; ``""``: none."""
TYPES = {
    "int": DataType.to_long,
    "long": DataType.to_long,
    "float": DataType.to_float,
    "double": DataType.to_float,
    "string": DataType.to_string,
    "str": DataType.to_string,
    "boolean": DataType.to_bool,
    "bool": DataType.to_bool,
    "datetime": DataType.to_datetime,
}
OTHERS = (
    "convert_column_types",
    "drop_columns",
    "extract_columns_from_partition_format",
    "filter",
    "keep_columns",
    "skip",
    "take",
    "take_random_sample",
)


@dataclass(frozen=True, eq=False, repr=False)
class MLTableSource(Source):
    """What ``from_mltable`` was given; the file is read each time that it is asked for."""

    elements: tuple[PathElement, ...]
    """The folder that the file is in, or the file."""
    folder: str
    """What a relative path is relative to."""
    datastores: tuple[tuple[str, DataPath], ...] = ()
    """Those that paths in the file name, by name."""

    @override
    def __repr__(self) -> str:
        return f"Dataset.Tabular.from_mltable({shown_elements(self.elements)})"

    @property
    def include_path(self) -> bool:  # type: ignore[override]
        """Whether the file says so."""
        return self._inside().include_path

    @property
    def partition_format(self) -> str | None:  # type: ignore[override]
        """What the file says."""
        return self._inside().partition_format

    @property
    @override
    def steps(self) -> tuple[tuple[Any, ...], ...]:
        definition = self._definition()
        return tuple(
            s for name, value in definition.transformations for s in _step(definition, name, value)
        )

    @override
    def check(self) -> None:
        self.describe(self.listing())
        self.steps  # noqa: B018  (a wrong one is said now)

    @override
    def listing(self) -> Listing:
        found = self._inside().listing()
        own = [name.rpartition("/")[2] != NAME for name in found.table]
        return found if all(own) else replace(found, table=found.table.chosen(own))

    @override
    def describe(self, listing: Listing) -> ReaderSpec:
        return self._inside().describe(listing)

    @override
    def risks(self, listing: Listing, spec: Any, columns: Sequence[str]) -> list[str]:
        return self._inside().risks(listing, spec, columns)

    @override
    def splitter(self, spec: Any, listing: Listing, mini_batch_size: int) -> Splitter:
        return self._inside().splitter(spec, listing, mini_batch_size)

    def _definition(self) -> Definition:
        (element,) = self.elements
        return definition_of(element, dict(self.datastores))

    def _inside(self) -> Source:
        """Return the source of the files that the definition names."""
        definition = self._definition()
        asked: Any = {}
        reader = None
        for name, value in definition.transformations:
            if name in READ:
                reader = READ[name][0]
                asked |= _options(definition, name, value or {})
            elif name == "convert_column_types":
                asked["set_column_types"] = {
                    **asked.get("set_column_types", {}),
                    **_types(definition, value),
                }
            elif name == "extract_columns_from_partition_format":
                asked["partition_format"] = _partition_format(value)
            elif name == "read_delta_lake":
                raise definition.wrong(
                    "read_delta_lake: Delta tables aren't read here. Write read_parquet and the "
                    "files of one version, or export them."
                )
            elif name not in OTHERS:
                raise definition.wrong(f"{name} is not known. {close_to(name, [*READ, *OTHERS])}")
        if reader is None:
            raise definition.wrong(
                "it doesn't say how files are read, so it is no table. Write read_delimited, "
                "read_parquet or read_json_lines below transformations."
            )
        source: Source = reader(definition.elements, self.folder, **asked)
        return source


def _options(definition: Definition, name: str, given: Any) -> Mapping[str, object]:
    known = READ[name][1]
    made: dict[str, object] = {}
    if not hasattr(given, "items"):
        raise definition.wrong(f"{name}: {given!r} is no mapping. Write keys and values below it.")
    for key, value in given.items():
        if key not in known:
            raise definition.wrong(f"{name}: {key} is no key. {close_to(key, known)}")
        if key == "header":
            text = str(value).lower()
            if text not in HEADERS:
                raise definition.wrong(f"{name}: header={value!r}. {close_to(text, HEADERS)}")
            value = HEADERS[text]
        if key == "infer_column_types":
            value = value is not False
        if known[key]:
            made[known[key]] = value
    return made


def _types(definition: Definition, given: Any) -> dict[str, DataType]:
    made: dict[str, DataType] = {}
    for each in given if isinstance(given, list) else [given]:
        columns, kind = each.get("columns"), each.get("column_type")
        said: Any = {}
        if hasattr(kind, "items"):
            ((kind, said),) = kind.items()
        if kind not in TYPES:
            raise definition.wrong(
                f"convert_column_types: {kind!r} is no type. {close_to(kind, TYPES)}"
            )
        said = said or {}
        if said.get("true_values") or said.get("false_values"):
            raise definition.wrong(
                "convert_column_types: true_values and false_values aren't known here. Leave the "
                "column as text, column_type: string"
            )
        formats = [said["formats"]] if isinstance(said.get("formats"), str) else said.get("formats")
        found = DataType.to_datetime(formats) if kind == "datetime" and formats else TYPES[kind]()
        made |= dict.fromkeys([columns] if isinstance(columns, str) else columns, found)
    return made


def _partition_format(given: Any) -> str:
    """Return a format, which YAML may have read as a mapping without values."""
    if hasattr(given, "items") and "partition_format" in given:
        given = given["partition_format"]
    if hasattr(given, "items"):
        given = "".join(
            f"{{{key}}}" if value is None else f"{{{key}:{value}}}" for key, value in given.items()
        )
    text = str(given).lstrip("/")
    last = text.rpartition("/")[2]
    if re.fullmatch(r"\{[^{}]*\}", last):  # of folders, with any files in them
        return f"{text}/*"
    return f"{text}*" if not last else text


def _step(definition: Definition, name: str, value: Any) -> list[tuple[Any, ...]]:
    """Return the step of a dataset that a transformation is."""
    try:
        if name == "filter":
            return [("filter", condition_of(str(value)).plain)]
        if name in ("keep_columns", "drop_columns"):
            return [(name.removesuffix("_columns"), as_names("columns", value))]
        if name == "take":
            return [("window", 0, int(value))]
        if name == "skip":
            return [("window", int(value), None)]
        if name == "take_random_sample":
            return [("sample", 0.0, float(value["probability"]), int(value.get("seed") or 0))]
    except (ValueError, TypeError, KeyError, DatasetError) as error:
        raise definition.wrong(f"{name}: {str(error).rstrip('.')}.") from error
    return []
