"""Mini-batches of tables in the process that runs them; pandas is loaded for the first of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from daskrun.core.minibatch import PlanInput
from daskrun.core.warned import of_input

if TYPE_CHECKING:
    from collections.abc import Sequence

    from daskrun.core.minibatch import PlanInput
    from daskrun.data.tabular.formats.contract import PieceFile
    from daskrun.data.tabular.loading.load import TableLoader

_KEPT = 16 << 20
"""Bytes of the largest piece of memory that malloc keeps for the next mini-batch, and half of what
it keeps in all."""


class Tables:
    """A loader for each tabular input of a run, made when it is first needed."""

    def __init__(self, inputs: Sequence[PlanInput], cache: str) -> None:
        self._inputs = inputs
        self._cache = cache
        self._loaders: dict[int, TableLoader] = {}
        self._told: set[tuple[int, str]] = set()

    def prepare(self) -> None:
        """Make all loaders now, and a mini-batch without rows of each.

        That loads pandas and pyarrow, half a second in which the driver has its own imports to do:
        the first mini-batches need not wait for them.
        """
        numbers = [n for n, each in enumerate(self._inputs) if each.kind == "tabular"]
        for number in numbers:
            self._loader(number).meta()
        if numbers:
            _keep_memory()

    def load(self, number: int, load: tuple[Any, ...], fetched: list[str] | None) -> Any:
        """Return DataFrame of a mini-batch; ``fetched`` are the local files of a remote input."""
        return self._loader(number).load(load[1], self._files(number, load, fetched), load[2])

    def look(self, number: int, load: tuple[Any, ...], fetched: list[str] | None) -> Any:
        """Make a survey."""
        return self._loader(number).look(load, self._files(number, load, fetched))

    def new_warnings(self) -> list[str]:
        """Return what was warned of and was not given before."""
        every = ((n, text) for n, loader in self._loaders.items() for text in loader.warnings)
        fresh = [each for each in dict.fromkeys(every) if each not in self._told]
        self._told.update(fresh)
        return [of_input(text, self._inputs[n].name, len(self._inputs)) for n, text in fresh]

    def _loader(self, number: int) -> TableLoader:
        if number not in self._loaders:
            # Here: pandas and pyarrow take half a second, which runs over files need not wait.
            from daskrun.data.tabular.formats.node_cache import NodeCache
            from daskrun.data.tabular.loading.load import TableLoader

            self._loaders[number] = TableLoader(self._inputs[number], NodeCache(self._cache))
        return self._loaders[number]

    def _files(
        self, number: int, load: tuple[Any, ...], fetched: list[str] | None
    ) -> list[PieceFile] | None:
        if fetched is None:
            return None
        from daskrun.data.tabular.loading.local_fetch import piece_files

        return piece_files(self._inputs[number].root, load, fetched)


def _keep_memory() -> None:
    """Make the C library keep the memory of one mini-batch for the next.

    It gives back what lies at the heap's end, and each megabyte is then cleared and mapped anew,
    page by page: 95 page faults for a mini-batch of a million bytes and 110 for as many that a
    survey looks at, which took it 0.8 ms rather than 0.5. glibc keeps more the larger what it has
    once had to give back was; elsewhere this does nothing. The memory is never touched.
    """
    bytes(_KEPT)


def known_of(
    source: PlanInput, load: tuple[Any, ...], mini_batch: Any = None
) -> tuple[Any, int | None]:
    """Return what a mini-batch's context tells beside its number: partition values, first row."""
    first_row = load[3] if load[0] == "table" else None
    table = source.table
    if table and table.get("partition_by") and mini_batch is not None:
        return {key: mini_batch[key].iloc[0] for key in table["partition_by"]}, None
    if not table or not table["partition_keys"]:
        return None, first_row
    from daskrun.data.partition_format import PartitionFormat

    name = load[1][0][0] if load[0] == "table" else load[1]
    form = PartitionFormat(table["partition"]["format"])
    values = dict(zip(form.columns, form.values(source.root, name), strict=True))
    return {key: values[key] for key in table["partition_keys"]}, first_row
