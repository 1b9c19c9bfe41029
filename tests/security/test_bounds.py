"""What strangers write is read in a time that grows with its size, or ends with a sentence.

That something is linear is shown by inputs for which anything else takes minutes: the time limit of
a test says so.
"""

import gzip
import lzma
import os
import re

import pytest

from daskrun import (
    Dataset,
    Datastore,
    Environment,
    Experiment,
    Model,
    ParallelRunConfig,
    Pipeline,
    PublishedPipeline,
    PythonScriptStep,
)
from daskrun.core.json_text import parsed
from daskrun.data.partition_format import PartitionFormat
from daskrun.data.path_pieces import CutFirst, Piece, choices
from daskrun.data.tabular.formats.json_lines.values import parse_line
from daskrun.data.tabular.formats.text import packing
from daskrun.data.tabular.formats.text.dialect import header_names, unique_names
from daskrun.errors import DaskrunError, DatasetError, SettingsError, StorageError, TableError
from daskrun.monitor.event_log import read_events
from daskrun.monitor.snapshot import STATISTICS, read_snapshot
from daskrun.output.sinks.settings_file import read_settings
from daskrun.pipeline.steps.snapshot import _translate
from daskrun.script.environments.packages import lacking
from daskrun.shown.url_secrets import secrets_in, shown_text, shown_url
from daskrun.storage.durable import read_file
from daskrun.storage.private import SecretFiles
from daskrun.storage.records import Records
from daskrun.storage.yaml_text import read_yaml
from daskrun.workspace.run_folders.run_folder import RunFolder
from daskrun.workspace.workspace import Workspace

pytestmark = pytest.mark.timeout(20)
TENFOLD = "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" if n else "a0: &a0 [x, x]\n"
    for n in range(9)
)
MERGED = "".join(
    f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}\n" if n else "a0: &a0 {k: v}\n"
    for n in range(9)
)


@pytest.fixture
def ws(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Workspace.create("trial")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            f"{TENFOLD}parallel_run_config: {{environment_variables: *a8}}",
            "more than 20,000 values",
        ),
        (f"{MERGED}parallel_run_config: {{<<: *a8}}", "more than 20,000 values"),
        ("[" * 20_000, "nested more than 50 deep"),
        ("{a: " * 20_000, "nested more than 50 deep"),
        ("- " * 20_000, "nested more than 50 deep"),
        ("a: &a [*a]", "stands for itself"),
        ("x" * 1_000_001, "1,000,000 are the most"),
        ("parallel_run_config: {" + "k: 1, " * 20_000 + "}", "more than 20,000 values"),
        ("a: [", "YAML"),
    ],
)
def test_yaml_is_bounded(ws, tmp_path, text, problem):
    file = tmp_path / "c.yml"
    file.write_text(text)
    with pytest.raises(SettingsError, match=problem):
        ParallelRunConfig.load_yaml(ws, file)
    with pytest.raises(SettingsError, match=problem):
        Environment.from_conda_specification("e", file)


def test_yaml_with_aliases_is_read(tmp_path):
    file = tmp_path / "c.yml"
    file.write_text("a: &a {k: 1}\nb: {<<: *a, l: [*a, *a]}\n")
    node, value = read_yaml(file)
    assert value == {"a": {"k": 1}, "b": {"k": 1, "l": [{"k": 1}, {"k": 1}]}}
    assert [key.value for key, _ in node.value] == ["a", "b"]


def test_many_problems_are_not_all_told(ws, tmp_path):
    file = tmp_path / "c.yml"
    file.write_text("parallel_run_config:\n" + "".join(f"  k{n}: 1\n" for n in range(3000)))
    with pytest.raises(SettingsError, match=r"and 2,9\d\d more") as caught:
        ParallelRunConfig.load_yaml(ws, file)
    assert len(str(caught.value)) < 100_000


TOO_MUCH = re.compile("it is nested too deeply|more than 4,300 digits|no object in braces")
DEEP = '{"a": ' + "[" * 100_000 + "]" * 100_000 + "}"
LONG = '{"a": ' + "1" * 5000 + "}"


