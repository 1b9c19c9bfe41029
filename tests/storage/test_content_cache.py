"""What is kept of fetches: once for all processes, verified, within a limit, never what is used."""

import errno
import os
import shutil
import subprocess
import sys
import threading
from collections import namedtuple
from pathlib import Path

import pytest

from daskrun.storage import cache_entries, content_cache
from daskrun.storage.cache_entries import hold
from daskrun.storage.content_cache import NotKeptError, open_cache
from daskrun.storage.trees import digest_of_tree, tree_of

Usage = namedtuple("Usage", "total used free")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv(content_cache.VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache" / "content"


class Fetch:
    """Makes a folder, and counts how often."""

    def __init__(self, **files):
        self.files = files
        self.calls = 0

    def __call__(self, folder):
        self.calls += 1
        for name, text in self.files.items():
            path = folder / name.replace("__", "/")
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)


def get(key, fetch, limit=10**6, **more):
    size = sum(map(len, fetch.files.values()))
    return open_cache(limit).get(key, lambda: size, fetch, **more)


def held(folder):
    """Give what is kept, by its files, of all that is in a cache's folder."""
    for each in ("making", "trash"):
        assert list((folder / each).iterdir()) == []
    return sorted(
        "".join(path.read_text() for path in sorted(each.rglob("*")) if path.is_file())
        for each in (folder / "entries").iterdir()
        if each.is_dir()
    )


def test_what_is_here_is_not_fetched_again(folder):
    fetch = Fetch(a="1", deep__b="2")
    for _ in range(2):
        entry = get("k", fetch)
        assert (entry.path / "a").read_text() == "1"
        assert entry.path.name == digest_of_tree(tree_of(entry.path))
        entry.close()
    assert fetch.calls == 1
    get("k, another version", fetch).close()
    assert fetch.calls == 2
    assert held(folder) == ["12"]  # the same contents are there once


def test_files_and_their_folders_may_be_read_only(folder):
    entry = get("k", Fetch(a="1", deep__b="2"))
    modes = {each.name: each.stat().st_mode & 0o777 for each in entry.path.rglob("*")}
    assert modes == {"a": 0o444, "deep": 0o555, "b": 0o444}
    entry.close()
    assert open_cache(9).remove(entry.path.name)
    assert held(folder) == []


@pytest.mark.parametrize("times", [False, True])
def test_a_file_that_was_written_to_is_fetched_anew(folder, times):
    fetch = Fetch(a="right", b="2")
    entry = get("k", fetch)
    path = entry.path / "a"
    before = path.stat()
    path.chmod(0o644)
    path.write_text("wrong")
    path.chmod(0o444)
    if times:  # as if nothing had happened
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    again = get("k", fetch)
    assert fetch.calls == 2
    assert (again.path / "a").read_text() == "right"


def test_what_only_looks_changed_is_read_again_once(monkeypatch):
    fetch, looks = Fetch(a="1"), []
    entry = get("k", fetch)
    os.utime(entry.path / "a")
    real = tree_of.__globals__["file_digest"]
    monkeypatch.setitem(
        tree_of.__globals__, "file_digest", lambda path, _: looks.append(path) or real(path)
    )
    for _ in range(3):
        get("k", fetch).close()
    assert (fetch.calls, len(looks)) == (1, 1)
    before = cache_entries._boot()
    monkeypatch.setattr(cache_entries, "_boot", lambda: "after a power cut")
    for _ in range(2):
        get("k", fetch).close()
    assert (fetch.calls, len(looks)) == (1, 2)
    monkeypatch.setattr(cache_entries, "_boot", lambda: before)  # of another machine, on NFS
    get("k", fetch).close()
    assert (fetch.calls, len(looks)) == (1, 2)


def test_what_can_not_be_noted_of_an_entry_costs_nothing_but_time(monkeypatch):
    fetch = Fetch(a="1")
    get("k", fetch).close()

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(cache_entries, "_boot", lambda: "after a power cut")
    monkeypatch.setattr(cache_entries, "write_whole", full)
    get("k", fetch).close()
    assert fetch.calls == 1


