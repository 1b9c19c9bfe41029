import json
import os
import pickle
import sys
from dataclasses import replace

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from s3 import KEY, SECRET

from daskrun.core.intervals import USUAL
from daskrun.data.datasets import Dataset
from daskrun.data.protocols import DataPath, Place
from daskrun.errors import (
    DaskrunError,
    DatasetError,
    NameNotFoundError,
    SettingsError,
    StorageError,
)
from daskrun.workspace.datastores import datastore_transfer as transfer
from daskrun.workspace.datastores.datastore import Datastore
from daskrun.workspace.datastores.datastore_options import EnvironmentVariable
from daskrun.workspace.models.model import Model
from daskrun.workspace.workspace import Workspace


@pytest.fixture
def ws(tmp_path):
    return Workspace.create("trial", path=tmp_path)


@pytest.fixture
def images(ws, tmp_path):
    folder = tmp_path / "images"
    (folder / "mnist").mkdir(parents=True)
    for number in range(3):
        (folder / "mnist" / f"{number}.png").write_bytes(b"%d" % number)
    return Datastore.register_local(ws, "images", folder)


def test_it_is_a_place_for_datasets(images):
    assert isinstance(images, Place)
    path = images.path("mnist/")
    assert isinstance(path, DataPath)
    assert (path.place, path.relative) == (images, "mnist/")
    found = Dataset.File.from_files(path=path).to_path()
    assert [name.rpartition("/")[2] for name in found] == ["0.png", "1.png", "2.png"]
    assert len(Dataset.File.from_files((images, "mnist/0.png")).to_path()) == 1


def test_get_and_names(ws, images):
    assert Datastore.get(ws, "images") == images
    assert Datastore(ws, "images") == images
    assert Datastore(ws).name == "workspaceblobstore"
    with pytest.raises(NameNotFoundError, match="There are 'images', 'workspaceblobstore'"):
        Datastore.get(ws, "image")
    assert pickle.loads(pickle.dumps(images)) == images


def test_a_taken_name_needs_overwrite(ws, images, tmp_path):
    with pytest.raises(SettingsError, match="datastore_name='images' is taken"):
        Datastore.register_local(ws, "images", tmp_path)
    Datastore.register_local(ws, "images", tmp_path, overwrite=True)
    assert Datastore.get(ws, "images").folder == tmp_path
    with pytest.raises(SettingsError, match="is taken"):
        Datastore.register_local(ws, "workspaceblobstore", tmp_path)


def test_of_two_processes_that_register_at_once_the_second_is_told(ws, tmp_path, monkeypatch):
    monkeypatch.setattr(Datastore, "names", lambda _: [])  # as both have seen it
    Datastore.register_local(ws, "new", tmp_path)
    with pytest.raises(SettingsError, match="datastore_name='new' is taken in workspace"):
        Datastore.register_local(ws, "new", tmp_path)


def test_a_folder_has_to_be_there(ws, tmp_path):
    with pytest.raises(SettingsError, match=r"folder='.*nowhere' is not a folder"):
        Datastore.register_local(ws, "images", str(tmp_path / "nowhere"))


def test_url(images):
    root = images.folder
    assert images.url() == str(root)
    assert images.url("mnist/*.png") == f"{root}/mnist/*.png"
    assert images.url("/mnist/") == f"{root}/mnist/"
    with pytest.raises(SettingsError, match=r"path='a/../../x' leads out of datastore 'images'"):
        images.url("a/../../x")


def test_azure_says_what_to_install(ws, tmp_path, monkeypatch, caplog):
    store = Datastore.register_azure_blob_container(
        ws, "blob", container_name="sampledata", account_name="pipelinedata", overwrite=True
    )
    assert store.url("mnist/") == "abfs://sampledata/mnist/"
    assert store.storage_options == {"anon": True, "account_name": "pipelinedata"}
    monkeypatch.setattr(transfer.importlib.util, "find_spec", lambda name: None)
    Datastore.register_azure_blob_container(ws, "other", "sampledata", "pipelinedata")
    assert "datastore 'other' is at abfs://sampledata" in caplog.text
    assert "pip install 'daskrun[azure]'" in caplog.text
    with pytest.raises(StorageError, match=r"pip install 'daskrun\[azure\]'"):
        store.download(tmp_path / "d")
    monkeypatch.setitem(sys.modules, "adlfs", None)
    with pytest.raises(DatasetError, match="Install adlfs"):
        Dataset.File.from_files(store.path("mnist/")).to_path()


