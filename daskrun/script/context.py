"""What user code can ask about the run it is in: set once per script process, None elsewhere."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping


@dataclass(frozen=True)
class ScriptContext:
    """The run that a script process works for; :attr:`run_folder` is empty where it is none."""

    run_id: str = ""
    run_folder: str = ""
    pipeline_run_id: str = ""
    step_name: str = ""
    experiment: str = ""
    workspace: str = ""
    """Folder or URL."""
    workspace_options: Mapping[str, Any] | None = field(default=None, repr=False)
    """What fsspec needs to open that; may hold secrets."""
    models: Mapping[str, Mapping[str, str]] | None = None
    """Path or URL of each version of each model, by name; None where no model is known."""
    model_digests: Mapping[str, str] = field(default_factory=dict)
    """Digests of the files of models behind URLs, by name and version such as ``mnist:1``."""
    cache_limit: int = 0
    """Bytes that the machine keeps for later runs."""
    input_datasets: Mapping[str, Any] = field(default_factory=dict)
    """Paths or URLs by name."""
    tables: Collection[str] = ()
    """Names of the inputs that are no files."""
    output_dir: str = ""
    log_dir: str = ""
    log_file: str = ""
    """Of the logger that :class:`daskrun.EntryScript` gives."""
    working_dir: str = ""
    script_dir: str = ""
    agent_name: str = "local"
    """Such as ``node000/process000``."""
    logging_level: str = "INFO"
    by_hand: object = None
    """What stands for the run where a script is run alone."""


_current: ScriptContext | None = None
_in_hand: Callable[[], tuple[int, int]] | None = None


def current() -> ScriptContext | None:
    """Return the run's context inside a script process, None outside."""
    return _current


def in_hand() -> tuple[int, int] | None:
    """Return index and attempt of the mini-batch in hand; None outside one."""
    found = _in_hand() if _in_hand is not None else (-1, 0)
    return found if found[0] >= 0 else None


def enter(
    context: ScriptContext | None, shown: Callable[[], tuple[int, int]] | None = None
) -> None:
    """Make this the context of this process; ``shown`` returns what is in hand, or index -1."""
    global _current, _in_hand
    _current, _in_hand = context, shown
