"""The original's tutorial: its code blocks, in order, in a notebook, as they stand.

Only what is listed here is another: `ADDED` comes before the tutorial's first block, `REPLACED`
lines stand in for those that need Azure's storage or TensorFlow 1, and one block, which the
tutorial means for the entry script, goes there.
"""

from __future__ import annotations

import io
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import nbformat
import numpy as np
import pytest
from PIL import Image

SEED = Path(__file__).parents[2].parent / "shared" / "seed"
TEXTS = sorted(SEED.glob("*.txt"))
pytestmark = pytest.mark.skipif(
    not TEXTS, reason="the tutorial, ../shared/seed/*.txt, is not beside this checkout"
)

ADDED = """
import daskrun.azureml
import os  # the tutorial uses it before the block that imports it
"""

REPLACED = {
    # The container of images in Azure's storage is a folder
    "mnist_blob = Datastore.register_azure_blob_container(ws, ": (
        "mnist_blob = Datastore.register_local(ws, "
    ),
    '                      container_name="sampledata", ': (
        '                      folder="sampledata",'
    ),
    '                      account_name="pipelinedata",': "",
    # The model is downloaded from this folder
    'url="https://pipelinedata.blob.core.windows.net/mnist-model/mnist-tf.tar.gz"': (
        'url=f"file://{os.getcwd()}/mnist-tf.tar.gz"'
    ),
    # TensorFlow 1 is not to be had for this Python: the model is a matrix of numpy's
    'batch_conda_deps = CondaDependencies.create(pip_packages=["tensorflow==1.15.2", "pillow", ': (
        'batch_conda_deps = CondaDependencies.create(pip_packages=["numpy", "pillow", '
    ),
    "import tensorflow as tf": "",
    "    tf.reset_default_graph()": "",
    "    saver = tf.train.import_meta_graph(os.path.join(model_path, 'mnist-tf.model.meta'))": "",
    "    g_tf_sess = tf.Session()": (
        "    g_tf_sess = np.load(os.path.join(model_path, 'mnist-tf.model.npy'))"
    ),
    "    saver.restore(g_tf_sess, os.path.join(model_path, 'mnist-tf.model'))": "",
    '    in_tensor = g_tf_sess.graph.get_tensor_by_name("network/X:0")': "",
    '    output = g_tf_sess.graph.get_tensor_by_name("network/output/MatMul:0")': "",
    "        inference_result = output.eval(feed_dict={in_tensor: np_im}, session=g_tf_sess)": (
        "        inference_result = np_im @ g_tf_sess"
    ),
}
"""The tutorial's lines as they are, and what runs in their place."""

FOR_THE_SCRIPT = "script_dir = os.path.realpath("
"""How the block begins that uses the entry script's `__file__`, which a notebook has not."""

IMAGES = 23


def blocks() -> list[str]:
    (text,) = (file.read_text(encoding="utf-8") for file in TEXTS)
    found = re.findall(r"^```python\n(.*?)^```$", text, re.M | re.S)
    assert len(found) == 18
    lines = [line for block in found for line in block.split("\n")]
    assert {line: lines.count(line) for line in REPLACED} == dict.fromkeys(REPLACED, 1)
    return found


def cells() -> list[str]:
    """Give the tutorial's blocks as they are run."""
    made = [ADDED]
    for block in blocks():
        lines = [REPLACED.get(line, line) for line in block.split("\n")]
        if block.startswith(FOR_THE_SCRIPT):
            lines.insert(0, "%%writefile --append digit_identification.py")
        made.append("\n".join(lines))
    return made


