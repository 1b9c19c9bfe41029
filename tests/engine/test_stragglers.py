"""What takes long runs a second time where slots are idle, and has its rows once all the same."""

from __future__ import annotations

import os
import signal
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from running import lines, make_request, run_request, run_script, wait_for

from daskrun.core.events import HandedOut, Note
from daskrun.core.outcome import ProcessInfo
from daskrun.core.report import RunStatus
from daskrun.engine.dispatch import returned
from daskrun.script.messages import BundleResult
from daskrun.script.process_spec import ScriptOutput
from daskrun.storage.metric_files import MetricFolder, folded
from daskrun.testing import FakeDispatcher

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from running import Finished

    from daskrun.core.events import Bundle, Event
    from daskrun.engine.dispatch import Packed

pytestmark = pytest.mark.usefixtures("own_temporary_folder")


class Slow(FakeDispatcher):
    """Keeps the last mini-batches until they are handed out again, and returns some only then."""

    def __init__(self, request, late=range(7, 10)):
        super().__init__(request, slots=8, run_seconds=0.1)
        self._late = late
        self._kept = {}

    def hand_out(self, bundles: Sequence[Packed], budget: float) -> None:
        for each in bundles:
            index = each.bundle.entries[0][0]
            if index not in self._late:
                super().hand_out([each], budget)
            elif not each.bundle.backup:
                self._kept[index] = each.bundle
            else:
                both = [each.bundle, self._kept[index]]  # 7: both at once, 8: one, 9: the other
                for bundle in {7: both, 8: both[:1], 9: both[1:]}[index]:
                    self._return(bundle)

    def _return(self, bundle: Bundle) -> None:
        self.events.put(self._made_of(bundle))

    def _made_of(self, bundle: Bundle) -> Event:
        process = ProcessInfo("node000", f"process{bundle.backup:03d}", 1, 0.0, "made-up")
        result = BundleResult(bundle.number, process, self._make_up(bundle), seconds=0.01)
        return returned(result)


def test_each_mini_batch_that_is_out_twice_counts_once(tmp_path: Path) -> None:
    run = run_request(make_request(tmp_path, files=10, target=Slow, retry_delay=0.0))
    assert run.report.status is RunStatus.COMPLETED
    assert run.output == lines(range(10))
    assert (run.report.backups, run.report.backups_first) == (3, 2)
    sent = [bundle for event in run.watch.of(HandedOut) for bundle in event.bundles]
    assert [each.entries for each in sent if each.backup] == [((n, 1),) for n in (7, 8, 9)]
    assert sum("runs a second time" in note.text for note in run.watch.of(Note)) == 3


class Late(Slow):
    """Returns the last mini-batches late, if they are not handed out again."""

    def hand_out(self, bundles: Sequence[Packed], budget: float) -> None:
        for each in bundles:
            if each.bundle.entries[0][0] in self._late and not each.bundle.backup:
                threading.Timer(2.0, self.events.put, [self._made_of(each.bundle)]).start()
            else:
                self._return(each.bundle)


@pytest.mark.slow
@pytest.mark.parametrize(("names", "twice"), [(["own"], True), (["own", "more"], False)])
def test_what_may_write_to_further_outputs_is_not_run_twice(tmp_path: Path, names, twice) -> None:
    request = make_request(tmp_path, files=10, target=Late, retry_delay=0.0)
    outputs = {name: ScriptOutput(folder=str(tmp_path / name)) for name in names}
    run = run_request(replace(request, outputs=outputs))
    assert run.report.status is RunStatus.COMPLETED
    assert bool(run.report.backups) is twice


STUCK = """
import os, time
from daskrun import Run
def run(mini_batch, context):
    index, [path] = context.minibatch_index, mini_batch
    Run.get_context().log("seen", index)
    if index == 11:
        try:
            with open(f"{path}.begun", "x") as file:
                file.write(str(os.getpid()))
        except FileExistsError:
            pass
        else:
            time.sleep(60)
    return [open(path).read()]
"""


def stuck(tmp_path: Path, **options) -> Finished:
    return run_script(tmp_path, STUCK, files=12, run_invocation_timeout=50, **options)


@pytest.mark.slow
@pytest.mark.parametrize(
    "where", [{"process_count_per_node": 2}, {"node_count": 2}], ids=["one node", "two nodes"]
)
def test_a_run_does_not_wait_for_the_process_that_takes_long(tmp_path: Path, where) -> None:
    run = stuck(tmp_path, **where)
    assert run.report.status is RunStatus.COMPLETED
    assert run.output == lines(range(12))
    assert run.report.backups == run.report.backups_first >= 1  # with what was in its bundle
    assert run.report.attempts == 12
    seen = folded(MetricFolder(run.request.run_folder).records())["seen"]
    assert sorted(seen) == list(range(12))  # also of mini-batch 11 once


TWO = """
import os, time
def run(mini_batch, context):
    index, [path] = context.minibatch_index, mini_batch
    if index == 11:
        which = "second" if os.path.exists(f"{path}.first") else "first"
        with open(f"{path}.aside", "w") as file:
            file.write(str(os.getpid()))
        os.rename(f"{path}.aside", f"{path}.{which}")
        while not os.path.exists(f"{path}.go"):
            time.sleep(0.01)
    return [open(path).read()]
"""


@pytest.mark.slow
def test_a_script_that_writes_its_own_files_may_say_that_it_can_be_run_twice(
    tmp_path: Path,
) -> None:
    code = f"REPEATABLE = True\n{STUCK}"
    how = {"output_action": "summary_only", "process_count_per_node": 2}
    run = run_script(tmp_path, code, files=12, run_invocation_timeout=50, **how)
    assert run.report.status is RunStatus.COMPLETED
    assert run.report.backups == run.report.backups_first >= 1
    assert (run.report.attempts, run.report.items_succeeded) == (12, 12)


@pytest.mark.slow
@pytest.mark.parametrize("which", ["first", "second"])
def test_either_of_the_two_may_be_killed(tmp_path: Path, which: str) -> None:
    def act(event: Event) -> None:
        if isinstance(event, HandedOut) and any(bundle.backup for bundle in event.bundles):
            last = tmp_path / "data12" / "000011.txt"
            wait_for(lambda: last.with_name(f"{last.name}.second").exists(), 60)
            os.kill(int(last.with_name(f"{last.name}.{which}").read_text()), signal.SIGKILL)
            last.with_name(f"{last.name}.go").touch()

    run = run_script(tmp_path, TWO, files=12, process_count_per_node=2, act=act)
    assert run.report.status is RunStatus.COMPLETED
    assert run.output == lines(range(12))
    assert run.report.backups >= 1
