"""Which models the scripts of a run used, and whether others would be used now.

Scripts note it in the run's folder, an empty file for each model: a killed process has noted it or
not used it.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from daskrun.errors import NameNotFoundError
from daskrun.script import context
from daskrun.storage.folders import make_folder
from daskrun.storage.records import wrong_name
from daskrun.workspace.layout import MODELS
from daskrun.workspace.run_folders.run_folder import READ, SHOWN

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from daskrun.storage.records import Records


def note_used(name: str, versions: Iterable[int], *, only_path: bool = False) -> None:
    """Note, inside a run, that it depends on which version of a model is the newest.

    ``name``: the model's. ``versions``: those there are; empty where there is none. ``only_path``:
    whether the script is told nothing but where the files are.
    """
    run = context.current()
    if run is not None and run.run_folder and not wrong_name(name):
        folder = Path(run.run_folder, READ if only_path else SHOWN)
        make_folder(folder, parents=False)
        (folder / f"{name}:{max(versions, default=0)}").touch()


def digests_used(records: Records, run_folder: Path) -> dict[str, str]:
    """Return the digests of the models that scripts of a run used, by name and version.

    They are kept with the run, since a version may be deleted when a later run asks.
    """
    used = {*_noted(run_folder / SHOWN), *_noted(run_folder / READ)}
    found = {f"{name}:{version}": _digest(records, name, version) for name, version in used}
    return {model: digest for model, digest in found.items() if digest}


def newer_models(
    records: Records,
    run_folder: Path,
    digests: Mapping[str, str],
    models: Mapping[str, Iterable[str]],
) -> list[str]:
    """Return which models a run used that are others now.

    ``records``: of the workspace that the models are registered in. ``run_folder``: the run's.
    ``digests``: as :func:`digests_used` gave them when it completed; of a model that has none, as
    those that an earlier daskrun kept, each version is another. ``models``: the versions of each
    model that there are now.
    """
    newest = {name: max(map(int, versions), default=0) for name, versions in models.items()}
    shown = set(_noted(run_folder / SHOWN))
    found = []
    for name, version in sorted({*shown, *_noted(run_folder / READ)}):
        now = newest.get(name, 0)
        before = digests.get(f"{name}:{version}", "")
        same = before != "" and before == _digest(records, name, now)
        if now != version and ((name, version) in shown or not same):
            text = f"{name!r}: version {version or 'none'} was the newest, now it is"
            more = " with the same files, but the script was shown its version" if same else ""
            found.append(f"{text} {now or 'gone'}{more}")
    return found


def _noted(folder: Path) -> Iterator[tuple[str, int]]:
    """Yield name and version of each model that is noted; the version is 0 where there was none."""
    for file in folder.iterdir() if folder.is_dir() else ():
        name, _, version = file.name.rpartition(":")
        yield name, int(version)


def _digest(records: Records, name: str, version: int) -> str:
    """Return the digest of a model's files, ``""`` where there is none."""
    with suppress(NameNotFoundError):  # deleted meanwhile
        return str(records.get(MODELS, name, version).get("digest", ""))
    return ""
