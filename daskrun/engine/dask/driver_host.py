"""A run's driver on its cluster: a long Dask task that keeps a process of its own alive there.

The task does nothing but watch: it starts the process, starts it again where it has died, and ends
it where the worker leaves. Where the worker dies, the pipe that the process reads from ends, and so
does the process; Dask runs the task on another worker.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import pickle
import subprocess
import sys
import threading
import time
from typing import IO, TYPE_CHECKING, Any, cast

from daskrun.core.logs import get_logger
from daskrun.script.wire import unpacked

if TYPE_CHECKING:
    from collections.abc import Mapping

logger = get_logger("daskrun")
CANCEL = "cancel"
"""What the process is told to have the run canceled."""
LOOK = 0.2
"""Seconds between two looks at the process and its worker."""
PAUSE = 1.0
"""Seconds between the end of a process that has died and the start of the next."""
FINE = 60.0
"""Seconds after which a process was not started in vain, nor has its task killed the worker."""
MOST_IN_VAIN = 5
"""Processes in a row that may end sooner; then the task fails, and is tried on another worker."""
ASK_LIMIT = 60.0
"""Seconds in which a process says whether it could drive a run: a busy node imports for long."""
SCHEDULER_LIMIT = 10.0
"""Seconds in which the scheduler answers."""
RUNNING = ("running", "paused")
SECURITY = ("tls_ca_file", "tls_ciphers", "tls_worker_cert", "tls_worker_key")
"""Of the worker's security, what its driver connects with: a worker's certificates do for that."""


def start_process(program: str, stdout: int | None = None) -> subprocess.Popen[bytes]:
    """Start a module, which reads a line of JSON that says what it is to do.

    In a session of its own: a signal for the terminal here is none for what it drives.
    """
    # -P: what lies in the current folder must not stand for a package. What it is given comes by a
    # pipe: all users of the machine see its command line.
    command = [sys.executable, "-P", "-m", program]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=stdout, start_new_session=True)


async def why_unable(data: bytes) -> str:
    """Return why the process can't do here what it is for, as it says itself; ``""`` if it can.

    Called on a Dask worker, whose event loop does not wait.
    """
    return await asyncio.get_running_loop().run_in_executor(None, _why_unable, data)


def _why_unable(data: bytes) -> str:
    program, given = unpacked(data)
    process = start_process(program, subprocess.PIPE)
    try:
        line = json.dumps({**given, "only_looks": True}).encode() + b"\n"
        said, _ = process.communicate(line, ASK_LIMIT)
        return str(json.loads(said))
    except subprocess.TimeoutExpired:
        return f"its process has not answered for {ASK_LIMIT:g} s"
    except ValueError:
        return f"its process ended with exit code {process.returncode}: the worker's log says why"
    finally:
        process.kill()
        process.wait()


def host_driver(data: bytes) -> None:
    """Have a process drive a run until it says that the run has ended: a Dask task.

    ``data`` has, packed, the name of its module and what that is told.
    """
    import distributed

    distributed.secede()  # no thread of the worker is taken, and no cluster scales this worker away
    worker = distributed.get_worker()
    _Host(worker, str(worker.get_current_task()), *unpacked(data)).watch()


def forgive(key: str, dask_scheduler: Any) -> None:
    """Have the scheduler count anew how many workers have died with a task on them."""
    if (task := dask_scheduler.tasks.get(key)) is not None:
        task.suspicious = 0


class _Host:
    """The process that drives a run, as its worker sees it."""

    def __init__(self, worker: Any, key: str, program: str, given: Mapping[str, object]) -> None:
        self._worker = worker
        self._key = key
        self._program = program
        self._given = {
            **given,
            "scheduler": str(worker.scheduler.address),
            "security": _security(worker.security),
            "worker": str(worker.address),
        }

    def watch(self) -> None:
        """Return when the run has ended, or the worker has closed.

        Raises RuntimeError where it can't be driven from here.
        """
        in_vain = 0
        while self._worker.status.name not in ("closed", "failed"):
            if self._worker.status.name not in RUNNING:
                time.sleep(LOOK)  # to return would end the task, which is for another worker now
                continue
            began = time.monotonic()
            code = self._drive()
            if code == 0 or not self._wanted:
                return
            in_vain = in_vain + 1 if time.monotonic() < began + FINE else 0
            if in_vain >= MOST_IN_VAIN and code is not None:
                raise RuntimeError(
                    f"{in_vain} driver processes in a row ended within {FINE:g} s, the last with "
                    f"exit code {code}: the worker's own output says why"
                )
            time.sleep(PAUSE)

    @property
    def _wanted(self) -> bool:
        """Whether the task has not been canceled."""
        task = self._worker.state.tasks.get(self._key)
        return task is not None and task.state in ("executing", "long-running")

    def _drive(self) -> int | None:
        """Have a process drive the run; return its exit code, None where the worker leaves."""
        process = start_process(self._program)
        pipe = cast("IO[bytes]", process.stdin)
        began, forgiven, canceled = time.monotonic(), False, False
        try:
            _say(pipe, self._given)
            while process.poll() is None:
                if self._worker.status.name not in RUNNING:
                    return None
                if not canceled and not self._wanted:
                    canceled = True
                    _say(pipe, CANCEL)
                if not forgiven and time.monotonic() > began + FINE:
                    forgiven = True
                    self._forgive()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(LOOK)
            return process.returncode
        finally:
            process.kill()
            process.wait()
            with contextlib.suppress(OSError):
                pipe.close()

    def _forgive(self) -> None:
        """Tell the scheduler that the task kills no workers, in a thread: it may be silent."""
        threading.Thread(target=self._ask_to_forgive, name="daskrun-forgive", daemon=True).start()

    def _ask_to_forgive(self) -> None:
        from distributed.utils import sync

        try:
            sync(
                self._worker.loop,
                self._worker.scheduler.run_function,
                function=pickle.dumps(forgive),
                args=pickle.dumps((self._key,)),
                kwargs=pickle.dumps({}),
                callback_timeout=SCHEDULER_LIMIT,
            )
        except Exception as error:  # noqa: BLE001  (a scheduler without daskrun counts on)
            logger.info("%s: %s", self._key, error)


def _say(pipe: IO[bytes], what: object) -> None:
    with contextlib.suppress(OSError):  # it has ended; that is seen elsewhere
        pipe.write(json.dumps(what).encode() + b"\n")
        pipe.flush()


def _security(security: Any) -> dict[str, str]:
    """Return what a client on a worker connects with; nothing where the cluster has no TLS."""
    found = {name: getattr(security, name, None) for name in SECURITY}
    given = {name: value for name, value in found.items() if value is not None}
    return {name.replace("worker", "client"): value for name, value in given.items()}
