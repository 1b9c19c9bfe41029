"""Any column, from any format, cut in any way, sampled or not: the same values, dtypes and errors.

What pyarrow, DuckDB and polars write and read is held against it too.
"""

from __future__ import annotations

import json
import shutil
from datetime import date, datetime
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
from agreeing import agree
from generated import examples
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from running import make_request
from test_law import TYPES, Query

from daskrun.core.report import RunStatus
from daskrun.data import Dataset
from daskrun.data.tabular.formats.contract import Piece, PieceFile
from daskrun.data.tabular.formats.delimited.format import DelimitedSource
from daskrun.data.tabular.formats.json_lines.format import JsonLinesSource
from daskrun.data.tabular.formats.parquet.format import ParquetSource
from daskrun.data.tabular.formats.registry import reader_class
from daskrun.data.tabular.planning.table_plan import TablePlan
from daskrun.data.tabular.values.frame import to_frame
from daskrun.data.tabular.values.kinds import admits
from daskrun.data.tabular.values.written import as_text, found_kinds
from daskrun.engine.driver import RunControl, execute
from daskrun.errors import DatasetError

Tabular = Dataset.Tabular
WHOLE = st.integers(-9, 9) | st.sampled_from([2**53, 2**53 + 1, -(2**63), 2**63 - 1])
DECIMAL = st.floats(-1e9, 1e9) | st.sampled_from([0.1, 2.5, 1e300, float("inf")])
NAIVE = st.datetimes(datetime(1700, 1, 1), datetime(2200, 1, 1))  # noqa: DTZ001
KINDS = {
    "whole": WHOLE,
    "decimal": DECIMAL,
    "bool": st.booleans(),
    "text": st.text("xyé \"'\\,", min_size=1, max_size=5).map(lambda text: f"x{text}"),
    "naive": NAIVE,
    "date": st.dates(date(1700, 1, 1), date(2200, 1, 1)),
    "missing": st.none(),
}
ALIKE = [
    *(["whole", "missing"], ["decimal", "whole"], ["decimal", "missing"], ["bool", "missing"]),
    *(["text", "missing"], ["naive", "missing"], ["whole"], ["bool"]),
]
"""Kinds that one type holds, whatever the format."""


def parts_of(kinds, most=5):
    """Draw parts of a column, each of one kind."""
    chosen = st.sampled_from(kinds).flatmap(
        lambda kind: st.lists(KINDS[kind], min_size=1, max_size=most)
    )
    return st.lists(chosen, min_size=1, max_size=3)


def write_csv(path, values):
    cells = ("" if v is None else as_text(v).replace('"', '""') for v in values)
    path.write_text("v,end\n" + "".join(f'"{cell}",1\n' for cell in cells))


def write_json(path, values):
    plain = [as_text(v) if isinstance(v, date) else v for v in values]
    path.write_text("".join(json.dumps({"v": v}) + "\n" for v in plain))


def write_parquet(path, values, rows=3):
    pq.write_table(pa.table({"v": pa.array(values)}), path, row_group_size=rows)


FORMATS = {
    "csv": (DelimitedSource, write_csv),
    "jsonl": (JsonLinesSource, write_json),
    "parquet": (ParquetSource, write_parquet),
}


def outcome(read):
    """Return values and dtype, or that there was an error."""
    try:
        frame = read()
    except DatasetError:
        return "error"
    return [None if pd.isna(v) else v for v in frame["v"]], str(frame["v"].dtype)


def from_file(folder, format_, sample, late, types):
    """Read rows behind a sample, by the schema that it gives."""
    source, write = FORMATS[format_]
    (folder / "sample").mkdir()
    for number, values in enumerate(sample):
        write(folder / "sample" / f"{number}", values)
    write(folder / "late", late)

    def read():
        made = source((str(folder / "sample"),), "/", set_column_types=types)
        spec = made.describe(made.listing())
        reader = reader_class(spec)(spec, {}, None)
        file = PieceFile(str(folder / "late"), False, "late")
        return to_frame(reader.read(Piece("late", 0, None), file, ["v"], False).table)

    try:
        return outcome(read)
    finally:
        shutil.rmtree(folder / "sample")


def from_query(sample, late, types):
    def read():
        query = Query([v for values in sample for v in values], types)
        query._values = late
        return query.to_pandas_dataframe()

    return outcome(read)


@settings(max_examples=examples(40), suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from(ALIKE).flatmap(parts_of),
    st.sampled_from(list(KINDS)).flatmap(lambda k: st.lists(KINDS[k], min_size=1, max_size=3)),
    st.sampled_from([None, *TYPES]),
)
def test_what_no_sample_saw_is_the_same_from_all_formats(tmp_path_factory, sample, late, asked):
    kinds = {type(v) for values in sample for v in values}
    # A CSV file has no other 1 than one that may be true.
    assume(asked == "bool" or not (bool in kinds and {type(v) for v in late} == {int}))
    # Times that have a type have no format.
    moments = {date, datetime} & ({type(v) for v in late} | kinds)
    assume(asked not in ("day", "moment") or not moments)
    types = {"v": TYPES[asked]} if asked else None
    if asked:  # else it is refused before rows are read, where types come with the values
        found = found_kinds([v for values in sample for v in values])
        assume(all(admits(TYPES[asked].type, kind, declared=True) for kind in found))
    folder = tmp_path_factory.mktemp("law")
    found = {name: from_file(folder, name, sample, late, types) for name in FORMATS}
    found["sql"] = from_query(sample, late, types)
    assert len({repr(each) for each in found.values()}) == 1, found


