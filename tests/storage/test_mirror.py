"""A folder here and its like behind a URL."""

import os
import time

import pytest

from daskrun.errors import StorageError
from daskrun.storage.mirror import Mirror, bring_whole
from daskrun.storage.stores import open_url_folder
from daskrun.storage.url_folder import Put


@pytest.fixture
def remote(bucket):
    return open_url_folder(f"{bucket.url}/run", bucket.options)


@pytest.fixture
def here(tmp_path):
    (tmp_path / "here" / "logs").mkdir(parents=True)
    (tmp_path / "here" / "logs" / "a.txt").write_text("a")
    (tmp_path / "here" / "run.json").write_text("{}")
    (tmp_path / "here" / ".17-0123456789abcdef.tmp").write_text("half written")
    return tmp_path / "here"


def puts(bucket):
    return [each.path.rpartition("/run/")[2] for each in bucket.asked("PUT", "/run/")]


def test_what_is_new_or_changed_is_put_and_nothing_deleted_unasked(here, remote, bucket):
    mirror = Mirror(here, remote)
    mirror.put(last="run.json")
    assert puts(bucket) == ["logs/a.txt", "run.json"]
    mirror.put()
    assert len(puts(bucket)) == 2
    (here / "logs" / "a.txt").write_text("ab")
    (here / "run.json").unlink()  # as who tidies up temporary folders does
    mirror.put()
    assert puts(bucket)[2:] == ["logs/a.txt"]
    assert bucket.keys() == ["run/logs/a.txt", "run/run.json"]
    assert bucket.get("run/logs/a.txt") == b"ab"
    bucket.put("run/logs/theirs.txt", b"x")
    bucket.put("run/logs-of-others", b"x")
    mirror.delete("run.json", "logs", "none")
    assert bucket.keys() == ["run/logs-of-others"]
    assert not (here / "logs").exists()


def test_what_is_there_is_brought_over_what_is_here(here, remote, bucket, tmp_path):
    Mirror(here, remote).put()
    copy = Mirror(tmp_path / "copy", remote)
    copy.bring("logs", over=True)
    assert (tmp_path / "copy/logs/a.txt").read_text() == "a"
    assert not (tmp_path / "copy/run.json").exists()
    copy.bring("run.json", "none.json", over=True)
    assert (tmp_path / "copy/run.json").read_text() == "{}"
    (tmp_path / "copy/logs/mine.txt").write_text("m")
    bucket.put("run/logs/a.txt", b"b")  # of the same size
    copy.bring("logs", over=True)
    assert (tmp_path / "copy/logs/a.txt").read_text() == "b"
    assert not (tmp_path / "copy/logs/mine.txt").exists()
    asked = len(bucket.asked("GET", "/run/logs/a.txt"))
    copy.bring(over=True)
    assert len(bucket.asked("GET", "/run/logs/a.txt")) == asked  # it is here already
    remote.delete(["logs/a.txt"])
    copy.bring("logs", over=True)
    assert not (tmp_path / "copy/logs/a.txt").exists()


def test_what_was_put_from_here_is_not_brought_back(here, remote, bucket):
    mirror = Mirror(here, remote)
    mirror.put()
    bucket.put("run/logs/a.txt", b"theirs")
    bucket.put("run/logs/b.txt", b"theirs")
    mirror.bring("logs", over=False)
    assert (here / "logs/a.txt").read_text() == "a"
    assert (here / "logs/b.txt").read_text() == "theirs"
    mirror.bring("logs", over=True)
    assert (here / "logs/a.txt").read_text() == "theirs"


def test_a_name_that_begins_like_another(here, remote, bucket, tmp_path):
    bucket.put("run/logs-of-others/x", b"x")
    bucket.put("run-2/logs/y", b"y")
    Mirror(here, remote).put()
    Mirror(tmp_path / "copy", remote).bring("logs", over=True)
    assert [p.name for p in (tmp_path / "copy").rglob("*") if p.is_file()] == ["a.txt"]


def test_a_large_file_that_grows_is_put_more_seldom(here, remote, bucket):
    mirror = Mirror(here, remote)
    (here / "big").write_bytes(bytes(8 << 20))
    mirror.put()
    for name in ("big", "run.json"):
        with (here / name).open("ab") as file:
            file.write(b" ")
        os.utime(here / name, (time.time() + 9, time.time() + 9))
    before = len(puts(bucket))
    mirror.put(all_of_it=False)
    assert puts(bucket)[before:] == ["run.json"]
    mirror.put()
    assert len(bucket.get("run/big")) == (8 << 20) + 1


def test_what_can_be_put_is_where_the_store_refuses_a_file(here, remote, bucket):
    for number in range(5):
        (here / f"{number}.txt").write_text("x")
    bucket.fail("PUT", "2.txt", count=1000, status=403)
    with pytest.raises(StorageError, match=r"can't write s3://.*2\.txt"):
        Mirror(here, remote).put()
    there_now = bucket.keys()
    there = {key.removeprefix("run/") for key in there_now}
    assert there == {"0.txt", "1.txt", "3.txt", "4.txt", "logs/a.txt", "run.json"}


