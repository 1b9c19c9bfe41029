"""What a run's folder keeps of the run, as it is read from the files there."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import Self

from daskrun.core.codec import JsonObject, from_record, record
from daskrun.core.report import Report, RunStatus

EXPERIMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}", re.ASCII)
"""Names of experiments."""

NOT_KEPT = {each.name: 0 for each in fields(Report)} | {
    "message": "",
    "obstacle": "",
    "errors": [],
    "warnings": [],
}
"""What stands for the fields that a report of an older daskrun lacks."""


@record
@dataclass(frozen=True, slots=True)
class OutputRecord:
    """Where an output of a step goes."""

    name: str
    datastore: str
    """The datastore's name."""
    path_on_datastore: str
    folder: str
    """The path or URL of that, as messages show it."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What was asked when a run was submitted: ``run.json``. It never changes."""

    values: JsonObject
    """All of the file; it holds no secret."""
    kind: str
    """``pipeline`` or ``step``."""
    name: str
    """The step's; ``""`` for a pipeline's run."""
    experiment: str
    pipeline_run: str
    """Id of the pipeline's run, which may be this one."""
    steps: tuple[str, ...]
    """Ids of the runs of its steps."""
    outputs: tuple[OutputRecord, ...]

    @classmethod
    def read(cls, values: JsonObject, run_id: str) -> Self:
        """Return what a file says of the run of an id; ValueError: no run has such a record."""
        experiment = values.get("experiment", "")
        if values.get("kind") != "step" and not EXPERIMENT.fullmatch(experiment):
            raise ValueError(f"experiment={experiment!r}")
        return cls(
            values,
            str(values.get("kind", "")),
            str(values.get("name", "")),
            experiment,
            str(values.get("pipeline_run", run_id)),
            tuple(values.get("steps", ())),
            tuple(from_record(OutputRecord, each) for each in values.get("outputs") or ()),
        )

    @property
    def is_top(self) -> bool:
        """Whether it is below no other run: neither a step's nor a child's."""
        return self.kind != "step" and not self.values.get("parent")

    @property
    def continue_on_step_failure(self) -> bool:
        """Whether other steps of the pipeline go on once one has failed."""
        return bool(self.values["continue_on_step_failure"])

    @property
    def output_file(self) -> str:
        """Name of the file that all results are appended to; ``""`` where there is none."""
        settings = self.values.get("settings") or {}
        appends = settings.get("output_action") == "append_row"
        return str(settings.get("append_row_file_name")) if appends else ""


@record
@dataclass(frozen=True, slots=True)
class StateRecord:
    """A state that a run has entered."""

    status: RunStatus
    message: str
    """What has happened; ``""`` for the states that a run begins with."""
    time: float
    """Seconds since the epoch."""


def read_state(value: JsonObject) -> StateRecord:
    """Return a state of a file's value."""
    return from_record(StateRecord, renamed(value), known_only=True)


def read_report(value: JsonObject) -> Report:
    """Return a report of a file's value; counts that an older daskrun didn't keep are 0."""
    return from_record(Report, NOT_KEPT | renamed(value), known_only=True)


def renamed(found: JsonObject) -> JsonObject:
    """Return a state, report or note of reuse with the key of its message as it is today.

    Folders written by daskrun 0.1.0 before its words were settled have ``sentence`` there.
    """
    return {"message" if key == "sentence" else key: value for key, value in found.items()}
