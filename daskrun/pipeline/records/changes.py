"""What a step run's data was at its beginning, kept so that what has changed since can be named.

Side inputs, which are in no plan, are kept and compared apart from the others.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from hashlib import blake2b
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, cast

from daskrun.core.codec import JsonObject, from_record, record, to_record
from daskrun.core.json_text import parsed
from daskrun.data.paths import PathTable
from daskrun.data.protocols import shown_url
from daskrun.errors import DatasetError, ResumeError, StorageError
from daskrun.pipeline.steps.side_inputs import described
from daskrun.storage.durable import read_file, write_whole
from daskrun.storage.journal import Journal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from daskrun.core.minibatch import Plan, PlanInput
    from daskrun.data.listed_plan import ListedPlan
    from daskrun.pipeline.steps.side_inputs import SideInput
    from daskrun.script.node_spec import SideInputSpec
    from daskrun.workspace.run_folders.run_folder import RunFolder

FOLDER = "listings"
"""In the step run's folder, a file for each input; they stay, for a later run over what is new."""
SIDE_FOLDER = "side_listings"
"""In the step run's folder, a file for each side input, until the run is Completed."""
LEVEL = 1
"""Of compression: a million files take 0.56 s and 12 MB; level 3 takes 0.82 s for 11.5 MB."""
SHOWN = 3
"""Files that are named of each kind of change."""


def keep_listings(folder: Path, plan: Plan) -> None:
    """Keep names, sizes and times of the files that a plan is of, in the folder of the step's run.

    What is kept stays once the run has begun, with just that plan. Before, it is of a driver that
    was killed, and the data may be other by now.
    """
    listed, begun = cast("ListedPlan", plan), begun_with(folder) is not None
    try:
        (folder / FOLDER).mkdir(mode=0o700, exist_ok=True)
        for number, (each, table) in enumerate(zip(listed.inputs, listed.tables, strict=True)):
            if not begun or not (folder / FOLDER / str(number)).exists():
                keep_table(folder / FOLDER, number, InputHead.of(each), table)
    except OSError as error:
        raise StorageError(f"can't keep what is in the inputs: {error}") from error


@record
@dataclass(frozen=True)
class InputHead:
    """What is kept of an input beside its files."""

    root: str
    """Where its files are, without what is secret in it."""
    table: JsonObject | None = None
    """As ``PlanInput.table``."""

    @classmethod
    def of(cls, each: PlanInput) -> InputHead:
        """Return that of an input of a plan."""
        return cls(shown_url(each.root), each.table)

    @property
    def columns(self) -> dict[str, str]:
        """The types of its columns by name."""
        return dict((self.table or {})["reader"]["columns"])


def keep_table(folder: Path, number: int, head: InputHead, table: PathTable) -> None:
    """Keep files, and what there is to say of them, as a file of a folder, for this user alone."""
    folder.mkdir(mode=0o700, exist_ok=True)
    data = json.dumps(to_record(head)).encode() + b"\n" + table.to_bytes()
    write_whole(folder / str(number), zlib.compress(data, LEVEL), mode=0o600)


def read_tables(folder: Path, kind: str = "") -> Iterator[tuple[InputHead, PathTable]]:
    """Yield what :func:`keep_table` has kept in a folder of a step's run.

    ``kind`` is the name of that folder; ``""`` for that of :func:`keep_listings`. Where there is
    nothing FileNotFoundError is raised.
    """
    for number in count():
        path = folder / (kind or FOLDER) / str(number)
        if number and not path.exists():
            return
        yield _read_table(path)


def _read_table(path: Path) -> tuple[InputHead, PathTable]:
    head, _, rest = zlib.decompress(read_file(path)).partition(b"\n")
    return from_record(InputHead, parsed(head)), PathTable.from_bytes(rest)


def check_unchanged(folder: RunFolder, plan: Plan, more: Sequence[str] = ()) -> None:
    """Raise ResumeError where a plan made now isn't the one that the run has begun with.

    It names what has changed. ``more`` is what else is not as it was, in words.
    """
    same = begun_with(folder.path) in (None, plan.fingerprint())
    if same and not more:
        return
    found = [] if same else list(_changes(folder.path, cast("ListedPlan", plan)))
    found += more
    what = "\n".join(f"  {text}" for text in found) or "  what it is isn't known: see the inputs"
    raise ResumeError(
        f"run {folder.id} can't go on: its data is not what it was at submit.\n{what}\n"
        "A resumed run needs the same data, or its results would be of both. Put it back as it "
        "was, or submit the pipeline again for a new run."
    )


