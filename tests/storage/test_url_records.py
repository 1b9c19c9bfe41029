"""Records behind a URL: the same as in a folder, created by the store itself."""

import json
import subprocess
import sys

import pytest

from daskrun.errors import NameNotFoundError, SettingsError, StorageError
from daskrun.storage.record_store import UrlRecordStore
from daskrun.storage.records import Records
from daskrun.storage.stores import open_url_folder


@pytest.fixture
def records(bucket):
    return records_of(bucket)


def records_of(bucket):
    return Records(UrlRecordStore(open_url_folder(f"{bucket.url}/ws", bucket.options)))


def test_numbers_run_from_one_and_the_last_is_the_latest(records, bucket):
    assert records.latest("models", "mnist") is None
    assert [records.create("models", "mnist", {"n": n}) for n in range(1, 13)] == [*range(1, 13)]
    assert records.latest("models", "mnist") == (12, {"n": 12})
    assert records.get("models", "mnist", 2) == {"n": 2}
    assert records.numbers("models", "mnist") == [*range(1, 13)]
    assert json.loads(bucket.get("ws/models/mnist/12.json")) == {"n": 12}
    assert records.names("models") == ["mnist"]
    assert records.names("datasets") == []


def test_a_number_that_is_taken_is_said(records):
    assert records.create("models", "m", {"a": 1}, 1) == 1
    with pytest.raises(StorageError, match=r"number=1 is taken: there is s3://.*/models/m/1\.json"):
        records.create("models", "m", {"a": 2}, 1)
    assert records.get("models", "m", 1) == {"a": 1}


def test_deleting(records, bucket):
    for n in (1, 2, 3):
        records.create("models", "m", {"n": n})
    records.create("models", "m2", {"n": 1})
    assert records.delete_one("models", "m", 3)
    assert not records.delete_one("models", "m", 3)
    assert records.latest("models", "m") == (2, {"n": 2})
    with pytest.raises(NameNotFoundError, match="m:3"):
        records.get("models", "m", 3)
    assert records.create("models", "m", {"n": 4}) == 4  # 3 is never given again
    assert records.delete("models", "m")
    assert not records.delete("models", "m")
    assert records.names("models") == ["m2"]
    assert bucket.keys() == ["ws/models/m2/1.json"]


def test_what_is_not_a_number_is_no_record(records, bucket):
    records.create("models", "m", {"a": 1})
    for name in ("0.json", "01.json", "2.json.bak", "code/7.json"):
        bucket.put(f"ws/models/m/{name}", b"{}")
    bucket.put("ws/models/n/code/1.json", b"{}")
    assert records.numbers("models", "m") == [1]
    assert records.names("models") == ["m"]


def test_a_name_that_can_not_be_one_is_refused(records, bucket):
    with pytest.raises(SettingsError, match="has a slash"):
        records.create("models", "a/b", {})
    assert bucket.keys() == []


@pytest.mark.slow
def test_processes_that_create_at_once_get_numbers_of_their_own(bucket):
    code = (
        "import sys, json\n"
        "from daskrun.storage.records import Records\n"
        "from daskrun.storage.record_store import UrlRecordStore\n"
        "from daskrun.storage.stores import open_url_folder\n"
        "records = Records(UrlRecordStore(open_url_folder(sys.argv[1], json.loads(sys.argv[2]))))\n"
        "sys.stdin.readline()\n"
        "print([records.create('models', 'm', {}) for _ in range(5)])\n"
    )
    command = [sys.executable, "-c", code, f"{bucket.url}/ws", json.dumps(bucket.options)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    both = [subprocess.Popen(command, **pipes) for _ in range(2)]
    for process in both:
        process.stdin.write("\n")
        process.stdin.flush()
    told = [json.loads(process.communicate(timeout=60)[0]) for process in both]
    assert sorted([*told[0], *told[1]]) == [*range(1, 11)]


def test_an_answer_that_was_lost_is_no_other_process(records, bucket, monkeypatch):
    """The store did it, and the connection broke before it said so: the next try meets its own."""
    folder = records._store._folder
    once = []
    call = folder.call

    def breaks_once(method, name, **arguments):
        answer = call(method, name, **arguments)
        if method == "put_object" and not once:
            once.append(arguments)
            return call(method, name, **arguments)  # as s3fs does by itself
        return answer

    monkeypatch.setattr(folder, "call", breaks_once)
    assert records.create("models", "m", {"a": 1}) == 1
    assert once
    assert bucket.keys() == ["ws/models/m/1.json"]


@pytest.mark.slow
def test_a_store_that_fails_for_a_moment_is_asked_again(records, bucket):
    bucket.fail("PUT", "models/m/1.json", count=6)
    assert records.create("models", "m", {"a": 1}) == 1
