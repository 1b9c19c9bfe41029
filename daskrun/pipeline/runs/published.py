"""``PublishedPipeline``: a pipeline that is kept, with its code, to be submitted again."""

from __future__ import annotations

import os
import shutil
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daskrun.core.absent_names import OriginalClass
from daskrun.data.registration import has_secret
from daskrun.errors import NameNotFoundError, SettingsError, StorageError, WorkspaceError
from daskrun.pipeline.records.step_codec import steps_from_plain, steps_to_plain
from daskrun.pipeline.runs.pipeline import Pipeline
from daskrun.pipeline.steps.snapshot import Snapshot
from daskrun.pipeline.submission.check import check_steps
from daskrun.storage.durable import sync_data, sync_folder
from daskrun.storage.private import ABANDONED
from daskrun.workspace.sites.site import PIPELINES
from daskrun.workspace.workspace import workspace_problems

if TYPE_CHECKING:
    import builtins
    from collections.abc import Mapping, Sequence

    from daskrun.pipeline.runs.run import PipelineRun
    from daskrun.pipeline.steps.parameter import PipelineParameter
    from daskrun.workspace.workspace import Workspace

LAYOUT = 1
"""Raised when what was kept before can't be read any more."""
CODE = "code"
"""Folder beside the records of a published pipeline: a folder of code for each step."""
ACTIVE, DISABLED = "Active", "Disabled"


class PublishedPipeline(OriginalClass):
    """A pipeline as it was when it was published: steps, parameters, data by definition, code.

    Made by :meth:`Pipeline.publish`, found again by :meth:`get` and :meth:`list`, in any process.
    Files of the code that are changed or removed later make no difference to it. What a script
    imports from its own folder without a ``source_directory`` is not part of its code, and stays
    where it was. ``Experiment.submit`` takes it as it takes a :class:`Pipeline`.

    Examples
    --------
    >>> import tempfile
    >>> from daskrun import Workspace
    >>> PublishedPipeline.list(Workspace.create("trial", path=tempfile.mkdtemp()))
    []
    """

    def __init__(self, workspace: Workspace, id: str) -> None:
        self.workspace = workspace
        self.id = id
        """What :meth:`get` finds it by."""
        try:
            self._record = workspace.records.get(PIPELINES, id, 1)
        except (NameNotFoundError, SettingsError):
            known = workspace.records.names(PIPELINES)
            raise NameNotFoundError("published pipeline", id, known) from None
        self.name = str(self._record["name"])
        self.description: str | None = self._record["description"]
        self.version: str | None = self._record["version"]
        self.continue_on_step_failure = bool(self._record["continue_on_step_failure"])
        """What holds at submit where nothing else is said."""

    def __repr__(self) -> str:
        return f"PublishedPipeline(name={self.name!r}, id={self.id!r}, status={self.status!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PublishedPipeline) and (
            (other.workspace, other.id) == (self.workspace, self.id)
        )

    def __hash__(self) -> int:
        return hash((self.workspace, self.id))

    @staticmethod
    def get(workspace: Workspace, id: str) -> PublishedPipeline:
        """Return a published pipeline.

        Raises
        ------
        NameNotFoundError
            There is none of that id.
        """
        problems = workspace_problems(workspace)
        if not isinstance(id, str):
            problems.append(f"id={id!r} is not a text. Write the id that published.id gave.")
        if problems:
            raise SettingsError("PublishedPipeline.get", problems)
        return PublishedPipeline(workspace, id)

    @staticmethod
    def list(workspace: Workspace, active_only: bool = True) -> builtins.list[PublishedPipeline]:
        """Return the published pipelines of a workspace, the newest first.

        Parameters
        ----------
        workspace
            Where.
        active_only
            Whether those that are disabled are left out.
        """
        if problems := workspace_problems(workspace):
            raise SettingsError("PublishedPipeline.list", problems)
        found = []
        for name in workspace.records.names(PIPELINES):
            with suppress(NameNotFoundError):
                found.append(PublishedPipeline(workspace, name))
        found.sort(key=lambda each: (-each._record["created"], each.id))
        return [each for each in found if not active_only or each.status == ACTIVE]

    @property
    def status(self) -> str:
        """``Active``, or ``Disabled``: then it can't be submitted."""
        newest = self.workspace.records.latest(PIPELINES, self.id)
        return str(newest[1]["status"]) if newest is not None else DISABLED

    def enable(self) -> None:
        """Let it be submitted again."""
        self._set(ACTIVE)

    def disable(self) -> None:
        """Have it refused at submit, and left out of :meth:`list`."""
        self._set(DISABLED)

    @property
    def parameters(self) -> dict[str, PipelineParameter]:
        """The parameters that can be given at submit, by name."""
        return self.pipeline().parameters

    def pipeline(self) -> Pipeline:
        """Return its steps as a new pipeline, which can be looked at, changed and submitted.

        Raises
        ------
        DaskrunError
            What they are made of isn't there any more, or another version of daskrun kept it.
        """
        record = self._record
        if record["layout"] != LAYOUT:
            raise WorkspaceError(
                f"{self!r} was kept in layout {record['layout']!r}, and this daskrun knows layout "
                f"{LAYOUT}. Use the version that published it, or publish it again."
            )
        folder = self.workspace.site.file(f"{PIPELINES}/{self.id}/{CODE}")
        codes = [(folder / str(number), about) for number, about in enumerate(record["code"])]
        return pipeline_from(self.workspace, self._definition(), codes)

    def submit(
        self,
        workspace: Workspace,
        experiment_name: str,
        pipeline_parameters: Mapping[str, Any] | None = None,
        continue_on_step_failure: bool | None = None,
        regenerate_outputs: bool = False,
    ) -> PipelineRun:
        """Start a run of it; see :meth:`Experiment.submit`."""
        from daskrun.pipeline.runs.experiment import Experiment  # the two know each other

        return Experiment(workspace, experiment_name).submit(
            self,
            pipeline_parameters=pipeline_parameters,
            regenerate_outputs=regenerate_outputs,
            continue_on_step_failure=continue_on_step_failure,
        )

    def _set(self, status: str) -> None:
        if self.status != status:
            value = {"status": status, "changed": time.time()}
            self.workspace.records.create(PIPELINES, self.id, value)

    def _definition(self) -> dict[str, Any]:
        if "private" in self._record:
            files = self.workspace.private
            return files.read(self._record["private"])
        return dict(self._record["definition"])


