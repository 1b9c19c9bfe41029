"""What a script with faults does in its process: note each call, then strike or call the script."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daskrun.script import context
from daskrun.script.process.entry import EntryModule
from daskrun.script.process_spec import ScriptFile
from daskrun.testing.kinds import AFTER, BEFORE, NEEDS_PROCESS, OK

if TYPE_CHECKING:
    from collections.abc import Mapping

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
        line = self._note(INIT)
        fault = self._init if isinstance(self._init, str) else OK
        if self._init and not isinstance(self._init, str):
            fault = self._init.get(self._place(line), OK)
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
