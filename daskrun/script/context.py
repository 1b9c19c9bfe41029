"""What user code can ask about the run it is in: set once per script process, None elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

_current: dict[str, Any] | None = None


def current() -> dict[str, Any] | None:
    """Return the run's context inside a script process, None outside.

    Keys: ``run_id``, ``run_folder``, ``pipeline_run_id``, ``step_name``, ``experiment``,
    ``workspace`` (folder), ``models`` (``{name: {version: path}}``), ``input_datasets``
    (``{name: path}``), ``tables`` (names of those that are no files), ``output_dir``,
    ``log_dir``, ``working_dir``, ``script_dir``, ``agent_name`` (``node000/process000``),
    ``logging_level``. A script that is run alone has ``by_hand`` instead of a run's folder: what
    stands for the run.
    """
    return _current


def with_output(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Have the script's own files go to a folder of the node, where the output is a URL.

    Parameters
    ----------
    config
        A node's, see :func:`daskrun.engine.nodes.node_config`.
    folder
        The node's.
    """
    if not config["files"]:
        return config
    output = folder / "output"
    output.mkdir(parents=True, exist_ok=True)
    argv, shown = config["argv"], config["context"]["output_dir"]
    if argv[-2:] == ["--output", shown]:  # argv_compat
        argv = [*argv[:-1], str(output)]
    return {**config, "argv": argv, "context": {**config["context"], "output_dir": str(output)}}


def enter(values: dict[str, Any] | None) -> None:
    """Make ``values`` the context of this process."""
    global _current
    _current = values