def test_secrets_are_in_no_repr_and_no_record(ws):
    blob = Datastore.register_azure_blob_container(ws, "b", "box", "account", account_key="k3y")
    s3 = Datastore.register_s3(ws, "s", "bucket/folder", key="id", secret="s3cret")
    web = Datastore.register_url(ws, "w", "https://me:pa55@host/data", {"token": "t0ken"})
    shown = repr([blob, s3, web, blob.path("x"), s3.path("x"), ws.datastores])
    for secret in ("k3y", "s3cret", "pa55", "t0ken"):
        assert secret not in shown
    assert s3.storage_options == {"key": "id", "secret": "s3cret"}
    assert web.url("x") == "https://me:pa55@host/data/x"
    assert web.storage_options == {"token": "t0ken"}
    assert blob.storage_options == {"account_key": "k3y", "account_name": "account"}
    with_secret = set()
    for path in ws.folder.rglob("*"):
        text = path.read_text() if path.is_file() else ""
        if any(secret in text for secret in ("k3y", "s3cret", "pa55", "t0ken")):
            with_secret.add(path.parent)
            assert path.stat().st_mode & 0o777 == 0o600
    assert with_secret == {ws.folder / "private"}
    assert (ws.folder / "private").stat().st_mode & 0o777 == 0o700


def test_a_secret_in_an_environment_variable(ws, monkeypatch):
    key = EnvironmentVariable("TRIAL_KEY")
    Datastore.register_azure_blob_container(ws, "b", "box", "account", account_key=key)
    options = {"client_kwargs": {"headers": [key]}, "key": key}
    nested = Datastore.register_url(ws, "n", "s3://box", options)
    store = Datastore.get(ws, "b")
    with pytest.raises(SettingsError, match="environment variable TRIAL_KEY is not set"):
        store.storage_options  # noqa: B018
    assert "'b'" in repr(ws.datastores)
    monkeypatch.setenv("TRIAL_KEY", "k3y")
    assert store.storage_options == {"account_key": "k3y", "account_name": "account"}
    assert nested.storage_options == {"client_kwargs": {"headers": ["k3y"]}, "key": "k3y"}
    monkeypatch.setenv("TRIAL_KEY", "new")
    assert store.storage_options["account_key"] == "new"
    assert "k3y" not in "".join(p.read_text() for p in ws.folder.rglob("*") if p.is_file())
    with pytest.raises(SettingsError, match="name='' is not a variable's"):
        EnvironmentVariable("")


def test_what_cannot_be_kept_is_said(ws):
    with pytest.raises(SettingsError, match=r"client_kwargs\.session is of type object"):
        Datastore.register_url(ws, "u", "s3://b", {"client_kwargs": {"session": object()}})
    assert "u" not in ws.datastores


def test_records_of_an_older_daskrun_are_read(ws):
    record = {"root": "https://me:pa55@host/data", "storage_options": {"token": "t0ken"}}
    ws.records.create("datastores", "old", {"root": "https://host/data"})  # hides secrets today
    [file] = (ws.folder / "datastores" / "old").glob("*.json")
    file.write_text(json.dumps(record))
    old = Datastore.get(ws, "old")
    assert (old.url("x"), old.storage_options) == (
        "https://me:pa55@host/data/x",
        {"token": "t0ken"},
    )
    assert "pa55" not in repr(old)


def test_secrets_go_with_the_datastore(ws):
    def secrets():
        return [path.read_text() for path in (ws.folder / "private").glob("*")]

    first = Datastore.register_s3(ws, "s", "bucket", key="id", secret="first")
    Datastore.register_s3(ws, "s", "bucket", key="id", secret="second", overwrite=True)
    (kept,) = secrets()
    assert "second" in kept
    with pytest.raises(StorageError, match="registered anew or unregistered"):
        first.storage_options  # noqa: B018
    Datastore.get(ws, "s").unregister()
    assert secrets() == []
    assert "s" not in ws.datastores


def test_what_a_killed_process_left_of_secrets_is_swept_a_day_later(ws):
    store = Datastore.register_s3(ws, "s", "bucket", key="id", secret="s3cret")
    left = ws.folder / "private" / f"{'0' * 32}.json"
    left.write_text("{}")
    Datastore.register_s3(ws, "t", "bucket")
    assert left.exists()
    for path in left.parent.iterdir():
        os.utime(path, (0, 0))
    Datastore.register_s3(ws, "u", "bucket")
    assert not left.exists()
    assert store.storage_options["secret"] == "s3cret"


