"""Secrets of URLs, arguments and variables are told nowhere."""

import json
import os
import stat

import pytest

from daskrun import (
    CondaDependencies,
    Dataset,
    Datastore,
    Environment,
    EnvironmentVariable,
    ParallelRunConfig,
)
from daskrun.core.outcome import Failure
from daskrun.core.settings import resolve_settings, told_settings
from daskrun.core.told import secret_problems
from daskrun.data.registration import has_secret
from daskrun.errors import DatasetError, SettingsError, StorageError, WorkspaceError
from daskrun.shown.url_secrets import holds_secret, secrets_in, shown_text, shown_url
from daskrun.storage.metric_files import MetricFolder
from daskrun.storage.retry import retry
from daskrun.storage.stores import open_url_folder
from daskrun.storage.urls import secrets_of
from daskrun.workspace.run_folders.run_folder import RunFolder
from daskrun.workspace.workspace import Workspace

PW = "hunter2x"
HELD = [
    f"https://me:{PW}@host/x",
    f"HTTPS://me:{PW}@host",
    f"https://{PW}@host/x",
    f"git+ssh://me:{PW}@host/x.git",
    f"git+https://{PW}@host/x.git@v1#egg=x",
    f"https://${{U}}:{PW}@host/simple",
    f"https://me:my {PW}@host/x",
    f"https://me: {PW}@host/x",
    f"https://me:a/{PW}@host/x",
    f"https://me:/{PW}@host/x",
    f"https://me:a@{PW}@host/x",
    f"https://me:a@b/{PW}@host/x",
    f"https://me:a?{PW}@host/x",
    f"https://me:a#{PW}@host/x",
    f"https://me:a://{PW}@host/x",
    f'https://me:a"{PW}@host/x',
    f"https:/me:{PW}@host/x",
    f"s3://KEY:{PW}@b/x",
    f"s3://KEY:a/b+{PW}@b/x",
    f"ftp://me:{PW}@host/x",
    f"abfs://c:{PW}@account/x",
    f"abfs://c@account/x?sig={PW}",
    f"gs://b/x?token={PW}",
    f"https://host/x?{PW}",
    f"https://host/x#sig={PW}",
    f"https://host/x#egg=x&token={PW}",
    f"https://host/x?next=https://h2/y&token={PW}",
    f"simplecache::https://host/x?sig={PW}",
    f"zip://*.csv::s3://K:{PW}@b/x.zip",
    f"postgresql+psycopg://me:{PW}@host/db",
    f"postgresql://me:12/{PW}@host/db",
    f"mssql+pyodbc://me:{PW}@host/db?driver=x",
    f"postgresql:///db?host=h&password={PW}",
    f"mongodb+srv://me:{PW}@host/db",
    f"redis://:{PW}@host/0",
    f"-i https://me:{PW}@host/simple --pre",
    f"x @ https://me:{PW}@host/x.whl ; python_version > '3'",
    f"https://me:1234/{PW}@host",
    f"https://first.last:1/{PW}@host/x",
    f"https://me@corp.com:12/{PW}@host/x",
    f"redis://:12/{PW}@host/0",
    f"s3://KEY:12?{PW}@b/x",
    f"simplecache::sftp://me:80/{PW}@host/x",
]
OF_ONE_URL = [
    f"https://me:1234/my {PW}@host",
    f"https://me:a b'c\"{PW}@host/x y",
    f"https://me:a\r\n{PW}\n@host/x",
    f" https://me:\t{PW}@host/x",
    f"s3://KEY:12 {PW}@b/x",
    f"https://host/x?sig=a b'\" {PW}",
    f"https://host/x?sig=a\n{PW}",
    f"gs://b/x?my token={PW}",
    f"abfs://c@account/x#sig=a\u2028{PW}",
    f"zip://a b.csv::https://me:my {PW}@host/x.zip",
    f"https://me:a\n https://{PW}@host",
]
"""What isn't found where it stands in another text: a blank or a quote is not the end of these."""
OPEN = [
    "/data/a@b?c#d",
    "C:/data/me:x@y",
    "s3://bucket/year=????/a?.csv",
    "s3://bucket/a@b/c#1.csv",
    "http://localhost:9000/bucket/img@2x.png",
    "http://10.0.0.5:9000/bucket/img@2x.png",
    "https://minio.corp.com:9000/bucket/img@2x.png",
    "git+ssh://git@github.com:team/x.git@main",
    "abfs://container@account.dfs.core.windows.net/x",
    "sftp://me@host/x",
    "git+ssh://git@github.com/x.git@main#egg=x&subdirectory=y",
    "https://host/x.whl#sha256=abc",
    "https://${USER}:${PASSWORD}@host/simple",
    "https://${TOKEN}@host/simple",
    "see https://host/a and write to me@host",
    "postgresql://host:5432/db failed for bob@x",
]


