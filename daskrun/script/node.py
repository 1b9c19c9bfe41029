"""A node of a run, in the process that asks for work there: starts the keeper, talks with it."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import queue
import secrets
import select
import socket
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Set
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daskrun.core.logs import get_logger
from daskrun.script import messages
from daskrun.script.keeper.child import PACKAGE_ROOT
from daskrun.script.keeper.script_process import STOPPED_SHUTDOWN
from daskrun.script.node_folders import base_folder, claim, clear, clear_leftovers
from daskrun.script.status_block import all_in_hand
from daskrun.script.wire import Unpacker, pack, shared_memory

if TYPE_CHECKING:
    from daskrun.script.node_spec import NodeSpec

logger = get_logger(__name__)

KEEPER = (
    "import sys; sys.path.append(sys.argv[1]); "
    "from daskrun.script.keeper.keeper import main; main()"
)
"""``append``: what else is installed there must not hide the standard library."""
KEEPER_RESTARTS = 3
"""Times a keeper that was killed is replaced before the node counts as lost."""
BEAT_LIMIT = 60.0
"""Seconds without a sign of life after which a keeper is killed and replaced."""
LOOKS = 4
"""Looks for one in that time. All find nothing: where this process itself was stopped, the first
ends at once, before the keeper could speak."""
CLOSE_MARGIN = 5.0
"""Seconds beyond ``shutdown_timeout`` that a keeper gets to end in good order."""

_nodes: weakref.WeakSet[Node] = weakref.WeakSet()
"""Those of this process."""

Tell = Callable[[messages.Told], None]
"""Called from the node's thread."""
Result = messages.BundleResult | messages.BundleGone