def reading(monkeypatch, meanwhile):
    """Call ``meanwhile`` once, with what is told of it, when files are verified."""
    left = [meanwhile]

    def read_tree(folder, before=None, read=None):
        if left:
            left.pop()(read)
        return tree_of(folder, before, read)

    for module in (content_cache, cache_entries):
        monkeypatch.setattr(module, "tree_of", read_tree)


def test_others_use_the_cache_while_files_are_verified(monkeypatch):
    monkeypatch.setattr(content_cache, "BRIEF", 0.0)
    others = [Fetch(b="2"), Fetch(c="3")]
    reading(monkeypatch, lambda _: get("another", others[0]).close())
    get("k", Fetch(a="1")).close()
    monkeypatch.setattr(cache_entries, "_boot", lambda: "after a power cut")
    reading(monkeypatch, lambda _: get("one more", others[1]).close())
    get("k", Fetch(a="1")).close()
    assert [each.calls for each in others] == [1, 1]


def test_that_files_are_verified_is_told_here_and_to_who_waits(monkeypatch):
    monkeypatch.setattr(content_cache, "LOOK_EVERY", 0.0)
    here, began, heard = [], threading.Event(), threading.Event()

    def meanwhile(read):
        read(70)
        began.set()
        assert heard.wait(60)

    reading(monkeypatch, meanwhile)
    first = threading.Thread(
        target=get, args=("k", Fetch(a="123")), kwargs={"waiting": here.append}
    )
    first.start()
    assert began.wait(60)
    get("k", Fetch(), waiting=lambda nbytes: nbytes == 70 and heard.set()).close()
    first.join()
    assert here == [70, 73]


def test_a_user_without_a_home_is_told_what_to_set(monkeypatch):
    def nobody(number):
        raise KeyError(number)

    for name in (content_cache.VARIABLE, "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", nobody)
    with pytest.raises(NotKeptError, match=r"has no home folder, .* set XDG_CACHE_HOME to"):
        open_cache(100)


@pytest.mark.parametrize("spoil", [lambda at: at.unlink(), lambda at: at.write_text("{")])
def test_an_entry_whose_manifest_is_spoilt_is_fetched_anew(folder, spoil):
    fetch = Fetch(a="1")
    entry = get("k", fetch)
    entry.close()
    spoil(entry.path.with_suffix(".json"))
    get("k", fetch).close()
    assert fetch.calls == 2
    assert held(folder) == ["1"]


def test_what_others_have_put_beside_is_removed():
    fetch = Fetch(a="1")
    entry = get("k", fetch)
    (entry.path / "planted.py").write_text("import os")
    (entry.path / "__pycache__").mkdir()
    (entry.path / "__pycache__" / "x.pyc").write_bytes(b"x")
    assert [each.name for each in get("k", fetch).path.iterdir()] == ["a"]
    assert fetch.calls == 1


def test_what_was_asked_for_longest_ago_goes_first(folder):
    fetches = {name: Fetch(a=name * 40) for name in "abc"}
    for at, name in enumerate("ab"):
        entry = get(name, fetches[name], limit=100)
        os.utime(entry.path.with_suffix(".json"), (at, at))
        entry.close()
    get("a", fetches["a"], limit=100).close()
    get("c", fetches["c"], limit=100).close()
    assert held(folder) == ["a" * 40, "c" * 40]
    assert len(list((folder / "keys").iterdir())) == 2


def test_what_is_in_use_stays_and_the_rest_goes_without(folder):
    entries = [get(name, Fetch(a=name * 40), limit=100) for name in "ab"]
    with pytest.raises(NotKeptError, match=r"they are 40 bytes, and of the limit of 100 runs have"):
        get("c", Fetch(a="c" * 40), limit=100)
    fd = hold(str(entries[0].lock))  # as the keeper does
    for each in entries:
        each.close()
    get("c", Fetch(a="c" * 40), limit=100).close()
    assert held(folder) == ["a" * 40, "c" * 40]
    assert not open_cache(9).remove(entries[0].path.name)
    os.close(fd)
    assert open_cache(9).remove(entries[0].path.name)


