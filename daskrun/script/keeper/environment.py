"""The keeper's hold on the process that finds or builds the Python of its script processes."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from daskrun.script import reaper
from daskrun.script.environments.build import TAIL, remove_half, tail
from daskrun.script.keeper.script_process import BOOT, PACKAGE_ROOT
from daskrun.script.wire import Unpacker

FIRST_WORD, LONGEST_SILENCE = 1.0, 30.0
"""Seconds until it is first said how long it takes; then twice as long each time, up to this."""


class Build:
    """The process, from its start to its answer.

    Parameters
    ----------
    config
        The keeper's configuration.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        asked = dict(config["packages"])
        self._limit = asked.pop("timeout")
        named = asked["python"] or "the Python of its script processes"
        self._what = f"environment {asked['name']!r}" if asked["name"] else named
        self._doing = "looking for"
        self._node = config["node"]
        self._began = time.monotonic()
        self._next_word, self._pause = self._began + FIRST_WORD, FIRST_WORD
        self._stage = ""
        self._folder: Path | None = None
        """Of the environment that is being built."""
        self._unpacker = Unpacker()
        folder = Path(config["folder"])
        log = Path(config["logs"]) / "sys" / "node" / config["node"] / "environment.txt"
        log.parent.mkdir(parents=True, exist_ok=True)
        self._log = str(log)
        temporary = folder / "build"
        temporary.mkdir()
        told = temporary / "asked.json"
        fields = {"node": self._node, "log": self._log, "temporary": str(temporary)}
        told.write_text(json.dumps({**asked, **fields}), encoding="utf-8")
        self.out, theirs = os.pipe()
        os.set_blocking(self.out, False)
        command = [sys.executable, "-c", BOOT.format(module="environments.build"), PACKAGE_ROOT]
        with log.open("ab") as output:
            self._popen = subprocess.Popen(
                [*command, str(told), str(theirs)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=(theirs,),
                env={**os.environ, reaper.MARK: str(folder)},
                start_new_session=True,
                preexec_fn=reaper.dies_with_parent(),
            )
        os.close(theirs)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._popen.pid

    def messages(self, now: float) -> list[tuple[str, Any]]:
        """Return what is to be told: ``note``, ``preparing``; last ``python`` or ``unprepared``."""
        found, open_ = self._read()
        said = []
        for kind, value in found:
            if kind in ("stage", "building"):
                self._doing, self._stage = "building", value if kind == "stage" else ""
                self._folder = Path(value) if kind == "building" else None
                said.append(("preparing", self._words(now)))
            elif kind == "failed":
                said.append(("unprepared", value))
            else:
                if kind == "python" and self._folder is not None:
                    said.append(("note", f"{self._words(now)}: done"))
                said.append((kind, value))
        if any(kind in ("python", "unprepared") for kind, _ in said):
            return said
        if not open_:
            code = self._popen.wait()
            words = f"the process that looks for it, or builds it, ended with code {code}"
            return [*said, ("unprepared", self._why(words))]
        if now > self._began + self._limit:
            words = f"it took longer than environment_timeout={self._limit:g} s"
            return [*said, ("unprepared", self._why(words))]
        return [*said, *self._progress(now)]

    def _read(self) -> tuple[list[tuple[str, Any]], bool]:
        """Return what it has said, and whether it may say more."""
        found: list[tuple[str, Any]] = []
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self.out, 65536):
                found += self._unpacker.feed(data)
            return found, False
        return found, True

    def _progress(self, now: float) -> list[tuple[str, Any]]:
        if now < self._next_word:
            return []
        self._pause = min(2 * self._pause, LONGEST_SILENCE)
        self._next_word = now + self._pause
        last = tail(self._log, 200).rpartition("\n")[2].strip()
        return [("preparing", self._words(now, last))]

    def _words(self, now: float, last: str = "") -> str:
        words = f"{self._doing} {self._what}, {now - self._began:.0f} s"
        last = self._stage or last
        return f"{words}: {last}" if last else words

    def _why(self, words: str) -> str:
        end = self._stage or tail(self._log, TAIL)
        said = f" The end of what was said, in {self._log}:\n{end}" if end else ""
        return f"{self._what} could not be had on {self._node}: {words}.{said}"

    def end(self) -> None:
        """End it and all that it has started; what is half built is removed."""
        reaper.kill_all(lambda: reaper.descendants(self.pid))
        self._popen.kill()
        self._popen.wait()
        os.close(self.out)
        if self._folder is not None:
            remove_half(self._folder)
