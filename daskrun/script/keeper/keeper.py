"""The keeper: one small process per node and run that owns its script processes.

It is the parent of everything the run starts on the node, and the one place that kills. One thread,
one loop, standard library only. Its link to :mod:`daskrun.script.node` is also its lifeline: when
that or its parent ends, it kills every descendant, removes the run's folder on the node and exits.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import sys
import time
import traceback
from collections import deque
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daskrun.script import messages, reaper
from daskrun.script.keeper.death import Left, account, end_of, failure_of
from daskrun.script.keeper.files_left import FilesLeft, are_files
from daskrun.script.keeper.hardware import resident_memory
from daskrun.script.keeper.log_cap import cap_log
from daskrun.script.keeper.preparation import FIRST_WORD, LONGEST_SILENCE
from daskrun.script.keeper.preparing import Preparations
from daskrun.script.keeper.script_process import STOPPED_SHUTDOWN, ScriptProcess
from daskrun.script.keeper.spawn import Spawner
from daskrun.script.node_folders import remove
from daskrun.script.side_inputs.location import take_away
from daskrun.script.status_block import Phase
from daskrun.script.wire import Unpacker, pack

if TYPE_CHECKING:
    from collections.abc import Mapping

    from daskrun.script.keeper.fetcher import Fetcher
    from daskrun.script.keeper.usage import UsageLog
    from daskrun.script.node_spec import NodeSpec

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
    link = socket.socket(fileno=int(sys.argv[-3]))
    lock, board = map(int, sys.argv[-2:])  # the lock is held for life: see node_folders.py
    for fd in (link.fileno(), lock, board):
        os.set_inheritable(fd, False)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the driver decides; its end closes the link
    reaper.become_subreaper()
    unpacker, first = Unpacker(None), list[Any]()
    while not first:
        if not (data := link.recv(65536)):
            return
        first = unpacker.feed(data)
    Keeper(link, board, unpacker, *first).serve()


class Keeper:
    """The loop; ``early`` is what was asked of it together with the first message, ``spec``.

    On ``board``, which outlives it, script processes show what they have in hand.
    """

    def __init__(
        self, link: socket.socket, board: int, unpacker: Unpacker, spec: NodeSpec, *early: object
    ) -> None:
        self._link = link
        self._unpacker = unpacker
        self._spec = spec
        self._early = early
        self._spawner = Spawner(spec, board)
        self._limits = replace(spec.limits, memory=self._spawner.memory_limit())
        self._selector = selectors.DefaultSelector()
        self._processes: dict[str, ScriptProcess] = {}
        self._queue: deque[messages.RunBundle] = deque()
        self._deaths: dict[str, int] = {}
        """Processes in a row, by name, that died without an outcome."""
        self._respawn: dict[str, float] = {}
        """When a name gets its next process."""
        self._fetcher: Fetcher | None = None
        self._usage: UsageLog | None = None
        self._files_left = FilesLeft(spec, self._selector, self._finish)
        self._closing = self._recalled = False
        self._next_word, self._pause = 0.0, FIRST_WORD
        """When it is told what its end waits for; then twice as long each time."""
        self._stop_at: float | None = None
        self._gone = False
        use = self._spawner.use
        self._preparations = Preparations(spec, self._selector, self._say, use, self._begin)
        self._next_log_look = self._next_beat = 0.0

    def serve(self) -> None:
        """Run until closed or cut off; leave nothing behind."""
        spec, folder = self._spec, Path(self._spec.folder)
        try:
            self._start()
            while not (
                self._gone or (self._closing and not self._processes and not self._files_left)
            ):
                for key, _ in self._selector.select(self._wait_time(time.monotonic())):
                    key.data()
                self._step(time.monotonic())
        except Exception as error:
            self._say(messages.KeeperFailed(traceback.format_exception_only(error)[-1].strip()))
            if isinstance(error, OSError):
                sys.exit(1)  # of a disk; all is said
            raise
        finally:
            self._preparations.end()
            reaper.kill_all(lambda: reaper.descendants(os.getpid()))
            reaper.kill_all(lambda: reaper.marked(reaper.MARK, str(folder)))
            remove(folder)
            take_away(spec.side_inputs, folder, spec.run_id)

    def _start(self) -> None:
        self._selector.register(self._link, selectors.EVENT_READ, self._hear_node)
        with contextlib.suppress(AttributeError, OSError):  # no pidfd: the link's end has to do
            parent = os.pidfd_open(self._spec.parent)
            self._selector.register(parent, selectors.EVENT_READ, self._parent_died)
        if self._spec.remote:
            from daskrun.script.keeper.fetcher import Fetcher  # its imports cost other keepers time

            self._fetcher = Fetcher(self._spec)
        self._preparations.start()
        for message in self._early:
            self._obey(message)

    def _begin(self, brought: Mapping[str, str]) -> None:
        notes = self._spawner.locate(brought)
        for name in self._spawner.names:
            self._spawn(name)
        for note in (*notes, *self._spawner.gpus_told):
            self._say(messages.Notice(note))
        self._say(messages.SlotsUp(len(self._spawner.names)))
        self._watch_usage()

    def _watch_usage(self) -> None:
        """Note from now on what is used; here, as its import must not delay script processes."""
        spec = self._spec
        if spec.usage_interval:
            from daskrun.script.keeper.usage import UsageLog, load_psutil

            folder, psutil = Path(spec.logs, "sys", "perf", spec.node), load_psutil(spec.psutil)
            self._usage = UsageLog(folder, spec.usage_interval, spec.log_limit, psutil)

    # what comes in

    def _parent_died(self) -> None:
        self._gone = True

    def _hear_node(self) -> None:
        data = b""
        with contextlib.suppress(ConnectionError):
            data = self._link.recv(1 << 20)
        if not data:
            self._gone = True
        for message in self._unpacker.feed(data):
            self._obey(message)

    def _obey(self, message: object) -> None:
        if isinstance(message, messages.RunBundle):
            self._accept(message)
        elif isinstance(message, messages.Stop):
            self._stop(message.grace)
        elif message in (messages.Signal.RECALL, messages.Signal.CLOSE):
            self._recall() if message is messages.Signal.RECALL else self._close()

    def _accept(self, bundle: messages.RunBundle) -> None:
        if self._recalled or self._closing:
            self._hand_back(bundle)
            return
        if self._fetcher is not None:
            self._fetcher.want(bundle)
        self._queue.append(bundle)

    def _stop(self, grace: float) -> None:
        """Take everything back: finish what is in hand within ``grace`` seconds, start nothing."""
        self._stop_at = time.monotonic() + grace
        self._preparations.end()
        self._limits = replace(self._limits, shutdown=min(self._limits.shutdown, STOPPED_SHUTDOWN))
        self._recall()

    def _recall(self) -> None:
        self._recalled = True
        while self._queue:
            self._hand_back(self._queue.popleft())
        for process in self._processes.values():
            process.recall()

    def _close(self) -> None:
        """End in good order: ``shutdown()`` in every process, then exit."""
        self._closing = True
        self._recall()
        self._next_word = time.monotonic() + FIRST_WORD
        if self._usage is not None:
            self._usage.note(self._pids())  # also of a short run there is one; it is the last
            self._usage = None
        self._preparations.end()
        for process in self._processes.values():
            process.hang_up()
            if process.bundle is not None or process.phase in (Phase.STARTING, Phase.INIT):
                process.condemn("the run ended")

    def _hear_process(self, process: ScriptProcess) -> None:
        found = process.messages()
        if process.silent:
            self._forget(process.out)
        for message in found:
            # one that is to be killed may wake from its hang when its stacks are asked for: what
            # it says then comes too late
            if process.verdict is None:
                self._hear_living(process, message)
            if isinstance(message, messages.PartNamed):
                process.part, process.etag = message
            elif isinstance(message, messages.ShutdownFailed):
                words = f"shutdown() failed in {process.name}: {message.text}"
                self._say(messages.ShutdownFailed(words))
            elif isinstance(message, messages.Notice):
                self._say(messages.Notice(f"{process.name}: {message.text}"))
            elif isinstance(message, messages.ScriptWarning):
                process.warnings.append(message.text)
            elif isinstance(message, messages.Leaving):
                process.leaves(message.threads)

    def _hear_living(self, process: ScriptProcess, message: object) -> None:
        if isinstance(message, messages.BundleDone):
            # what it says of any other bundle is no answer
            if process.outcomes.is_short:
                process.distrust("it put another file in place of daskrun's own")
            elif process.bundle is not None and process.bundle.number == message.number:
                left = Left(process.outcome_log(), trouble=message.trouble)
                self._finish(self._result(process, process.bundle, message.seconds, left))
        elif isinstance(message, messages.ScriptReady):
            process.ready = True
            gpu = self._spawner.gpu_of(process.name)
            self._say(messages.ProcessUp(self._spawner.info(process), *message, gpu))
        elif isinstance(message, messages.ScriptInitFailed):
            process.failed_init = True
            self._say(messages.ProcessInitFailed(self._spawner.info(process), message.failure))

    # what goes on

    def _step(self, now: float) -> None:
        self._preparations.step(now)
        self._files_left.step(now)
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
            self._say(messages.Notice(words))
        if self._usage is not None:
            self._usage.look(now, self._pids)
        if self._closing and now > self._next_word:
            self._pause = min(2 * self._pause, LONGEST_SILENCE)
            self._next_word = now + self._pause
            waited = ", ".join(each.ending(now) for each in self._processes.values())
            self._say(messages.Preparing(f"waiting for script processes to end: {waited}"))
        if now > self._next_beat:
            self._next_beat = now + BEAT_INTERVAL
            self._say(messages.Signal.BEAT)
        if now > self._next_log_look:
            self._next_log_look = now + LOG_INTERVAL
            for process in self._processes.values():
                for log in process.logs:
                    cap_log(log, self._spec.log_limit)
            preparing = self._preparations.pid
            own = [*self._files_left.pids, *([preparing] if preparing else [])]
            reaper.reap_orphans([*self._pids().values(), *own])

    def _pids(self) -> dict[str, int]:
        """Return this process and those it holds, by the names they have in logs."""
        pids = {each.name: each.pid for each in self._processes.values()}
        if self._fetcher is not None:
            pids["fetcher"] = self._fetcher.pid
        return {"keeper": os.getpid(), **pids}

    def _watch(self, process: ScriptProcess, now: float) -> None:
        resident = resident_memory(process.pid) if self._limits.memory is not None else 0
        process.check(now, self._limits, resident)
        if process.execute_verdict(now):
            self._say(
                messages.Notice(f"pid {process.pid} ({process.name}) survived SIGKILL; given up")
            )
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
        told = process.bundle is not None and self._account_for_death(process, process.bundle)
        ending = self._closing or self._stop_at is not None
        if not (ending or process.has_left or process.failed_init or process.proven):
            told = True  # also after init(): else one that dies then would be replaced for ever
            failure = failure_of(process)
            self._say(messages.ProcessInitFailed(self._spawner.info(process), failure))
        if not told and (words := end_of(process)) is not None:
            self._say(words)
        self._forget(process.out)
        self._forget(process.pidfd)
        del self._processes[process.name]
        process.close()
        self._replace_later(process)

    def _replace_later(self, process: ScriptProcess) -> None:
        """Plan a process in its place: now, or later if such processes die without an outcome."""
        name, delay = process.name, 0.0
        if process.proven:
            self._deaths[name] = 0
        else:
            times = self._deaths[name] = self._deaths.get(name, 0) + 1
            delay = min(RESPAWN_DELAY * 2 ** min(times - 1, 10), LONGEST_RESPAWN_DELAY)
        self._respawn[name] = time.monotonic() + delay

    def _account_for_death(self, process: ScriptProcess, bundle: messages.RunBundle) -> bool:
        """Return its bundle; True when a mini-batch is charged, and says why it died."""
        files = self._spawner.files
        left = account(process, self._spawner.parts, files=are_files(files))
        if left.note:
            self._say(messages.Notice(left.note))
        result = self._result(process, bundle, time.monotonic() - process.given, left)
        self._files_left.hold(result, process.name, self._spawner)
        return left.charged is not None

    def _result(
        self, process: ScriptProcess, bundle: messages.RunBundle, seconds: float, left: Left
    ) -> messages.BundleResult:
        """Take a bundle from its process, and return what became of it."""
        process.bundle = None
        process.proven = process.proven or bool(left.outcome_log or left.charged)
        info, warnings, process.warnings = self._spawner.info(process), process.warnings, []
        log, charged, trouble, alone, _ = left
        return messages.BundleResult(
            bundle.number, info, log, charged, seconds, warnings, trouble, alone
        )

    def _hand_back(self, bundle: messages.RunBundle) -> None:
        self._finish(messages.BundleResult(bundle.number))

    def _finish(self, result: messages.BundleResult) -> None:
        if self._fetcher is not None:
            self._fetcher.drop(result.number)
        self._say(result)

    def _say(self, message: object) -> None:
        try:
            self._link.sendall(pack(message))
        except OSError:
            self._gone = True
