"""What is known of a run, under the keys that the original has for it."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from daskrun.core.codec import to_record
from daskrun.core.report import RunStatus
from daskrun.pipeline.records.run_output import outputs_of
from daskrun.storage.durable import open_regular

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from daskrun.core.codec import JsonObject
    from daskrun.workspace.run_folders.run_folder import RunFolder
    from daskrun.workspace.run_folders.run_records import Manifest, OutputRecord, StateRecord

LOG_BYTES = 1 << 20
"""Of a log file, what :func:`log_texts` gives at most."""
NOTED = ("kind", "experiment", "script", "host", "python", "pipeline_run", "name", "entry_script")
"""What of a run's manifest are its properties."""


def properties_of(manifest: Manifest) -> dict[str, str]:
    """Return what was noted of a run when it was submitted, as texts."""
    kept = manifest.values
    return {name: str(kept[name]) for name in NOTED if kept.get(name) is not None}


def details_of(folder: RunFolder, status: RunStatus, message: str) -> JsonObject:
    """Return what is known of a run of a pipeline or step, but for its log files."""
    manifest, states, report = folder.manifest(), folder.states(), folder.report()
    begun, ended = _times(states)
    done = status is RunStatus.COMPLETED and manifest.kind == "step"
    details = {
        "runId": folder.id,
        "target": manifest.values.get("target"),
        "status": status.value,
        "startTimeUtc": begun,
        "endTimeUtc": ended,
        "properties": properties_of(manifest),
        "inputDatasets": [
            *(_input(each, "Direct") for each in manifest.values.get("inputs", ())),
            *(_input(each, "Mount") for each in manifest.values.get("side_inputs", ())),
        ],
        "outputDatasets": [_output(each) for each in outputs_of(folder)] if done else [],
        "logFiles": {},
        "warnings": [
            {"source": "daskrun", "message": text} for text in (report.warnings if report else ())
        ],
    }
    if status is RunStatus.FAILED:
        # The codes of the original: something went wrong in a script process, or elsewhere.
        by_script = report is not None and report.errors and report.errors[0].process
        code = "UserError" if by_script else "ServiceError"
        details["error"] = {"error": {"code": code, "message": message}}
    details["daskrun"] = {
        "message": message,
        "manifest": manifest.values,
        "states": [to_record(state) for state in states],
        "report": None if report is None else to_record(report),
        "logs": folder.shown("logs"),
    }
    return details


def _input(kept: JsonObject, mechanism: str) -> JsonObject:
    """Return an input; ``mechanism`` is the usual one, where the manifest has none."""
    return {
        "dataset": {"id": kept.get("registered"), "name": kept["dataset"]},
        "consumptionDetails": {
            "type": "RunInput",
            "inputName": kept["name"],
            "mechanism": str(kept.get("mode", mechanism)).capitalize(),
        },
    }


def _output(kept: OutputRecord) -> JsonObject:
    place = {"datastore": kept.datastore, "path": kept.path_on_datastore}
    return {
        "outputType": "RunOutput",
        "outputDetails": {"outputName": kept.name},
        "dataset": {"id": None, **place},
    }


def _times(states: Sequence[StateRecord]) -> tuple[str | None, str | None]:
    """Return when a run first ran, and when it ended if it has, as the original writes it."""
    running = [each.time for each in states if each.status is RunStatus.RUNNING]
    last = states[-1]
    ended = last.time if last.status.ended else None
    return _time(running[0] if running else None), _time(ended)


def _time(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat()[:-6] + "Z"


def logs(folder: RunFolder) -> Iterator[tuple[str, str]]:
    """Yield the log files of a run: path, with the run's id, and place."""
    for name in folder.log_names():
        yield f"{folder.id}/{name}", folder.shown(name)


def log_texts(folder: RunFolder) -> Iterator[tuple[str, str]]:
    """Yield the log files of a run: path, with the run's id, and text or the end of it."""
    folder.fetch(folder.logs.name)
    for file in sorted(folder.logs.rglob("*")):
        if file.is_file():
            yield file.relative_to(folder.path.parent).as_posix(), _end_of(file)


def _end_of(file: Path) -> str:
    """Return the text of a log file, or the last of it."""
    with open_regular(file) as opened:
        size = opened.seek(0, os.SEEK_END)
        opened.seek(max(0, size - LOG_BYTES))
        text = opened.read().decode("utf-8", "replace")
    return text if size <= LOG_BYTES else f"... {size - LOG_BYTES:,} bytes before\n{text}"
