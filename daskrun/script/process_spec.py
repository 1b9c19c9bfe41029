"""What a script process is told first. Standard library only: keeper and script process read it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from daskrun.script.context import ScriptContext

FETCH, CACHE = "fetch", "cache"
"""Folders in the node's: what the fetcher brings, and what is kept of files read in parts."""


@dataclass(frozen=True, slots=True, eq=False)
class ScriptOutput:
    """Where an output of a step goes, or where its script writes it."""

    folder: str = ""
    """``""``, before the node is known, where it goes to a URL."""
    url: str = field(default="", repr=False)
    """Where the folder's files are put; ``""``: they stay."""
    options: Mapping[str, Any] | None = field(default=None, repr=False)
    """What fsspec needs for that; may hold secrets."""


@dataclass(frozen=True, slots=True, eq=False)
class ScriptFile:
    """Where the entry script is and how it names itself."""

    path: str
    """The file that is read: in the run's snapshot."""
    shown_as: str
    """Its ``__file__`` and the path in tracebacks."""
    root: str
    """Folder that reports name files relative to."""
    whole: bool = False
    """Whether it is run once as the program it is: no ``run()`` is looked for."""
    source: str | None = None
    """Where it is whole: the folder that its working directory is a copy of."""
    outputs: tuple[ScriptOutput, ...] = ()
    """Where it is whole: its outputs."""
    data_in_errors: bool = True
    """Whether failures may tell what exceptions say."""


@dataclass(frozen=True, slots=True, eq=False)
class ProcessSpec:
    """What a script process is told before it imports the entry script."""

    script: ScriptFile
    sys_path: tuple[str, ...]
    """What comes first on ``sys.path``."""
    argv: tuple[str, ...] = field(repr=False)
    context: ScriptContext
    inputs: bytes = field(default=b"", repr=False)
    """The plan's ``PlanInput`` objects, encoded: only loading mini-batches needs their classes."""
    sink: str = ""
    """Names the sink of results, see :func:`daskrun.output.sinks.registry.open_sink`."""
    sink_settings: Mapping[str, Any] = field(default_factory=dict)
    """What the settings file beside the entry script says of it."""
    any_number: bool = False
    """Whether ``run()`` may return any number of results, whatever number of items it got."""
    parts: str = ""
    """Folder or URL of the parts it writes; ``""``: none."""
    files: tuple[ScriptOutput, ...] = ()
    """Outputs that are URLs, the step's own first: folders of the node, whose files are put there
    before outcomes leave it."""
    storage_options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """What fsspec needs for ``parts``; may hold secrets."""
    slot: int = 0
    """Which status block is its own."""
    part_prefix: str = ""
    """What the names of its parts begin with."""
    node_folder: str = ""
    fetched: bool = False
    """Whether a fetcher brings files of remote inputs to the node's folder."""
