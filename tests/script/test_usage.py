"""What nodes and processes use, as it is noted."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from running import OneNode, make_request

from daskrun.script.keeper.usage import UsageLog, load_psutil

if TYPE_CHECKING:
    from pathlib import Path

LIMIT = 1 << 20
PSUTIL = load_psutil()


def noted(folder: Path, name: str) -> list[dict[str, str]]:
    path = folder / f"{name}_resource_usage.csv"
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def burn(seconds: float) -> None:
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def test_what_is_used_since_the_last_note(tmp_path: Path) -> None:
    log = UsageLog(tmp_path / "perf", 5, LIMIT, PSUTIL)
    log.note({"me": os.getpid()})
    began = time.monotonic()
    burn(0.3)
    log.note({"me": os.getpid(), "gone": 2**22 + 1})
    took = time.monotonic() - began
    first, second = noted(tmp_path / "perf", "processes")
    assert (second["Process"], int(second["Pid"])) == ("me", os.getpid())
    assert float(second["Cores Used"]) == pytest.approx(0.3 / took, rel=0.3)
    assert int(first["Memory (MB)"]) > 5
    node = noted(tmp_path / "perf", "node")[-1]
    assert 0.3 / took * 0.7 < float(node["Cores Used"]) <= int(node["Cores"]) * 1.1
    assert 0 < int(node["Memory Used (MB)"]) < int(node["Memory (MB)"])
    assert len(node["Time (UTC)"]) == len("2026-11-04 09:30:12")


def test_the_first_note_of_a_process_is_of_all_its_life(tmp_path: Path) -> None:
    code = "import time\nwhile time.process_time() < 0.5: pass\nprint(flush=True)\ninput()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", code], **pipes) as process:
        assert process.stdout is not None
        process.stdout.readline()
        UsageLog(tmp_path, 5, LIMIT, PSUTIL).note({"busy": process.pid})
        process.communicate(b"\n")
    [row] = noted(tmp_path, "processes")
    assert 0.1 < float(row["Cores Used"]) < 1.2


def test_notes_come_when_it_is_time_and_never_where_none_are_wanted(tmp_path: Path) -> None:
    log, none = (UsageLog(tmp_path / f"{n}", n, LIMIT, PSUTIL) for n in (5, 0))
    now = time.monotonic()
    for after in (1, 4, 6, 7, 10, 12, 15, 20):  # first after 2, then after 4 seconds
        log.look(now + after, dict)
        none.look(now + after, dict)
    none.note({})
    assert len(noted(tmp_path / "5", "node")) == 4
    assert not (tmp_path / "0").exists()


def test_a_file_that_can_not_be_written_or_read_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "perf").touch()
    UsageLog(tmp_path / "perf", 5, LIMIT, PSUTIL).note({"me": os.getpid()})
    monkeypatch.setitem(sys.modules, "psutil", None)
    assert load_psutil() is None
    UsageLog(tmp_path / "other", 5, LIMIT, None).note({"me": os.getpid()})
    assert not (tmp_path / "other").exists()


def test_the_middle_of_a_long_file_is_left_out(tmp_path: Path) -> None:
    log = UsageLog(tmp_path, 5, 2000, PSUTIL)
    for _ in range(200):
        log.note({})
    assert (tmp_path / "node_resource_usage.csv").stat().st_size < 2200


@pytest.mark.slow
@pytest.mark.usefixtures("own_temporary_folder")
def test_a_node_notes_what_it_and_its_processes_use(tmp_path: Path) -> None:
    code = "import time\ndef run(mini_batch):\n    time.sleep(1.5)\n    return mini_batch\n"
    request = make_request(tmp_path, code, resource_monitor_interval=0.5)
    with OneNode(request) as node:
        node.run(0)
        folder = request.run_folder / "logs" / "sys" / "perf" / "node000"
        during = noted(folder, "processes")
    after = noted(folder, "processes")  # there is one of a run's end
    names = ["keeper", "process000"]
    assert [row["Process"] for row in during[:2]] == [row["Process"] for row in after[-2:]] == names
    assert len(after) >= len(during) + 2
    assert len(noted(folder, "node")) * 2 == len(after)


@pytest.mark.usefixtures("own_temporary_folder")
def test_a_node_notes_nothing_where_that_is_not_wanted(tmp_path: Path) -> None:
    request = make_request(tmp_path, resource_monitor_interval=0)
    with OneNode(request) as node:
        node.run(0)
    assert not (request.run_folder / "logs" / "sys" / "perf").exists()
