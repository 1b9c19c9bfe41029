"""Commands about jobs that are not run yet: ``init`` and ``check``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import daskrun
from daskrun.cli import samples
from daskrun.cli.common import (
    PLACE,
    Starting,
    WrongUse,
    json_option,
    print_json,
    text_aside,
    workspace_option,
)
from daskrun.cli.quick import job_of, job_options
from daskrun.core.report import ExitCode
from daskrun.shown.counted import many
from daskrun.shown.printable import safe
from daskrun.storage.folders import make_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_COLUMNS = 40
"""Of a table, that people are shown."""


@click.command()
@click.argument("folder", default=".", type=PLACE)
@json_option
def init(folder: str, as_json: bool) -> None:
    """Write a commented job file, a script, and a little data.

    They go to FOLDER, by default this one; nothing that is there is replaced.
    """
    place = Path(folder)
    files = {place / name: text for name, text in samples.FILES.items()}
    there = [str(path) for path in files if path.exists()]
    if there:
        raise WrongUse(
            f"{', '.join(there)} is there already. Give another folder: daskrun init NAME"
        )
    for path, text in files.items():
        make_folder(path.parent)
        path.write_text(text, encoding="utf-8")
    if as_json:
        print_json([str(path) for path in files])
        return
    for path in files:
        click.echo(path)
    job = place / samples.JOB
    click.echo(f"Try it: daskrun check {job}, then daskrun run {job}", err=True)


@click.command(cls=Starting)
@job_options
@click.option("--no-run", is_flag=True, help="Don't run the first mini-batch.")
@workspace_option
@json_option
@click.pass_context
def check(
    ctx: click.Context, /, no_run: bool, where: str | None, as_json: bool, **given: Any
) -> None:
    """Tell what a run would be: mini-batches, types, time.

    It takes what 'daskrun run' takes. The first mini-batch of each step is run, once, on this
    machine, and what it returns is thrown away; nothing else is started, and nothing is kept.
    """
    job = job_of(given, ctx.meta[Starting.SCRIPT_ARGUMENTS])
    from daskrun.jobs.job import some_workspace  # no help needs it

    with some_workspace(daskrun.Workspace.find(where)) as workspace, text_aside(as_json):
        found = job.pipeline(workspace).check(try_first=not no_run)
        notes = job.notes
    failed = [step for step in found if step.first is not None and step.first.message]
    if as_json:
        steps = [{**asdict(step), "seconds": step.seconds} for step in found]
        print_json({"notes": notes, "steps": steps})
    else:
        for note in notes:
            click.echo(safe(f"note: {note}"))
        for step in found:
            for line in _lines(step):
                click.echo(safe(line))
    for step in failed:
        click.echo(safe(f"\n{step.first.text}".rstrip()), err=True)
    ctx.exit(ExitCode.FAILED if failed else ExitCode.DONE)


def _lines(step: Any) -> Iterator[str]:
    count = None if step.kind == "program" else step.mini_batches
    about = "" if step.complete else "about "
    told = f": {about}{many(count, 'mini-batch', 'es')}" if count is not None else ""
    files = f" of {many(step.files, 'file', 's')}" if told and step.files else ""
    yield f"step {step.name}{told}{files}"
    for name, columns in step.columns.items():
        shown = [f"{column} {kind}" for column, kind in columns.items()]
        more = f" and {len(shown) - MOST_COLUMNS:,} more" if len(shown) > MOST_COLUMNS else ""
        yield f"  columns of {name}: {', '.join(shown[:MOST_COLUMNS])}{more}"
    for note in step.notes:
        yield f"  note: {note}"
    first = step.first
    if first is None:
        yield f"  not tried: {step.not_tried}"
        return
    if first.message:
        how = "can't be run" if first.status == "not run" else "failed"
        yield f"  its first mini-batch {how}: {first.message}"
        return
    begun = "" if first.init_seconds is None else f", {_time(first.init_seconds)} in init()"
    run = f"{_time(first.run_seconds)} in run(), {_time(first.load_seconds)} to load{begun}"
    counts = f"{many(first.items, 'item', 's')}, {many(first.results, 'result', 's')}"
    yield f"  first mini-batch: {counts}, {run}"
    if first.warning:
        yield f"  not all its items succeeded: {first.warning}"
    if step.seconds is None:
        yield f"  one process takes about {_time((count or 0) * first.seconds)}"
    else:
        processes = many(step.slots, "script process", "es")
        yield f"  all of it: about {_time(step.seconds)} with {processes}, once started"


def _time(seconds: float) -> str:
    from daskrun.monitor.pace import duration  # no help needs it

    return duration(seconds) if seconds >= 1 else f"{1000 * seconds:.3g} ms"
