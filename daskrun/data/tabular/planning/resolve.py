"""From a tabular dataset to what a plan needs: files, schema, and steps that have been checked."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from daskrun.core.minibatch import PlanInput
from daskrun.data.partition_format import PartitionFormat
from daskrun.data.paths import PathTable
from daskrun.data.tabular.conditions.expression import all_of, joined, uses
from daskrun.data.tabular.conditions.mask import mask
from daskrun.data.tabular.formats.node_cache import NodeCache
from daskrun.data.tabular.loading.load import TableLoader, path_columns
from daskrun.data.tabular.loading.table_spec import PATH, Partition, TableSpec
from daskrun.data.tabular.values.coercion import alike
from daskrun.data.tabular.values.frame import to_frame
from daskrun.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from daskrun.data.listing import Listing
    from daskrun.data.tabular.formats.contract import Source, Splitter

Step = tuple[Any, ...]


@dataclass(frozen=True)
class TableInput:
    """A tabular dataset with all that can be known before its rows are read."""

    listing: Listing
    """The files that are left after conditions on partition columns have dropped others. Its
    ``storage_options`` (for SQL, the connection) are secrets: never logged or journalled."""
    splitter: Callable[[Listing, int], Splitter]
    """From files of ``listing`` and ``mini_batch_size`` in bytes."""
    spec: TableSpec
    """What script processes need to make its mini-batches."""
    risks: Callable[[], list[str]] = list
    """Looks at more rows, for a second at most; warns of those that types don't fit."""


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
    types of the whole one. Raises DatasetError: nothing can be read, a step names a column that
    isn't there, or compares it with a value of another kind.
    """
    listing = everything = source.listing()
    form = format_of(source)
    if form is not None:
        for name in listing.table:  # a path that does not fit is said now, not in the middle
            form.values(listing.root, name)
    reader = source.describe(listing)
    reader = replace(reader, warnings=(*listing.notes, *reader.warnings))
    columns = _Columns(
        [PATH] if source.include_path else [],
        [name for name, _ in reader.columns],
        list(form.columns) if form else [],
    )
    _check_unique(columns)
    last, rest = _checked(steps, columns.all)
    fixed, rest = _by_file(rest, {*columns.path, *columns.format})
    partition = Partition(form.text, tuple(columns.format)) if form else None
    whole = TableSpec(reader, tuple(columns.file), partition, bool(columns.path), tuple(rest))
    spec = whole.narrowed(last)
    if fixed:
        listing = _pruned(listing, fixed, form)
    if any(step[0] == "filter" for step in rest):
        _try_filters(spec, listing)
    risks = partial(source.risks, everything, reader, spec.columns)
    return TableInput(listing, partial(source.splitter, reader), spec, risks)


def format_of(source: Source) -> PartitionFormat | None:
    """Return a source's ``partition_format``, if it has one."""
    text = source.partition_format
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
    there = list(names)
    rest: tuple[Step, ...] = ()
    for step in steps:
        kind = step[0]
        if kind == "filter":
            _check_names("filter(...)", sorted(uses(step[1])), there, names)
        elif kind in ("keep", "drop"):
            chosen = list(step[1])
            _check_names(f"{kind}_columns({chosen!r})", chosen, there, names)
            dropped = frozenset(chosen)
            there = chosen if kind == "keep" else [name for name in there if name not in dropped]
            if not there:
                raise DatasetError(f"drop_columns({chosen!r}) leaves no column. Keep at least one.")
            continue
        rest = with_window(rest, *step[1:]) if kind == "window" else (*rest, step)
    return there, list(rest)


def _check_names(
    call: str, chosen: Iterable[str], there: Collection[str], names: Collection[str]
) -> None:
    known = frozenset(there)
    for name in chosen:
        if name in known:
            continue
        if name in names:
            raise DatasetError(
                f"{call}: the column {name!r} was left out by an earlier step. Put this step "
                "before that one."
            )
        raise DatasetError(f"{call}: there is no column {name!r}. {alike(name, there)}")


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
        fixed += [part for part in parts if uses(part) <= of_path]
        if others := [part for part in parts if not uses(part) <= of_path]:
            rest.append(("filter", joined(others)))
    return fixed, rest


def _joined_windows(steps: Iterable[Step]) -> list[Step]:
    made: tuple[Step, ...] = ()
    for step in steps:
        made = with_window(made, *step[1:]) if step[0] == "window" else (*made, step)
    return list(made)


def _pruned(listing: Listing, fixed: list[Step], form: PartitionFormat | None) -> Listing:
    """Leave out the files that a condition on columns of the path is false of."""
    names = list(listing.table)
    needed = uses(joined(fixed))
    frame = to_frame(path_columns(listing.root, names, form, needed))
    keep = mask(frame, joined(fixed))
    rows = zip(listing.table.rows(), keep, strict=True)
    return replace(listing, table=PathTable(row for row, kept in rows if kept))


def _try_filters(spec: TableSpec, listing: Listing) -> None:
    """Apply the steps to no rows: a column of a wrong kind is said now."""
    options = listing.storage_options
    source = PlanInput("", listing.root, listing.remote, options, "tabular", spec.plain())
    TableLoader(source, NodeCache("")).try_steps()  # reads nothing, and so keeps nothing
