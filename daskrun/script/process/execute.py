"""One attempt at one mini-batch: load, run, encode, write; in a script process and inline."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from daskrun.core.minibatch import Descriptor, PlanInput
from daskrun.core.outcome import Failure, Found, ItemsFailed, Outcome, Status
from daskrun.data.input_changes import check_brought
from daskrun.data.loading import MiniBatchPaths, load_files, unreadable
from daskrun.errors import PartError, TableError, WrongResultError
from daskrun.output.parts.part import UnusableProcessError
from daskrun.script.failed import Failed
from daskrun.script.process.entry import EntryModule, error_of
from daskrun.script.process.gpu_errors import is_out_of_gpu_memory
from daskrun.script.process.item_failures import divided
from daskrun.script.process.tables import Tables, known_of
from daskrun.script.status_block import StatusBlock

if TYPE_CHECKING:
    from daskrun.output.parts.part import ResultWriter
    from daskrun.script.process_spec import ScriptFile

Fetched = Callable[[int, int, PlanInput, tuple[Any, ...]], list[str]]
"""(bundle, index, input, load) -> local paths of what a load needs of remote files."""


@dataclass(frozen=True, slots=True)
class MiniBatchContext:
    """What ``run(mini_batch, mini_batch_context)`` is told."""

    minibatch_index: int
    """Position of the mini-batch in the run."""
    dataset: str
    """Name of the input it is cut from."""
    partition_key_value: dict[str, Any] | None = None
    """Values of ``partition_keys``, texts or dates; None where the run has none."""
    global_row_index_lower_bound: int | None = None
    """Index of its first row in the whole input, where the source gives it."""


def context_of(
    index: int, source: PlanInput, load: tuple[Any, ...], mini_batch: Any = None
) -> MiniBatchContext:
    """Return what ``run()`` is told of a mini-batch: its number, its input, what its load says."""
    return MiniBatchContext(index, source.name, *known_of(source, load, mini_batch))


class Loader:
    """Loads mini-batches as ``run()`` gets them; ``fetched`` gets local copies of remote files."""

    def __init__(
        self, inputs: Sequence[PlanInput], tables: Tables, fetched: Fetched | None = None
    ) -> None:
        self._inputs = inputs
        self._tables = tables
        self._fetched = fetched

    def load(self, bundle: int, descriptor: Descriptor) -> Any:
        """Return a mini-batch's list of local paths or DataFrame."""
        index, input_number, load, _, nbytes = descriptor
        source = self._inputs[input_number]
        fetched = self._local_copies(bundle, index, source, load)
        if load[0] == "table":
            return self._tables.load(input_number, load, fetched)
        if fetched is not None:
            check_brought(source.root, load[1:], fetched, nbytes)
            return MiniBatchPaths(fetched, index)
        return load_files(source.root, load[1:], index)

    def look(self, bundle: int, descriptor: Descriptor) -> Any:
        """Make a survey."""
        index, input_number, load, _, _ = descriptor
        fetched = self._local_copies(bundle, index, self._inputs[input_number], load)
        return self._tables.look(input_number, load, fetched)

    def _local_copies(
        self, bundle: int, index: int, source: PlanInput, load: tuple[Any, ...]
    ) -> list[str] | None:
        if not source.remote or self._fetched is None:
            return None
        return self._fetched(bundle, index, source, load)


def _status_of(error: BaseException, status: Status) -> Status:
    """Return how an attempt has ended that came to ``status`` before an error."""
    if isinstance(error, WrongResultError):
        return Status.WRONG_TYPE
    of_gpu = status == Status.RAISED and is_out_of_gpu_memory(error)
    return Status.GPU_MEMORY if of_gpu else status


