"""What a node is told: its configuration, builtins only, from the request."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daskrun.core.settings import NodePath
from daskrun.engine.request import INLINE
from daskrun.output.destination import destination_of
from daskrun.output.sinks.registry import sink_of, sink_reference
from daskrun.script.environments.packages import needs
from daskrun.storage.urls import shown_url

if TYPE_CHECKING:
    from daskrun.core.settings import RunSettings
    from daskrun.engine.request import StepRequest
    from daskrun.output.destination import Destination

LOG_LIMIT = 64 * 2**20
"""Bytes a log file of a script process may reach before its middle is cut out."""
FETCH_LIMIT = 2**30
"""Bytes of remote files a node holds ahead of need."""


def output_of(request: StepRequest) -> Destination | None:
    """Return the place of the run's output; None when it has none."""
    location = request.output_url or request.output_folder
    if not location:
        return None
    return destination_of(location, request.output_options, request.run_id)


def node_config(request: StepRequest, node: str, nodes_here: int) -> dict[str, Any]:
    """Return what the keeper of ``node`` is told.

    Parameters
    ----------
    nodes_here
        Nodes of this run on one machine; they share its cores and memory.
    """
    settings, script = request.settings, request.script
    folder = (script.snapshot / script.file).parent
    place = output_of(request) if settings.appends else None
    progress = settings.progress_update_timeout or 3 * (settings.run_invocation_timeout + 30)
    output = shown_url(request.output_url) or str(request.output_folder or "")
    return {
        "run_id": request.run_id,
        "node": node,
        "nodes_here": nodes_here,
        "processes": settings.process_count_per_node,
        "logs": str(request.run_folder / "logs"),
        "parts": place.parts if place is not None else "",
        "parts_options": request.output_options,
        "files": "" if settings.appends else request.output_url,
        "sink": sink_reference(settings),
        "sink_settings": settings.append_row_settings,
        "inputs": [asdict(source) for source in request.plan.inputs],
        "script": script_file(request),
        "sys_path": [p for p in (str(script.snapshot), str(folder), script.extra_path) if p],
        "argv": [script.shown_as, *_arguments(settings), *compatible_arguments(request)],
        "side_inputs": request.side_inputs,
        "outputs": request.outputs,
        "context": {
            **request.context,
            "run_id": request.run_id,
            "run_folder": str(request.run_folder),
            "step_name": request.step_name,
            "output_dir": output,
            "script_dir": str(Path(script.shown_as).parent),
            "logging_level": settings.logging_level,
        },
        "limits": {
            "init": settings.init_timeout,
            "load": settings.load_timeout,
            "run": settings.run_invocation_timeout,
            "shutdown": settings.shutdown_timeout,
            "progress": progress,
            "memory": settings.process_memory_limit,
        },
        "environment": dict(settings.environment_variables),
        "packages": _packages(request, place.parts if place is not None else output),
        "threads": settings.threads_per_process,
        "kept": _kept(request),
        "log_limit": LOG_LIMIT,
        "usage_interval": settings.resource_monitor_interval,
        "fetch_limit": FETCH_LIMIT,
    }


def _kept(request: StepRequest) -> dict[str, Any]:
    """Return where a node finds run's folder that can't see the driver's; empty where it can."""
    if not request.kept_at or request.target in (None, INLINE):
        return {}
    return {
        "url": request.kept_at,
        "options": request.kept_options,
        "folder": str(request.run_folder),
        "resumed": request.resumed,
    }


def _arguments(settings: RunSettings) -> list[str | tuple[str, str]]:
    """Return the user's arguments, those that the node is to put in as pairs of kind and name."""
    given = settings.arguments
    return [(each.kind, each.name) if isinstance(each, NodePath) else each for each in given]


def _packages(request: StepRequest, output: str) -> dict[str, Any]:
    """Return what script processes are to run in; empty where that is the node's own Python."""
    settings = request.settings
    if not settings.requirements and settings.python_executable is None:
        return {}
    own = needs(request.plan.inputs, output, sink_of(settings).packages)
    return {
        "name": settings.environment_name,
        "python": settings.python_executable,
        "requirements": list(settings.requirements),
        "needs": list(dict.fromkeys((*own, *request.packages))),
        "timeout": settings.environment_timeout,
    }


def script_file(request: StepRequest) -> dict[str, Any]:
    """Return the fields of ``ScriptFile``."""
    script = request.script
    shown = Path(script.shown_as)
    inside = shown.is_relative_to(script.snapshot)
    root = script.snapshot if inside else shown.parent
    return {
        "path": str(script.snapshot / script.file),
        "shown_as": script.shown_as,
        "root": str(root),
        "whole": script.whole,
        "source": str(script.snapshot) if script.whole and inside else None,
    }


def compatible_arguments(request: StepRequest) -> list[str]:
    """Return the arguments the original added to every script, if ``argv_compat`` asks for them."""
    settings = request.settings
    if not settings.argv_compat:
        return []
    pairs = {
        "--mini_batch_size": settings.mini_batch_size,
        "--error_threshold": settings.error_threshold,
        "--output_action": settings.output_action,
        "--logging_level": settings.logging_level,
        "--run_invocation_timeout": settings.run_invocation_timeout,
        "--run_max_try": settings.run_max_try,
        "--output": shown_url(request.output_url) or request.output_folder or "",
    }
    return [text for name, value in pairs.items() for text in (name, str(value))]
