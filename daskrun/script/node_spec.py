"""What a node is told: made by the driver, completed where the node is. Standard library only.

Pickled by class: driver, worker and keeper are the same daskrun. It never passes a process that
runs user code. Nobody compares specs, and ``eq`` would cost each keeper a millisecond at its start.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from daskrun.core.minibatch import NodePath
    from daskrun.script.process_spec import ProcessSpec, ScriptOutput


@dataclass(frozen=True, slots=True, eq=False)
class Limits:
    """Limits of a script process: seconds, and bytes of resident memory."""

    init: float
    load: float
    run: float
    shutdown: float
    progress: float
    memory: int | None


@dataclass(frozen=True, slots=True, eq=False)
class InputPlace:
    """Where an input is that mini-batches are cut from."""

    name: str
    root: str
    """Folder or URL."""
    remote: bool
    kind: str
    """``files`` or ``tabular``."""


@dataclass(frozen=True, slots=True, eq=False)
class SideInputSpec:
    """A side input that is files for the script."""

    root: str
    """Of its listing: folder or URL."""
    remote: bool
    options: Mapping[str, Any] = field(repr=False)
    """What fsspec needs to open a URL; may hold secrets."""
    table: bytes = field(repr=False)
    """Names, sizes and times of its files: a compressed ``PathTable``."""
    file: str
    """The one file that it is, ``""`` for none."""
    there: bool
    """Whether the script can have it where it is."""
    copy: bool
    """Whether the script may write to it: it needs a copy and no link."""
    path: str | None
    """Where it shall be on the node; None: anywhere."""


@dataclass(frozen=True, slots=True, eq=False)
class EnvironmentSpec:
    """What the script processes of a run are to run in."""

    name: str
    """Of the environment, ``""`` where only an interpreter was named."""
    python: str | None
    """An interpreter that is there; None: what has ``requirements``."""
    requirements: tuple[str, ...]
    needs: tuple[str, ...]
    """What daskrun itself needs there."""
    timeout: float


@dataclass(frozen=True, slots=True, eq=False)
class RunCopy:
    """Where a node that can't see the driver's run folder brings it from."""

    url: str = field(repr=False)
    options: Mapping[str, Any] = field(repr=False)
    folder: str
    """The driver's."""
    code: str
    """Digest of the code in its snapshot, as :func:`~daskrun.storage.trees.digest_of_tree`."""
    resumed: bool
    log_interval: float
    """Seconds between two times that its logs are put there."""


@dataclass(frozen=True, slots=True, eq=False)
class NodeSpec:
    """What the keeper of a node is told."""

    run_id: str
    node: str
    """Its name, such as ``node000``."""
    nodes_here: int
    """Nodes of this run on one machine; they share its cores and memory."""
    gpus: Sequence[str] | None
    """Those that are its own, as ``CUDA_VISIBLE_DEVICES`` names them; None: all that it sees."""
    logs: str
    """The run's folder of logs."""
    process: ProcessSpec
    """Of every script process; the keeper adds what differs among them."""
    arguments: tuple[str | NodePath, ...] = field(repr=False)
    """The script's ``argv``, with places for paths that only the node knows."""
    inputs: tuple[InputPlace, ...]
    side_inputs: Mapping[str, SideInputSpec]
    outputs: Mapping[str, ScriptOutput]
    limits: Limits
    environment: Mapping[str, str] = field(repr=False)
    """Variables that the user has set."""
    processes: int | None
    """Script processes; None: as the node has GPUs or cores."""
    threads: int | None
    """Threads of numerical libraries in each; None: its share of the cores."""
    python: EnvironmentSpec | None
    """None: the node's own Python."""
    run_copy: RunCopy | None
    """None where the node reaches the driver's run folder."""
    log_limit: int
    """Bytes of a log file."""
    usage_interval: float
    """Seconds between two notes of what is used; 0: none."""
    fetch_limit: int
    """Bytes of remote files that the node holds ahead of need."""
    cache_limit: int
    """Bytes that the machine keeps for later runs."""
    folder: str = ""
    """The node's own folder; set where that is."""
    parent: int = 0
    """Process that the keeper ends with; set there too."""
    psutil: str = ""
    """Folder that the worker has it in; set there too."""
    unset: tuple[str, ...] = ()
    """Variables of the worker that script processes do not inherit."""

    @property
    def remote(self) -> bool:
        """Whether an input's files must be fetched."""
        return any(each.remote for each in self.inputs)
