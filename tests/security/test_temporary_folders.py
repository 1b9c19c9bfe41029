"""Temporary folders and caches: nobody else can have made or exchanged them."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from users import MALLORY, VICTIM, as_user, needs_users

from daskrun.engine.dask.local_cluster import end_silence, silence, start_cluster
from daskrun.script import node_folders
from daskrun.script.environments import build
from daskrun.storage import own_folders
from daskrun.storage.content_cache import open_cache
from daskrun.storage.own_folders import TRUSTED, exchangeable, temporary_folder

USUAL = f"daskrun-{own_folders._own_name()}"


def is_own(folder):
    found = folder.lstat()
    assert stat.S_ISDIR(found.st_mode)
    return (found.st_uid, stat.S_IMODE(found.st_mode)) == (os.geteuid(), 0o700)


def make(kind, path):
    """Have something at a path that another user could have put there."""
    if kind == "file":
        path.write_text("")
    elif kind == "link":
        path.with_name("target").mkdir(mode=0o700)
        path.symlink_to(path.with_name("target"))
    else:
        path.mkdir()
        path.chmod(0o777 if kind == "open" else 0o700)
        if kind == "theirs":
            os.chown(path, MALLORY, MALLORY)


KINDS = ["file", "link", "open", pytest.param("theirs", marks=needs_users)]


@pytest.mark.parametrize("kind", KINDS)
def test_what_another_user_made_first_is_not_used(shared, caplog, kind):
    make(kind, shared / USUAL)
    found = node_folders.base_folder()
    assert found.parent == shared
    assert found.name.startswith(f"{USUAL}-")
    assert is_own(found)
    assert f"'{shared}/{USUAL}'" in caplog.text
    assert str(found) in caplog.text
    assert temporary_folder() == found  # as for every other process of this user
    assert len(caplog.records) == 1
    os.close(node_folders.claim(found / "node"))
    assert is_own(found / "node")


@needs_users
def test_two_users_have_a_folder_each(shared):
    as_user(MALLORY, (shared / f"daskrun-{VICTIM}").mkdir)
    as_user(MALLORY, (shared / f"daskrun-{VICTIM}-a").mkdir, 0o700)
    folders = [as_user(VICTIM, of_nobody) for _ in range(2)]
    assert folders[0] == folders[1]
    assert Path(folders[0]).lstat().st_uid == VICTIM


def of_nobody():
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        os.environ.pop(name, None)
    return str(temporary_folder())


def test_dask_imports_nothing_from_a_folder_of_others(shared):
    (shared / "dask-scratch-space").mkdir()
    (shared / "dask-scratch-space").chmod(0o777)
    make("open", shared / USUAL.replace("daskrun-", "daskrun-dask-"))
    before = set(sys.path)
    silence()
    cluster = start_cluster(["node000"])
    try:
        new = [Path(each) for each in set(sys.path) - before]
        assert len(new) == 2  # the scheduler's and the worker's
        assert not [each for each in new if exchangeable(each)]
        assert [*(shared / "dask-scratch-space").iterdir()] == []
    finally:
        cluster.close()
        end_silence()


@pytest.mark.parametrize("umask", [0, 0o22, 0o777])
def test_the_umask_does_not_matter(shared, umask):
    (shared / "cache").mkdir()
    before = os.umask(umask)
    try:
        found = temporary_folder()
        os.close(node_folders.claim(found / "node"))
        cache = own_folders.safe_folder(shared / "cache" / "daskrun")
    finally:
        os.umask(before)
    assert found == shared / USUAL
    assert is_own(found)
    assert is_own(found / "node")
    assert is_own(cache)


def test_a_folder_of_an_earlier_version_is_closed(shared):
    (shared / USUAL).mkdir(mode=0o755)
    assert temporary_folder() == shared / USUAL
    assert is_own(shared / USUAL)


def test_a_name_from_the_environment_leads_nowhere(shared, monkeypatch):
    for name in ("../up", "a/b", "/etc"):
        monkeypatch.setenv("LOGNAME", name)
        assert temporary_folder() == shared / f"daskrun-{os.geteuid()}"


def test_a_temporary_place_without_the_sticky_bit_is_told(shared, caplog, monkeypatch):
    shared.chmod(0o777)
    assert temporary_folder() == temporary_folder() == shared / USUAL
    [record] = caplog.records
    assert f"'{shared}' may be written by other users" in record.message
    assert TRUSTED in record.message


@pytest.mark.parametrize("variable", [build.FOLDER, "XDG_CACHE_HOME"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_cache_that_another_user_could_fill_is_not_used(shared, monkeypatch, variable, kind):
    monkeypatch.delenv(build.FOLDER, raising=False)
    monkeypatch.setenv(variable, str(shared / "cache"))
    wanted = shared / "cache" / ("daskrun" if variable == "XDG_CACHE_HOME" else "")
    wanted.parent.mkdir(exist_ok=True)
    make(kind, wanted)
    said = []
    found = build.environments_folder(said.append)
    if kind == "link":  # followed once, to a folder of this user's: its target can't be exchanged
        assert found.is_relative_to(wanted.with_name("target"))
        assert is_own(wanted.with_name("target"))
        assert said == []
    else:
        assert found.is_relative_to(shared / USUAL)
        assert is_own(shared / USUAL / "cache")
        assert str(wanted) in said[0]


@needs_users
def test_a_cache_below_a_folder_of_another_user_is_not_used(shared, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(shared / "theirs"))
    make("theirs", shared / "theirs")
    monkeypatch.delenv("DASKRUN_CACHE")
    assert open_cache(1).folder.is_relative_to(shared / USUAL)
    assert [*(shared / "theirs").iterdir()] == []


@pytest.mark.slow
def test_an_environment_is_built_by_nothing_in_the_current_folder(shared, monkeypatch):
    """That is the driver's, which may be a folder such as /tmp."""
    for name in ("venv", "pip", "ensurepip", "json"):
        (shared / f"{name}.py").write_text(f"open({str(shared / 'planted')!r}, 'w')\n")
    monkeypatch.chdir(shared)
    asked = SimpleNamespace(name="e")
    task = SimpleNamespace(
        asked=asked, node="n", log=str(shared / "log"), temporary=str(temporary_folder())
    )
    build._build(task, [], shared / "made")
    assert build.is_whole(shared / "made")
    assert not (shared / "planted").exists()
