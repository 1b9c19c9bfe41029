"""What others have put among a run's records is named, waited for by nobody, and not written to."""

import json
import os
import stat

import pytest

from daskrun import ComputeTarget, Dataset, Datastore, Environment, Model, Workspace
from daskrun.errors import SettingsError, StorageError
from daskrun.pipeline.records.cancel import CancelWatch
from daskrun.workspace.run_folders.run_folder import ALIVE, CANCEL, RunFolder, reason_of


@pytest.fixture
def folder(tmp_path):
    folder = RunFolder(tmp_path / "20260101-000000-000-aaaaaa")
    folder.create({"kind": "pipeline", "experiment": "e", "steps": []})
    return folder


@pytest.mark.parametrize("wrong", [[1], None, "x", 3, {}, {"reason": 3}, {"reason": None}])
def test_a_request_to_cancel_that_is_none_is_named(folder, caplog, wrong):
    data = json.dumps(wrong).encode()
    with pytest.raises(StorageError, match=r"s3://b/cancel\.json (holds|is no request)"):
        reason_of("s3://b/cancel.json", lambda _: data)  # as a run behind a URL reads it
    (folder.path / CANCEL).write_bytes(data)
    with pytest.raises(StorageError, match="cancel"):
        folder.asked_to_cancel()


def test_a_request_to_cancel_that_is_none_is_told_once(folder, caplog):
    asked, canceled = [], []

    class Watched:
        id, forget_cancel = "run", folder.forget_cancel

        def asked_to_cancel(self):
            asked.append(1)
            return folder.asked_to_cancel() if len(asked) < 3 else "enough"

    (folder.path / CANCEL).write_text("[1]")
    watch = CancelWatch(Watched(), canceled.append, 0.001)
    watch._look()
    assert canceled == ["enough"]
    [told] = caplog.records
    assert told.exc_info is None
    assert "holds list, not what a run keeps there" in told.getMessage()


def test_a_lock_that_is_a_pipe_is_not_waited_for(folder):
    (folder.path / ALIVE).unlink()
    os.mkfifo(folder.path / ALIVE)
    assert not folder.is_driven()
    with pytest.raises(StorageError, match="no regular file"):
        folder.lock()


def test_a_lock_that_is_a_link_leaves_what_it_names_alone(folder, tmp_path):
    mine = tmp_path / "mine"
    mine.write_text("precious")
    mine.chmod(0o644)
    (folder.path / ALIVE).unlink()
    (folder.path / ALIVE).symlink_to(mine)
    with pytest.raises(StorageError, match="can't open the lock"):
        folder.lock()
    assert mine.read_text() == "precious"
    assert stat.S_IMODE(mine.stat().st_mode) == 0o644


@pytest.mark.parametrize(
    ("key", "wrong"), [("tags", []), ("created", "x"), ("path", 5), ("description", {})]
)
def test_a_record_with_values_of_other_types_is_named(tmp_path, key, wrong):
    ws = Workspace.create("ws", path=tmp_path)
    (tmp_path / "weights").touch()
    Model.register(ws, tmp_path / "weights", "mine")
    Model.register(ws, tmp_path / "weights", "theirs")
    [path] = tmp_path.rglob("models/theirs/1.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), key: wrong}))
    with pytest.raises(StorageError, match=rf"theirs/1\.json has '{key}' that is"):
        Model(ws, "theirs")
    assert Model(ws, "mine").version == 1


@pytest.mark.parametrize(
    ("key", "wrong"), [("steps", 5), ("steps", [1]), ("inputs", [1]), ("kind", 3), ("settings", [])]
)
def test_a_run_with_values_of_other_types_is_named(folder, key, wrong):
    path = folder.path / "run.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), key: wrong}))
    with pytest.raises(StorageError, match=rf"run\.json has '{key}'"):
        folder.manifest()
    (folder.path / "reuse.json").write_text(json.dumps({"run_id": [1]}))
    with pytest.raises(StorageError, match="has 'run_id' that is list"):
        folder.reuse()


@pytest.mark.parametrize("name", ["a\ud800", "\udfff", "\x7f", "a\nb", "a/b", "..", "a\\b"])
def test_no_record_has_a_name_that_no_file_can_have(tmp_path, name):
    ws = Workspace.create("ws", path=tmp_path)
    dataset = Dataset.File.from_files("x", validate=False)
    for keep in (
        lambda: dataset.register(ws, name),
        lambda: Environment(name).register(ws),
        lambda: Datastore.register_s3(ws, name, "bucket"),
        lambda: ComputeTarget.attach(ws, name, "tcp://10.0.0.5:8786"),
    ):
        with pytest.raises(SettingsError):
            keep()
