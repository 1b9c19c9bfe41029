"""Datasets as plain values: what can be kept in a file and be the same dataset in another process.

A dataset is frozen dataclasses all the way down. Each becomes a JSON object with its class's name
and its fields; tuples become JSON lists. A path in a datastore becomes the datastore's name, so
that no key or token is written down. URLs and connections may hold passwords: keep what is given
here where only this user can read it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import fields
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from daskrun.data.protocols import DataPath, Place
from daskrun.errors import DatasetError

if TYPE_CHECKING:
    from daskrun.data.file_dataset import FileDataset
    from daskrun.data.tabular.tabular_dataset import TabularDataset

    AnyDataset: TypeAlias = FileDataset | TabularDataset

LAYOUT = 1
"""Raised when what was kept before can't be read any more."""
KIND = "is"
"""Key of an object that says what it is."""
HOMES = {
    "FileDataset": "file_dataset",
    "Take": "selection",
    "Skip": "selection",
    "Share": "selection",
    "TabularDataset": "tabular.tabular_dataset",
    "Times": "tabular.conditions.timestamps",
    "DataType": "tabular.values.types",
    "DelimitedSource": "tabular.formats.delimited.format",
    "JsonLinesSource": "tabular.formats.json_lines.format",
    "ParquetSource": "tabular.formats.parquet.format",
    "SqlSource": "tabular.formats.sql.format",
}
"""Every class a dataset may be made of, and its module in this package. No other is ever loaded."""

NameOf: TypeAlias = Callable[[Place], Any]
"""Gives the JSON value that a datastore is found by again; a DatasetError where there is none."""


def registered_name(place: Place) -> str:
    """Return the name of a datastore.

    Raises
    ------
    DatasetError
        It has none: it is an object that only this process knows.
    """
    name = getattr(place, "name", None)
    if not isinstance(name, str):
        raise DatasetError(
            f"{place!r} is no registered datastore, so a dataset of it can't be kept. Register "
            "it, such as Datastore.register_url(ws, 'name', url), and use Datastore.get(ws, 'name')"
        )
    return name


def to_plain(dataset: AnyDataset, name_of: NameOf = registered_name) -> dict[str, Any]:
    """Return a dataset as JSON values.

    Parameters
    ----------
    dataset
        Any whose rows or files are kept somewhere: not a dataframe.
    name_of
        Gives what :func:`from_plain` is to find a datastore by.

    Raises
    ------
    DatasetError
        It holds what only this process knows.

    Examples
    --------
    >>> from daskrun.data import Dataset
    >>> images = Dataset.File.from_files("images/*.png", validate=False).take(3)
    >>> kept = to_plain(images)
    >>> kept["dataset"]["elements"], kept["dataset"]["selections"]
    (['images/*.png'], [{'is': 'Take', 'count': 3}])
    >>> from_plain(kept, lambda name: None)
    Dataset.File.from_files('images/*.png').take(3)
    """
    return {"layout": LAYOUT, "dataset": _Writer(name_of).plain(dataset)}


def from_plain(value: Mapping[str, Any], find_datastore: Callable[[Any], Place]) -> AnyDataset:
    """Make the dataset that :func:`to_plain` was given.

    Parameters
    ----------
    value
        What it gave.
    find_datastore
        Gives the datastore of a name.

    Raises
    ------
    DatasetError
        The value is no dataset's, or of another version of daskrun.
    """
    if value.get("layout") != LAYOUT:
        raise DatasetError(
            f"a dataset was kept in layout {value.get('layout')!r}, and this daskrun knows layout "
            f"{LAYOUT}. Use the version that has kept it, or make the dataset again."
        )
    made = _Reader(find_datastore).value(value["dataset"])
    if not hasattr(made, "fingerprint"):
        raise DatasetError(f"what was kept is a {type(made).__name__}, not a dataset.")
    return cast("AnyDataset", made)