def test_what_is_larger_than_the_limit_moves_nothing_out(folder):
    get("a", Fetch(a="a" * 40), limit=100).close()
    large = Fetch(a="b" * 101)
    with pytest.raises(NotKeptError, match="they are 101 bytes, and the limit is 100"):
        get("b", large, limit=100)
    assert large.calls == 0
    assert held(folder) == ["a" * 40]


def test_a_disk_that_is_nearly_full_is_left_alone(folder, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(100, 80, 20))
    get("a", Fetch(a="aaaa")).close()
    with pytest.raises(NotKeptError, match=r"they are 15 bytes, and on the disk of .* 10 may be"):
        get("b", Fetch(a="b" * 15))
    get("b", Fetch(a="b" * 12)).close()  # for which what is not in use goes
    assert held(folder) == ["b" * 12]


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (OSError(errno.ENOSPC, "no space"), NotKeptError),
        (OSError(errno.EIO, "broken"), OSError),
        (KeyboardInterrupt(), KeyboardInterrupt),
    ],
)
def test_of_a_fetch_that_failed_nothing_stays(folder, tmp_path, error, raised):
    def fetch(folder):
        (folder / "half").write_text("x")
        raise error

    aside = tmp_path / "node"
    with pytest.raises(raised):
        open_cache(100).get("k", lambda: 1, fetch, aside=aside)
    assert held(folder) == []
    assert list(aside.iterdir()) == []
    assert get("k", Fetch(a="1"), aside=aside)


def test_a_folder_that_can_not_be_made_is_told(folder, monkeypatch):
    folder.parent.parent.joinpath("file").write_text("")
    monkeypatch.setenv(content_cache.VARIABLE, str(folder.parent.parent / "file" / "cache"))
    with pytest.raises(NotKeptError, match=r"file/cache. can.t be made"):
        open_cache(100)


SCRIPT = """
import os, sys, time
from pathlib import Path
from daskrun.storage.content_cache import open_cache

def fetch(folder):
    with open(sys.argv[1], "a") as file:
        file.write("x")
    for number in range(4):
        (folder / str(number)).write_text("1")
        time.sleep(float(sys.argv[2]))

print("began", flush=True)
entry = open_cache(10**6).get("k", lambda: 4, fetch, waiting=print)
print(sorted(each.name for each in entry.path.iterdir()), flush=True)
"""


def fetching(tmp_path, seconds):
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "fetches"), str(seconds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_of_processes_that_want_the_same_at_once_one_fetches(tmp_path, folder):
    processes = [fetching(tmp_path, 0.3) for _ in range(4)]
    said = [each.communicate(timeout=60)[0] for each in processes]
    assert (tmp_path / "fetches").read_text() == "x"
    assert {each.splitlines()[-1] for each in said} == {"['0', '1', '2', '3']"}
    assert any("2" in each.splitlines()[1:-1] for each in said)  # who waits is told how far it is
    assert held(folder) == ["1111"]


def test_a_process_that_was_killed_leaves_it_to_the_next(tmp_path, folder):
    first = fetching(tmp_path, 60)
    assert first.stdout is not None
    first.stdout.readline()
    while not any((folder / "making").rglob("0")):
        pass
    second = fetching(tmp_path, 0)
    first.kill()
    first.wait()
    first.stdout.close()
    assert second.communicate(timeout=60)[0].splitlines()[-1] == "['0', '1', '2', '3']"
    assert held(folder) == ["1111"]


def test_who_is_stuck_is_not_waited_for(folder, monkeypatch):
    monkeypatch.setattr(content_cache, "STALLED", 0.6)
    begun, over = threading.Event(), threading.Event()

    def fetch(_):
        begun.set()
        over.wait(60)

    thread = threading.Thread(target=open_cache(9).get, args=("k", lambda: 1, fetch))
    thread.start()
    begun.wait(60)
    with pytest.raises(NotKeptError, match="another process fetches the same, and is stuck"):
        get("k", Fetch(a="1"))
    over.set()
    thread.join()


def test_what_is_no_longer_used_can_be_listed_and_removed(folder):
    get("a", Fetch(a="1")).close()
    [kept] = open_cache(100).kept()
    assert (kept.nbytes, kept.id) == (1, Path(next((folder / "entries").glob("*.json"))).stem)
