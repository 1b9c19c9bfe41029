"""What commands have in common: workspaces that are looked for, runs that are meant, errors."""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

import daskrun
from daskrun.core.report import ExitCode
from daskrun.core.typing import override
from daskrun.shown.printable import one_line, safe
from daskrun.shown.url_secrets import without_url_secrets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from click.shell_completion import CompletionItem

Command = TypeVar("Command", bound="Callable[..., Any]")
LAST = "last"
"""Stands for the newest run."""
MOST_NAMED = 5
"""Of runs that may be meant, how many a message names."""
PLACE = click.Path(readable=False)  # so that shells complete it; nothing is looked at
"""A path, or a URL, or a glob."""
MOST_COMPLETED = 200
"""Runs that a shell is told of, the newest ones."""


class Ended(click.ClickException):
    """A command ends with a message on stderr, ``""`` for none, and an exit code."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.__dict__["exit_code"] = code  # click has it as one of the class

    @override
    def show(self, file: Any = None) -> None:
        if self.message:
            click.echo(f"daskrun: {safe(self.message)}", file=file, err=True)


class WrongUse(Ended):
    """What was asked for can't be done; nothing was started."""

    def __init__(self, message: str) -> None:
        super().__init__(message, ExitCode.WRONG_USE)


class Starting(click.Command):
    """A command about a run that is to be; what follows ``--`` is its script's."""

    ARGUMENTS = "daskrun.arguments"
    """In a context: what was typed after the command's name."""
    SCRIPT_ARGUMENTS = "daskrun.script_arguments"
    """In a context: what was typed after ``--``."""

    @override
    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        end = args.index("--") if "--" in args else len(args)
        ctx.meta[self.ARGUMENTS], ctx.meta[self.SCRIPT_ARGUMENTS] = list(args), args[end + 1 :]
        return super().parse_args(ctx, args[:end])


def workspace_option(command: Command) -> Command:
    """Add ``--workspace``, as ``where``."""
    return click.option(
        "-w",
        "--workspace",
        "where",
        type=PLACE,
        metavar="PATH|URL",
        envvar="DASKRUN_WORKSPACE",
        help="The workspace, or the folder it is looked for from. [default: this folder, upward]",
    )(command)


def json_option(command: Command) -> Command:
    """Add ``--json``, as ``as_json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON to stdout.")(command)


def run_argument(command: Command) -> Command:
    """Add what a command about one run has: ``RUN``, as ``run_id``, and the two options above."""
    argument = click.argument("run_id", metavar="RUN", shell_complete=complete_run)
    return argument(workspace_option(json_option(command)))


def open_workspace(where: str | None) -> Any:
    """Return the workspace that is meant; WrongUse where there is none, and none is made."""
    found = daskrun.Workspace.find(where)
    if found is None:
        place = where or Path.cwd()
        raise WrongUse(
            f"there is no workspace in {place} or above it, so there are no runs. Go to the folder "
            "that they were started in, or give --workspace."
        )
    return found


def find_run(where: str | None, text: str) -> Any:
    """Return the run that is meant: by its id, the beginning or end of one, or ``last``."""
    workspace = open_workspace(where)
    if text == LAST:
        for run in workspace.get_runs():
            return run
        raise WrongUse("there is no run yet. Start one with 'daskrun run'.")
    if text in (ids := workspace.run_ids()):
        return workspace.get_run(text)
    meant = [each for each in ids if each.startswith(text) or each.endswith(text)]
    # of a run and its steps the run is meant
    whole = [each for each in meant if not any(each.startswith(f"{other}-") for other in meant)]
    if len(whole) == 1 and text:
        return workspace.get_run(whole[0])
    if not whole:
        raise WrongUse(f"no run has an id that begins or ends with {text!r}. See 'daskrun list'.")
    named = ", ".join(whole[: -MOST_NAMED - 1 : -1])
    raise WrongUse(
        f"{text!r} may be any of {len(whole):,} runs, such as {named}. Write more of the id."
    )


def steps_of(run: Any) -> Sequence[Any]:
    """Return the runs of the steps of a run: of a step's run that itself."""
    return run.get_steps() if hasattr(run, "get_steps") else [run]


def complete_run(
    ctx: click.Context, _: click.Parameter, incomplete: str
) -> list[CompletionItem | str]:
    """Return the ids that a shell may complete what was typed to."""
    try:
        found = daskrun.Workspace.find(ctx.params.get("where"))
        ids = found.run_ids()[::-1] if found is not None else []
    except daskrun.DaskrunError:
        ids = []
    return [each for each in (LAST, *ids[:MOST_COMPLETED]) if each.startswith(incomplete)]


def value_of(text: str) -> Any:
    """Return what a text stands for that is given as a setting: a number, a flag, null, a text.

    Examples
    --------
    >>> [value_of(text) for text in ("5", "5MB", "true", "null")]
    [5, '5MB', True, None]
    """
    try:
        return json.loads(text)
    except ValueError:
        return text


def pairs(option: str, given: Iterable[str]) -> dict[str, str]:
    """Return what was given as ``NAME=VALUE``."""
    found = {}
    for each in given:
        name, equals, value = each.partition("=")
        if not equals or not name:
            raise WrongUse(f"{option} {each!r} is not NAME=VALUE. Write {option} run_max_try=5.")
        found[name] = value
    return found


def print_json(value: object) -> None:
    """Print a value as JSON, without secrets; what a terminal would act on is escaped."""
    text = json.dumps(without_url_secrets(value), indent=2, ensure_ascii=False, default=str)
    escaped = (
        char if char.isprintable() or char == "\n" else json.dumps(char)[1:-1] for char in text
    )
    click.echo("".join(escaped))


@contextmanager
def text_aside(as_json: bool) -> Iterator[None]:
    """Write what is for people, and what scripts print here, to stderr where stdout is JSON."""
    with redirect_stdout(sys.stderr if as_json else sys.stdout):
        yield


def print_table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print rows below a head, in columns as wide as they need."""
    texts = [[*head], *([one_line(str(cell)) for cell in row] for row in rows)]
    widths = [max(len(row[n]) for row in texts) for n in range(len(head))]
    for row in texts:
        click.echo(
            "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        )
