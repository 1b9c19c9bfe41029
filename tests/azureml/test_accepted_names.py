"""A new program that uses each accepted name of the original, as it stands."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TRAIN = """
import argparse, os
from azureml.core import Run, Workspace

parser = argparse.ArgumentParser()
for name in ("--table", "--pages", "--all", "--direct"):
    parser.add_argument(name)
args = parser.parse_args()
run = Run.get_context()
assert Workspace.from_config() == run.experiment.workspace
assert run.get_status() == "Running" and os.environ["IS_ON"] == "True"
assert len(os.listdir(args.all)) == len(os.listdir(args.direct)) == 4
open(os.path.join(args.table, "rows.csv"), "w").write("n,w\\n1,a\\n2,b\\n")
open(os.path.join(args.pages, "page.txt"), "w").write("one")
os.makedirs("outputs", exist_ok=True)
open("outputs/kept.txt", "w").write("kept")
with run.child_run("fold") as child:
    child.log("n", 1)
run.parent.log("trained", True)
run.upload_folder("code", "steps")
run.register_model("kept", "outputs/kept.txt")
run.complete()
"""
SCORE = """
import argparse, os
from multiprocessing import get_context
from azureml.core import Model, Run, Workspace
from .beside import doubled

parser = argparse.ArgumentParser()
for name in ("--extra", "--table", "--pages", "--output", "--mini_batch_size"):
    parser.add_argument(name)

def init():
    global args, model
    args = parser.parse_args()
    model = open(Model.get_model_path("seven")).read()
    run = Run.get_context()
    assert run.parent.find_step_run("Train Model")[0].get_status() == "Completed"
    assert Workspace.from_config() == run.experiment.workspace

def run(mini_batch):
    with get_context("spawn").Pool(1) as pool:
        pooled = pool.map(doubled_here, [0, 1])
    lines = []
    for file in mini_batch:
        name = os.path.basename(file)
        open(os.path.join(args.extra, name), "w").write("extra")
        lines.append(
            f"{open(file).read()} {model} {os.environ['IS_ON']} {len(os.listdir(args.table)) + 1} "
            f"{os.path.basename(args.output)} {args.mini_batch_size} {pooled}"
        )
    return lines

def doubled_here(n):
    return doubled(n)
"""
ALONE = """
from azureml.core import Run
Run.get_context().log("workspace", Run.get_context().experiment.workspace.name)
"""


@pytest.mark.slow
def test_each_accepted_name_does_what_it_did(tmp_path):
    shutil.copy(Path(__file__).with_name("accepted_names.py"), tmp_path / "program.py")
    (tmp_path / "steps").mkdir()
    (tmp_path / "train.py").write_text(TRAIN)
    (tmp_path / "alone.py").write_text(ALONE)
    (tmp_path / "steps" / "score.py").write_text(SCORE)
    (tmp_path / "steps" / "beside.py").write_text("def doubled(n):\n    return 2 * n\n")
    command = [sys.executable, "-m", "daskrun.azureml", "program.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith("all names")
    assert "secret" not in done.stderr
    for said in ("no account to sign in", "vnet_name is not used", "cudatoolkit of conda not"):
        assert done.stderr.count(said) >= 1, done.stderr
