"""What node, keeper and the keeper's children say to each other, each kind a class of its own.

Named tuples, which take a fifth of the time of frozen dataclasses to make (60 µs rather than 300):
every keeper and script process makes those of this file when it starts.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from daskrun.core.outcome import Failure, Outcome, ProcessInfo

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from daskrun.core.minibatch import Descriptor
    from daskrun.script.node_spec import EnvironmentSpec, SideInputSpec


class Signal(Enum):
    """What is said without more."""

    CLOSE = "close"
    """To a keeper: end in good order."""
    BEAT = "beat"
    """Of a keeper: it is alive."""
    CLOSED = "closed"
    """Of a keeper: nothing of the node is left."""
    BYE = "bye"
    """Of a script process: it ends, as it was asked to."""


# to a keeper


class RunBundle(NamedTuple):
    """Run a bundle."""

    number: int
    payload: bytes
    """An encoded list of (encoded descriptor, attempt)."""
    budget: float
    """Seconds after which the mini-batch in hand is the last."""


class Stop(NamedTuple):
    """Give everything back."""

    grace: float
    """Seconds that what is in hand may take."""


# of a script process


class ScriptReady(NamedTuple):
    """``init()`` has ended well."""

    seconds: float


class ScriptInitFailed(NamedTuple):
    """The script can't be loaded, or its ``init()`` has failed."""

    failure: Failure


class PartNamed(NamedTuple):
    """It writes rows to a part from now on."""

    name: str


class BundleDone(NamedTuple):
    """Its outcomes of a bundle are on the outcome log, and what they tell of is kept for good."""

    number: int
    seconds: float
    trouble: str
    """Why rows could not be kept, which is no fault of a mini-batch; ``""`` if they were."""


class ScriptWarning(NamedTuple):
    """Something in its data is odd."""

    text: str


class ShutdownFailed(NamedTuple):
    """``shutdown()`` has failed."""

    text: str


OF_SCRIPTS = (
    BundleDone,
    Failure,
    PartNamed,
    ScriptInitFailed,
    ScriptReady,
    ScriptWarning,
    ShutdownFailed,
    Signal,
)
"""What a keeper takes from a process that runs user code."""


# of the processes that script processes wait for


class Stage(NamedTuple):
    """How far the builder of an environment is."""

    text: str


class Building(NamedTuple):
    """The builder has begun to build."""

    folder: str


class PythonFound(NamedTuple):
    """There is a Python for the script processes."""

    path: str


class BroughtSoFar(NamedTuple):
    """How much of the side inputs is here."""

    files: int
    nbytes: int


class Brought(NamedTuple):
    """All side inputs are here."""

    paths: Mapping[str, str]
    """By name."""


class Unprepared(NamedTuple):
    """What script processes wait for can't be had; of a keeper it ends the run."""

    reason: str


class Notice(NamedTuple):
    """Something that the user is to read."""

    text: str


OF_PREPARATIONS = (Brought, BroughtSoFar, Building, Notice, PythonFound, Stage, Unprepared)


# what children are told first


class FindPython(NamedTuple):
    """Find or build the Python of script processes."""

    asked: EnvironmentSpec
    node: str
    log: str
    """File for what pip says."""
    temporary: str
    """Folder for temporary files; whoever made it removes it."""


class BringSideInputs(NamedTuple):
    """Bring side inputs to the node."""

    side_inputs: Mapping[str, SideInputSpec]
    """Those that are not used where they are."""
    folder: str
    """The node's."""
    run_id: str


class ServeFetches(NamedTuple):
    """Bring remote files, as further messages ask."""

    folder: str
    """The node's."""
    inputs: bytes
    """The encoded ``PlanInput`` objects."""
    limit: int
    """Bytes up to which more is brought."""
    stall_timeout: float = 120.0
    """Seconds without a byte after which a file is given up."""


# to the fetcher


class WantBundle(NamedTuple):
    """Bring the files of a bundle."""

    number: int
    wanted: Sequence[Descriptor]
    """Its mini-batches that have remote files."""


class DropBundle(NamedTuple):
    """Remove what is left of a bundle's files."""

    number: int


# of a node


class Preparing(NamedTuple):
    """What script processes still wait for."""

    text: str


class SlotsUp(NamedTuple):
    """Script processes are started."""

    slots: int


class ProcessUp(NamedTuple):
    """A script process can take bundles."""

    process: ProcessInfo
    seconds: float
    """That ``init()`` took."""


class ProcessInitFailed(NamedTuple):
    """A script process ended before it could take a bundle."""

    process: ProcessInfo
    failure: Failure


class BundleResult(NamedTuple):
    """What became of a bundle."""

    number: int
    process: ProcessInfo | None = None
    """None where none had begun it."""
    outcome_log: bytes = b""
    """Frames of outcomes, see :mod:`daskrun.script.outcome_log`."""
    charged: Outcome | None = None
    """Made by the keeper: of the mini-batch that its process did not survive."""
    seconds: float = 0.0
    warnings: Sequence[str] = ()
    trouble: str = ""
    """As of :class:`BundleDone`."""


class BundleGone(NamedTuple):
    """A bundle came to nothing: its node was lost, or there is none."""

    number: int
    reason: str
    cleared: bool = False
    """Whether the cluster has cleared the run from the worker."""


class KeeperFailed(NamedTuple):
    """The keeper ends, by an error of its own."""

    error: str


class NodeDown(NamedTuple):
    """The keeper was lost, and another is started."""

    reason: str


class NodeGone(NamedTuple):
    """The keeper was lost, and no other is started."""

    reason: str


class Unreachable(NamedTuple):
    """The worker can't begin a node: it lacks a path of the run."""

    path: str


Told = (
    Preparing
    | Unprepared
    | SlotsUp
    | ProcessUp
    | ProcessInitFailed
    | Notice
    | NodeDown
    | NodeGone
    | Unreachable
)
"""What happens on a node, other than results."""
OF_NODES = (
    BundleGone,
    BundleResult,
    Failure,
    KeeperFailed,
    NodeDown,
    NodeGone,
    Notice,
    Outcome,
    Preparing,
    ProcessInfo,
    ProcessInitFailed,
    ProcessUp,
    Signal,
    SlotsUp,
    Unprepared,
    Unreachable,
)
"""What a keeper says to its node, and a node to the driver."""
