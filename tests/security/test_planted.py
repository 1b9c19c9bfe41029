"""What others have put among a run's records is named, waited for by nobody, and not written to."""

import contextlib
import json
import os
import stat

import pytest

from daskrun import (
    ComputeTarget,
    Dataset,
    Datastore,
    Environment,
    Experiment,
    Model,
    ParallelRunConfig,
    ParallelRunStep,
    Pipeline,
    PipelineData,
    RunDetails,
    Workspace,
)
from daskrun.errors import DaskrunError, SettingsError, StorageError
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


@pytest.mark.timeout(30)  # a pipe that is opened to be read waits for ever
def test_no_view_of_a_run_waits_for_a_pipe_among_its_logs_and_metrics(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").write_text("x")
    (tmp_path / "score.py").write_text(
        "from daskrun import Failed, Run\n"
        "def run(files):\n"
        "    Run.get_context().log('n', 1)\n"
        "    return [Failed(file, 'no') for file in files]\n"
    )
    config = ParallelRunConfig(
        entry_script="score.py",
        error_threshold=-1,
        output_action="append_row",
        compute_target="inline",
    )
    files = Dataset.File.from_files("a.txt").as_named_input("files")
    step = ParallelRunStep("score", config, [files], PipelineData("out"))
    ws = Workspace.create("trial")
    run = Experiment(ws, "trial").submit(Pipeline(ws, [step]))
    run.wait_for_completion(raise_on_error=False)
    [step_run] = run.get_steps()
    kept = [path for path in step_run.folder.rglob("*") if path.is_file()]
    planted = [path for path in kept if {"logs", "metrics"} & {*path.parts}]
    names = {path.name for path in planted}
    assert names >= {"statistics.json", "events.jsonl", "failed_items.jsonl", "report.html"}
    for path in planted:
        path.unlink()
        os.mkfifo(path)
    again = ws.get_run(run.id)
    [step_run] = again.get_steps()
    for view in (
        step_run.get_metrics,
        step_run.failed_items,
        step_run.get_details,
        again.report,
        again._repr_html_,
        step_run._repr_html_,
        lambda: RunDetails(again).text,
    ):
        with contextlib.suppress(DaskrunError, OSError):  # a sentence will do
            view()
