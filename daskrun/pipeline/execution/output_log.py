"""What a driver in the background prints: a log of its run."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from daskrun.storage.folders import make_folder, open_kept

if TYPE_CHECKING:
    from pathlib import Path

DRIVER_LOG = "driver.txt"
"""Among the logs of a run that was submitted: what its driver has printed."""


def print_into(log: Path) -> None:
    """Have a log hear what this process prints from now on."""
    make_folder(log.parent, parents=False)
    with open_kept(log, "ab") as file:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
            os.dup2(file.fileno(), stream.fileno())
