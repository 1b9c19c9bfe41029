"""Files made once on a node, by whichever process comes first."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from daskrun.data.tabular.formats import node_cache as cache
from daskrun.data.tabular.formats.node_cache import NodeCache

MAKER = """
import sys, time
from pathlib import Path
from daskrun.data.tabular.formats.node_cache import NodeCache

def make(target):
    with open(sys.argv[2], "a") as log:
        log.write("made\\n")
    Path(target).write_text("half")
    time.sleep(float(sys.argv[3]))
    Path(target).write_text("whole")

print(Path(NodeCache(sys.argv[1]).get("key", make)).read_text())
"""


def start(tmp_path, seconds):
    return subprocess.Popen(
        [sys.executable, "-c", MAKER, tmp_path / "cache", tmp_path / "log", str(seconds)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
    )


def test_one_of_many_processes_makes_it_and_all_wait_for_it(tmp_path):
    processes = [start(tmp_path, 0.3) for _ in range(3)]
    assert [process.communicate(timeout=30)[0] for process in processes] == ["whole\n"] * 3
    assert (tmp_path / "log").read_text() == "made\n"


def test_a_maker_that_is_killed_leaves_nothing_half(tmp_path):
    killed = start(tmp_path, 60)
    until = time.monotonic() + 20
    while not list((tmp_path / "cache").glob("*.part")):
        assert time.monotonic() < until
        time.sleep(0.01)
    waiting = start(tmp_path, 0)
    killed.send_signal(signal.SIGKILL)
    killed.communicate(timeout=30)
    assert waiting.communicate(timeout=30)[0] == "whole\n"
    assert (tmp_path / "log").read_text() == "made\n" * 2


def test_threads_of_a_process_wait_for_one_another(tmp_path):
    made, found = [], []

    def make(target):
        made.append(target)
        time.sleep(0.1)
        Path(target).write_text("x")

    threads = [
        threading.Thread(target=lambda: found.append(NodeCache(str(tmp_path)).get("key", make)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    assert len(set(found)) == 1


def test_what_fails_is_raised_leaves_nothing_and_is_tried_again(tmp_path):
    def fail(target):
        Path(target).write_text("half")
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        NodeCache(str(tmp_path)).get("key", fail)
    assert [path.suffix for path in tmp_path.iterdir()] == [".lock"]
    path = NodeCache(str(tmp_path)).get("key", lambda target: Path(target).write_text("x"))
    assert Path(path).read_text() == "x"


def test_the_folder_is_made_when_it_is_first_used(tmp_path):
    folder = tmp_path / "a" / "b"
    kept = NodeCache(str(folder))
    assert not folder.exists()
    assert Path(kept.get("key", lambda target: Path(target).touch())).parent == folder


def test_a_full_disk_costs_the_files_asked_for_longest_ago(tmp_path, monkeypatch):
    kept = NodeCache(str(tmp_path))
    paths = [Path(kept.get(str(n), lambda target: Path(target).touch())) for n in range(4)]
    for ago, path in zip((300, 400, 200, 0), paths, strict=True):
        os.utime(path, (time.time() - ago,) * 2)
    monkeypatch.setattr(cache, "_enough", lambda folder: not paths[0].exists())
    kept.get("new", lambda target: Path(target).touch())
    assert [path.exists() for path in paths] == [False, False, True, True]
    monkeypatch.setattr(cache, "_enough", lambda folder: False)
    kept.get("newer", lambda target: Path(target).touch())  # what may be in use stays
    assert [path.exists() for path in paths] == [False, False, False, True]
