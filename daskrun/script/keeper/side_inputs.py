"""The process that brings side inputs, as the keeper sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from daskrun.core.typing import override
from daskrun.script.keeper.child import Child, log_of
from daskrun.script.keeper.preparation import Preparation
from daskrun.script.messages import BringSideInputs, Brought, BroughtSoFar, Notice, Unprepared
from daskrun.storage.cache_entries import hold

if TYPE_CHECKING:
    from daskrun.script.node_spec import NodeSpec


class SideInputs(Preparation):
    """The process, from its start to its answer."""

    def __init__(self, spec: NodeSpec) -> None:
        rest = {name: side for name, side in spec.side_inputs.items() if not side.there}
        self._names = ", ".join(map(repr, rest))
        self._node = spec.node
        self._so_far = BroughtSoFar(0, 0)
        told = BringSideInputs(rest, spec.folder, spec.run_id, spec.cache_limit)
        child = Child(spec, "side_inputs.bring", log_of(spec, "side_inputs.txt"), told)
        super().__init__(child, limit=spec.limits.load)

    @override
    def heard(self, message: object, now: float) -> list[object]:
        if isinstance(message, Brought):
            for lock in message.locks:  # while the child has it, and for the life of this process
                hold(lock)
            return [message]
        if isinstance(message, Notice):
            return [Notice(f"{self._node}: {message.text}")]
        if isinstance(message, Unprepared):
            return [Unprepared(f"{message.reason} (on {self._node})")]
        if isinstance(message, BroughtSoFar) and message != self._so_far:
            self._so_far, self.progressed = message, now
        return []

    @override
    def state(self, now: float) -> str:
        here = f"{self._so_far.files:,} files, {self._so_far.nbytes / 1e6:,.1f} MB"
        return f"bringing side inputs {self._names}, {now - self.began:.0f} s: {here}"

    @override
    def why_ended(self, code: int) -> str:
        return self._why(f"the process that brings them ended with code {code}")

    @override
    def why_late(self) -> str:
        return self._why(f"nothing of them has come for load_timeout={self.limit:g} s")

    def _why(self, words: str) -> str:
        return f"side inputs {self._names} on {self._node}: {words}"
