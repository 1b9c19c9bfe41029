"""A record that another user may have written can't aim this user's secrets."""

import json
import os

import pytest
from users import MALLORY, as_user, needs_users

from daskrun import Datastore, EnvironmentVariable
from daskrun.errors import SettingsError
from daskrun.workspace.datastores import datastore_options
from daskrun.workspace.workspace import Workspace

SECRET = "hunter2x"


@pytest.fixture
def ws(tmp_path, monkeypatch):
    monkeypatch.setenv("BLOB_KEY", SECRET)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", SECRET)
    monkeypatch.delenv(datastore_options.SAFE, raising=False)
    monkeypatch.setattr(datastore_options, "_made", [])
    return Workspace.create("trial", path=tmp_path / "ws")


def plant(ws, root, options, name="blob"):
    """Write a record as whoever may write the workspace can."""
    place = ws.folder / "datastores" / name
    place.mkdir(parents=True, exist_ok=True)
    (place / "1.json").write_text(json.dumps({"root": root, "storage_options": options}))
    return Datastore(ws, name)


def variable(name):
    return {"environment_variable": name}


def open_to_others(ws):
    ws.folder.chmod(0o777)
    return ws


def test_own_records_may_ask_for_any_variable(ws):
    store = plant(ws, "abfs://c@a", {"account_key": variable("BLOB_KEY")})
    assert store.storage_options == {"account_key": SECRET}


@pytest.mark.parametrize(
    ("root", "options"),
    [
        ("abfs://c@evil", {"account_key": variable("BLOB_KEY")}),
        ("s3://evil", {"key": variable("BLOB_KEY"), "endpoint_url": "https://evil"}),
        ("s3://evil", {"client_kwargs": {"headers": [variable("AWS_ACCESS_KEY_ID")]}}),
        ("https://evil/x", {"headers": {"x": variable("AWS_ACCESS_KEY_ID")}}),
        ("https://evil/x", {"key": variable("AWS_ACCESS_KEY_ID")}),
    ],
)
def test_a_record_of_others_gets_no_variable_that_is_not_named(ws, monkeypatch, root, options):
    store = plant(open_to_others(ws), root, options)
    with pytest.raises(SettingsError, match="may be written by other users") as caught:
        store.storage_options  # noqa: B018
    assert "DASKRUN_SAFE_VARIABLES=" in str(caught.value)
    assert SECRET not in str(caught.value)
    monkeypatch.setenv(datastore_options.SAFE, "OTHER:BLOB_KEY:AWS_ACCESS_KEY_ID")
    assert SECRET in json.dumps(store.storage_options)
    monkeypatch.setenv(datastore_options.SAFE, "*")
    assert SECRET in json.dumps(store.storage_options)


def test_what_a_client_would_take_by_itself_may_be_named(ws):
    store = plant(open_to_others(ws), "s3://b", {"key": variable("AWS_ACCESS_KEY_ID")})
    assert store.storage_options == {"key": SECRET}


@pytest.mark.parametrize(
    ("root", "options"),
    [
        ("simplecache::s3://b", {"simplecache": {"cache_storage": "/home/victim/bin"}}),
        ("filecache::https://b/x", {"cache_storage": "/home/victim/bin"}),
        ("reference::https://b/x", {"fo": "/etc/passwd"}),
        ("gs://b", {"endpoint_url": "https://evil"}),
        ("abfs://c@a", {"account_host": "evil"}),
    ],
)
def test_a_record_of_others_writes_nowhere_and_names_no_host_for_a_login(ws, root, options):
    assert plant(ws, root, options, "own").storage_options == options
    store = plant(open_to_others(ws), root, options)
    with pytest.raises(SettingsError, match="may be written by other users"):
        store.storage_options  # noqa: B018


def test_what_this_process_has_registered_is_the_users_own_word(ws):
    open_to_others(ws)
    key = EnvironmentVariable("BLOB_KEY")
    store = Datastore.register_azure_blob_container(ws, "blob", "c", "a", account_key=key)
    assert store.storage_options["account_key"] == SECRET
    record = json.loads((ws.folder / "datastores" / "blob" / "1.json").read_text())
    planted = plant(ws, "abfs://c@evil", record["storage_options"], "other")
    with pytest.raises(SettingsError, match="BLOB_KEY"):
        planted.storage_options  # noqa: B018


@needs_users
def test_a_workspace_of_another_user_gets_none(shared, monkeypatch):
    monkeypatch.setenv("BLOB_KEY", SECRET)

    def theirs():
        ws = Workspace.create("team", path=shared / "team")
        os.umask(0o022)
        key = EnvironmentVariable("BLOB_KEY")
        Datastore.register_azure_blob_container(ws, "blob", "c", "evil", account_key=key)
        return str(ws.folder)

    folder = as_user(MALLORY, theirs)
    monkeypatch.setattr(datastore_options, "_made", [])
    with pytest.raises(SettingsError, match="belongs to user"):
        Datastore(Workspace(folder), "blob").storage_options  # noqa: B018


def test_a_workspace_behind_a_url_asks_too(bucket, monkeypatch):
    monkeypatch.setenv("BLOB_KEY", SECRET)
    ws = Workspace.create("team", path=bucket.url, storage_options=bucket.options)
    key = EnvironmentVariable("BLOB_KEY")
    store = Datastore.register_azure_blob_container(ws, "blob", "c", "a", account_key=key)
    assert store.storage_options["account_key"] == SECRET
    monkeypatch.setattr(datastore_options, "_made", [])
    with pytest.raises(SettingsError, match="BLOB_KEY"):
        Datastore(ws, "blob").storage_options  # noqa: B018
