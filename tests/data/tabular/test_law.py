"""One law of types: a value becomes the same, or the same error, whatever format it is from."""

from __future__ import annotations

import json
from contextlib import contextmanager
from datetime import datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from daskrun.data import Dataset
from daskrun.data.tabular.formats.contract import Piece, PieceFile
from daskrun.data.tabular.formats.sql.keys import SqlSpec
from daskrun.data.tabular.formats.sql.reader import SqlReader
from daskrun.data.tabular.formats.typed_columns import with_types
from daskrun.data.tabular.values.frame import to_frame
from daskrun.data.tabular.values.infer import infer_values
from daskrun.data.tabular.values.kinds import MOMENTS, WRITTEN, Kind, admits
from daskrun.data.tabular.values.types import DataType
from daskrun.data.tabular.values.written import as_text
from daskrun.errors import DatasetError

ZONE = timezone(timedelta(hours=2))
NAIVE = datetime(2024, 5, 31, 17, 30)  # noqa: DTZ001
TYPES = {
    "string": DataType.to_string(),
    "long": DataType.to_long(),
    "float": DataType.to_float(),
    "bool": DataType.to_bool(),
    "datetime": DataType.to_datetime(),
    "day": DataType.to_datetime("%Y-%m-%d"),
    "moment": DataType.to_datetime("%Y-%m-%d %H:%M:%S%z"),
}
WRONG = "error"
DAY, NOON = pd.Timestamp(2024, 5, 31), pd.Timestamp(2024, 5, 31, 17, 30, tz="UTC")
LAW = {
    # kind: (value, what it is as each of TYPES)
    "text": ("x", ["x", *[WRONG] * 6]),
    "whole": (7, ["7", 7, 7.0, *[WRONG] * 4]),
    "one": (1, ["1", 1, 1.0, True, *[WRONG] * 3]),
    "large": (2**53 + 1, ["9007199254740993", 2**53 + 1, *[WRONG] * 5]),
    "decimal": (1.5, ["1.5", WRONG, 1.5, *[WRONG] * 4]),
    "whole decimal": (2.0, ["2.0", 2, 2.0, *[WRONG] * 4]),
    "exact": (Decimal("19.90"), ["19.90", WRONG, 19.9, *[WRONG] * 4]),
    "boolean": (True, ["true", WRONG, WRONG, True, *[WRONG] * 3]),
    "date": (DAY.date(), ["2024-05-31", *[WRONG] * 3, DAY, DAY, WRONG]),
    "naive": (NAIVE, ["2024-05-31 17:30:00", *[WRONG] * 3, pd.Timestamp(NAIVE),
                      pd.Timestamp(NAIVE), WRONG]),
    "zoned": (NOON.to_pydatetime().astimezone(ZONE),
              ["2024-05-31 19:30:00+02:00", *[WRONG] * 3, NOON, WRONG, NOON]),
    "time": (time(17, 30), ["17:30:00", *[WRONG] * 6]),
    "duration": (timedelta(1), ["1 days 00:00:00", *[WRONG] * 6]),
    "binary": (b"x", ["x", *[WRONG] * 6]),
    "list": ([1, None], ["[1, null]", *[WRONG] * 6]),
    "struct": ({"a": "é"}, ['{"a": "é"}', *[WRONG] * 6]),
    "null": (None, [None] * 7),
    "NaN": (float("nan"), ["NaN", *[None] * 6]),
}  # fmt: skip
NAMED = {("naive", "day", "csv"), ("naive", "day", "jsonl")}
"""Where formats differ: what is written in a file is read by the format, as it is written there."""


def from_csv(folder, value, types):
    text = "" if value is None else as_text(value)
    (folder / "a.csv").write_text('v,end\n"{}",1\n'.format(text.replace('"', '""')))
    return Dataset.Tabular.from_delimited_files(str(folder / "a.csv"), set_column_types=types)


