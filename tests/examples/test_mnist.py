"""The MNIST example: its digits, its entry script, its script and its notebook.

What needs the ``examples`` extra is skipped where that isn't installed. All of it works in a copy,
in processes of its own, so that neither the checkout nor this process gets any of it.
"""

from __future__ import annotations

import csv
import gzip
import shutil
import struct
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image
from walked import EXAMPLES, check_is_clean, copy_example, needs, run_notebook, run_python

if TYPE_CHECKING:
    from pathlib import Path

needs_extra = needs("tensorflow", "sklearn")


@pytest.fixture(scope="module")
def example(tmp_path_factory) -> Path:
    """Copy the example, with its digits made and its model trained."""
    folder = copy_example("mnist", tmp_path_factory.mktemp("example"))
    run_python("make_digits.py", cwd=folder)
    run_python("train_model.py", "data/digits", "models/digits", cwd=folder)
    return folder


def write_idx(path: Path, values: np.ndarray) -> None:
    head = struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape)
    data = head + values.astype(np.uint8).tobytes()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


def read_labels(digits: Path) -> dict[str, int]:
    with (digits / "labels.csv").open(newline="") as file:
        return {row["Filename"]: int(row["Label"]) for row in csv.DictReader(file)}


def accuracy(lines: list[str], labels: dict[str, int]) -> float:
    predicted = dict(line.split(": ") for line in lines)
    assert len(predicted) == len(lines)
    return sum(labels[name] == int(digit) for name, digit in predicted.items()) / len(lines)


def an_image(number: int) -> np.ndarray:
    return np.full((28, 28), number, np.uint8)


def test_idx_files_with_test_digits_only_are_split(tmp_path):
    folder, idx = copy_example("mnist", tmp_path), tmp_path / "idx"
    idx.mkdir()
    write_idx(idx / "t10k-images-idx3-ubyte.gz", np.stack([an_image(n) for n in range(10)]))
    write_idx(idx / "t10k-labels-idx1-ubyte.gz", np.arange(10))

    for _ in range(2):  # the second finds the set there
        run_python(folder / "make_digits.py", "--mnist-dir", idx, cwd=tmp_path)

    (digits,) = (folder / "data").iterdir()
    labels = read_labels(digits)
    assert list(labels) == [f"{n}.png" for n in range(6)]
    assert sorted(p.name for p in (digits / "mnist").iterdir()) == sorted(labels)
    for name, label in labels.items():
        with Image.open(digits / "mnist" / name) as image:
            assert image.mode == "L"
            assert np.array_equal(np.asarray(image), an_image(label))
    with np.load(digits / "train.npz") as train:
        assert np.array_equal(train["images"], np.stack([an_image(n) for n in train["labels"]]))
        assert sorted([*train["labels"], *labels.values()]) == list(range(10))


def test_idx_files_with_training_digits_are_taken_as_they_are(tmp_path):
    folder, idx = copy_example("mnist", tmp_path), tmp_path / "idx"
    idx.mkdir()
    for part, numbers in (("train", [1, 2, 3]), ("t10k", [7, 8])):
        write_idx(idx / f"{part}-images-idx3-ubyte", np.stack([an_image(n) for n in numbers]))
        write_idx(idx / f"{part}-labels.idx1-ubyte", np.array(numbers))

    run_python("make_digits.py", "--mnist-dir", idx, cwd=folder)

    (digits,) = (folder / "data").iterdir()
    assert read_labels(digits) == {"0.png": 7, "1.png": 8}
    with np.load(digits / "train.npz") as train:
        assert list(train["labels"]) == [1, 2, 3]


def test_a_folder_without_idx_files_is_refused(tmp_path):
    folder = copy_example("mnist", tmp_path)
    done = run_python("make_digits.py", "--mnist-dir", tmp_path, cwd=folder, check=False)
    assert done.returncode == 1
    assert f"--mnist-dir={tmp_path} holds no t10k-images-idx3-ubyte" in done.stderr
    assert not (folder / "data").exists()


