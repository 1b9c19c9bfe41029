"""Environments of script processes: built once, by whom, when not, and how that ends."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from running import (
    END,
    SLACK,
    OneNode,
    alive,
    make_request,
    wait_for,
    wait_until_nothing_is_left,
)
from wheels import make_slow_source, make_wheel

from daskrun.script import reaper
from daskrun.script.environments import build
from daskrun.script.keeper.child import PACKAGE_ROOT
from daskrun.script.messages import (
    Building,
    FindPython,
    KeeperLost,
    Notice,
    Preparing,
    SlotsUp,
    Unprepared,
)
from daskrun.script.node_spec import EnvironmentSpec

if TYPE_CHECKING:
    from collections.abc import Iterator

IMPORTS = """
import json, os, subprocess, sys
import tiny

def run(mini_batch):
    seen = {
        "version": tiny.VERSION,
        "prefix": sys.prefix,
        "path": sys.path,
        "daskrun": sys.modules["daskrun"].__file__,
        "variables": {k: os.environ.get(k) for k in ("PATH", "VIRTUAL_ENV", "PYTHONPATH")},
        "dask": importable("dask"),
        "child": subprocess.check_output(
            ["python", "-c", "import tiny, daskrun, sys; print(sys.prefix)"], text=True
        ).strip(),
    }
    return [json.dumps(seen) for _ in mini_batch]

def importable(name):
    try:
        __import__(name)
    except ImportError:
        return False
    return True
"""
TINY = "import tiny\n\ndef run(mini_batch):\n    return [tiny.VERSION for _ in mini_batch]\n"


@pytest.fixture(autouse=True)
def environments(own_temporary_folder: Path, tmp_path: Path, monkeypatch) -> Iterator[Path]:
    """Have environments built in the test's own folder, from what is there only."""
    folder = tmp_path / "environments"
    monkeypatch.setenv(build.FOLDER, str(folder))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    yield folder
    assert wait_until_nothing_is_left() == []


def rows(node: OneNode, *indices: int) -> list[str]:
    event = node.run(*indices)
    assert [o.status for o in event.outcomes] == [0] * len(indices), event.outcomes
    assert event.process is not None
    data = Path(node.node._spec.process.parts, event.process.part).read_bytes()
    return [data[o.offset : o.offset + o.length].decode().strip() for o in event.outcomes]


def asking(tmp_path: Path, code: str = TINY, **settings):
    if "requirements" not in settings:
        settings["requirements"] = (str(make_wheel(tmp_path)),)
    return make_request(tmp_path, code, environment_name="batch", **settings)


@pytest.mark.slow
def test_script_processes_run_in_what_is_built_and_see_nothing_else(
    tmp_path, environments, monkeypatch
):
    monkeypatch.setenv("PYTHONPATH", str(Path(PACKAGE_ROOT)))
    with OneNode(asking(tmp_path, IMPORTS)) as node:
        [seen] = map(json.loads, rows(node, 0))
        assert any("building environment 'batch', " in text for text in node.wait_for(Preparing))
        assert any("done" in text for text in node.wait_for(Notice))
    [folder] = [path for path in environments.iterdir() if path.is_dir()]
    assert seen["version"] == "1.0"
    assert seen["prefix"] == seen["child"] == seen["variables"]["VIRTUAL_ENV"] == str(folder)
    assert seen["variables"]["PATH"].startswith(f"{folder}/bin:")
    assert not seen["dask"]
    assert str(Path(PACKAGE_ROOT)) not in seen["path"]
    assert seen["daskrun"].endswith("/package/daskrun/__init__.py")
    made = json.loads((folder / build.MARKER).read_text())
    assert made["requirements"] == [str(tmp_path / "tiny-1.0-py3-none-any.whl")]


