"""The pages of the command: what each command's help says, and exit codes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click

from daskrun.cli.app import CODES, NAME, cli

if TYPE_CHECKING:
    from collections.abc import Iterator

HEAD = """\
# Commands

What `daskrun COMMAND --help` says. `python -m daskrun` and `dask daskrun` are the same.
"""
CODES_HEAD = """\
# Exit codes

Of `daskrun`, and of programs that end with
`sys.exit(run.exit_code)`. They never change.

| code | means |
|---|---|
"""


def page() -> str:
    """Return the page of commands."""
    return "\n".join([HEAD, *_commands()]).rstrip() + "\n"


def _commands() -> Iterator[str]:
    wide = {"max_content_width": 90, "terminal_width": 90}
    context = click.Context(cli, info_name=NAME, **wide, **cli.context_settings)
    for name in cli.list_commands(context):
        command = cli.commands[name]
        inner = click.Context(command, parent=context, info_name=name, terminal_width=90)
        shown = "\n".join(line.rstrip() for line in command.get_help(inner).splitlines())
        yield f"## {NAME} {name}\n\n```text\n{shown}\n```\n"


def exit_codes() -> str:
    """Return the page of exit codes."""
    rows = re.findall(r"^  (\d+) +(.+)$", CODES, re.M)
    return CODES_HEAD + "".join(f"| {code} | {meaning} |\n" for code, meaning in rows)
