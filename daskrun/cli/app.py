"""The command itself: which commands there are, what errors become, and exit codes."""

from __future__ import annotations

import json
import sys
from typing import Any

import click

import daskrun
from daskrun.cli import jobs, keeping, logs, looking, running
from daskrun.cli.common import Ended, WrongUse
from daskrun.core.report import ExitCode
from daskrun.core.typing import override

NAME = "daskrun"
INTERRUPTED = 130
"""What a shell expects of what Ctrl-C has ended."""
CODES = f"""\b
Exit codes:
  {ExitCode.DONE:<3}  done
  {ExitCode.FAILED:<3}  the run failed, and would again
  {ExitCode.WRONG_USE:<3}  wrong use: nothing was started
  {ExitCode.CANCELED:<3}  the run was canceled
  {ExitCode.THRESHOLD:<3}  more has failed than a threshold allows
  {ExitCode.RESUMABLE:<3}  the run ended early by no fault of its script: 'daskrun resume' goes on
  {INTERRUPTED}  Ctrl-C ended a command that only looks, or a second one a run

\b
RUN is a run's id, the beginning or the end of one that no other has, or 'last'.
For completion write:  eval "$(daskrun completion bash)"
"""


class Commands(click.Group):
    """A group whose commands end with one sentence where daskrun raises an error."""

    @override
    def invoke(self, ctx: click.Context) -> Any:
        from daskrun.pipeline.execution.advice import speak_commands  # no help needs it

        speak_commands()  # also at the end of the process, when runs are given up
        try:
            return super().invoke(ctx)
        except daskrun.RunCanceledError as error:
            raise Ended(str(error), ExitCode.CANCELED) from error
        except (daskrun.RunFailedError, daskrun.StorageError) as error:
            raise Ended(str(error), ExitCode.FAILED) from error
        except daskrun.DaskrunError as error:
            raise WrongUse(str(error)) from error
        except BrokenPipeError:
            raise  # click ends quietly
        except OSError as error:
            raise Ended(str(error), ExitCode.FAILED) from error
        except KeyboardInterrupt:
            raise Ended("", INTERRUPTED) from None

    @override
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)  # as they are used, not by name


def _version(ctx: click.Context, _: click.Parameter, asked: bool) -> None:
    if asked:
        click.echo(f"{NAME} {daskrun.__version__}")
        ctx.exit()


@click.group(
    NAME, cls=Commands, epilog=CODES, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Show it."
)
def cli() -> None:
    """Run your Python over any number of files or rows, in parallel, here or on a Dask cluster."""


for command in (
    jobs.init,
    jobs.check,
    running.run,
    running.submit,
    looking.list_runs,
    looking.show,
    running.watch,
    logs.logs,
    looking.failed,
    looking.outputs,
    looking.report,
    looking.dashboard,
    running.resume,
    running.cancel,
    keeping.clean,
    keeping.completion,
):
    cli.add_command(command)


def main() -> None:
    """Run the command, and end the process."""
    given = json.load(sys.stdin) if sys.argv[1:] == [running.DRIVER] else None
    cli(given, prog_name=NAME if sys.argv[0].endswith(("__main__.py", NAME)) else None)
