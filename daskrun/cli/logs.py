"""``daskrun logs``: what a run's scripts have printed, and what happened to it."""

from __future__ import annotations

import os
import time
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import click

from daskrun.cli.common import WrongUse, find_run, print_json, run_argument, steps_of
from daskrun.shown.printable import printable
from daskrun.storage.durable import open_regular, read_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

USUAL = ("driver.txt", "sys/happenings.txt", "user/*")
"""What is shown if nothing else is said; ``*`` is for folders too."""
ERRORS = ("job_error.txt", "failed_items.txt")
INTERVAL = 0.5
"""Seconds between two looks at files that grow."""
BLOCK = 1 << 16


@click.command()
@run_argument
@click.argument("patterns", metavar="[FILE]...", nargs=-1)
@click.option("-f", "--follow", is_flag=True, help="Go on until the run ends.")
@click.option("--errors", is_flag=True, help="Each distinct error, with its traceback.")
@click.option("--names", is_flag=True, help="The names of the log files only.")
def logs(
    run_id: str,
    where: str | None,
    as_json: bool,
    patterns: tuple[str, ...],
    follow: bool,
    errors: bool,
    names: bool,
) -> None:
    """Print what happened in a run, and what its scripts printed.

    FILE says which, by name or glob, such as 'job_result.txt' or 'user/stdout/*'.
    """
    run = find_run(where, run_id)
    if follow and (as_json or names):
        raise WrongUse("--follow goes with neither --json nor --names. Leave one out.")
    wanted = patterns or (("*",) if names else ERRORS if errors else USUAL)
    files = Files(run, wanted)
    if names:
        found = [name for name, _ in files.found()]
        print_json(found) if as_json else click.echo("\n".join(found))
        return
    if as_json:
        texts = {name: read_file(path).decode("utf-8", "replace") for name, path in files.found()}
        print_json(texts)
        return
    while True:
        ended = run.status.ended  # looked at first: what is written before the end is seen
        files.print_new(whole=ended or not follow)
        if ended or not follow:
            break
        time.sleep(INTERVAL)
    if patterns and not files.printed:
        raise WrongUse(f"no log of run {run.id} is named {' or '.join(patterns)}. See --names.")


class Files:
    """Log files of a run and its steps, each printed as far as it was not before."""

    def __init__(self, run: Any, patterns: tuple[str, ...]) -> None:
        steps = {each.id: (each, each.name) for each in steps_of(run)}
        self._runs = list({run.id: (run, ""), **steps}.values())
        self._patterns = patterns
        self._offsets: dict[str, int] = {}
        self._current = ""

    @property
    def printed(self) -> bool:
        """Whether there was any file."""
        return bool(self._offsets)

    def found(self) -> Iterator[tuple[str, Path]]:
        """Yield name and place of each; that of a step has its name before where there are more."""
        several = len(self._runs) > 2
        for run, step in self._runs:
            folder = run.folder / "logs"  # brings what is new, of a run that is kept elsewhere
            for path in sorted(folder.rglob("*")):
                name = path.relative_to(folder).as_posix()
                if path.is_file() and any(fnmatchcase(name, each) for each in self._patterns):
                    yield (f"{step}/{name}" if several and step else name), path

    def print_new(self, *, whole: bool) -> None:
        """Print what has come since the last call, below the name of each file.

        ``whole``: also a last line that has no end, which may still grow.
        """
        for name, path in self.found():
            with open_regular(path) as file:
                start = self._offsets.setdefault(name, 0)
                # one that is shorter now was written anew
                file.seek(start if start <= os.fstat(file.fileno()).st_size else 0)
                while block := file.read(BLOCK):
                    data = block + file.readline()
                    done = data if whole else data[: data.rfind(b"\n") + 1]
                    if done:
                        self._print(name, done)
                    file.seek(len(done) - len(data), os.SEEK_CUR)
                    if len(done) < len(data):
                        break
                self._offsets[name] = file.tell()

    def _print(self, name: str, data: bytes) -> None:
        if name != self._current:
            click.echo(f"==> {printable(name)} <==")
            self._current = name
        click.echo(printable(data.decode("utf-8", "replace")), nl=not data.endswith(b"\n"))
