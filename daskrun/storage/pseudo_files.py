"""Files that the system makes up, such as those of ``/proc``: a link to one is no data."""

from __future__ import annotations

import functools
import os
import re
import stat
from contextlib import suppress
from pathlib import Path

MADE_UP = re.compile(
    "binfmt_misc|bpf|cgroup2?|configfs|debugfs|devpts|devtmpfs|efivarfs|fusectl|mqueue|proc|pstore"
    "|securityfs|selinuxfs|sysfs|tracefs"
)
"""Kinds of file systems whose files are on no disk."""


def is_made_up(found: os.stat_result) -> bool:
    """Return whether what was found at the end of a link is on a file system of the system's."""
    return found.st_dev in _devices()


def is_data(path: Path) -> bool:
    """Return whether there is a file that can be copied; a link to one of the system's can't."""
    with suppress(OSError):
        found = path.stat()
        return stat.S_ISREG(found.st_mode) and not (path.is_symlink() and is_made_up(found))
    return False


@functools.cache
def _devices() -> frozenset[int]:
    """Return the numbers of these file systems, wherever they are mounted."""
    found = set()
    with suppress(OSError):  # not Linux
        for line in Path("/proc/self/mountinfo").read_text("utf-8", "replace").splitlines():
            mount, _, kind = line.partition(" - ")
            if MADE_UP.fullmatch(kind.split(" ", 1)[0]):
                major, _, minor = mount.split(" ")[2].partition(":")
                found.add(os.makedev(int(major), int(minor)))
    return frozenset(found)