@pytest.mark.parametrize("text", HELD)
def test_a_secret_is_found(text):
    for around in ("{}", "can't read {}: no", "can't read '{}': no", "path={!r}"):
        shown = shown_text(around.format(text))
        assert PW not in shown
        assert shown_text(shown) == shown
    assert any(PW in secret for secret in secrets_in(text))
    assert holds_secret({"a": [1, text]})
    assert has_secret(text)


@pytest.mark.parametrize("text", [*HELD, *OF_ONE_URL])
def test_a_secret_is_found_in_what_is_known_to_be_a_url(text):
    shown = shown_url(text)
    assert shown_url(shown) == shown
    if not text.startswith(("-i", "x @")):
        assert PW not in shown
        assert any(PW in secret for secret in secrets_in(text, is_url=True))
        assert has_secret([text])


def test_what_takes_a_url_hides_its_secrets(tmp_path):
    workspace = Workspace.create("ws", path=tmp_path)
    told = []
    for number, text in enumerate(OF_ONE_URL):
        dataset = Dataset.File.from_files(text, validate=False)
        dataset.register(workspace, f"data{number}")
        store = Datastore.register_url(workspace, f"a{number}", text.strip())
        s3 = Datastore.register_s3(workspace, f"b{number}", "b", endpoint_url=text)
        host = Datastore.register_s3(workspace, f"c{number}", "b", endpoint_url=f"me:{PW}@host")
        told += [dataset, store, store.path("x"), s3, host]
        for attempt in (
            lambda text: Datastore.register_s3(workspace, "d", text),
            lambda text: Workspace.create("ws", path=text),
            lambda text: Datastore.register_url(workspace, "e", f"nosuch+{text.strip()}"),
        ):
            with pytest.raises((SettingsError, StorageError, WorkspaceError)) as caught:
                attempt(text)
            told.append(caught.value)
    assert PW not in "\n".join(str(each) for each in told)
    for path in tmp_path.rglob("*.json"):
        assert PW not in path.read_text() or stat.S_IMODE(path.stat().st_mode) == 0o600, path


def test_quotes_that_repr_escapes_do_not_end_a_url():
    assert PW not in shown_text(f"""no {f'https://me:a"b{chr(39)} {PW}@host'!r}""")


@pytest.mark.parametrize("text", OPEN)
def test_what_is_no_secret_is_shown(text):
    assert shown_text(text) == text
    assert secrets_in(text) == []


@pytest.mark.parametrize("text", OPEN[:-2])
def test_of_a_url_what_is_no_secret_is_shown(text):
    assert shown_url(text) == text
    assert secrets_in(text, is_url=True) == []


@pytest.mark.parametrize("text", HELD)
def test_every_sink_hides_it(text, tmp_path):
    assert PW not in str(StorageError(f"can't open {text}: no"))
    assert PW not in str(SettingsError("x", [f"url={text!r} is bad"]))
    failure = Failure(f"OSError: {text}", text=f"Traceback\n{text}", stderr=text, ended=text)
    assert PW not in repr(failure)
    folder = RunFolder(tmp_path / "run")
    folder.begin({"kind": "step", "description": text, "settings": {"a": [text]}}).close()
    folder.add_state("Failed", f"no {text}")
    folder.ask_to_cancel(text)
    for path in folder.path.rglob("*.json"):
        assert PW not in path.read_text(), path


def test_a_client_that_quotes_a_part_of_a_url_leaks_nothing():
    url = f"s3://KEY:a%2F{PW}@bucket/x?token=tok-{PW}"

    def fail():
        raise ValueError(f"Invalid bucket name KEY:a%2F{PW}@bucket, a/{PW}, tok-{PW}")

    with pytest.raises(StorageError) as caught:
        retry("read", fail, secrets_of(url, {"client": [{"key": f"more-{PW}"}]}))
    assert PW not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.slow
def test_a_bucket_with_a_key_in_its_url_is_refused_without_it(bucket):
    url = f"s3://KEY:{PW}@bucket/x"
    options = {"client_kwargs": {"endpoint_url": bucket.endpoint}}
    with pytest.raises(StorageError) as caught:
        open_url_folder(url, options).names()
    with pytest.raises(DatasetError) as listed:
        Dataset.File.from_files(url)
    for error in (caught.value, listed.value):
        assert PW not in str(error)
        assert error.__cause__ is None or PW not in str(error.__cause__)


@pytest.mark.parametrize(
    "line", [each for each in HELD if each.startswith(("https", "git", "-i", "x @", "HTTPS"))]
)
def test_lines_for_pip_hold_none(line):
    problems = CondaDependencies([line]).problems()
    assert len(problems) == 1
    assert PW not in problems[0]


def test_lines_for_pip_name_variables_and_users():
    lines = [each for each in OPEN if each.startswith(("git", "https://h", "https://$"))]
    assert CondaDependencies(lines).problems() == []


