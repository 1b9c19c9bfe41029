import os
import time

import pytest
from running import wait_for

from daskrun import (
    Dataset,
    Datastore,
    Experiment,
    ParallelRunConfig,
    ParallelRunStep,
    Pipeline,
    PipelineData,
    SettingsError,
    Workspace,
)
from daskrun.script import node_folders as leftovers
from daskrun.storage.s3 import S3Folder
from daskrun.workspace.cleaning.clean import shown_size
from daskrun.workspace.run_folders.run_folder import RunFolder

FAILS_LATE = """
import os
def run(mini_batch):
    if os.path.basename(mini_batch[0]) == "7.txt":
        raise ValueError("no good")
    return [os.path.basename(path) for path in mini_batch]
"""
DAY = 86400

pytestmark = pytest.mark.usefixtures("own_temporary_folder")


@pytest.fixture
def ws(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "files").mkdir()
    for number in range(10):
        (tmp_path / "files" / f"{number}.txt").write_text("x")
    (tmp_path / "score.py").write_text(FAILS_LATE)
    return Workspace.create("trial")


def submit(ws, threshold=0, store=None):
    """Run a step over ten files inline, of which the eighth fails."""
    config = ParallelRunConfig(
        entry_script="score.py",
        error_threshold=threshold,
        output_action="append_row",
        compute_target="inline",
        mini_batch_size=1,
        run_max_try=1,
    )
    output = PipelineData("scores", datastore=store)
    step = ParallelRunStep("score-files", config, [Dataset.File.from_files("files")], output)
    return Experiment(ws, "trial").submit(Pipeline(ws, [step]))


def failed(ws, **more):
    run = submit(ws, **more)
    assert run.wait_for_completion(raise_on_error=False) == "Failed"
    wait_for(lambda: not RunFolder(run.folder).is_driven())
    return run


def parts_of(run):
    [step] = run.get_steps()
    return next(iter(run.workspace.folder.glob(f"datastore/**/_daskrun/{step.id}")), None)


def test_parts_of_a_failed_run_are_freed_and_said(ws):
    run = failed(ws)
    [step] = run.get_steps()
    parts = parts_of(run)
    size = sum(path.stat().st_size for path in parts.iterdir())
    assert size > 0
    hidden = parts.parents[1] / f"._daskrun-{step.id}.tmp"
    hidden.write_bytes(b"x" * 1000)
    found = ws.clean(older_than_days=0)
    [item] = found
    assert (item.what, item.run, item.status, item.place) == (
        "parts",
        step.id,
        "Failed",
        str(parts),
    )
    assert item.bytes == found.bytes == size + 1000
    shown = shown_size(size + 1000)
    assert f"parts  {shown}  0.0 days  run {step.id} (Failed)  {parts}" in repr(found)
    assert "resume() does those mini-batches again" in repr(found)
    assert parts.exists()
    before = sorted(path for path in run.folder.rglob("*") if path.name != "driver.lock")
    done = found.remove()
    assert repr(done).startswith(f"removed 1 thing, {shown}\n")
    assert (len(done.removed), done.kept) == (1, ())
    assert not parts.exists()
    assert not hidden.exists()
    assert sorted(path for path in run.folder.rglob("*") if path.name != "driver.lock") == before
    assert len(ws.clean(older_than_days=0)) == 0
    assert repr(ws.clean(older_than_days=0)) == "nothing to remove"


def test_a_run_without_its_parts_is_resumed_from_the_start(ws, tmp_path):
    run = failed(ws)
    assert len(ws.clean(0).remove().removed) == 1
    assert run.resume(retry_failed=True, error_threshold=-1).wait_for_completion() == "Completed"
    [output] = ws.folder.rglob("parallel_run_step.txt")
    assert output.read_text().split() == [f"{n}.txt" for n in range(10) if n != 7]


def test_what_is_young_or_completed_stays(ws):
    run = failed(ws)
    done = submit(ws, threshold=-1)
    assert done.wait_for_completion() == "Completed"
    assert len(ws.clean()) == 0
    assert [item.run for item in ws.clean(0)] == [run.get_steps()[0].id]
    ws.clean(0).remove()
    [output] = ws.folder.rglob("parallel_run_step.txt")
    assert len(output.read_text().split()) == 9
    assert (done.get_steps()[0].folder / "logs" / "job_result.txt").exists()


def test_a_run_that_is_driven_is_left_alone(ws):
    run = failed(ws)
    found = ws.clean(0)
    with RunFolder(run.folder).drive():
        assert len(ws.clean(0, runs=True)) == 0
        [(item, why)] = found.remove().kept
        assert "locked by process" in why
    assert parts_of(run).exists()
    RunFolder(run.folder).add_state("Failed", "once more")
    [(item, why)] = found.remove().kept
    assert why == "it has gone on since it was looked at. Look again."
    assert f"kept 1 thing:\n  {item}: it has gone on" in repr(found.remove())
    assert parts_of(run).exists()


def test_nobody_resumes_while_parts_are_removed(ws, monkeypatch):
    run = failed(ws)
    seen = []

    def free(self):
        seen.extend(folder.is_driven() for folder in map(RunFolder, folders))

    from daskrun.workspace.cleaning.old_runs import OldStep

    folders = [run.folder, run.get_steps()[0].folder]
    monkeypatch.setattr(OldStep, "free", free)
    ws.clean(0).remove()
    assert seen == [True, True]
    assert not any(RunFolder(folder).is_driven() for folder in folders)


