"""Results and errors that don't travel easily: what is written, what is kept, what is said."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from running import lines, run_script

from daskrun.core.report import RunStatus
from daskrun.output.sinks.sink import NOT_UTF8
from daskrun.output.sinks.text import LINE_BREAKS

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("own_temporary_folder")


@pytest.mark.parametrize("target", [None, "inline"])
def test_line_breaks_in_elements_are_written_as_they_are_and_told_once(
    tmp_path: Path, target: str | None
) -> None:
    code = "def run(mini_batch, context): return ['%d\\ntwo' % context.minibatch_index]"
    run = run_script(tmp_path, code, files=4, target=target)
    assert run.report.status is RunStatus.COMPLETED
    assert run.output == b"".join(b"%d\ntwo\n" % n for n in range(4))
    assert run.report.items_succeeded == 4
    assert run.report.warnings == (LINE_BREAKS,)


def test_each_process_tells_the_same_and_the_report_has_it_once(tmp_path: Path) -> None:
    code = "import time\ndef run(mini_batch): time.sleep(0.05); return ['caf\\udce9', 'a\\nb']"
    run = run_script(tmp_path, code, files=8, size=2, process_count_per_node=2)
    assert run.output == b"caf\\udce9\na\nb\n" * 4
    assert sorted(run.report.warnings) == sorted([LINE_BREAKS, NOT_UTF8])


def test_a_message_of_ten_million_characters_is_cut_and_says_so(tmp_path: Path) -> None:
    code = "def run(mini_batch): raise ValueError('begin' + 'x' * 10_000_000 + 'the end')"
    run = run_script(tmp_path, code, files=2, run_max_try=1, output_action="summary_only")
    assert (run.report.failed, run.report.items_failed) == (2, 2)
    [group] = run.report.errors
    assert len(group.text) < 66 * 1024
    assert "characters left out" in group.text
    assert "begin" in group.text
    assert group.text.rstrip().endswith("the end")
    assert (tmp_path / "run1" / "journal").stat().st_size < 2**17


@pytest.mark.parametrize(
    ("error", "says"),
    [
        ("Broken()", "Broken (its text can't be shown: KeyError)"),
        ("ValueError('caf\\udce9')", "ValueError: caf"),
        ("Lock()", "Lock: "),
    ],
)
def test_errors_that_no_process_could_pass_on_are_told(
    tmp_path: Path, error: str, says: str
) -> None:
    code = f"""
    import threading
    class Broken(Exception):
        def __str__(self): raise KeyError("no text")
    class Lock(Exception):
        def __init__(self): super().__init__(threading.Lock())
        def __reduce__(self): raise TypeError("not to be pickled")
    def run(mini_batch, context):
        if context.minibatch_index == 1:
            raise {error}
        return [open(path).read() for path in mini_batch]
    """
    run = run_script(tmp_path, code, files=3, run_max_try=2)
    assert run.report.status is RunStatus.COMPLETED
    assert (run.report.failed, run.report.attempts) == (1, 4)
    [group] = run.report.errors
    assert says in group.message
    assert group.where.startswith("score.py:")
    assert run.output == lines([0, 2])


@pytest.mark.slow
def test_a_large_result_takes_about_its_own_size(tmp_path: Path) -> None:
    # 64 MB of rows; encoded whole they would be in memory three times
    code = """
    import resource
    def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    def run(mini_batch, context):
        if context.minibatch_index == 1:
            return [peak()]
        global before
        before = peak()
        return ["x" * 63] * 2**20
    def shutdown(): print(peak() - before)
    """
    run = run_script(tmp_path, code, files=2)
    assert run.report.status is RunStatus.COMPLETED
    assert run.output is not None
    rows, last = run.output[: 2**26], run.output[2**26 :]
    assert rows == (b"x" * 63 + b"\n") * 2**20
    assert last.strip().isdigit()
    assert int(run.log("user/stdout/*/*.txt")) < 1.6 * 2**26


def test_a_large_frame_is_written_whole(tmp_path: Path) -> None:
    code = """
    import pandas as pd
    def run(mini_batch): return pd.DataFrame({"n": range(200_000)})
    """
    run = run_script(tmp_path, code, files=1)
    assert run.output == lines(range(200_000))
    assert len(run.report.warnings) == 1  # more results than items
