"""Canaries: secrets of a known form in every place where one may be given, looked for everywhere.

A run has some thirty of them. While it runs, and after it, they may stand in files that only this
user may read, and nowhere else: in no record, log, temporary file, command line, state of Dask's
scheduler, page of it, nor on the console.
"""

import gc
import logging
import os
import pickle
import re
import tempfile
import threading
import time
import urllib.request
import zlib
from contextlib import suppress
from pathlib import Path

import pytest

from daskrun import (
    Dataset,
    Datastore,
    Environment,
    EnvironmentVariable,
    Experiment,
    ParallelRunConfig,
    ParallelRunStep,
    Pipeline,
    PipelineData,
    PipelineParameter,
    PythonScriptStep,
    Workspace,
)
from daskrun.errors import RunFailedError, SettingsError

CANARY = re.compile(rb"canary[-/.]?[a-z]+[-/.]?x7q", re.IGNORECASE)
SCORE = """
import os, pathlib, sys, time

def run(mini_batch):
    assert sys.argv[1:4] == ["--token", TOKEN, "canary-positional-x7q"], sys.argv
    assert os.environ["OWN"] == "canary-variable-x7q"
    assert os.environ["OTHER"] == "canary-environment-x7q"
    pathlib.Path(STARTED).touch()
    while not os.path.exists(GATE):
        time.sleep(0.02)
    if any("1.txt" in path for path in mini_batch):
        raise OSError("can't reach https://me:canary-raised-x7q@host/x?sig=canary-sig-x7q")
    return list(mini_batch)
"""


def in_files(folder, *, before=()):
    """Return which files of a folder hold a canary that others than this user may read."""
    found = []
    for path in folder.rglob("*"):
        with suppress(OSError):
            if not path.is_file() or path.is_symlink() or path in before:
                continue
            data = path.read_bytes()
            with suppress(zlib.error):
                data += zlib.decompress(data)
            closed = path.stat().st_mode & 0o077 == 0
            if CANARY.search(data) and not closed:
                found.append((path, CANARY.findall(data)[0]))
    return found


def in_command_lines():
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            found += CANARY.findall(path.read_bytes())
    return found


def in_schedulers(*, running=False):
    """Return what schedulers and workers of this process know that holds a canary."""
    from distributed import Scheduler, Worker

    found, tasks = [], 0
    for each in gc.get_objects():
        if isinstance(each, Scheduler):
            told = [each.get_events(), each.identity(), each.get_logs()]
            tasks += len(each.tasks)
            for task in each.tasks.values():
                told += [task.key, task.annotations, repr(task.run_spec), task.metadata]
                with suppress(Exception):
                    told.append(pickle.dumps(task.run_spec))
            told += [*each.worker_plugins.values(), *map(repr, each.plugins.values())]
        elif isinstance(each, Worker):
            told = [repr(each.state), each.get_logs(), repr(each.data)]
            told += [repr(vars(plugin)) for plugin in each.plugins.values()]
        else:
            continue
        for one in told:
            data = one if isinstance(one, bytes) else repr(one).encode()
            found += CANARY.findall(data)
    assert tasks or not running
    return found


def in_pages():
    from distributed import Scheduler

    found, pages = [], 0
    for each in [one for one in gc.get_objects() if isinstance(one, Scheduler)]:
        port = each.http_server.port
        for page in ("info/main/workers.html", "info/logs.html", "json/index.html", "status"):
            url = f"http://127.0.0.1:{port}/{page}"
            with suppress(OSError), urllib.request.urlopen(url, timeout=10) as told:
                found += CANARY.findall(told.read())
                pages += 1
    assert pages
    return found


def everything(bucket, tmp_path):
    """Make a pipeline with a canary in each place that takes one."""
    (tmp_path / "files").mkdir()
    for number in range(4):
        (tmp_path / "files" / f"{number}.txt").write_text("x")
    names = f"STARTED = {str(tmp_path / 'started')!r}\nGATE = {str(tmp_path / 'gate')!r}\n"
    names += 'TOKEN = "-".join(["canary", "token", "x7q"])\n'
    # The script knows them in another form: its file may be read by all.
    score = SCORE.replace("canary-", 'canary" "-')
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "score.py").write_text(f"{names}{score}")
    (tmp_path / "code" / "after.py").write_text("print('done')\n")
    ws = Workspace.create("trial")
    environment = Environment("any")
    environment.environment_variables = {"OTHER": "canary-environment-x7q"}
    environment.docker.arguments = ["-e", "A=canary-docker-x7q"]
    environment.register(ws)
    environment.save_to_directory(tmp_path / "saved")
    config = ParallelRunConfig(
        entry_script="score.py",
        source_directory="code",
        error_threshold=-1,
        output_action="append_row",
        mini_batch_size=1,
        process_count_per_node=2,
        run_max_try=1,
        environment=Environment.get(ws, "any"),
        environment_variables={"OWN": "canary-variable-x7q"},
        description="from https://me:canary-description-x7q@host",
    )
    config.save_to_yaml(tmp_path / "saved" / "config.yml")
    store = Datastore.register_url(ws, "bucket", bucket.url, storage_options=bucket.options)
    Datastore.register_url(
        ws,
        "other",
        "gs://b/x?token=canary-query-x7q",
        storage_options={"endpoint_url": "https://me:canary-endpoint-x7q@h", "a": "canary-a-x7q"},
    )
    Datastore.register_s3(ws, "third", "b", key=EnvironmentVariable("K"), secret="canary-key-x7q")
    for number, url in enumerate(
        ("https://me:canary-url-x7q@h/a", "abfs://c@a/x#sig=canary-fragment-x7q")
    ):
        Dataset.File.from_files(url, validate=False).register(ws, f"d{number}")
    sql = {"connection": "postgresql://me:canary-sql-x7q@h/d", "index_column": "a"}
    Dataset.Tabular.from_sql_query("select 1", validate=False, **sql).register(ws, "sql")
    scores = PipelineData("scores", store)
    score = ParallelRunStep(
        "score-files",
        config,
        [Dataset.File.from_files("files").as_named_input("files")],
        scores,
        arguments=[
            "--token",
            PipelineParameter("token", "canary-default-x7q"),
            "canary-positional-x7q",
            "--url=https://me:canary-argument-x7q@h",
        ],
        allow_reuse=True,
    )
    after = PythonScriptStep(
        "after.py",
        name="after",
        source_directory="code",
        arguments=["--password", "canary-script-x7q"],
        params={"key": "canary-params-x7q"},
    )
    after.run_after(score)
    return ws, Pipeline(ws, [score, after])


