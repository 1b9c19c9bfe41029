"""What runs log: nothing that was said to be logged is ever lost, and how it is folded."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest

from daskrun.errors import StorageError
from daskrun.storage import metric_files as metrics
from daskrun.storage.metric_files import MetricFolder, folded, tags

LOGGING = """
import pathlib, sys
from daskrun.storage.metric_files import MetricFolder
folder = MetricFolder(pathlib.Path(sys.argv[1]), "node000/process00" + sys.argv[2])
for n in range(int(sys.argv[3])):
    folder.add("value", "n", f"{sys.argv[2]}-{n}")
    sys.stdout.write(f"{n}\\n")
    sys.stdout.flush()
"""


def make(folder, *records):
    found = MetricFolder(folder)
    for kind, name, value in records:
        found.add(kind, name, value)
    return found


def test_fifty_threads_lose_none(tmp_path):
    def log(thread):
        folder = MetricFolder(tmp_path)
        for n in range(40):
            folder.add("value", f"metric{n % 4}", [thread, n])

    threads = [threading.Thread(target=log, args=(n,)) for n in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = folded(MetricFolder(tmp_path).records())
    counted = Counter(tuple(pair) for values in found.values() for pair in values)
    assert counted == {(thread, n): 1 for thread in range(50) for n in range(40)}
    for name, values in found.items():
        for thread in range(50):  # what one thread has logged stays in its order
            own = [n for who, n in values if who == thread]
            assert own == sorted(own), name


def test_processes_and_those_that_are_killed_lose_none(tmp_path):
    counts = [50, 50, 10**6, 10**6]
    commands = [
        [sys.executable, "-c", LOGGING, str(tmp_path), str(n), str(count)]
        for n, count in enumerate(counts)
    ]
    processes = [subprocess.Popen(c, stdout=subprocess.PIPE, text=True) for c in commands]
    said = [[process.stdout.readline() for _ in range(50)] for process in processes]
    for process in processes[2:]:
        process.send_signal(signal.SIGKILL)
    for process, lines in zip(processes, said, strict=True):
        lines += process.stdout.readlines()
        process.stdout.close()
        process.wait()
    found = folded(MetricFolder(tmp_path).records())["n"]
    assert len(found) == len(set(found))
    for n, lines in enumerate(said):
        told = {f"{n}-{line.strip()}" for line in lines if line.endswith("\n")}
        assert told <= set(found)
        assert 50 <= len(told) < 10**6


def test_a_copy_of_a_process_has_a_file_of_its_own(tmp_path):
    make(tmp_path, ("value", "who", "first"))
    with metrics._process.lock:  # as another thread may hold it while this one forks
        child = os.fork()
        if not child:
            MetricFolder(tmp_path).add("value", "who", "copy")
            os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert folded(MetricFolder(tmp_path).records()) == {"who": ["first", "copy"]}
    assert len(list((tmp_path / "metrics").iterdir())) == 2


def test_what_cannot_be_written_is_taken_back_and_said(tmp_path, monkeypatch):
    folder = make(tmp_path, ("value", "loss", 1))
    real = os.write

    def full(descriptor, data):
        if len(data) < 20:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, data[:5])

    monkeypatch.setattr(metrics.os, "write", full)
    with pytest.raises(StorageError, match=r"can't log 'loss' in .*No space left.*free space"):
        folder.add("value", "loss", 2)
    monkeypatch.undo()
    folder.add("value", "loss", 3)
    assert folded(folder.records()) == {"loss": [1, 3]}


def test_a_short_write_goes_on(tmp_path, monkeypatch):
    real = os.write
    monkeypatch.setattr(metrics.os, "write", lambda fd, data: real(fd, data[:7]))
    assert folded(make(tmp_path, ("value", "text", "long " * 9)).records()) == {"text": "long " * 9}


def test_a_line_that_is_torn_is_passed_over(tmp_path):
    folder = make(tmp_path, ("value", "loss", 1))
    (file,) = (tmp_path / "metrics").iterdir()
    line = file.read_bytes()
    (tmp_path / "metrics" / "other.jsonl").write_bytes(line[:9] + b"\n" + line + line[:-1])
    assert folded(folder.records()) == {"loss": [1, 1]}


def test_a_clock_put_back_does_not_change_the_order_of_a_process(tmp_path, monkeypatch):
    times = iter([100.0, 50.0, 60.0])
    monkeypatch.setattr(metrics.time, "time", lambda: next(times))
    folder = make(tmp_path, *[("value", "n", n) for n in range(3)])
    assert folded(folder.records()) == {"n": [0, 1, 2]}


def test_without_a_folder_there_is_none_and_a_removed_run_is_not_made_again(tmp_path):
    assert MetricFolder(tmp_path / "gone").records() == []
    with pytest.raises(StorageError, match="was removed"):
        MetricFolder(tmp_path / "gone").add("value", "loss", 1)
    assert not (tmp_path / "gone").exists()


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        ([("value", 1)], 1),
        ([("value", 1), ("value", 2)], [1, 2]),
        ([("list", [1])], [1]),
        ([("list", [1, 2]), ("value", 3)], [1, 2, 3]),
        ([("row", {"x": 1, "y": 2})], {"x": 1, "y": 2}),
        ([("row", {"x": 1}), ("row", {"x": 2})], {"x": [1, 2]}),
        ([("row", {"x": 1}), ("row", {"y": 2})], {"x": [1, None], "y": [None, 2]}),
        ([("table", {"x": [1, 2]})], {"x": [1, 2]}),
        (
            [("table", {"x": [1, 2]}), ("row", {"x": 3, "y": 4})],
            {"x": [1, 2, 3], "y": [None, None, 4]},
        ),
        ([("value", 1), ("row", {"x": 2})], [1, {"x": 2}]),
        ([("tag", "a")], None),
    ],
)
def test_how_records_of_a_name_become_its_metric(tmp_path, records, expected):
    found = make(tmp_path, *[(kind, "m", value) for kind, value in records]).records()
    assert folded(found).get("m") == expected


def test_tags_are_as_set_last(tmp_path):
    folder = make(tmp_path, ("tag", "model", "a"), ("tag", "kind", None), ("tag", "model", "b"))
    assert tags(folder.records()) == {"model": "b", "kind": None}


def test_images_are_where_the_folder_is_now(tmp_path):
    (tmp_path / "first").mkdir()
    MetricFolder(tmp_path / "first").add_image("roc/a curve", b"PNG", ".png", "of the test set")
    (tmp_path / "first").rename(tmp_path / "second")
    (record,) = MetricFolder(tmp_path / "second").records()
    assert Path(record.value).is_relative_to(tmp_path / "second")
    assert Path(record.value).read_bytes() == b"PNG"
    assert record.description == "of the test set"


def test_lines_are_plain_json(tmp_path):
    make(tmp_path, ("value", "näme\n", "line\nbreak \udce9"))
    (file,) = (tmp_path / "metrics").iterdir()
    (line,) = file.read_bytes().splitlines()
    assert json.loads(line)[1:] == ["value", "näme\n", "line\nbreak \udce9", ""]
