"""From what a user calls a compute target to what the engine runs on."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING

from daskrun.core.settings import Trait, settings_with
from daskrun.engine.dispatch import registered
from daskrun.engine.request import INLINE
from daskrun.errors import ComputeTargetException, SettingsError
from daskrun.workspace.compute.attaching import is_address
from daskrun.workspace.compute.targets import ComputeTarget

if TYPE_CHECKING:
    from collections.abc import Sequence

    from daskrun.workspace.workspace import Workspace

NOT_INLINE = settings_with(Trait.NODES)


PROCESSES_A_CORE = 32
"""Script processes on this machine for each of its cores, also of scripts that only wait."""


def find_target(
    target: ComputeTarget | str | None,
    node_count: object,
    workspace: Workspace,
    process_count: object = None,
) -> tuple[object, list[str]]:
    """Return what the engine runs on, and notes on it for the user.

    ComputeTargetException is raised where there is none of that name or another process alone knows
    it, SettingsError where it has fewer nodes, or this machine could not bear so many processes.
    """
    if target is None:
        _check_here(node_count, process_count)
    if target is None or target == INLINE:
        return target, []
    if isinstance(target, str):
        if "://" in target:
            if not is_address(target) and not registered(target):
                problem = (
                    f"compute_target={target!r} is not a scheduler's address. Write one like "
                    "'tcp://10.0.0.5:8786'."
                )
                raise SettingsError("submit", [problem])
            return target, []
        target = _by_name(target, workspace)
    count = str(node_count)
    most = target.most_nodes
    if most is not None and count.isdecimal() and int(count) > most:
        problem = (
            f"node_count={count} is more than compute target {target.name!r} has "
            f"(max_nodes={most}). Write {most} or less."
        )
        raise SettingsError("submit", [problem])
    if target.dask_target is None:
        _check_here(node_count, process_count)
    return target.dask_target, target.notes


def target_name(target: ComputeTarget | str | None) -> str:
    """Return what a target is called: its name or address, ``local`` for this machine."""
    return "local" if target is None else target if isinstance(target, str) else target.name


def _check_here(node_count: object, process_count: object) -> None:
    """Refuse a typing error that would fill this machine with processes."""
    counts = [text for text in (str(node_count), str(process_count)) if text.isdecimal()]
    cores = os.cpu_count() or 1
    most, asked = cores * PROCESSES_A_CORE, math.prod(map(int, counts))
    if asked > most:
        said = [f"node_count={node_count}"] if node_count is not None else []
        if str(process_count).isdecimal():
            said.append(f"process_count_per_node={process_count}")
        problem = (
            f"{' with '.join(said)} are {asked:,} script processes on this machine, which has "
            f"{cores} cores. Write {most} or less in all, or compute_target= a cluster."
        )
        raise SettingsError("submit", [problem])


def _by_name(name: str, workspace: Workspace) -> ComputeTarget:
    try:
        return ComputeTarget(workspace, name)
    except ComputeTargetException as error:
        if name in workspace.compute_targets:
            raise
        raise ComputeTargetException(
            f"{error} Write compute_target=ComputeTarget.attach(ws, {name!r}, "
            "address='tcp://scheduler:8786') for a Dask cluster, 'inline' for this process, or "
            "leave it out for workers on this machine."
        ) from error


def inline_note(unused: Sequence[str]) -> str:
    """Return a note that settings, as they were typed, mean nothing in this process."""
    return (
        f"compute_target='inline': {', '.join(unused)} not used; run() runs in this process, one "
        "mini-batch after the other, where nothing is limited and nothing can be killed."
    )
