"""A script that is run once, as the program it is: no ``run()`` is called."""

from __future__ import annotations

import os
import shutil
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from daskrun.errors import EntryScriptError
from daskrun.script import context
from daskrun.storage.folders import make_folder
from daskrun.storage.metric_files import FILES, FOLDER

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from types import CodeType

    from daskrun.script.process_spec import ScriptOutput

COPY = "code"
"""Folder in the process's own that a source folder is copied to."""
MAIN = "__main__"
OUTPUTS = "outputs"
"""Folder of the working directory whose files belong to the run."""


def run_whole(
    code: CodeType, shown_as: str, source: str | None, outputs: tuple[ScriptOutput, ...]
) -> list[str]:
    """Run a program until it ends, and bring what it wrote to where that goes.

    Its working directory is a copy of ``source``, if that is given.

    Raises
    ------
    EntryScriptError
        It ended with another exit code than 0.
    StorageError
        What it wrote can't be put where it goes.
    Exception
        What it raises.
    """
    for each in outputs:
        make_folder(Path(each.folder))
    before = set(threading.enumerate())
    with _working_copy(source), _as_main(shown_as) as module:
        try:
            exec(code, module.__dict__)
        except SystemExit as error:
            if error.code not in (None, 0):
                told = error.code if isinstance(error.code, int) else f"1: {error.code}"
                ended = f"ended with exit code {told}"
                raise EntryScriptError(f"{Path(shown_as).name} {ended}", ended) from error
        finally:
            _join_threads(before)
            sys.stdout.flush()
        _keep_files()
    for each in outputs:
        if each.url:
            _put(each)
    return [shown_as]


def _keep_files() -> None:
    """Keep what a script wrote to ``outputs`` of its own folder with its run."""
    current = context.current()
    if current is None or not current.run_folder:
        return
    own = Path.cwd().is_relative_to(Path(current.working_dir).resolve())
    if own and Path(OUTPUTS).is_dir():
        kept = Path(current.run_folder, FOLDER, FILES, OUTPUTS)
        shutil.copytree(OUTPUTS, kept, dirs_exist_ok=True)


def _join_threads(before: Collection[threading.Thread]) -> None:
    """Wait for the threads that a script has left, as Python does at a program's end.

    Those of daskrun are of other steps, which wait for this one where all run in one process.
    """
    for each in threading.enumerate():
        own = each.name.startswith("daskrun-")
        if each not in before and not each.daemon and not own:
            each.join()


@contextmanager
def _as_main(shown_as: str) -> Iterator[ModuleType]:
    """Yield a module that is ``__main__`` meanwhile, as programs expect to be."""
    module = ModuleType(MAIN)
    module.__file__ = shown_as
    before = sys.modules.get(MAIN)
    sys.modules[MAIN] = module
    try:
        yield module
    finally:
        if before is not None:
            sys.modules[MAIN] = before


@contextmanager
def _working_copy(source: str | None) -> Iterator[None]:
    """Work in a copy of a folder: the script may write there."""
    if source is None:
        yield
        return
    before, current = Path.cwd(), context.current()
    own = Path((current and current.working_dir) or before, COPY)
    shutil.rmtree(own, ignore_errors=True)  # of an earlier try
    shutil.copytree(source, own)
    os.chdir(own)
    try:
        yield
    finally:
        os.chdir(before)


def _put(output: ScriptOutput) -> None:
    """Bring an output's files to its URL."""
    from daskrun.output.parts.uploads import OutputFiles

    OutputFiles(output.folder, output.url, output.options or {}).sync()