class Executor:
    """Runs attempts one after another in this process.

    ``module`` is loaded, ``init()`` called; ``status_block`` shows what is in hand, from the start
    of an attempt until :meth:`let_go`, as it pays for what ends the process; ``fetched`` and
    ``release`` get local copies of remote files, and let them go.
    """

    def __init__(
        self,
        module: EntryModule,
        inputs: Sequence[PlanInput],
        writer: ResultWriter,
        status_block: StatusBlock,
        fetched: Fetched | None = None,
        release: Callable[[int, int], None] | None = None,
        tables: Tables | None = None,
    ) -> None:
        self._module = module
        self._inputs = inputs
        self._writer = writer
        self._ints = status_block.ints
        self._times = status_block.times
        self._release = release
        self._tables = tables or Tables(inputs, "")
        self._loader = Loader(inputs, self._tables, fetched)

    @property
    def script(self) -> ScriptFile:
        """The entry script."""
        return self._module.script

    def attempt(self, bundle: int, descriptor: Descriptor, number: int) -> Outcome:
        """Run one attempt and return its outcome.

        Raises PartError where its rows can't be kept, which is no fault of the mini-batch: it has
        no outcome; UnusableProcessError where the script has spoilt its process, which must end.
        """
        index, input_number, load, items, _ = descriptor
        if load[0] == "survey":
            return self._survey(bundle, descriptor, number)
        ints, times = self._ints, self._times
        source = self._inputs[input_number]
        started, begin = self._begin(descriptor, number)
        status, result, running = Status.NOT_LOADED, None, 0.0
        loaded: float | None = None
        error: Failure | ItemsFailed | None = None
        try:
            mini_batch = self._loader.load(bundle, descriptor)
            items = len(mini_batch)
            ints[StatusBlock.ITEMS] = items
            status = Status.RAISED
            if items:
                times[StatusBlock.RUNNING_SINCE] = loaded = time.monotonic()
                ints[StatusBlock.RUNNING] = 1
                try:
                    result = self._module.process(
                        mini_batch, lambda: context_of(index, source, load, mini_batch)
                    )
                finally:
                    times[StatusBlock.RUNNING_SINCE] = ended = time.monotonic()
                    running = ended - loaded
            else:
                result = []  # CONTRACT: an empty mini-batch doesn't call run()
            status = Status.NOT_WRITTEN
            given = None
            if Failed._made:
                result, given = divided(result, mini_batch, self._module.script)
            results = self._writer.count(result)
            if given is not None or self._writer.any_number:
                left = max(0, items - (given.count if given is not None else 0))
                results = left if self._writer.any_number else min(results, left)
            written = self._writer.write(result, self._module.here)
            outcome = (index, number, 0, items, results, *written)
            error = given
        except UnusableProcessError:
            raise
        except PartError:
            self.let_go()
            raise
        except BaseException as caught:  # noqa: BLE001  (also sys.exit() in user code is an outcome)
            status = _status_of(caught, status)
            error = error_of(caught, self._module.script)
            if isinstance(caught, TableError):
                items = caught.items or items
                error = replace(error, ends_run=caught.ends_run)
            if getattr(caught, "lasting", False):
                error = replace(error, lasting=True)
            files = load[0] == "files" and status == Status.RAISED
            if files and (why := unreadable(mini_batch)) is not None:
                status = Status.NOT_LOADED  # the script's error is what follows from it
                error = replace(error, message=f"{why} The script said: {error.message}")
            outcome = (index, number, int(status), items or 1, 0, -1, 0, 0, 0)
        self._release_files(bundle, descriptor)
        elapsed = time.monotonic() - begin
        loading = elapsed if loaded is None else loaded - begin
        fields = (*outcome, started, elapsed, running, loading, error)
        return tuple.__new__(Outcome, fields)  # of each mini-batch: _make() takes twice as long

    def _begin(self, descriptor: Descriptor, number: int) -> tuple[float, float]:
        """Show that an attempt begins; return when, since the epoch and monotonic."""
        ints, times = self._ints, self._times
        started, begin = time.time(), time.monotonic()
        index, _, _, items, _ = descriptor
        ints[StatusBlock.ITEMS], ints[StatusBlock.ATTEMPT] = items or 0, number
        times[StatusBlock.STARTED_AT], times[StatusBlock.LOADING_SINCE] = started, begin
        ints[StatusBlock.RUNNING] = 0
        ints[StatusBlock.IN_HAND] = index
        return started, begin

    def let_go(self) -> None:
        """Show that no mini-batch is in hand: what became of the last is safe."""
        self._ints[StatusBlock.IN_HAND] = -1

    def _release_files(self, bundle: int, descriptor: Descriptor) -> None:
        if self._release is not None and self._inputs[descriptor.input].remote:
            self._release(bundle, descriptor.index)

    def new_warnings(self) -> list[str]:
        """Return what readers and results have to be warned of and was not given before."""
        return [*self._tables.new_warnings(), *self._writer.new_warnings()]

    def _survey(self, bundle: int, descriptor: Descriptor, number: int) -> Outcome:
        """Look at data for the plan; an attempt like any other, that calls no user code."""
        started, begin = self._begin(descriptor, number)
        status = Status.SUCCEEDED
        try:
            told: Found | Failure = Found(self._loader.look(bundle, descriptor))
        except BaseException as caught:  # noqa: BLE001  (as in attempt())
            status, told = Status.NOT_LOADED, error_of(caught, self._module.script)
        self._release_files(bundle, descriptor)
        head = (descriptor.index, number, int(status), 0, 0, -1, 0, 0, 0)
        elapsed = time.monotonic() - begin
        return Outcome(*head, started, elapsed, 0.0, elapsed, told)
