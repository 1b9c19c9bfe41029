"""What the driver is asked to run: everything resolved, nothing left to look up."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from daskrun.core.events import RunStarted
from daskrun.core.intervals import USUAL, Intervals
from daskrun.script.context import ScriptContext

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from daskrun.core.events import Observer
    from daskrun.core.minibatch import Plan
    from daskrun.core.settings import RunSettings
    from daskrun.script.node_spec import SideInputSpec
    from daskrun.script.process_spec import ScriptOutput

ORIGINAL_OPTIONS = (
    "--mini_batch_size",
    "--error_threshold",
    "--output_action",
    "--logging_level",
    "--run_invocation_timeout",
    "--run_max_try",
    "--output",
)
"""What the original added to the arguments of every script; the output comes last."""
INLINE = "inline"
"""The compute target that is this process itself."""


class RemoteScheduler(Protocol):
    """A Dask scheduler in another process; its answers are waited for."""

    def run_there(self, function: Callable[..., object]) -> None:
        """Run an importable function in it, which gets it as ``dask_scheduler``."""

    def ask_there(self, operation: str, **message: object) -> None:
        """Call one of its operations (``dask_scheduler.handlers``)."""


class Pages(Protocol):
    """How a run comes onto pages beside Dask's own."""

    def show_here(self) -> None:
        """Have schedulers of this process show it."""

    def add_here(self, scheduler: Any) -> None:
        """Add the pages to one of them; called in its event loop, with its dashboard there."""

    def show_there(self, scheduler: RemoteScheduler) -> Callable[[], None]:
        """Have a scheduler elsewhere show it; return what ends that."""


@dataclass(frozen=True)
class GivenCluster:
    """A Dask cluster and what its user has said of it."""

    at: object
    """An address, or an object of Dask."""
    security: Any = field(default=None, repr=False)
    """What is needed to connect to an address: a ``distributed.Security``."""
    bounds: tuple[int, int] | None = None
    """Between how many workers a cluster object is scaled."""
    loop_of_user: bool = False
    """Whether the address is of an asynchronous object: the user's event loop has to run."""


@dataclass(frozen=True)
class ScriptSource:
    """Where the entry script's code is."""

    snapshot: Path
    """Folder in the run folder that holds the code as it was at submit."""
    file: str
    """The entry script, relative to ``snapshot``."""
    shown_as: str
    """``__file__`` of the script and the path in its tracebacks: inside ``snapshot`` when a
    ``source_directory`` was given, else the script's own path."""
    extra_path: str | None = None
    """Folder added to ``sys.path`` after the snapshot: the script's own, where no
    ``source_directory`` was given."""
    whole: bool = False
    """Whether it is run once, as the program it is."""


@dataclass(frozen=True)
class StepRequest:
    """One step run."""

    run_id: str
    step_name: str
    run_folder: Path
    """Absolute; holds ``logs/``, ``journal``, ``snapshot/``. Workers must reach it."""
    output_folder: Path | None
    """Absolute; the output file and, while running, ``_daskrun/<run>/`` are in it. None: the output
    goes to a URL, or nothing is written."""
    settings: RunSettings
    plan: Plan
    script: ScriptSource
    target: object = None
    """See :func:`daskrun.engine.dispatch.make_dispatcher`."""
    context: ScriptContext = field(default_factory=ScriptContext)
    """What the script can ask; the engine adds what it knows better."""
    output_url: str = field(default="", repr=False)
    """Where the output goes when that is no folder; a URL may hold a password."""
    output_options: dict[str, Any] = field(default_factory=dict, repr=False)
    """What fsspec needs to open ``output_url``; may hold secrets."""
    pages: Pages | None = None
    """Where it is shown beside its observers."""
    side_inputs: Mapping[str, SideInputSpec] = field(default_factory=dict, repr=False)
    """What nodes must know of each side input that is files, by name; may hold secrets."""
    packages: tuple[str, ...] = ()
    """What script processes need to read side inputs as rows, as lines for pip."""
    outputs: Mapping[str, ScriptOutput] = field(default_factory=dict, repr=False)
    """Where each output of the step goes, by name; may hold secrets."""
    resumed: bool = False
    """Whether an earlier driver's journal is in ``run_folder``, to go on from."""
    retry_failed: bool = False
    """Where resumed: whether what had used up its tries gets new ones."""
    kept_at: str = ""
    """URL that ``run_folder`` is this process's copy of, ``""`` where it is kept there."""
    kept_options: dict[str, Any] = field(default_factory=dict, repr=False)
    """What fsspec needs to open ``kept_at``; may hold secrets."""
    before_commit: Callable[[], None] | None = None
    """Called before what script processes have done is committed: what they left beside it, such as
    metrics, is to be where it is kept by then."""
    intervals: Intervals = field(default=USUAL, repr=False)
    """How long the run waits for what."""
    nothing_new: str = ""
    """What the run says at its end where its plan has no mini-batch; ``""`` for the usual."""
    observers: tuple[Observer | Callable[[], Observer], ...] = ()
    """The user's, and what makes one when it is called without arguments."""

    @property
    def program(self) -> str:
        """File name of a script that is run as a whole; ``""`` for any other."""
        return self.script.file.rpartition("/")[2] if self.script.whole else ""

    def started(self, now: float) -> RunStarted:
        """Return the event that the run begins."""
        return RunStarted(
            self.run_id,
            self.step_name,
            self.settings,
            self.plan.known if self.plan.complete else None,
            now,
            experiment=self.context.experiment,
            pipeline_run_id=self.context.pipeline_run_id,
            folder=str(self.run_folder),
            resumed=self.resumed,
        )
