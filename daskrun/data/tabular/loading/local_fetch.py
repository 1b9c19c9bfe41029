"""Remote pieces brought to this process when it needs them: inline runs, and datasets looked at.

In a run the fetcher does this ahead of need; what is brought, and by which function, is the same.
"""

from __future__ import annotations

import pickle
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from daskrun.data.protocols import shown_url
from daskrun.data.tabular.formats.contract import Look, Piece, PieceFile, Plain, ReaderSpec
from daskrun.data.tabular.formats.registry import reader_class, spec_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from daskrun.core.minibatch import Plan, PlanInput
    from daskrun.data.remote_files import RemoteFolder
    from daskrun.data.tabular.formats.node_cache import NodeCache

Want: TypeAlias = "Piece | Look"
"""What is wanted of a file."""


_KEPT = 64
_specs: dict[int, tuple[Plain, ReaderSpec]] = {}
"""By the identity of plain forms: those of the inputs that this process brings pieces of."""


def wants(load: tuple[Any, ...]) -> list[Want]:
    """Return which files a table's plain load (or survey) needs something of, in order."""
    if load[0] == "survey" and load[1] == "look":
        name, *request = load[2:]
        return [Look(name, tuple(request))]
    return [Piece(*fields) for fields in (load[2] if load[0] == "survey" else load[1])]


def bring(
    root: RemoteFolder, table: Mapping[str, Any], want: Want, target: str, cache: NodeCache
) -> None:
    """Bring what is wanted of a file to ``target``; a piece in trouble needs nothing."""
    if isinstance(want, Piece) and want.trouble:
        Path(target).touch()
        return
    # With the columns that are kept: of Parquet no others are fetched.
    spec = _spec(table["reader"])
    reader_class(spec).bring(spec, root, table["columns"], want, target, cache)


def _spec(plain: Plain) -> ReaderSpec:
    """Return the specification of a plain form, made once: of 1,000 columns that takes 2.7 ms."""
    kept = _specs.get(id(plain))
    if kept is None or kept[0] is not plain:
        if len(_specs) >= _KEPT:
            _specs.clear()
        kept = _specs[id(plain)] = plain, spec_of(plain)
    return kept[1]


def piece_files(root: str, load: tuple[Any, ...], paths: Sequence[str]) -> list[PieceFile]:
    """Return the brought files of a load to its reader."""
    from daskrun.data.remote_files import join_url

    return [
        PieceFile(path, True, shown_url(join_url(root, name)))
        for path, (name, *_) in zip(paths, wants(load), strict=True)
    ]


class BroughtHere:
    """Brings the pieces of remote inputs one load at a time."""

    def __init__(self, folder: Path, cache: NodeCache) -> None:
        self._folder = folder
        self._cache = cache
        self._roots: dict[str, RemoteFolder] = {}

    def bring(self, source: PlanInput, load: tuple[Any, ...]) -> list[PieceFile] | None:
        """Bring what a load needs; None for a local input, whose files are read in place."""
        from daskrun.data.remote_files import RemoteFolder

        if not source.remote:
            return None
        url = source.root
        if url not in self._roots:
            self._roots[url] = RemoteFolder(url, source.storage_options)
        self._folder.mkdir(parents=True, exist_ok=True)
        paths = []
        for number, want in enumerate(wants(load)):
            paths.append(str(self._folder / str(number)))
            assert source.table is not None, "only tables are brought in pieces"
            bring(self._roots[url], source.table, want, paths[-1], self._cache)
        return piece_files(url, load, paths)

    def clear(self) -> None:
        """Remove what was brought."""
        for file in self._folder.glob("*"):
            file.unlink(missing_ok=True)


def complete_here(plan: Plan, upto: int | None = None) -> None:
    """Make in this process the surveys that a plan waits for, until it is complete.

    Raises DatasetError: what must be looked at can't be read, and no mini-batch after it can be
    known.
    """
    from daskrun.data.tabular.formats.node_cache import NodeCache
    from daskrun.data.tabular.loading.load import TableLoader
    from daskrun.errors import DatasetError

    with tempfile.TemporaryDirectory(prefix="daskrun-look-") as folder:
        cache = NodeCache(f"{folder}/cache")
        here = BroughtHere(Path(folder) / "brought", cache)
        loaders: dict[int, TableLoader] = {}

        def found_by(descriptor: bytes) -> Any:
            _, which, load, _, _ = pickle.loads(descriptor)
            source = plan.inputs[which]
            if which not in loaders:
                loaders[which] = TableLoader(source, cache)
            try:
                return loaders[which].look(load, here.bring(source, load))
            finally:
                here.clear()

        def enough() -> bool:
            return plan.complete or (upto is not None and plan.known >= upto)

        while not enough():
            plan.extend(plan.known + (1 << 30) if upto is None else upto)
            surveyor = plan.surveyor
            if enough() or surveyor is None:
                return
            surveys = surveyor.begin(1)
            assert surveys, "a plan that is not complete waits for something"
            for survey in surveys:
                try:
                    found = found_by(survey.descriptor)
                except DatasetError as error:
                    surveyor.give_up(survey.number, str(error))
                else:
                    surveyor.learn(survey.number, found)
