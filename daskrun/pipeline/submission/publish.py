"""Keeping a pipeline in its workspace, with a copy of its code."""

from __future__ import annotations

import os
import shutil
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from daskrun.core.codec import JsonObject, record, to_record
from daskrun.errors import SettingsError, StorageError
from daskrun.pipeline.records.kept_pipeline import KeptCode, has_any, may_be_secret
from daskrun.pipeline.records.step_codec import steps_to_plain
from daskrun.pipeline.submission.check import check_steps
from daskrun.storage.durable import abandoned, sync_data, sync_folder
from daskrun.workspace.layout import PIPELINES

if TYPE_CHECKING:
    from daskrun.pipeline.records.kept_pipeline import Dependencies
    from daskrun.workspace.workspace import Workspace

LAYOUT = 1
"""Raised when what was kept before can't be read any more."""
CODE = "code"
"""Folder beside the records of a published pipeline: a folder of code for each step."""
OF_SCRIPTS = ("arguments", "params")
"""What of a step may be secret beside variables and URLs: all may read the record."""
ACTIVE, DISABLED = "Active", "Disabled"


@record
@dataclass(frozen=True)
class PublishedRecord:
    """The first record of a published pipeline; the later ones tell its status alone."""

    name: str
    description: str | None
    version: str | None
    created: float
    """Seconds since the epoch."""
    continue_on_step_failure: bool
    code: tuple[KeptCode, ...]
    """Of each step."""
    private: str = ""
    """Name of the private file that holds the definition; ``""``: it is here."""
    definition: JsonObject | None = None
    """The steps, as :func:`steps_to_plain` gives them."""
    status: str = ACTIVE
    layout: int = LAYOUT

    def as_plain(self) -> JsonObject:
        """Return it as JSON."""
        plain: JsonObject = to_record(self)
        del plain["definition" if self.private else "private"]
        return plain


def publish(
    workspace: Workspace,
    dependencies: Dependencies,
    name: str,
    description: str | None,
    version: str | None,
    continue_on_step_failure: bool,
) -> str:
    """Keep the steps of a pipeline, and return the id it has; see :meth:`Pipeline.publish`."""
    problems = _problems(name, description, version, continue_on_step_failure)
    checked, found = check_steps([*dependencies], workspace, {}, to_run=False)
    if problems or found:
        raise SettingsError("publish", [*problems, *found])
    plain = steps_to_plain([*dependencies], dependencies, workspace)
    _sweep(workspace)
    new = str(uuid.uuid4())
    folder = workspace.folder / PIPELINES / new
    files, private = workspace.private, ""
    try:
        for number, each in enumerate(checked):
            each.code.copy(folder / CODE / str(number))
        _sync(folder)
        workspace.site.publish(f"{PIPELINES}/{new}")
        aside = may_be_secret(plain, workspace) or (files.keeps and has_any(plain, OF_SCRIPTS))
        private = files.keep(plain) if aside else ""
        kept = PublishedRecord(
            name=name,
            description=description,
            version=None if version is None else str(version),
            created=time.time(),
            continue_on_step_failure=continue_on_step_failure,
            code=tuple(KeptCode.of(each.code) for each in checked),
            private=private,
            definition=None if private else plain,
        )
        # Last: it is published once this is there.
        workspace.records.create(PIPELINES, new, kept.as_plain(), 1)
    except BaseException as error:
        workspace.site.discard(f"{PIPELINES}/{new}")
        files.remove(private)
        if isinstance(error, OSError) and not isinstance(error, StorageError):
            raise StorageError(f"can't keep the pipeline in {folder}: {error}") from error
        raise
    return new


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


def _sync(folder: Path) -> None:
    """Sync all that is below a folder to the disk, names included."""
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
    for path in abandoned(workspace.folder / PIPELINES, lambda: workspace.records.names(PIPELINES)):
        shutil.rmtree(path, ignore_errors=True)
