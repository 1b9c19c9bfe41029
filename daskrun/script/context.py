"""What user code can ask about the run it is in: set once per script process, None elsewhere."""

from __future__ import annotations

from typing import Any

_current: dict[str, Any] | None = None


def current() -> dict[str, Any] | None:
    """Give the run's context inside a script process, None outside.

    Keys: ``run_id``, ``step_name``, ``experiment``, ``workspace`` (folder), ``models``
    (``{name: {version: path}}``), ``input_datasets`` (``{name: path}``), ``output_dir``,
    ``log_dir``, ``working_dir``, ``script_dir``, ``agent_name`` (``node000/process000``),
    ``logging_level``.
    """
    return _current


def enter(values: dict[str, Any] | None) -> None:
    """Make ``values`` the context of this process."""
    global _current
    _current = values
