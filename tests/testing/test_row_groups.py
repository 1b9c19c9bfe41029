"""The account of a run whose output is Parquet."""

from __future__ import annotations

import io
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from daskrun import (
    Dataset,
    Experiment,
    ParallelRunConfig,
    ParallelRunStep,
    Pipeline,
    PipelineData,
    Workspace,
)
from daskrun.testing import account

FILES = 4


@pytest.fixture
def run(tmp_path):
    """Give a run of four mini-batches, one of which returned nothing."""
    (tmp_path / "data").mkdir()
    for n in range(FILES):
        (tmp_path / "data" / f"{n}.txt").write_text(str(n))
    (tmp_path / "score.py").write_text(
        "def run(mini_batch):\n"
        "    n = int(open(mini_batch[0]).read())\n"
        "    return [{'n': n, 'text': f'row {n}'}] * (n if n != 1 else 2)\n"
    )
    config = ParallelRunConfig(
        entry_script=str(tmp_path / "score.py"),
        compute_target="inline",
        mini_batch_size=1,
        error_threshold=-1,
        output_action="append_row",
        append_row_format="parquet",
    )
    files = Dataset.File.from_files(str(tmp_path / "data")).as_named_input("files")
    step = ParallelRunStep("score", config, inputs=[files], output=PipelineData("rows"))
    ws = Workspace.create("trial", path=tmp_path)
    run = Experiment(ws, "kit").submit(Pipeline(ws, [step]))
    run.wait_for_completion()
    return run


def output_of(run):
    [step] = run.get_steps()
    return Path(step.output_folder) / "parallel_run_step.txt"


def test_all_rows_are_accounted_for(run):
    found = account(run)
    found.check()
    assert (found.exact, found.succeeded) == (True, FILES)
    wanted = [{"n": n, "text": f"row {n}"} for n in (1, 1, 2, 2, 3, 3, 3)]
    assert pq.read_table(output_of(run)).to_pylist() == wanted


def rewritten(data, change, *, write_page_checksum=True):
    """Have pyarrow write the row groups anew, changed."""
    file = pq.ParquetFile(io.BytesIO(data))
    groups = change([file.read_row_group(n) for n in range(file.num_row_groups)])
    made = io.BytesIO()
    with pq.ParquetWriter(
        made, file.schema_arrow, write_page_checksum=write_page_checksum
    ) as writer:
        for group in groups:
            writer.write_table(group)
    return made.getvalue()


def flipped(data):
    at = data.index(b"row 3")
    return data[:at] + b"row 4" + data[at + 5 :]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda data: rewritten(data, lambda groups: groups[:2]), "has 2 row groups, and 3 mini-"),
        (lambda data: rewritten(data, lambda groups: [*groups, groups[0]]), "has 4 row groups"),
        (
            lambda data: rewritten(data, lambda groups: [groups[1], groups[0], groups[2]]),
            "rows not in the output, in their place: mini-batches 1",
        ),
        (
            lambda data: rewritten(data, lambda groups: [groups[0].slice(1), *groups[1:]]),
            "mini-batch 1 returned 2 rows, and its row group has 1",
        ),
        (
            lambda data: rewritten(data, lambda groups: groups, write_page_checksum=False),
            "the row group of mini-batch 1 is said to be at bytes 4 to ",
        ),
        (flipped, "row group 2 can't be read"),
        (flipped, "rows not in the output, in their place: mini-batches 3"),
        (lambda data: data[:-1], "is no Parquet file that can be read"),
        (lambda data: b"", "is no Parquet file that can be read"),
    ],
)
def test_a_file_that_is_not_what_was_committed(run, change, says):
    path = output_of(run)
    path.write_bytes(change(path.read_bytes()))
    found = account(run)
    assert found.exact is False
    with pytest.raises(AssertionError) as caught:
        found.check()
    assert says in str(caught.value)