@pytest.fixture
def ws(tmp_path):
    return Workspace.create("trial", path=tmp_path / "ws")


def others_read(folder):
    """Return what a folder's files hold that other users may read."""
    found = [path for path in folder.rglob("*") if path.is_file()]
    return b"".join(path.read_bytes() for path in found if path.stat().st_mode & 0o077)


def test_records_hold_none(ws, tmp_path):
    store = Datastore.register_s3(
        ws, "store", "bucket", endpoint_url=f"https://me:{PW}@host", key=EnvironmentVariable("K")
    )
    assert PW not in repr(store)
    Datastore.register_url(
        ws, "other", f"gs://b/x?token={PW}", storage_options={"account_name": f"https://{PW}@h"}
    )
    Dataset.File.from_files(f"gs://b/x?token={PW}", validate=False).register(ws, "d")
    environment = Environment("e")
    environment.environment_variables = {"ANY": PW}
    environment.docker.arguments = ["-e", PW]
    environment.register(ws)
    assert Environment.get(ws, "e").docker.arguments == ["-e", PW]
    assert PW.encode() not in others_read(ws.folder)
    environment.save_to_directory(tmp_path / "saved")
    config = ParallelRunConfig(
        entry_script="score.py",
        error_threshold=1,
        output_action="append_row",
        environment_variables={"ANY": PW},
    )
    assert PW not in repr(config)
    config.save_to_yaml(tmp_path / "saved" / "config.yml")
    config.environment_variables = None
    config.save_to_yaml(tmp_path / "saved" / "open.yml")
    modes = {
        path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "saved").iterdir()
    }
    assert modes.pop("open.yml") & 0o044
    assert set(modes.values()) == {0o600}


def test_texts_that_users_write_hold_none(ws, tmp_path):
    ws.records.create("kind", "name", {"description": f"s3://k:{PW}@b", "tags": {"a": ["b"]}})
    assert ws.records.get("kind", "name", 1)["tags"] == {"a": ["b"]}
    (tmp_path / "run").mkdir()
    folder = MetricFolder(tmp_path / "run")
    folder.add("tag", "from", f"gs://b?sig={PW}", f"s3://k:{PW}@b")
    folder.add("value", "loss", 0.5)
    assert [(each.name, each.value) for each in folder.records()] == [
        ("from", "gs://b?***"),
        ("loss", 0.5),
    ]
    for path in tmp_path.rglob("*"):
        assert path.is_dir() or PW not in path.read_text()


def test_settings_are_told_without_values():
    given = {"TOKEN": PW}
    settings = resolve_settings(
        {
            "entry_script": "score.py",
            "environment_variables": given,
            "arguments": ["--token", PW, f"--password={PW}", "-v", PW],
        }
    )
    told = told_settings(settings)
    assert PW not in json.dumps(told)
    assert told["arguments"] == ["--token", "***", "--password=***", "-v", "***"]
    assert told["environment_variables"] == ["TOKEN"]
    with pytest.raises(SettingsError) as caught:
        resolve_settings({"entry_script": "a", "environment_variables": {**given, "B": [1]}})
    assert PW not in str(caught.value)


@pytest.mark.parametrize(
    ("variables", "arguments", "count"),
    [
        ({"API_TOKEN": PW, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}, [], 1),
        ({"BLOB_KEY": PW, "DB_PASSWORD": PW, "awsSecretAccessKey": PW}, [], 3),
        ({"INDEX": f"https://me:{PW}@host"}, [], 1),
        ({}, ["--token", PW, f"--api-key={PW}", f"gs://b?sig={PW}"], 3),
        ({"EMPTY_TOKEN": ""}, ["--rate", "0.1", "--partition-key=a", "--max-tokens", "5"], 0),
        ({}, ["--pad-token", "x", "--password", "--other"], 0),
        ({"MAX_TOKEN_LENGTH": "5", "DB_PASSWORD_FILE": "/run/x", "SSH_AUTH_SOCK": "x"}, [], 0),
        (
            {"A": f"Server=x;Pwd={PW};", "B": f"AccountKey={PW}==", "HFToken": PW},
            [f"Password={PW}"],
            4,
        ),
        ({"PASSWORD_DB": PW, "GITHUB_TOKEN": PW, "CLIENT_SECRET": PW}, ["--auth", PW], 4),
    ],
)
def test_a_shared_place_refuses_what_looks_like_a_secret(variables, arguments, count):
    problems = secret_problems(variables, arguments, "s3://bucket/team")
    assert len(problems) == count
    assert PW not in " ".join(problems)


def test_others_can_not_lock_a_run(tmp_path):
    before = os.umask(0)
    try:
        folder = RunFolder(tmp_path / "run")
        with folder.begin({"kind": "pipeline"}):
            assert stat.S_IMODE((folder.path / "driver.lock").stat().st_mode) == 0o600
            assert folder.is_driven()
    finally:
        os.umask(before)
