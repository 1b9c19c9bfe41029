import shutil
import subprocess
import sys

import pytest

from daskrun.errors import NameNotFoundError, SettingsError, StorageError, WorkspaceError
from daskrun.script import context
from daskrun.workspace.models import model_files
from daskrun.workspace.models.model import Model, models_told
from daskrun.workspace.workspace import Workspace


@pytest.fixture
def ws(tmp_path):
    return Workspace.create("trial", path=tmp_path)


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "models"
    (made / "sub").mkdir(parents=True)
    (made / "weights.bin").write_bytes(b"1")
    (made / "sub" / "more.bin").write_bytes(b"2")
    return made


def test_versions_of_a_folder_and_a_file(ws, folder, tmp_path):
    first = Model.register(
        workspace=ws, model_path=f"{folder}/", model_name="mnist", tags={"a": "b"}, description="d"
    )
    assert (first.version, first.id, first.tags, first.description) == (
        1,
        "mnist:1",
        {"a": "b"},
        "d",
    )
    assert (first.path / "weights.bin").read_bytes() == b"1"
    assert (first.path / "sub" / "more.bin").read_bytes() == b"2"

    second = Model.register(ws, folder / "weights.bin", "mnist")
    assert second.version == 2
    assert second.path.is_file()
    shutil.rmtree(folder)
    assert (Model(ws, "mnist", 1).path / "weights.bin").read_bytes() == b"1"
    assert Model(ws, "mnist").version == 2
    assert [model.id for model in Model.list(ws)] == ["mnist:2", "mnist:1"]
    assert list(ws.models) == ["mnist"]
    assert models_told(ws) == {
        "models": {"mnist": {"1": str(first.path), "2": str(second.path)}},
        "model_digests": {},
    }


def digest(ws, path):
    model = Model.register(ws, path, "mnist")
    return ws.records.get("models", "mnist", model.version)["digest"]


def test_a_digest_is_of_the_names_and_contents_of_a_models_files(ws, folder, tmp_path):
    first = digest(ws, folder)
    assert digest(ws, shutil.copytree(folder, tmp_path / "of_another_name")) == first
    found = [first, digest(ws, folder / "weights.bin"), digest(ws, folder / "sub" / "more.bin")]
    for change in (
        lambda: (folder / "sub" / "more.bin").write_bytes(b"3"),
        lambda: (folder / "sub" / "more.bin").rename(folder / "more.bin"),
        lambda: (folder / "sub").rmdir(),
        lambda: (folder / "more.bin").unlink(),
    ):
        change()
        found.append(digest(ws, folder))
    (folder / "weights.bin").rename(folder / "weights.txt")
    found.append(digest(ws, folder / "weights.txt"))
    assert len(set(found)) == len(found) == 8


def test_what_is_not_there_is_said(ws, folder):
    with pytest.raises(SettingsError) as caught:
        Model.register(ws, "nowhere", "mnist", tags={"a": 1})
    assert len(caught.value.problems) == 2
    with pytest.raises(SettingsError, match="begins with a dot"):
        Model.register(ws, folder, "../mnist")
    with pytest.raises(
        NameNotFoundError, match=r"no model has the name 'mnist'\. There is no model"
    ):
        Model(ws, "mnist")
    Model.register(ws, folder, "mnist")
    with pytest.raises(NameNotFoundError, match="'mnist:1'"):
        Model(ws, "mnist", 2)


def test_a_copy_that_fails_leaves_the_old_state(ws, folder, monkeypatch):
    Model.register(ws, folder, "mnist")

    def half(source, target, **options):
        target.mkdir()
        (target / "weights.bin").write_bytes(b"")
        raise OSError("disk full")

    monkeypatch.setattr(model_files.shutil, "copytree", half)
    with pytest.raises(OSError, match="disk full"):
        Model.register(ws, folder, "mnist")
    assert Model(ws, "mnist").version == 1
    assert len(list((ws.folder / "models_files" / "mnist").iterdir())) == 1


def test_what_a_killed_copy_left_is_swept_a_day_later(ws, folder):
    Model.register(ws, folder, "mnist")
    left = ws.folder / "models_files" / "mnist" / ".1-2.partial"
    left.mkdir()
    Model.register(ws, folder, "mnist")
    assert left.exists()
    import os

    os.utime(left, (0, 0))
    Model.register(ws, folder, "mnist")
    assert not left.exists()


def test_a_folder_that_holds_the_workspace(ws, tmp_path):
    (tmp_path / "weights.bin").write_bytes(b"1")
    model = Model.register(ws, tmp_path, "all")
    assert (model.path / "weights.bin").exists()
    assert not (model.path / ".daskrun").exists()


def test_path_outside_a_run(ws, folder, tmp_path, monkeypatch):
    model = Model.register(ws, folder, "mnist")
    monkeypatch.chdir(tmp_path)
    assert Model.get_model_path("mnist") == str(model.path)
    assert Model.get_model_path("mnist", 1) == str(model.path)


def test_path_without_a_workspace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(WorkspaceError, match="hold no workspace"):
        Model.get_model_path("mnist")
    assert not (tmp_path / ".daskrun").exists()


@pytest.fixture
def in_run():
    models = {"mnist": {"1": "/m/1", "10": "/m/10", "9": "/m/9"}}
    context.enter(context.ScriptContext(models=models))
    yield
    context.enter(None)


