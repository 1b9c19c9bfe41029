"""A workspace that is found by search is this user's own, and private files are in own folders."""

from __future__ import annotations

import json
import os
import stat

import pytest
from users import MALLORY, VICTIM, as_user, needs_users

from daskrun.errors import StorageError, WorkspaceError
from daskrun.storage.own_folders import TRUSTED
from daskrun.storage.private import SecretFiles
from daskrun.workspace.workspace import Workspace


def plant(folder, owner=None):
    """Make a workspace by hand, as somebody else would."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"name": "theirs", "created": 1.0}))
    if owner is not None:
        os.chown(folder, owner, owner)
    return folder


def found_by(folder):
    os.chdir(folder)
    try:
        return Workspace.from_config().name
    except WorkspaceError as error:
        return str(error)


@needs_users
def test_a_workspace_that_another_user_planted_is_named_and_refused(shared):
    as_user(MALLORY, plant, shared / ".daskrun")
    work = shared / "work" / "deep"
    as_user(VICTIM, work.mkdir, 0o755, True)
    for who in (VICTIM, 0):
        says = as_user(who, found_by, work)
        assert f"'{shared}/.daskrun' belongs to user 61001" in says
        assert "Workspace.create(name, path=...)" in says
        assert TRUSTED in says
    assert as_user(MALLORY, found_by, shared) == "theirs"


@needs_users
def test_a_folder_of_another_user_above_an_own_workspace_is_refused(shared):
    as_user(MALLORY, (shared / "theirs").mkdir)
    plant(shared / "theirs" / ".daskrun", VICTIM)
    says = as_user(VICTIM, found_by, shared / "theirs")
    assert f"'{shared}/theirs' belongs to user 61001" in says


@pytest.fixture
def work(shared, monkeypatch):
    folder = shared / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize(
    ("mode", "problem"),
    [
        (0o755, None),
        (0o1777, None),  # as /tmp: who may write there can't exchange what is others'
        (0o777, "may be written by other users"),
        (0o757, "may be written by other users"),
        (0o775, None),  # of the own group
    ],
)
def test_who_may_write_the_folder_of_a_workspace_could_exchange_it(work, mode, problem, there):
    if there:
        plant(work / ".daskrun")
    work.chmod(mode)
    calls = [Workspace.from_config, lambda: Workspace.create("own")]
    for call in calls:
        if problem is None:
            assert call().folder == work / ".daskrun"
            continue
        with pytest.raises(WorkspaceError, match=problem) as caught:
            call()
        assert repr(str(work)) in str(caught.value)
        assert (work / ".daskrun").exists() is there  # nothing was made


@needs_users
def test_a_group_that_is_not_the_own_one_counts_as_others(work):
    plant(work / ".daskrun")
    os.chown(work, 0, MALLORY)
    work.chmod(0o775)
    with pytest.raises(WorkspaceError, match="may be written by other users"):
        Workspace.from_config()


def test_a_workspace_that_others_may_write_is_refused(work):
    plant(work / ".daskrun").chmod(0o1777)
    with pytest.raises(WorkspaceError, match=r"\.daskrun' may be written by other users"):
        Workspace.find()


def test_what_the_user_names_is_trusted(work, monkeypatch):
    plant(work / ".daskrun")
    work.chmod(0o777)
    for path in (work / ".daskrun", work / ".daskrun" / "config.json"):
        assert Workspace.from_config(path).name == "theirs"
    assert Workspace(work / ".daskrun").name == "theirs"
    for value in (str(work), f"/nowhere:{work}/.daskrun", str(work.parent), "*"):
        monkeypatch.setenv(TRUSTED, value)
        assert Workspace.from_config().name == "theirs"
    for value in ("", "/nowhere", str(work / "sub")):
        monkeypatch.setenv(TRUSTED, value)
        with pytest.raises(WorkspaceError):
            Workspace.from_config()
    monkeypatch.chdir(work / ".daskrun")  # to be in it is not to name it
    with pytest.raises(WorkspaceError):
        Workspace.from_config()


@needs_users
def test_who_became_root_by_sudo_is_trusted(work, monkeypatch):
    plant(work / ".daskrun", VICTIM)
    monkeypatch.setenv("SUDO_UID", str(VICTIM))
    assert Workspace.from_config().name == "theirs"
    os.chown(work / ".daskrun", MALLORY, MALLORY)
    with pytest.raises(WorkspaceError, match="belongs to user 61001"):
        Workspace.from_config()


def mode_of(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_a_workspace_is_safe_whatever_the_umask(work, no_umask):
    ws = Workspace.create("own")
    secret = ws.private.keep({"key": "x"})
    assert mode_of(ws.folder) == 0o775
    assert mode_of(ws.folder / "private") == 0o700
    assert mode_of(ws.folder / "private" / secret) == 0o600
    assert Workspace.from_config() == ws


@needs_users
@pytest.mark.parametrize("kind", ["folder", "link", "open"])
def test_a_secret_goes_into_no_folder_of_others(work, kind):
    folder = work / "private"
    other = work / "other"
    (other if kind == "link" else folder).mkdir()
    if kind == "link":
        folder.symlink_to(other)
    elif kind == "open":
        folder.chmod(0o777)
    else:
        os.chown(folder, MALLORY, MALLORY)
    with pytest.raises(StorageError, match=r"private' (is a link|belongs to|may be written)"):
        SecretFiles(folder).keep({"key": "x"})
    assert [*work.rglob("*.json")] == []


def test_an_own_private_folder_that_others_may_read_is_closed(work):
    (work / "private").mkdir(0o755)
    SecretFiles(work / "private").keep({"key": "x"})
    assert mode_of(work / "private") == 0o700
