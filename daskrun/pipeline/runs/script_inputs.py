"""What a script finds under ``Run.get_context().input_datasets``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daskrun.errors import DatasetError, NameNotFoundError, ResumeError
from daskrun.workspace.run_folders.run_folder import RunFolder
from daskrun.workspace.workspace import Workspace

if TYPE_CHECKING:
    from daskrun.script.context import ScriptContext


def workspace_of(run: ScriptContext) -> Workspace:
    """Return the workspace of the run that a script process works for."""
    return Workspace(run.workspace, run.workspace_options)


class ScriptInputs(Mapping[str, Any]):
    """The inputs of a step, in its script processes, by name.

    ``run`` is as :func:`daskrun.script.context.current` gives it.
    """

    def __init__(self, run: ScriptContext) -> None:
        self._run = run
        self._roots = dict(run.input_datasets)

    def __getitem__(self, name: str) -> Any:
        if name not in self._roots:
            raise NameNotFoundError("input dataset", name, list(self._roots))
        if name not in self._run.tables:
            return self._roots[name]
        from daskrun.pipeline.records.step_spec import kept_inputs  # loads much; few scripts ask

        folder = RunFolder(Path(self._run.run_folder))
        try:
            return kept_inputs(folder, workspace_of(self._run))[name]
        except ResumeError as error:
            raise DatasetError(
                f"input_datasets[{name!r}] can't be had in a script process: {error}"
            ) from error

    def __repr__(self) -> str:
        tables = self._run.tables
        shown = {name: "a table" if name in tables else path for name, path in self._roots.items()}
        return f"input_datasets({shown})"

    def __iter__(self) -> Any:
        return iter(self._roots)

    def __len__(self) -> int:
        return len(self._roots)