def pipeline_from(
    workspace: Workspace,
    definition: Mapping[str, Any],
    codes: Sequence[tuple[Path, Mapping[str, Any]]],
) -> Pipeline:
    """Make the pipeline that was kept.

    Parameters
    ----------
    workspace
        Where it was kept.
    definition
        Its steps, as :func:`steps_to_plain` gave them.
    codes
        Of each step the folder that holds its code, and what :func:`about_code` gave.

    Raises
    ------
    DaskrunError
        What it is made of isn't there any more, or another version of daskrun kept it.
    """
    steps = steps_from_plain(definition, workspace)
    for step, (root, about) in zip(steps, codes, strict=True):
        step._published_code = _kept_code(root, about)
    return Pipeline(workspace, steps)


def publish(
    pipeline: Pipeline,
    name: str,
    description: str | None,
    version: str | None,
    continue_on_step_failure: bool,
) -> PublishedPipeline:
    """Keep a pipeline in its workspace; see :meth:`Pipeline.publish`."""
    workspace = pipeline.workspace
    problems = _problems(name, description, version, continue_on_step_failure)
    checked, found = check_steps(pipeline.steps, workspace, {}, to_run=False)
    if problems or found:
        raise SettingsError("publish", [*problems, *found])
    plain = steps_to_plain(pipeline.steps, pipeline.dependencies, workspace)
    _sweep(workspace)
    new = str(uuid.uuid4())
    folder = _folder(workspace, new)
    files, private = workspace.private, ""
    try:
        codes = [each.code for each in checked]
        for number, code in enumerate(codes):
            code.copy(folder / CODE / str(number))
        _sync(folder)
        workspace.site.publish(f"{PIPELINES}/{new}")
        private = files.keep(plain) if may_be_secret(plain, workspace) else ""
        value = {
            "layout": LAYOUT,
            "name": name,
            "description": description,
            "version": None if version is None else str(version),
            "status": ACTIVE,
            "created": time.time(),
            "continue_on_step_failure": continue_on_step_failure,
            "code": [about_code(code) for code in codes],
            **({"private": private} if private else {"definition": plain}),
        }
        # Last: it is published once this is there.
        workspace.records.create(PIPELINES, new, value, 1)
    except BaseException as error:
        workspace.site.discard(f"{PIPELINES}/{new}")
        files.remove(private)
        if isinstance(error, OSError) and not isinstance(error, StorageError):
            raise StorageError(f"can't keep the pipeline in {folder}: {error}") from error
        raise
    return PublishedPipeline(workspace, new)


