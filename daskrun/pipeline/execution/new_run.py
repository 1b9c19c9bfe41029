"""What a submit keeps of a run before anything is started, and what it removes where it fails."""

from __future__ import annotations

import os
import socket
import sys
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from daskrun.pipeline.execution.drive import StepToRun
from daskrun.pipeline.records.kept_pipeline import KeptCode, keep_steps

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from daskrun.pipeline.steps.base import PipelineStep
    from daskrun.pipeline.submission.prepare import PreparedStep
    from daskrun.storage.lock_handle import LockHandle
    from daskrun.workspace.run_folders.run_folder import RunFolder
    from daskrun.workspace.workspace import Workspace


@dataclass(frozen=True)
class NewRun:
    """A run that nothing is done of yet."""

    folder: RunFolder
    held: LockHandle
    """Says that this process drives it."""
    steps: list[StepToRun]
    kept: Any
    """See :func:`keep_steps`."""


@contextmanager
def new_run(
    workspace: Workspace,
    experiment: str,
    run_id: str,
    prepared: Sequence[PreparedStep],
    dependencies: Mapping[PipelineStep, Sequence[PipelineStep]],
    told: Mapping[str, object],
) -> Iterator[NewRun]:
    """Make the folders of a run and its steps; let go of it where the block fails.

    ``told`` is what else its manifest tells.
    """
    shared = common(workspace, experiment)
    ids = {each.step: each.run_id(run_id) for each in prepared}
    writers = {out.link: ids[each.step] for each in prepared for out in each.step.outputs}
    manifest = {
        "kind": "pipeline",
        "id": run_id,
        **shared,
        "steps": list(ids.values()),
        **told,
    }
    whole = workspace.site.run_folder(run_id)
    held = whole.begin(manifest)
    try:
        ready = []
        for each in prepared:
            name, after = ids[each.step], [ids[step] for step in dependencies[each.step]]
            own = {"id": name, "pipeline_run": run_id, **shared, "after": after}
            why_not = "regenerate_outputs=True" if told["regenerate_outputs"] else ""
            ready.append(_new_step(workspace, each.bound(writers), own, why_not))
        codes = {each.step: KeptCode.of(each.code, ids[each.step]) for each in prepared}
        kept = keep_steps(whole, workspace, dependencies, codes)
        yield NewRun(whole, held, ready, kept)
    except BaseException:
        held.close()
        raise


def _new_step(
    workspace: Workspace, prepared: PreparedStep, own: Mapping[str, Any], no_reuse: str
) -> StepToRun:
    """Make the folder of a step's run, with all that it takes to drive it in it."""
    run_id = str(own["id"])
    prepared.check_output(run_id)
    folder = workspace.site.run_folder(run_id)
    folder.create({**own, **prepared.manifest(run_id)})
    if prepared.left_out is not None:
        prepared.left_out.keep(folder.path)
    ready = prepared.with_stored_inputs(folder)
    spec = ready.spec(folder, own["pipeline_run"], own["experiment"], own["after"])
    no_reuse = no_reuse or ("" if prepared.step.allow_reuse else "allow_reuse=False")
    spec = replace(spec, no_reuse=no_reuse)
    spec.keep(folder, workspace)
    return StepToRun(folder, spec, ready.target, ready.plan)


def undo(workspace: Workspace, run_id: str, prepared: Sequence[PreparedStep]) -> None:
    """Remove what a submit that failed has made."""
    for each in prepared:
        name = each.run_id(run_id)
        _remove(workspace, name)
        each.undo_output(name)
    _remove(workspace, run_id)


def _remove(workspace: Workspace, run_id: str) -> None:
    with suppress(OSError):  # what is left of it is found by Workspace.clean()
        workspace.site.run_folder(run_id).remove()


def common(workspace: Workspace, experiment: str) -> dict[str, object]:
    """Return what is kept with each run that begins now."""
    return {
        "experiment": experiment,
        "workspace": workspace.location,
        "created": time.time(),
        "python": sys.version.split()[0],
        "host": socket.gethostname(),
        "script": os.path.abspath(sys.argv[0]) if sys.argv and sys.argv[0] else None,  # noqa: PTH100
    }


def new_run_id() -> str:
    """Make a run id: unique, and sorted by time."""
    now = time.time()
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime(now))
    return f"{stamp}-{int(now % 1 * 1000):03d}-{os.urandom(3).hex()}"
