"""What the side inputs of a step run were at its beginning, and what of them has changed since."""

from __future__ import annotations

import json
import zlib
from typing import TYPE_CHECKING

from daskrun.data.paths import PathTable
from daskrun.data.protocols import shown_url
from daskrun.errors import DatasetError, ResumeError, StorageError
from daskrun.pipeline.records.changes import begun_with, file_changes
from daskrun.pipeline.steps.side_inputs import described
from daskrun.storage.durable import write_whole

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from daskrun.pipeline.steps.side_inputs import SideInput
    from daskrun.script.node_spec import SideInputSpec
    from daskrun.workspace.run_folders.run_folder import RunFolder


FOLDER = "side_listings"
"""In the step run's folder, a file for each side input, until the run is Completed."""


def keep_side_inputs(
    folder: Path, sides: Iterable[SideInput], told: Mapping[str, SideInputSpec]
) -> None:
    """Keep what the side inputs of a step run are, as ``keep_listings`` does for inputs.

    ``told`` is what nodes are told of those that are files.
    """
    begun = begun_with(folder) is not None
    for each in sides:
        path = _kept(folder, each.name)
        if begun and path.exists():
            continue
        try:
            path.parent.mkdir(mode=0o700, exist_ok=True)
            write_whole(path, _head(each, told) + _table(each, told), mode=0o600)
        except OSError as error:
            raise StorageError(f"can't keep what side inputs are: {error}") from error


def side_input_changes(
    folder: RunFolder, sides: Iterable[SideInput], asked: Iterable[str]
) -> list[str]:
    """Return how side inputs differ from what a run has begun with, one text for each change.

    ``asked`` is as of :func:`~daskrun.pipeline.steps.side_inputs.described`.
    """
    sides = list(sides)
    if not sides or begun_with(folder.path) is None:
        return []
    try:
        told = described(sides, asked)
        return [text for each in sides for text in _changes(folder.path, each, told)]
    except DatasetError as error:
        raise ResumeError(
            f"run {folder.id} can't go on: its data can't be read as at submit: {error}"
        ) from error


def _changes(folder: Path, side: SideInput, told: Mapping[str, SideInputSpec]) -> Iterator[str]:
    shown = f"side input {side.name!r}"
    try:
        head, _, rest = _kept(folder, side.name).read_bytes().partition(b"\n")
    except OSError as error:
        yield f"{shown}: what it was can't be read: {error}"
        return
    now = _head(side, told)
    if head + b"\n" != now:
        before, after = json.loads(head), json.loads(now)
        both = before.get("root"), after.get("root")
        yield f"{shown}: " + (
            "its rows are others" if None in both else "its root was {!r} and is {!r}".format(*both)
        )
    elif side.name in told:
        tables = [
            PathTable.from_bytes(zlib.decompress(each)) for each in (rest, _table(side, told))
        ]
        yield from (f"{shown}: {text}" for text in file_changes(*tables))


def _head(side: SideInput, told: Mapping[str, SideInputSpec]) -> bytes:
    known = told.get(side.name)
    if known is None:
        return json.dumps({"rows": side.dataset.fingerprint()}).encode() + b"\n"
    return json.dumps({"root": shown_url(known.root)}).encode() + b"\n"


def _table(side: SideInput, told: Mapping[str, SideInputSpec]) -> bytes:
    return told[side.name].table if side.name in told else b""


def _kept(folder: Path, name: str) -> Path:
    return folder / FOLDER / name
