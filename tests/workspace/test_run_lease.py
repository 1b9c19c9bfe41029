"""That a process drives a run behind a URL."""

import threading
import time
from dataclasses import replace

import pytest
from running import wait_for

from daskrun.core.intervals import USUAL
from daskrun.errors import StorageError
from daskrun.storage import lease as lease_file
from daskrun.storage.lease import Lease
from daskrun.storage.mirror import Mirror
from daskrun.storage.stores import open_url_folder
from daskrun.workspace.run_folders.run_lease import RunLease


@pytest.fixture
def make(bucket, tmp_path):
    """Make the lease of a run."""

    def made(**intervals):
        (tmp_path / "run1").mkdir()
        remote = open_url_folder(f"{bucket.url}/run1", bucket.options)
        shorter = replace(USUAL, upload_interval=0.05, closing_retry=0.05, **intervals)
        return RunLease(Mirror(tmp_path / "run1", remote), shorter)

    return made


@pytest.fixture
def held(make):
    return make()


def test_others_look_while_one_waits_for_the_lease_of_another_machine(make, monkeypatch):
    held = make(lease_lifetime=1000.0, lease_look=0.05)
    Lease(held.lease.folder).acquire()
    monkeypatch.setattr(lease_file, "_machine", lambda: "another")
    looks = []
    look = Lease._look
    monkeypatch.setattr(Lease, "_look", lambda self: looks.append(self) or look(self))
    waits = threading.Thread(target=held.acquire)
    waits.start()
    wait_for(lambda: len(looks) > 2)
    for _ in range(3):
        assert held.is_held()  # by the other
        assert not held.held
    held.lease.intervals = replace(held.lease.intervals, lease_lifetime=0.0)
    waits.join()
    assert held.held
    held.close()


def test_a_store_that_fails_at_the_end_is_asked_again(held, bucket):
    held.acquire()
    (held._mirrors["run1"].folder / "report.json").write_text("{}")
    bucket.fail("PUT", "/run1/report.json", count=3, status=403)
    bucket.fail("PUT", "/run1/lease/", count=2, status=403)
    held.close()
    assert bucket.get("run1/report.json") == b"{}"
    assert not held.held
    assert not Lease(held.lease.folder).is_held()


def test_a_store_that_fails_for_ever_is_given_up(make, bucket, caplog):
    held = make(closing_limit=0.2)
    held.acquire()
    bucket.fail("PUT", "/run1/lease/", count=1000, status=403)
    held.close()
    assert "a run's lease could not be released" in caplog.text
    assert not held.held


def test_one_that_is_being_closed_is_not_waited_for_without_end(make):
    held = make(closing_limit=0.2)
    held.acquire()
    held._closing = True  # as where the store takes minutes for what is put at the end
    with pytest.raises(StorageError, match="is driven by this process already"):
        held.acquire()
    held._closing = False
    held.close()


def test_that_the_store_fails_is_known_until_something_could_be_put(make, bucket):
    held = make(lease_check=0.01)  # the lease itself is not due
    held.acquire()
    bucket.fail("PUT", "/run1/", count=10**6, status=403)
    (held._mirrors["run1"].folder / "log.txt").write_text("a")
    wait_for(lambda: held.trouble)
    for _ in range(20):
        time.sleep(0.01)
        assert held.trouble
    bucket.heal()
    wait_for(lambda: not held.trouble)
    held.close()


def test_one_that_is_closed_touches_nothing_of_the_next(held, monkeypatch):
    release, released = RunLease._release, threading.Event()

    def release_and_linger(self):
        release(self)
        released.set()
        time.sleep(0.2)

    held.acquire()
    with monkeypatch.context() as patch:
        patch.setattr(RunLease, "_release", release_and_linger)
        closes = threading.Thread(target=held.close)
        closes.start()
        released.wait(10)
        held.acquire()  # waits for the end of that
    closes.join()
    assert held.held
    assert held._threads[0].is_alive()
    held.check()
    held.close()
    assert not Lease(held.lease.folder).is_held()


def test_an_error_that_nobody_has_thought_of_ends_neither_renewals_nor_puts(make, monkeypatch):
    held, failed = make(lease_check=0.02), []

    def fail(*_, **__):
        failed.append(1)
        raise LookupError("nobody has thought of this")

    with monkeypatch.context() as patch:
        for part in ("renew", "check"):
            patch.setattr(held.lease, part, fail)
        held.acquire()
        wait_for(lambda: len(failed) > 4)
        assert held.trouble == "LookupError: nobody has thought of this"
        assert all(thread.is_alive() for thread in held._threads)
    held.close()