def from_json(folder, value, types):
    plain = value if isinstance(value, str | int | float | list | dict | None) else as_text(value)
    (folder / "a.jsonl").write_text(json.dumps({"v": plain}))
    return Dataset.Tabular.from_json_lines_files(str(folder / "a.jsonl"), set_column_types=types)


def from_parquet(folder, value, types):
    pq.write_table(pa.table({"v": pa.array([value])}), folder / "a.parquet")
    return Dataset.Tabular.from_parquet_files(str(folder / "a.parquet"), set_column_types=types)


class Query:
    """A query whose rows are these, whatever database could have them."""

    def __init__(self, values, types, **options):
        found = infer_values("v", values)
        columns = with_types(
            [("v", found.type)],
            types,
            lambda _: None in values,
            lambda _: [value for value in values if isinstance(value, str)],
        )
        spec = SqlSpec(
            columns=columns, strict_types=False, warnings=(), declared=tuple(types or ()),
            query="SELECT v", keys=(), order=(), timeout=9, row_bytes=1,
        )  # fmt: skip
        self._reader = SqlReader(spec, {"connection": "sqlite:////none"}, None)
        self._reader._database = self
        self._values = values

    @contextmanager
    def query(self, statement, what):
        yield self

    def partitions(self, size):
        yield [(value,) for value in self._values]

    def to_pandas_dataframe(self):
        rows = self._reader.read(Piece("query", 0, None), PieceFile("", False, ""), ["v"], False)
        return to_frame(rows.table)


def from_sql(folder, value, types):
    return Query([value], types)


SHOWN_TYPES = {
    "text": "text", "whole": "int", "decimal": "float", "true or false": "bool",
    "date and time": "datetime", "with a zone": "datetime_utc",
}  # fmt: skip
SHOWN_KINDS = {
    "text, of delimited files": (Kind.TEXT, WRITTEN),
    "text, of JSON lines": (Kind.TEXT, MOMENTS),
    "text, of Parquet files, queries, dataframes": (Kind.TEXT, frozenset()),
    **{kind.value: (kind, frozenset()) for kind in Kind if kind not in (Kind.TEXT, Kind.OTHER)},
}


def test_the_documentation_has_the_table_of_the_law():
    page = Path(__file__).parents[3] / "docs/explanation/types.md"
    if not page.exists():
        pytest.skip("the package is tested without its documentation")
    lines = [f"| | {' | '.join(SHOWN_TYPES)} |", "|---" * (len(SHOWN_TYPES) + 1) + "|"]
    for shown, (kind, reads) in SHOWN_KINDS.items():
        taken = [
            "yes" if admits(type_, kind, False, reads) else "asked" * admits(type_, kind, True)
            for type_ in SHOWN_TYPES.values()
        ]
        lines.append(f"| {shown} | {' | '.join(taken)} |".replace("  ", " "))
    assert "\n".join(lines) in page.read_text()


FORMATS = {"csv": from_csv, "jsonl": from_json, "parquet": from_parquet, "sql": from_sql}


@pytest.mark.filterwarnings("ignore:column 'v' has missing values")
@pytest.mark.parametrize("kind", LAW)
def test_a_value_is_the_same_from_all_formats(tmp_path, kind):
    value, expected = LAW[kind]
    wrong = []
    for (name, type_), wanted in zip(TYPES.items(), expected, strict=True):
        for format_, make in FORMATS.items():
            if (kind, name, format_) in NAMED:
                continue
            try:
                found = make(tmp_path, value, {"v": type_}).to_pandas_dataframe()["v"][0]
            except DatasetError as error:
                found = WRONG if "'v'" in str(error) and "set_column_types" in str(error) else error
            found = None if pd.isna(found) else found
            if found != wanted or (type(found) is str) != (type(wanted) is str):
                wrong.append(f"{kind} × {name} from {format_}: {found!r}, not {wanted!r}")
    assert not wrong, "\n".join(wrong)