@pytest.mark.parametrize("text", [DEEP, LONG, "[" * 100_000])
def test_json_is_bounded(ws, tmp_path, text):
    with pytest.raises(ValueError, match=TOO_MUCH):
        parsed(text)
    (tmp_path / "parallel_run_step.settings.json").write_text(text)
    with pytest.raises(SettingsError, match="can't be read as JSON"):
        read_settings(tmp_path)
    (tmp_path / "azureml_environment.json").write_text(text)
    with pytest.raises(SettingsError):
        Environment.load_from_directory(tmp_path)
    place = tmp_path / "kind" / "name"
    place.mkdir(parents=True)
    (place / "1.json").write_text(text)
    with pytest.raises(StorageError):
        Records(tmp_path).get("kind", "name", 1)
    secrets = SecretFiles(tmp_path / "private")
    name = secrets.keep({})
    (secrets.folder / name).write_text(text)
    with pytest.raises(StorageError):
        secrets.read(name)
    (tmp_path / "x.jsonl").write_text(text)
    with pytest.raises(DatasetError, match=TOO_MUCH):
        Dataset.Tabular.from_json_lines_files("x.jsonl")


def test_a_key_that_comes_twice_among_many_is_found():
    pairs = ", ".join(f'"k{n}": 1' for n in range(60_000))
    with pytest.raises(ValueError, match="'k59999' comes twice"):
        parse_line(f'{{{pairs}, "k59999": 2}}'.encode())


def test_names_that_all_are_one_are_told_apart():
    names = unique_names(["c"] * 100_000)
    assert (names[0], names[1], names[-1], len(set(names))) == ("c", "c.1", "c.99999", 100_000)
    assert unique_names(["a", "b", "a", "a.1", ""]) == ["a", "b", "a.2", "a.1", "Column5"]


def test_a_header_may_not_have_any_number_of_columns(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    header = ",".join(f"c{n}" for n in range(300_000))
    with pytest.raises(TableError, match="300,000 fields, and a table may have 100,000"):
        header_names(header.encode(), ",")
    (tmp_path / "x.csv").write_text(f"{header}\n")
    with pytest.raises(DatasetError, match=r"x\.csv: the first line has 300,000 fields"):
        Dataset.Tabular.from_delimited_files("x.csv")
    keys = ", ".join(f'"k{n}": 1' for n in range(100_001))
    (tmp_path / "x.jsonl").write_text(f"{{{keys}}}\n")
    with pytest.raises(DatasetError, match="100,001 keys"):
        Dataset.Tabular.from_json_lines_files("x.jsonl").to_pandas_dataframe()


def test_a_cell_of_thousands_of_digits_is_text(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.csv").write_text(f"a,b\n{'1' * 5000},2\n")
    with pytest.warns(UserWarning, match="don't fit 64 bits"):
        frame = Dataset.Tabular.from_delimited_files("x.csv").to_pandas_dataframe()
    assert frame["a"][0] == "1" * 5000
    assert frame["b"][0] == 2


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("*{a}*{b}*.csv", "x" * 250 + ".csx"),
        ("{a}_{b}_{c}_{d}_{e}.csv", "_" * 250),
        ("*-*-*-*-*-{a}", "-" * 1000),
        ("/".join(f"{{a{n}}}_{{b{n}}}" for n in range(8)), "/".join(["_" * 99] * 8)),
    ],
)
def test_a_path_that_fits_no_format_is_refused_soon(text, name):
    with pytest.raises(DatasetError, match="does not fit it"):
        PartitionFormat(text).values("/data", f"{name}\n/x")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("{a}/{b:yyyy/MM/dd}/*.csv", "x/2019/01/02/y.csv"),
        ("*{a}*{b}*.csv", "hello.csv"),
        ("{a}-{b}-{c}-{d}.csv", "w-x-y-z-0.csv"),
        ("k={k}/{a}_{b}_{c}_{d:yyyy-MM}*", "k=1%202/q/k=a%20b/_x__y_2020-01.x"),
        ("{a}x{b}x{c}x{d}", "xxxxxxxxx"),
        ("{a}{b}{c}{d}", "abc"),
    ],
)
def test_both_ways_to_hold_a_path_against_a_format_agree(text, name):
    made = PartitionFormat(text)
    found = [_values(made, name)]
    made.columns = ()
    pieces = made._pieces(text)
    whole = re.compile("(?:.*/)?" + "".join(each.pattern for each in pieces), re.DOTALL)
    for match in (whole.fullmatch, CutFirst(pieces).match):
        made._match = match
        found.append(_values(made, name))
    assert found[0] == found[1] == found[2]


def _values(made, name):
    try:
        return made.values("/data", name)
    except DatasetError as error:
        return str(error)


