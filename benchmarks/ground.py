"""What the benchmarks stand on: small files, a no-op script, the request of a run, its watcher."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from daskrun.core.events import Observer
from daskrun.core.settings import RunSettings
from daskrun.engine.request import ScriptSource, StepRequest
from daskrun.output.folder import prepare_output

if TYPE_CHECKING:
    from pathlib import Path

    from daskrun.core.events import Event
    from daskrun.core.minibatch import Plan

SCRIPT = "def run(mini_batch):\n    return ['ok'] * len(mini_batch)\n"
"""The no-op that daskrun and its peers call: a short result for each item, nothing read."""


def make_files(folder: Path, count: int) -> None:
    """Write ``count`` files of a few bytes."""
    folder.mkdir(parents=True)
    for i in range(count):
        with (folder / f"{i:07d}.txt").open("w") as file:
            file.write(str(i))


def make_request(
    place: Path, plan: Plan, script: str, target: object = None, **settings: Any
) -> StepRequest:
    """Make the request of a run whose folders are all below ``place``."""
    snapshot = place / "run" / "snapshot"
    snapshot.mkdir(parents=True)
    (snapshot / "score.py").write_text(script)
    output = place / "output"
    output.mkdir()
    resolved = RunSettings(entry_script="score.py", **settings)
    prepare_output(output, "benchmark", resolved.append_row_file_name, overwrite=False)
    source = ScriptSource(snapshot, "score.py", str(snapshot / "score.py"))
    return StepRequest(
        "benchmark", "benchmark", place / "run", output, resolved, plan, source, target
    )


def output_of(request: StepRequest) -> Path:
    """Give the output file of a request."""
    assert request.output_folder is not None
    return request.output_folder / request.settings.append_row_file_name


class Watch(Observer):
    """An observer that notes when each kind of event was last seen, and first."""

    def __init__(self) -> None:
        self.first: dict[str, float] = {}
        """Kind of event -> seconds since the epoch."""
        self.last: dict[str, float] = {}

    def notify(self, event: Event) -> None:
        """Note the time."""
        kind, now = type(event).__name__, time.time()
        self.first.setdefault(kind, now)
        self.last[kind] = now
