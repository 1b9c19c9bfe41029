"""What a notebook shows of errors: the user's first and once, without daskrun's own frames."""

import traceback

import pytest

from daskrun import ParallelRunConfig, RunFailedError, SettingsError
from daskrun.monitor.console import NotebookDisplay

BAD = "def run(mini_batch):\n    raise ValueError('no such digit')\n"


@pytest.mark.parametrize("stored", [False, True])
def test_the_scripts_error_comes_first_and_once(work, stored, monkeypatch):
    said = []
    display = type("Quiet", (NotebookDisplay,), {"__init__": lambda _: None})
    monkeypatch.setattr(display, "say", lambda _, text: said.append(text), raising=False)
    for name in ("show", "close"):
        monkeypatch.setattr(display, name, lambda *_: None, raising=False)
    monkeypatch.setattr("daskrun.pipeline.runs.submitted.make_display", display)
    (work.path / "score.py").write_text(BAD)
    run = work.submit(run_max_try=1)
    if stored:
        run.wait_for_completion(raise_on_error=False)
        run = work.ws.get_run(run.id)
    with pytest.raises(RunFailedError) as caught:
        run.wait_for_completion(show_output=True)
    shown = caught.value._render_traceback_()
    assert shown[0] == "Traceback (most recent call last):"
    text = "\n".join(shown)
    assert text.count("no such digit") == 2  # the line that raised, and what it raised
    assert "raise ValueError('no such digit')" in shown[2]
    assert "ValueError: no such digit\nin mini-batch 0, attempt 1 on inline/process000" in text
    assert "RunFailedError: run " in text
    assert "job_error.txt" in text
    assert "submitted.py" not in text
    assert str(caught.value).count("no such digit") == 3  # elsewhere all of it, as ever
    assert not [text for text in said if "no such digit" in text]
    assert "alone would end at once" in run._resume_hint


def test_other_errors_show_the_users_line_alone():
    with pytest.raises(SettingsError) as caught:
        ParallelRunConfig(entry_script="a.py", error_threshold="x", output_action="append_row")
    shown = caught.value._render_traceback_()
    assert [line for line in shown if "File" in line] == [
        line for line in shown if "test_shown_errors.py" in line
    ]
    assert shown[-1] == f"SettingsError: {caught.value}"
    assert len(traceback.extract_tb(caught.value.__traceback__)) > 1
