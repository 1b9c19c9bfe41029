"""Runs of a workspace behind a URL, as other processes and nodes see them, and cleaning."""

import functools
import http.server
import json
import os
import threading
import uuid
from dataclasses import replace

import pandas as pd
import pytest
from clusters import Cluster
from running import left_behind, wait_for
from s3 import SECRET
from url_work import (  # noqa: F401
    CALLS_A_TOOL,
    EXPECTED,
    MAIN,
    NAMES,
    calls,
    driver,
    killed,
    other,
    output_of,
    work,
)

from daskrun import (
    ComputeTarget,
    Dataset,
    DatasetConsumptionConfig,
    Datastore,
    Experiment,
    Pipeline,
    PipelineData,
    PublishedPipeline,
    PythonScriptStep,
    ResumeError,
    RunDetails,
    RunFailedError,
    Workspace,
)
from daskrun.core.intervals import USUAL
from daskrun.errors import StorageError
from daskrun.storage import lease as lease_file
from daskrun.storage.stores import open_url_folder
from daskrun.testing import account
from daskrun.workspace.run_folders import working_copy


@pytest.mark.slow
@pytest.mark.parametrize("target", ["inline", None])
def test_a_run_is_whole_behind_the_url(work, target):
    run = work.submit(compute_target=target)
    assert run.wait_for_completion() == "Completed"
    assert output_of(run) == EXPECTED
    account(run).check()
    told = json.loads(
        other(
            work,
            f"run = ws.get_run({run.id!r})\n"
            "(step,) = run.get_steps()\n"
            "import json\n"
            "told = [run.get_status(), step.get_metrics(), run.get_metrics(), run.message,\n"
            "    sorted(run.get_details_with_logs()['logFiles']), \n"
            "    step.get_details()['daskrun']['states'],\n"
            "    [ws.models['weights'].version, [each.id for each in "
            "Experiment(ws, 'trial').get_runs()]]]\n"
            "print(json.dumps(told))\n",
        )
    )
    status, metrics, whole, message, logs, states, (version, ids) = told
    assert (status, version, ids) == ("Completed", 1, [run.id])
    assert sum(metrics["files"]) == len(metrics["files"]) == 10
    assert sorted(whole["seen"]) == NAMES
    assert message == run.message
    assert f"{run.get_steps()[0].id}/logs/job_result.txt" in logs
    assert [each["status"] for each in states] == ["NotStarted", "Running", "Completed"]
    if target is None:
        stdout = f"{run.get_steps()[0].id}/logs/user/stdout/node000/process000.stdout.txt"
        assert work.bucket.get(f"team/.daskrun/runs/{stdout}").count(b"seen") == 10
    keys = work.bucket.keys()
    assert not [key for key in keys if key.endswith(("resume.json", "driver.lock", "cancel.json"))]
    assert not [key for key in keys if SECRET.encode() in work.bucket.get(key)]


@pytest.mark.slow
def test_where_a_run_is_is_told_as_it_is_there_tomorrow(work):
    run = work.submit()
    run.wait_for_completion()
    text = RunDetails(run).text()
    assert f"kept in {work.ws.location}/runs/{run.id}" in text
    assert os.environ["TMPDIR"] not in text
    assert run.get_details()["daskrun"]["logs"] == f"{work.ws.location}/runs/{run.id}/logs"
    manifest = run.get_steps()[0].get_details()["daskrun"]["manifest"]
    assert manifest["workspace"] == work.ws.location
    assert (run.get_steps()[0].folder / "logs/job_result.txt").is_file()


@pytest.mark.slow
def test_a_url_with_a_secret_is_not_kept(work, request):
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    (work.path / "gate").touch()
    handler = functools.partial(Quiet, directory=work.path / "files")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    request.addfinalizer(server.server_close)
    request.addfinalizer(server.shutdown)
    threading.Thread(target=server.serve_forever).start()
    url = f"http://127.0.0.1:{server.server_port}/0.txt?token=hush-hush"
    files = DatasetConsumptionConfig("files", Dataset.File.from_files(url))
    run = work.submit(work.make_step(inputs=[files], compute_target=None))
    wait_for(lambda: (work.path / "calls").exists(), 30)
    keys = work.bucket.keys()
    assert [key for key in keys if key.endswith("resume.json")]
    assert [key for key in keys if b"hush-hush" in work.bucket.get(key)] == []
    run.cancel()
    assert run.wait_for_completion(raise_on_error=False) == "Canceled"
    (work.path / "code/bad.py").write_text("def run(mini_batch):\n    raise ValueError('bad')\n")
    bad = work.submit(work.make_step(inputs=[files], entry_script="bad.py"))
    assert bad.wait_for_completion(raise_on_error=False) == "Failed"
    wait_for(lambda: not bad._state.folder.is_driven())
    keys = work.bucket.keys()
    assert [key for key in keys if key.endswith("failed_items.txt")]
    assert [key for key in keys if b"hush-hush" in work.bucket.get(key)] == []
    with pytest.raises(ResumeError, match=r"a password or query.*EnvironmentVariable\('NAME'\)"):
        run.resume()


