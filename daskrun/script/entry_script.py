"""``EntryScript``: an entry script's logger and folders, inside a run and outside."""

from __future__ import annotations

import atexit
import functools
import logging
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from daskrun.script import context
from daskrun.script.context import ScriptContext
from daskrun.storage.folders import make_folder


class EntryScript:
    """The entry script's own logger and folders.

    Outside a run, where a script is tried by hand or its functions are tested, all of it works too:
    the logger writes to stderr, and the folders are temporary ones that go when the process ends.
    ``DASKRUN_OUTPUT_PATH``, where that is set, is the output folder.
    :func:`daskrun.testing.run_script` calls a whole script so, on a mini-batch.

    Examples
    --------
    >>> script = EntryScript()
    >>> script.agent_name
    'local'
    >>> Path(script.output_dir).is_dir()
    True
    """

    _handler: logging.Handler | None = None
    _made_for: tuple[str, str] | None = None
    """File and level that the logger was set up for."""

    @property
    def _context(self) -> ScriptContext:
        return context.current() or ScriptContext()

    @property
    def logger(self) -> logging.Logger:
        """Logger that writes to ``logs/user/entry_script_log/`` at the run's ``logging_level``.

        Outside a run it writes to stderr, from ``INFO`` on.
        """
        logger = logging.getLogger("daskrun.entry_script")
        wanted = self._context.log_file, self._context.logging_level
        if EntryScript._made_for != wanted:  # inline, one run may follow another
            EntryScript._change_handler(logger, wanted[0])
            logger.setLevel(wanted[1])
            logger.propagate = False
            EntryScript._made_for = wanted
        return logger

    @classmethod
    def _change_handler(cls, logger: logging.Logger, file: str) -> None:
        if cls._handler is not None:
            logger.removeHandler(cls._handler)
            cls._handler.close()
        cls._handler = logging.FileHandler(file) if file else _ToStderr()
        cls._handler.setFormatter(
            logging.Formatter("%(asctime)s|%(levelname)s|%(process)d|%(funcName)s|%(message)s")
        )
        logger.addHandler(cls._handler)

    @property
    def log_dir(self) -> str:
        """Folder for log files of the script's own; kept with the run's logs."""
        return self._folder(self._context.log_dir, "logs")

    @property
    def output_dir(self) -> str:
        """The output folder of the step: what ``DASKRUN_OUTPUT_PATH`` says.

        Where the output is a URL, a folder of this node's processes: what is in it is put to the
        URL before its mini-batches count as done.
        """
        folder = self._context.output_dir or os.environ.get("DASKRUN_OUTPUT_PATH")
        return self._folder(folder, "output")

    @property
    def working_dir(self) -> str:
        """A folder of this process alone, removed at its end."""
        return self._folder(self._context.working_dir, "work")

    @property
    def dir(self) -> str:
        """The folder the entry script is in; outside a run, that of the file that asks."""
        if folder := self._context.script_dir:
            return folder
        asks = sys._getframe(1).f_globals.get("__file__")
        return str(Path(asks).resolve().parent if asks else Path.cwd())

    @property
    def agent_name(self) -> str:
        """Name of this script process, such as ``node000/process000``; ``local`` outside a run."""
        return self._context.agent_name

    def _folder(self, folder: str | None, name: str) -> str:
        """Return a folder that is there: the one that is known, or a temporary one."""
        # there is none outside a run, and in the run of a step that has no output
        path = Path(folder or Path(self._context.working_dir or _temporary(), name))
        make_folder(path)
        return str(path)


class _ToStderr(logging.StreamHandler[Any]):
    """Writes to what ``sys.stderr`` is at that moment: notebooks and tests exchange it."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> Any:
        return sys.stderr

    @stream.setter
    def stream(self, _: object) -> None:
        """Nothing else is written to."""


@functools.cache
def _temporary() -> str:
    """Make the folder that stands for those of a run; it goes with the process that made it."""
    folder, maker = tempfile.mkdtemp(prefix="daskrun-script-"), os.getpid()

    def remove() -> None:
        if os.getpid() == maker:  # not with a copy that was forked
            shutil.rmtree(folder, ignore_errors=True)

    atexit.register(remove)
    return folder
