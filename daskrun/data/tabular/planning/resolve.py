"""From a tabular dataset to what a plan needs: files, schema, and steps that have been checked."""

from __future__ import annotations

from dataclasses import replace
from difflib import get_close_matches
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from daskrun.data.partition_format import PartitionFormat
from daskrun.data.paths import PathTable
from daskrun.data.tabular.conditions.expression import all_of, joined, only_uses, uses
from daskrun.data.tabular.formats.contract import TableInput
from daskrun.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from daskrun.data.listing import Listing
    from daskrun.data.tabular.formats.contract import Source

Step = tuple[Any, ...]

PATH = "Path"
"""Name of the column that ``include_path`` adds."""


class _Columns(NamedTuple):
    """The columns of a dataset, by where they come from, in the order they have in a frame."""

    path: list[str]
    file: list[str]
    format: list[str]

    @property
    def all(self) -> list[str]:
        return [*self.path, *self.file, *self.format]


def resolve(source: Source, steps: Sequence[Step]) -> TableInput:
    """List the files, infer the schema, check the steps, and leave out what need not be read.

    The schema is that of all files, whatever the steps leave of them: a filtered dataset has the
    types of the whole one.

    Raises
    ------
    DatasetError
        Nothing can be read, a step names a column that isn't there, or compares it with a value
        of another kind.
    """
    listing = source.listing()
    form = format_of(source)
    if form is not None:
        for name in listing.table:  # a path that does not fit is said now, not in the middle
            form.values(listing.root, name)
    reader = source.describe(listing)
    columns = _Columns(
        [PATH] if getattr(source, "include_path", False) else [],
        [name for name, _ in reader["columns"]],
        list(form.columns) if form else [],
    )
    _check_unique(columns)
    last, rest = _checked(steps, columns.all)
    fixed, rest = _by_file(rest, {*columns.path, *columns.format})
    spec = _spec(reader, columns, form, last, rest)
    if fixed:
        listing = _pruned(listing, fixed, form)
    if any(step[0] == "filter" for step in rest):
        _try_filters(spec, listing)
    splitter = partial(source.splitter, reader)
    return TableInput(listing, splitter, spec, tuple(columns.format), dict(listing.storage_options))


def format_of(source: Source) -> PartitionFormat | None:
    """Return a source's ``partition_format``, if it has one."""
    text = getattr(source, "partition_format", None)
    return None if text is None else PartitionFormat(text)


def with_window(steps: tuple[Step, ...], start: int, stop: int | None) -> tuple[Step, ...]:
    """Add a window; one that follows another directly becomes one with it.

    Examples
    --------
    >>> with_window((("window", 10, None),), 0, 5)
    (('window', 10, 15),)
    """
    if not steps or steps[-1][0] != "window":
        return (*steps, ("window", start, stop))
    first, last = steps[-1][1:]
    begin = first + start
    ends = [end for end in (last, None if stop is None else first + stop) if end is not None]
    return (*steps[:-1], ("window", begin, max(begin, min(ends)) if ends else None))


def narrowed(spec: dict[str, Any], wanted: Sequence[str]) -> dict[str, Any]:
    """Return the spec of the same rows with these columns only, in this order."""
    steps = [step for step in spec["steps"] if step[0] != "keep"]
    looked = set().union(*(uses(step[1]) for step in steps if step[0] == "filter"))
    needed = looked | set(wanted)
    # A row has at least one column: without any, nothing would say how many rows there are.
    read = [name for name in spec["columns"] if name in needed] or spec["columns"][:1]
    made = _frame_columns({**spec, "columns": read}, needed)
    if made[1] != list(wanted):
        steps.append(("keep", list(wanted)))
    return {**made[0], "steps": steps}


def _spec(
    reader: dict[str, Any],
    columns: _Columns,
    form: PartitionFormat | None,
    last: list[str],
    steps: list[Step],
) -> dict[str, Any]:
    whole = {
        "reader": reader,
        "columns": columns.file,
        "partition": {"format": form.text, "columns": columns.format} if form else None,
        "include_path": bool(columns.path),
        "steps": steps,
    }
    return narrowed(whole, last)