def lay_images(folder: Path) -> dict[str, int]:
    """Draw images of ten patterns, keep a matrix that tells them apart, give what is on each."""
    chance = np.random.default_rng(seed=1)
    patterns = chance.integers(0, 2, (10, 28, 28), dtype=np.uint8)
    labels = {f"{number}.png": int(chance.integers(10)) for number in range(IMAGES)}
    (folder / "sampledata" / "mnist").mkdir(parents=True)
    for name, label in labels.items():
        noise = chance.integers(0, 60, (28, 28), dtype=np.uint8)
        Image.fromarray(patterns[label] * 190 + noise).save(folder / "sampledata" / "mnist" / name)
    weights = io.BytesIO()
    np.save(weights, patterns.reshape(10, 784).T - 0.5)
    with tarfile.open(folder / "mnist-tf.tar.gz", "w:gz") as tar:
        entry = tarfile.TarInfo("mnist-tf.model.npy")
        entry.size = len(weights.getvalue())
        tar.addfile(entry, io.BytesIO(weights.getvalue()))
    return labels


RUN_NOTEBOOK = """
import sys

import nbclient
import nbformat

notebook = nbformat.read(sys.argv[1], as_version=4)
nbclient.execute(notebook, timeout=100)
nbformat.write(notebook, sys.argv[1])
"""

AGAIN = "found compute target. just use it. cpucluster\n"


@pytest.fixture(scope="module")
def tutorial(tmp_path_factory):
    """Run the tutorial, its block on compute targets once more; give folder, labels, notebook."""
    folder = tmp_path_factory.mktemp("tutorial")
    labels = lay_images(folder)
    sources = cells()
    (compute,) = (source for source in sources if "ComputeTarget.create" in source)
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [nbformat.v4.new_code_cell(source) for source in [*sources, compute]]
    nbformat.write(notebook, folder / "tutorial.ipynb")
    command = [sys.executable, "-c", RUN_NOTEBOOK, "tutorial.ipynb"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder, labels, nbformat.read(folder / "tutorial.ipynb", as_version=4)


def printed(notebook) -> str:
    return "".join(output.get("text", "") for cell in notebook.cells for output in cell["outputs"])


def outputs(folder: Path) -> dict[int, list[str]]:
    """Give the lines of the output files, by how many they are."""
    files = (folder / ".daskrun").rglob("mnist_outputs.txt")
    return {len(lines): lines for file in files for lines in [file.read_text().splitlines()]}


def test_every_image_is_told_once_in_the_order_of_the_input(tutorial):
    folder, labels, notebook = tutorial
    expected = [f"{name}: {labels[name]}" for name in sorted(labels)]
    assert outputs(folder)[IMAGES] == expected
    assert f"Prediction has  {IMAGES}  rows" in printed(notebook)


def test_the_second_run_is_of_one_image_by_itself(tutorial):
    folder, labels, _ = tutorial
    assert outputs(folder)[1] == [f"0.png: {labels['0.png']}"]
    assert len(outputs(folder)) == 2


def test_the_table_at_the_end_has_the_first_ten(tutorial):
    _, labels, notebook = tutorial
    (shown,) = notebook.cells[-2]["outputs"][-1:]
    rows = shown["data"]["text/plain"].splitlines()
    assert rows[0].split() == ["Filename", "Prediction"]
    expected = [[str(n), name, str(labels[name])] for n, name in enumerate(sorted(labels)[:10])]
    assert [row.split() for row in rows[1:]] == expected


def test_a_compute_target_that_is_there_is_of_the_class_the_tutorial_asks_for(tutorial):
    notebook = tutorial[2]
    assert "creating a new compute target..." in printed(notebook)
    assert "".join(output["text"] for output in notebook.cells[-1]["outputs"]) == AGAIN


def test_what_is_beside_the_entry_script_is_beside_its_file(tutorial):
    folder, _, _ = tutorial
    logs = (folder / ".daskrun").rglob("user/stdout/*/process*.txt")
    text = "".join(log.read_text() for log in logs)
    said = set(re.findall(r"^run method start: (.*), run\(\[", text, re.M))
    assert len(said) == 2  # the snapshots of two runs
    for file in map(Path, said):
        assert file.name == "digit_identification.py"
        assert (file.parent / "mnist-tf.tar.gz").is_file()
