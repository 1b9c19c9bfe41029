"""Runs whose driver is a process of its own: on the cluster they run on, or on this machine."""

from __future__ import annotations

import json
import threading
import time
from contextlib import suppress
from dataclasses import asdict
from typing import IO, TYPE_CHECKING, Any, cast

from daskrun.core.logs import get_logger
from daskrun.engine.dask.driver_host import start_process
from daskrun.engine.request import INLINE, GivenCluster
from daskrun.errors import ComputeTargetException, DaskrunError, SettingsError
from daskrun.pipeline.execution.driver_process import PROGRAM, Asked
from daskrun.pipeline.records.step_spec import why_unkept
from daskrun.script.wire import packed
from daskrun.workspace.compute.attaching import REACHABLE, address_of
from daskrun.workspace.run_folders import handover

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from daskrun.core.intervals import Intervals
    from daskrun.pipeline.execution.drive import StepToRun
    from daskrun.workspace.run_folders.run_folder import RunFolder
    from daskrun.workspace.workspace import Workspace

logger = get_logger("daskrun")
SUBJECT = "submit"
START_LIMIT = 60.0
"""Seconds in which a driver on this machine begins."""
ATTACH = "Attach one that runs by its address: ComputeTarget.attach(ws, name, address=...)"


def place_of(targets: Mapping[str, object]) -> object:
    """Return what a run is driven on, by what the engine runs its steps on: None for this machine.

    Raises
    ------
    SettingsError
        It can't be driven by a process of its own there.
    """
    problems = [
        f"step {name!r} with detached=True: {why}"
        for name, target in targets.items()
        if (why := _why_not(target))
    ]
    places = {name: _address(target) for name, target in targets.items()}
    if not problems and len({*places.values()}) > 1:
        told = ", ".join(f"{name!r} on {place or 'this machine'}" for name, place in places.items())
        problems.append(
            f"detached=True: the steps run on different clusters ({told}), and the driver, on one, "
            "may not reach the others. Give all steps the same compute_target."
        )
    if problems:
        raise SettingsError(SUBJECT, problems)
    target = next(iter(targets.values()))
    if target is None:
        return None
    own = target.security if isinstance(target, GivenCluster) else None
    return GivenCluster(_address(target), own or getattr(_at(target), "security", None))


def _why_not(target: Any) -> str:
    """Return why no process elsewhere could drive a step there; ``""`` where one can."""
    if target is None:
        return ""
    if target == INLINE:
        return (
            "compute_target='inline' is this process. Leave compute_target out for workers on this "
            "machine, or name a cluster."
        )
    if not _address(target).startswith(REACHABLE):
        return f"no other process can connect to {_at(target)}. {ATTACH}."
    cluster = getattr(_at(target), "cluster", None) or _at(target)  # a client's
    if not _outlives(cluster):
        return f"{cluster!r} ends with this process, and the run with it. {ATTACH}."
    return ""


def _outlives(cluster: Any) -> bool:
    """Return whether a cluster goes on without this process: what is only an address does."""
    if not hasattr(cluster, "scheduler_address"):
        return True  # a text, or a client that was made with one
    here = hasattr(getattr(cluster, "scheduler", None), "workers")  # the scheduler itself
    return not here and getattr(cluster, "shutdown_on_close", True) is False


def _at(target: object) -> Any:
    """Return the address, or the object of Dask, that the engine is given."""
    return target.at if isinstance(target, GivenCluster) else target


def _address(target: object) -> str:
    """Return the scheduler's address, ``""`` for this machine."""
    at = _at(target)
    if isinstance(at, str):
        return at
    return address_of(at) or ("" if at is None else str(at))


def hand_over(
    folder: RunFolder,
    steps: Sequence[StepToRun],
    workspace: Workspace,
    place: object,
) -> None:
    """Have a run that is there driven by another process, as soon as this one lets go of it.

    ``place`` is what :func:`place_of` has returned.

    Raises
    ------
    SettingsError
        It is made of what only this process knows.
    ComputeTargetException
        There are workers, and none of them can drive it; or the scheduler doesn't answer.
    """
    if unkept := [why for each in steps if (why := why_unkept(each.folder))]:
        raise SettingsError(SUBJECT, [f"detached=True: {why}" for why in dict.fromkeys(unkept)])
    site = workspace.site
    told = Asked(folder.id, site.location, dict(site.options), asdict(site.intervals)).told
    at = str(place.at) if isinstance(place, GivenCluster) else ""
    times = [(s.no_worker_timeout, s.scheduler_timeout) for s in (e.spec.settings for e in steps)]
    limit = max(map(max, times)) + 2 * site.intervals.lease_lifetime if at else START_LIMIT
    handover.write(folder.path, handover.Handover(at, time.time(), limit))
    folder.push()
    if at:
        _start_there(folder.id, told, place, site.intervals)
    else:
        _start_here(told)


def _start_there(run_id: str, told: object, place: object, intervals: Intervals) -> None:
    """Have a worker of the cluster drive the run, as soon as it is let go of."""
    from daskrun.engine.dask.driver_task import DriverTask  # Dask takes most of a second

    data = packed((PROGRAM, told))
    try:
        with DriverTask(run_id, place, intervals) as task:
            able = task.able(data)
            task.start(data, able)
    except DaskrunError:
        raise
    except (OSError, TimeoutError) as error:
        raise ComputeTargetException(f"the run's driver could not be started: {error}") from error
    if not able:
        logger.warning("run %s: its cluster has no worker yet; it begins with the first", run_id)


def _start_here(told: object) -> None:
    """Start a process on this machine that drives the run."""
    process = start_process(PROGRAM)
    threading.Thread(target=process.wait, name="daskrun-driver", daemon=True).start()  # no zombie
    with suppress(OSError), cast("IO[bytes]", process.stdin) as pipe:
        pipe.write(json.dumps(told).encode() + b"\n")
