"""From what a user calls a compute target to what the engine runs on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from daskrun.engine.target import INLINE
from daskrun.errors import ComputeTargetException, SettingsError
from daskrun.workspace.compute import ComputeTarget

if TYPE_CHECKING:
    from collections.abc import Sequence

    from daskrun.workspace.workspace import Workspace

NOT_INLINE = (
    "node_count",
    "process_count_per_node",
    "run_invocation_timeout",
    "environment_timeout",
    "init_timeout",
    "load_timeout",
    "shutdown_timeout",
    "no_worker_timeout",
    "progress_update_timeout",
    "process_memory_limit",
    "resource_monitor_interval",
    "threads_per_process",
)
"""Settings of nodes and script processes; inline there are none."""


def find_target(
    target: ComputeTarget | str | None, node_count: object, workspace: Workspace
) -> tuple[object, list[str]]:
    """Give what the engine runs on, and what there is to say of it.

    Parameters
    ----------
    target
        As ``ParallelRunConfig.compute_target``, or a scheduler's address.
    node_count
        How many nodes of it are asked for.
    workspace
        Where targets are looked for by name.

    Raises
    ------
    ComputeTargetException
        There is none of that name, or another process knows it alone.
    SettingsError
        It has fewer nodes.
    """
    if target is None or target == INLINE:
        return target, []
    if isinstance(target, str):
        if "://" in target:  # a scheduler's address
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
    return target.dask_target, target.notes


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
    """Say that settings, as they were typed, mean nothing in this process."""
    return (
        f"compute_target='inline': {', '.join(unused)} not used; run() runs in this process, one "
        "mini-batch after the other, where nothing is limited and nothing can be killed."
    )
