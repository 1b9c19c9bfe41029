"""What old and dead runs have left, and removing it."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from daskrun.errors import DaskrunError, SettingsError
from daskrun.shown.counted import many
from daskrun.shown.printable import safe
from daskrun.workspace.cleaning import old_runs, orphans
from daskrun.workspace.cleaning.removable import DAY, Removable, shown_size
from daskrun.workspace.sites.url_site import UrlSite

if TYPE_CHECKING:
    from collections.abc import Iterator

    from daskrun.workspace.home import Home

NO_RESUME = (
    "What a run has in its parts is gone with them: resume() does those mini-batches again, and "
    "a run whose dataframes were stored there can't be resumed."
)


@dataclass(frozen=True)
class CleanupResult:
    """What :meth:`CleanupPlan.remove` did."""

    removed: tuple[Removable, ...]
    """What is gone."""
    kept: tuple[tuple[Removable, str], ...]
    """What is there yet, and why."""

    def __repr__(self) -> str:
        freed = shown_size(sum(each.bytes for each in self.removed))
        lines = [f"removed {many(len(self.removed), 'thing')}, {freed}"]
        lines += [f"  {each}" for each in self.removed]
        if self.kept:
            lines.append(f"kept {many(len(self.kept), 'thing')}:")
            lines += [f"  {each}: {why}" for each, why in self.kept]
        return safe("\n".join(lines))


@dataclass(frozen=True)
class CleanupPlan:
    """What can be removed; nothing has been yet. Made by :meth:`Workspace.clean`."""

    items: tuple[Removable, ...]
    """One by one."""
    troubles: tuple[str, ...] = ()
    """Where could not be looked, and why."""

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[Removable]:
        return iter(self.items)

    @property
    def bytes(self) -> int:
        """What all of it takes."""
        return sum(each.bytes for each in self.items)

    def __repr__(self) -> str:
        lines = [f"{many(len(self), 'thing')}, {shown_size(self.bytes)}: remove() frees it"]
        if not self.items:
            lines = ["nothing to remove"]
        lines += [f"  {each}" for each in self.items]
        if any(each.what.startswith(old_runs.PARTS) for each in self.items):
            lines.append(NO_RESUME)
        lines += [f"could not look: {trouble}" for trouble in self.troubles]
        return safe("\n".join(lines))

    def remove(self) -> CleanupResult:
        """Remove it, and tell what was removed; what can't be doesn't keep the rest.

        A run that was taken up again since it was found is left alone.
        """
        removed, kept = [], []
        for each in self.items:
            try:
                each.free()
            except (DaskrunError, OSError) as error:
                kept.append((each, str(error)))
            else:
                removed.append(each)
        return CleanupResult(tuple(removed), tuple(kept))


def find(workspace: Home, older_than_days: float, runs: bool) -> CleanupPlan:
    """Look for what :meth:`Workspace.clean` can remove."""
    days = older_than_days
    number = isinstance(days, (int, float)) and not isinstance(days, bool)
    problems = []
    if not number or not (math.isfinite(days) and days >= 0):
        problems.append(f"older_than_days={days!r} is not a number of days. Write 7, or 0.")
    if not isinstance(runs, bool):
        problems.append(f"runs={runs!r}: write True or False.")
    if problems:
        raise SettingsError("Workspace.clean", problems)
    items: list[Removable] = []
    troubles: list[str] = []
    now = time.time()
    for run_id, look in old_runs.all_runs(workspace):
        try:
            items += _of_run(look(), now, days, runs)
        except (DaskrunError, OSError) as error:
            troubles.append(f"run {run_id}: {error}")
    items += orphans.node_folders(now)
    items += orphans.kept_content(now, days)
    site = workspace.site
    if isinstance(site, UrlSite):
        for find_some in (
            partial(orphans.half_put, site.copy, now),
            partial(orphans.never_registered, site.copy, site.records, now),
        ):
            try:
                items += find_some()
            except (DaskrunError, OSError) as error:
                troubles.append(f"{site.location}: {error}")
    else:
        items += orphans.half_made(site.folder, now)
    return CleanupPlan(tuple(items), tuple(troubles))


def _of_run(run: old_runs.OldRun, now: float, days: float, whole: bool) -> list[Removable]:
    age = (now - run.last) / DAY
    if run.is_driven() or age < days:
        return []
    found = []
    for step in run.steps:
        size, what = step.size()
        if what:
            found.append(
                Removable(what, step.id, step.status, age, size, step.place, run.guarded(step.free))
            )
    if whole:
        size, place = run.folder_size(), run.place
        found.append(
            Removable("run folder", run.id, run.status, age, size, place, run.guarded(run.free))
        )
    return found