@pytest.mark.usefixtures("in_run")
def test_path_in_a_run():
    assert Model.get_model_path("mnist") == "/m/10"
    assert Model.get_model_path("mnist", version=9) == "/m/9"
    with pytest.raises(NameNotFoundError, match="'mnist:1', 'mnist:9', 'mnist:10'"):
        Model.get_model_path("mnist", 2)
    with pytest.raises(NameNotFoundError, match="There are 'mnist'"):
        Model.get_model_path("digits")


def test_processes_that_register_at_once_get_1_and_2(ws, folder):
    code = (
        "import sys\nfrom daskrun import Model, Workspace\n"
        "print(Model.register(Workspace.from_config(sys.argv[1]), sys.argv[2], 'm').version)"
    )
    command = [sys.executable, "-c", code, str(ws.folder), str(folder)]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    assert sorted(int(each.communicate(timeout=60)[0]) for each in started) == [1, 2, 3]


def test_delete(ws, folder):
    model = Model.register(ws, folder, "mnist")
    model.delete()
    assert ws.models == {}
    assert not model.path.exists()


def test_a_version_is_deleted_and_its_number_not_given_again(ws, folder):
    first, second = (Model.register(ws, folder, "mnist") for _ in range(2))
    second.delete()
    second.delete()
    assert not second.path.exists()
    assert Model(ws, "mnist").version == 1
    assert (first.path / "weights.bin").exists()
    with pytest.raises(NameNotFoundError, match="no model has the name 'mnist:2'"):
        Model(ws, "mnist", 2)
    assert Model.register(ws, folder, "mnist").version == 3


def test_models_are_looked_for_by_id_and_tags(ws, folder):
    for accuracy in ("0.9", "0.8", "0.8"):
        Model.register(ws, folder, "mnist", tags={"accuracy": accuracy})
    Model.register(ws, folder, "other", tags={"of": "me"}, properties={"size": "1"})
    assert Model(ws, id="mnist:2").version == 2
    assert Model(ws, "mnist", tags=["accuracy"]).version == 3
    assert Model(ws, "mnist", tags={"accuracy": "0.9"}).version == 1
    assert Model(ws, "other").properties == {"size": "1"}
    for wanted, ids in (
        ({"tags": ["accuracy"]}, ["mnist:3", "mnist:2", "mnist:1"]),
        ({"tags": [["accuracy", "0.8"]]}, ["mnist:3", "mnist:2"]),
        ({"tags": [["accuracy", "0.8"]], "latest": True}, ["mnist:3"]),
        ({"latest": True}, ["mnist:3", "other:1"]),
        ({"name": "other", "tags": ["accuracy"]}, []),
        ({"properties": {"size": "1"}}, ["other:1"]),
        ({"name": "none"}, []),
    ):
        assert [model.id for model in Model.list(ws, **wanted)] == ids
    with pytest.raises(NameNotFoundError, match="mnist with tags="):
        Model(ws, "mnist", tags={"accuracy": "1"})


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"id": "mnist"}, "id='mnist' is not a model's. Write id='mnist:1'."),
        ({"id": "mnist:1", "version": 1}, "says name and version. Leave these two out."),
        ({}, "name=None is not a name"),
        ({"name": "mnist", "version": "new"}, "version='new' is not a version"),
        ({"name": "mnist", "tags": "a"}, "tags='a' is not a list of tags"),
        ({"name": "mnist", "tags": [("a", "b", "c")]}, "is not a list of tags"),
    ],
)
def test_what_no_model_can_be_looked_for_by(ws, given, text):
    with pytest.raises(SettingsError) as caught:
        Model(ws, **given)
    assert text in str(caught.value)


def test_download(ws, folder, tmp_path):
    model = Model.register(ws, folder, "mnist")
    target = tmp_path / "down"
    assert model.download(target) == str(target / "models")
    assert (target / "models" / "sub" / "more.bin").read_bytes() == b"2"
    with pytest.raises(SettingsError, match=r"holds 'models' already. Pass exist_ok=True"):
        model.download(target)
    (target / "models" / "old").touch()
    model.download(target, exist_ok=True)
    assert sorted(p.name for p in (target / "models").iterdir()) == ["sub", "weights.bin"]
    one = Model.register(ws, folder / "weights.bin", "one")
    assert one.download(target) == str(target / "weights.bin")
    assert sorted(p.name for p in target.iterdir()) == ["models", "weights.bin"]
    shutil.rmtree(one.path.parent)
    with pytest.raises(StorageError, match="can't copy"):
        one.download(target, exist_ok=True)
    assert (target / "weights.bin").read_bytes() == b"1"


def test_files_that_no_record_names_are_swept_a_day_later(ws, folder):
    import os

    kept = Model.register(ws, folder, "mnist")
    left = kept.path.parent.parent / "1-2"
    shutil.copytree(kept.path.parent, left)
    for path in (left, kept.path.parent):
        os.utime(path, (0, 0))
    Model.register(ws, folder, "mnist")
    assert not left.exists()
    assert (kept.path / "weights.bin").exists()


def test_a_file_nobody_may_write_is_a_model_too(ws, folder):
    (folder / "weights.bin").chmod(0o400)
    assert (Model.register(ws, folder, "mnist").path / "weights.bin").read_bytes() == b"1"