def test_unregister_asks_nothing_of_others(ws, images):
    dataset = Dataset.File.from_files(images.path("mnist")).register(ws, "digits")
    ws.set_default_datastore(images)
    images.unregister()
    with pytest.raises(NameNotFoundError, match="no default datastore has the name 'images'"):
        ws.get_default_datastore()
    assert list(ws.datastores) == ["workspaceblobstore"]
    assert ws.get_details()["defaultDatastore"] == "images"
    found = ws.datasets["digits"]
    assert found.version == dataset.version
    assert "'mnist' in <datastore 'images', which is gone>" in repr(found)
    with pytest.raises(NameNotFoundError, match="no datastore has the name 'images'"):
        found.to_path()
    found.unregister_all_versions()
    assert ws.datasets == {}
    assert (images.folder / "mnist" / "0.png").exists()
    with pytest.raises(SettingsError, match="can't be unregistered"):
        Datastore.get(ws, "workspaceblobstore").unregister()


def test_the_workspaces_own_place_can_be_replaced_and_had_back(ws, tmp_path):
    Datastore.register_local(ws, "workspaceblobstore", tmp_path, overwrite=True)
    assert Datastore.get_default(ws).folder == tmp_path
    Datastore.get_default(ws).unregister()
    assert Datastore.get_default(ws).folder == ws.folder / "datastore"


def test_progress_is_told(ws, images, tmp_path, capsys):
    store = ws.get_default_datastore()
    store.upload(images.folder, target_path=None, overwrite=True, show_progress=True)
    assert capsys.readouterr().out == "3 files copied\n"
    often = Workspace(ws.folder, intervals=replace(USUAL, copying_told=0.0))
    store = often.get_default_datastore()
    store.download(tmp_path / "all", prefix=None)
    expected = "".join(f"{n} copied so far\n" for n in ("1 file", "2 files", "3 files"))
    assert capsys.readouterr().out == f"{expected}3 files copied\n"
    store.download(tmp_path / "more", show_progress=False)
    assert capsys.readouterr().out == ""


def test_register_url_wants_a_url(ws):
    with pytest.raises(SettingsError, match="url='data/images' is not a URL"):
        Datastore.register_url(ws, "u", "data/images")


@pytest.mark.parametrize(
    ("url", "text"),
    [
        (
            "zork://x",
            r"url='zork://x' has the protocol 'zork'.*Write one that it knows, such as s3",
        ),
        ("S3://box", r"url='S3://box' has the protocol 'S3'.*Write s3://, or"),
        ("simplecache::zork://me:pa55@x", r"url='simplecache::zork://\*\*\*@x' has the.*'zork'"),
    ],
)
def test_register_url_wants_a_protocol_that_fsspec_knows(ws, url, text):
    with pytest.raises(SettingsError, match=text):
        Datastore.register_url(ws, "u", url)
    assert "u" not in ws.datastores


def test_a_file_system_of_ones_own_can_be_registered(ws):
    fsspec.register_implementation("of-mine", MemoryFileSystem, clobber=True)
    assert Datastore.register_url(ws, "u", "of-mine://x").url("a") == "of-mine://x/a"


@pytest.mark.parametrize(
    ("url", "package", "install"),
    [
        ("abfss://box@account", "adlfs", "'daskrun[azure]'"),
        ("gcs://box", "gcsfs", "'daskrun[gcs]'"),
        ("s3://box", "s3fs", "'daskrun[s3]'"),
        ("webdav://host/x", "webdav4", "webdav4"),
        ("zip://a::sftp://host/a.zip", "paramiko", "paramiko"),
    ],
)
def test_a_known_protocol_is_registered_and_what_to_install_said(
    ws, url, package, install, monkeypatch, caplog
):
    monkeypatch.setattr(transfer.importlib.util, "find_spec", lambda name: None)
    Datastore.register_url(ws, "u", url)
    assert "u" in ws.datastores
    assert f"needs the package {package}. Install it: pip install {install}" in caplog.text


def test_upload_and_download(ws, images, tmp_path, caplog):
    store = ws.get_default_datastore()
    path = store.upload(images.folder, "copies")
    assert path == store.path("copies")
    assert (store.folder / "copies" / "mnist" / "2.png").read_bytes() == b"2"

    file = tmp_path / "extra.txt"
    file.write_text("new")
    store.upload_files([file], target_path="copies")
    store.upload_files([images.folder / "mnist" / "0.png"], images.folder / "mnist", "flat")
    assert (store.folder / "flat" / "0.png").exists()

    target = tmp_path / "down"
    assert store.download(target, "copies") == 4
    assert (target / "copies" / "mnist" / "1.png").read_bytes() == b"1"
    assert store.download(tmp_path / "one", "copies/extra.txt") == 1

    file.write_text("newer")
    store.upload_files([file], target_path="copies")
    assert (store.folder / "copies" / "extra.txt").read_text() == "new"
    assert "1 file there already and kept as before" in caplog.text
    store.upload_files([file], target_path="copies", overwrite=True)
    assert store.download(target, "copies") == 0
    assert (target / "copies" / "extra.txt").read_text() == "new"
    assert store.download(target, "copies", overwrite=True) == 4
    assert (target / "copies" / "extra.txt").read_text() == "newer"
    assert not list(target.rglob("*.partial"))


