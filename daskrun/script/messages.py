"""What node, keeper and the keeper's children say to each other, each kind a class of its own.

Named tuples, which take a fifth of the time of frozen dataclasses to make (60 µs rather than 300):
every keeper and script process makes those of this file when it starts.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from daskrun.core.outcome import Failure, Outcome, ProcessInfo
from daskrun.script.wire import by_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from daskrun.core.minibatch import Descriptor
    from daskrun.script.node_spec import EnvironmentSpec, SideInputSpec


class Signal(Enum):
    """What is said without more."""

    CLOSE = "close"
    """To a keeper: end in good order."""
    RECALL = "recall"
    """To a keeper: finish the mini-batches in hand, hand back the rest, take nothing more."""
    BEAT = "beat"
    """Of a keeper: it is alive."""


# to a keeper


class RunBundle(NamedTuple):
    """Run a bundle, which is an encoded list of (encoded descriptor, attempt)."""

    number: int
    payload: bytes
    budget: float
    """Seconds after which the mini-batch in hand is the last."""


class Stop(NamedTuple):
    """Give everything back; what is in hand may take ``grace`` seconds."""

    grace: float


# of a script process


class ScriptReady(NamedTuple):
    """``init()`` has ended well, and took this long."""

    seconds: float
    repeatable: bool = False
    """As of :class:`daskrun.core.events.ProcessReady`."""


class ScriptInitFailed(NamedTuple):
    """The script can't be loaded, or its ``init()`` has failed."""

    failure: Failure


class PartNamed(NamedTuple):
    """It writes rows to this part from now on; or has put it, where the ETag is told."""

    name: str
    etag: str = ""


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
    """``shutdown()`` has failed, or what it wrote was not put; the run's report has it."""

    text: str


class Leaving(NamedTuple):
    """It has nothing left to do, and ends when Python does: after these threads."""

    threads: Sequence[str]


# to and of the keeper's other children


class FindPython(NamedTuple):
    """Find or build the Python of script processes."""

    asked: EnvironmentSpec
    node: str
    log: str
    """File for what pip says."""
    temporary: str
    """Folder for temporary files; whoever made it removes it."""


class Building(NamedTuple):
    """The Python is being built: in a folder, or by another process, as ``stage`` says."""

    folder: str = ""
    stage: str = ""


class PythonFound(NamedTuple):
    """There is a Python for the script processes."""

    path: str


class BringSideInputs(NamedTuple):
    """Bring side inputs that are not used where they are to the node's folder."""

    side_inputs: Mapping[str, SideInputSpec]
    folder: str
    run_id: str
    cache_limit: int


class BroughtSoFar(NamedTuple):
    """How much of the side inputs is here."""

    files: int
    nbytes: int


class Brought(NamedTuple):
    """All side inputs are here; their paths by name."""

    paths: Mapping[str, str]
    locks: Sequence[str] = ()
    """Those of cache entries that they are in."""


class FilesPut(NamedTuple):
    """What a dead process had written for URLs is there, or why it is not."""

    trouble: str


class ServeFetches(NamedTuple):
    """Bring remote files to the node's folder, as further messages ask."""

    folder: str
    inputs: bytes
    """The encoded ``PlanInput`` objects."""
    limit: int
    """Bytes up to which more is brought."""
    stall_timeout: float = 120.0
    """Seconds without a byte after which a file is given up."""


class WantBundle(NamedTuple):
    """Bring the files of a bundle's mini-batches, as far as they are remote."""

    number: int
    wanted: Sequence[Descriptor]


class DropBundle(NamedTuple):
    """Remove what is left of a bundle's files."""

    number: int


# of a keeper and its node


class Preparing(NamedTuple):
    """What script processes still wait for."""

    text: str


class Unprepared(NamedTuple):
    """What script processes wait for can't be had, which ends the run."""

    reason: str


class Notice(NamedTuple):
    """Something that the user is to read."""

    text: str


class SlotsUp(NamedTuple):
    """Script processes are started."""

    slots: int


class ProcessUp(NamedTuple):
    """A script process can take bundles; its ``init()`` took this long."""

    process: ProcessInfo
    seconds: float
    repeatable: bool
    gpu: str


class ProcessInitFailed(NamedTuple):
    """A script process ended before it could take a bundle."""

    process: ProcessInfo
    failure: Failure


class BundleResult(NamedTuple):
    """What became of a bundle; only its number where no process had begun it."""

    number: int
    process: ProcessInfo | None = None
    outcome_log: bytes = b""
    charged: Outcome | None = None
    """Made by the keeper: of the mini-batch that its process did not survive."""
    seconds: float = 0.0
    warnings: Sequence[str] = ()
    trouble: str = ""
    """As of :class:`BundleDone`."""
    alone: Sequence[int] = ()
    """As of :class:`daskrun.core.events.BundleReturned`."""


class BundleGone(NamedTuple):
    """A bundle came to nothing: its node was lost, or there is none."""

    number: int
    reason: str
    cleared: bool = False
    """Whether the cluster has cleared the run from the worker."""


class KeeperFailed(NamedTuple):
    """The keeper ends, by an error of its own."""

    error: str


class KeeperLost(NamedTuple):
    """There is no keeper any more; ``again``: another is being started."""

    reason: str
    again: bool


class Unreachable(NamedTuple):
    """The worker can't begin a node: it can't reach a place of the run."""

    what: str
    """What is there, such as the output."""
    path: str
    """A path, or a URL without secrets."""
    why: str


Told = (
    Preparing
    | Unprepared
    | SlotsUp
    | ProcessUp
    | ProcessInitFailed
    | Notice
    | ShutdownFailed
    | KeeperLost
    | Unreachable
    | BundleResult
)
"""What happens on a node; results only where it ends with bundles in hand."""
KNOWN = by_name(
    *(each for each in list(globals().values()) if getattr(each, "__module__", "") == __name__),
    Failure,
    Outcome,
    ProcessInfo,
)
"""The classes of all this: what is decoded of processes that run user code, and nothing else."""
