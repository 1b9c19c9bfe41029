"""The original's ways to open a workspace, in a workspace that is a folder."""

from __future__ import annotations

import json
import logging

import pytest

import daskrun
from daskrun import StorageError, WorkspaceError
from daskrun.core import notices
from daskrun.original.workspace import Workspace

AZURE = {"subscription_id": "1234", "resource_group": "people"}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    notices.forget()
    return tmp_path


def test_one_that_is_made_has_the_name_of_the_original_file(folder):
    (folder / "config.json").write_text(json.dumps({**AZURE, "workspace_name": "team"}))
    ws = Workspace.from_config()
    assert ws.name == "team"
    assert ws.folder == folder / ".daskrun"
    assert type(ws) is Workspace
    assert ws == daskrun.Workspace.from_config()
    assert Workspace.from_config(path="config.json") == ws


@pytest.mark.parametrize(
    "file", ["ws_config.json", ".azureml/config.json", "aml_config/config.json"]
)
def test_the_original_file_is_found_where_the_original_finds_it(folder, file):
    (folder / file).parent.mkdir(exist_ok=True)
    (folder / file).write_text(json.dumps({**AZURE, "workspace_name": "team"}))
    assert Workspace.from_config(path=file if "/" not in file else None).name == "team"


@pytest.mark.parametrize("text", ["no JSON", "[1]", '{"workspace_name": 3}', '{"other": 1}'])
def test_another_config_json_is_passed_over(folder, text):
    (folder / "config.json").write_text(text)
    assert Workspace.from_config().name == folder.name


def test_one_that_is_there_keeps_its_name(folder):
    daskrun.Workspace.create("mine")
    (folder / "config.json").write_text(json.dumps({**AZURE, "workspace_name": "team"}))
    (folder / "below").mkdir()
    assert Workspace.from_config().name == "mine"
    assert Workspace.from_config("below").name == "mine"


def test_get_and_the_constructor_open_it_by_name(folder):
    made = Workspace.get(name="team", **AZURE)
    assert made.folder == folder / ".daskrun"
    assert Workspace.get("team") == made
    assert Workspace("1234", "people", "team") == made
    assert Workspace(workspace_name="team", **AZURE) == made


def test_another_name_than_its_own_is_an_error(folder):
    daskrun.Workspace.create("mine")
    with pytest.raises(
        WorkspaceError, match=r"name='team': the one here, in .*, is 'mine'\. Write Wo"
    ):
        Workspace.get("team")
    with pytest.raises(WorkspaceError, match=r"workspace_name=None: the one here"):
        Workspace("1234", "people")


def test_without_a_name_none_is_made(folder):
    with pytest.raises(
        WorkspaceError, match=r"workspace_name=None: there is none\. Write Workspace.f"
    ):
        Workspace(subscription_id="1234")
    assert not list(folder.iterdir())


def test_create_takes_the_arguments_of_the_original(folder):
    ws = Workspace.create(
        name="team",
        location="eastus2",
        create_resource_group=True,
        sku="basic",
        exist_ok=True,
        **AZURE,
    )
    assert (ws.name, ws.folder) == ("team", folder / ".daskrun")
    assert Workspace.create(name="team", exist_ok=True) == ws
    with pytest.raises(WorkspaceError, match="pass exist_ok=True"):
        Workspace.create(name="team")


def test_what_is_not_used_is_said_once(caplog):
    with caplog.at_level(logging.WARNING, logger="daskrun"):
        for _ in range(2):
            Workspace.get("team", **AZURE)
    expected = "Workspace: subscription_id='1234', resource_group='people': a workspace is a folder"
    assert [record.message[: len(expected)] for record in caplog.records] == [expected]


def test_a_file_that_is_not_there_is_as_none(folder, caplog):
    ws = Workspace.from_config("gone/config.json")
    assert (ws.folder, ws) == (folder / ".daskrun", Workspace.from_config(path=".azureml"))
    assert [record.message for record in caplog.records] == [
        f"Workspace: path='{path}' is not there, the workspace here is used"
        for path in ("gone/config.json", ".azureml")
    ]


@pytest.mark.parametrize("name", [None, "team.json"])
def test_a_file_that_is_written_leads_back(folder, name, tmp_path_factory):
    ws = Workspace.from_config()
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    ws.write_config(path=elsewhere, file_name=name)
    file = elsewhere / ".azureml" / (name or "config.json")
    assert json.loads(file.read_text())["workspace_name"] == ws.name
    assert Workspace.from_config(file) == ws
    if name is None:
        assert Workspace.from_config(elsewhere) == ws
    with pytest.raises(StorageError, match=r"config\.json' can't be written: "):
        ws.write_config(path=file)


def test_in_a_script_it_is_that_of_the_run(folder, monkeypatch):
    from daskrun.script.context import ScriptContext

    ws = daskrun.Workspace.create("mine", path=folder / "far")
    found = ScriptContext(workspace=ws.location)
    monkeypatch.setattr("daskrun.script.context._current", found)
    assert Workspace.from_config() == daskrun.Workspace.from_config() == ws
    assert Workspace.from_config(folder) != ws


def test_what_notebooks_print_of_it_is_there(folder):
    ws = Workspace.from_config()
    shown = (ws.name, ws.resource_group, ws.location, ws.subscription_id)
    assert shown == (folder.name, "", str(folder / ".daskrun"), "")
    assert ws.get_details()["name"] == ws.name
