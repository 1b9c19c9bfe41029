"""What a script finds under ``Run.get_context().input_datasets``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from daskrun.errors import DatasetError, NameNotFoundError, ResumeError
from daskrun.workspace.run_folders.run_folder import RunFolder
from daskrun.workspace.workspace import Workspace


def workspace_of(values: Mapping[str, Any]) -> Workspace:
    """Return the workspace of the run that a script process works for."""
    return Workspace(values["workspace"], values.get("workspace_options"))


class ScriptInputs(Mapping[str, Any]):
    """The inputs of a step, in its script processes, by name.

    ``values`` are as :func:`daskrun.script.context.current` gives them; empty for no inputs.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values
        self._roots: dict[str, str] = dict(values.get("input_datasets", {}))

    def __getitem__(self, name: str) -> Any:
        if name not in self._roots:
            raise NameNotFoundError("input dataset", name, list(self._roots))
        if name not in self._values.get("tables", ()):  # a run of an older daskrun goes on
            return self._roots[name]
        from daskrun.pipeline.records.step_spec import kept_inputs  # loads much; few scripts ask

        folder = RunFolder(Path(self._values["run_folder"]))
        try:
            return kept_inputs(folder, workspace_of(self._values))[name]
        except ResumeError as error:
            raise DatasetError(
                f"input_datasets[{name!r}] can't be had in a script process: {error}"
            ) from error

    def __repr__(self) -> str:
        tables = self._values.get("tables", ())
        shown = {name: "a table" if name in tables else path for name, path in self._roots.items()}
        return f"input_datasets({shown})"

    def __iter__(self) -> Any:
        return iter(self._roots)

    def __len__(self) -> int:
        return len(self._roots)
