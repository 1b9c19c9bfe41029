"""The pipeline that a run was submitted of, kept with the run so that it can be published."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from daskrun.errors import DaskrunError, SettingsError, StorageError
from daskrun.pipeline.records.step_codec import steps_to_plain
from daskrun.pipeline.runs.published import about_code, may_be_secret, pipeline_from
from daskrun.storage.durable import write_whole
from daskrun.workspace.run_folders.run_folder import SNAPSHOT

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from daskrun.pipeline.runs.pipeline import Pipeline
    from daskrun.pipeline.steps.base import PipelineStep
    from daskrun.pipeline.steps.snapshot import Snapshot
    from daskrun.workspace.run_folders.run_folder import RunFolder
    from daskrun.workspace.workspace import Workspace

FILE = "pipeline.json"
"""In a pipeline run's folder: its steps as they were made, or why they are not kept."""
SECRET = (
    "its pipeline holds what may be secret, environment variables or a URL with a password, which "
    "only the process that submitted it has"
)


def keep_pipeline(
    folder: RunFolder, pipeline: Pipeline, codes: Mapping[PipelineStep, tuple[str, Snapshot]]
) -> dict[str, Any] | None:
    """Keep the steps of a pipeline in its run's folder, as far as that can be done.

    Parameters
    ----------
    folder
        The pipeline run's.
    pipeline
        What is submitted.
    codes
        Of each step the id of its run, whose folder has a copy of the code, and the code.

    Returns
    -------
    dict or None
        What the folder must not hold, as it may be secret, for :func:`pipeline_of`.

    Raises
    ------
    StorageError
        The folder can't be written.
    """
    held: dict[str, Any] | None = None
    value: dict[str, Any]
    try:
        plain = steps_to_plain(pipeline.steps, pipeline.dependencies, pipeline.workspace)
    except DaskrunError as error:
        problems = error.problems if isinstance(error, SettingsError) else [str(error)]
        value = {"refused": " ".join(problems)}
    else:
        ordered = [codes[step] for step in pipeline.steps]
        about = [{"run": run_id, **about_code(code)} for run_id, code in ordered]
        value = {"definition": plain, "code": about}
        if may_be_secret(plain, pipeline.workspace):
            held, value = value, {"refused": SECRET}
    try:
        write_whole(folder.path / FILE, json.dumps(value).encode(), mode=0o600)
    except OSError as error:
        raise StorageError(f"can't write {folder.path / FILE}: {error}") from error
    return held


def pipeline_of(folder: RunFolder, workspace: Workspace, held: dict[str, Any] | None) -> Pipeline:
    """Return the pipeline that :func:`keep_pipeline` was given, with the code as it was.

    Parameters
    ----------
    folder
        The pipeline run's.
    workspace
        Where it is kept.
    held
        What :func:`keep_pipeline` returned; None in another process.

    Raises
    ------
    SettingsError
        It wasn't kept, and why.
    DaskrunError
        What it is made of isn't there any more.
    """
    folder.fetch(FILE)
    try:
        value = held or json.loads((folder.path / FILE).read_bytes())
    except FileNotFoundError:
        value = {"refused": "an earlier daskrun submitted it, which kept no pipelines"}
    if "refused" in value:
        reason = str(value["refused"]).rstrip(".")
        problem = f"run {folder.id} can't be published: {reason}. Publish what was submitted: "
        raise SettingsError("publish_pipeline", [f"{problem}pipeline.publish(name)."])
    codes = [(_code_of(folder.sibling(each["run"])), each) for each in value["code"]]
    return pipeline_from(workspace, value["definition"], codes)


def _code_of(step: RunFolder) -> Path:
    step.fetch(SNAPSHOT)
    return step.path / SNAPSHOT