def input_digests(plan: Plan, without: Path) -> dict[str, str]:
    """Digest each input of a plan: number, root, files with sizes and times, what is read of them.

    Inputs in the folder ``without`` are left out.
    """
    listed, found = cast("ListedPlan", plan), {}
    for number, (each, table) in enumerate(zip(listed.inputs, listed.tables, strict=True)):
        if not Path(each.root).is_relative_to(without):
            head = json.dumps([number, to_record(InputHead.of(each))], sort_keys=True)
            digest = blake2b(head.encode(), digest_size=16)
            table.update(digest)
            found[each.name] = digest.hexdigest()
    return found


def begun_with(folder: Path) -> str | None:
    """Return the fingerprint of the plan that a run has begun with; None where it has not begun."""
    journal = folder / "journal"
    first = next(Journal.read(journal, "run"), None) if journal.exists() else None
    return None if first is None else str(first["plan"])


def _changes(folder: Path, plan: ListedPlan) -> Iterator[str]:
    for number, (each, table) in enumerate(zip(plan.inputs, plan.tables, strict=True)):
        try:
            before, files = _read_table(folder / FOLDER / str(number))
        except (OSError, zlib.error) as error:
            yield f"input {each.name!r}: what it was can't be read: {error}"
            continue
        plain = json.dumps(to_record(InputHead.of(each)))
        now = from_record(InputHead, parsed(plain))  # as the other: tuples are lists there
        texts = [*file_changes(files, table), *_table_changes(before, now)]
        yield from (f"input {each.name!r}: {text}" for text in texts)


def _table_changes(before: InputHead, now: InputHead) -> Iterator[str]:
    if before.root != now.root:
        yield f"its folder was {before.root!r} and is {now.root!r}"
    if before.table == now.table:
        return
    old, new = before.columns, now.columns
    if old == new:
        yield "what is read of its rows has changed (steps, schema, or the version of daskrun)"
    for name in {**old, **new}:
        was, is_now = (each.get(name, "not there") for each in (old, new))
        if was != is_now:
            yield f"column {name!r} was {was} and is {is_now}"


def file_changes(before: PathTable, now: PathTable) -> Iterator[str]:
    """Return how the files of a dataset differ from what they were."""
    old = {name: row for row, name in enumerate(before)}
    new = {name: row for row, name in enumerate(now)}
    yield from _named("gone", [repr(name) for name in old if name not in new])
    yield from _named("new", [repr(name) for name in new if name not in old])
    both = [(name, row, new[name]) for name, row in old.items() if name in new]
    sizes = [each for each in both if before.sizes[each[1]] != now.sizes[each[2]]]
    yield from _named(
        "of another size",
        [f"{name!r}: {before.sizes[a]:,} → {now.sizes[b]:,} bytes" for name, a, b in sizes],
    )
    times = [
        name
        for name, a, b in both
        if before.sizes[a] == now.sizes[b] and before.times[a] != now.times[b]
    ]
    yield from _named("written again, with the same size", [repr(name) for name in times])
    if old.keys() == new.keys() and list(before) != list(now):
        yield "its files are in another order"


def _named(what: str, names: list[str]) -> Iterator[str]:
    """Return how many files have changed so, and name the first."""
    if names:
        more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
        plural = "s are" if len(names) > 1 else " is"
        yield f"{len(names):,} file{plural} {what}: {', '.join(names[:SHOWN])}{more}"


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
        return [text for each in sides for text in _side_changes(folder.path, each, told)]
    except DatasetError as error:
        raise ResumeError(
            f"run {folder.id} can't go on: its data can't be read as at submit: {error}"
        ) from error


def _side_changes(
    folder: Path, side: SideInput, told: Mapping[str, SideInputSpec]
) -> Iterator[str]:
    shown = f"side input {side.name!r}"
    try:
        head, _, rest = read_file(_kept(folder, side.name)).partition(b"\n")
    except OSError as error:
        yield f"{shown}: what it was can't be read: {error}"
        return
    now = _head(side, told)
    if head + b"\n" != now:
        before, after = parsed(head), parsed(now)
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
    return folder / SIDE_FOLDER / name