@pytest.mark.slow
def test_it_is_built_once_for_many_nodes_and_runs(tmp_path, environments):
    requests = [asking(tmp_path, run_id=f"run{n}") for n in range(3)]
    nodes: list[OneNode] = []
    threads = [
        threading.Thread(target=lambda each=each: nodes.append(OneNode(each))) for each in requests
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    try:
        for node in nodes:
            assert rows(node, 0) == ["1.0"]
        built = [any("done" in text for text in node._told(Notice, 1)) for node in nodes]
        assert sorted(built) == [False, False, True]
    finally:
        for node in nodes:
            node.node.close()
    [folder] = [path for path in environments.iterdir() if path.is_dir()]
    before = (folder / build.MARKER).stat().st_mtime_ns
    with OneNode(asking(tmp_path, run_id="later")) as node:
        assert rows(node, 0) == ["1.0"]
        assert any("is there already" in text for text in node.wait_for(Notice))
    assert (folder / build.MARKER).stat().st_mtime_ns == before


@pytest.mark.slow
def test_a_local_package_that_has_changed_is_built_again(tmp_path):
    with OneNode(asking(tmp_path)) as node:
        assert rows(node, 0) == ["1.0"]
    path = make_wheel(tmp_path, code="VERSION = 'changed'\n")
    with OneNode(asking(tmp_path, requirements=(str(path),), run_id="again")) as node:
        assert rows(node, 0) == ["changed"]


def test_a_python_that_has_everything_is_used_as_it_is(tmp_path, environments):
    code = "import sys\n\ndef run(m):\n    return [sys.prefix for _ in m]\n"
    request = make_request(tmp_path, code, requirements=("packaging>=20", "--no-index"))
    with OneNode(request) as node:
        assert rows(node, 0) == [sys.prefix]
        assert any("own Python has all of it" in text for text in node.wait_for(Notice))
    assert not environments.exists()


@pytest.mark.slow
def test_what_a_builder_that_was_killed_has_left_is_not_taken_for_whole(tmp_path, environments):
    request = asking(tmp_path)
    with OneNode(request) as node:
        rows(node, 0)
    [folder] = [path for path in environments.iterdir() if path.is_dir()]
    (folder / build.MARKER).unlink()
    [site] = folder.glob("lib/*/site-packages")
    (site / "tiny.py").unlink()
    with OneNode(asking(tmp_path, run_id="again")) as node:
        assert rows(node, 0) == ["1.0"]


@pytest.mark.slow
def test_an_environment_whose_python_is_gone_is_built_again(tmp_path, environments):
    with OneNode(asking(tmp_path)) as node:
        rows(node, 0)
    [folder] = [path for path in environments.iterdir() if path.is_dir()]
    (folder / "bin" / "python").unlink()
    with OneNode(asking(tmp_path, run_id="again")) as node:
        assert rows(node, 0) == ["1.0"]


@pytest.mark.slow
def test_what_pip_says_of_a_failure_is_told_and_nothing_is_left(tmp_path, environments):
    with OneNode(asking(tmp_path, requirements=("nowhere-to-be-found==3",))) as node:
        [why] = node.wait_for(Unprepared)
        assert "environment 'batch' could not be built on node000: pip ended with code 1" in why
        assert "No matching distribution found for nowhere-to-be-found==3" in why
        assert len(why) < build.TAIL + 1000
        assert "nowhere-to-be-found" in node.log("sys/node/node000/environment.txt")
        assert not node._told(SlotsUp, 1)
    assert [path.name for path in environments.iterdir() if path.is_dir()] == []


@pytest.mark.slow
@pytest.mark.parametrize("end", ["stop", "close", "keeper killed"])
def test_a_build_ends_with_its_run(tmp_path, environments, end):
    started = tmp_path / "started"
    source = make_slow_source(tmp_path / "sluggish", 120, started)
    node = OneNode(asking(tmp_path, requirements=(str(source),)))
    try:
        wait_for(lambda: started.exists() and started.read_text().strip(), 60)
        deep = int(started.read_text().split()[0])
        assert alive(deep)
        began = time.monotonic()
        if end == "stop":
            wait_for(lambda: "s: Getting requirements" in str(node._told(Preparing, 1)), 60)
            began = time.monotonic()
            node.node.stop(0.5)
            wait_for(lambda: not [path for path in environments.iterdir() if path.is_dir()])
        elif end == "close":
            node.node.close()
            assert not [path for path in environments.iterdir() if path.is_dir()]
        else:
            node.node.kill()
        wait_for(lambda: not alive(deep), END)
        assert time.monotonic() - began < SLACK
    finally:
        node.node.close()


@pytest.mark.slow
def test_a_build_goes_on_when_its_keeper_was_killed(tmp_path):
    started = tmp_path / "started"
    source = make_slow_source(tmp_path / "sluggish", 120, started)
    with OneNode(asking(tmp_path, requirements=(str(source),))) as node:
        wait_for(lambda: started.exists() and started.read_text().strip(), 60)
        deep = int(started.read_text().split()[0])
        os.kill(node.keeper, 9)
        wait_for(lambda: not alive(deep), END)
        assert node.wait_for(KeeperLost)
        wait_for(lambda: len(started.read_text().split()) == 2, 60)  # its successor builds


@pytest.mark.slow
def test_a_build_has_a_limit_of_its_own_and_says_how_long_it_takes(tmp_path, environments):
    started = tmp_path / "started"
    source = make_slow_source(tmp_path / "sluggish", 120, started)
    # init_timeout is not for building: it would be over first
    limits = {"environment_timeout": 6, "init_timeout": 0.1}
    with OneNode(asking(tmp_path, requirements=(str(source),), **limits)) as node:
        [why] = wait_for(lambda: node._told(Unprepared, 1), 30)
        assert "it took longer than environment_timeout=6 s" in why
        said = node._told(Preparing, 2)
        assert re.match(r"(looking for|building) environment 'batch', \d s", said[-1]), said
        deep = int(started.read_text().split()[0])
        wait_for(lambda: not alive(deep), END)
    assert not [path for path in environments.iterdir() if path.is_dir()]


@pytest.mark.slow
def test_a_second_builder_waits_for_the_first(tmp_path, environments):
    started = tmp_path / "started"
    source = make_slow_source(tmp_path / "sluggish", 3, started)
    first = OneNode(asking(tmp_path, requirements=(str(source),)))
    try:
        wait_for(started.exists, 60)
        with OneNode(asking(tmp_path, requirements=(str(source),), run_id="two")) as second:
            wait_for(lambda: "another process builds it" in str(second._told(Preparing, 1)))
            assert "can not end well" in first.wait_for(Unprepared)[0]
            wait_for(lambda: len(started.read_text().split()) == 2, 60)  # then it is its turn
    finally:
        first.node.close()


def test_a_folder_that_can_not_be_written_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(build.FOLDER, str(tmp_path / "file" / "inside"))
    with OneNode(asking(tmp_path)) as node:
        [why] = node.wait_for(Unprepared)
        assert "environment 'batch' can't be built on node000" in why
        assert str(tmp_path / "file") in why
        assert build.FOLDER in why


@pytest.mark.slow
def test_it_is_built_where_the_nodes_own_python_has_no_pip(tmp_path, environments, monkeypatch):
    monkeypatch.setattr(build.importlib.util, "find_spec", lambda name: None)
    monkeypatch.delenv(reaper.MARK, raising=False)
    log, wheel = tmp_path / "log.txt", str(make_wheel(tmp_path))
    told: list[type] = []
    asked = EnvironmentSpec("batch", None, (wheel,), (), 60.0)
    task = FindPython(asked, "node000", str(log), str(tmp_path))
    python = build.find(task, lambda message: told.append(type(message)))
    code = "import tiny, pip; print(tiny.VERSION)"
    assert subprocess.check_output([python, "-c", code], text=True) == "1.0\n", log.read_text()
    assert told == [Building]
    assert build.find(task, lambda message: told.append(type(message))) == python
    assert told == [Building, Notice]


# interpreters that are there


@pytest.fixture(scope="module")
def bare(tmp_path_factory) -> Path:
    """Give a virtual environment with nothing in it."""
    folder = tmp_path_factory.mktemp("bare") / "env"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    return folder


def test_an_interpreter_that_is_there_is_used(tmp_path, bare, environments):
    shutil.copytree(bare, tmp_path / "mine", symlinks=True)
    [site] = (tmp_path / "mine").glob("lib/*/site-packages")
    (site / "tiny.py").write_text("VERSION = 'mine'\n")
    (site / "daskrun.py").write_text("raise ImportError('another daskrun')\n")
    python = str(tmp_path / "mine" / "bin" / "python")
    with OneNode(make_request(tmp_path, IMPORTS, python_executable=python)) as node:
        [seen] = map(json.loads, rows(node, 0))
        assert seen["version"] == "mine"
        assert seen["prefix"] == seen["child"] == str(tmp_path / "mine")
        assert not any("building" in text for text in node._told(Preparing, 1))
    assert not environments.exists()


def test_tracebacks_do_not_show_daskrun_there(tmp_path, bare):
    code = "def run(m):\n    raise ValueError('mine')\n"
    python = str(bare / "bin" / "python")
    with OneNode(make_request(tmp_path, code, python_executable=python)) as node:
        [outcome] = node.run(0).outcomes
        assert "daskrun" not in outcome.error.text.replace(str(tmp_path), "")


@pytest.mark.parametrize(
    ("python", "why"),
    [
        ("/no/such/python", "there is no interpreter /no/such/python on node000"),
        ("/bin/true", "/bin/true on node000 is no Python that works"),
    ],
)
def test_an_interpreter_that_can_not_be_used_is_named(tmp_path, python, why):
    with OneNode(make_request(tmp_path, python_executable=python)) as node:
        [told] = node.wait_for(Unprepared)
        assert why in told


def test_what_an_interpreter_lacks_is_named(bare):
    python = bare / "bin" / "python"
    versions = {"numpy": "1.26.4", "pandas": None, "pyarrow": "21.0.0"}
    needs = ["numpy>=2.0", "pandas>=2.2", "pyarrow>=17"]
    told = build._unfit(python, [3, 12], versions, needs)
    assert told.endswith(f"{python} -m pip install 'numpy>=2.0' 'pandas>=2.2'")
    assert build._unfit(python, [3, 9], {}, []) == "is Python 3.9; daskrun needs 3.11 or later."
    assert build._unfit(python, [3, 11], {}, []) == ""
