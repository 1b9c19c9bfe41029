"""The keeper: one small process per node and run that owns its script processes.

It is the parent of everything the run starts on the node, and the one place that kills. One thread,
one loop, standard library only. Its link to the node (``node.py``) is also its lifeline: when the
link or its parent ends, it kills every descendant, removes the run's folder on the node and exits.

Messages in: ``("bundle", {...})``, ``("stop", grace)``, ``("close", None)``.
Messages out: ``("preparing", text)``, ``("unprepared", text)``, ``("up", n)``, ``("ready", ...)``,
``("init_failed", ...)``, ``("result", {...})``, ``("note", text)``, ``("failed", text)``,
``("beat", None)``, ``("closed", None)``.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import shutil
import signal
import socket
import sys
import time
import traceback
from collections import deque
from dataclasses import replace
from pathlib import Path
from typing import Any

from daskrun.core.outcome import Status
from daskrun.script import reaper
from daskrun.script.keeper.fetcher import Fetcher
from daskrun.script.keeper.hardware import resident_memory
from daskrun.script.keeper.log_cap import cap_log
from daskrun.script.keeper.preparing import Preparing
from daskrun.script.keeper.script_process import STOPPED_SHUTDOWN, Limits, ScriptProcess
from daskrun.script.keeper.spawn import Spawner
from daskrun.script.keeper.usage import UsageLog
from daskrun.script.outcome_log import pack_outcome, read_outcome_log, without_rows
from daskrun.script.side_inputs.location import take_away
from daskrun.script.wire import Phase, Unpacker, pack
from daskrun.storage.durable import sync_data, sync_folder
from daskrun.storage.error_hints import explained
from daskrun.storage.urls import is_url

MEMORY_INTERVAL = 0.1
"""Seconds between two looks at memory, where there is a limit."""
LONGEST_WAIT = 1.0
LOG_INTERVAL = 2.0
BEAT_INTERVAL = 5.0
"""Seconds between two signs of life to the node."""
RESPAWN_DELAY = 0.1
"""Seconds before a process is replaced that died without an outcome, doubled for each in a row."""
LONGEST_RESPAWN_DELAY = 10.0


def main() -> None:
    """Serve the node that started this process, over the descriptor it passed."""
    link = socket.socket(fileno=int(sys.argv[-2]))
    lock = int(sys.argv[-1])  # held while this process lives: see leftovers.py
    for fd in (link.fileno(), lock):
        os.set_inheritable(fd, False)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the driver decides; its end closes the link
    reaper.become_subreaper()
    Keeper(link).serve()


class Keeper:
    """The loop."""

    def __init__(self, link: socket.socket) -> None:
        self._link = link
        self._unpacker = Unpacker()
        self._selector = selectors.DefaultSelector()
        self._processes: dict[str, ScriptProcess] = {}
        self._queue: deque[dict[str, Any]] = deque()
        self._deaths: dict[str, int] = {}
        """Processes in a row, by name, that died without an outcome."""
        self._respawn: dict[str, float] = {}
        """When a name gets its next process."""
        self._closing = False
        self._stop_at: float | None = None
        self._gone = False
        self._preparing: Preparing | None = None
        self._early: list[tuple[str, Any]] = []
        self._next_log_look = 0.0
        self._next_beat = 0.0

    def serve(self) -> None:
        """Run until closed or cut off; leave nothing behind."""
        config = self._first_message()
        folder = Path(config["folder"])
        try:
            self._start(config)
            while not self._done():
                for key, _ in self._selector.select(self._wait_time(time.monotonic())):
                    key.data()
                self._step(time.monotonic())
        except Exception as error:
            self._say("failed", traceback.format_exception_only(error)[-1].strip())
            raise
        finally:
            self._end_preparing()
            reaper.kill_all(lambda: reaper.descendants(os.getpid()))
            reaper.kill_all(lambda: reaper.marked(reaper.MARK, str(folder)))
            shutil.rmtree(folder, ignore_errors=True)
            take_away(config["side_inputs"], folder, config["run_id"])
            self._say("closed", None)

    def _first_message(self) -> dict[str, Any]:
        while True:
            data = self._link.recv(65536)
            if not data:
                sys.exit(0)
            if messages := self._unpacker.feed(data):
                (_, config), *self._early = messages  # a bundle may come with it
                return dict(config)

    def _start(self, config: dict[str, Any]) -> None:
        self._spawner = Spawner(config)
        self._config = config
        limits = {**config["limits"], "memory": self._spawner.memory_limit()}
        self._limits = Limits(**limits)
        self._log_limit = config["log_limit"]
        perf = Path(config["logs"], "sys", "perf", config["node"])
        self._usage = UsageLog(perf, config["usage_interval"], self._log_limit)
        self._selector.register(self._link, selectors.EVENT_READ, self._hear_node)
        with contextlib.suppress(AttributeError, OSError):  # no pidfd: the link's end has to do
            parent = os.pidfd_open(config["parent"])
            self._selector.register(parent, selectors.EVENT_READ, self._parent_died)
        remote = any(source["remote"] for source in config["inputs"])
        self._fetcher = Fetcher(config) if remote else None
        self._preparing = Preparing(
            config, self._selector, self._say, self._spawner.use, self._begin
        )
        self._preparing.start()
        for kind, value in self._early:
            self._obey(kind, value)

    def _begin(self, brought: dict[str, str]) -> None:
        for note in self._spawner.put_in(brought):
            self._say("note", note)
        for name in self._spawner.names:
            self._spawn(name)
        self._say("up", len(self._spawner.names))

    def _done(self) -> bool:
        return self._gone or (self._closing and not self._processes)

    # what comes in

    def _parent_died(self) -> None:
        self._gone = True

    def _hear_node(self) -> None:
        data = b""
        with contextlib.suppress(ConnectionError):
            data = self._link.recv(1 << 20)
        if not data:
            self._gone = True
        for kind, value in self._unpacker.feed(data):
            self._obey(kind, value)

    def _obey(self, kind: str, value: Any) -> None:
        if kind == "bundle":
            self._accept(value)
        elif kind == "stop":
            self._stop(value)
        elif kind == "close":
            self._close()

    def _accept(self, bundle: dict[str, Any]) -> None:
        if self._closing or self._stop_at is not None:
            self._hand_back(bundle)
            return
        if self._fetcher is not None:
            self._fetcher.want(bundle)
        self._queue.append(bundle)

    def _stop(self, grace: float) -> None:
        """Take everything back: finish what is in hand within ``grace`` seconds, start nothing."""
        self._stop_at = time.monotonic() + grace
        self._end_preparing()
        self._limits = replace(self._limits, shutdown=min(self._limits.shutdown, STOPPED_SHUTDOWN))
        while self._queue:
            self._hand_back(self._queue.popleft())
        for process in self._processes.values():
            process.recall()

    def _close(self) -> None:
        """End in good order: ``shutdown()`` in every process, then exit."""
        self._closing = True
        self._usage.note(self._pids())  # also of a short run there is one
        self._end_preparing()
        for process in self._processes.values():
            process.hang_up()
            if process.bundle is not None or process.phase in (Phase.STARTING, Phase.INIT):
                process.condemn("the run ended")

    def _hear_process(self, process: ScriptProcess) -> None:
        messages = process.messages()
        if process.silent:
            self._forget(process.out)
        for kind, value in messages:
            if kind == "part":
                process.part = value
            elif kind == "done" and process.verdict is None:
                # a sentenced process may wake from its hang when its stacks are asked for: what it
                # says then comes too late
                self._done_with(process, *value)
            elif kind == "ready" and process.verdict is None:
                process.ready = True
                self._say("ready", (self._spawner.info(process), value))
            elif kind == "init_failed" and process.verdict is None:
                process.said_bye = True
                self._say("init_failed", (self._spawner.info(process), value))
            elif kind == "shutdown_failed":
                self._say("note", f"shutdown() failed in {process.name}: {value}")
            elif kind == "warning":
                process.warnings.append(value)
            elif kind == "bye":
                process.said_bye = True

    def _done_with(self, process: ScriptProcess, number: int, seconds: float, trouble: str) -> None:
        """Take a bundle back from its process; what it says of any other is no answer."""
        if process.bundle is not None and process.bundle["number"] == number:
            self._return(process, seconds, process.outcome_log(), b"", trouble)

    def _end_preparing(self) -> None:
        if self._preparing is not None:
            self._preparing.end()

    # what goes on

    def _step(self, now: float) -> None:
        if self._preparing is not None:
            self._preparing.step(now)
        for process in list(self._processes.values()):
            if process.reap():
                self._bury(process)
                continue
            self._watch(process, now)
        if self._stop_at is not None and now > self._stop_at:
            for process in self._processes.values():
                if process.bundle is not None or process.phase in (Phase.STARTING, Phase.INIT):
                    process.condemn("the run was stopped")
        for name in [name for name, due in self._respawn.items() if due <= now]:
            del self._respawn[name]
            if not self._closing and self._stop_at is None:
                self._spawn(name)
        for process in self._processes.values():
            if self._queue and process.idle:
                process.give(self._queue.popleft())
        self._look_around(now)

    def _look_around(self, now: float) -> None:
        """Do what need not be done at once: the fetcher, a sign of life, logs, orphans."""
        if self._fetcher is not None and (words := self._fetcher.keep_alive(now)):
            self._say("note", words)
        self._usage.look(now, self._pids)
        if now > self._next_beat:
            self._next_beat = now + BEAT_INTERVAL
            self._say("beat", None)
        if now > self._next_log_look:
            self._next_log_look = now + LOG_INTERVAL
            for process in self._processes.values():
                for log in process.logs:
                    cap_log(log, self._log_limit)
            self._reap_orphans()

    def _reap_orphans(self) -> None:
        preparing = self._preparing.pid if self._preparing is not None else None
        pids = (preparing, *self._pids().values())
        reaper.reap_orphans([pid for pid in pids if pid is not None])

    def _pids(self) -> dict[str, int]:
        """Return this process and those it holds, by the names they have in logs."""
        pids = {each.name: each.pid for each in self._processes.values()}
        if self._fetcher is not None:
            pids["fetcher"] = self._fetcher.pid
        return {"keeper": os.getpid(), **pids}

    def _watch(self, process: ScriptProcess, now: float) -> None:
        resident = resident_memory(process.pid) if self._limits.memory is not None else 0
        process.check(now, self._limits, resident)
        if process.execute_message(now):
            self._say("note", f"pid {process.pid} ({process.name}) survived SIGKILL; given up")
            self._bury(process)

    def _wait_time(self, now: float) -> float:
        deadlines = [p.deadline(self._limits) - now for p in self._processes.values()]
        if self._stop_at is not None:
            deadlines.append(max(self._stop_at - now, 0.05))
        deadlines += [due - now for due in self._respawn.values()]
        longest = LONGEST_WAIT if self._limits.memory is None else MEMORY_INTERVAL
        return min(max(0.005, min(deadlines, default=longest)), longest)

    def _spawn(self, name: str) -> None:
        process = self._spawner.spawn(name)
        self._processes[name] = process
        hear = selectors.EVENT_READ, lambda: self._hear_process(process)
        self._selector.register(process.out, *hear)
        if process.pidfd is not None:  # its death wakes the loop; _step() reaps it
            self._selector.register(process.pidfd, *hear)

    def _forget(self, fd: int | None) -> None:
        with contextlib.suppress(KeyError):
            if fd is not None:
                self._selector.unregister(fd)

    def _bury(self, process: ScriptProcess) -> None:
        """Read a dead process's last words, account for its bundle, put another in its place."""
        self._hear_process(process)
        told = process.bundle is not None and self._account_for_death(process)
        ending = self._closing or self._stop_at is not None
        if not (ending or process.said_bye or process.proven):
            told = True  # also after init(): else one that dies then would be replaced for ever
            self._say("init_failed", (self._spawner.info(process), process.failure().plain()))
        verdict = process.verdict
        if verdict is not None and verdict.status is not Status.DIED and not told:
            self._say("note", f"{process.name} was killed: {verdict.reason}")
        self._forget(process.out)
        self._forget(process.pidfd)
        del self._processes[process.name]
        process.close()
        self._replace_later(process)

    def _replace_later(self, process: ScriptProcess) -> None:
        """Have another in its place: at once, unless such processes die without an outcome."""
        name, delay = process.name, 0.0
        if process.proven:
            self._deaths[name] = 0
        else:
            times = self._deaths[name] = self._deaths.get(name, 0) + 1
            delay = min(RESPAWN_DELAY * 2 ** min(times - 1, 10), LONGEST_RESPAWN_DELAY)
        self._respawn[name] = time.monotonic() + delay

    def _account_for_death(self, process: ScriptProcess) -> bool:
        """Return its bundle; True when a mini-batch is charged, and says why it died."""
        outcome_log, trouble = process.outcome_log(), ""
        charged = process.died_with({outcome.index for outcome in read_outcome_log(outcome_log)})
        files = bool(self._spawner.files)
        if outcome_log and (process.part or files):
            doubt, trouble = self._sync(process)
            if doubt:
                outcome_log = without_rows(outcome_log, files=files)
                words = f"what {process.name} had finished when it died may not have been kept"
                self._say("note", f"{words}, and is made again: {doubt}")
        seconds = time.monotonic() - process.given
        frame = b"" if charged is None else pack_outcome(charged)
        self._return(process, seconds, outcome_log, frame, trouble)
        return charged is not None

    def _sync(self, process: ScriptProcess) -> tuple[str, str]:
        """Do for a dead process what it would have done at the end of its bundle.

        Gives why what it had finished may be lost, and what of that is the disk's own trouble.
        """
        if process.phase == Phase.SYNCING:
            # a failure is told once, to whoever asks first: that may have been the process
            return "it died while the disk or store was asked to keep it", ""
        if self._spawner.files or is_url(self._spawner.parts):
            return "it had not yet put that to the output's URL", ""
        parts = Path(self._spawner.parts)
        path = parts / process.part
        try:
            fd = os.open(path, os.O_RDWR)
            try:
                sync_data(fd)
            finally:
                os.close(fd)
            sync_folder(parts)
        except OSError as error:
            return str(error), explained(f"can't keep rows in {path}", error)
        return "", ""

    def _return(
        self,
        process: ScriptProcess,
        seconds: float,
        outcome_log: bytes,
        charged: bytes,
        trouble: str,
    ) -> None:
        bundle, process.bundle = process.bundle, None
        if bundle is None:
            return
        process.proven = process.proven or bool(outcome_log or charged)
        result = {
            "number": bundle["number"],
            "process": self._spawner.info(process),
            "outcome_log": outcome_log,
            "charged": charged,
            "seconds": seconds,
            "warnings": process.warnings,
            "trouble": trouble,
        }
        process.warnings = []
        self._finish(bundle, result)

    def _hand_back(self, bundle: dict[str, Any]) -> None:
        empty = {"process": None, "outcome_log": b"", "charged": b"", "seconds": 0.0}
        self._finish(bundle, {"number": bundle["number"], **empty})

    def _finish(self, bundle: dict[str, Any], result: dict[str, Any]) -> None:
        if self._fetcher is not None:
            self._fetcher.drop(bundle["number"])
        self._say("result", result)

    def _say(self, kind: str, value: object) -> None:
        try:
            self._link.sendall(pack((kind, value)))
        except OSError:
            self._gone = True
