import pickle
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from daskrun.data.tabular.conditions.expression import (
    Column,
    all_of,
    joined,
    uses,
    written,
)
from daskrun.data.tabular.conditions.mask import mask
from daskrun.errors import DatasetError, TableError

a, b, s, t, z, flag, cat, day = map(Column, ["a", "b", "s", "t", "z", "flag", "cat", "day"])


@pytest.fixture(scope="module")
def frame():
    times = pd.to_datetime(["2020-01-01 00:00", None, "2020-01-03 12:00", "2021-05-05 00:00"])
    return pd.DataFrame(
        {
            "a": [1, 2, 3, 4],
            "b": [1.5, None, 3.0, -1.0],
            "s": pd.Series(["x", None, "", "zz"], dtype="str"),
            "t": times.astype("datetime64[us]"),
            "z": times.astype("datetime64[us]").tz_localize("UTC"),
            "flag": pd.Series([True, None, False, True], dtype="boolean"),
            "cat": pd.Series(["u", "v", None, "u"], dtype="category"),
            "day": [date(2020, 1, 1), None, date(2020, 2, 1), date(2021, 1, 1)],
        }
    )


NOON = datetime.fromisoformat("2020-01-03T12:00")
CASES = [
    (a > 2, "0011"),
    (a >= 2, "0111"),
    (a < 2, "1000"),
    (a <= 2, "1100"),
    (a == 2, "0100"),
    (a != 2, "1011"),
    (a > 2, "0011"),
    (a == np.int64(2), "0100"),
    (a < np.float32(1.5), "1000"),
    (a > True, "0111"),
    (a >= b, "0011"),
    (b != a, "1001"),  # also of two columns: a missing value is unequal to nothing
    (b == 3, "0010"),
    (b != 3, "1001"),
    (~(b == 3), "1101"),  # but what is not so, is so
    (b.is_null(), "0100"),
    (b.not_null(), "1011"),
    (b.isin([1.5, -1]), "1001"),
    (b.between(1, 3), "1010"),
    (s == "x", "1000"),
    (s != "x", "0011"),
    (s == "", "0010"),
    (s > "x", "0001"),
    (s.isin(["zz", "x"]), "1001"),
    (s.isin([]), "0000"),
    (s.starts_with("z"), "0001"),
    (s.ends_with("x"), "1000"),
    (s.contains("."), "0000"),  # a text, no pattern
    (s.is_null(), "0100"),
    (t >= NOON, "0011"),
    (t > NOON, "0001"),
    (t != NOON, "1001"),
    (t == "2020-01-01", "1000"),
    (t < date(2020, 1, 2), "1000"),
    (t.isin([NOON, "2020-01-01"]), "1010"),
    (t == np.datetime64("2020-01-01", "ns"), "1000"),
    (t == pd.Timestamp(NOON), "0010"),
    (t == NOON.replace(tzinfo=UTC), "0010"),  # no zone is UTC
    (t == datetime(2020, 1, 3, 14, tzinfo=timezone(timedelta(hours=2))), "0010"),
    (z == NOON, "0010"),
    (z >= "2020-01-03", "0011"),
    (z == datetime(2020, 1, 3, 14, tzinfo=timezone(timedelta(hours=2))), "0010"),
    (flag, "1001"),
    (~flag, "0110"),
    (flag == False, "0010"),  # noqa: E712
    (flag != True, "0010"),  # noqa: E712
    (flag & (a > 1), "0001"),
    ((a > 3) | flag, "1001"),
    (cat == "u", "1001"),
    (cat != "u", "0100"),
    (cat > "u", "0100"),
    (cat.isin(["v", "w"]), "0100"),
    (cat.starts_with("v"), "0100"),
    (day >= date(2020, 2, 1), "0011"),
    (day >= datetime.fromisoformat("2020-02-01"), "0011"),
    ((a > 1) & (b > 0) & ~s.is_null(), "0010"),
    (~((a == 1) | (a == 4)), "0110"),
]


