"""What a node is told, made from the request."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from daskrun.engine.request import INLINE, ORIGINAL_OPTIONS
from daskrun.output.destination import destination_of
from daskrun.output.sinks.registry import sink_of, sink_reference
from daskrun.script.environments.packages import needs
from daskrun.script.node_spec import EnvironmentSpec, InputPlace, Limits, NodeSpec, RunCopy
from daskrun.script.process_spec import ProcessSpec, ScriptFile, ScriptOutput
from daskrun.script.wire import encode
from daskrun.storage.trees import digest_of_tree, tree_of
from daskrun.storage.urls import shown_url

if TYPE_CHECKING:
    from collections.abc import Sequence

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


def node_spec(
    request: StepRequest, node: str, nodes_here: int, gpus: Sequence[str] | None = None
) -> NodeSpec:
    """Return what the keeper of ``node`` is told.

    ``nodes_here`` nodes of this run are on one machine and share its cores and memory; ``gpus`` are
    its own.
    """
    settings, script = request.settings, request.script
    place = output_of(request) if settings.appends else None
    parts = place.parts if place is not None else ""
    progress = settings.progress_update_timeout or 3 * (settings.run_invocation_timeout + 30)
    return NodeSpec(
        run_id=request.run_id,
        node=node,
        nodes_here=nodes_here,
        gpus=gpus,
        logs=str(request.run_folder / "logs"),
        process=_process_spec(request, parts),
        arguments=(script.shown_as, *settings.arguments, *compatible_arguments(request)),
        inputs=tuple(
            InputPlace(each.name, each.root, each.remote, each.kind) for each in request.plan.inputs
        ),
        side_inputs=request.side_inputs,
        outputs=request.outputs,
        limits=Limits(
            init=settings.init_timeout,
            load=settings.load_timeout,
            run=settings.run_invocation_timeout,
            shutdown=settings.shutdown_timeout,
            progress=progress,
            memory=settings.process_memory_limit,
        ),
        environment=dict(settings.environment_variables),
        processes=settings.process_count_per_node,
        threads=settings.threads_per_process,
        python=_environment(request),
        run_copy=_run_copy(request),
        log_limit=LOG_LIMIT,
        usage_interval=settings.resource_monitor_interval,
        fetch_limit=FETCH_LIMIT,
        cache_limit=settings.node_cache_limit,
    )


def _process_spec(request: StepRequest, parts: str) -> ProcessSpec:
    settings, script = request.settings, request.script
    folder = (script.snapshot / script.file).parent
    return ProcessSpec(
        script=script_file(request),
        sys_path=tuple(p for p in (str(script.snapshot), str(folder), script.extra_path) if p),
        argv=(),
        context=replace(
            request.context,
            run_id=request.run_id,
            run_folder=str(request.run_folder),
            step_name=request.step_name,
            output_dir=_shown_output(request),
            script_dir=str(Path(script.shown_as).parent),
            logging_level=settings.logging_level,
            cache_limit=settings.node_cache_limit,
        ),
        inputs=encode(request.plan.inputs),
        sink=sink_reference(settings),
        sink_settings=settings.append_row_settings,
        any_number=settings.results_per_item == "any",
        parts=parts,
        files=() if script.whole else _at_urls(request),
        storage_options=request.output_options,
        fetched=any(each.remote for each in request.plan.inputs),
    )


def _at_urls(request: StepRequest) -> tuple[ScriptOutput, ...]:
    """Return the outputs that are URLs, the step's own first."""
    own = ScriptOutput(url=request.output_url, options=request.output_options)
    found = {each.url: each for each in (own, *request.outputs.values()) if each.url}
    return tuple(found.values())


def _shown_output(request: StepRequest) -> str:
    return shown_url(request.output_url) or str(request.output_folder or "")


def _run_copy(request: StepRequest) -> RunCopy | None:
    """Return where a node finds the run's folder that can't see the driver's."""
    if not request.kept_at or request.target in (None, INLINE):
        return None
    return RunCopy(
        request.kept_at,
        request.kept_options,
        str(request.run_folder),
        _code_digest(request.script.snapshot),
        request.resumed,
        request.intervals.log_interval,
    )


@lru_cache(maxsize=8)
def _code_digest(snapshot: Path) -> str:
    """Digest the code of a run, which never changes."""
    return digest_of_tree(tree_of(snapshot))


def _environment(request: StepRequest) -> EnvironmentSpec | None:
    """Return what script processes are to run in; None where that is the node's own Python."""
    settings = request.settings
    if not settings.requirements and settings.python_executable is None:
        return None
    urls = [each.url for each in _at_urls(request)]
    own = needs(request.plan.inputs, urls, sink_of(settings).packages)
    return EnvironmentSpec(
        name=settings.environment_name,
        python=settings.python_executable,
        requirements=tuple(settings.requirements),
        needs=tuple(dict.fromkeys((*own, *request.packages))),
        timeout=settings.environment_timeout,
    )


def script_file(request: StepRequest) -> ScriptFile:
    """Return where the script is and how it names itself."""
    script = request.script
    shown = Path(script.shown_as)
    inside = shown.is_relative_to(script.snapshot)
    return ScriptFile(
        path=str(script.snapshot / script.file),
        shown_as=script.shown_as,
        root=str(script.snapshot if inside else shown.parent),
        whole=script.whole,
        source=str(script.snapshot) if script.whole and inside else None,
        data_in_errors=request.settings.data_in_errors,
    )


def compatible_arguments(request: StepRequest) -> list[str]:
    """Return those of the arguments the original added to every script that are asked for."""
    settings = request.settings
    if not settings.argv_compat and not settings.argv_options:
        return []
    output = shown_url(request.output_url) or request.output_folder or ""
    wanted = ORIGINAL_OPTIONS if settings.argv_compat else settings.argv_options
    values = (output if each == "--output" else getattr(settings, each[2:]) for each in wanted)
    return [text for pair in zip(wanted, map(str, values), strict=True) for text in pair]
