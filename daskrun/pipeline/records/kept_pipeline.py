"""Steps and code of a pipeline as they are kept: published, or with each run of it.

In the folder of a pipeline's run ``pipeline.json`` holds its steps as they were made, or why they
are not kept; their code is in the snapshots of the steps' runs.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daskrun.core.codec import JsonObject, from_record, record, to_record
from daskrun.core.json_text import parsed
from daskrun.data.registration import has_secret
from daskrun.errors import DaskrunError, SettingsError, StorageError
from daskrun.pipeline.records.step_codec import steps_from_plain, steps_to_plain
from daskrun.pipeline.steps.snapshot import Snapshot
from daskrun.storage.durable import read_file, write_whole
from daskrun.storage.safe_names import inside
from daskrun.workspace.run_folders.run_folder import SNAPSHOT

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from daskrun.pipeline.steps.base import PipelineStep
    from daskrun.workspace.run_folders.run_folder import RunFolder
    from daskrun.workspace.workspace import Workspace

    Dependencies = Mapping[PipelineStep, Sequence[PipelineStep]]
    """The steps, each with those that must have run before."""

FILE = "pipeline.json"
VARIABLES = ("environment_variables",)
"""What tokens are often handed over by."""
SECRET = (
    "its pipeline holds what may be secret, environment variables or a URL with a password, which "
    "only the process that submitted it has"
)


@record
@dataclass(frozen=True)
class KeptCode:
    """What is kept of a step's code beside its files."""

    entry_script: str
    whole_folder: bool
    """Whether a ``source_directory`` was given."""
    origin: str
    """The folder that it was copied from."""
    run: str = ""
    """The step run whose folder holds the files; ``""``: the pipeline was published."""

    @classmethod
    def of(cls, code: Snapshot, run: str = "") -> KeptCode:
        """Return what is kept of a step's code."""
        return cls(code.entry_script, code.whole_folder, str(code.origin or code.root), run)

    def snapshot(self, root: Path) -> Snapshot:
        """Return the code, whose files are below ``root``."""
        if not inside(root, self.entry_script).is_file():
            raise StorageError(
                f"{root / self.entry_script} is gone: it was kept with the pipeline. Publish it "
                "again: pipeline.publish(name)."
            )
        files = [path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()]
        origin = Path(self.origin)
        return Snapshot(root, tuple(sorted(files)), self.entry_script, self.whole_folder, origin)


def steps_with_code(
    workspace: Workspace, definition: JsonObject, codes: Iterable[tuple[Path, KeptCode]]
) -> list[PipelineStep]:
    """Return the steps of a pipeline that was kept.

    ``codes`` are, of each step, the folder that holds its code, and what was kept of it.
    DaskrunError is raised where what they are made of isn't there any more, or another version of
    daskrun kept them.
    """
    steps = steps_from_plain(definition, workspace)
    for step, (root, kept) in zip(steps, codes, strict=True):
        step._published_code = kept.snapshot(root)
    return steps


def keep_steps(
    folder: RunFolder,
    workspace: Workspace,
    dependencies: Dependencies,
    codes: Mapping[PipelineStep, KeptCode],
) -> JsonObject | None:
    """Keep the steps of a pipeline in the folder of its run, as far as that can be done.

    What the folder must not hold, as it may be secret, is returned, for :func:`kept_steps`.
    """
    held: JsonObject | None = None
    value: JsonObject
    try:
        plain = steps_to_plain([*dependencies], dependencies, workspace)
    except DaskrunError as error:
        problems = error.problems if isinstance(error, SettingsError) else [str(error)]
        value = {"refused": " ".join(problems)}
    else:
        code = [to_record(codes[step]) for step in dependencies]
        value = {"definition": plain, "code": code}
        if may_be_secret(plain, workspace):
            held, value = value, {"refused": SECRET}
    try:
        write_whole(folder.path / FILE, json.dumps(value).encode(), mode=0o600)
    except OSError as error:
        raise StorageError(f"can't write {folder.path / FILE}: {error}") from error
    return held


def kept_steps(
    folder: RunFolder, workspace: Workspace, held: JsonObject | None
) -> list[PipelineStep]:
    """Return the steps that :func:`keep_steps` kept, with their code as it was.

    ``held`` is what that returned, None in another process. SettingsError says why they weren't
    kept.
    """
    folder.fetch(FILE)
    try:
        value = held or parsed(read_file(folder.path / FILE))
    except FileNotFoundError:
        value = {"refused": "an earlier daskrun submitted it, which kept no pipelines"}
    if "refused" in value:
        reason = str(value["refused"]).rstrip(".")
        problem = f"run {folder.id} can't be published: {reason}. Publish what was submitted: "
        raise SettingsError("publish_pipeline", [f"{problem}pipeline.publish(name)."])
    kept = [from_record(KeptCode, each) for each in value["code"]]
    codes = [(_code_of(folder.sibling(each.run)), each) for each in kept]
    return steps_with_code(workspace, value["definition"], codes)


def _code_of(step: RunFolder) -> Path:
    step.fetch(SNAPSHOT)
    return step.path / SNAPSHOT


def may_be_secret(plain: JsonObject, workspace: Workspace) -> bool:
    """Return whether a pipeline's definition holds what others should not read.

    Environment variables often are none, and a workspace behind a URL has no better place.
    """
    return has_secret(plain) or (workspace.private.keeps and has_any(plain, VARIABLES))


def has_any(plain: Any, names: Collection[str]) -> bool:
    """Return whether something stands under one of some names, wherever in JSON values."""
    if isinstance(plain, list):
        return any(has_any(each, names) for each in plain)
    if not isinstance(plain, dict):
        return False
    return any(map(plain.get, names)) or has_any([*plain.values()], names)
