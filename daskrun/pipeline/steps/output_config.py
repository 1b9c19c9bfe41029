"""``OutputFileDatasetConfig``: an output with a path of the user's choice, which may be kept."""

from __future__ import annotations

import os
import re
import uuid
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from daskrun.core.absent_names import original_keywords
from daskrun.core.settings import ASIDE
from daskrun.core.typing import override
from daskrun.errors import SettingsError
from daskrun.pipeline.steps.outputs import OutputId, StepOutput, name_problems
from daskrun.pipeline.steps.written import Registration, registration
from daskrun.storage.folders import user_path
from daskrun.storage.urls import is_url, protocol_problem, shown_url
from daskrun.workspace.datastores.datastore import Datastore

if TYPE_CHECKING:
    from collections.abc import Mapping

    from daskrun.workspace.workspace import Workspace

SUBJECT = "OutputFileDatasetConfig"
EXAMPLE = "Write destination=(ws.get_default_datastore(), 'scores/{run-id}'), or 'out/scores'."
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
RUN_ID = "{run-id}"
OUTPUT_NAME = "{output-name}"
USUAL = f"dataset/{RUN_ID}/{OUTPUT_NAME}"
"""Where it goes if nothing is said, as in the original."""


@original_keywords
@dataclass(frozen=True, eq=False)
class OutputFileDatasetConfig(StepOutput):
    """The output of a step, at a path of your choice in a datastore.

    Parameters
    ----------
    name
        What ``get_output_data`` asks for; if nothing is said, one that no other has.
    destination
        ``(datastore, path)``, or the path of a folder on this machine, or the URL of one; the path
        may hold ``{run-id}``, the id of the step's run, and ``{output-name}``. None:
        ``dataset/{run-id}/{output-name}`` in the workspace's default datastore. Without
        ``{run-id}`` each run writes to the same folder.

    Raises
    ------
    SettingsError
        With every problem there is.

    Examples
    --------
    >>> scores = OutputFileDatasetConfig("scores").register_on_complete("night_scores")
    >>> scores.registration.name
    'night_scores'
    """

    name: str = field(default_factory=lambda: f"output_{uuid.uuid4().hex[:8]}")
    destination: tuple[Datastore, str] | Datastore | str | os.PathLike[str] | None = None
    """Datastore, or datastore and path there, or path or URL, before anything is put in."""
    registration: Registration | None = field(default=None, init=False)
    """What :meth:`register_on_complete` has noted."""
    overwrite: bool = field(default=False, init=False)
    """Whether an output file that is there is replaced."""
    link: OutputId = field(default_factory=OutputId, init=False, repr=False)

    def __post_init__(self) -> None:
        problems = name_problems(self.name, "scores")
        given = self.destination
        if isinstance(given, str | os.PathLike) and os.fspath(given):
            given = os.fspath(given)
            if not is_url(given):
                given = os.path.normpath(user_path(given).absolute())
            object.__setattr__(self, "destination", given)  # whatever folder is current later
            problems += _place_problems(given)
        pair = _parted(given)
        if given is not None and not (
            isinstance(pair[0], Datastore | str) and isinstance(pair[1], str) and _inside(pair[1])
        ):
            problems.append(f"destination={given!r} is not (datastore, 'path'). {EXAMPLE}")
        elif CONTROL.search(pair[1]):
            problems.append(f"destination={given!r} has a control character in its path. {EXAMPLE}")
        elif ASIDE in pair[1].split("/"):
            problems.append(
                f"destination={given!r}: {ASIDE!r} is where daskrun keeps what is "
                f"unfinished. {EXAMPLE}"
            )
        if problems:
            raise SettingsError(SUBJECT, problems)

    @override
    def _place(self, run_id: str, workspace: Workspace) -> tuple[Datastore, str]:
        store, path = _parted(self.destination)
        if isinstance(store, str):
            store = Datastore(workspace, store)
        path = path.replace(RUN_ID, run_id).replace(OUTPUT_NAME, self.name)
        return store or workspace.get_default_datastore(), path.strip("/")

    @override
    def _destination_text(self, workspace: Workspace) -> str:
        return f"{self._place('', workspace)[0].name}: {_parted(self.destination)[1]}"

    def register_on_complete(
        self, name: str, description: str | None = None, tags: Mapping[str, str] | None = None
    ) -> OutputFileDatasetConfig:
        """Register the files as a dataset when the step has completed.

        Each run that completes makes a new version.

        Returns
        -------
        OutputFileDatasetConfig
            Another one: give that to the step.
        """
        return self._with("registration", registration(name, description, tags))

    @original_keywords
    def as_upload(self, overwrite: bool = False) -> OutputFileDatasetConfig:
        """Return it with another way for what is there already; all else is as without.

        Files for a URL are always written on the node first, then put.

        Parameters
        ----------
        overwrite
            Whether an ``append_row`` file of that name is replaced; else it is refused.
        """
        if not isinstance(overwrite, bool):
            problem = f"overwrite={overwrite!r}: write True or False."
            raise SettingsError("as_upload", [problem])
        return self._with("overwrite", overwrite)

    def as_mount(self) -> OutputFileDatasetConfig:
        """Return it as it is: see :meth:`as_upload`."""
        return self

    def _with(self, name: str, value: object) -> OutputFileDatasetConfig:
        made = replace(self)
        for field_name in ("registration", "overwrite", "link"):  # replace() makes these anew
            object.__setattr__(made, field_name, getattr(self, field_name))
        object.__setattr__(made, name, value)
        return made


def _parted(given: Any) -> tuple[Any, str]:
    """Return datastore, or the URL that stands for one, and path of a destination."""
    if not isinstance(given, str):
        return given if isinstance(given, tuple) and len(given) == 2 else (given, USUAL)
    protocol, _, rest = given.partition("://") if is_url(given) else ("file", "", given)
    host, _, path = rest.partition("/")
    return f"{protocol}://{host or '/'}", path


def _place_problems(place: str) -> list[str]:
    """Return why a path or URL is no destination."""
    if shown_url(place) != place:
        secret = "holds a password or query, which records would tell. Register a datastore"
        return [
            f"destination={shown_url(place)!r} {secret}: Datastore.register_url(ws, name, url)."
        ]
    problem = protocol_problem(place) if is_url(place) else ""
    return [f"destination={place!r} {problem}"] if problem else []


def _inside(path: str) -> bool:
    parts = path.strip("/").split("/")
    return bool(path.strip("/")) and ".." not in parts and "://" not in path
