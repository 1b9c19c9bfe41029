import os
import pickle
import re

import pytest

from daskrun.core.minibatch import FilePaths, MiniBatch, PlanInput
from daskrun.data import Dataset
from daskrun.data.file_plan import FilePlan
from daskrun.data.loading import MiniBatchPaths, load_files, unreadable
from daskrun.errors import DatasetError


@pytest.fixture
def inputs(tmp_path):
    for name, count in (("one", 7), ("two", 3), ("three", 4)):
        for n in range(count):
            path = tmp_path / name / f"{n % 2}" / f"{n}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("x" * n)
    return [(n, Dataset.File.from_files(tmp_path / n)) for n in ("one", "two", "three")]


def test_mini_batches_mix_folders_never_inputs(inputs, tmp_path):
    plan = FilePlan(inputs, 3)
    assert (plan.known, plan.complete, plan.files) == (3 + 1 + 2, True, 14)
    assert plan.inputs == tuple(PlanInput(n, str(tmp_path / n), False, {}) for n, _ in inputs)
    batches = [plan[i] for i in range(plan.known)]
    assert [b.index for b in batches] == list(range(6))
    assert [b.input for b in batches] == [0, 0, 0, 1, 2, 2]
    assert [b.load.names for b in batches] == [
        ("0/0", "0/2", "0/4"), ("0/6", "1/1", "1/3"), ("1/5",),
        ("0/0", "0/2", "1/1"),
        ("0/0", "0/2", "1/1"), ("1/3",),
    ]  # fmt: skip
    assert batches[1] == MiniBatch(1, 0, FilePaths(("0/6", "1/1", "1/3")), 3, 10)
    assert plan[1] == plan[1], "asked again for a retry"
    plan.extend(99)
    assert plan.known == 6
    for index in (-1, 6):
        with pytest.raises(IndexError):
            plan[index]


@pytest.mark.parametrize("size", [1, 2, 7, 8, 1000])
def test_every_file_is_in_one_mini_batch(inputs, size):
    plan = FilePlan(inputs, size)
    seen = [(plan[i].input, name) for i in range(plan.known) for name in plan[i].load.names]
    assert len(seen) == len(set(seen)) == 14
    assert all(1 <= plan[i].items <= size for i in range(plan.known))


def test_unknown_sizes_stay_unknown(tmp_path):
    (tmp_path / "a").write_text("12345")
    (tmp_path / "b").symlink_to("nowhere")
    plan = FilePlan([("x", Dataset.File.from_files(tmp_path))], 1)
    assert [plan[0].nbytes, plan[1].nbytes] == [5, -1]


def test_fingerprint(inputs, tmp_path):
    first = FilePlan(inputs, 3).fingerprint()
    assert FilePlan(inputs, 3).fingerprint() == first
    assert FilePlan(inputs, 4).fingerprint() != first
    assert FilePlan(inputs[:2], 3).fingerprint() != first
    assert FilePlan(inputs[::-1], 3).fingerprint() != first
    (tmp_path / "two/1/1").write_text("something else")
    assert FilePlan(inputs, 3).fingerprint() != first


def test_plans_pickle(inputs):
    plan = FilePlan(inputs, 3)
    copy = pickle.loads(pickle.dumps(plan))
    assert [copy[i] for i in range(6)] == [plan[i] for i in range(6)]


@pytest.mark.parametrize("size", [0, -1, "10", 1.5, None, True])
def test_wrong_sizes(inputs, size):
    with pytest.raises(DatasetError, match=f"mini_batch_size={size!r} is not a number of files"):
        FilePlan(inputs, size)


def test_inputs_without_files(inputs):
    with pytest.raises(DatasetError, match=r"inputs=\[\] is empty"):
        FilePlan([], 1)
    name, dataset = inputs[0]
    with pytest.raises(DatasetError, match=r"input 'one': no file is left of .*\.skip\(7\)"):
        FilePlan([inputs[1], (name, dataset.skip(7))], 1)


def test_loading_gives_local_paths(inputs, tmp_path):
    plan = FilePlan(inputs, 3)
    mini_batch = load_files(plan.inputs[0].root, plan[1].load.names, 1)
    assert isinstance(mini_batch, MiniBatchPaths)
    assert isinstance(mini_batch, list)
    assert mini_batch == [str(tmp_path / "one" / n) for n in ("0/6", "1/1", "1/3")]
    assert mini_batch.task_id == 1
    assert pickle.loads(pickle.dumps(mini_batch)).task_id == 1
    assert load_files("", mini_batch, 4) == mini_batch
    assert load_files("/", [p[1:] for p in mini_batch], 4) == mini_batch


def test_the_file_that_is_missing_is_named(inputs, tmp_path):
    paths = load_files(str(tmp_path / "one"), ("0/6", "1/1"), 1)
    assert unreadable(paths) is None
    (tmp_path / "one/1/1").unlink()
    assert re.match(r"the input file '.*one/1/1' is missing", unreadable(paths))
    (tmp_path / "one/1/1").symlink_to("nowhere")
    assert re.search(r"'.*one/1/1' is a link to 'nowhere', which is missing", unreadable(paths))


def test_the_file_that_is_refused_is_named(inputs, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: not path.endswith("1/3"))
    paths = load_files(str(tmp_path / "one"), ("0/6", "1/1", "1/3"), 1)
    assert re.search(r"'.*one/1/3' can't be read by the user", unreadable(paths))