@pytest.mark.slow
def test_nodes_on_other_machines_work_in_copies(work, forks):
    cluster = Cluster(work.path)
    try:
        cluster.have_workers(2)
        target = ComputeTarget.attach(work.ws, "cluster", address=cluster.address)
        (work.path / "gate").touch()
        script = work.path / "code/score.py"
        script.write_text(f"print('begun')\n{script.read_text()}")
        run = work.submit(compute_target=target, node_count=2)
        wait_for(lambda: (work.path / "calls").exists(), 30)
        (step,) = run.get_steps()
        log = f"team/.daskrun/runs/{step.id}/logs/user/stdout/node000/process000.stdout.txt"
        keys = work.bucket.keys
        try:
            wait_for(lambda: log in keys() and work.bucket.get(log) == b"begun\n", 4)
        finally:
            (work.path / "gate").unlink()
        moved = work.ws.folder  # nodes have no need of what this process has
        assert run.wait_for_completion() == "Completed"
        assert output_of(run) == EXPECTED
        account(run).check()
        (step,) = run.get_steps()
        assert sum(step.get_metrics()["files"]) == 10
        assert sorted(run.get_metrics()["seen"]) == NAMES
        logs = step.get_details_with_logs()["logFiles"]
        seen = "".join(text for name, text in logs.items() if "/user/stdout/" in name)
        assert seen.count("seen") == 10
        assert str(moved) not in str(sorted(logs))
        wait_for(lambda: not [n for n in left_behind() if run.id in n and "process" not in n], 10)
        (work.path / "code/tool.sh").write_text("#!/bin/sh\necho tool")
        (work.path / "code/tool.sh").chmod(0o755)
        (work.path / "code/call.py").write_text(CALLS_A_TOOL)
        run = work.submit(entry_script="call.py", compute_target=target, node_count=2)
        run.wait_for_completion()
        assert output_of(run) == "tool\n" * 10
    finally:
        cluster.close()


@pytest.mark.slow
def test_reuse_since_and_published_pipelines_in_other_processes(work):
    first = work.submit(allow_reuse=True)
    first.wait_for_completion()
    code = (
        "from pathlib import Path\n"
        "config = ParallelRunConfig(entry_script='score.py', source_directory='code',\n"
        "    error_threshold=-1, output_action='append_row', mini_batch_size=1,\n"
        "    process_count_per_node=1, compute_target='inline')\n"
        "files = Dataset.File.from_files('files').as_named_input('files')\n"
        "step = ParallelRunStep('score', config, [files], PipelineData('scores'))\n"
        "pipeline = Pipeline(ws, [step])\n"
        "run = Experiment(ws, 'trial').submit(pipeline)\n"
        "run.wait_for_completion()\n"
        "print(run.get_steps()[0].reused_run_id)\n"
        "Path('files/new.txt').write_text('new')\n"
        f"late = Experiment(ws, 'trial').submit(pipeline, since={first.id!r})\n"
        "late.wait_for_completion()\n"
        "print(late.get_details()['daskrun']['states'][-1]['message'])\n"
        "print(pipeline.publish('nightly').id)\n"
    )
    said = [line for line in other(work, code).splitlines() if not line.startswith("seen")]
    reused, message, published = said
    assert reused == first.get_steps()[0].id
    assert message == "1 of 1 mini-batches succeeded."
    (work.path / "code/score.py").unlink()  # the published one has its own
    pipeline = PublishedPipeline.get(work.ws, published)
    run = pipeline.submit(work.ws, "trial")
    assert run.wait_for_completion() == "Completed"
    assert output_of(run) == EXPECTED + "new.txt: heavy\n"
    assert run.get_steps()[0].explain_reuse().nearest is not None


