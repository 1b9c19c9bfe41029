import json
import multiprocessing
import os
import pickle
from datetime import UTC, datetime

import pytest

from daskrun.errors import NameNotFoundError, SettingsError, WorkspaceError
from daskrun.pipeline.runs.experiment import Experiment
from daskrun.workspace.datastores.datastore import Datastore
from daskrun.workspace.models.model import Model
from daskrun.workspace.sites import folder_site as place
from daskrun.workspace.workspace import Workspace


def test_the_nearest_workspace_above_is_found(tmp_path, monkeypatch):
    outer = Workspace.create("outer", path=tmp_path)
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    assert Workspace.from_config(below) == outer
    inner = Workspace.create("inner", path=tmp_path / "a")
    assert Workspace.from_config(below).name == "inner"
    monkeypatch.chdir(below)
    assert Workspace.from_config() == inner
    assert not (below / ".daskrun").exists()


def test_a_workspace_folder_or_its_config_can_be_named(tmp_path):
    ws = Workspace.create("trial", path=tmp_path)
    assert Workspace.from_config(ws.folder) == ws
    assert Workspace.from_config(ws.folder / "config.json") == ws


def test_the_default_is_made_beside_the_work(tmp_path):
    work = tmp_path / "work"
    work.mkdir()
    ws = Workspace.from_config(work)
    assert ws.folder == work / ".daskrun"
    assert ws.name == "work"
    assert (ws.folder / ".gitignore").read_text() == "*\n"
    assert Workspace.from_config(work) == ws


def test_find_makes_nothing(tmp_path):
    assert Workspace.find(tmp_path) is None
    assert list(tmp_path.iterdir()) == []


def test_create_gives_the_one_that_is_there(tmp_path, monkeypatch, caplog):
    first = Workspace.create("one", path=tmp_path)
    assert Workspace.create("one", path=tmp_path) == first
    assert caplog.text == ""
    assert Workspace.create("two", path=tmp_path).name == "one"
    there = f"there is a workspace in {tmp_path}/.daskrun, named 'one'"
    typed = f"name='two', path='{tmp_path}'"
    [warning] = caplog.messages
    assert warning == (
        f"{typed}: {there}, which is used. Write Workspace.from_config('{tmp_path}'), or give "
        "another path to make one"
    )
    with pytest.raises(WorkspaceError) as caught:
        Workspace.create("two", path=tmp_path, exist_ok=False)
    assert str(caught.value) == (
        f"{typed}: {there}. Open it with Workspace.from_config('{tmp_path}'), pass exist_ok=True, "
        "or give another path to make one."
    )
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        WorkspaceError, match=r"^name='two': there is .*Workspace.from_config\(\), "
    ):
        Workspace.create("two", exist_ok=False)
    assert pickle.loads(pickle.dumps(first)) == first


@pytest.mark.parametrize("name", ["", "  ", None, 3])
def test_a_name_is_some_text(tmp_path, name):
    with pytest.raises(WorkspaceError, match=f"name={name!r} is not a name"):
        Workspace.create(name, path=tmp_path)


def test_paths_that_cannot_be_a_workspace(tmp_path):
    with pytest.raises(WorkspaceError, match="is not a folder"):
        Workspace.from_config(tmp_path / "nowhere")
    with pytest.raises(WorkspaceError, match="is not a workspace"):
        Workspace(tmp_path)
    (tmp_path / ".daskrun").write_text("a file")
    with pytest.raises(WorkspaceError, match="is a file"):
        Workspace.create("trial", path=tmp_path)


def test_a_broken_config_is_said(tmp_path):
    ws = Workspace.create("trial", path=tmp_path)
    (ws.folder / "config.json").write_text("{")
    with pytest.raises(WorkspaceError, match=r"config\.json can't be read"):
        Workspace.from_config(tmp_path)


def test_a_file_system_without_exclusive_create_is_refused(tmp_path, monkeypatch):
    real = os.open

    def careless(path, flags, mode=0o777):
        return real(path, flags & ~os.O_EXCL, mode)

    monkeypatch.setattr(place.os, "open", careless)
    with pytest.raises(WorkspaceError, match="without exclusive create"):
        Workspace.create("trial", path=tmp_path)
    assert not (tmp_path / ".daskrun" / "config.json").exists()


def _make(arguments):
    name, path = arguments
    return Workspace.create(name, path=path).name


def test_of_processes_that_create_at_once_one_gives_the_name(tmp_path):
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        names = pool.map(_make, [(f"ws{n}", tmp_path) for n in range(9)], chunksize=1)
    assert len(set(names)) == 1
    assert json.loads((tmp_path / ".daskrun" / "config.json").read_text())["name"] == names[0]


def test_default_datastore(tmp_path):
    ws = Workspace.create("trial", path=tmp_path)
    assert ws.get_default_datastore().name == "workspaceblobstore"
    assert ws.get_default_datastore().folder == ws.folder / "datastore"
    other = Datastore.register_local(ws, "other", tmp_path)
    ws.set_default_datastore("other")
    assert ws.get_default_datastore() == other
    ws.set_default_datastore(ws.datastores["workspaceblobstore"])
    assert ws.get_default_datastore().name == "workspaceblobstore"
    with pytest.raises(NameNotFoundError, match="no datastore has the name 'none'"):
        ws.set_default_datastore("none")
    assert sorted(ws.datastores) == ["other", "workspaceblobstore"]


def test_names_cannot_lead_out_of_the_workspace(tmp_path):
    ws = Workspace.create("trial", path=tmp_path)
    with pytest.raises(SettingsError, match="begins with a dot"):
        Datastore.register_url(ws, "../../x", "s3://b", {"key": "1"})
    assert not (tmp_path.parent / "x").exists()


def test_details(tmp_path):
    ws = Workspace.create("trial", path=tmp_path)
    details = ws.get_details()
    assert (details["name"], details["id"]) == ("trial", str(ws.folder))
    created = datetime.fromisoformat(details["creationTime"])
    assert abs((datetime.now(UTC) - created).total_seconds()) < 3600
    json.dumps(details)


def test_what_there_is_by_name(tmp_path):
    ws = Workspace.create("trial", path=tmp_path)
    for names in (ws.models, ws.datasets, ws.environments, ws.experiments, ws.compute_targets):
        assert names == {}
    assert list(ws.datastores) == ["workspaceblobstore"]


def test_what_is_deleted_while_it_is_listed_is_left_out(tmp_path, monkeypatch):
    ws = Workspace.create("trial", path=tmp_path)
    (tmp_path / "m").touch()
    model = Model.register(ws, tmp_path / "m", "a")
    Model.register(ws, tmp_path / "m", "b")
    names = ws.records.names("models")
    model.delete()
    monkeypatch.setattr(ws.records, "names", lambda kind: names)
    assert list(ws.models) == ["b"]


def test_an_experiments_id_is_its_name(tmp_path):
    ws = Workspace.create("trial", path=tmp_path)
    assert Experiment(ws, "digits").id == "digits"
