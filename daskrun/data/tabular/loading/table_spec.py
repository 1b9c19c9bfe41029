"""How script processes make the mini-batches of a table: what is read, added and applied."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from daskrun.data.tabular.conditions.expression import uses
from daskrun.data.tabular.formats.registry import spec_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from daskrun.data.tabular.conditions.row_steps import Step
    from daskrun.data.tabular.formats.contract import Plain, ReaderSpec

PATH = "Path"
"""Name of the column that ``include_path`` adds."""


@dataclass(frozen=True, slots=True)
class Partition:
    """Columns that come from the path."""

    format: str
    """The dataset's ``partition_format``."""
    columns: tuple[str, ...]
    """Those of it that are made."""


@dataclass(frozen=True, slots=True)
class TableSpec:
    """All that mini-batches of an input are made by; no secret."""

    reader: ReaderSpec
    columns: tuple[str, ...]
    """Names to read from the files."""
    partition: Partition | None
    include_path: bool
    steps: tuple[Step, ...]
    """For :class:`daskrun.data.tabular.conditions.row_steps.Steps`."""

    def plain(self) -> Plain:
        """Return the specification as builtins: what travels, and what fingerprints are of."""
        partition = self.partition
        return {
            "reader": self.reader.plain(),
            "columns": list(self.columns),
            "partition": partition
            and {"format": partition.format, "columns": list(partition.columns)},
            "include_path": self.include_path,
            "steps": list(self.steps),
        }

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> TableSpec:
        """Make the specification that :meth:`plain` was asked of; other keys are left out."""
        partition = plain["partition"]
        return cls(
            spec_of(plain["reader"]),
            tuple(plain["columns"]),
            partition and Partition(partition["format"], tuple(partition["columns"])),
            plain["include_path"],
            tuple(map(tuple, plain["steps"])),
        )

    @property
    def added(self) -> list[str]:
        """Columns that come from the path; ``Path`` is the first of all columns, others behind."""
        return [*([PATH] if self.include_path else []), *(self.partition or _NONE).columns]

    def narrowed(self, wanted: Sequence[str]) -> TableSpec:
        """Return the specification of the same rows with these columns only, in this order."""
        steps = tuple(step for step in self.steps if step[0] != "keep")
        looked = set().union(*(uses(step[1]) for step in steps if step[0] == "filter"))
        needed = looked | set(wanted)
        partition = self.partition
        if partition is not None:
            kept = tuple(name for name in partition.columns if name in needed)
            partition = replace(partition, columns=kept)
        made = replace(
            self,
            # A row has at least one column: without any, nothing would say how many rows there are.
            columns=tuple(name for name in self.columns if name in needed) or self.columns[:1],
            partition=partition,
            include_path=self.include_path and PATH in needed,
            steps=steps,
        )
        path = [PATH] if made.include_path else []
        if [*path, *made.columns, *(made.partition or _NONE).columns] == list(wanted):
            return made
        return replace(made, steps=(*steps, ("keep", list(wanted))))


_NONE = Partition("", ())
