"""The keeper's hold on the fetcher: start it, tell it what is wanted, start it again if it dies."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from daskrun.script import reaper
from daskrun.script.keeper.script_process import BOOT, PACKAGE_ROOT
from daskrun.script.wire import loads, pack, write_all

RESTART_DELAY = 0.1
"""Seconds before a fetcher that died again is started again, doubled for each death."""
LONGEST_RESTART_DELAY = 30.0


class Fetcher:
    """The process that brings the remote files of one node's bundles.

    Parameters
    ----------
    config
        The keeper's configuration.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        self._config = config
        self._wanted: dict[int, bytes] = {}
        self._deaths = 0
        self._next_start = 0.0
        self._start()

    def _start(self) -> None:
        config = self._config
        folder = Path(config["folder"])
        read_end, self._pipe = os.pipe()
        self._log = Path(config["logs"]) / "sys" / "node" / config["node"] / "fetcher.txt"
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("ab") as output:
            self._popen = subprocess.Popen(
                [
                    sys.executable,
                    "-c",
                    BOOT.format(module="fetching.fetcher"),
                    PACKAGE_ROOT,
                    str(read_end),
                ],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=(read_end,),
                env={**os.environ, reaper.MARK: str(folder)},
                start_new_session=True,
                preexec_fn=reaper.dies_with_parent(),
            )
        os.close(read_end)
        first = {
            "folder": str(folder / "fetch"),
            "inputs": config["inputs"],
            "limit": config["fetch_limit"],
            "cache": str(folder / "cache"),
        }
        self._tell(pack(first))
        for message in self._wanted.values():
            self._tell(message)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._popen.pid

    def want(self, bundle: dict[str, Any]) -> None:
        """Have the files of a bundle brought."""
        wanted = []
        for descriptor, _ in loads(bundle["payload"]):
            index, source, load, _, nbytes = loads(descriptor)
            if self._config["inputs"][source]["remote"]:
                wanted.append((index, source, load, nbytes))
        message = pack(("want", bundle["number"], wanted))
        self._wanted[bundle["number"]] = message
        self._tell(message)

    def drop(self, number: int) -> None:
        """Have what is left of a bundle removed."""
        if self._wanted.pop(number, None) is not None:
            self._tell(pack(("drop", number)))

    def keep_alive(self, now: float) -> str:
        """Start it again if it has died; it fetches what is still wanted; give what to say.

        One that keeps dying is started less and less often; ``load_timeout`` ends the wait for it.
        """
        code = self._popen.poll()
        if code is None or now < self._next_start:
            return ""
        self._deaths += 1
        self._next_start = now + min(RESTART_DELAY * 2**self._deaths, LONGEST_RESTART_DELAY)
        os.close(self._pipe)
        self._start()
        return f"the fetcher ended with code {code} and was started again; its log is {self._log}"

    def _tell(self, message: bytes) -> None:
        with contextlib.suppress(BrokenPipeError):  # keep_alive() notices
            write_all(self._pipe, message)