@pytest.mark.slow
@pytest.mark.parametrize("target", ["inline", None])
def test_dataframes_lie_beside_the_run_where_the_output_is_behind_a_url(work, target):
    script = (
        "import os, time\n"
        f"GATE = {str(work.path / 'gate')!r}\n"
        "def run(mini_batch):\n"
        "    assert not os.path.exists(GATE), 'not yet'\n"
        "    return mini_batch\n"
    )
    (work.path / "code/rows.py").write_text(script)
    (work.path / "gate").touch()
    frame = pd.DataFrame({"n": range(100), "text": ["é"] * 100})
    data = Dataset.Tabular.from_pandas_dataframe(frame).as_named_input("frame")
    step = work.make_step(
        inputs=[data], entry_script="rows.py", mini_batch_size="1KB", error_threshold=0,
        compute_target=target, run_max_try=1,
    )  # fmt: skip
    run = work.submit(step)
    with pytest.raises(RunFailedError, match="not yet"):
        run.wait_for_completion()
    kept = [key for key in sorted(work.bucket.keys()) if "/inputs/0/" in key]
    assert len(kept) == 1
    (work.path / "gate").unlink()
    code = f"print(ws.get_run({run.id!r}).resume(retry_failed=True).wait_for_completion())"
    assert other(work, code) == "Completed"
    again = work.ws.get_run(run.id)
    assert output_of(again) == "".join(f"{n} é\n" for n in range(100))
    assert not [key for key in sorted(work.bucket.keys()) if "/inputs/0/" in key]


@pytest.mark.slow
@pytest.mark.parametrize("where", ["here", "cluster"])
def test_a_script_that_is_run_as_a_whole(work, where, forks):
    code = (
        "import os, sys, pathlib, helper\n"
        f"assert not os.path.exists({str(work.path / 'gate')!r}), 'not yet'\n"
        "pathlib.Path(sys.argv[1], 'made.txt').write_text(helper.TEXT)\n"
    )
    (work.path / "code/whole.py").write_text(code)
    (work.path / "code/helper.py").write_text("TEXT = 'made'\n")
    (work.path / "gate").touch()
    made = PipelineData("made")
    cluster = Cluster(work.path) if where == "cluster" else None
    try:
        target = None
        if cluster is not None:
            cluster.have_workers(1)
            target = ComputeTarget.attach(work.ws, "cluster", address=cluster.address)
        step = PythonScriptStep(
            "whole.py", "whole", arguments=[made], outputs=[made], source_directory="code",
            compute_target=target, allow_reuse=False,
        )  # fmt: skip
        run = Experiment(work.ws, "trial").submit(Pipeline(work.ws, [step]))
        with pytest.raises(RunFailedError, match="not yet"):
            run.wait_for_completion()
        (work.path / "gate").unlink()
        code = f"print(ws.get_run({run.id!r}).resume(retry_failed=True).wait_for_completion())"
        assert other(work, code) == "Completed"
    finally:
        if cluster is not None:
            cluster.close()
    assert [work.bucket.get(key) for key in sorted(work.bucket.keys()) if "made.txt" in key] == [
        b"made"
    ]


def test_a_submit_that_is_refused_leaves_nothing(work, monkeypatch):
    before = work.bucket.keys()

    def broken(*_, **__):
        raise OSError("no")

    monkeypatch.setattr("daskrun.pipeline.records.step_spec.write_whole", broken)
    with pytest.raises(OSError, match="no"):
        work.submit()
    after = [key for key in sorted(work.bucket.keys()) if key not in before]
    assert [key for key in after if "/runs/" in key] == []
    assert list(Experiment(work.ws, "trial").get_runs()) == []


@pytest.mark.slow
def test_a_script_that_asks_the_workspace_for_more(work):
    store = Datastore.register_s3(
        work.ws, "cloud", f"{work.bucket.name}/data", endpoint_url=work.bucket.endpoint
    )
    work.bucket.put("data/a.csv", b"n\n1\n2\n")
    Dataset.Tabular.from_delimited_files(store.path("a.csv")).register(work.ws, "numbers")
    script = (
        "from daskrun import Dataset, Run\n"
        "def run(mini_batch):\n"
        "    ws = Run.get_context().experiment.workspace\n"
        "    numbers = Dataset.get_by_name(ws, 'numbers').to_pandas_dataframe()\n"
        "    return [int(numbers['n'].sum())] * len(mini_batch)\n"
    )
    (work.path / "code/ask.py").write_text(script)
    run = work.submit(entry_script="ask.py", compute_target=None, mini_batch_size=10)
    run.wait_for_completion()
    assert output_of(run) == "3\n" * 10


@pytest.mark.slow
def test_a_script_that_fails_leaves_nothing_on_this_machine(work):
    (work.path / "code/score.py").write_text("def run(mini_batch):\n    raise ValueError('no')\n")
    process = driver(work)
    process.communicate(timeout=60)
    assert process.returncode == 1
    assert [name for name in left_behind() if str(process.pid) in name] == []


@pytest.mark.slow
def test_what_is_left_of_a_run_that_somebody_died_removing(work):
    run = work.submit()
    run.wait_for_completion()
    wait_for(lambda: not run._state.folder.is_driven())
    run._state.folder.remove()  # the steps' come after
    working_copy.remove_copies()
    ws = Workspace(work.ws.location)
    assert not ws.clean(older_than_days=1, runs=True)  # now is when it was last written to
    found = ws.clean(older_than_days=0, runs=True)
    assert [each.what for each in found] == ["run folder"]
    assert not found.remove().kept
    assert not [key for key in sorted(work.bucket.keys()) if "/runs/" in key]