def test_wildcards_of_one_name_are_counted():
    star, slash = Piece("[^/]*", 0), Piece("/")
    assert choices([star, slash, star, slash, star]) == 0
    assert choices([star, Piece("-"), star, slash, star, star]) == 2


@pytest.mark.parametrize(
    ("pattern", "path"),
    [("*a*a*a*a*a*a*a*b", "a" * 250), ("**/a/" * 12 + "b", "a/" * 100 + "c")],
)
def test_what_is_left_out_of_a_snapshot_is_found_soon(pattern, path):
    assert re.compile(f"(?:.*/)?{_translate(pattern)}", re.DOTALL).fullmatch(path) is None


@pytest.mark.parametrize(
    ("pattern", "path", "fits"),
    [
        ("a*b*c", "axbxbxc", True),
        ("a*b*c", "axbxcx", False),
        ("a/**/b/**/c", "a/x/b/b/y/c", True),
        ("a/**/b*d/**/c", "a/bx/bd/c", True),
        ("**/*.tmp", "x/y/z.tmp", True),
        ("*?*.py", "ab.py", True),
        ("a[!x]b", "a/b", False),
    ],
)
def test_globs_mean_what_they_meant(pattern, path, fits):
    assert (re.compile(_translate(pattern), re.DOTALL).fullmatch(path) is not None) == fits


@pytest.mark.slow
@pytest.mark.parametrize(
    "text",
    [
        "https://" + "a" * 210_000 + "?b=c",
        "a" * 210_000 + "://x@",
        "aa:/" * 60_000 + "@",
        "aa://x:y" * 30_000 + "@",
        "https://me:" + "x y " * 60_000,
        "'aa://@" * 40_000,
        "https://h/?a=https://" * 10_000,
        "?a=1&" * 50_000 + "https://x" + "?a" * 50_000,
        "s3://x" + "#egg=1&" * 30_000,
    ],
    ids=lambda text: text[:20],
)
def test_a_text_of_many_urls_is_read_once(text):
    for shown in (shown_url, shown_text):
        assert shown(shown(text)) == shown(text)
    assert isinstance(secrets_in(text), list)


def submitted(ws, number):
    folder = RunFolder(ws.runs_folder / f"2026010{number}-000000-000-aaaaaa")
    folder.create({"kind": "pipeline", "experiment": "e", "steps": []})
    return folder


@pytest.mark.parametrize(
    "broken", ["fifo", "{", "[]", DEEP, '{"outputs": 3}', '{"steps": 3}', '{"outputs": [{}]}']
)
def test_a_broken_run_hides_no_other(ws, caplog, broken):
    folders = [submitted(ws, number) for number in (1, 2, 3)]
    ws.runs_folder.joinpath("stray").write_text("")
    file = folders[1].path / "run.json"
    file.unlink()
    if broken == "fifo":
        os.mkfifo(file)
    else:
        file.write_text(broken)
    found = [run.id for run in Experiment(ws, "e").get_runs()]
    assert found == [folders[2].id, folders[0].id]
    assert folders[1].id in caplog.text or broken == "fifo"
    with pytest.raises(DaskrunError):
        ws.get_run(folders[1].id)


@pytest.mark.parametrize("broken", ["fifo", "{", '{"status": "odd", "message": "", "time": 1}'])
def test_a_broken_state_hides_no_other_run(ws, broken):
    folders = [submitted(ws, number) for number in (1, 2)]
    file = folders[1].path / "states" / "1.json"
    file.unlink()
    if broken == "fifo":
        os.mkfifo(file)
    else:
        file.write_text(broken)
    states = {run.id: run.get_status for run in Experiment(ws, "e").get_runs()}
    assert states[folders[0].id]() == "Failed"  # nobody drives it
    with pytest.raises(StorageError):
        folders[1].last_state()