def places_of(dataset: AnyDataset) -> list[Place]:
    """Return every datastore, or other place, that a dataset has paths in."""
    found: list[Place] = []
    if not getattr(dataset, "in_memory", False):
        to_plain(dataset, found.append)
    return found


def with_places(dataset: AnyDataset, exchange: Callable[[Place], Place]) -> AnyDataset:
    """Return the same dataset with other places for those that it has paths in.

    Parameters
    ----------
    exchange
        Gives the place to have for one that there is.
    """
    found: list[Place] = []

    def number_of(place: Place) -> int:
        found.append(place)
        return len(found) - 1

    return from_plain(to_plain(dataset, number_of), lambda number: exchange(found[number]))


class _Writer:
    """Turns the values of a dataset's fields into JSON values."""

    def __init__(self, name_of: NameOf) -> None:
        self._name_of = name_of

    def plain(self, value: Any) -> Any:
        if value is None or isinstance(value, str | bool | int):
            return value
        if isinstance(value, float):
            # JSON has no word for these.
            return value if math.isfinite(value) else {KIND: "float", "value": repr(float(value))}
        if isinstance(value, tuple):
            return self._tuple(value)
        if isinstance(value, list):
            return {KIND: "list", "values": [self.plain(each) for each in value]}
        if isinstance(value, Mapping):
            return {KIND: "dict", "values": {str(k): self.plain(v) for k, v in value.items()}}
        if isinstance(value, DataPath):
            return self._path(value.place, value.relative)
        return self._object(value)

    def _tuple(self, value: tuple[Any, ...]) -> Any:
        if all(type(each) is str for each in value):
            return list(value)  # of paths there may be a million
        if len(value) == 2 and isinstance(value[1], str) and isinstance(value[0], Place):
            return self._path(*value)
        return [self.plain(each) for each in value]

    def _path(self, place: Place, relative: str) -> dict[str, Any]:
        return {KIND: "DataPath", "datastore": self._name_of(place), "path": relative}

    def _object(self, value: Any) -> dict[str, Any]:
        name = type(value).__name__
        if name not in HOMES or type(value) is not _class_of(name):
            raise DatasetError(
                f"{value!r} is only in the memory of this process, so it can't be kept. Write it "
                "to files, such as with to_parquet_files(target=...), and make a dataset of these."
            )
        # Some hold what is open in this process, and can say the same without.
        value = value.closed() if hasattr(value, "closed") else value
        given = [field.name for field in fields(value) if field.init]
        values = {name: self.plain(getattr(value, name)) for name in given}
        return {KIND: name, **values}


class _Reader:
    """The way back."""

    def __init__(self, find_datastore: Callable[[Any], Place]) -> None:
        self._find_datastore = find_datastore

    def value(self, plain: Any) -> Any:
        if isinstance(plain, list):
            return tuple(self.value(each) for each in plain)
        if not isinstance(plain, dict):
            return plain
        kind = plain.get(KIND)
        if kind == "float":
            return float(plain["value"])
        if kind == "list":
            return [self.value(each) for each in plain["values"]]
        if kind == "dict":
            return {name: self.value(each) for name, each in plain["values"].items()}
        if kind == "DataPath":
            return DataPath(self._find_datastore(plain["datastore"]), plain["path"])
        return self._object(kind, plain)

    def _object(self, kind: object, plain: dict[str, Any]) -> Any:
        known = {f.name for f in fields(_class_of(kind)) if f.init} if kind in HOMES else set()
        if not plain.keys() - {KIND} <= known:
            raise DatasetError(
                f"a dataset was kept with {sorted(plain)!r} of a {kind!r}, which this daskrun "
                "doesn't know. Use the version that has kept it, or make the dataset again."
            )
        given = {name: self.value(each) for name, each in plain.items() if name != KIND}
        return _class_of(kind)(**given)


def _class_of(name: Any) -> Any:
    return getattr(import_module(f"daskrun.data.{HOMES[name]}"), name)
