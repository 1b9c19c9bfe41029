"""Observers given at submit and at resume: they hear each step that is run."""

import pytest

from daskrun import Experiment, Observer, Pipeline, SettingsError


class Ends(Observer):
    """Notes how steps start and end."""

    def __init__(self):
        self.heard = []

    def on_run_started(self, event):
        self.heard.append((event.step_name, event.resumed))

    def on_run_ended(self, event):
        self.heard.append(event.report.status.value)


def test_observers_hear_each_step_and_are_not_kept_for_a_resume(work):
    (work.path / "score.py").write_text(
        "import os\ndef run(mini_batch):\n    assert os.path.exists('/nowhere') or "
        f"os.path.exists({str(work.path / 'flag')!r})\n    return mini_batch\n"
    )
    first, second = work.make_step("step-1", output="one"), work.make_step("step-2", output="two")
    first.parallel_run_config.error_threshold = 0
    first.parallel_run_config.run_max_try = 1
    second.run_after(first)
    one, made = Ends(), []

    def make():
        made.append(Ends())
        return made[-1]

    pipeline = Pipeline(work.ws, [first, second])
    run = pipeline.submit("trial", observers=[one, make])
    assert run.wait_for_completion(raise_on_error=False) == "Failed"
    assert one.heard == [("step-1", False), "Failed"]
    assert [each.heard for each in made] == [one.heard]
    (work.path / "flag").touch()
    again = Ends()
    run.resume(retry_failed=True, observers=[again]).wait_for_completion()
    assert again.heard == [("step-1", True), "Completed", ("step-2", True), "Completed"]
    assert len(one.heard) == 2
    assert "Ends" not in "".join(
        path.read_text(errors="replace") for path in run.folder.parent.rglob("*.json")
    )
    with pytest.raises(SettingsError, match="observers=3 is not a list"):
        pipeline.publish("nightly").submit(work.ws, "trial", observers=3)
    with pytest.raises(SettingsError, match=r"observers\[0\]='log' is no observer"):
        Experiment(work.ws, "trial").submit(pipeline, observers=["log"])
