"""The fetcher: one process per node that brings remote files to local ones, ahead of need.

Its keeper tells it on a pipe what bundles will need, and what is over; the script processes find
the files, and give their room back, by names in a folder (:mod:`daskrun.script.fetching.waiting`).
When the pipe ends, it removes what it brought and exits.
"""

from __future__ import annotations

import os
import select
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daskrun.script.fetching.prefetcher import Supply
from daskrun.script.wire import Unpacker

if TYPE_CHECKING:
    from collections.abc import Iterator

_LOOK_EVERY = 1.0
"""Seconds between two looks for files that have stopped growing."""
_QUIET = 1.0
"""Seconds that files under way have to end when the fetcher does."""


def main() -> None:
    """Serve the keeper on the pipe whose number is the last argument, until it ends."""
    fd = int(sys.argv[-1])
    os.set_inheritable(fd, False)
    messages = _messages(fd)
    first = next(messages, None)
    if first is None:
        return
    folder = Path(first["folder"])
    folder.mkdir(parents=True, exist_ok=True)
    limit = min(first["limit"], shutil.disk_usage(folder).free // 2)
    stall = first.get("stall_timeout", 120.0)
    supply = Supply(str(folder), first["inputs"], limit, stall, first["cache"])
    for message in messages:
        if message is None:
            supply.end_stalls()
        elif message[0] == "want":
            supply.want(message[1], message[2])
        elif message[0] == "drop":
            supply.drop(message[1])
    supply.stop(_QUIET)
    _empty(folder)
    os._exit(0)  # threads may hang in a connection: nothing they could still do is wanted


def _messages(fd: int) -> Iterator[Any]:
    """Yield the messages of a pipe until it ends, and None from time to time."""
    unpacker = Unpacker()
    looked = time.monotonic()
    while True:
        if select.select([fd], [], [], _LOOK_EVERY)[0]:
            data = os.read(fd, 1 << 16)
            if not data:
                return
            yield from unpacker.feed(data)
        if time.monotonic() - looked >= _LOOK_EVERY:
            looked = time.monotonic()
            yield None


def _empty(folder: Path) -> None:
    """Remove all that is in a folder, also what a thread puts there meanwhile."""
    for _ in range(5):
        entries = list(folder.iterdir()) if folder.exists() else []
        if not entries:
            return
        for entry in entries:
            if entry.is_dir():
                shutil.rmtree(entry, ignore_errors=True)
            else:
                entry.unlink(missing_ok=True)
        time.sleep(0.02)
