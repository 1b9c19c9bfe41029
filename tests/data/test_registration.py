"""Datasets under a name: registered here, found in another process."""

import multiprocessing
import pickle
from dataclasses import replace

import pandas as pd
import pytest

from daskrun import Dataset, Datastore, Workspace
from daskrun.errors import DatasetError, NameNotFoundError, SettingsError

URL = "https://me:pa55word@host/data"


@pytest.fixture
def ws(tmp_path):
    return Workspace.create("trial", path=tmp_path)


@pytest.fixture
def rows(tmp_path):
    pd.DataFrame({"a": [1, 2, 3], "b": "x"}).to_csv(tmp_path / "rows.csv", index=False)
    return Dataset.Tabular.from_delimited_files(tmp_path / "rows.csv")


@pytest.fixture
def files(tmp_path):
    (tmp_path / "texts").mkdir()
    for name in "ab":
        (tmp_path / "texts" / f"{name}.txt").write_text(name)
    return Dataset.File.from_files(tmp_path / "texts")


def test_what_is_registered_is_found_with_all_that_was_said(ws, files, rows):
    made = files.register(ws, "texts", description="two", tags={"language": "sv"})
    assert (made.name, made.version, made.id) == ("texts", 1, "texts:1")
    assert (files.name, files.version, files.id, files.description) == (None, None, None, None)
    assert files.tags == {}
    rows.filter(rows["a"] > 1).register(workspace=ws, name="rows")
    found = Dataset.get_by_name(ws, name="texts")
    assert (found.name, found.version, found.description) == ("texts", 1, "two")
    assert found.tags == {"language": "sv"}
    assert found.to_path() == files.to_path()
    assert found.fingerprint() == files.fingerprint()
    assert ws.datasets.keys() == Dataset.get_all(ws).keys() == {"rows", "texts"}
    assert ws.datasets["rows"].to_pandas_dataframe()["a"].tolist() == [2, 3]
    assert pickle.loads(pickle.dumps(found)).id == "texts:1"


def test_what_is_made_of_a_registered_dataset_has_no_name(ws, files, rows):
    assert files.register(ws, "texts").take(1).name is None
    table = rows.register(ws, "rows")
    assert table.skip(1).version is None
    assert replace(table).registration is None


def test_versions(ws, files):
    files.register(ws, "texts")
    second = files.take(1).register(ws, "texts", create_new_version=True)
    assert second.version == 2
    assert files.take(1).register(ws, "texts", create_new_version=True).version == 3
    assert len(Dataset.get_by_name(ws, "texts").to_path()) == 1
    assert len(Dataset.get_by_name(ws, "texts", version=1).to_path()) == 2
    assert Dataset.get_by_name(ws, "texts", "latest").version == 3
    with pytest.raises(NameNotFoundError, match=r"no dataset has the name 'texts:4'.*'texts:1'"):
        Dataset.get_by_name(ws, "texts", 4)
    with pytest.raises(NameNotFoundError, match=r"no dataset has the name 'text'.*'texts'"):
        Dataset.get_by_name(ws, "text")


def test_a_name_is_taken_by_another_dataset_only(ws, files):
    files.register(ws, "texts", tags={"a": "b"})
    assert files.register(ws, "texts", tags={"a": "b"}).version == 1
    assert ws.records.numbers("datasets", "texts") == [1]
    for other in (lambda: files.take(1).register(ws, "texts"), lambda: files.register(ws, "texts")):
        with pytest.raises(SettingsError, match="name='texts' is taken by another dataset"):
            other()
    assert ws.records.numbers("datasets", "texts") == [1]


def test_all_that_is_wrong_is_said_at_once(ws, files):
    with pytest.raises(SettingsError) as caught:
        files.register("ws", 3, description=4, tags={"a": 0.9}, create_new_version=None)
    assert len(caught.value.problems) == 5
    assert "tags={'a': 0.9}: 0.9 is not a text. Write tags={'a': '0.9'}." in str(caught.value)
    with pytest.raises(SettingsError, match="name='a/b' has a slash"):
        files.register(ws, "a/b")
    with pytest.raises(SettingsError, match="version='two' is not a version"):
        Dataset.get_by_name(ws, "texts", "two")
    with pytest.raises(SettingsError, match="workspace=None is not a Workspace"):
        Dataset.get_all(None)
    frame = Dataset.Tabular.from_pandas_dataframe(pd.DataFrame({"a": [1]}))
    with pytest.raises(DatasetError, match="only in the memory of this process"):
        frame.register(ws, "frame")
    assert ws.datasets == {}


