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
from typing import TYPE_CHECKING

from daskrun.script.fetching.prefetcher import Prefetcher
from daskrun.script.messages import DropBundle, ServeFetches, WantBundle
from daskrun.script.process_spec import CACHE, FETCH
from daskrun.script.wire import Unpacker, decode_trusted, told_first

if TYPE_CHECKING:
    from collections.abc import Iterator

_LOOK_EVERY = 1.0
"""Seconds between two looks for files that have stopped growing."""
_QUIET = 1.0
"""Seconds that files under way have to end when the fetcher does."""


def main() -> None:
    """Serve the keeper until its pipe ends."""
    memory, pipe = map(int, sys.argv[-2:])
    told: ServeFetches = told_first(memory, pipe)
    folder, cache = (Path(told.folder, name) for name in (FETCH, CACHE))
    folder.mkdir(parents=True, exist_ok=True)
    limit = min(told.limit, shutil.disk_usage(folder).free // 2)
    inputs = decode_trusted(told.inputs)
    prefetcher = Prefetcher(str(folder), inputs, limit, told.stall_timeout, str(cache))
    for message in _messages(pipe):
        if message is None:
            prefetcher.end_stalls()
        elif isinstance(message, WantBundle):
            prefetcher.want(message.number, message.wanted)
        elif isinstance(message, DropBundle):
            prefetcher.drop(message.number)
    prefetcher.stop(_QUIET)
    _empty(folder)
    os._exit(0)  # threads may hang in a connection: nothing they could still do is wanted


def _messages(fd: int) -> Iterator[object]:
    """Yield the messages of a pipe until it ends, and None from time to time."""
    unpacker = Unpacker(None)
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
