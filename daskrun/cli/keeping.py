"""Commands that keep house: what runs have left, and completion for shells."""

from __future__ import annotations

import sys

import click
from click.shell_completion import get_completion_class

from daskrun.cli.common import json_option, open_workspace, print_json, workspace_option
from daskrun.shown.printable import safe


@click.command()
@click.option(
    "--older-than",
    type=click.FloatRange(0),
    default=7.0,
    show_default=True,
    metavar="DAYS",
    help="For how long nothing may have happened to a run.",
)
@click.option("--runs", is_flag=True, help="Whole runs too, with code, logs and reports.")
@click.option("--yes", is_flag=True, help="Remove it without asking.")
@workspace_option
@json_option
def clean(older_than: float, runs: bool, yes: bool, where: str | None, as_json: bool) -> None:
    """Remove what old and dead runs have left.

    Outputs are never touched. Without a terminal, and without --yes, it only tells what there is.
    """
    plan = open_workspace(where).clean(older_than, runs)
    said = repr(plan).replace(": remove() frees it", "")
    asks = sys.stdin.isatty() and not (yes or as_json) and len(plan) > 0
    removes = yes or (asks and click.confirm(f"{safe(said)}\nRemove it?", err=True))
    done = plan.remove() if removes else None
    if as_json:
        listed = [{"what": each.what, "run": each.run, "bytes": each.bytes} for each in plan]
        kept = [] if done is None else [why for _, why in done.kept]
        print_json({"found": listed, "removed": done is not None, "kept": kept})
    elif done is not None:
        click.echo(safe(repr(done)))
    elif not asks:
        click.echo(safe(said))
        click.echo("Nothing was removed: --yes removes it." if len(plan) else "", err=True)


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the script by which a shell completes commands and runs.

    \b
    bash:  eval "$(daskrun completion bash)"    in ~/.bashrc
    zsh:   eval "$(daskrun completion zsh)"     in ~/.zshrc
    fish:  daskrun completion fish > ~/.config/fish/completions/daskrun.fish
    """  # noqa: D301  (click's mark of lines that stay as they are)
    found = get_completion_class(shell)
    assert found is not None
    root = click.get_current_context().find_root().command
    click.echo(found(root, {}, "daskrun", "_DASKRUN_COMPLETE").source())