def _frame_columns(
    spec: dict[str, Any], needed: Collection[str]
) -> tuple[dict[str, Any], list[str]]:
    """Leave out columns of the path that nobody needs; give the columns there are then."""
    partition = spec["partition"]
    if partition is not None:
        kept = [name for name in partition["columns"] if name in needed]
        partition = {**partition, "columns": kept}
    path = spec["include_path"] and PATH in needed
    made = [
        *([PATH] if path else []),
        *spec["columns"],
        *(partition["columns"] if partition else []),
    ]
    return {**spec, "partition": partition, "include_path": path}, made


def _check_unique(columns: _Columns) -> None:
    for name in columns.format:
        if name in columns.file or name in columns.path:
            raise DatasetError(
                f"partition_format has a column {name!r}, and so have the files. Give the one of "
                "the format another name."
            )
    if PATH in columns.path and PATH in columns.file:
        raise DatasetError(
            f"include_path=True adds a column {PATH!r}, and the files have one of that name. "
            "Leave include_path out."
        )


def _checked(steps: Iterable[Step], names: list[str]) -> tuple[list[str], list[Step]]:
    """Check the columns that steps name; give the columns at the end, and the other steps."""
    there = list(names)
    rest: tuple[Step, ...] = ()
    for step in steps:
        kind = step[0]
        if kind == "filter":
            _check_names("filter(...)", sorted(uses(step[1])), there, names)
        elif kind in ("keep", "drop"):
            chosen = list(step[1])
            _check_names(f"{kind}_columns({chosen!r})", chosen, there, names)
            there = chosen if kind == "keep" else [name for name in there if name not in chosen]
            if not there:
                raise DatasetError(f"drop_columns({chosen!r}) leaves no column. Keep at least one.")
            continue
        rest = with_window(rest, *step[1:]) if kind == "window" else (*rest, step)
    return there, list(rest)


def _check_names(
    call: str, chosen: Iterable[str], there: Collection[str], names: Collection[str]
) -> None:
    for name in chosen:
        if name in there:
            continue
        if name in names:
            raise DatasetError(
                f"{call}: the column {name!r} was left out by an earlier step. Put this step "
                "before that one."
            )
        near = get_close_matches(name, there, 3, 0.6)
        known = near or list(there)[:10]
        raise DatasetError(
            f"{call}: there is no column {name!r}. "
            f"{'Did you mean' if near else 'There are'} {', '.join(map(repr, known))}"
            f"{'?' if near else '.' if len(there) <= 10 else f' and {len(there) - 10} more.'}"
        )


def _by_file(steps: list[Step], of_path: set[str]) -> tuple[list[Step], list[Step]]:
    """Split off the conditions that are true or false of whole files.

    Not behind a ``take`` or ``skip``: these count the rows of files that would be left out.
    """
    fixed: list[Step] = []
    rest: list[Step] = []
    for number, step in enumerate(steps):
        if step[0] == "window":
            return fixed, _joined_windows([*rest, *steps[number:]])
        if step[0] != "filter":
            rest.append(step)
            continue
        parts = all_of(step[1])
        fixed += [part for part in parts if only_uses(part, of_path)]
        if others := [part for part in parts if not only_uses(part, of_path)]:
            rest.append(("filter", joined(others)))
    return fixed, rest


def _joined_windows(steps: Iterable[Step]) -> list[Step]:
    made: tuple[Step, ...] = ()
    for step in steps:
        made = with_window(made, *step[1:]) if step[0] == "window" else (*made, step)
    return list(made)


def _pruned(listing: Listing, fixed: list[Step], form: PartitionFormat | None) -> Listing:
    """Leave out the files that a condition on columns of the path is false of."""
    from daskrun.data.tabular.conditions.mask import mask
    from daskrun.data.tabular.loading.load import path_columns
    from daskrun.data.tabular.values.types import to_frame

    names = list(listing.table)
    needed = uses(joined(fixed))
    frame = to_frame(path_columns(listing.root, names, form, needed))
    keep = mask(frame, joined(fixed))
    rows = zip(listing.table.rows(), keep, strict=True)
    return replace(listing, table=PathTable(row for row, kept in rows if kept))


def _try_filters(spec: dict[str, Any], listing: Listing) -> None:
    """Apply the steps to no rows: a column of a wrong kind is said now."""
    from daskrun.data.tabular.formats.node_cache import NodeCache
    from daskrun.data.tabular.loading.load import TableLoader

    source = {
        "name": "",
        "root": listing.root,
        "remote": listing.remote,
        "storage_options": listing.storage_options,
        "table": spec,
    }
    TableLoader(source, NodeCache("")).meta()  # reads nothing, and so keeps nothing
