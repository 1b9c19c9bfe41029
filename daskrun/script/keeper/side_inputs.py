"""The keeper's hold on the process that brings side inputs."""

from __future__ import annotations

import contextlib
import os
import pickle
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from daskrun.script import reaper
from daskrun.script.keeper.script_process import BOOT, PACKAGE_ROOT
from daskrun.script.wire import Unpacker, shared_memory, write_all

FIRST_WORD, LONGEST_SILENCE = 1.0, 30.0
"""Seconds until it is first said how far it is; then twice as long each time, up to this."""


class SideInputs:
    """The process, from its start to its answer.

    Parameters
    ----------
    config
        The keeper's configuration.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        described = config["side_inputs"]
        rest = {name: side for name, side in described.items() if not side["there"]}
        self._names = ", ".join(map(repr, rest))
        self._node = config["node"]
        self._limit = config["limits"]["load"]
        self._began = self._changed = time.monotonic()
        self._next_word, self._pause = self._began + FIRST_WORD, FIRST_WORD
        self._so_far = (0, 0)
        self._unpacker = Unpacker()
        log = Path(config["logs"]) / "sys" / "node" / config["node"] / "side_inputs.txt"
        log.parent.mkdir(parents=True, exist_ok=True)
        told = {"described": rest, "folder": config["folder"], "run_id": config["run_id"]}
        asked = shared_memory("daskrun-side")  # in no file and no argument: it may hold secrets
        write_all(asked, pickle.dumps(told, 5))
        self.out, theirs = os.pipe()
        os.set_blocking(self.out, False)
        command = [sys.executable, "-c", BOOT.format(module="side_inputs.bring"), PACKAGE_ROOT]
        with log.open("ab") as output:
            self._popen = subprocess.Popen(
                [*command, str(asked), str(theirs)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=(asked, theirs),
                env={**os.environ, reaper.MARK: str(config["folder"])},
                start_new_session=True,
                preexec_fn=reaper.dies_with_parent(),
            )
        os.close(theirs)
        os.close(asked)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._popen.pid

    def messages(self, now: float) -> list[tuple[str, Any]]:
        """Return what is to be told: ``preparing``; last ``brought``, paths, or ``unprepared``."""
        found, open_ = self._read()
        for kind, value in found:
            if kind == "brought":
                return [(kind, value)]
            if kind == "failed":
                return [("unprepared", f"{value} (on {self._node})")]
            if value != self._so_far:
                self._so_far, self._changed = value, now
        if not open_:
            words = f"the process that brings them ended with code {self._popen.wait()}"
            return [("unprepared", f"side inputs {self._names} on {self._node}: {words}")]
        if now > self._changed + self._limit:
            words = f"nothing of them has come for load_timeout={self._limit:g} s"
            return [("unprepared", f"side inputs {self._names} on {self._node}: {words}")]
        if now < self._next_word:
            return []
        self._pause = min(2 * self._pause, LONGEST_SILENCE)
        self._next_word = now + self._pause
        files, nbytes = self._so_far
        here = f"{files:,} files, {nbytes / 1e6:,.1f} MB"
        words = f"bringing side inputs {self._names}, {now - self._began:.0f} s: {here}"
        return [("preparing", words)]

    def _read(self) -> tuple[list[tuple[str, Any]], bool]:
        """Return what it has said, and whether it may say more."""
        found: list[tuple[str, Any]] = []
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self.out, 65536):
                found += self._unpacker.feed(data)
            return found, False
        return found, True

    def end(self) -> None:
        """End it."""
        reaper.kill_all(lambda: reaper.descendants(self.pid))
        self._popen.kill()
        self._popen.wait()
        os.close(self.out)