def test_unregister(ws, files):
    files.register(ws, "texts")
    found = files.register(ws, "texts", create_new_version=True)
    found.unregister_all_versions()
    assert ws.datasets == {}
    assert len(found.to_path()) == 2
    with pytest.raises(DatasetError, match="is not registered"):
        files.unregister_all_versions()
    assert files.register(ws, "texts").version == 1


@pytest.mark.parametrize(
    "make",
    [
        lambda: Dataset.File.from_files(URL, validate=False),
        lambda: Dataset.File.from_files(["a", f"{URL}/b"], validate=False).take(3),
        lambda: Dataset.Tabular.from_sql_query(
            "SELECT 1", validate=False, connection="postgresql://me:pa55word@host/db"
        ),
        lambda: Dataset.Tabular.from_sql_query(
            "SELECT 1", validate=False, connection="postgresql://host/db?password=pa55word"
        ),
    ],
)
def test_passwords_in_urls_are_in_a_private_file_only(ws, make):
    made = make().register(ws, "secret")
    found = Dataset.get_by_name(ws, "secret")
    assert repr(found) == repr(made)
    assert make().register(ws, "secret").version == 1
    holding = [p for p in ws.folder.rglob("*") if p.is_file() and "pa55word" in p.read_text()]
    assert [path.parent for path in holding] == [ws.folder / "private"]
    assert holding[0].stat().st_mode & 0o777 == 0o600
    found.unregister_all_versions()
    assert list((ws.folder / "private").iterdir()) == []


def test_datastores_are_found_again_by_name(ws, files, tmp_path):
    other = Workspace.create("other", path=tmp_path / "other")
    for home in (ws, other):
        store = Datastore.register_s3(home, "s", "bucket", key="id", secret="s3cret")
        Dataset.File.from_files(store.path("x"), validate=False).register(ws, home.name)
    assert ws.datasets["trial"].elements[0].place.workspace == ws
    assert ws.datasets["other"].elements[0].place.workspace == other
    assert "s3cret" not in (ws.folder / "datasets" / "other" / "1.json").read_text()


def test_partition_by_registers_what_it_has_written(ws, rows, tmp_path):
    store = ws.get_default_datastore()
    with pytest.raises(DatasetError, match=r"name='by a': .*target=.datastore, 'folder'"):
        rows.partition_by(["a"], str(tmp_path / "out"), name="by a")
    assert not (tmp_path / "out").exists()
    made = rows.partition_by(["a"], (store, "out"), name="by a")
    assert (made.name, made.version) == ("by a", 1)
    assert ws.datasets["by a"].partition_keys == ["a"]
    assert rows.partition_by(["a"], store.path("out2"), name="by a").version == 2


def _register(arguments):
    folder, path, number, new = arguments
    dataset = Dataset.File.from_files(path).take(number)
    try:
        return dataset.register(Workspace(folder), "texts", create_new_version=new).version
    except SettingsError as error:
        return str(error)


@pytest.mark.slow
def test_processes_that_register_at_once(ws, files, tmp_path):
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        asked = [(ws.folder, tmp_path / "texts", n, True) for n in range(1, 7)]
        assert sorted(pool.map(_register, asked, chunksize=1)) == [1, 2, 3, 4, 5, 6]
        Dataset.get_by_name(ws, "texts").unregister_all_versions()
        asked = [(ws.folder, tmp_path / "texts", n, False) for n in range(1, 7)]
        found = pool.map(_register, asked, chunksize=1)
    assert found.count(1) == 1
    assert sum("is taken by another dataset" in str(each) for each in found) == 5
    assert ws.records.numbers("datasets", "texts") == [1]
