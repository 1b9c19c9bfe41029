"""Logs that are capped, node folders that are cleared, processes that are found and ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from running import alive, wait_for

from daskrun.script import reaper
from daskrun.script.keeper.log_cap import cap_log
from daskrun.script.node_folders import base_folder, claim, clear_leftovers

if TYPE_CHECKING:
    from pathlib import Path


pytestmark = pytest.mark.usefixtures("own_temporary_folder")


def test_a_small_log_is_left_alone(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"x" * 1000)
    cap_log(log, 1000)
    cap_log(tmp_path / "none", 1000)
    assert log.read_bytes() == b"x" * 1000


def test_a_log_keeps_its_beginning_and_its_end(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("ab") as writer:
        writer.write(b"".join(b"%07d\n" % n for n in range(1000)))
        writer.flush()
        cap_log(log, 4000)
        writer.write(b"after the cut\n")
    text = log.read_bytes()
    assert text.startswith(b"0000000\n0000001\n")
    assert b"left out 5000 bytes" in text
    assert text.endswith(b"0000999\nafter the cut\n")
    assert len(text) < 4000
    assert len(text.splitlines()[-3]) == 7


def test_a_log_stays_bounded_however_often_it_is_capped(tmp_path: Path) -> None:
    log = tmp_path / "log"
    for n in range(50):
        with log.open("ab") as writer:
            writer.write(b"%03d" % n * 1000)
        cap_log(log, 4000)
        assert log.stat().st_size <= 4000
    assert log.read_bytes().startswith(b"000")
    assert log.read_bytes().endswith(b"049")


def test_a_claimed_folder_is_nobodys_leftover_until_its_holder_is_gone(tmp_path: Path) -> None:
    base = base_folder()
    lock = claim(base / "run-node")
    assert clear_leftovers(base) == []
    assert (base / "run-node" / "lock").exists()
    orphan = subprocess.Popen(
        ["sleep", "60"],
        env={**os.environ, reaper.MARK: str(base / "run-node")},
        start_new_session=True,
    )
    (base / "run-node" / "work").mkdir()
    os.close(lock)
    assert clear_leftovers(base) == ["run-node"]
    assert orphan.wait(10) == -signal.SIGKILL
    assert not (base / "run-node").exists()


def test_a_folder_being_made_and_a_base_that_is_not_there_are_left_alone(tmp_path: Path) -> None:
    base = base_folder()
    assert clear_leftovers(base) == []
    (base / ".being-made").mkdir(parents=True)
    (base / "no-lock-yet").mkdir()
    assert clear_leftovers(base) == []
    assert (base / ".being-made").exists()


def test_descendants_are_found_in_whatever_session(tmp_path: Path) -> None:
    code = """
import subprocess, sys, time
child = subprocess.Popen(["sleep", "60"], start_new_session=True)
print(child.pid, flush=True)
time.sleep(60)
"""
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    found = reaper.descendants(os.getpid())
    assert {parent.pid, child} <= set(found)
    assert found.index(parent.pid) < found.index(child)
    assert reaper.kill_all(lambda: [p for p in found if p in (parent.pid, child)]) == []
    assert parent.wait(10) == -signal.SIGKILL
    parent.stdout.close()
    wait_for(lambda: not alive(child))


def test_only_the_very_mark_is_matched(tmp_path: Path) -> None:
    longer = subprocess.Popen(["sleep", "60"], env={"MARK_X": "/a/b-2"})
    exact = subprocess.Popen(["sleep", "60"], env={"MARK_X": "/a/b"})
    try:
        wait_for(lambda: reaper.marked("MARK_X", "/a/b") == [exact.pid])
    finally:
        for process in (longer, exact):
            process.kill()
            process.wait()


def test_a_subreaper_reaps_what_it_inherits_and_nothing_of_its_own(tmp_path: Path) -> None:
    code = """
import os, subprocess, sys, time
from daskrun.script import reaper
reaper.become_subreaper()
own = subprocess.Popen(["sleep", "0.05"])
made = subprocess.run(["sh", "-c", "sleep 0.05 & echo $!"], stdout=subprocess.PIPE, text=True)
orphan, reaped, deadline = int(made.stdout), [], time.monotonic() + 10
while not reaped and time.monotonic() < deadline:
    own.poll() if reaped else None
    os.waitid(os.P_PID, own.pid, os.WEXITED | os.WNOWAIT)
    reaped += reaper.reap_orphans([own.pid])
    if not reaped:
        own.wait()
        own = subprocess.Popen(["sleep", "0.05"])
print(reaped == [orphan], own.wait())
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout == "True 0\n"


def test_a_dead_process_does_not_count_as_left(tmp_path: Path) -> None:
    child = subprocess.Popen(["true"])
    wait_for(lambda: not alive(child.pid))  # a zombie: nobody has waited for it
    began = time.monotonic()
    assert reaper.kill_all(lambda: [child.pid]) == []
    assert time.monotonic() - began < 5
    child.wait()
