"""Commands that start runs, wait for them, go on with them and end them."""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

import click

import daskrun
from daskrun.cli.common import (
    Ended,
    Starting,
    find_run,
    json_option,
    pairs,
    print_json,
    run_argument,
    text_aside,
    value_of,
    workspace_option,
)
from daskrun.cli.looking import told
from daskrun.cli.quick import job_of, job_options
from daskrun.core.report import ExitCode
from daskrun.shown.printable import safe

if TYPE_CHECKING:
    from collections.abc import Callable

DRIVER = "--driver"
"""The one word on the command line of a driver in the background."""


def _starts(command: Callable[..., None]) -> Callable[..., None]:
    """Add options of commands that start runs."""
    tell = click.option("--tell", type=int, hidden=True)
    return tell(workspace_option(json_option(command)))


@click.command(cls=Starting)
@job_options
@_starts
@click.pass_context
def run(
    ctx: click.Context, /, where: str | None, as_json: bool, tell: int | None, **given: Any
) -> None:
    """Run a job file, or a script over data, and wait.

    \b
    daskrun run job.yml --set inputs.images=photos
    daskrun run --script score.py --input 'images/*.png' --output out/scores.csv
    daskrun run --script score.py --table 'orders/*.csv' -- --model mnist

    What follows -- is for the script.
    """  # noqa: D301  (click's mark of lines that stay as they are)
    job = job_of(given, ctx.meta[Starting.SCRIPT_ARGUMENTS])
    _drive(lambda: job.submit(daskrun.Workspace.from_config(where)), as_json, tell)


@click.command(cls=Starting)
@job_options
@click.option("--detached", is_flag=True, help="Drive it on its cluster, without this machine.")
@_starts
@click.pass_context
def submit(
    ctx: click.Context, /, where: str | None, as_json: bool, detached: bool, tell: int, **given: Any
) -> None:
    """Start a run in the background, and print its id.

    It takes what 'daskrun run' takes. Its driver is a process of its own on this machine, which the
    terminal's end doesn't end; 'daskrun watch' shows how far it is.
    """
    del tell
    if not detached:
        _detach("run", ctx.meta[Starting.ARGUMENTS], as_json)
        return
    job = job_of(given, ctx.meta[Starting.SCRIPT_ARGUMENTS])
    with text_aside(as_json):
        started = job.submit(daskrun.Workspace.from_config(where), detached=True)
    said = {"id": started.id, "pid": None, "log": started.place_of("logs/driver.txt")}
    print_json(said) if as_json else click.echo(started.id)


@click.command(cls=Starting)
@run_argument
@click.option("--retry-failed", is_flag=True, help="Try again what has failed for good.")
@click.option("--cluster", metavar="TARGET", help="Where to run from now on.")
@click.option(
    "--set", "settings", metavar="NAME=VALUE", multiple=True, help="Another value of a setting."
)
@click.option("-d", "--detach", is_flag=True, help="Don't wait for the run's end.")
@click.option("--tell", type=int, hidden=True)
@click.pass_context
def resume(
    ctx: click.Context,
    run_id: str,
    where: str | None,
    as_json: bool,
    retry_failed: bool,
    cluster: str | None,
    settings: tuple[str, ...],
    detach: bool,
    tell: int | None,
) -> None:
    """Go on with a run that ended early.

    Nothing that is finished is done again. The code is what it was at the run's start.
    """
    if detach:
        options = [each for each in ctx.meta[Starting.ARGUMENTS] if each not in ("-d", "--detach")]
        _detach("resume", options, as_json)
        return
    found = find_run(where, run_id)
    values = {name: value_of(text) for name, text in pairs("--set", settings).items()}
    _drive(partial(found.resume, retry_failed, cluster, **values), as_json, tell)


@click.command()
@run_argument
def watch(run_id: str, where: str | None, as_json: bool) -> None:
    """Show how far a run is until it ends.

    The exit code is the run's.
    """
    found = find_run(where, run_id)
    with text_aside(as_json):
        _wait(found, raise_on_error=False)
    _end(found, as_json)


@click.command()
@run_argument
@click.option("--reason", default="daskrun cancel", help="Kept with the run.", show_default=True)
@click.option("--no-wait", is_flag=True, help="Only ask for it.")
def cancel(run_id: str, where: str | None, as_json: bool, reason: str, no_wait: bool) -> None:
    """End a run.

    What it has finished is kept, and 'daskrun resume' goes on from there.
    """
    found = find_run(where, run_id)
    if found.status.ended:
        raise Ended(f"run {found.id} is {found.status.value} already.", ExitCode.FAILED)
    found.cancel(reason)
    if not no_wait:
        found.wait_for_completion(raise_on_error=False)
    if as_json:
        print_json(told(found))
    else:
        click.echo(safe(f"run {found.id} {'is asked to end' if no_wait else found.status.value}"))


def _drive(start: Callable[[], Any], as_json: bool, tell: int | None) -> None:
    """Start a run, wait for its end in this process, and end the command with its exit code."""
    with text_aside(as_json):
        started = start()
        if tell is not None:
            _go_aside(started, tell)
        try:
            _wait(started)
        except daskrun.RunCanceledError:
            pass
        except daskrun.RunFailedError as error:
            click.echo(safe(f"\n{error.first_error}".rstrip()), err=True)
        except (KeyboardInterrupt, SystemExit):
            if not started.status.ended:  # a second signal ended it at once
                raise
    _end(started, as_json)


def _wait(run: Any, **options: Any) -> None:
    """Show how far a run is until it ends, whether or not somebody goes on reading that."""
    try:
        run.wait_for_completion(show_output=True, **options)
    except BrokenPipeError:
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), sys.stdout.fileno())
        run.wait_for_completion(**options)


def _end(ended: Any, as_json: bool) -> None:
    if as_json:
        print_json(told(ended))
    click.get_current_context().exit(ended.exit_code)


def _detach(command: str, arguments: list[str], as_json: bool) -> None:
    """Start a process that drives a run, and print the run's id once there is one."""
    import subprocess  # no help needs it

    read, write = os.pipe()
    at = arguments.index("--") if "--" in arguments else len(arguments)
    told_by = [*arguments[:at], "--tell", str(write), *arguments[at:]]
    # -P: what lies in the current folder must not stand for a package. Its arguments come by a
    # pipe: all users of this machine see its command line as long as the run goes on.
    driver = subprocess.Popen(
        [sys.executable, "-P", "-m", "daskrun", DRIVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
        pass_fds=[write],
    )
    os.close(write)
    with suppress(BrokenPipeError), cast("IO[bytes]", driver.stdin) as given:
        given.write(json.dumps([command, *told_by]).encode())
    try:
        with os.fdopen(read, encoding="utf-8") as pipe:
            said = pipe.read()
    except KeyboardInterrupt:
        driver.terminate()  # as if it were this process
        raise
    if not said:  # it has said why, on stderr
        raise Ended("", driver.wait() or ExitCode.FAILED)
    print_json(json.loads(said)) if as_json else click.echo(json.loads(said)["id"])


def _go_aside(started: Any, tell: int) -> None:
    """Tell the command that waits for it the run's id, and have its log hear what is printed."""
    from daskrun.pipeline.execution.output_log import DRIVER_LOG, print_into  # no help needs it

    log = started.folder / "logs" / DRIVER_LOG
    print_into(log)
    with os.fdopen(tell, "w", encoding="utf-8") as pipe:
        json.dump({"id": started.id, "pid": os.getpid(), "log": str(log)}, pipe)
