"""Processes killed at every step of a registration leave the state before or after it."""

import json
import os
import subprocess
import sys

import pytest

from daskrun import Dataset, Datastore, Environment, Model, Workspace

SCRIPT = """
import json, os, signal, sys
from daskrun import *

folder, source, what = sys.argv[1:]
ws = Workspace(folder)
acts = {
    "model": lambda: Model.register(ws, source, "thing", tags={"of": "killed"}),
    "dataset": lambda: Dataset.File.from_files("https://me:pa55word@host/x", validate=False)
    .register(ws, "thing", create_new_version=True),
    "environment": lambda: Environment("thing").register(ws),
    "datastore": lambda: Datastore.register_s3(ws, "thing", "b", "id", "s3cret", overwrite=True),
    "delete": lambda: Model(ws, "thing").delete(),
}
STEPS = {"open", "os.rename", "os.link", "os.mkdir", "os.remove", "os.rmdir", "shutil.copyfile",
         "os.chmod", "os.utime"}

def act_until(number):
    count = 0
    def watch(event, arguments):
        nonlocal count
        if event in STEPS and any(str(a).startswith(folder) for a in arguments[:2]):
            count += 1
            if count == number:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(watch)
    acts[what]()

acts[what] and Workspace(folder).records.names("models")  # imports are done before the forks
Model, Dataset, Datastore, Environment
for number in range(1, 200):
    child = os.fork()
    if child == 0:
        try:
            act_until(number)
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(2)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print(status, flush=True)
    sys.stdin.readline()
    if status != -signal.SIGKILL:
        break
"""


@pytest.fixture
def ws(tmp_path):
    return Workspace.create("trial", path=tmp_path)


@pytest.fixture
def weights(tmp_path):
    folder = tmp_path / "weights"
    (folder / "sub").mkdir(parents=True)
    for name in ("a", "sub/b"):
        (folder / name).write_text(name)
    return folder


def kills(ws, weights, what):
    """Kill a process at its first, second, ... step in the workspace; stop after each."""
    command = [sys.executable, "-W", "ignore", "-c", SCRIPT, str(ws.folder), str(weights), what]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        for line in process.stdout:
            assert int(line) in (-9, 0), process.communicate("\n", timeout=30)[1]
            yield int(line) == 0
            process.stdin.write("\n")
            process.stdin.flush()
            last = line
        assert int(last) == 0, "it never came to its end"
        assert process.wait(30) == 0, process.stderr.read()
    finally:
        process.kill()
        process.communicate()


def seen(ws, kind):
    return {n: ws.records.get(kind, "thing", n) for n in ws.records.numbers(kind, "thing")}


def whole(model):
    return sorted(p.read_text() for p in model.path.rglob("*") if p.is_file()) == ["a", "sub/b"]


def test_model(ws, weights):
    Model.register(ws, weights, "thing")
    before, count = seen(ws, "models"), 0
    for done in kills(ws, weights, "model"):
        after, count = seen(ws, "models"), count + 1
        new = after.keys() - before.keys()
        assert new <= {max(before) + 1}
        assert after.items() >= before.items()
        assert all(whole(model) for model in Model.list(ws, "thing"))
        assert new or not done
        before = after
    assert count > 15
    assert Model.register(ws, weights, "thing").version == max(before) + 1


def test_delete(ws, weights):
    first, last, count = *(Model.register(ws, weights, "thing") for _ in "ab"), 0
    for done in kills(ws, weights, "delete"):
        count += 1
        there = Model.list(ws, "thing")
        assert all(whole(model) for model in there)
        assert [model.version for model in there] in ([last.version, 1], [1])
        assert not done or len(there) == 1
        if len(there) == 1:
            again = Model.register(ws, weights, "thing")
            assert again.version == last.version + 1
            last = again
    assert first.version == 1
    assert count > 5


@pytest.mark.parametrize("what", ["dataset", "environment"])
def test_records(ws, weights, what):
    find = {
        "dataset": lambda: Dataset.get_by_name(ws, "thing"),
        "environment": lambda: Environment.get(ws, "thing"),
    }[what]
    before, count = {}, 0
    for done in kills(ws, weights, what):
        after, count = seen(ws, f"{what}s"), count + 1
        assert after.items() >= before.items()
        assert after.keys() - before.keys() <= {len(before) + 1}
        if after:
            assert int(find().version) == len(after)
        assert after or not done
        before = after
    assert count > 4


def test_datastore(ws, weights):
    Datastore.register_s3(ws, "thing", "b", "id", "before")
    count = 0
    for done in kills(ws, weights, "datastore"):
        count += 1
        secret = Datastore.get(ws, "thing").storage_options["secret"]
        assert secret == "s3cret" if done else secret in ("before", "s3cret")
    assert count > 8
    left = [json.loads(path.read_text()) for path in (ws.folder / "private").glob("*.json")]
    assert all(path.stat().st_mode & 0o077 == 0 for path in (ws.folder / "private").iterdir())
    assert len(left) <= count
    assert os.listdir(ws.folder / "datastores" / "thing")
