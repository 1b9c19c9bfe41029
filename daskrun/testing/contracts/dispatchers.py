"""What every dispatcher has to keep."""

from __future__ import annotations

import queue
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from daskrun.core.events import (
    Bundle,
    BundleLost,
    BundleReturned,
    NodeReady,
    Observer,
    RunEnded,
    StopAsked,
)
from daskrun.core.report import RunStatus
from daskrun.core.settings import RunSettings
from daskrun.data.datasets import Dataset
from daskrun.data.file_plan import FilePlan
from daskrun.engine.dispatch import Packed, pack_entries
from daskrun.engine.driver import RunControl, execute
from daskrun.engine.request import ScriptSource, StepRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from daskrun.core.events import Event
    from daskrun.engine.dispatch import Dispatcher

LIMIT = 60.0
"""Seconds that anything may take here: nodes are started, Dask is imported."""
GRACE = 0.5
SCRIPT = "def run(mini_batch):\n    return [open(path).read() for path in mini_batch]\n"


def made_up_request(folder: Path, files: int = 20, **settings: Any) -> StepRequest:
    """Return the request of a run over small files; the row of mini-batch 7 is ``7``."""
    data, run, out = folder / "data", folder / "run", folder / "out"
    data.mkdir()
    for number in range(files):
        (data / f"{number:06d}.txt").write_text(str(number))
    snapshot, parts = run / "snapshot", out / "_daskrun" / "run"
    for each in (snapshot, parts):
        each.mkdir(parents=True)
    (snapshot / "score.py").write_text(SCRIPT)
    plan = FilePlan([("numbers", Dataset.File.from_files(str(data)))], 1)
    asked = {"process_count_per_node": 1, "retry_delay": 0.0, "mini_batch_size": 1, **settings}
    wanted = RunSettings(entry_script="score.py", **asked)
    script = ScriptSource(snapshot, "score.py", str(snapshot / "score.py"))
    return StepRequest("run", "score", run, out, wanted, plan, script)


class DispatcherContract:
    """Tests of a dispatcher: real ones run the script of :func:`made_up_request`."""

    def make_dispatcher(self, request: StepRequest) -> Dispatcher:
        """Make the dispatcher for a run; what it needs may be put into the request."""
        raise NotImplementedError

    def test_it_announces_nodes_and_returns_each_bundle_once(self, tmp_path: Path) -> None:
        """Hand out as many bundles as there are slots, then the attempts after them."""
        with Started(self.make_dispatcher, made_up_request(tmp_path)) as given:
            for attempt in (1, 2):
                bundles = [given.pack(n + 10 * attempt, (n, n + 5), attempt) for n in range(3)]
                given.dispatcher.hand_out(bundles, LIMIT)
                back = given.wait_for(bundles)
                assert all(isinstance(event, BundleReturned) for event in back.values())
                for each in bundles:
                    found = [(o.index, o.attempt) for o in back[each.bundle.number].outcomes]
                    assert found == list(each.bundle.entries)
                    assert all(o.status == 0 for o in back[each.bundle.number].outcomes)

    def test_everything_comes_back_after_a_stop(self, tmp_path: Path) -> None:
        """Begun or not: whatever has no outcome was not run."""
        with Started(self.make_dispatcher, made_up_request(tmp_path)) as given:
            bundles = [given.pack(n, (n,)) for n in range(20)]
            given.dispatcher.hand_out(bundles[:10], LIMIT)
            given.dispatcher.stop(GRACE)
            given.dispatcher.hand_out(bundles[10:], LIMIT)
            given.wait_for(bundles)

    def test_it_may_be_closed_at_any_time(self, tmp_path: Path) -> None:
        """Before it was started, while it starts, with bundles out; also twice, then left."""
        for number, started in enumerate((False, True)):
            (tmp_path / str(number)).mkdir()
            dispatcher = self.make_dispatcher(made_up_request(tmp_path / str(number)))
            if started:
                dispatcher.start()
            dispatcher.close()
            dispatcher.close()
            dispatcher.leave()
            assert isinstance(dispatcher.obstacle, str)

    def test_a_run_with_it_has_every_row_once_in_order(self, tmp_path: Path) -> None:
        request = made_up_request(tmp_path, files=50)
        report = execute(replace(request, target=self.make_dispatcher), [], RunControl())
        assert report.status is RunStatus.COMPLETED, report
        assert (report.succeeded, report.attempts, report.unfinished) == (50, 50, 0)
        assert request.output_folder is not None
        name = request.settings.append_row_file_name
        rows = (request.output_folder / name).read_bytes()
        assert rows == b"".join(b"%d\n" % n for n in range(50))

    def test_a_run_with_it_can_be_canceled(self, tmp_path: Path) -> None:
        control, ends = RunControl(), []

        class Cancels(Observer):
            def on_node_ready(self, _: NodeReady) -> None:
                control.cancel("enough")

            def on_run_ended(self, event: RunEnded) -> None:
                ends.append(event.report)

        request = replace(made_up_request(tmp_path), target=self.make_dispatcher)
        report = execute(request, [Cancels()], control)
        assert report.status is RunStatus.CANCELED
        assert ends == [report]


class Started:
    """A dispatcher with a node, closed at the end."""

    def __init__(self, make: Callable[[StepRequest], Dispatcher], request: StepRequest) -> None:
        self.dispatcher = make(request)
        self._plan = request.plan
        self._node = ""

    def __enter__(self) -> Started:
        self.dispatcher.start()
        for event in self._events():
            assert not isinstance(event, StopAsked), event
            if isinstance(event, NodeReady):
                assert event.slots >= 1
                self._node = event.node
                return self
        raise AssertionError("no node")

    def __exit__(self, *_: object) -> None:
        self.dispatcher.close()
        self.dispatcher.leave()

    def pack(self, number: int, indices: tuple[int, ...], attempt: int = 1) -> Packed:
        entries = [(self._plan.encode(index), attempt) for index in indices]
        bundle = Bundle(number, self._node, tuple((index, attempt) for index in indices))
        return Packed(bundle, pack_entries(entries))

    def wait_for(self, bundles: list[Packed]) -> dict[int, Any]:
        """Wait until each has come back, and see that none does so twice."""
        owed = {each.bundle.number for each in bundles}
        back: dict[int, Any] = {}
        for event in self._events():
            if isinstance(event, BundleReturned | BundleLost):
                assert event.number in owed
                owed.discard(event.number)
                back[event.number] = event
            if not owed:
                return back
        raise AssertionError(f"bundles {owed} did not come back")

    def _events(self) -> Iterator[Event]:
        deadline = time.monotonic() + LIMIT
        while time.monotonic() < deadline:
            try:
                yield self.dispatcher.events.get(timeout=0.1)
            except queue.Empty:
                continue
