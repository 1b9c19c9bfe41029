"""A workspace behind a URL: what it remembers, and what it refuses."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from s3 import KEY, SECRET

from daskrun import (
    Dataset,
    Datastore,
    Environment,
    EnvironmentVariable,
    Experiment,
    Model,
    Workspace,
)
from daskrun.errors import NameNotFoundError, SettingsError, StorageError, WorkspaceError
from daskrun.storage.s3 import S3Folder
from daskrun.workspace.models import fetched
from daskrun.workspace.models.model_files import digest_of_files
from daskrun.workspace.run_folders import working_copy


@pytest.fixture(autouse=True)
def no_copies_left(own_temporary_folder):
    """Remove what this process has of workspaces, as its end would."""
    yield
    working_copy.remove_copies()  # the process goes on with other tests


@pytest.fixture
def ws(bucket):
    return Workspace.create("team", path=f"{bucket.url}/team", storage_options=bucket.options)


def test_it_is_made_once_and_found(bucket, ws):
    options = {"storage_options": bucket.options}
    again = Workspace.create("other", path=f"{bucket.url}/team", **options)
    assert again == ws
    assert again.name == "team"
    assert hash(again) == hash(ws)
    for url in (f"{bucket.url}/team", f"{bucket.url}/team/", f"{bucket.url}/team/.daskrun"):
        assert Workspace.from_config(url, **options) == ws
    assert Workspace(f"{bucket.url}/team/.daskrun", **options).get_details()["name"] == "team"
    with pytest.raises(WorkspaceError, match=r"there is a workspace in s3://.*/team/\.daskrun"):
        Workspace.create("other", path=f"{bucket.url}/team", exist_ok=False, **options)
    assert Workspace.find(f"{bucket.url}/none", **options) is None
    assert Workspace.from_config(f"{bucket.url}/new", **options).name == "new"
    with pytest.raises(WorkspaceError, match=r"is not a workspace: it has no config\.json"):
        Workspace(f"{bucket.url}/none", **options)
    assert repr(ws) == f"Workspace(name='team', folder='{bucket.url}/team/.daskrun')"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("s3://", r"'s3://' names no place\. Write one such as 's3://bucket/team'"),
        ("s3://no-such-bucket/team", r"no workspace can be made at s3://no-such-bucket/team"),
    ],
)
def test_a_url_that_is_no_workspaces(bucket, url, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises((WorkspaceError, StorageError), match=said):
        Workspace.from_config(url, storage_options=bucket.options)
    assert list(tmp_path.glob("s3*")) == []


@pytest.mark.slow
def test_models_of_two_processes(bucket, ws, tmp_path):
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights/a.bin").write_bytes(b"a")
    model = Model.register(ws, tmp_path / "weights", "mnist", tags={"by": "me"})
    assert model.path.joinpath("a.bin").read_bytes() == b"a"
    code = (
        "import json, sys\n"
        "from daskrun import *\n"
        "ws = Workspace.from_config(sys.argv[1], storage_options=json.loads(sys.argv[2]))\n"
        "print(Model(ws, 'mnist').path.joinpath('a.bin').read_text())\n"
        "open('b.bin', 'w').write('b')\n"
        "print(Model.register(ws, 'b.bin', 'mnist').id)\n"
    )
    command = [sys.executable, "-c", code, f"{bucket.url}/team", json.dumps(bucket.options)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.split() == ["a", "mnist:2"]
    assert [each.id for each in Model.list(ws)] == ["mnist:2", "mnist:1"]
    assert Path(Model(ws, "mnist").download(tmp_path / "out")).read_text() == "b"
    Model(ws, "mnist", 1).delete()
    assert [each.id for each in Model.list(ws)] == ["mnist:2"]
    assert not [key for key in sorted(bucket.keys()) if key.endswith("a.bin")]


def test_what_may_be_executed_of_a_model_may_be_elsewhere_too(bucket, ws, tmp_path, monkeypatch):
    (tmp_path / "tools/bin").mkdir(parents=True)
    (tmp_path / "tools/empty").mkdir()
    for name in ("tools/bin/tool", "single"):
        (tmp_path / name).write_text("#!/bin/sh")
        (tmp_path / name).chmod(0o755)
    (tmp_path / "tools/data").write_text("data")
    (tmp_path / "tools/.modes.json").write_text("the user's own")
    for name in ("tools", "single"):
        Model.register(ws, tmp_path / name, name)
    working_copy.remove_copies()
    again = Workspace(ws.location, storage_options=bucket.options)
    monkeypatch.setenv("DASKRUN_CACHE", str(tmp_path / "cache"))
    for name in ("tools", "single"):
        url, own = f"{ws.location}/{Model(again, name)._place}", tmp_path / "own"
        for limit in (0, 10**6):
            (own / str(limit)).mkdir(parents=True, exist_ok=True)
            path = fetched.fetched(f"{url}", "", bucket.options, limit, own / str(limit))
            fetched._used.clear()
            files = [path] if path.is_file() else list(path.rglob("*"))
            may = {each.name for each in files if each.is_file() and os.access(each, os.X_OK)}
            assert may == ({"single"} if name == "single" else {"tool"})
            assert name == "single" or (path / "empty").is_dir()
            assert name == "single" or (path / ".modes.json").read_text() == "the user's own"


def test_a_url_where_another_model_is_now_has_that_one(bucket, tmp_path, monkeypatch):
    monkeypatch.setenv("DASKRUN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(fetched, "_used", {})
    url = f"s3://{bucket.name}/ws/models/m/1/a.bin"
    for content in (b"first", b"second"):  # a workspace was removed, and made again
        (tmp_path / "a.bin").write_bytes(content)
        digest = digest_of_files(tmp_path / "a.bin")
        bucket.put("ws/models/m/1/a.bin", content)
        path = fetched.fetched(url, digest, bucket.options, 10**6, tmp_path / "own")
        assert path.read_bytes() == content


def test_a_model_that_can_not_be_put_is_not_registered(bucket, ws, tmp_path):
    (tmp_path / "b.bin").write_bytes(b"b")
    bucket.fail("PUT", "b.bin", count=1000, status=403)
    with pytest.raises(StorageError, match=r"can't write s3://.*b\.bin"):
        Model.register(ws, tmp_path / "b.bin", "mnist")
    assert ws.models == {}


def test_datasets_and_the_default_datastore(bucket, ws, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.txt").write_text("a")
    store = ws.get_default_datastore()
    where = store.upload(tmp_path / "in", "texts", show_progress=False)
    assert bucket.get("team/.daskrun/datastore/texts/a.txt") == b"a"
    Dataset.File.from_files(where).register(ws, "texts")
    again = Workspace(ws.location, bucket.options)
    assert again.datasets["texts"].to_path() == [f"{ws.location}/datastore/texts/a.txt"]
    assert list(ws.datastores) == ["workspaceblobstore"]
    assert list(ws.experiments) == []
    with pytest.raises(NameNotFoundError, match="no run has the name 'none'"):
        ws.get_run("none")
    with pytest.raises(NameNotFoundError, match="no run has the name 'a/b'"):
        Experiment(ws, "trial").get_run("a/b")


def test_secrets_are_refused_and_their_names_are_not(bucket, ws, monkeypatch):
    place = {"endpoint_url": bucket.endpoint}
    with pytest.raises(SettingsError, match=r"keeps no secrets.*EnvironmentVariable\('NAME'\)"):
        Datastore.register_s3(ws, "cloud", bucket.name, key=KEY, secret=SECRET, **place)
    assert list(ws.datastores) == ["workspaceblobstore"]
    monkeypatch.setenv("BUCKET_SECRET", SECRET)
    named = EnvironmentVariable("BUCKET_SECRET")
    store = Datastore.register_s3(
        ws, "cloud", bucket.name, key=EnvironmentVariable("BUCKET_KEY"), secret=named, **place
    )
    monkeypatch.setenv("BUCKET_KEY", KEY)
    assert store.storage_options["secret"] == SECRET
    with pytest.raises(SettingsError, match="keeps no secrets"):
        Dataset.File.from_files("https://me:password@host/0.png", validate=False).register(ws, "x")
    assert not [key for key in sorted(bucket.keys()) if SECRET.encode() in bucket.get(key)]


def test_variables_of_an_environment_are_kept_for_all_who_may_read(bucket, ws):
    environment = Environment("words")
    environment.environment_variables = {"LANGUAGE": "sv"}
    environment.register(ws)
    assert Environment.get(ws, "words").environment_variables == {"LANGUAGE": "sv"}


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("memory://team", "in the memory of this process"),
        ("file:///tmp/team", "is a folder. Write its path, '/tmp/team'"),
        ("s3://key:secret@bucket/team", r"'s3://\*\*\*@bucket/team' holds what may be a secret"),
    ],
)
def test_urls_that_can_not_be_a_workspace(url, why):
    for use in (Workspace, Workspace.from_config, lambda path: Workspace.create("x", path)):
        with pytest.raises(WorkspaceError, match=why):
            use(url)


def test_options_of_a_folder_are_refused(tmp_path):
    for use in (Workspace.from_config, lambda p, **o: Workspace.create("x", p, **o)):
        with pytest.raises(WorkspaceError, match="is a folder, which takes no storage_options"):
            use(tmp_path, storage_options={"anon": True})


def test_a_store_without_exclusive_create_is_refused(bucket, monkeypatch):
    monkeypatch.setattr(S3Folder, "_create", lambda self, name, data, _: self._put(name, data))
    with pytest.raises(WorkspaceError, match="is in a store without exclusive create"):
        Workspace.create("team", path=bucket.url, storage_options=bucket.options)
    assert bucket.keys() == []


@pytest.mark.slow
def test_a_store_that_can_not_be_reached_is_said():
    nowhere = {"key": KEY, "secret": SECRET, "endpoint_url": "http://127.0.0.1:9"}
    with pytest.raises(StorageError, match=r"can't look at s3://b/ws/config\.json") as error:
        Workspace.from_config("s3://b/ws", storage_options=nowhere)
    assert SECRET not in str(error.value)
