"""Commands that tell of runs and change nothing: they make no workspace either."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import daskrun
from daskrun.cli.common import (
    PLACE,
    Ended,
    WrongUse,
    complete_run,
    find_run,
    json_option,
    print_json,
    print_table,
    run_argument,
    steps_of,
    workspace_option,
)
from daskrun.core.report import ExitCode
from daskrun.shown.counted import many
from daskrun.shown.printable import safe

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

COUNTS = ("total", "succeeded", "failed", "retried", "items", "items_failed")
MOST_ERRORS = 3
"""Of a step, that people are shown."""
STATUSES = ("NotStarted", "Running", "Completed", "Failed", "Canceled")


@click.command("list")
@click.option("-n", "--limit", type=click.IntRange(1), default=20, show_default=True)
@click.option("--experiment", metavar="NAME", help="Those of one experiment only.")
@click.option(
    "--status", type=click.Choice(STATUSES, case_sensitive=False), help="Those in one state only."
)
@workspace_option
@json_option
def list_runs(
    limit: int, experiment: str | None, status: str | None, where: str | None, as_json: bool
) -> None:
    """List runs, the newest first."""
    workspace = daskrun.Workspace.find(where)
    found = workspace.get_runs() if workspace is not None else iter(())
    wanted = (
        run
        for run in found
        if experiment in (None, run.experiment.name) and status in (None, run.status.value)
    )
    rows = [_listed(run) for run in islice(wanted, limit)]
    if as_json:
        print_json(rows)
    elif rows:
        print_table([name.upper() for name in rows[0]], [list(row.values()) for row in rows])
    else:
        place = f"workspace {workspace.name!r}" if workspace else f"{where or Path.cwd()} or above"
        click.echo(f"no such run in {place}", err=True)


def _listed(run: Any) -> dict[str, object]:
    details = run.get_details()
    created = details["daskrun"]["manifest"].get("created")
    started = datetime.fromtimestamp(created, UTC) if created else None
    return {
        "id": run.id,
        "status": run.status.value,
        "experiment": run.experiment.name,
        "created": f"{started:%Y-%m-%d %H:%M:%S}Z" if started else "",
        "steps": ", ".join(step.name for step in steps_of(run)),
    }


@click.command()
@run_argument
def show(run_id: str, where: str | None, as_json: bool) -> None:
    """Show how a run stands: steps, counts, outputs, advice."""
    run = find_run(where, run_id)
    if as_json:
        print_json(told(run))
        return
    for line in Told.of(run).lines():
        click.echo(safe(line))


@dataclass(frozen=True)
class ToldStep:
    """What commands tell of a step's run."""

    id: str
    name: str
    status: str
    message: str
    mini_batches: Mapping[str, int | None]
    """Counts by name; None where that is not known, and of a program."""
    outputs: Mapping[str, str]
    """Path or URL by name."""
    errors: Sequence[Mapping[str, Any]]
    """Each distinct one: ``message``, ``where``, ``count``."""
    warnings: Sequence[str]
    logs: str
    """Where they are."""

    @classmethod
    def of(cls, step: Any) -> ToldStep:
        """Return what is told of a step's run."""
        known, progress = step.get_details()["daskrun"], step.progress
        report = known["report"] or {}
        counts = () if known["manifest"].get("type") == "PythonScriptStep" else COUNTS
        return cls(
            step.id,
            step.name,
            step.status.value,
            step.message,
            {
                name: report.get(name, getattr(progress, name, None)) if name in counts else None
                for name in COUNTS
            },
            {name: output.path for name, output in step.outputs.items()},
            [
                {name: error[name] for name in ("message", "where", "count")}
                for error in sorted(report.get("errors", ()), key=lambda each: -each["count"])
            ],
            report.get("warnings", ()),
            step.place_of("logs"),
        )

    def lines(self) -> Iterator[str]:
        """Yield it for people."""
        yield f"  step {self.name}: {self.status}{self._counts()}"
        for name, path in self.outputs.items():
            yield f"    output {name}: {path}"
        for error in self.errors[:MOST_ERRORS]:
            where = f" ({error['where']})" if error["where"] else ""
            yield f"    {error['count']:,} × {error['message']}{where}"
        for text in self.warnings:
            yield f"    warning: {text}"
        yield f"    logs: {self.logs}"

    def _counts(self) -> str:
        total, succeeded, failed, _, items, lost = (self.mini_batches[name] for name in COUNTS)
        if succeeded is None:
            return ""
        told = [f"{succeeded:,} of {'?' if total is None else many(total, 'mini-batch', 'es')}"]
        told += [f"{failed:,} failed"] if failed else []
        told += [f"{many(items, 'item')}{f' ({lost:,} failed)' if lost else ''}"] if items else []
        return f", {', '.join(told)}"


