"""What a script with faults does in its process: note each call, then strike or call the script."""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from daskrun.output.parts import part
from daskrun.script import context
from daskrun.script.process.entry import EntryModule
from daskrun.script.process_spec import ScriptFile

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

OK = "ok"
"""In a list of faults: a call without one."""
BLOCK = 16 * 2**20
"""Bytes that ``eat_memory`` takes at a time."""
LONG = 10_000_000
"""Characters of ``huge_message``: 150 times what is kept of an error's text."""
FOR_EVER = 10**6
"""Seconds of a hang; every limit there is ends it before."""


class _CannotTravelError(RuntimeError):
    """An exception that pickle refuses."""

    def __reduce__(self) -> NoReturn:
        raise TypeError("this exception can't be pickled")


class _NoText:
    """A result that can't be made a text."""

    def __str__(self) -> str:
        raise ValueError("scripted fault 'unencodable': this row has no text")


def _raise(name: str, more: str = "") -> NoReturn:
    raise RuntimeError(f"scripted fault {name!r}{more}")


def _hang() -> None:
    while True:  # a signal handler may end one sleep
        time.sleep(FOR_EVER)


def _hang_in_c() -> None:
    while True:
        ctypes.PyDLL(None).sleep(FOR_EVER)  # unlike CDLL it keeps the GIL


def _eat_memory() -> None:
    """Allocate memory until the keeper notices; half of what is free at most."""
    eaten: list[bytes] = []
    most = _free_memory() // 2
    while len(eaten) * BLOCK < most:
        eaten.append(b"x" * BLOCK)
        time.sleep(0.002)  # the keeper looks ten times a second
    took = f"took {len(eaten) * BLOCK // 2**20:,} MB and nothing ended it"
    _raise("eat_memory", f" {took}. Set process_memory_limit, such as process_memory_limit='1GB'.")


def _free_memory() -> int:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable"):
            return int(line.split()[1]) * 1024
    return 2**31


def _unpicklable() -> None:
    raise _CannotTravelError("scripted fault 'unpicklable'")


def _disk_full() -> None:
    """Refuse the next write of rows, as a full disk does."""
    names = vars(part)
    real = names["pwrite_all"]

    def refuse(*_: Any) -> NoReturn:
        names["pwrite_all"] = real
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    names["pwrite_all"] = refuse


BEFORE: dict[str, Callable[[], object]] = {
    "raise": lambda: _raise("raise"),
    "hang": _hang,
    "hang_in_c": _hang_in_c,
    "segfault": lambda: ctypes.string_at(0),
    "exit": lambda: os._exit(3),
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "stop": lambda: os.kill(os.getpid(), signal.SIGSTOP),
    "memory_error": lambda: bytearray(2**62),  # more than any machine has; nothing is taken
    "eat_memory": _eat_memory,
    "unpicklable": _unpicklable,
    "huge_message": lambda: _raise("huge_message", ": " + "x" * LONG),
    "disk_full": _disk_full,
}
"""Faults that come before the script's own function is called."""

AFTER: dict[str, Callable[[Any], Any]] = {
    "short": lambda result: result[:-1],
    "none": lambda _: None,
    "unencodable": lambda result: [*([""] * (len(result) - 1)), _NoText()],
}
"""Faults that change what it returned."""

OF_RUN = (*BEFORE, *AFTER)
OF_INIT = tuple(name for name in BEFORE if name != "disk_full")
NEEDS_PROCESS = {"hang", "hang_in_c", "segfault", "exit", "kill", "stop", "eat_memory", "disk_full"}
"""Faults that no process survives unhurt: not for one that is the user's own."""

INIT = -1
"""What stands for ``init()`` among the indices of mini-batches."""

Table = dict[int, str | tuple[str, ...]]


class Inside:
    """The user's script, and the faults it is to have.

    Each call is noted in a file before anything else happens, by one ``write`` of a line: the
    kernel has it, whatever becomes of the process. ``notes`` is that file; faults are as in
    :class:`~daskrun.testing.Faults`.
    """

    def __init__(
        self, script: Path, notes: str, faults: Table, init: Mapping[int, str] | str
    ) -> None:
        self._faults = faults
        self._init = init
        self._notes = notes
        self._descriptor = os.open(notes, os.O_APPEND | os.O_CREAT | os.O_RDWR | os.O_CLOEXEC)
        self._noted = 0
        self._name = f"{os.getpid()}-{os.urandom(4).hex()}"
        if str(script.parent) not in sys.path:
            sys.path.insert(0, str(script.parent))
        self._module = EntryModule(ScriptFile(str(script), str(script), str(script.parent)))

    def init(self) -> None:
        """Call the script's ``init()``, or strike."""
        line, fault = self._note(INIT), self._init
        if not isinstance(fault, str):
            fault = fault.get(self._place(line), OK)
        self._strike(fault, "init()")
        self._module.init()

    def run(self, mini_batch: Any, mini_batch_context: Any) -> Any:
        """Return the result of the script's ``run()``, changed by its faults."""
        index = mini_batch_context.minibatch_index
        line = self._note(index)
        fault = self._faults.get(index, OK)
        if not isinstance(fault, str):
            turn = self._place(line)
            fault = fault[turn - 1] if turn <= len(fault) else OK
        self._strike(fault, f"mini-batch {index}")
        result = self._module.process(mini_batch, lambda: mini_batch_context)
        return AFTER[fault](result) if fault in AFTER else result

    def shutdown(self) -> None:
        """Call the script's ``shutdown()``."""
        self._module.shutdown()

    def _strike(self, fault: str, place: str) -> None:
        if fault not in BEFORE:
            return
        run = context.current()
        if fault in NEEDS_PROCESS and (run is None or run.agent_name.startswith("inline/")):
            raise RuntimeError(
                f"scripted fault {fault!r} in {place} would hit this process, which is not a "
                "script process. Run it without compute_target='inline'."
            )
        print(f"scripted fault {fault!r} in {place}", file=sys.stderr, flush=True)  # noqa: T201
        BEFORE[fault]()

    def _note(self, index: int) -> bytes:
        """Note a call and return its line, which no other call has."""
        self._noted += 1
        line = b"%d %s-%d\n" % (index, self._name.encode(), self._noted)
        os.write(self._descriptor, line)
        return line

    def _place(self, line: bytes) -> int:
        """Count the calls of the same mini-batch, from the first to the one that has this line."""
        begin = line.split()[0] + b" "
        lines = Path(self._notes).read_bytes().splitlines(keepends=True)
        return [each for each in lines if each.startswith(begin)].index(line) + 1


def read_notes(notes: Path) -> list[int]:
    """Return the mini-batches whose ``run()`` was entered, in that order; INIT for ``init()``."""
    try:
        return [int(line.split()[0]) for line in notes.read_bytes().splitlines()]
    except FileNotFoundError:
        return []
