"""Datasets as plain values: what can be kept in a file and be the same dataset in another process.

A dataset is frozen dataclasses all the way down, kept as :mod:`daskrun.core.codec` does, where a
list is tagged and a tuple is not. A path in a datastore becomes the datastore's name, so
that no key or token is written down. URLs and connections may hold passwords: keep what is given
here where only this user can read it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, TypeVar, cast

from daskrun.core.codec import KIND, JsonObject, Reader, UnknownKindError, Writer
from daskrun.data.protocols import DataPath, Place
from daskrun.data.tabular.formats.contract import Source
from daskrun.data.tabular.formats.registry import source_classes
from daskrun.errors import DatasetError

Kept = TypeVar("Kept")
LAYOUT = 1
"""Raised when what was kept before can't be read any more."""
CLASSES = {
    "FileDataset": "daskrun.data.file_dataset:FileDataset",
    "MLTableFiles": "daskrun.data.mltable_files:MLTableFiles",
    "Take": "daskrun.data.selection:Take",
    "Skip": "daskrun.data.selection:Skip",
    "Share": "daskrun.data.selection:Share",
    "TabularDataset": "daskrun.data.tabular.tabular_dataset:TabularDataset",
    "Times": "daskrun.data.tabular.conditions.timestamps:Times",
    "DataType": "daskrun.data.tabular.values.types:DataType",
    **source_classes(installed=False),
}
"""Every class a dataset may be made of, but for formats of other packages. No other is ever
loaded."""

NameOf: TypeAlias = Callable[[Place], Any]
"""Gives the JSON value that a datastore is found by again; a DatasetError where there is none."""


def registered_name(place: Place) -> str:
    """Return the name of a datastore.

    Raises DatasetError: it has none: it is an object that only this process knows.
    """
    name = getattr(place, "name", None)
    if not isinstance(name, str):
        raise DatasetError(
            f"{place!r} is no registered datastore, so a dataset of it can't be kept. Register "
            "it, such as Datastore.register_url(ws, 'name', url), and use Datastore.get(ws, 'name')"
        )
    return name


def to_plain(dataset: object, name_of: NameOf = registered_name) -> JsonObject:
    """Return a dataset as JSON values.

    ``dataset``: any whose rows or files are kept somewhere: not a dataframe. Raises DatasetError:
    it holds what only this process knows.

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


def from_plain(value: Mapping[str, Any], find_datastore: Callable[[Any], Place]) -> object:
    """Make the dataset that :func:`to_plain` was given.

    Raises DatasetError: the value is no dataset's, or of another version of daskrun.
    """
    if value.get("layout") != LAYOUT:
        raise DatasetError(
            f"a dataset was kept in layout {value.get('layout')!r}, and this daskrun knows layout "
            f"{LAYOUT}. Use the version that has kept it, or make the dataset again."
        )
    try:
        made = _reader(CLASSES, find_datastore).value(value["dataset"])
    except UnknownKindError:
        made = _with_installed(value["dataset"], find_datastore)
    if not hasattr(made, "fingerprint"):
        raise DatasetError(f"what was kept is a {type(made).__name__}, not a dataset.")
    return made


def _reader(classes: Mapping[str, str], find_datastore: Callable[[Any], Place]) -> Reader:
    reader: Reader = Reader(
        classes,
        {
            "list": lambda plain: list(reader.value(plain["values"])),
            "DataPath": lambda plain: DataPath(find_datastore(plain["datastore"]), plain["path"]),
        },
    )
    return reader


def _with_installed(plain: Any, find_datastore: Callable[[Any], Place]) -> Any:
    """Make a dataset of a format that an installed package has."""
    classes = {**CLASSES, **source_classes(installed=True)}
    try:
        return _reader(classes, find_datastore).value(plain)
    except UnknownKindError as error:
        raise DatasetError(
            f"a dataset was kept with {error}, which this daskrun doesn't know. Use the version "
            "that has kept it, or make the dataset again."
        ) from error


def places_of(dataset: object) -> list[Place]:
    """Return every datastore, or other place, that a dataset has paths in."""
    found: list[Place] = []
    if not getattr(dataset, "in_memory", False):
        to_plain(dataset, found.append)
    return found


def with_places(dataset: Kept, exchange: Callable[[Place], Place]) -> Kept:
    """Return the same dataset with other places for those that it has paths in.

    ``exchange``: gives the place to have for one that there is.
    """
    found: list[Place] = []

    def number_of(place: Place) -> int:
        found.append(place)
        return len(found) - 1

    plain = to_plain(dataset, number_of)
    return cast("Kept", from_plain(plain, lambda number: exchange(found[number])))


class _Writer(Writer):
    """Turns the values of a dataset's fields into JSON values."""

    def __init__(self, name_of: NameOf) -> None:
        own = ((tuple, self._tuple), (list, self._list), (DataPath, self._path))
        super().__init__(CLASSES, own, self._other)
        self._name_of = name_of

    def _tuple(self, value: tuple[Any, ...], where: str) -> Any:
        first, second = value if len(value) == 2 else ("", "")
        # To ask whether something is a Place is slow.
        if isinstance(second, str) and not isinstance(first, str) and isinstance(first, Place):
            return self._path(DataPath(first, second), where)
        return self.sequence(value, where)

    def _list(self, value: list[Any], where: str) -> Any:
        return {KIND: "list", "values": self.sequence(value, where)}

    def _path(self, value: DataPath, _: str) -> Any:
        return {KIND: "DataPath", "datastore": self._name_of(value.place), "path": value.relative}

    def _other(self, value: Any, where: str) -> Any:
        name = type(value).__name__
        known = source_classes(installed=True) if isinstance(value, Source) else {}
        if known.get(name) == f"{type(value).__module__}:{name}":
            return {KIND: name, **self.fields(value, where)}
        for base in () if isinstance(value, Source) else type(value).__mro__:
            if CLASSES.get(base.__name__) == f"{base.__module__}:{base.__name__}":
                return {KIND: base.__name__, **self.fields(value, where)}
        raise DatasetError(
            f"{value!r} is only in the memory of this process, so it can't be kept. Write it to "
            "files, such as with to_parquet_files(target=...), and make a dataset of these."
        )