SCRIPT = """
def run(frame):
    return [f"{v!r} {frame['v'].dtype}" for v in frame["v"]]
"""


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:column 'v'")
@settings(max_examples=examples(8), suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.sampled_from(ALIKE).flatmap(parts_of), st.integers(20, 200), st.integers(1, 4))
def test_every_way_of_reading_a_column_agrees(tmp_path_factory, parts, size, rows):
    assume(any(v is not None for values in parts for v in values))
    folder = tmp_path_factory.mktemp("column")
    seen = []
    for name, (_, write) in FORMATS.items():
        (folder / name).mkdir()
        for number, values in enumerate(parts):
            options = {"rows": rows} if name == "parquet" else {}
            write(folder / name / f"{number}", values, **options)
        make = {"csv": Tabular.from_delimited_files, "jsonl": Tabular.from_json_lines_files}
        dataset = make.get(name, Tabular.from_parquet_files)(str(folder / name)).keep_columns("v")
        seen.append(outcome(dataset.to_pandas_dataframe))
        if seen[-1] == "error":
            continue
        frame = dataset.to_pandas_dataframe()
        agree(dataset, frame, size)
        plan = TablePlan([("rows", dataset.resolve())], size)
        request = make_request(folder / f"run of {name}", SCRIPT, plan=plan, target="inline")
        assert execute(request, [], RunControl()).status is RunStatus.COMPLETED
        text = (request.output_folder / request.settings.append_row_file_name).read_text()
        assert text == "".join(f"{v!r} {frame['v'].dtype}\n" for v in frame["v"])
    assert len({repr(each) for each in seen}) == 1, seen


def test_each_of_two_inputs_warns_of_its_own_column(tmp_path):
    for number in range(9):
        value = None if number == 8 else 1
        pq.write_table(pa.table({"v": pa.array([value], "int64")}), tmp_path / f"{number}.parquet")
    inputs = [(name, Tabular.from_parquet_files(f"{tmp_path}/*").resolve()) for name in "ab"]
    plan = TablePlan(inputs, 1000)
    request = make_request(tmp_path / "run", SCRIPT, plan=plan, target="inline")
    told = execute(request, [], RunControl()).warnings
    assert [text[: text.index(" where")] for text in told] == [
        "input 'a': column 'v' has missing values",
        "input 'b': column 'v' has missing values",
    ]


# files of other engines

MOMENTS = [datetime(2024, 5, 31, 17, 30, 0, 250_000), datetime(1969, 1, 1)]  # noqa: DTZ001
WRITTEN = pa.table(
    {
        "id": pa.array([2**53 + 1, -(2**63), 7]),
        "n": pa.array([1, None, 3], "int64"),
        "x": pa.array([0.1, 1e300, -2.5]),
        "maybe": pa.array([None, 0.25, 1e-7]),
        "b": pa.array([True, False, True]),
        "s": pa.array(['a,"b"', "two\nlines", "é€"]),
        "t": pa.array([*MOMENTS, None], pa.timestamp("us")),
        "small": pa.array([1, 2, 3], "int8"),
        "half": pa.array([0.5, 0.25, 2.0], "float32"),
        "price": pa.array([Decimal("19.90"), Decimal("0.01"), None]),
        "list": pa.array([[1, 2], [], [3]], pa.list_(pa.int64())),
        "object": pa.array([{"k": 2**53 + 1, "w": "x"}, {"k": None, "w": "y"}, {"k": 1, "w": ""}]),
    }
)


def by_pyarrow(table, folder):
    pq.write_table(table, folder / "parquet", row_group_size=2)
    pacsv.write_csv(table.drop_columns(["list", "object"]), folder / "csv")


def by_duckdb(table, folder):
    duckdb = pytest.importorskip("duckdb")
    with duckdb.connect() as db:
        db.register("rows", table)
        db.execute(f"COPY rows TO '{folder}/parquet' (FORMAT parquet)")
        db.execute(
            f"COPY (SELECT * EXCLUDE (list, object) FROM rows) TO '{folder}/csv' (FORMAT csv)"
        )
        db.execute(f"COPY rows TO '{folder}/json' (FORMAT json)")


def by_polars(table, folder):
    polars = pytest.importorskip("polars")
    frame = polars.from_arrow(table)
    frame.write_parquet(folder / "parquet")
    frame.drop("list", "object").write_csv(folder / "csv")
    frame.write_ndjson(folder / "json")


def plain(value):
    """Return a value for comparison: nested ones as JSON, numbers by value, none as None."""
    if isinstance(value, np.ndarray | list | dict):
        return json.dumps(value, default=np.ndarray.tolist)
    return None if pd.isna(value) else value


@pytest.mark.parametrize("write", [by_pyarrow, by_duckdb, by_polars])
def test_files_of_other_engines_hold_what_was_written(tmp_path, write):
    write(WRITTEN, tmp_path)
    made = {
        "parquet": Tabular.from_parquet_files,
        "csv": Tabular.from_delimited_files,
        "json": Tabular.from_json_lines_files,
    }
    for path in sorted(tmp_path.iterdir()):
        found = made[path.name](str(path)).to_pandas_dataframe()
        wanted = {name: WRITTEN[name].to_pylist() for name in found}
        if path.name != "parquet":  # an exact decimal is a number there; polars puts it in quotes
            kind = str if isinstance(found["price"][0], str) else float
            wanted["price"] = [None if v is None else kind(v) for v in wanted["price"]]
        got = {name: [plain(v) for v in found[name]] for name in found}
        assert got == {name: [plain(v) for v in values] for name, values in wanted.items()}
        assert set(found) >= set(WRITTEN.column_names[:10])
