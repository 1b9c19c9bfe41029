import shutil
import subprocess
import sys

import pytest

from daskrun.errors import NameNotFoundError, SettingsError, WorkspaceError
from daskrun.script import context
from daskrun.workspace import model_files
from daskrun.workspace.model import Model, model_paths
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
    assert model_paths(ws) == {"mnist": {"1": str(first.path), "2": str(second.path)}}


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
    context.enter({"models": {"mnist": {"1": "/m/1", "10": "/m/10", "9": "/m/9"}}})
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