@dataclass(frozen=True)
class Told:
    """What commands tell of a run."""

    id: str
    status: str
    exit_code: int | None
    message: str
    experiment: str
    started: str | None
    """UTC; None before."""
    ended: str | None
    folder: str
    """Where it is kept."""
    next: str
    """What to do about it, in commands."""
    steps: Sequence[ToldStep]

    @classmethod
    def of(cls, run: Any) -> Told:
        """Return what is told of a run."""
        details = run.get_details()
        return cls(
            run.id,
            run.status.value,
            run.exit_code,
            run.message,
            run.experiment.name,
            details["startTimeUtc"],
            details["endTimeUtc"],
            run.place_of(),
            run.resume_hint,
            [ToldStep.of(step) for step in steps_of(run)],
        )

    def lines(self) -> Iterator[str]:
        """Yield it for people."""
        yield f"run {self.id} is {self.status}{self.message and ': '}{self.message}"
        end = self.ended or ("now" if self.exit_code is None else "an end that was not noted")
        span = f"{self.started or 'not yet'} to {end}"
        yield f"  experiment {self.experiment}, {span}"
        for step in self.steps:
            yield from step.lines()
        if self.next:
            yield f"  {self.next}"


def told(run: Any) -> Mapping[str, object]:
    """Return what commands tell of a run, as JSON can hold it."""
    return asdict(Told.of(run))


@click.command()
@run_argument
def failed(run_id: str, where: str | None, as_json: bool) -> None:
    """List the items that have failed, each with its reason."""
    rows = []
    for step in steps_of(find_run(where, run_id)):
        text = step.failed_items().to_json(orient="records", force_ascii=False)
        rows += [{"step": step.name, **row} for row in json.loads(text)]
    if as_json:
        print_json(rows)
    elif rows:
        print_table(
            ["ITEM", "ATTEMPTS", "REASON"],
            [(row["item"], row["attempts"], row["reason"]) for row in rows],
        )
    else:
        click.echo("no item is known to have failed", err=True)


@click.command()
@run_argument
@click.option("--download", type=PLACE, metavar="DIR", help="Copy each to DIR/<output>/.")
@click.option("--overwrite", is_flag=True, help="Replace files that are there.")
def outputs(
    run_id: str, where: str | None, as_json: bool, download: str | None, overwrite: bool
) -> None:
    """List what a run has written, or copy it here."""
    found = getattr(find_run(where, run_id), "outputs", {})  # one that is logged to has none
    rows = []
    for name, output in found.items():
        rows.append({"name": name, "path": output.path})
        copied = ""
        if download is not None:
            to = Path(download, name)
            count = output.download(to, overwrite=overwrite, flat=True)
            rows[-1] |= {"files": count, "copied_to": str(to)}
            copied = f"  {many(count, 'file')} copied to {to}"
        if not as_json:
            click.echo(safe(f"{name}: {output.path}{copied}"))
    if as_json:
        print_json(rows)
    elif not rows:
        click.echo("the run has no output", err=True)


@click.command()
@run_argument
@click.option("--open", "opened", is_flag=True, help="Open it in a browser.")
def report(run_id: str, where: str | None, as_json: bool, opened: bool) -> None:
    """Write a page on each step: times, errors, what to change."""
    found = find_run(where, run_id)
    pages = found.report() if hasattr(found, "report") else []
    if not pages:
        raise Ended(f"no step of run {found.id} has begun: there is no report.", ExitCode.FAILED)
    if as_json:
        print_json([str(each) for each in pages])
    for page in pages:
        if not as_json:
            click.echo(page)
        if opened:
            _open(page.absolute().as_uri())


@click.command()
@click.argument("run_id", metavar="[RUN]", default="last", shell_complete=complete_run)
@click.option("--open", "opened", is_flag=True, help="Open it in a browser.")
@workspace_option
@json_option
def dashboard(run_id: str, opened: bool, where: str | None, as_json: bool) -> None:
    """Print the address of a running run's dashboard.

    Of the newest run if none is named.
    """
    found = find_run(where, run_id)
    if found.status.ended:
        raise WrongUse(
            f"run {found.id} is {found.status.value}: its dashboard went with it. See 'daskrun "
            f"report {found.id} --open'."
        )
    address = next((step.dashboard for step in steps_of(found) if step.dashboard), "")
    if not address:
        raise Ended(f"run {found.id} has no dashboard yet. Try again soon.", ExitCode.FAILED)
    if as_json:
        print_json({"id": found.id, "dashboard": address})
    else:
        click.echo(safe(address))
    if opened:
        _open(address)


def _open(address: str) -> None:
    import webbrowser  # no help needs it

    webbrowser.open(address)
