"""What old and dead runs have left, and removing it."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from daskrun.errors import DaskrunError, SettingsError
from daskrun.workspace.cleaning import old_runs
from daskrun.workspace.cleaning import orphans as left_over
from daskrun.workspace.sites.url_site import UrlSite

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from daskrun.workspace.home import Home

DAY = 86400.0
NO_RESUME = (
    "What a run has in its parts is gone with them: resume() does those mini-batches again, and "
    "a run whose dataframes were stored there can't be resumed."
)


@dataclass(frozen=True)
class Leftover:
    """One thing that can be removed."""

    what: str
    """Such as ``parts``."""
    run: str
    """Id of the run it is of; ``""`` where it is of none."""
    status: str
    """How that run stands, ``interrupted`` where its process is gone; ``""`` for no run's."""
    days: float
    """How long nothing has happened there."""
    bytes: int
    """What it takes, as far as that can be known without reading it."""
    place: str
    """Path, or URL without secrets."""
    free: Callable[[], None] = field(repr=False, compare=False)
    """Removes it, or raises what keeps it from being removed."""

    def __str__(self) -> str:
        of = f"run {self.run} ({self.status})" if self.status else self.run and f"run {self.run}"
        words = (self.what, shown_size(self.bytes), f"{self.days:.1f} days", of, self.place)
        return "  ".join(word for word in words if word)


@dataclass(frozen=True)
class Removed:
    """What :meth:`Found.remove` did."""

    removed: tuple[Leftover, ...]
    """What is gone."""
    kept: tuple[tuple[Leftover, str], ...]
    """What is there yet, and why."""

    def __repr__(self) -> str:
        freed = shown_size(sum(each.bytes for each in self.removed))
        lines = [f"removed {_count(len(self.removed))}, {freed}"]
        lines += [f"  {each}" for each in self.removed]
        if self.kept:
            lines.append(f"kept {_count(len(self.kept))}:")
            lines += [f"  {each}: {why}" for each, why in self.kept]
        return "\n".join(lines)


@dataclass(frozen=True)
class Found:
    """What can be removed; nothing has been yet. Made by :meth:`Workspace.clean`."""

    items: tuple[Leftover, ...]
    """One by one."""
    troubles: tuple[str, ...] = ()
    """Where could not be looked, and why."""

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[Leftover]:
        return iter(self.items)

    @property
    def bytes(self) -> int:
        """What all of it takes."""
        return sum(each.bytes for each in self.items)

    def __repr__(self) -> str:
        lines = [f"{_count(len(self))}, {shown_size(self.bytes)}: remove() frees it"]
        if not self.items:
            lines = ["nothing to remove"]
        lines += [f"  {each}" for each in self.items]
        if any(each.what.startswith(old_runs.PARTS) for each in self.items):
            lines.append(NO_RESUME)
        lines += [f"could not look: {trouble}" for trouble in self.troubles]
        return "\n".join(lines)

    def remove(self) -> Removed:
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
        return Removed(tuple(removed), tuple(kept))


def find(workspace: Home, older_than_days: float, runs: bool) -> Found:
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
    items: list[Leftover] = []
    troubles: list[str] = []
    now = time.time()
    for run_id, look in old_runs.all_runs(workspace):
        try:
            items += _of_run(look(), now, days, runs)
        except (DaskrunError, OSError) as error:
            troubles.append(f"run {run_id}: {error}")
    items += _of_nobody(left_over.node_folders(), now)
    site = workspace.site
    if isinstance(site, UrlSite):
        for find_some in (
            partial(left_over.half_put, site.copy, now),
            partial(left_over.never_registered, site.copy, site.records, now),
        ):
            try:
                items += _of_nobody(find_some(), now)
            except (DaskrunError, OSError) as error:
                troubles.append(f"{site.location}: {error}")
    else:
        items += _of_nobody(left_over.half_made(site.folder, now), now)
    return Found(tuple(items), tuple(troubles))


def _of_run(run: old_runs.OldRun, now: float, days: float, whole: bool) -> list[Leftover]:
    age = (now - run.last) / DAY
    if run.is_driven() or age < days:
        return []
    found = []
    for step in run.steps:
        size, what = step.size()
        if what:
            found.append(
                Leftover(what, step.id, step.status, age, size, step.place, run.guarded(step.free))
            )
    if whole:
        size, place = run.folder_size(), run.place
        found.append(
            Leftover("run folder", run.id, run.status, age, size, place, run.guarded(run.free))
        )
    return found


def _of_nobody(found: Sequence[left_over.Thing], now: float) -> list[Leftover]:
    return [
        Leftover(
            each.what,
            each.run,
            "",
            (now - each.last) / DAY,
            each.bytes,
            each.place,
            each.free,
        )
        for each in found
    ]


def shown_size(count: int) -> str:
    """Say a number of bytes.

    >>> shown_size(999), shown_size(1_234_567)
    ('999 B', '1.2 MB')
    """
    size, units = float(count), iter(("B", "kB", "MB", "GB"))
    unit = next(units)
    for larger in units:
        if size < 1000:
            break
        size, unit = size / 1000, larger
    return f"{size:.0f} B" if unit == "B" else f"{size:.1f} {unit}"


def _count(number: int) -> str:
    return f"{number} thing{'' if number == 1 else 's'}"