def test_a_submit_that_goes_on_is_not_half_made(work):
    key = "team/.daskrun/runs/20200101-000000-000-abcdef/lease/1.json"
    place = f"{work.ws.location}/runs/20200101-000000-000-abcdef"
    lease = lease_file.Lease(open_url_folder(place, {}))
    lease.acquire()
    assert not work.ws.clean()
    lease.release()
    assert [each.what for each in work.ws.clean()] == ["half-made run"]
    assert key in work.bucket.keys()  # noqa: SIM118


@pytest.mark.slow
def test_two_who_clean_leave_nothing(work):
    run = work.submit()
    run.wait_for_completion()
    wait_for(lambda: not run._state.folder.is_driven())
    found = work.ws.clean(older_than_days=0, runs=True)
    assert run._state.folder.is_there()
    other(work, "print(ws.clean(older_than_days=0, runs=True).remove())")
    assert not run._state.folder.is_there()  # though there is a copy here
    removed = found.remove()
    assert "was removed by another process" in str(removed)
    assert not [key for key in sorted(work.bucket.keys()) if "/runs/" in key]


@pytest.mark.slow
def test_a_run_goes_on_after_its_parts_were_cleaned(work):
    run = work.ws.get_run(killed(work, "journalled:2"))
    assert not work.ws.clean(older_than_days=0).remove().kept
    work.bucket.fail("GET", "/snapshot/", count=1, status=403)
    with pytest.raises((ResumeError, StorageError), match="403"):
        run.resume()
    assert run.resume().wait_for_completion() == "Completed"
    assert output_of(run) == EXPECTED


@pytest.mark.slow
def test_a_run_that_is_being_committed_to_is_not_old(work):
    killed(work, "journalled:1")
    keys = work.bucket.keys()
    for key in [key for key in keys if "/states/" in key]:
        state = json.loads(work.bucket.get(key))
        work.bucket.put(key, json.dumps({**state, "time": 1.0}).encode())
    working_copy.remove_copies()
    ws = Workspace(work.ws.location)
    kinds = [{each.what for each in ws.clean(days, runs=True)} for days in (1, 0)]
    assert ["run folder" in found for found in kinds] == [False, True]


def test_files_that_were_never_registered_are_cleaned(work):
    # what was put just now, too
    ws = Workspace(work.ws.location, intervals=replace(USUAL, abandoned=-1.0))
    kept = Pipeline(work.ws, [work.make_step()]).publish("nightly")
    before = work.bucket.keys()
    folders = [f"team/.daskrun/{name}/" for name in ("models_files", "models_files/weights")]
    for folder in [*folders, "team/.daskrun/pipelines/", "team/.daskrun/pipelines/0123/"]:
        work.bucket.put(folder, b"")  # as some tools have for a folder
    others = work.bucket.keys()
    assert len(others) == len(before) + 4
    work.bucket.put("team/.daskrun/models_files/weights/17-0123abcd/weights.txt", b"light")
    work.bucket.put(f"team/.daskrun/pipelines/{uuid.uuid4()}/code/0/score.py", b"pass")
    found = ws.clean()
    assert [each.what for each in found] == ["never registered"] * 2
    work.bucket.fail("POST", "", count=1, status=403)
    removed = found.remove()
    assert (len(removed.removed), len(removed.kept)) == (1, 1)
    assert not ws.clean().remove().kept
    assert work.bucket.keys() == others
    assert PublishedPipeline.get(work.ws, kept.id).name == "nightly"


@pytest.mark.slow
def test_cleaning(work, caplog):
    run_id = killed(work, "journalled:1")
    run = work.ws.get_run(run_id)
    work.bucket.put("team/.daskrun/runs/20200101-000000-000-abcdef/resume.json", b"{}")
    found = work.ws.clean(older_than_days=0)
    assert sorted(each.what for each in found) == [
        "copy of a workspace",
        "half-made run",
        "kept for later runs",
        "node folder",
        "parts",
    ]
    assert "interrupted" in str(found)
    found = work.ws.clean(older_than_days=0, runs=True)
    assert found.bytes > 0
    assert {each.what for each in found} > {"parts", "run folder", "half-made run"}
    assert not found.remove().kept
    assert caplog.text == ""
    assert not [key for key in sorted(work.bucket.keys()) if "/runs/" in key]
    assert not [key for key in sorted(work.bucket.keys()) if "/_daskrun/" in key]
    assert list(Experiment(work.ws, "trial").get_runs()) == []
    assert not run._state.folder.is_run