def _problems(name: object, description: object, version: object, switch: object) -> list[str]:
    problems = []
    if not isinstance(name, str) or not name.strip():
        problems.append(f"name={name!r} is not a name. Write publish('nightly scores').")
    for argument, value, kinds in (
        ("description", description, (str,)),
        ("version", version, (str, int, float)),
    ):
        if value is not None and (not isinstance(value, kinds) or isinstance(value, bool)):
            problems.append(f"{argument}={value!r} is not a text. Write {argument}='1.0'.")
    if not isinstance(switch, bool):
        problems.append(f"continue_on_step_failure={switch!r}: write True or False.")
    return problems


def _folder(workspace: Workspace, id: str) -> Path:
    return workspace.folder / PIPELINES / id


def about_code(code: Snapshot) -> dict[str, Any]:
    """Return what is kept of a step's code beside its files."""
    return {
        "entry_script": code.entry_script,
        "whole_folder": code.whole_folder,
        "origin": str(code.origin or code.root),
    }


def _kept_code(root: Path, about: Mapping[str, Any]) -> Snapshot:
    if not (root / about["entry_script"]).is_file():
        raise StorageError(
            f"{root / about['entry_script']} is gone: it was kept with the pipeline. Publish it "
            "again: pipeline.publish(name)."
        )
    files = sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
    origin = Path(about["origin"])
    return Snapshot(root, tuple(files), about["entry_script"], about["whole_folder"], origin)


def may_be_secret(plain: Mapping[str, Any], workspace: Workspace) -> bool:
    """Return whether a pipeline's definition holds what others should not read.

    Environment variables often are none, and a workspace behind a URL has no better place.
    """
    return has_secret(plain) or (workspace.private.keeps and _has_variables(plain))


def _has_variables(plain: Any) -> bool:
    """Return whether environment variables are set, which tokens are often handed over by."""
    if isinstance(plain, list):
        return any(_has_variables(each) for each in plain)
    if not isinstance(plain, dict):
        return False
    return bool(plain.get("environment_variables")) or _has_variables([*plain.values()])


def _sync(folder: Path) -> None:
    """Put all below a folder on the disk, names and all."""
    for place, _, names in os.walk(folder):
        for name in names:
            descriptor = os.open(Path(place, name), os.O_RDONLY)
            try:
                sync_data(descriptor)
            finally:
                os.close(descriptor)
        sync_folder(Path(place))
    sync_folder(folder.parent)


def _sweep(workspace: Workspace) -> None:
    """Remove what killed processes left of pipelines that they did not come to publish."""
    workspace.sweep_private()
    old = []
    with suppress(FileNotFoundError):
        for path in (workspace.folder / PIPELINES).iterdir():
            with suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > ABANDONED:
                    old.append(path)
    # Asked after they were listed: what was published meanwhile is among these.
    known = workspace.records.names(PIPELINES) if old else ()
    for path in old:
        if path.name not in known:
            shutil.rmtree(path, ignore_errors=True)
