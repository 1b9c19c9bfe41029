"""Tables that a file named MLTable defines: what is written, and which rows there are."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from daskrun import Dataset, DatasetError, Datastore, Workspace
from daskrun.data.dataset_codec import from_plain, to_plain
from daskrun.data.mltable_files import MLTableFiles

READ = "- read_delimited: {delimiter: ','}\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two files, in folders of their own, and what writes the definition."""
    monkeypatch.chdir(tmp_path)
    for year, rows in ((2023, "1,UK\n2,FR\n"), (2024, "3,UK\n,DE\n")):
        Path("t", str(year)).mkdir(parents=True)
        Path("t", str(year), "a.csv").write_text(f"n,city\n{rows}")
    return tmp_path / "t"


def table(transformations: str, paths: str = "[{pattern: '*/*.csv'}]"):
    """Write a definition, and return its dataset."""
    lines = textwrap.indent(transformations, "  ")
    Path("t", "MLTable").write_text(f"type: mltable\npaths: {paths}\ntransformations:\n{lines}\n")
    return Dataset.Tabular.from_mltable("t")


ROWS = [
    ("", {"n": [1.0, 2.0, 3.0, None], "city": ["UK", "FR", "UK", "DE"]}),
    ("- filter: 'col(\"n\") > 1 and not col(\"city\") == \"FR\"'", {"n": [3.0], "city": ["UK"]}),
    ("- keep_columns: [city]\n- take: 2", {"city": ["UK", "FR"]}),
    ("- drop_columns: n\n- skip: 3", {"city": ["DE"]}),
    ("- convert_column_types: [{columns: n, column_type: string}]\n- take: 1",
     {"n": ["1"], "city": ["UK"]}),
    ("- convert_column_types:\n  - columns: [n]\n    column_type: float\n- take: 1",
     {"n": [1.0], "city": ["UK"]}),
    ("- extract_columns_from_partition_format: '{year}/*.csv'\n- skip: 3\n- drop_columns: city",
     {"n": [None], "year": ["2024"]}),
    ("- extract_columns_from_partition_format: {partition_format: '{year}/{a}.{b}'}\n- take: 1",
     {"n": [1.0], "city": ["UK"], "year": ["2023"], "a": ["a"], "b": ["csv"]}),
    ("- extract_columns_from_partition_format: {year:yyyy}\n- take: 1\n- keep_columns: n",
     {"n": [1.0]}),
    ("- take_random_sample: {probability: 1.0, seed: 1}\n- take: 1", {"n": [1.0], "city": ["UK"]}),
]  # fmt: skip


@pytest.mark.parametrize(("more", "rows"), ROWS)
def test_each_transformation_is_a_step(folder: Path, more: str, rows: object) -> None:
    frame = table(READ + more).to_pandas_dataframe()
    assert frame.astype(object).where(frame.notna(), None).to_dict("list") == rows


@pytest.mark.parametrize("paths", ["[{folder: .}]", "[{file: ./2023/a.csv}, {file: 2024/a.csv}]"])
def test_paths_are_of_files_folders_patterns(folder: Path, paths: str) -> None:
    assert len(table(READ, paths).to_pandas_dataframe()) == 4


def test_formats_are_those_that_it_names(folder: Path) -> None:
    table(READ).to_parquet_files(target=str(folder / "p"))
    assert len(table("- read_parquet", "[{folder: ./p}]").to_pandas_dataframe()) == 4
    (folder / "j.jsonl").write_text('{"n": 1}\nno\n')
    lines = table("- read_json_lines: {invalid_lines: drop}", "[{file: j.jsonl}]")
    with pytest.warns(UserWarning, match="1 line"):
        assert len(lines.to_pandas_dataframe()) == 1


WRONG = [
    ("- read_delimited: {delimeter: ','}", "Write delimiter"),
    ("- read_delta_lake: {version_as_of: 1}", "Delta"),
    ("- take: 5", "read_parquet"),
    (READ + "- filtre: 1", "Write filter"),
    (READ + "- filter: 'open(\"x\")'", "is not known"),
    (READ + "- convert_column_types: [{columns: n, column_type: integer}]", "is no type"),
    (READ + "- take: many", "take"),
]


@pytest.mark.parametrize(("transformations", "said"), WRONG)
def test_what_is_wrong_is_said_with_the_file(folder: Path, transformations: str, said: str) -> None:
    with pytest.raises(DatasetError, match="MLTable") as caught:
        table(transformations)
    assert said in str(caught.value)


def test_a_datastore_is_found_by_its_name(folder: Path) -> None:
    ws = Workspace.create("trial")
    store = Datastore.register_local(ws, "lake", folder)
    table(READ)
    text = (folder / "MLTable").read_text()
    url = "azureml://subscriptions/s/workspaces/w/datastores/lake/paths/2023/a.csv"
    (folder / "MLTable").write_text(text.replace("pattern: '*/*.csv'", f"file: '{url}'"))
    with pytest.raises(DatasetError, match="datastore 'lake' is not known"):
        Dataset.Tabular.from_mltable("t")
    found = Dataset.Tabular.from_mltable("t", datastores={"lake": store})
    assert len(found.to_pandas_dataframe()) == 2
    kept = from_plain(to_plain(found), lambda name: Datastore(ws, name))
    assert len(kept.to_pandas_dataframe()) == 2


def test_what_to_write_where_there_is_none_can_be_written(folder: Path) -> None:
    (folder / "a.csv").write_text("n\n1\n")
    with pytest.raises(DatasetError, match="has no file named MLTable") as caught:
        Dataset.Tabular.from_mltable("t")
    said = str(caught.value)
    (folder / "MLTable").write_text(said[said.index("{") : said.rindex("}") + 1])
    assert list(Dataset.Tabular.from_mltable("t").to_pandas_dataframe()["n"]) == [1]


def test_its_files_can_be_had_as_files(folder: Path) -> None:
    table(READ)
    files = MLTableFiles((str(folder),), str(folder))
    assert [Path(each).parent.name for each in files.to_path()] == ["2023", "2024"]
    kept = from_plain(to_plain(files), lambda name: None)
    assert kept.take(1).to_path() == files.to_path()[:1]
