"""Keeping a script process's log files from filling the disk."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

NOTE = b"\n... daskrun left out %d bytes here: the log had reached its limit ...\n"


def cap_log(path: Path, limit: int) -> None:
    """Cut the middle out of a log over ``limit`` bytes: its first half and last quarter stay.

    The writer appends (``O_APPEND``), so it goes on at the new end. What it writes in the moment of
    the cut may be lost.
    """
    with contextlib.suppress(OSError):
        size = path.stat().st_size
        if size <= limit:
            return
        with path.open("r+b") as file:
            keep = limit // 4
            file.seek(size - keep)
            tail = file.read(keep)
            os.truncate(path, limit // 2)
            file.seek(0, os.SEEK_END)
            file.write(NOTE % (size - limit // 2 - keep) + tail)
