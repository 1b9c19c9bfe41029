"""``LoggedRun``: a run of a program that submits nothing, such as a notebook that trains."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from daskrun.core.report import RunStatus
from daskrun.core.typing import override
from daskrun.errors import ResumeError, SettingsError
from daskrun.pipeline.execution.advice import LOGGED
from daskrun.pipeline.execution.new_run import common, new_run_id
from daskrun.pipeline.execution.state import LiveState, StoredState
from daskrun.pipeline.runs.submitted import SubmittedRun

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from daskrun.pipeline.execution.state import RunState
    from daskrun.storage.lock_handle import LockHandle
    from daskrun.workspace.run_folders.run_folder import RunFolder
    from daskrun.workspace.workspace import Workspace

KIND = LOGGED
"""Of its manifest."""
PARENT = "parent"
"""In its manifest: the id of the run that it is below."""


class LoggedRun(SubmittedRun):
    """A run that is logged to, and ended, by the program that began it: nothing is run in it.

    ``Experiment.start_logging()`` begins one, ``run.child_run(name)`` one below another. As a
    context manager it is completed, or fails, with its block.

    Examples
    --------
    >>> import tempfile
    >>> from daskrun import Experiment, Workspace
    >>> ws = Workspace.create("trial", path=tempfile.mkdtemp())
    >>> with Experiment(ws, "trials").start_logging() as run:
    ...     run.log("alpha", 0.1)
    >>> run.get_status(), ws.get_run(run.id).get_metrics()
    ('Completed', {'alpha': 0.1})
    """

    name: str
    """What it was given; else its id."""
    _state: RunState
    _held: LockHandle | None = None
    """Says that this process has it."""
    _parent: str
    _is_here = True

    @classmethod
    def _made(cls, workspace: Workspace, state: RunState) -> LoggedRun:
        run: LoggedRun = object.__new__(cls)
        run._set_up(workspace, state)
        manifest = state.folder.manifest()
        run.name = manifest.name or run.id
        run._parent = str(manifest.values.get(PARENT) or "")
        return run

    def __enter__(self) -> LoggedRun:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if not self.status.ended:
            self.complete() if error is None else self.fail(error)

    @property
    @override
    def parent(self) -> Any:
        return self.workspace.get_run(self._parent) if self._parent else None

    def complete(self) -> None:
        """Note that it has ended well."""
        self._end(RunStatus.COMPLETED, "it was completed")

    def fail(self, error_details: object = None, error_code: object = None) -> None:
        """Note that it has failed, and why; nothing is raised."""
        told = [str(each) for each in (error_code, error_details) if each is not None]
        self._end(RunStatus.FAILED, ": ".join(told) or "it was failed")

    def get_steps(self) -> Sequence[Any]:
        """Return nothing: it has no steps."""
        return ()

    def _end(self, status: RunStatus, message: str) -> None:
        if self._held is None:
            problem = (
                f"run {self.id} is {self.status.value}, and ended by the process that began it"
            )
            raise SettingsError(
                type(self).__name__, [f"{problem}. Write start_logging() for more."]
            )
        assert isinstance(self._state, LiveState)
        self._state.enter(status, message)
        self._state.folder.push()
        self._held.close()
        self._held = None

    @override
    def _ended_within(self, seconds: float) -> bool:
        return True  # there is nothing to wait for: it ends when its program says so

    @override
    def _ids_below(self) -> list[str]:
        return [self.id, *(each.id for each in self.get_children())]

    @override
    def _resume(self, *given: Any) -> None:
        raise ResumeError(f"run {self.id} was only logged to: there is nothing to go on with.")

    @override
    def _steps(self) -> Sequence[Any]:
        return ()

    @override
    def _apart(self) -> tuple[str, str]:
        return "", self.message

    @override
    def _reason(self) -> str:
        return self.message


_live: WeakValueDictionary[str, LoggedRun] = WeakValueDictionary()
"""The runs that this process has begun, by id."""


def begin(workspace: Workspace, experiment: str, parent: str | None, name: str | None) -> LoggedRun:
    """Begin a run, which this process has from now on, in an experiment, perhaps below a run."""
    below = f"{time.time_ns():016x}{os.urandom(2).hex()}"  # unique, and sorted by time
    run_id = new_run_id() if parent is None else f"{parent}-{below}"
    told = {"kind": KIND, "id": run_id, "name": name or "", PARENT: parent}
    folder = workspace.site.run_folder(run_id)
    held = folder.begin({**told, **common(workspace, experiment)})
    state = LiveState(folder, lambda reason: run._end(RunStatus.CANCELED, reason))
    run = _live[run_id] = LoggedRun._made(workspace, state)
    run._held = held
    state.enter(RunStatus.RUNNING)
    return run


def found(workspace: Workspace, folder: RunFolder) -> LoggedRun:
    """Return a run that this process, or another, has begun."""
    live = _live.get(folder.id)
    if live is not None and live.workspace == workspace:
        return live
    return LoggedRun._made(workspace, StoredState(folder))


def children(workspace: Workspace, run_id: str) -> Iterator[LoggedRun]:
    """Yield the runs that were begun below another."""
    for each in workspace.site.run_ids():
        if each.startswith(f"{run_id}-"):
            folder = workspace.site.run_folder(each)
            manifest = folder.readable()
            if manifest is not None and manifest.values.get(PARENT) == run_id:
                yield found(workspace, folder)
