"""Runs for tests: a step over a folder of small files, driven without the pipeline floor."""

from __future__ import annotations

import os
import pickle
import signal
import textwrap
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forked import fork

from daskrun.core.events import BundleReturned, Event, Observer
from daskrun.core.intervals import USUAL, Intervals
from daskrun.core.settings import RunSettings
from daskrun.data import Dataset
from daskrun.data.file_plan import FilePlan
from daskrun.engine.dispatch import returned
from daskrun.engine.driver import RunControl, execute
from daskrun.engine.history import KILL_AT
from daskrun.engine.nodes import node_spec
from daskrun.engine.request import ScriptSource, StepRequest
from daskrun.output.folder import prepare_output
from daskrun.output.sinks.settings_file import read_settings
from daskrun.script import reaper
from daskrun.script.messages import RunBundle
from daskrun.script.node import Node
from daskrun.script.node_folders import base_folder
from daskrun.storage.journal import Journal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from daskrun.core.minibatch import Plan
    from daskrun.core.report import Report

ECHO = "def run(mini_batch):\n    return [open(path).read() for path in mini_batch]\n"
"""One row for each file: what is in it."""
END = 5.0
"""Seconds within which nothing of a run may be left (DESIGN, promise 7)."""
SLACK = 10.0
"""Seconds a busy machine gets on top, where a test waits for something."""


def lines(indices: Iterator[int] | range) -> bytes:
    """Give the output of ECHO for these files."""
    return b"".join(b"%d\n" % n for n in indices)


def make_request(
    tmp: Path,
    code: str = ECHO,
    *,
    files: int = 10,
    size: int = 1,
    target: object = None,
    run_id: str = "run1",
    source_directory: bool = True,
    extra: dict[str, str] | None = None,
    script: str = "score.py",
    plan: Plan | None = None,
    intervals: Intervals = USUAL,
    **settings: Any,
) -> StepRequest:
    """Lay out files, a script and a run folder below ``tmp``, and say what is to be run.

    With a ``plan`` of other data no files are made.
    """
    data, run, out = tmp / f"data{files}", tmp / run_id, tmp / "out"
    if plan is None and not data.exists():
        data.mkdir(parents=True)
        for n in range(files):
            (data / f"{n:06d}.txt").write_text(str(n))
    snapshot = run / "snapshot"
    snapshot.mkdir(parents=True)
    for name, text in {script: code, **(extra or {})}.items():
        (snapshot / name).parent.mkdir(parents=True, exist_ok=True)
        (snapshot / name).write_text(textwrap.dedent(text))
    shown = snapshot / script
    if not source_directory:
        shown = tmp / "work" / script
        shown.parent.mkdir(exist_ok=True)
        shown.write_text(textwrap.dedent(code))
    settings.setdefault("node_count", 1)
    settings.setdefault("process_count_per_node", 1)
    settings.setdefault("retry_delay", 0.0)
    settings.setdefault("append_row_settings", read_settings(shown.parent))
    wanted = RunSettings(entry_script=script, mini_batch_size=size, **settings)
    name = wanted.append_row_file_name if wanted.appends else None
    prepare_output(out, run_id, name, wanted.overwrite)
    if plan is None:
        plan = FilePlan([("numbers", Dataset.File.from_files(str(data)))], size)
    source = ScriptSource(
        snapshot, script, str(shown), None if source_directory else str(shown.parent)
    )
    return StepRequest(run_id, "score", run, out, wanted, plan, source, target, intervals=intervals)


SHORT = replace(
    USUAL,
    connection_look=0.1,
    health_interval=0.1,
    silence_told=0.3,
    pause_limit=0.5,
    silent_close=0.1,
    client_grace=0.2,
    space_look=0.2,
)
"""For tests of faults that would else wait for what they are about."""


class Watch(Observer):
    """An observer that keeps what it is shown and can act on it."""

    def __init__(self, act: Callable[[Event], None] | None = None) -> None:
        self.events: list[Event] = []
        self.closed = 0
        self._act = act

    def notify(self, event: Event) -> None:
        self.events.append(event)
        if self._act is not None:
            self._act(event)

    def close(self) -> None:
        self.closed += 1

    def of(self, kind: type) -> list[Any]:
        return [event for event in self.events if type(event) is kind]

    @property
    def attempts(self) -> list[Any]:
        """Every outcome, in the order in which they came back."""
        return [o for event in self.of(BundleReturned) for o in event.outcomes]


@dataclass
class Finished:
    """A run that has ended."""

    request: StepRequest
    report: Report
    watch: Watch
    left: list[str] = field(default_factory=list)

    @property
    def output(self) -> bytes | None:
        assert self.request.output_folder is not None
        path = self.request.output_folder / self.request.settings.append_row_file_name
        return path.read_bytes() if path.exists() else None

    @property
    def attempts(self) -> list[Any]:
        return self.watch.attempts

    @property
    def journal(self) -> list[dict[str, Any]]:
        return list(Journal.read(self.request.run_folder / "journal"))

    def log(self, pattern: str) -> str:
        """Return the text of the logs of nodes whose path matches; observers write none there."""
        found = sorted((self.request.run_folder / "logs").glob(pattern))
        return "".join(path.read_text() for path in found)


def run_request(
    request: StepRequest,
    *,
    act: Callable[[Event], None] | None = None,
    control: RunControl | None = None,
) -> Finished:
    """Run it to its end; see that it has left nothing, and that its account adds up."""
    watch = Watch(act)
    report = execute(request, [watch], control or RunControl())
    finished = Finished(request, report, watch)
    finished.left = wait_until_nothing_is_left()
    assert finished.left == [], finished.left
    assert watch.closed == 1
    check_account(finished)
    return finished


