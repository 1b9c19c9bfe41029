import os
import signal
import subprocess
import sys
import threading

import pytest

from daskrun.errors import StorageError
from daskrun.storage.lock import RunLock

HOLD = """
import sys, pathlib
from daskrun.storage.lock import RunLock
lock = RunLock(pathlib.Path(sys.argv[1]))
lock.acquire()
print("held", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def holder(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, tmp_path / "lock"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate(timeout=60)


def test_another_process_is_named(tmp_path, holder):
    lock = RunLock(tmp_path / "lock")
    host = os.uname().nodename
    with pytest.raises(StorageError, match=f"locked by process {holder.pid} on {host}"):
        lock.acquire()
    assert not lock.held


@pytest.mark.parametrize("end", ["exit", "kill"])
def test_the_lock_ends_with_its_holder(tmp_path, holder, end):
    if end == "exit":
        holder.communicate("\n", timeout=60)
    else:
        holder.send_signal(signal.SIGKILL)
        holder.wait(timeout=60)
    with RunLock(tmp_path / "lock") as lock:
        assert lock.held
        assert str(os.getpid()) in (tmp_path / "lock").read_text()


def test_close_releases_and_may_be_called_again(tmp_path):
    first, second = RunLock(tmp_path / "lock"), RunLock(tmp_path / "lock")
    first.acquire()
    first.acquire()  # held already: nothing happens
    with pytest.raises(StorageError, match=f"process {os.getpid()}"):
        second.acquire()
    first.close()
    first.close()
    assert (tmp_path / "lock").read_bytes() == b""
    second.acquire()
    second.close()


def test_a_holder_that_said_nothing_yet_is_another_process(tmp_path):
    lock = RunLock(tmp_path / "lock")
    lock.acquire()
    os.truncate(tmp_path / "lock", 0)
    with pytest.raises(StorageError, match="locked by another process"):
        RunLock(tmp_path / "lock").acquire()
    lock.close()


def test_a_spawned_child_does_not_keep_the_lock(tmp_path):
    lock = RunLock(tmp_path / "lock")
    lock.acquire()
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    os.close(lock._descriptor)  # what the holder's death does, without LOCK_UN
    try:
        with RunLock(tmp_path / "lock") as other:
            assert other.held
    finally:
        child.communicate(b"\n", timeout=60)


def test_only_one_of_many_threads_gets_it(tmp_path):
    locks = [RunLock(tmp_path / "lock") for _ in range(16)]
    failed = []

    def take(lock):
        try:
            lock.acquire()
        except StorageError as error:
            failed.append(str(error))

    threads = [threading.Thread(target=take, args=(lock,)) for lock in locks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(lock.held for lock in locks) == 1
    assert len(failed) == 15
    for lock in locks:
        lock.close()


def test_no_folder_and_no_locks_are_said(tmp_path, monkeypatch):
    with pytest.raises(StorageError, match=r"can't open the lock .*none"):
        RunLock(tmp_path / "none" / "lock").acquire()

    def unable(*args):
        raise OSError(37, "No locks available")

    monkeypatch.setattr("fcntl.flock", unable)
    with pytest.raises(StorageError, match=r"can't lock .*No locks available"):
        RunLock(tmp_path / "lock").acquire()