@pytest.fixture
def place(tmp_path, monkeypatch, own_temporary_folder):
    monkeypatch.chdir(tmp_path)
    own_temporary_folder.chmod(0o1777)
    before = os.umask(0o022)
    yield tmp_path
    os.umask(before)


@pytest.mark.slow
def test_canaries_are_found_in_files_of_this_user_alone(place, bucket, capfd, caplog):
    temporary = Path(tempfile.gettempdir())
    caplog.set_level(logging.DEBUG)
    ws, pipeline = everything(bucket, place)
    pipeline.publish("thing")
    given = {"token": "canary-token-x7q"}
    run = Experiment(ws, "trial").submit(pipeline, pipeline_parameters=given)
    failed = []

    def wait():
        try:
            run.wait_for_completion(show_output=True)
        except RunFailedError as error:
            failed.append(str(error))

    waiting = threading.Thread(target=wait)
    waiting.start()
    try:
        deadline = time.monotonic() + 60
        while not (place / "started").exists() and waiting.is_alive():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert waiting.is_alive(), failed
        during = [in_command_lines(), in_schedulers(running=True), in_pages()]
        during += [in_files(place), in_files(temporary)]
    finally:
        (place / "gate").touch()
        waiting.join(60)
    assert not failed
    assert not any(during), during
    assert [in_files(place), in_files(temporary), in_schedulers(), in_command_lines()] == [[]] * 4
    told = [capfd.readouterr(), caplog.text, repr(run.get_details_with_logs())]
    told += [repr(each) for each in (run, *run.get_steps(), *pipeline.steps)]
    told += [repr(each.explain_reuse()) for each in run.get_steps()]
    assert CANARY.search(repr(told).encode()) is None
    assert "reach https://***@host/x?***" in repr(told)
    for key in sorted(bucket.keys()):
        assert not CANARY.search(bucket.get(key)), key
    # They were there: what a resume, or a later run of what is published, needs is kept.
    kept = [path for path in ws.folder.rglob("*.json") if path.stat().st_mode & 0o077 == 0]
    assert CANARY.search(b"".join(path.read_bytes() for path in kept))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"arguments": ["--token", "canary-x-x7q"]}, r"arguments\[1\] of the script looks like"),
        ({"arguments": ["gs://b/x?sig=canary-x-x7q"]}, r"arguments\[0\] of the script looks like"),
        ({"environment_variables": {"DB_PASSWORD": "canary-x-x7q"}}, "'DB_PASSWORD' looks like"),
        ({"environment_variables": {"A": "s3://k:canary-x-x7q@b"}}, "'A' looks like a secret"),
    ],
)
def test_a_bucket_refuses_canaries(bucket, place, changes, message):
    ws = Workspace.create("team", path=bucket.url, storage_options=bucket.options)
    (place / "score.py").write_text("def run(mini_batch):\n    return mini_batch\n")
    (place / "a.txt").write_text("x")
    arguments = changes.pop("arguments", None)
    config = ParallelRunConfig(
        entry_script="score.py", error_threshold=1, output_action="append_row", **changes
    )
    files = Dataset.File.from_files("a.txt").as_named_input("files")
    step = ParallelRunStep("score", config, [files], PipelineData("x"), arguments=arguments)
    pipeline = Pipeline(ws, [step])
    for act in (lambda: Experiment(ws, "e").submit(pipeline), lambda: pipeline.publish("x")):
        with pytest.raises(SettingsError, match=message) as caught:
            act()
        assert "canary-x" not in str(caught.value)
    environment = Environment("any")
    environment.environment_variables = {"API_KEY": "canary-x-x7q"}
    with pytest.raises(SettingsError, match="'API_KEY' looks like a secret"):
        environment.register(ws)
    for key in sorted(bucket.keys()):
        assert not CANARY.search(bucket.get(key)), key
        assert bucket.options["secret"].encode() not in bucket.get(key)
