"""Making script processes for a node: names, environment, folders, what each is told first."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from daskrun.core.outcome import ProcessInfo
from daskrun.script import reaper
from daskrun.script.keeper import gpus, hardware
from daskrun.script.keeper.child import NODES_OWN, PACKAGE_ROOT, Program
from daskrun.script.keeper.script_process import ScriptProcess
from daskrun.script.node_paths import located
from daskrun.storage.folders import make_folder

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from daskrun.script.node_spec import NodeSpec
    from daskrun.script.process_spec import ProcessSpec, ScriptOutput

CONTAINER_SHARE = 0.9
"""Part of a container's memory that its script processes may use (CONTRACT, "Failure policy")."""


class Spawner:
    """Starts script processes as a node was told; ``board`` holds their status blocks."""

    def __init__(self, spec: NodeSpec, board: int) -> None:
        self._spec = spec
        self._board = board
        self._folder = Path(spec.folder)
        asked = spec.environment.get(gpus.VISIBLE)  # which every process then sees as it is
        self._asked = asked is not None
        own = gpus.gpus() if spec.gpus is None else spec.gpus
        self._gpus = gpus.visible_gpus(asked) if asked is not None else list(own)
        self._count = gpus.processes_per_node(spec.processes, self._gpus)
        self._made = 0
        self.program = NODES_OWN
        self.names = [f"process{n:03d}" for n in range(self._count)]
        self.parts = spec.process.parts

    @property
    def gpus_told(self) -> list[str]:
        """Which processes have which GPU, as one note; none where the node has no GPU."""
        told: list[str] = []
        if not self._gpus:
            return told
        from daskrun.script.keeper.gpu_memory import descriptions

        of = descriptions(self._gpus)
        for n, gpu in enumerate(self._gpus):
            names = self.names if self._asked else self.names[n :: len(self._gpus)]
            described = f" ({of[gpu]})" if gpu in of else ""
            told.append(f"GPU {gpu}{described}: {', '.join(names) or 'no process'}")
        return ["; ".join(told)]

    def gpu_of(self, name: str) -> str:
        """Return the GPU of a process; ``""`` where it has none of its own."""
        if not self._gpus or self._asked:
            return ""
        return self._gpus[self.names.index(name) % len(self._gpus)]

    def spawn(self, name: str) -> ScriptProcess:
        """Start a process in the slot ``name``."""
        self._made += 1
        folder = self._folder / f"{name}-{self._made}"
        logs = Path(self._spec.logs) / "user"
        node = self._spec.node
        return ScriptProcess(
            name,
            spec=self._process_spec(name, folder, logs / "entry_script_log" / node),
            environment=self.environment(name),
            logs=(
                logs / "stdout" / node / f"{name}.stdout.txt",
                logs / "stderr" / node / f"{name}.stderr.txt",
            ),
            folder=folder,
            board=self._board,
            program=self.program,
        )

    def use(self, python: str) -> None:
        """Run script processes in another Python from now on.

        Of what is installed for the node's own they see daskrun and nothing else: it is linked to
        from a folder of its own.
        """
        if python == self.program.python:
            return
        package = self._folder / "package"
        package.mkdir()
        (package / "daskrun").symlink_to(Path(PACKAGE_ROOT) / "daskrun")
        self.program = Program(python, str(package))

    def locate(self, brought: Mapping[str, str]) -> list[str]:
        """Add the node's paths to what script processes are told; return notes on that."""
        self._located = located(self._spec, brought)
        return self._located.notes

    @property
    def files(self) -> Sequence[ScriptOutput]:
        """Outputs that are URLs, with their folders here."""
        return self._located.process.files

    def info(self, process: ScriptProcess) -> ProcessInfo:
        """Identify a process."""
        who = self._spec.node, process.name, process.pid, process.started
        return ProcessInfo(*who, process.part, process.etag)

    def memory_limit(self) -> int | None:
        """Return at how many bytes a process is killed: as set, else its share of a container's."""
        asked = self._spec.limits.memory
        container = hardware.container_memory()
        if asked is not None or container is None:
            return asked
        return int(CONTAINER_SHARE * container / (self._count * self._spec.nodes_here))

    def _process_spec(self, name: str, folder: Path, logs: Path) -> ProcessSpec:
        told, node = self._located.process, self._spec.node
        make_folder(logs)
        context = replace(
            told.context,
            agent_name=f"{node}/{name}",
            log_file=str(logs / f"{name}.log.txt"),
            log_dir=str(logs),
            working_dir=str(folder),
        )
        slot = self.names.index(name)
        return replace(told, context=context, part_prefix=f"{node}-{name}-", slot=slot)

    def environment(self, name: str) -> dict[str, str]:
        """Return the variables of the process of a name."""
        spec = self._spec
        left_out = {reaper.PROCESS_MARK, *spec.unset}
        environment = {k: v for k, v in os.environ.items() if k not in left_out}
        threads = spec.threads or max(1, hardware.cores() // (self._count * spec.nodes_here))
        for variable in hardware.THREAD_VARIABLES:
            # a limit set for the whole machine is kept, unless the run asks for another
            if spec.threads is not None or variable not in environment:
                environment[variable] = str(threads)
        if gpu := self.gpu_of(name):
            environment[gpus.VISIBLE] = gpu
        if output := self._located.process.context.output_dir:
            environment["AZUREML_BI_OUTPUT_PATH"] = environment["DASKRUN_OUTPUT_PATH"] = output
        environment |= {**self._located.variables, **spec.environment}
        if self.program.root != PACKAGE_ROOT:
            self._activate(environment)
        environment[reaper.MARK] = str(self._folder)
        return environment

    def _activate(self, environment: dict[str, str]) -> None:
        """Change variables to what they are where the other Python is used."""
        asked, folder = self._spec.environment, Path(self.program.python).parent
        for name in ("PYTHONHOME", "PYTHONPATH", "VIRTUAL_ENV"):
            if name not in asked:
                environment.pop(name, None)
        if (folder.parent / "pyvenv.cfg").exists():
            environment.setdefault("VIRTUAL_ENV", str(folder.parent))
        if "PATH" not in asked:
            programs = environment.get("PATH", os.defpath)
            environment["PATH"] = os.pathsep.join([str(folder), programs])
        paths = [self.program.root, environment.get("PYTHONPATH", "")]
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
