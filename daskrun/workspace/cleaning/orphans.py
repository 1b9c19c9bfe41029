"""What killed processes have left that no run can use: node folders, records half made."""

from __future__ import annotations

import calendar
import re
import shutil
import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from daskrun.errors import StorageError
from daskrun.script.node_folders import base_folder, clear_left, left
from daskrun.storage.content_cache import NotKeptError, open_cache
from daskrun.storage.folders import size_of
from daskrun.storage.lease import Lease
from daskrun.workspace.cleaning.removable import DAY, Removable
from daskrun.workspace.layout import MODEL_FILES, MODELS, PIPELINES, RUNS
from daskrun.workspace.run_folders.run_folder import MANIFEST, RunFolder
from daskrun.workspace.run_folders.working_copy import NAME as COPY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from daskrun.storage.content_cache import ContentCache
    from daskrun.storage.records import Records
    from daskrun.storage.url_folder import UrlFolder
    from daskrun.workspace.run_folders.working_copy import WorkingCopy

HALF_MADE = re.compile(r"\.(\d+-[0-9a-f]{16}\.tmp|(deleted|exclusive)-\d+-[0-9a-f]+)", re.ASCII)
"""Names of what is being written, deleted or tried out in a workspace."""
MODEL = re.compile(rf"{MODEL_FILES}/[^/]+/[0-9a-f]+-[0-9a-f]{{8}}/", re.ASCII)
"""How what belongs to one version of a model begins. Others may put objects there too, such as
those that some tools have for folders."""
PIPELINE = re.compile(rf"{PIPELINES}/[0-9a-f]{{8}}(-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}}/", re.ASCII)
"""Likewise of one published pipeline."""
STALE = 3600.0
"""Seconds after which nobody is at it any more: it takes milliseconds."""


def node_folders(now: float) -> list[Removable]:
    """Return the folders on this machine of nodes, and processes, that were killed."""
    found = []
    for folder in left(base_folder()):
        with suppress(FileNotFoundError):
            copied = folder.name.startswith(COPY)
            what = "copy of a workspace" if copied else "node folder"
            run = "" if copied else folder.name.rsplit("-", 2)[0]
            last = folder.stat().st_mtime
            found.append(_orphan(what, run, folder, now - last, partial(_clear, folder)))
    return found


def kept_content(now: float, days: float) -> Iterator[Removable]:
    """Yield what this machine keeps for later runs and no run has used for so many days."""
    with suppress(NotKeptError):
        cache = open_cache(1)
        for each in cache.kept():
            age = (now - each.used) / DAY
            if age >= days:
                free, place = partial(_drop, cache, each.id), str(cache.folder)
                yield Removable("kept for later runs", "", "", age, each.nbytes, place, free)


def half_made(workspace: Path, now: float) -> list[Removable]:
    """Return what was begun in a workspace and neither finished nor taken back."""
    found = []
    for path in _places(workspace):
        with suppress(FileNotFoundError):
            last = path.lstat().st_mtime
            if now - last > STALE:
                free = partial(_remove, path)
                found.append(_orphan("half-made record", "", path, now - last, free))
    for path in sorted((workspace / "runs").glob("*/")):
        with suppress(FileNotFoundError):
            last = path.stat().st_mtime
            if now - last > STALE and _is_no_run(path):
                free = partial(_remove_run, path)
                found.append(_orphan("half-made run", path.name, path, now - last, free))
    return found


def half_put(copy: WorkingCopy, now: float) -> list[Removable]:
    """Return the runs behind a URL whose submit was neither finished nor taken back."""
    whole, found = set(copy.run_ids()), []
    for run_id in copy.remote.folders(RUNS):
        last = _submitted(run_id)
        if run_id not in whole and now - last > STALE:
            remote = copy.below(f"{RUNS}/{run_id}")
            if Lease(remote).is_held():
                continue  # a submit that takes long, or from a machine whose clock is late
            free = partial(_delete_run, remote)
            found.append(_at_url("half-made run", run_id, remote, now - last, free))
    return found


def never_registered(copy: WorkingCopy, records: Records, now: float) -> list[Removable]:
    """Return files behind a URL of models and pipelines whose process was killed before the end.

    In a folder the next one that registers removes them; to look for them here takes longer.
    """
    last: dict[str, float] = {}
    for form in (MODEL, PIPELINE):
        kind = form.pattern.partition("/")[0]
        for name, time_put in copy.remote.times(kind).items():
            if begins := form.match(f"{kind}/{name}"):
                place = begins[0].rstrip("/")
                last[place] = max(time_put, last.get(place, 0.0))
    # Asked after they were listed: what was registered meanwhile is among these.
    known = _registered(records) if last else set()
    found = []
    for place, since in last.items():
        if place not in known and now - since > copy.intervals.abandoned:
            remote = copy.below(place)
            free = partial(_delete_unregistered, remote, place, records)
            found.append(_at_url("never registered", "", remote, now - since, free))
    return found


def _registered(records: Records) -> set[str]:
    """Return the folders of models and pipelines that there are, in the workspace."""
    models = records.values_of(MODELS, records.names(MODELS), "path")
    pipelines = records.names(PIPELINES)
    return {path.rpartition("/")[0] for path in models} | {f"{PIPELINES}/{n}" for n in pipelines}


def _delete_unregistered(remote: UrlFolder, place: str, records: Records) -> None:
    names = remote.names()
    if place in _registered(records):
        raise StorageError("it was registered meanwhile")
    remote.delete(names)


def _orphan(what: str, run: str, path: Path, seconds: float, free: Callable[[], None]) -> Removable:
    return Removable(what, run, "", seconds / DAY, size_of(path), str(path), free)


def _at_url(
    what: str, run: str, remote: UrlFolder, seconds: float, free: Callable[[], None]
) -> Removable:
    size = sum(remote.sizes().values())
    return Removable(what, run, "", seconds / DAY, size, remote.shown(), free)


def _submitted(run_id: str) -> float:
    """Return when a run was submitted, which its id begins with; in doubt that is long ago."""
    try:
        return calendar.timegm(time.strptime(run_id[:15], "%Y%m%d-%H%M%S"))
    except ValueError:
        return 0.0


def _delete_run(remote: UrlFolder) -> None:
    names = remote.names()
    if MANIFEST in names or Lease(remote).is_held():
        raise StorageError("it has become a run meanwhile")
    remote.delete(names)


def _places(workspace: Path) -> Iterator[Path]:
    # Not below: runs hold the user's code and logs, the default datastore data.
    patterns = [".*", "*/.*", "*/*/.*", "runs/*/states/.*"]
    for pattern in patterns:
        for path in sorted(workspace.glob(pattern)):
            if (
                HALF_MADE.fullmatch(path.name)
                and path.relative_to(workspace).parts[0] != "datastore"
            ):
                yield path


def _is_no_run(path: Path) -> bool:
    return not (path / MANIFEST).exists() and not RunFolder(path).is_driven()


def _clear(folder: Path) -> None:
    clear_left(folder)
    if folder.exists():
        raise StorageError("it can't be removed whole")


def _drop(cache: ContentCache, name: str) -> None:
    if not cache.remove(name):
        raise StorageError("it is in use")


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _remove_run(path: Path) -> None:
    with RunFolder(path).drive():
        if (path / MANIFEST).exists():
            raise StorageError("it has become a run meanwhile")
        shutil.rmtree(path)