def test_a_pipe_is_not_waited_for(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(OSError, match="no regular file"):
        read_file(pipe)
    place = tmp_path / "kind" / "name"
    place.mkdir(parents=True)
    os.mkfifo(place / "1.json")
    with pytest.raises(StorageError):
        Records(tmp_path)._store.read("kind", "name", 1)


@pytest.mark.parametrize(("ending", "pack"), [("gz", gzip.compress), ("xz", lzma.compress)])
def test_a_small_file_may_not_stand_for_any_number_of_bytes(tmp_path, monkeypatch, ending, pack):
    monkeypatch.chdir(tmp_path)
    (tmp_path / f"x.csv.{ending}").write_bytes(pack(b"a,b\n" + b"0,0\n" * 500_000))
    read = Dataset.Tabular.from_delimited_files
    assert len(read("x.csv.*", max_unpacked="3MB").to_pandas_dataframe()) == 500_000
    with pytest.raises(DatasetError, match=r"more than 1,048,576 bytes unpacked.*max_unpacked='"):
        read("x.csv.*", max_unpacked="1MB").to_pandas_dataframe()
    monkeypatch.setattr(packing, "USUAL_BYTES", 10**6)
    monkeypatch.setattr(packing, "USUAL_RATIO", 2)
    with pytest.raises(DatasetError, match="bytes unpacked, so it is not read on"):
        read("x.csv.*").to_pandas_dataframe()


@pytest.mark.parametrize("value", ["much", 0, -1, True, []])
def test_a_bound_of_unpacked_bytes_is_a_size(value):
    for make in (Dataset.Tabular.from_delimited_files, Dataset.Tabular.from_json_lines_files):
        with pytest.raises(DatasetError, match=r"max_unpacked=.*Write max_unpacked='20GB'"):
            make("x", validate=False, max_unpacked=value)


def test_a_broken_record_hides_no_other(ws, tmp_path, caplog):
    (tmp_path / "a.txt").write_text("x")
    pipeline = Pipeline(ws, [PythonScriptStep("after.py", name="after")])
    (tmp_path / "after.py").write_text("")
    for name in ("broken", "whole"):
        Environment(name).register(ws)
        Model.register(ws, tmp_path / "a.txt", name)
        Dataset.File.from_files("a.txt").register(ws, name)
        Datastore.register_local(ws, name, tmp_path)
    first, second = pipeline.publish("a").id, pipeline.publish("b").id
    for kind in ("environments", "models", "datasets", "datastores", "pipelines"):
        name = first if kind == "pipelines" else "broken"
        (ws.folder / kind / name / "1.json").write_text('{"odd": 1}' if kind == "models" else "{")
    assert list(Environment.list(ws)) == ["whole"]
    assert [model.name for model in Model.list(ws)] == list(ws.models) == ["whole"]
    assert list(Dataset.get_all(ws)) == ["whole"]
    assert list(ws.datastores) == ["whole", "workspaceblobstore"]
    assert [each.id for each in PublishedPipeline.list(ws)] == [second]
    assert "'broken' is left out" in caplog.text
    Dataset.File.from_files("https://me:pw@h/x", validate=False).register(ws, "new")
    with pytest.raises(DaskrunError):
        Environment.get(ws, "broken")


def test_files_of_packages_that_name_each_other_are_read_once(tmp_path):
    for number in range(40):
        nested = f"-r {number + 1}.txt\n" * 2
        (tmp_path / f"{number}.txt").write_text(f"p{number}\n{nested}")
    (tmp_path / "40.txt").write_text("last\n-r 0.txt\n" + " " * 100_000 + "x\n")
    found = Environment.from_pip_requirements("e", tmp_path / "0.txt").requirements
    assert len(found) == 42
    for number in range(40, 120):
        (tmp_path / f"{number}.txt").write_text(f"-r {number + 1}.txt\n")
    with pytest.raises(SettingsError, match="names more than 100 files"):
        Environment.from_pip_requirements("e", tmp_path / "0.txt")
    assert lacking([f"x ; {'(' * 10_000}"]) == [f"x ; {'(' * 10_000}"]


def test_logs_of_events_that_others_wrote_end_no_view(tmp_path):
    lines = ["[]", '"x"', "{}", '{"event": "Note"}', '{"event": []}', "[" * 100_000, '{"event": 1}']
    (tmp_path / "events.jsonl").write_text("\n".join(lines) + "\n")
    assert list(read_events(tmp_path / "events.jsonl")) == []
    file = tmp_path / STATISTICS
    file.parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(file)
    assert read_snapshot(tmp_path) is None


@pytest.mark.parametrize("tail", [":1" * 50_000, ":1" * 20_000 + ".5", "_1" * 50_000])
def test_numbers_of_yaml_are_read_in_no_time_or_refused(tmp_path, tail):
    path = tmp_path / "config.yml"
    path.write_text(f"a: 1{tail}")
    with pytest.raises(ValueError, match="digits"):
        read_yaml(path)