def kill_driver_at(request: StepRequest, point: str) -> None:
    """Drive a run in a process of its own, which is killed when it reaches a point."""
    log = request.run_folder / "driver.log"
    driver = fork(drive_alone, request, log=log, environment={KILL_AT: point})
    driver.join(60)
    assert driver.exitcode == -signal.SIGKILL, log.read_text()
    log.unlink()


def drive_alone(request: StepRequest) -> None:
    """Drive a run to its end; nobody watches."""
    execute(request, [], RunControl())


def run_script(tmp: Path, code: str = ECHO, **options: Any) -> Finished:
    """Make a request and run it."""
    act, control = options.pop("act", None), options.pop("control", None)
    return run_request(make_request(tmp, code, **options), act=act, control=control)


def check_account(finished: Finished) -> None:
    """See that report, journal and attempts tell the same, each mini-batch in one state."""
    report, settings = finished.report, finished.request.settings
    attempts = finished.attempts[:]
    written = [tuple(o[:2]) for r in finished.journal for o in r.get("outcomes", ())]
    assert Counter(written) == Counter((o.index, o.attempt) for o in attempts)
    for index in [n for r in finished.journal for n in r.get("lost", ())]:  # run again
        attempts.remove(next(o for o in attempts if o.index == index and not o.status))
    assert report.attempts == len(attempts)
    assert len({(o.index, o.attempt) for o in attempts}) == len(attempts)
    assert all(1 <= o.attempt <= settings.run_max_try for o in attempts)
    done = [o for o in attempts if o.status == 0]
    assert len({o.index for o in done}) == len(done) == report.succeeded
    last = settings.run_max_try
    failed = [o for o in attempts if o.status and (o.attempt == last or o.lasting)]
    assert len(failed) == report.failed
    assert report.items == sum(o.items for o in done + failed)
    assert report.items_succeeded == sum(o.succeeded_items for o in done)
    assert report.items == report.items_succeeded + report.items_failed
    if report.total is not None:  # None: it ended before it had looked at its data
        assert report.succeeded + report.failed + report.unfinished == report.total
        assert report.total == finished.request.plan.known


# what is left


def keepers() -> list[int]:
    """Keepers that were started by this process."""
    found = []
    for pid in reaper.descendants(os.getpid()):
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
        if b"daskrun.script.keeper.keeper" in command:
            found.append(pid)
    return found


def marked_processes(folder: Path) -> list[int]:
    """Processes whose environment says that they belong to a node folder below ``folder``."""
    mark = f"{reaper.MARK}={folder}/".encode()
    found = []
    for pid in reaper.processes():
        try:
            if mark in Path(f"/proc/{pid}/environ").read_bytes():
                found.append(pid)
        except OSError:
            continue
    return found


def left_behind(base: Path | None = None) -> list[str]:
    """Name processes and folders of runs that are there now."""
    folder = base or base_folder()
    left = [f"process {pid}" for pid in marked_processes(folder)]
    left += [f"keeper {pid}" for pid in keepers()]
    if folder.exists():
        left += [f"folder {path.name}" for path in folder.iterdir()]
    return left


def wait_until_nothing_is_left(base: Path | None = None, limit: float = END) -> list[str]:
    """Wait until no process and no folder is left; give what still is."""
    deadline = time.monotonic() + limit
    while (left := left_behind(base)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return left


def wait_for(condition: Callable[[], Any], limit: float = SLACK) -> Any:
    """Wait until ``condition()`` holds and give it; fail after ``limit`` seconds."""
    deadline = time.monotonic() + limit
    while not (value := condition()):
        assert time.monotonic() < deadline, f"waited {limit:g} s in vain"
        time.sleep(0.01)
    return value


def alive(pid: int) -> bool:
    """Whether a process is there and not a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


# one node, without a driver


class OneNode:
    """A real keeper with real script processes, spoken to as a worker does."""

    def __init__(self, request: StepRequest) -> None:
        self.request = request
        self.told: list[Any] = []
        self._number = 0
        self.node = Node(node_spec(request, "node000", 1), self.told.append)

    def __enter__(self) -> OneNode:
        return self

    def __exit__(self, *_: object) -> None:
        self.node.close()

    def payload(self, entries: list[tuple[int, int]]) -> RunBundle:
        encoded = [(self.request.plan[i].encode(), attempt) for i, attempt in entries]
        self._number += 1
        return RunBundle(self._number, pickle.dumps(encoded, 5), 60.0)

    def run(self, *indices: int, attempt: int = 1, budget: float = 60.0) -> Any:
        """Run a bundle of these mini-batches and give the event it becomes."""
        bundle = self.payload([(index, attempt) for index in indices])
        return returned(self.node.run_bundle(bundle._replace(budget=budget)))

    def wait_for(self, kind: type, count: int = 1) -> list[Any]:
        """Wait until it has told ``kind`` this often; give that, or the one field it has."""
        return wait_for(lambda: self._told(kind, count))

    def _told(self, kind: type, count: int) -> list[Any]:
        found = [each[0] if len(each) == 1 else each for each in self.told if type(each) is kind]
        return found if len(found) >= count else []

    @property
    def keeper(self) -> int:
        return keepers()[0]

    def log(self, pattern: str) -> str:
        found = sorted((self.request.run_folder / "logs").glob(pattern))
        return "".join(path.read_text() for path in found)