@pytest.mark.parametrize(("condition", "rows"), CASES, ids=lambda v: str(v))
def test_masks(frame, condition, rows):
    from daskrun.data.tabular.conditions.expression import as_condition

    plain = as_condition(condition, "filter").plain
    got = mask(frame, plain)
    assert got.dtype == bool
    assert "".join(map(str, got.astype(int))) == rows
    assert mask(frame.iloc[:0], plain).shape == (0,)
    # It travels, and what is written is what a user would write.
    assert pickle.loads(pickle.dumps(plain)) == plain
    scope = {"dataset": type("D", (), {"__getitem__": lambda _, name: Column(name)})()}
    again = eval(
        written(plain), {**scope, "datetime": datetime.fromisoformat, "date": date.fromisoformat}
    )
    assert again.plain == plain


@pytest.mark.parametrize(
    ("condition", "why"),
    [
        (s > 3, "the column 's' is str, not comparable to int 3"),
        (s == 3, "the column 's' is str"),
        (a == "3", "the column 'a' is int64, not comparable to str '3'"),
        (a.isin(["3"]), "the column 'a' is int64"),
        (a >= NOON, "not comparable to datetime"),
        (t > 3, "not comparable to int 3"),
        (t > "soon", "'soon' is no date"),
        (s > a, "the column 's' is str, not comparable to int64 column 'a'"),
        (t > z, "."),
        (a.contains("x"), "the column 'a' is int64"),
        (cat > 3, "not comparable to int 3"),
    ],
)
def test_columns_of_another_kind_are_named_also_without_rows(frame, condition, why):
    # Without rows text must be of a dtype of its own: the loader sees to it for pandas 2.
    none = frame.iloc[:0]
    known = [none] if pd.__version__ >= "3" else []
    for rows in (frame, none.astype({"s": "string", "cat": "string"}), *known):
        with pytest.raises(TableError, match=r"filter\(dataset.*set_column_types") as error:
            mask(rows, condition.plain)
        assert why in str(error.value)


def test_and_or_not_are_refused_with_what_to_write():
    for misuse in (
        lambda: (a > 1) and (b < 2),
        lambda: a and b,
        lambda: not (a > 1),
        lambda: 1 < a < 3,
        lambda: [x for x in (a > 1,) if x],
    ):
        with pytest.raises(DatasetError, match=r"Write & for 'and', \| for 'or' and ~ for 'not'"):
            misuse()
    with pytest.raises(DatasetError, match=r"Put each comparison in parentheses"):
        (a > 1) & 3
    with pytest.raises(DatasetError, match=r"3 is of type int, and \| takes conditions"):
        3 | a


@pytest.mark.parametrize(
    "value", [None, float("nan"), np.nan, pd.NaT, np.datetime64("NaT", "ns"), np.float32("nan")]
)
def test_missing_values_are_asked_for_by_name(value):
    with pytest.raises(DatasetError, match=r"Write dataset\['a'\].is_null\(\)"):
        a == value  # noqa: B015


@pytest.mark.parametrize("value", [[1], b"x", Decimal(1), object(), np.array([1, 2])])
def test_values_of_other_types(value):
    with pytest.raises(DatasetError, match=r"dataset\['a'\] can't be compared with .* of type"):
        a > value  # noqa: B015


@pytest.mark.parametrize(
    "call", [lambda: s.isin("xy"), lambda: s.isin(3), lambda: s.isin([a]), lambda: s.contains(3)]
)
def test_wrong_arguments(call):
    with pytest.raises(DatasetError, match="ive"):
        call()


def test_which_columns_a_condition_looks_at():
    condition = ((a > b) & s.isin(["x"])) | ~(t.is_null() | s.contains("q"))
    assert uses(condition.plain) == {"a", "b", "s", "t"}
    assert uses(condition.plain) <= {"a", "b", "s", "t", "u"}
    assert not uses(condition.plain) <= {"a", "b", "s"}
    parts = [(a > 1).plain, (b > 1).plain, (s == "x").plain]
    assert all_of(joined(parts)) == parts
    assert all_of(((a > 1) | (b > 1)).plain) == [((a > 1) | (b > 1)).plain]
