"""The original's ways to open a workspace, in a workspace that is a folder."""

from __future__ import annotations

import json
import logging

import pytest

import daskrun
from daskrun import SettingsError, WorkspaceError
from daskrun.original import workspace as original
from daskrun.original.workspace import Workspace

AZURE = {"subscription_id": "1234", "resource_group": "people"}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(original, "_said", set())
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


def test_there_is_nothing_to_sign_in_to():
    calls = (Workspace.from_config, Workspace, lambda **k: Workspace.get("team", **k))
    for call in calls:
        with pytest.raises(SettingsError, match="auth='me': there is no account to sign in to"):
            call(auth="me")


def test_write_config_checks_that_the_workspace_is_found(folder, tmp_path_factory):
    ws = Workspace.from_config()
    (folder / "below").mkdir()
    ws.write_config()
    ws.write_config(path="below")
    with pytest.raises(WorkspaceError, match=r"doesn't find .*\. Write Workspace\.from_config\('"):
        ws.write_config(path=tmp_path_factory.mktemp("elsewhere"))
    with pytest.raises(SettingsError, match=r"file_name='ws\.json': a workspace is found by its f"):
        ws.write_config(file_name="ws.json")


def test_what_notebooks_print_of_it_is_there(folder):
    ws = Workspace.from_config()
    shown = (ws.name, ws.resource_group, ws.location, ws.subscription_id)
    assert shown == (folder.name, "", str(folder / ".daskrun"), "")
    assert ws.get_details()["name"] == ws.name