def test_one_that_can_not_be_removed_does_not_keep_the_rest(ws, monkeypatch):
    from daskrun.output import destination as place

    first, second = failed(ws), failed(ws)
    stuck = str(parts_of(first))
    real = place.sweep

    def sweep(path):
        if str(path) == stuck:
            raise OSError(13, "Permission denied", str(path))
        real(path)

    monkeypatch.setattr(place, "sweep", sweep)
    done = ws.clean(0).remove()
    assert [item.run for item in done.removed] == [second.get_steps()[0].id]
    [(item, why)] = done.kept
    assert item.place == stuck
    assert "Permission denied" in why


def test_whole_runs_where_they_are_asked_for(ws):
    run = failed(ws)
    done = submit(ws, threshold=-1)
    done.wait_for_completion()
    wait_for(lambda: not RunFolder(done.folder).is_driven())
    found = ws.clean(0, runs=True)
    kinds = [(item.what, item.run, item.status) for item in found]
    step = run.get_steps()[0].id
    assert kinds == [
        ("parts", step, "Failed"),
        ("run folder", run.id, "Failed"),
        ("run folder", done.id, "Completed"),
    ]
    removed = found.remove()
    assert (len(removed.removed), removed.kept) == (3, ())
    assert list(ws.runs_folder.iterdir()) == []
    assert list(Experiment(ws, "trial").get_runs()) == []
    [output] = ws.folder.rglob("parallel_run_step.txt")
    assert len(output.read_text().split()) == 9


def test_a_run_whose_process_is_gone(ws):
    run = failed(ws)
    for folder in (run.folder, run.get_steps()[0].folder):
        RunFolder(folder).add_state("Running")
    [item] = ws.clean(0)
    assert item.status == "interrupted"
    now = time.time()
    old = ws.clean(0.5)
    assert len(old) == 0
    for file in ws.runs_folder.glob("*/states/*.json"):
        text = file.read_text()
        stamp = text.split('"time": ')[1].split("\n")[0].rstrip("}")
        file.write_text(text.replace(stamp, str(now - 3 * DAY)))
    for journal in ws.runs_folder.glob("*/journal"):
        os.utime(journal, (now - 2 * DAY, now - 2 * DAY))
    [item] = ws.clean(1)
    assert 1.9 < item.days < 2.1


def test_what_killed_processes_left(ws):
    base = leftovers.base_folder()
    dead = base / "20260101-000000-000-abcdef-score-files-node000-a1b2c3"
    os.close(leftovers.claim(dead))
    (dead / "fetched").write_bytes(b"x" * 5000)
    alive = leftovers.claim(base / "20260101-000000-001-abcdef-score-files-node000-a1b2c3")
    old = time.time() - 7200
    made = [
        ws.folder / "models" / ".deleted-1-0123456789abcdef",
        ws.runs_folder / "20260101-000000-002-abcdef",
    ]
    for folder in made:
        folder.mkdir(parents=True)
        (folder / "1.json").write_text("{}")
    (ws.folder / "models" / "mnist").mkdir()
    made.append(ws.folder / "models" / "mnist" / ".12-0123456789abcdef.tmp")
    made[-1].write_text("{")
    young = ws.folder / "models" / "mnist" / ".13-0123456789abcdef.tmp"
    young.write_text("{")
    for path in made:
        os.utime(path, (old, old))
    found = ws.clean(1000)
    assert {item.place for item in found} == {str(dead), *map(str, made)}
    assert {item.what for item in found} == {"node folder", "half-made record", "half-made run"}
    [node] = [item for item in found if item.what == "node folder"]
    assert (node.run, node.bytes) == ("20260101-000000-000-abcdef-score-files", 5000)
    assert found.remove().kept == ()
    assert not any(path.exists() for path in (dead, *made))
    assert young.exists()
    assert len(leftovers.left(base)) == 0
    assert len(list(base.iterdir())) == 1
    os.close(alive)


@pytest.mark.slow
def test_parts_on_s3_and_the_upload_that_was_begun(ws, bucket):
    options = bucket.options
    store = Datastore.register_s3(
        ws, "cloud", bucket.name, options["key"], options["secret"], None, options["endpoint_url"]
    )
    run = failed(ws, store=store)
    [step] = run.get_steps()
    path = f"azureml/{step.id}/scores"
    folder = S3Folder(f"{bucket.url}/{path}", options)
    begun = folder.publication("parallel_run_step.txt", f"_daskrun/{step.id}/upload")
    begun.write(0, b"x" * 2**25)  # its process is killed now

    def uploads():
        found = folder.system.call_s3("list_multipart_uploads", Bucket=bucket.name)
        return [each["Key"] for each in found.get("Uploads", ())]

    assert uploads() == [f"{path}/parallel_run_step.txt"]
    found = ws.clean(0)
    [item] = found
    assert item.place == f"{bucket.url}/{path}/_daskrun/{step.id}"
    assert item.bytes == sum(folder.sizes().values()) > 0
    assert options["secret"] not in repr(found)
    assert found.remove().kept == ()
    assert uploads() == []
    assert folder.names() == []


def test_a_datastore_that_is_not_there_is_said(ws, tmp_path):
    (tmp_path / "store").mkdir()
    store = Datastore.register_local(ws, "mine", tmp_path / "store")
    run = failed(ws, store=store)
    other = failed(ws)
    ws.records.delete("datastores", "mine")
    found = ws.clean(0)
    assert [item.run for item in found] == [other.get_steps()[0].id]
    assert f"could not look: run {run.id}: " in repr(found)
    assert "'mine'" in found.troubles[0]


@pytest.mark.parametrize("days", [-1, float("nan"), "7", True])
def test_days_that_are_none(ws, days):
    with pytest.raises(SettingsError, match=r"older_than_days=.* is not a number of days\."):
        ws.clean(days)
    with pytest.raises(SettingsError, match="runs='yes': write True or False"):
        ws.clean(1, "yes")
