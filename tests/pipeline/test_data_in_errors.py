"""With data_in_errors=False no text of an exception is anywhere in what is kept of a run."""

import pytest

from daskrun import Pipeline

SECRET = "patient-4711"
HEAD = (
    "from daskrun import Failed\n\ndef read(mini_batch):\n    return open(mini_batch[0]).read()\n\n"
)


@pytest.mark.parametrize(
    "body",
    [
        "raise ValueError(read(mini_batch))",
        "raise ValueError('x') from KeyError(read(mini_batch))",
        "return [Failed(item, read(mini_batch)) for item in mini_batch]",
        "return [Failed(item, OSError(read(mini_batch))) for item in mini_batch]",
        "import sys; sys.exit(read(mini_batch))",
    ],
)
def test_what_exceptions_say_is_kept_nowhere(work, body):
    for path in (work.path / "files").iterdir():
        path.write_text(SECRET)
    (work.path / "score.py").write_text(f"{HEAD}def run(mini_batch):\n    {body}\n")
    step = work.make_step("score", data_in_errors=False, run_max_try=1)
    run = Pipeline(work.ws, [step]).submit("trial")
    run.wait_for_completion(raise_on_error=False)
    assert SECRET not in run.message
    [step_run] = run.get_steps()
    files = [each for each in step_run.folder.rglob("*") if each.is_file()]
    found = [each for each in files if SECRET in each.read_text("utf-8", "replace")]
    assert found == []
    if "raise ValueError" in body:
        told = (step_run.folder / "logs" / "job_error.txt").read_text()
        assert "ValueError: what it says is not told" in told
        assert "score.py:7" in told


@pytest.mark.slow
def test_the_words_of_a_dead_process_are_kept_nowhere_but_in_its_own_log(work):
    for path in (work.path / "files").iterdir():
        path.write_text(SECRET)
    (work.path / "score.py").write_text(
        f"import os, sys\n{HEAD}"
        "def run(mini_batch):\n"
        "    print(read(mini_batch), file=sys.stderr, flush=True)\n"
        "    os._exit(3)\n"
    )
    step = work.make_step("score", data_in_errors=False, run_max_try=1, compute_target=None)
    run = Pipeline(work.ws, [step]).submit("trial")
    run.wait_for_completion(raise_on_error=False)
    [step_run] = run.get_steps()
    files = [each for each in step_run.folder.rglob("*") if each.is_file()]
    found = [each for each in files if SECRET in each.read_text("utf-8", "replace")]
    assert {each.relative_to(step_run.folder).parts[:2] for each in found} <= {
        ("logs", "user"),
    }