def test_a_file_that_is_not_idx_is_refused(tmp_path):
    folder = copy_example("mnist", tmp_path)
    for name in ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"):
        (tmp_path / name).write_text("hello")
    done = run_python("make_digits.py", "--mnist-dir", tmp_path, cwd=folder, check=False)
    assert done.returncode == 1
    assert (
        "t10k-images-idx3-ubyte is not an idx file of bytes: it begins with b'hell'" in done.stderr
    )


PREDICT = """
import sys
from pathlib import Path

from daskrun import Model, Workspace

Model.register(Workspace.from_config(), model_path=sys.argv[1], model_name="mnist")
sys.path.insert(0, sys.argv[2])
import digit_identification

digit_identification.init()
images = sorted(map(str, Path(sys.argv[3]).iterdir()))
for start in range(0, len(images), 7):
    lines = digit_identification.run(images[start : start + 7])
    print(*lines, sep="\\n", file=sys.stderr)
print("predicted", len(images))
"""


@needs_extra
@pytest.mark.timeout(300)
def test_the_entry_script_predicts_digits_it_was_not_trained_on(example, tmp_path):
    digits = example / "data" / "digits"
    with np.load(digits / "train.npz") as train:
        assert len(train["labels"]) == 797

    done = run_python(
        "-c", PREDICT, example / "models" / "digits", example, digits / "mnist", cwd=tmp_path
    )

    assert "predicted 1000" in done.stdout
    lines = [line for line in done.stderr.splitlines() if ".png: " in line]
    assert len(lines) == 1000
    assert accuracy(lines, read_labels(digits)) > 0.95


def result_lines(example: Path) -> dict[int, list[str]]:
    """Give the lines of all output files in the example's workspace, by how many they are."""
    files = (example / ".daskrun").rglob("mnist_outputs.txt")
    return {len(lines): lines for file in files for lines in [file.read_text().splitlines()]}


def loads_of_tensorflow(example: Path) -> dict[Path, list[int]]:
    """Count, for each run's script processes, how often each has loaded the model."""
    runs: dict[Path, list[int]] = {}
    for log in (example / ".daskrun").rglob("user/stdout/*/process*.txt"):
        runs.setdefault(log.parents[3], []).append(log.read_text().count("has loaded"))
    return runs


def check_loads(example: Path) -> None:
    """Check that TensorFlow was loaded once per script process.

    A process that is still in its `init()` when the others have finished the work is ended there
    and has loaded nothing; every run needs one that has.
    """
    loads = loads_of_tensorflow(example)
    assert loads
    for counts in loads.values():
        assert set(counts) <= {0, 1}
        assert sum(counts) >= 1


@needs_extra
@pytest.mark.timeout(300)
def test_the_script_runs_from_anywhere(example, tmp_path):
    shutil.rmtree(example / ".daskrun", ignore_errors=True)
    done = run_python(example / "run_mnist.py", cwd=tmp_path)
    check_loads(example)
    assert "Prediction has 1000 rows" in done.stdout
    said = float(done.stdout.split("Accuracy: ")[1].split("%")[0])
    lines = result_lines(example)[1000]
    assert [line.split(": ")[0] for line in lines] == sorted(f"{n}.png" for n in range(1000))
    assert said == pytest.approx(
        100 * accuracy(lines, read_labels(example / "data" / "digits")), abs=0.01
    )
    assert said > 95
    (line,) = result_lines(example)[1]
    assert line == lines[0]
    assert not list(tmp_path.iterdir())


def test_the_notebook_is_kept_without_outputs():
    check_is_clean(EXAMPLES / "mnist" / "mnist.ipynb", least=11)


@needs_extra
@pytest.mark.timeout(300)
def test_the_notebook_runs(example):
    shutil.rmtree(example / ".daskrun", ignore_errors=True)
    check = "import sys\nassert accuracy > 0.95\nassert 'tensorflow' not in sys.modules"
    printed = run_notebook(example / "mnist.ipynb", check)
    assert "Prediction has  1000  rows" in printed
    lines = result_lines(example)[1000]
    assert accuracy(lines, read_labels(example / "data" / "digits")) > 0.95
    assert result_lines(example)[1][0] in printed
    check_loads(example)
