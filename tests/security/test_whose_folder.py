"""A workspace that is found by search is this user's own, and private files are in own folders."""

from __future__ import annotations

import json
import os
import re
import stat
from pathlib import Path

import pytest
from users import MALLORY, VICTIM, as_user, needs_users

import daskrun
from daskrun import (
    Dataset,
    Environment,
    Experiment,
    Model,
    OutputFileDatasetConfig,
    ParallelRunConfig,
    ParallelRunStep,
    Pipeline,
)
from daskrun.errors import StorageError, WorkspaceError
from daskrun.storage.own_folders import TRUSTED, exchangeable
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


@needs_users
@pytest.mark.parametrize("link", [".daskrun", "above"])
def test_a_link_of_another_user_to_an_own_workspace_is_refused(shared, link):
    """It chooses which of the victim's workspaces is used, and may be changed at any time."""
    mine = shared / "mine"
    as_user(VICTIM, plant, mine / ".daskrun")
    if link == ".daskrun":
        work = shared / "work"
        as_user(VICTIM, work.mkdir)
        as_user(MALLORY, os.symlink, mine / ".daskrun", shared / link)
        assert as_user(VICTIM, found_by, mine) == "theirs"
    else:
        work = shared / link / "deep"
        as_user(MALLORY, os.symlink, mine, shared / link)
        as_user(VICTIM, (mine / "deep").mkdir)
    says = as_user(VICTIM, problem_of, shared / link)
    assert says == f"'{shared}/{link}' is a link that belongs to user 61001"
    if link == ".daskrun":
        assert says in as_user(VICTIM, found_by, work)


def problem_of(folder):
    return exchangeable(folder)


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


def run_of(ws, folder):
    """Run a step in this process."""
    config = ParallelRunConfig(
        source_directory=folder,
        entry_script="score.py",
        mini_batch_size=1,
        error_threshold=0,
        output_action="append_row",
        environment=Environment("e"),
        compute_target="inline",
    )
    inputs = [Dataset.File.from_files(folder / "score.py").as_named_input("i")]
    out = OutputFileDatasetConfig("out")
    step = ParallelRunStep("step", config, inputs, output=out)
    run = Experiment(ws, "e").submit(Pipeline(ws, [step]))
    run.wait_for_completion(show_output=False)
    return run


def test_no_umask_has_others_write_what_is_in_a_workspace(tmp_path, monkeypatch):
    (tmp_path / "score.py").write_text("def run(mini_batch):\n    return mini_batch\n")
    (tmp_path / "score.py").chmod(0o666)
    work = tmp_path / "work"
    work.mkdir(0o755)
    before = os.umask(0)
    try:
        ws = Workspace.create("ws", path=work)
        model = tmp_path / "model" / "deep"
        model.mkdir(parents=True)
        (model / "weights").touch()
        Model.register(ws, model.parent, "model")
        run = run_of(ws, tmp_path)
        run.log("loss", 1)
        run.upload_file("score", tmp_path / "score.py")
    finally:
        os.umask(before)
    home = work / ".daskrun"
    everything = [home, *home.rglob("*")]
    assert len(everything) > 40
    assert [str(each) for each in everything if each.lstat().st_mode & stat.S_IWOTH] == []
    assert run.get_status() == "Completed"


def test_folders_that_are_kept_are_made_in_one_place():
    root = Path(daskrun.__file__).parent
    rooms = ("workspace", "pipeline", "storage", "output", "engine", "monitor", "cli")
    made = {
        path.relative_to(root).as_posix()
        for room in rooms
        for path in (root / room).rglob("*.py")
        for call in re.findall(r"\.mkdir\(([^)]*)|\bos\.makedirs", path.read_text())
        if "0o700" not in call
    }
    # The others make temporary folders, in one of this user alone.
    assert made == {
        "storage/folders.py",
        "storage/content_cache.py",
        "pipeline/submission/trial.py",
        "engine/dask/copied_node.py",
    }
