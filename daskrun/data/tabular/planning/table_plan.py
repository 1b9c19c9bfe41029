"""The plan of a run over tables: the mini-batches of each input, one input after another."""

from __future__ import annotations

import json
import pickle
from bisect import bisect_right
from dataclasses import replace
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Self

from daskrun.core.minibatch import MiniBatch, PlanInput, Survey, Surveyor, TablePieces
from daskrun.core.typing import override
from daskrun.core.warned import of_input
from daskrun.data.listed_plan import ListedPlan
from daskrun.data.protocols import shown_url
from daskrun.data.tabular.planning.input_plan import InputPlan
from daskrun.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from daskrun.data.paths import PathTable
    from daskrun.data.tabular.planning.resolve import TableInput


def no_size(mini_batch_size: object) -> DatasetError:
    """Return the error of a ``mini_batch_size`` that is none."""
    return DatasetError(
        f"mini_batch_size={mini_batch_size!r} is not a number of bytes. Give an int from 1, or a "
        "size such as mini_batch_size='1MB'."
    )


class TablePlan(ListedPlan, Surveyor):
    """Mini-batches of tables, known as they are asked for.

    ``mini_batch_size``: about how many bytes of a file, at least 1. ``partition_by``: columns that
    have one value each in every mini-batch: the table was shuffled. Raises DatasetError: the size
    is no number of bytes, or an input is not partitioned by the keys.
    """

    kind_of_file = "*.csv"

    def __init__(
        self,
        inputs: Sequence[tuple[str, TableInput]],
        mini_batch_size: int,
        partition_keys: Sequence[str] | None = None,
        partition_by: Sequence[str] | None = None,
    ) -> None:
        if not isinstance(mini_batch_size, int) or mini_batch_size < 1:
            raise no_size(mini_batch_size)
        self.mini_batch_size = mini_batch_size
        self.partition_keys = tuple(partition_keys or ())
        self._tables = [table for _, table in inputs]
        self.inputs = tuple(
            PlanInput(
                name,
                table.listing.root,
                table.listing.remote,
                dict(table.listing.storage_options),
                "tabular",
                {
                    **table.spec.plain(),
                    "partition_keys": list(self.partition_keys),
                    "partition_by": list(partition_by or ()),
                },
            )
            for name, table in inputs
        )
        self._plans = []
        for number, (name, table) in enumerate(inputs):
            form = table.spec.partition.format if table.spec.partition else None
            groups = self._groups(name, form, table.listing)
            self._plans.append(InputPlan(number, table, mini_batch_size, groups))
        self._starts = [0]
        """Index of the first mini-batch of each input whose predecessors are complete."""
        self._surveys = 0
        self._asked: dict[int, InputPlan] = {}

    def risks(self) -> list[str]:
        """Look at more rows, for a second at most an input; warn of those that types don't fit."""
        several = zip(self.inputs, self._tables, strict=True)
        count = len(self.inputs)
        return [of_input(text, one.name, count) for one, table in several for text in table.risks()]

    @override
    def narrowed(self, tables: Sequence[PathTable]) -> Self:
        inputs = [
            (each.name, replace(table, listing=replace(table.listing, table=files)))
            for each, table, files in zip(self.inputs, self._tables, tables, strict=True)
        ]
        return type(self)(inputs, self.mini_batch_size, self.partition_keys)

    @property
    @override
    def surveyor(self) -> TablePlan:
        return self

    @property
    @override
    def tables(self) -> list[PathTable]:
        return [table.listing.table for table in self._tables]

    @property
    @override
    def known(self) -> int:
        return self._starts[-1] + self._plans[len(self._starts) - 1].known

    @property
    @override
    def complete(self) -> bool:
        return len(self._starts) == len(self._plans) and self._plans[-1].complete

    @override
    def extend(self, upto: int) -> None:
        while not self.complete:
            current = self._plans[len(self._starts) - 1]
            current.extend(upto - self._starts[-1])
            if not current.complete or self.known >= upto:
                return
            self._go_on()

    @override
    def begin(self, most: int) -> list[Survey]:
        surveys: list[Survey] = []
        for number, plan in enumerate(self._plans[len(self._starts) - 1 :], len(self._starts) - 1):
            while len(surveys) < most and (found := plan.begin(self._surveys)) is not None:
                load, key, nbytes = found
                descriptor = pickle.dumps((self._surveys, number, load, None, nbytes), 5)
                surveys.append(Survey(self._surveys, descriptor, key))
                self._asked[self._surveys] = plan
                self._surveys += 1
        return surveys

    @override
    def learn(self, number: int, found: Any) -> None:
        self._asked.pop(number).learn(number, found)
        self._go_on()

    @override
    def give_up(self, number: int, trouble: str) -> None:
        """Take it that a survey can't be made.

        Raises DatasetError: no mini-batch after it can be known.
        """
        self._asked.pop(number).give_up(number, trouble)
        self._go_on()

    def __getitem__(self, index: int) -> MiniBatch:
        """Return mini-batch ``index``, ``0 <= index < known``."""
        which, load, items, nbytes = self._look_up(index)
        return MiniBatch(index, which, load, items, nbytes)

    @override
    def encode(self, index: int) -> bytes:
        return self[index].encode()

    @override
    def bundle_size(self, start: int, count: int) -> int:
        """Return about ``count``: half to twice as many, where a bundle had better end there.

        What is cut within a large row group has to be gone through from the group's beginning by
        every script process that gets a part of it.
        """
        which = bisect_right(self._starts, start) - 1
        return self._plans[which].bundle_size(start - self._starts[which], count)

    @override
    def fingerprint(self) -> str:
        head = json.dumps([self.mini_batch_size, self.partition_keys])
        digest = blake2b(head.encode(), digest_size=16)
        for table in self._tables:
            listing = table.listing
            spec = json.dumps(table.spec.plain(), sort_keys=True, default=str)
            digest.update(f"\0{shown_url(listing.root)}\0{spec}\0".encode("utf-8", "replace"))
            listing.table.update(digest)
        return digest.hexdigest()

    def _look_up(self, index: int) -> tuple[int, TablePieces, int | None, int]:
        self._check(index)
        which = bisect_right(self._starts, index) - 1
        return which, *self._plans[which].load(index - self._starts[which])

    def _go_on(self) -> None:
        """Count the inputs that are complete."""
        while len(self._starts) < len(self._plans) and self._plans[len(self._starts) - 1].complete:
            self._starts.append(self.known)