def test_a_file_or_folder_whole_or_not_at_all(here, remote, bucket, tmp_path):
    Mirror(here, remote).put()
    above = open_url_folder(bucket.url, bucket.options)
    bring_whole(above, "run", tmp_path / "all")
    assert (tmp_path / "all/logs/a.txt").read_text() == "a"
    bring_whole(remote, "run.json", tmp_path / "deep/model.json")
    assert (tmp_path / "deep/model.json").read_text() == "{}"
    remote.delete(["run.json"])
    bring_whole(remote, "run.json", tmp_path / "deep/model.json")  # there already
    with pytest.raises(StorageError, match=r"run\.json is not there"):
        bring_whole(remote, "run.json", tmp_path / "other.json")
    bucket.fail("GET", "a.txt", count=1000, status=403)
    with pytest.raises(StorageError, match=r"can't read s3://.*a\.txt"):
        bring_whole(above, "run", tmp_path / "again")
    assert not (tmp_path / "again").exists()
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_hidden_files_are_files(here, remote, bucket):
    (here / ".vocabulary").write_text("v")
    (here / ".hidden").mkdir()
    (here / ".hidden" / "x").write_text("x")
    Mirror(here, remote).put()
    assert {"run/.vocabulary", "run/.hidden/x"} < {*bucket.keys()}


def test_of_code_it_is_kept_what_may_be_executed_and_which_folders_are_empty(
    here, remote, bucket, tmp_path
):
    (here / "code/bin").mkdir(parents=True)
    (here / "code/empty/deep").mkdir(parents=True)
    (here / "code/bin/tool").write_text("#!/bin/sh")
    (here / "code/bin/tool").chmod(0o755)
    (here / "code/main.py").write_text("pass")
    (here / "logs/a.txt").chmod(0o755)  # no code
    bucket.fail("PUT", ".modes.json", count=1, status=403)
    mirror = Mirror(here, remote, code="code")
    with pytest.raises(StorageError, match="modes"):
        mirror.put()
    mirror.put(code=False)  # is put all the same: it was due
    for copy, below in (("all", ()), ("some", ("code",))):
        Mirror(tmp_path / copy, remote, code="code").bring(*below, over=True)
        files = {path for path in (tmp_path / copy).rglob("*") if os.access(path, os.X_OK)}
        assert {path.name for path in files if path.is_file()} == {"tool"}
        assert (tmp_path / copy / "code/empty/deep").is_dir()
        assert not list((tmp_path / copy).glob(".modes*"))


def test_a_file_of_the_name_that_modes_have_is_refused(here, remote, bucket):
    (here / ".modes.json").write_text("mine")
    with pytest.raises(StorageError, match=r"holds a file \.modes\.json, and daskrun keeps one"):
        Mirror(here, remote, code="").put()
    assert bucket.keys() == []


def test_code_is_looked_at_where_that_is_asked_for(here, remote, bucket):
    (here / "code").mkdir()
    mirror = Mirror(here, remote, code="code")
    mirror.put()
    (here / "code/late.py").write_text("pass")
    (here / "logs/b.txt").write_text("b")
    before = len(puts(bucket))
    mirror.put(code=False)
    assert puts(bucket)[before:] == ["logs/b.txt"]
    mirror.put()
    assert puts(bucket)[before:] == ["logs/b.txt", "code/late.py"]


def test_of_a_file_that_has_grown_only_what_is_new_is_sent(here, remote, bucket):
    file, mirror = here / "logs" / "a.txt", Mirror(here, remote)
    text = os.urandom(9 * 2**20)
    file.write_bytes(text)
    mirror.put()
    sent = []
    put_file = remote.put_file
    remote.put_file = lambda *given: sent.append(put_file(*given).sent) or Put(sent[-1], "")
    for more in (b"more", b"and more"):
        text += more
        with file.open("ab") as opened:
            opened.write(more)
        mirror.put()
        assert bucket.get("run/logs/a.txt") == text
    text = b"!" + text[1:] + b"x"  # written anew, and longer
    file.write_bytes(text)
    mirror.put()
    assert bucket.get("run/logs/a.txt") == text
    assert sent == [4, 8, len(text)]


def test_what_is_sent_of_a_file_that_grows_has_a_bound(here, tmp_path):
    """A store that can't add to objects is sent a few times the file's size."""
    file, sent = here / "logs" / "a.txt", []
    remote = open_url_folder(f"memory://{tmp_path}", {})
    put_file = remote.put_file
    remote.put_file = lambda *given: sent.append(put_file(*given).sent) or Put(sent[-1], "")
    mirror = Mirror(here, remote, lambda name: name == "run.json")
    with file.open("wb", 0) as opened:
        for _ in range(200):
            opened.write(bytes(2**16))
            mirror.put(all_of_it=False)
    mirror.put()
    assert sum(sent) < 6 * file.stat().st_size
    assert remote.sizes()["logs/a.txt"] == file.stat().st_size