def test_what_cannot_be_copied_is_said(ws, images, tmp_path):
    with pytest.raises(StorageError, match="is not a folder"):
        images.upload(tmp_path / "nowhere")
    with pytest.raises(StorageError, match="is not a file"):
        images.upload_files([tmp_path])
    with pytest.raises(StorageError, match="is not above"):
        images.upload_files([images.folder / "mnist" / "0.png"], tmp_path / "other")
    with pytest.raises(StorageError, match="there is no file in"):
        images.download(tmp_path / "x", "nothing")


def test_parts_of_unfinished_runs_are_not_downloaded(ws, tmp_path):
    store = ws.get_default_datastore()
    (store.folder / "out" / "_daskrun" / "run").mkdir(parents=True)
    (store.folder / "out" / "_daskrun" / "run" / "part").write_text("half")
    (store.folder / "out" / "result.txt").write_text("whole")
    assert store.download(tmp_path / "d", "out") == 1


def test_a_remote_datastore_is_copied_to_and_from(ws, tmp_path):
    store = Datastore.register_url(ws, "memory", "memory://box")
    (tmp_path / "a.txt").write_text("a")
    store.upload_files([tmp_path / "a.txt"], target_path="sub")
    assert store.folder is None
    assert store.download(tmp_path / "d", "sub") == 1
    assert (tmp_path / "d" / "sub" / "a.txt").read_text() == "a"


def test_files_go_to_s3_and_come_back_as_they_are_there_now(ws, images, bucket, tmp_path):
    cloud = Datastore.register_s3(
        ws, "cloud", f"{bucket.name}/store", KEY, SECRET, endpoint_url=bucket.endpoint
    )
    with pytest.raises(StorageError, match=r"there is no file in s3://.*/store/in"):
        cloud.download(tmp_path / "back", "in")
    cloud.upload(images.folder / "mnist", "in")
    cloud.upload(images.folder / "mnist", "in")  # there already: they stay
    assert bucket.keys() == [f"store/in/{n}.png" for n in range(3)]
    assert len(bucket.asked("PUT")) == 3  # no attempt to make the bucket
    bucket.put("store/in/_daskrun/run/part", b"of a run that is not finished")
    assert cloud.download(tmp_path / "back", "in") == 3
    assert (tmp_path / "back" / "in" / "2.png").read_bytes() == b"2"
    closed = Datastore.register_s3(
        ws, "closed", bucket.name, "AKIAOTHER", SECRET, endpoint_url=bucket.endpoint
    )
    for act in (
        lambda: closed.upload(images.folder / "mnist", "in"),
        lambda: closed.download(tmp_path / "none"),
    ):
        with pytest.raises(StorageError, match=r"can't .* s3://.*PermissionError") as caught:
            act()
        assert SECRET not in str(caught.value)
    assert not (tmp_path / "none").exists()


def test_a_bucket_is_no_url(ws):
    said = r"bucket_name='s3://team/texts' is a URL\. Write bucket or bucket/folder, such as 'team"
    with pytest.raises(SettingsError, match=said):
        Datastore.register_s3(ws, "cloud", "s3://team/texts")


def test_half_a_character_is_no_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ws = Workspace.create("trial")
    store = ws.get_default_datastore()
    (tmp_path / "a").touch()
    for call in (
        lambda: store.upload_files(["a"], target_path="\ud800"),
        lambda: store.download("here", prefix="\ud800"),
        lambda: Workspace.from_config("\ud800"),
        lambda: Model.register(ws, "\ud800", "m"),
        lambda: Dataset.File.from_files("\ud800"),
    ):
        with pytest.raises(DaskrunError, match=r"ud800.* has half of a character"):
            call()
    odd = tmp_path / os.fsdecode(b"\xff")
    odd.touch()  # of bytes that are no text, which is whole
    assert Dataset.File.from_files(str(odd)).to_path() == [str(odd)]
