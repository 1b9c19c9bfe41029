"""The logger of a module: what it writes is printable, and shows no secret of a URL."""

from __future__ import annotations

import logging
import traceback

from daskrun.shown.printable import safe


def get_logger(name: str) -> logging.Logger:
    """Return a logger of the package, whose records are safe for every handler of the user."""
    logger = logging.getLogger(name)
    if not any(isinstance(each, _Safe) for each in logger.filters):
        logger.addFilter(_Safe())
    return logger


class _Safe(logging.Filter):
    """Changes what is said, and the traceback with it; lets every record pass."""

    def filter(self, record: logging.LogRecord) -> bool:
        said = record.getMessage()
        if (shown := safe(said)) != said:
            record.msg, record.args = shown, None
        if record.exc_info and record.exc_info[1] is not None and not record.exc_text:
            text = "".join(traceback.format_exception(record.exc_info[1])).removesuffix("\n")
            record.exc_text = safe(text)
        return True
