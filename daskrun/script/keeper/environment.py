"""The process that finds or builds the Python of script processes, as the keeper sees it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from daskrun.core.typing import override
from daskrun.script.environments.build import remove_half, tail
from daskrun.script.keeper.child import Child, log_of
from daskrun.script.keeper.preparation import Preparation
from daskrun.script.messages import Building, FindPython, Notice, Preparing, PythonFound

if TYPE_CHECKING:
    from daskrun.script.node_spec import EnvironmentSpec, NodeSpec


class Build(Preparation):
    """The process, from its start to its answer."""

    def __init__(self, spec: NodeSpec, asked: EnvironmentSpec) -> None:
        named = asked.python or "the Python of its script processes"
        self._what = f"environment {asked.name!r}" if asked.name else named
        self._doing = "looking for"
        self._node = spec.node
        self._stage = ""
        self._folder: Path | None = None
        """Of the environment that is being built."""
        temporary = Path(spec.folder) / "build"
        temporary.mkdir()
        log = log_of(spec, "environment.txt")
        told = FindPython(asked, spec.node, str(log), str(temporary))
        super().__init__(Child(spec, "environments.build", log, told), limit=asked.timeout)

    @override
    def heard(self, message: object, now: float) -> list[object]:
        if isinstance(message, Building):
            self._doing, self._stage = "building", message.stage
            self._folder = Path(message.folder) if message.folder else None
            return [Preparing(self._words(now))]
        if isinstance(message, PythonFound) and self._folder is not None:
            return [Notice(f"{self._words(now)}: done"), message]
        return [message]

    @override
    def state(self, now: float) -> str:
        last = tail(self.child.log, 200).rpartition("\n")[2].strip()
        return self._words(now, last)

    @override
    def why_ended(self, code: int) -> str:
        return self._why(f"the process that looks for it, or builds it, ended with code {code}")

    @override
    def why_late(self) -> str:
        return self._why(f"it took longer than environment_timeout={self.limit:g} s")

    def _words(self, now: float, last: str = "") -> str:
        words = f"{self._doing} {self._what}, {now - self.began:.0f} s"
        last = self._stage or last
        return f"{words}: {last}" if last else words

    def _why(self, words: str) -> str:
        end = self._stage or tail(self.child.log)
        said = f" The end of what was said, in {self.child.log}:\n{end}" if end else ""
        return f"{self._what} could not be had on {self._node}: {words}.{said}"

    @override
    def end(self) -> None:
        super().end()
        if self._folder is not None:
            remove_half(self._folder)
