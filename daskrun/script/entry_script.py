"""``EntryScript``: an entry script's logger and folders, inside a run and outside."""

from __future__ import annotations

import logging
import sys
import tempfile
from pathlib import Path
from typing import Any

from daskrun.script import context


class EntryScript:
    """The entry script's own logger and folders.

    Outside a run, where a script is tried by hand, the folders are the current one and a temporary
    one, and the logger writes to stderr.

    Examples
    --------
    >>> EntryScript().logger.name
    'daskrun.entry_script'
    """

    _outside: Path | None = None
    _handler: logging.Handler | None = None
    _log_file: str | None = None

    @property
    def _values(self) -> dict[str, Any]:
        return context.current() or {}

    @property
    def logger(self) -> logging.Logger:
        """Logger that writes to ``logs/user/entry_script_log/`` at the run's ``logging_level``."""
        logger = logging.getLogger("daskrun.entry_script")
        file = self._values.get("log_file")
        if EntryScript._handler is None or EntryScript._log_file != file:
            EntryScript._change_handler(logger, file)  # inline, one run may follow another
            logger.setLevel(self._values.get("logging_level", "INFO"))
            logger.propagate = False
        return logger

    @classmethod
    def _change_handler(cls, logger: logging.Logger, file: str | None) -> None:
        if cls._handler is not None:
            logger.removeHandler(cls._handler)
            cls._handler.close()
        handler = logging.FileHandler(file) if file else logging.StreamHandler(sys.stderr)
        handler.setFormatter(
            logging.Formatter("%(asctime)s|%(levelname)s|%(process)d|%(funcName)s|%(message)s")
        )
        logger.addHandler(handler)
        cls._handler, cls._log_file = handler, file

    @property
    def log_dir(self) -> str:
        """Folder for log files of the script's own; kept with the run's logs."""
        return self._folder("log_dir")

    @property
    def output_dir(self) -> str:
        """The output folder of the step: what ``DASKRUN_OUTPUT_PATH`` says.

        Where the output is a URL and ``summary_only``, a folder of this node's processes: what is
        in it is put to the URL before its mini-batches count as done.
        """
        return self._folder("output_dir")

    @property
    def working_dir(self) -> str:
        """A folder of this process alone, removed at its end."""
        return self._folder("working_dir")

    @property
    def dir(self) -> str:
        """The folder the entry script is in."""
        folder = self._values.get("script_dir")
        return str(folder) if folder else str(Path.cwd())

    @property
    def agent_name(self) -> str:
        """Name of this script process, such as ``node000/process000``; ``local`` outside a run."""
        return str(self._values.get("agent_name", "local"))

    def _folder(self, key: str) -> str:
        folder = self._values.get(key)
        if folder:
            Path(folder).mkdir(parents=True, exist_ok=True)
            return str(folder)
        if EntryScript._outside is None:
            EntryScript._outside = Path(tempfile.mkdtemp(prefix="daskrun-script-"))
        return str(EntryScript._outside)
