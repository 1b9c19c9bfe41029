"""A lock behind a URL. Other machines are played by another name for this one."""

import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace

import pytest

from daskrun.core.intervals import USUAL
from daskrun.errors import StorageError
from daskrun.storage import lease as lease_file
from daskrun.storage.lease import Lease
from daskrun.storage.stores import open_url_folder


@pytest.fixture
def folder(bucket):
    return open_url_folder(f"{bucket.url}/run", bucket.options)


@pytest.fixture
def elsewhere(monkeypatch):
    """Have all that is done from now on done on another machine, with leases of short lives."""

    def move(old):
        monkeypatch.setattr(lease_file, "_machine", lambda: "another")
        return replace(USUAL, lease_lifetime=old, lease_look=0.05)

    return move


def test_one_holds_it(folder):
    mine = Lease(folder)
    mine.acquire()
    with pytest.raises(StorageError, match=rf"is locked by process {os.getpid()} on "):
        Lease(folder).acquire()
    assert Lease(folder).is_held()
    mine.release()
    assert not Lease(folder).is_held()
    theirs = Lease(folder)
    theirs.acquire()
    assert (mine.number, theirs.number) == (1, 2)


def test_of_many_that_take_it_at_once_one_does(bucket):
    start, held = threading.Barrier(8), []

    def take():
        lease = Lease(open_url_folder(f"{bucket.url}/run", bucket.options))
        start.wait()
        try:
            lease.acquire()
        except StorageError:
            return
        held.append(lease)

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(held) == 1


def test_that_of_a_dead_process_of_this_machine_is_free_at_once(folder, bucket):
    code = (
        "import os, signal\n"
        "from daskrun.storage.lease import Lease\n"
        "from daskrun.storage.stores import open_url_folder\n"
        f"Lease(open_url_folder({folder.url!r}, {bucket.options!r})).acquire()\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    dead = subprocess.run([sys.executable, "-c", code], check=False, timeout=60)
    assert dead.returncode == -signal.SIGKILL
    assert not Lease(folder).is_held()
    Lease(folder).acquire()


def test_one_of_another_machine_is_waited_for_until_it_is_old(folder, elsewhere):
    Lease(folder).acquire()
    theirs = Lease(folder, elsewhere(old=0.5))
    assert theirs.is_held()
    theirs.acquire()
    assert theirs.number == 2


def test_one_of_another_machine_that_is_renewed_is_not_taken(folder, elsewhere):
    mine = Lease(folder, replace(USUAL, lease_renewal=0.1))
    mine.acquire()
    over = threading.Event()

    def renew():
        while not over.wait(0.1):
            mine.renew()

    thread = threading.Thread(target=renew)
    thread.start()
    try:
        theirs = Lease(folder, elsewhere(old=30.0))
        with pytest.raises(StorageError, match=f"is locked by process {os.getpid()} on"):
            theirs.acquire()
    finally:
        over.set()
        thread.join()


def test_who_was_stopped_for_too_long_learns_of_it(folder, elsewhere):
    mine = Lease(folder, replace(USUAL, lease_renewal=0.0))
    mine.acquire()
    Lease(folder, elsewhere(old=0.2)).acquire()
    with pytest.raises(StorageError, match="was taken over by process"):
        mine.renew()
    assert not mine.held
    mine.release()  # does nothing any more
    assert Lease(folder).is_held()


def test_a_clock_that_is_wrong_by_minutes_takes_nothing(folder, elsewhere, monkeypatch):
    Lease(folder).acquire()
    intervals = elsewhere(old=60.0)
    now = lease_file.time.time
    monkeypatch.setattr(lease_file.time, "time", lambda: now() + 600)
    assert Lease(folder, intervals).is_held()
    monkeypatch.setattr(lease_file.time, "time", lambda: now() + 86400)
    assert not Lease(folder, intervals).is_held()


def test_a_number_that_others_have_had_and_left_meanwhile_is_no_lease(folder, monkeypatch):
    create, others = type(folder).create, []

    def meanwhile(self, name, data):
        if not others:  # both come and go after the look, and number 1 is removed
            others.extend([Lease(folder), Lease(folder)])
            for other in others:
                other.acquire()
                other.release()
            others[1].acquire()
        create(self, name, data)

    monkeypatch.setattr(type(folder), "create", meanwhile)
    late = Lease(folder)
    with pytest.raises(StorageError, match=r"was taken by process \d+ on .* just now"):
        late.acquire()
    assert not late.held
    assert others[1].held
    others[1].check()


def test_old_numbers_go(folder, bucket):
    for _ in range(3):
        lease = Lease(folder)
        lease.acquire()
        lease.release()
    assert bucket.keys() == ["run/lease/3.json"]


def test_one_that_could_not_be_released_is_free_for_its_own_process(folder, monkeypatch):
    lease = Lease(folder)
    lease.acquire()
    lease.held = False  # as where the store failed when it was to be released
    assert not lease.is_held()
    lease.acquire()
    assert lease.number == 2
