"""The file named MLTable in a folder: paths, how they are read, what is done with the rows."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from daskrun.core.settings import close_to
from daskrun.data.listing import location
from daskrun.data.protocols import DataPath, shown
from daskrun.data.remote_files import is_url, join_url, opened
from daskrun.errors import DatasetError
from daskrun.storage.durable import read_file
from daskrun.storage.folders import user_path
from daskrun.storage.yaml_text import yaml_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from daskrun.data.protocols import PathElement

NAME = "MLTable"
KEYS = ("$schema", "type", "paths", "transformations", "metadata", "traits")
KINDS = ("file", "folder", "pattern")
DATASTORE = re.compile(r"azureml:/+(?:.*/)?datastores/(?P<store>[^/]+)/paths/?(?P<path>.*)")
"""The URL of a path in a datastore."""
_BLOB = re.compile(r"(?:wasbs?|abfss)://(?P<box>[^@/]+)@(?P<account>[^./]+)\.[^/]+/?(?P<path>.*)")


@dataclass(frozen=True)
class Definition:
    """What such a file says."""

    shown: str
    """The file, for messages."""
    elements: tuple[PathElement, ...]
    """Its paths."""
    transformations: tuple[tuple[str, Any], ...]
    """Name and what is said of it, in order."""

    @property
    def is_table(self) -> bool:
        """Whether it says how files are read; else it is a list of files."""
        return any(name.startswith("read_") for name, _ in self.transformations)

    def wrong(self, text: str) -> DatasetError:
        """Return the error that says what is wrong with it."""
        return DatasetError(f"{self.shown}: {text}")


def as_fsspec(url: str) -> str:
    """Return the URL of a blob as adlfs knows it; any other text as it is.

    Examples
    --------
    >>> as_fsspec("wasbs://box@me.blob.core.windows.net/a.csv")
    'abfs://box@me.dfs.core.windows.net/a.csv'
    """
    found = _BLOB.fullmatch(url)
    if found is None:
        return url
    return f"abfs://{found['box']}@{found['account']}.dfs.core.windows.net/{found['path']}"


def is_defined(element: PathElement) -> bool:
    """Return whether a folder has a file named MLTable, or a path is one."""
    try:
        return _bytes(element) is not None
    except DatasetError:  # a datastore, or output of a step, that isn't there yet
        return False


def datastores_in(element: PathElement) -> list[str]:
    """Return the names of the datastores that a definition has paths in."""
    plain, _ = _read(element)
    texts = [text for _, text in _paths(plain.get("paths"))]
    return [found["store"] for found in map(DATASTORE.fullmatch, texts) if found]


def definition_of(element: PathElement, datastores: Mapping[str, DataPath]) -> Definition:
    """Read the definition of a folder, or of a file named MLTable.

    DatasetError says all that is wrong with it as a whole.
    """
    plain, told = _read(element)
    problems = [f"{key} is no key. {close_to(key, KEYS)}" for key in plain if key not in KEYS]
    found = list(_paths(plain.get("paths")))
    if not found:
        problems.append("paths is missing. Write paths: [{pattern: ./*.csv}].")
    elements = []
    for kind, text in found:
        if kind not in KINDS:
            problems.append(f"paths: {kind} is no key. {close_to(kind, KINDS)}")
        elif (named := DATASTORE.fullmatch(text)) is None:
            elements.append(_beside(element, text))
        elif named["store"] in datastores:
            store = datastores[named["store"]]
            elements.append(DataPath(store.place, posixpath.join(store.relative, named["path"])))
        else:
            name = named["store"]
            problems.append(
                f"paths: datastore {name!r} is not known. Give datastores={{{name!r}: …}}."
            )
    steps = []
    for each in plain.get("transformations") or []:
        if isinstance(each, str):
            steps.append((each, None))
        elif isinstance(each, Mapping) and len(each) == 1:
            steps += [(str(name), value) for name, value in each.items()]
        else:
            problems.append(f"transformations: {each!r} is none. Write one key, such as take: 5.")
    if problems:
        raise DatasetError("\n  ".join([f"{told} has problems:", *problems]))
    return Definition(told, tuple(elements), tuple(steps))


def _paths(written: Any) -> Iterator[tuple[str, str]]:
    for each in written if isinstance(written, list) else []:
        if isinstance(each, Mapping):
            yield from ((str(kind), str(text)) for kind, text in each.items())
        else:
            yield "file", str(each)


def _read(element: PathElement) -> tuple[Mapping[str, Any], str]:
    told = f"{shown(element)}, {NAME}"
    data = _bytes(element)
    if data is None:
        raise DatasetError(
            f"{shown(element)} has no file named {NAME}. Write one there that says how files are "
            "read, such as {paths: [{pattern: ./*.csv}], transformations: [read_delimited]}."
        )
    try:
        _, plain = yaml_of(data)
    except (ValueError, yaml.YAMLError) as error:
        said = " ".join(str(error).split())
        raise DatasetError(f"{told} can't be read as YAML: {said}.") from error
    if not isinstance(plain, Mapping):
        raise DatasetError(f"{told} says nothing. Write paths: and transformations: in it.")
    return plain, told


def _bytes(element: PathElement) -> bytes | None:
    """Return what is in the file; None where there is none."""
    where = location(element)
    name = (
        where if _is_file(where) else join_url(where, NAME) if is_url(where) else f"{where}/{NAME}"
    )
    try:
        if not is_url(name):
            return read_file(user_path(name))
        options = element.place.storage_options if isinstance(element, DataPath) else {}
        system, path = opened(name, options)
        data: bytes = system.cat_file(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise DatasetError(f"{shown(element)}: its {NAME} can't be read: {error}.") from error
    return data


def _is_file(where: str) -> bool:
    return where.rstrip("/").rpartition("/")[2] == NAME


def _beside(element: PathElement, text: str) -> PathElement:
    """Return a path that a definition has, relative to its folder."""
    if "\0" in text:
        raise DatasetError(f"{shown(element)}, {NAME}: the path {text!r} holds a NUL character.")
    text = as_fsspec(text)
    if is_url(text) or text.startswith(("/", "file://")):
        return text
    tail = "/" if text.endswith("/") else ""
    if isinstance(element, DataPath):
        folder = (
            element.relative.removesuffix(NAME) if _is_file(element.relative) else element.relative
        )
        inside = posixpath.normpath(posixpath.join(folder, text))
        return DataPath(element.place, "" if inside == "." else inside + tail)
    folder = element.rstrip("/").removesuffix(NAME) if _is_file(element) else element
    if is_url(folder):
        return join_url(folder.rstrip("/"), posixpath.normpath(text)) + tail
    return posixpath.normpath(posixpath.join(user_path(folder).absolute(), text)) + tail
