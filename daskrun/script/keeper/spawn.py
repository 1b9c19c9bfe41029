"""Making script processes for a node: names, environment, folders, what each is told first."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from daskrun.script import reaper
from daskrun.script.context import with_output
from daskrun.script.keeper import hardware
from daskrun.script.keeper.script_process import PACKAGE_ROOT, ScriptProcess
from daskrun.script.side_inputs.node_paths import with_paths

CONTAINER_SHARE = 0.9
"""Part of a container's memory that its script processes may use (CONTRACT, "Failure policy")."""


class Spawner:
    """Starts script processes as a node's configuration says.

    Parameters
    ----------
    config
        See :func:`daskrun.script.node.node_config`.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        self._folder = Path(config["folder"])
        self._config = config = with_output(config, self._folder)
        self._count = hardware.processes_per_node(config["processes"])
        self._gpus = hardware.gpus()
        self._made = 0
        self._python = str(config["python"])
        self._root = PACKAGE_ROOT
        self.names = [f"process{n:03d}" for n in range(self._count)]
        self.parts: str = config["parts"]
        self.files: str = config["files"]
        """URL that files of the script's own go to, ``""`` where it can write there itself."""

    def spawn(self, name: str) -> ScriptProcess:
        """Start a process in the slot ``name``."""
        self._made += 1
        folder = self._folder / f"{name}-{self._made}"
        user = Path(self._config["logs"]) / "user"
        node = self._config["node"]
        return ScriptProcess(
            name,
            config=self._first_message(name, folder),
            environment=self._environment(name),
            logs=(
                user / "stdout" / node / f"{name}.stdout.txt",
                user / "stderr" / node / f"{name}.stderr.txt",
            ),
            folder=folder,
            python=self._python,
            root=self._root,
        )

    def use(self, python: str) -> None:
        """Have script processes run in another Python.

        Of what is installed for the node's own they see daskrun and nothing else: it is linked to
        from a folder of its own.
        """
        if python == self._python:
            return
        package = self._folder / "package"
        package.mkdir()
        (package / "daskrun").symlink_to(Path(PACKAGE_ROOT) / "daskrun")
        self._python, self._root = python, str(package)

    def put_in(self, side_inputs: dict[str, str]) -> list[str]:
        """Put paths in where script processes are told of them; see :func:`with_paths`."""
        self._config, notes = with_paths(self._config, side_inputs)
        return notes

    def info(self, process: ScriptProcess) -> tuple[str, str, int, float, str]:
        """Identify a process, as the fields of ``ProcessInfo``."""
        return (self._config["node"], process.name, process.pid, process.started, process.part)

    def memory_limit(self) -> int | None:
        """Bytes at which a process is killed: as set, else its share of a container's limit."""
        asked: int | None = self._config["limits"]["memory"]
        container = hardware.container_memory()
        if asked is not None or container is None:
            return asked
        share = self._count * self._config["nodes_here"]
        return int(CONTAINER_SHARE * container / share)

    def _first_message(self, name: str, folder: Path) -> dict[str, Any]:
        config = self._config
        node = config["node"]
        logs = Path(config["logs"]) / "user"
        script_log = logs / "entry_script_log" / node / f"{name}.log.txt"
        script_log.parent.mkdir(parents=True, exist_ok=True)
        context = {
            **config["context"],
            "agent_name": f"{node}/{name}",
            "log_file": str(script_log),
            "log_dir": str(logs / "entry_script_log" / node),
            "working_dir": str(folder),
        }
        remote = any(source["remote"] for source in config["inputs"])
        return {
            "script": config["script"],
            "sys_path": config["sys_path"],
            "argv": config["argv"],
            "context": context,
            "sink": config["sink"],
            "sink_settings": config["sink_settings"],
            "parts": config["parts"],
            "parts_options": config["parts_options"],
            "files": config["files"],
            "spool": str(self._folder),
            "prefix": f"{node}-{name}-",
            "inputs": config["inputs"],
            "fetch": str(self._folder / "fetch") if remote else "",
            "cache": str(self._folder / "cache"),
        }

    def _environment(self, name: str) -> dict[str, str]:
        config = self._config
        asked: dict[str, str] = config["environment"]
        left_out = {reaper.PROCESS_MARK, *config.get("unset", ())}
        environment = {k: v for k, v in os.environ.items() if k not in left_out}
        threads = config["threads"]
        if threads is None:
            threads = max(1, hardware.cores() // (self._count * config["nodes_here"]))
        for variable in hardware.THREAD_VARIABLES:
            # a limit set for the whole machine is kept, unless the run asks for another
            if config["threads"] is not None or variable not in environment:
                environment[variable] = str(threads)
        if self._gpus:
            slot = self.names.index(name)
            environment["CUDA_VISIBLE_DEVICES"] = self._gpus[slot % len(self._gpus)]
        output = config["context"].get("output_dir")
        if output:
            environment["AZUREML_BI_OUTPUT_PATH"] = environment["DASKRUN_OUTPUT_PATH"] = output
        environment.update({**config["path_variables"], **asked})
        if self._root != PACKAGE_ROOT:
            self._activate(environment, asked)
        environment[reaper.MARK] = str(self._folder)
        return environment

    def _activate(self, environment: dict[str, str], asked: dict[str, str]) -> None:
        """Change variables to what they are where the other Python is used."""
        folder = Path(self._python).parent
        for name in ("PYTHONHOME", "PYTHONPATH", "VIRTUAL_ENV"):
            if name not in asked:
                environment.pop(name, None)
        if (folder.parent / "pyvenv.cfg").exists():
            environment.setdefault("VIRTUAL_ENV", str(folder.parent))
        if "PATH" not in asked:
            programs = environment.get("PATH", os.defpath)
            environment["PATH"] = os.pathsep.join([str(folder), programs])
        paths = [self._root, environment.get("PYTHONPATH", "")]
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
