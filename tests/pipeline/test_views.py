"""What is shown of runs through the public API agrees with their journals."""

import re
import shutil
from dataclasses import replace
from pathlib import Path

from daskrun import Observer, Pipeline
from daskrun.core.report import RunStatus
from daskrun.engine.journal_records import read_attempts
from daskrun.monitor.event_log import EVENTS, read_events
from daskrun.monitor.snapshot import STATISTICS, read_snapshot
from daskrun.monitor.statistics import RunStatistics


def fails_on_some(work):
    (work.path / "score.py").write_text(
        "def run(mini_batch):\n"
        "    if any(str(item).endswith('3.txt') for item in mini_batch):\n"
        "        raise ValueError('<img src=x>')\n"
        "    return mini_batch\n"
    )
    step = work.make_step("score", output="one")
    step.parallel_run_config.error_threshold = -1
    return step


def test_the_report_agrees_with_the_journal(work):
    run = Pipeline(work.ws, [fails_on_some(work)]).submit("trial")
    run.wait_for_completion()
    [step] = run.get_steps()
    attempts = [each.outcome for each in read_attempts(step.folder / "journal")]
    bad = {each.index for each in attempts if each.status}
    snapshot = read_snapshot(step.folder / "logs")
    assert bad
    assert snapshot.progress.failed == len(bad)
    assert snapshot.progress.succeeded == len({each.index for each in attempts} - bad)
    assert sum(snapshot.latency.values()) == len(attempts)
    assert snapshot.results == sum(each.results for each in attempts)
    assert snapshot.output_bytes == sum(each.length for each in attempts if not each.status)
    assert [each.count for each in snapshot.errors] == [sum(each.status > 0 for each in attempts)]
    [page] = run.report()
    assert page == step.folder / "logs" / "report.html"
    text = page.read_text()
    assert f"failed <b>{len(bad)}</b>" in text
    assert "<img" not in text + run._repr_html_()
    assert re.search("score.py:3", text)


def test_a_run_whose_driver_was_killed_is_shown_with_its_end(work):
    run = Pipeline(work.ws, [fails_on_some(work)]).submit("trial")
    run.wait_for_completion()
    [step] = run.get_steps()
    kept = read_snapshot(step.folder / "logs")
    going = replace(kept, status=RunStatus.RUNNING, message="", waiting_for="a worker", slots=2)
    (step.folder / "logs" / STATISTICS).write_text(going.as_json())
    html = run._repr_html_() + run.report()[0].read_text()
    assert "Running</span>" not in html
    assert "waits for" not in html
    assert "Completed</span>" in html


def test_the_log_of_events_makes_the_same_page_again(work):
    run = Pipeline(work.ws, [fails_on_some(work)]).submit("trial")
    run.wait_for_completion()
    [step] = run.get_steps()
    again = None
    for epoch, event in read_events(step.folder / "logs" / EVENTS):
        again = again or RunStatistics(epoch=epoch)
        again.notify(event)
    made, kept = again.snapshot(), read_snapshot(step.folder / "logs")
    for name in ("recent", "latency", "times", "results", "output_bytes", "errors"):
        assert getattr(made, name) == getattr(kept, name), name
    assert made.series == replace(kept.series, start=made.series.start)  # a microsecond


def test_a_run_that_has_not_begun_is_shown_all_the_same(work):
    run = Pipeline(work.ws, [fails_on_some(work)]).submit("trial")
    assert run.id in run._repr_html_()
    run.wait_for_completion()
    assert "Completed" in run._repr_html_()


def test_items_that_failed_are_in_the_log_of_events(work):
    (work.path / "score.py").write_text(
        "from daskrun import Failed\n"
        "def run(mini_batch):\n"
        "    return [Failed(mini_batch[0], 'no'), *mini_batch[1:]]\n"
    )
    run = Pipeline(work.ws, [work.make_step("score")]).submit("trial")
    run.wait_for_completion()
    [step] = run.get_steps()
    outcomes = [
        outcome
        for _, event in read_events(step.folder / "logs" / EVENTS)
        for outcome in getattr(event, "outcomes", ())
    ]
    assert sorted(each.index for each in outcomes) == [0, 1, 2, 3]
    assert {each.items_failed.count for each in outcomes} == {1}


def test_results_are_counted_once_where_what_failed_is_run_again(work):
    (work.path / "score.py").write_text(
        "import os\nfrom daskrun import Failed\n"
        "def run(mini_batch):\n"
        f"    bad = not os.path.exists({str(work.path / 'mended')!r})\n"
        "    return [Failed(mini_batch[0], 'no') if bad else 1, *mini_batch[1:]]\n"
    )
    run = Pipeline(work.ws, [work.make_step("score")]).submit("trial")
    run.wait_for_completion()
    [step] = run.get_steps()
    assert read_snapshot(step.folder / "logs").results == 6
    (work.path / "mended").touch()
    run.resume(retry_failed=True).wait_for_completion()
    assert read_snapshot(step.folder / "logs").results == 10


def test_a_report_that_cannot_be_written_is_a_warning_of_the_run(work):
    class Takes(Observer):
        def on_run_started(self, event):
            (Path(event.folder) / "logs" / "report.html").mkdir(parents=True)

    run = Pipeline(work.ws, [work.make_step("score")]).submit("trial", observers=[Takes])
    run.wait_for_completion(show_output=True)
    [step] = run.get_steps()
    [warning] = step.get_details()["warnings"]
    assert "the report of the run could not be written" in str(warning)


def test_a_run_whose_folder_is_gone_ends_all_the_same(work, capsys):
    class Removes(Observer):
        def on_run_ended(self, event):
            shutil.rmtree(self.folder, ignore_errors=True)

        def on_run_started(self, event):
            self.folder = event.folder

    run = Pipeline(work.ws, [work.make_step("score")]).submit("trial", observers=[Removes])
    run.wait_for_completion(show_output=True)
    assert "Completed" in capsys.readouterr().out
    run._repr_html_()
