"""From what the user gave as ``path`` to the files it means, in their order, below one root."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import islice, takewhile

from daskrun.data.local_files import find_local, local_path
from daskrun.data.paths import FileRow, PathTable
from daskrun.data.patterns import HIDDEN
from daskrun.data.protocols import DataPath, PathElement, StorageOptions, shown, shown_url
from daskrun.data.remote_files import RemoteFolder, find_remote, is_url, join_url, split_url
from daskrun.errors import DatasetError

_THREADS = 16
"""Remote elements of a list that are asked for at a time: each is a round trip or two."""

_FEW = 8
"""Files that are looked at where a dataset is checked when it is made."""

Found = tuple[str, Iterator[FileRow]]


@dataclass(frozen=True, slots=True)
class Listing:
    """The files of a dataset."""

    root: str
    """Absolute folder or URL that the names are relative to."""

    table: PathTable
    """Names, sizes and times, in the dataset's order."""

    remote: bool
    """Whether ``root`` is a URL."""

    storage_options: StorageOptions = field(default_factory=dict, repr=False)
    """fsspec options of a remote root. May hold secrets."""

    notes: tuple[str, ...] = ()
    """What was left out, in words for users."""

    def paths(self, names: Iterable[str]) -> Iterator[str]:
        """Return absolute paths or URLs of names of this listing."""
        if self.remote:
            return (join_url(self.root, name) for name in names)
        base = self.root.rstrip("/")
        return (f"{base}/{name}" for name in names)

    def shown(self, name: str) -> str:
        """Return a file's path or URL for messages."""
        path = next(self.paths([name]))
        return shown_url(path) if self.remote else path

    def opened(self) -> RemoteFolder | None:
        """Return the folder of a remote root, opened; None for a local one."""
        return RemoteFolder(self.root, self.storage_options) if self.remote else None


def list_files(elements: Sequence[PathElement], folder: str, hidden: str = HIDDEN) -> Listing:
    """List the files that the elements of ``path`` mean.

    The order is that of the elements; within a folder or glob, code-point order of the relative
    paths. A file that two elements mean comes twice. Files and folders whose name begins with a
    character of ``hidden`` are taken only where they are named. Raises DatasetError if an element
    means no file or can't be read, or the elements have no root in common.
    """
    return _listed(elements, folder, hidden, None)


def _listed(elements: Sequence[PathElement], folder: str, hidden: str, each: int | None) -> Listing:
    """List up to this many files of each element."""
    options = _one_place(elements)
    found = ((root, islice(rows, each)) for root, rows in _find(elements, folder, options, hidden))
    if len(elements) == 1:
        root, rows = next(found)
        table = PathTable(rows)
    elif options is None:
        root, table = _joined((root.rstrip("/"), rows) for root, rows in found)
        root = root or "/"
    else:
        root, table = _joined_remote(found, elements)
    return Listing(root, table, options is not None, options or {})


def check_files(elements: Sequence[PathElement], folder: str, hidden: str = HIDDEN) -> Listing:
    """Check that each element means at least one file, without listing more than that needs.

    Returns the first files, a few.
    """
    found = _listed(elements, folder, hidden, _FEW)
    return replace(found, table=found.table.part(0, _FEW))


def location(element: PathElement) -> str:
    """Return the path or URL that an element of ``path`` means."""
    if isinstance(element, DataPath):
        return element.place.url(element.relative)
    return element


def _one_place(elements: Sequence[PathElement]) -> StorageOptions | None:
    """Check that all elements can have one root; give its storage options, None for local paths."""
    first = elements[0]
    kind, options = _kind(first)
    for element in elements[1:]:
        other_kind, other_options = _kind(element)
        if other_kind == kind and other_options == options:
            continue
        what = (
            "are reached with different storage options"
            if other_kind == kind
            else "are not of the same kind"
        )
        raise DatasetError(
            f"path=[...]: {shown(first)} and {shown(element)} {what}. Make a dataset of each and "
            "give both as inputs of the step."
        )
    return options if kind else None


def _kind(element: PathElement) -> tuple[tuple[str, str] | None, StorageOptions]:
    """Return what URLs must share to have one root; None for a local path."""
    where = location(element)
    if not is_url(where):
        return None, {}
    parts = split_url(where)
    options = element.place.storage_options if isinstance(element, DataPath) else {}
    return (parts.head, parts.tail), dict(options)


def _find(
    elements: Sequence[PathElement], folder: str, options: StorageOptions | None, hidden: str
) -> Iterator[Found]:
    if options is None:
        for element in elements:
            yield find_local(local_path(location(element), folder), element, hidden)
        return
    if len(elements) == 1:
        yield find_remote(location(elements[0]), options, shown(elements[0]), hidden)
        return
    with ThreadPoolExecutor(_THREADS, "daskrun-listing") as pool:
        yield from pool.map(lambda e: find_remote(location(e), options, shown(e), hidden), elements)


def _joined(found: Iterable[Found]) -> tuple[str, PathTable]:
    """Join what several elements mean below the deepest folder that is, or holds, their roots.

    Roots are ``""`` or begin with ``/``, and so does what is given back.
    """
    roots: set[str] = set()

    def rows() -> Iterator[FileRow]:
        for root, files in found:
            roots.add(root)
            yield from ((f"{root}/{name}", size, time) for name, size, time in files)

    # The common root is known when all is found: until then the names are whole paths.
    table = PathTable(rows())
    common = _common(roots)
    cut = len(common) + 1
    return common, PathTable((name[cut:], size, time) for name, size, time in table.rows())


def _common(roots: Iterable[str]) -> str:
    """Return the deepest folder in common; os.path.commonpath would tidy the ``//`` of a bucket."""
    split = [root.split("/") for root in roots]
    pairs = zip(min(split), max(split), strict=False)  # what these share, all between do
    return "/".join(low for low, _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _joined_remote(
    found: Iterable[Found], elements: Sequence[PathElement]
) -> tuple[str, PathTable]:
    def path(root: str) -> str:
        inside = split_url(root).path.rstrip("/")
        return f"/{inside}" if inside else ""

    root, table = _joined((path(root), rows) for root, rows in found)
    return split_url(location(elements[0])).at(root[1:]), table
