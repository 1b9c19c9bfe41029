"""Copies of this process that user code forks: they must not go on with what is daskrun's."""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from types import TracebackType


class OnlyHere:
    """Encloses a call of user code; only the process that made this object comes out of it.

    A copy that user code forks there, and that returns, raises or calls ``sys.exit()``, would
    otherwise go on with the bundle: the same outcome_log, the same part, every row twice. It ends
    instead as it would have with nothing around it: a traceback on stderr, the exit code it asked
    for.
    """

    def __init__(self) -> None:
        self._pid = os.getpid()

    def __enter__(self) -> None:
        """Go in."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Come out: the process that is meant to, and no other."""
        if os.getpid() != self._pid:
            _end(error)


def _end(error: BaseException | None) -> NoReturn:
    """Exit at once: no ``atexit``, no ``finally`` of daskrun runs twice."""
    code = 0
    with contextlib.suppress(Exception):  # a stream may be closed
        if isinstance(error, SystemExit):
            code = _exit_code(error)
        elif error is not None:
            code = 1
            traceback.print_exception(error)
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


def _exit_code(error: SystemExit) -> int:
    """Return the exit code as Python does; a text goes to stderr."""
    if error.code is None:
        return 0
    if isinstance(error.code, int):
        return error.code & 0xFF
    sys.stderr.write(f"{error.code}\n")
    return 1