class Node:
    """A running node."""

    def __init__(self, spec: NodeSpec, tell: Tell) -> None:
        self._spec = spec
        self._tell = tell
        self._lock = threading.Lock()
        self._sending = threading.Lock()
        """Held to write to the link, never to read it: else both ends could wait in a circle."""
        self._waiting: dict[int, queue.SimpleQueue[Result]] = {}
        self._closing = False
        self._stopped = False
        self._trouble = ""
        """What the keeper said of its own failure."""
        self._lost: str | None = None
        self._restarts = 0
        self._board = shared_memory("daskrun-status")
        """What script processes have in hand, also when their keeper is dead."""
        for name in clear_leftovers(base_folder()):
            self._tell(
                messages.Notice(f"cleared up after a run whose keeper had been killed: {name}")
            )
        self._start()
        self._thread = threading.Thread(target=self._listen, name="daskrun-node", daemon=True)
        self._thread.start()
        _nodes.add(self)

    def _start(self) -> None:
        name = f"{self._spec.run_id}-{self._spec.node}-{secrets.token_hex(3)}"
        self._folder = base_folder() / name
        lock = claim(self._folder)
        ours, theirs = socket.socketpair()
        for end in (ours, theirs):
            end.settimeout(
                None
            )  # else that of socket.setdefaulttimeout(), taken for the link's end
            with contextlib.suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        # -I -S: the keeper needs the standard library only, and starts in a third of the time
        fds = (theirs.fileno(), lock, self._board)
        command = [sys.executable, "-I", "-S", "-c", KEEPER, PACKAGE_ROOT, *map(str, fds)]
        self._popen = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            pass_fds=fds,
            start_new_session=True,
        )
        os.close(lock)
        theirs.close()
        self._link = ours
        own, psutil = str(self._folder), _psutil_folder()
        spec = replace(self._spec, folder=own, parent=os.getpid(), psutil=psutil)
        self._link.sendall(pack(spec))

    def run_bundle(self, bundle: messages.RunBundle) -> Result:
        """Run a bundle and wait for what becomes of it."""
        answer: queue.SimpleQueue[Result] = queue.SimpleQueue()
        with self._sending:
            with self._lock:
                if self._lost is not None:
                    return messages.BundleGone(bundle.number, self._lost)
                self._waiting[bundle.number] = answer
            self._send(bundle)
        return answer.get()  # who listens returns it, or ends the keeper and says so

    def stop(self, grace: float) -> None:
        """Take everything back: what is in hand may end within ``grace`` seconds."""
        self._stopped = True
        with self._sending:
            self._send(messages.Stop(grace))

    def recall(self) -> None:
        """Take back all but the mini-batches in hand; what comes later is handed back untouched."""
        with self._sending:
            self._send(messages.Signal.RECALL)

    def close(self) -> None:
        """End in good order, then by force; leaves no process and no folder."""
        with self._lock:
            self._closing = True
        if not self._ask_to_close():
            self._popen.kill()  # it reads no more
        limit = self._spec.limits.shutdown
        if self._stopped:
            limit = min(limit, STOPPED_SHUTDOWN)
        try:
            self._popen.wait(limit + CLOSE_MARGIN)
        except subprocess.TimeoutExpired:
            self._kill_keeper()
        self._thread.join(CLOSE_MARGIN)
        self._link.close()
        clear(self._folder)
        board, self._board = self._board, -1
        if board >= 0:
            os.close(board)

    @property
    def run_id(self) -> str:
        """The run it belongs to."""
        return self._spec.run_id

    def kill(self) -> None:
        """End every process of it at once; what it had in hand is given back."""
        with self._lock:
            self._closing = True  # else another keeper would be started
        self._kill_keeper()
        clear(self._folder)

    def _kill_keeper(self) -> None:
        self._popen.kill()
        try:
            self._popen.wait(CLOSE_MARGIN)
        except subprocess.TimeoutExpired:
            logger.warning("the keeper of %s survives SIGKILL: it is left", self._spec.node)

    def _ask_to_close(self) -> bool:
        """Send ``CLOSE`` without waiting for a keeper that is stopped; False if that can't be."""
        if not self._sending.acquire(timeout=CLOSE_MARGIN):
            return False
        try:
            self._link.send(pack(messages.Signal.CLOSE), socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            pass  # its end is learnt from the link
        finally:
            self._sending.release()
        return True

    def _send(self, message: object) -> None:
        with contextlib.suppress(OSError):  # its end is learnt from the link
            self._link.sendall(pack(message))

    def _listen(self) -> None:
        try:
            self._follow()
        except Exception as error:  # noqa: BLE001  (who waits for a bundle is told)
            self._give_up(f"{self._spec.node} can't be followed: {type(error).__name__}: {error}")

    def _give_up(self, reason: str) -> None:
        """End the keeper, and return the bundles it had: nothing of it is heard any more."""
        with self._lock:
            self._lost = reason
            waiting, self._waiting = self._waiting, {}
        self._popen.kill()
        for number, answer in waiting.items():
            answer.put(messages.BundleGone(number, reason))
        with contextlib.suppress(Exception):  # telling may be what failed
            self._tell(messages.KeeperLost(reason, again=False))

    def _follow(self) -> None:
        unpacker = Unpacker(messages.KNOWN)
        silent = 0
        while True:
            if not self._speaks(BEAT_LIMIT / LOOKS):
                silent += 1
                if silent == LOOKS:
                    self._popen.kill()  # stopped or stuck: its end gives the bundles back
                elif silent == 2 * LOOKS:
                    raise TimeoutError("its keeper is silent, and survives SIGKILL")
                continue
            data, silent = b"", 0
            with contextlib.suppress(OSError):
                data = self._link.recv(1 << 20)
            if not data:
                if self._keeper_gone():
                    unpacker = Unpacker(messages.KNOWN)
                    continue
                return
            for message in unpacker.feed(data):
                self._hear(message)

    def _speaks(self, seconds: float) -> bool:
        """Wait until the keeper has said something, or its link has ended."""
        look = select.poll()
        look.register(self._link, select.POLLIN)
        return bool(look.poll(1000 * seconds))

    def _hear(self, message: Any) -> None:
        if isinstance(message, messages.BundleResult):
            with self._lock:
                answer = self._waiting.pop(message.number, None)
            if answer is not None:
                answer.put(message)
                if self._closing:  # who waits for it may be closed before it has passed it on
                    self._tell(message)
        elif isinstance(message, messages.KeeperFailed):
            self._trouble = f": {message.error}"
        elif not isinstance(message, messages.Signal):
            self._tell(message)

    def _keeper_gone(self) -> bool:
        """Return the bundles it had; start another unless the node is closing. True if started."""
        try:
            code = self._popen.wait(CLOSE_MARGIN)
        except subprocess.TimeoutExpired:  # it has closed the link, and does not end
            self._popen.kill()
            code = self._popen.wait(CLOSE_MARGIN)
        with self._sending, self._lock:
            reason = f"the keeper of {self._spec.node} ended with code {code}{self._trouble}"
            reason += in_hand(self._board)
            self._trouble = ""
            again = not self._closing and self._restarts < KEEPER_RESTARTS
            if again:
                self._restarts += 1
                self._link.close()
                clear(self._folder)
                try:
                    self._start()
                except OSError as error:
                    again, reason = False, f"{reason}, and no other can be started: {error}"
            if not again:
                self._lost = reason
            waiting, self._waiting = self._waiting, {}
        for number, answer in waiting.items():
            answer.put(messages.BundleGone(number, reason))
        if not self._closing:
            self._tell(messages.KeeperLost(reason, again))
        return again


def in_hand(board: int) -> str:
    """Return what script processes had in hand when their keeper ended, as the end of a message."""
    found = [
        f"mini-batch {at.index}, attempt {at.attempt} (process{slot:03d})"
        for slot, at in all_in_hand(board)
    ]
    verb = "were" if len(found) > 1 else "was"
    return f" while {', '.join(found[:5])} {verb} in hand" if found else ""


def _psutil_folder() -> str:
    found = importlib.util.find_spec("psutil")
    return str(Path(found.origin).parents[1]) if found and found.origin else ""


def kill_nodes(run_ids: Set[str]) -> None:
    """End the processes of every node of these runs in this process, at once."""
    for node in list(_nodes):
        if node.run_id in run_ids:
            node.kill()
