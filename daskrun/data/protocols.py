"""How a dataset is told where its files are, and the little it knows of a workspace."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable

from daskrun.errors import DaskrunError, DatasetError
from daskrun.storage.urls import shown_url as shown_url  # what speaks of places shows them so

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from daskrun.storage.private import SecretStore
    from daskrun.storage.records import Records


@runtime_checkable
class Place(Protocol):
    """A datastore, or anything else that turns a relative path into a local path or URL."""

    @property
    def storage_options(self) -> Mapping[str, Any]:
        """Fsspec options that open its URLs; may hold secrets."""

    def url(self, relative: str) -> str:
        """Return the local path or URL of a path in it; ``""`` is the place itself."""


@runtime_checkable
class Registry(Protocol):
    """A workspace, as far as datasets know it: where they are registered."""

    @property
    def records(self) -> Records:
        """What it remembers."""

    @property
    def private(self) -> SecretStore:
        """Where it keeps secrets."""

    def sweep_private(self) -> None:
        """Remove what killed processes left there."""

    def reference_to(self, named: Any) -> Any:
        """Return the JSON value that a datastore is found by again."""

    def place_of(self, reference: Any) -> Place:
        """Return datastore of :meth:`reference_to`; one that is gone says so when it is used."""


@dataclass(frozen=True, slots=True, repr=False)
class DataPath:
    """A path in a datastore: what ``datastore.path('relative')`` gives."""

    place: Place
    relative: str = ""
    """Folder, file or glob; it is looked up when the data is."""

    def __repr__(self) -> str:
        try:
            return f"<DataPath {shown_url(self.place.url(self.relative))}>"
        except DaskrunError:  # an unregistered datastore
            return f"<DataPath {self.relative!r} in {self.place!r}>"


OnePath: TypeAlias = "str | os.PathLike[str] | DataPath | tuple[Place, str]"
AnyPath: TypeAlias = "OnePath | Sequence[OnePath]"
StorageOptions: TypeAlias = "dict[str, Any]"
"""Options of fsspec for a URL. May hold secrets: never logged or journalled."""
PathElement: TypeAlias = "str | DataPath"


def shown(element: PathElement) -> str:
    """Return an element of ``path`` as messages show it."""
    if isinstance(element, DataPath):
        return repr(element)
    return repr(shown_url(element))


def shown_elements(elements: Sequence[PathElement]) -> str:
    """Return ``path`` as messages show it: the first three of its elements."""
    if len(elements) == 1:
        return shown(elements[0])
    more = f", … {len(elements) - 3} more" if len(elements) > 3 else ""
    return f"[{', '.join(map(shown, elements[:3]))}{more}]"


def as_elements(path: object) -> tuple[PathElement, ...]:
    """Check the kind of ``path`` and give what it lists, texts and datastore paths."""
    if isinstance(path, (list, tuple)) and not _is_pair(path):
        if not path:
            raise DatasetError(
                "path=[] lists nothing. Give at least one folder, file, glob or URL."
            )
        if isinstance(path, tuple) and not all(isinstance(p, (str, os.PathLike)) for p in path):
            raise DatasetError(
                f"path={path!r} is not (datastore, 'relative/path'). Give a datastore and a text, "
                "or put several paths in a list."
            )
        return tuple(_as_element(element) for element in path)
    return (_as_element(path),)


def _is_pair(path: Sequence[object]) -> bool:
    return isinstance(path, tuple) and bool(path) and isinstance(path[0], Place)


def _as_element(element: object) -> PathElement:
    if isinstance(element, str):  # first: a list may hold a million, and to ask for Place is slow
        return _text(element)
    if isinstance(element, tuple) and len(element) == 2 and _is_pair(element):
        element = DataPath(*element)
    if isinstance(element, DataPath):
        if not isinstance(element.relative, str):
            raise DatasetError(
                f"path=(datastore, {element.relative!r}): the second part is not a text. "
                "Write (datastore, 'relative/path')."
            )
        return element
    if isinstance(element, os.PathLike):
        return _text(os.fsdecode(element))
    if isinstance(element, Place):
        raise DatasetError(
            f"path={element!r} is a datastore. Write datastore.path('relative/path')."
        )
    raise DatasetError(
        f"path={element!r} is of type {type(element).__name__}. Give a path or URL, "
        "datastore.path('relative/path'), or a list of these."
    )


def _text(element: str) -> str:
    if not element or "\0" in element:
        raise DatasetError(f"path={element!r} names no file. Give a folder, file, glob or URL.")
    return element
