from datetime import datetime

import pytest

from daskrun.data.partition_format import PartitionFormat
from daskrun.errors import DatasetError

NONE = "__HIVE_DEFAULT_PARTITION__"


def at(*parts):
    return datetime(*parts)  # noqa: DTZ001  (a path has no time zone)


@pytest.mark.parametrize(
    ("text", "root", "name", "values"),
    [
        ("{label}/{name}.png", "/data", "a/b/cat/1.png", ("cat", "1")),
        ("/{Dep}/{Day:yyyy/MM/dd}/data.csv", "/x", "Acc/2019/01/31/data.csv",
         ("Acc", at(2019, 1, 31))),
        # The root may be inside what the format tells, or far above it.
        ("/{Dep}/{Day:yyyy/MM/dd}/data.csv", "/x/Acc/2019", "01/31/data.csv",
         ("Acc", at(2019, 1, 31))),
        ("{Dep}/{t:yyyy-MM-dd-HH-mm-ss}/*.parquet", "s3://b/k", "A b/2020-12-31-23-59-58/p.parquet",
         ("A b", at(2020, 12, 31, 23, 59, 58))),
        ("{a}/*.csv", "zip://in::s3://b/all.zip", "x/1.csv", ("x",)),
        ("{a}/*.csv", "s3://bucket", "x/1.csv", ("x",)),
        ("{a}-{b}.csv", "/", "x-y-z.csv", ("x", "y-z")),
        ("{a}.csv", "/", "x.csv.csv", ("x.csv",)),
        ("{year:yyyy}/{a}/x", "/", "2021/ö 日/x", (at(2021, 1, 1), "ö 日")),
        ("{a}/(x+).csv", "/d", "k/(x+).csv", ("k",)),
        ("City={c}/{d}/*", "/d", "City=New%20York/a%20b/x", ("New York", "a%20b")),
        ("t={t:yyyy-MM-dd HH:mm}/x", "/", "t=2021-02-03 04%3A05/x", (at(2021, 2, 3, 4, 5),)),
        ("c={c}/x", "/", "c=a%2Fb%3D%C3%A9/x", ("a/b=é",)),
        ("c={c}/t={t:yyyy-MM-dd}/x", "/", f"c={NONE}/t={NONE}/x", (None, None)),
        ("{c}/{d}-{c2}", "/", f"{NONE}/x-{NONE}", (NONE, "x", NONE)),
        ("{b:ddMMyyyy}/*", "/d", "31122020/x\ny", (at(2020, 12, 31),)),
    ],
)  # fmt: skip
def test_values(text, root, name, values):
    assert PartitionFormat(text).values(root, name) == values


@pytest.mark.parametrize(
    ("text", "name", "why"),
    [
        ("{a}/data.csv", "x/other.csv", "'/d/x/other.csv' does not fit it"),
        ("{a}/{b}/{c}/x.csv", "x.csv", "does not fit it"),
        ("{a}/x.csv", "k/x.csv.gz", "does not fit it"),
        ("{t:yyyy/MM}/x", "2020/13/x", "has '2020/13' for 't', which is no date: month must be"),
        ("{t:yyyy/MM}/x", "2020/1/x", "does not fit it"),
    ],
)
def test_a_path_that_does_not_fit_is_named(text, name, why):
    with pytest.raises(DatasetError, match=r"partition_format=.*Give a format that all paths") as e:
        PartitionFormat(text).values("/d", name)
    assert why in str(e.value)


def test_secrets_of_the_root_are_not_shown():
    with pytest.raises(DatasetError) as error:
        PartitionFormat("{a}/x").values("ftp://me:hunter2@host/d", "k/y")
    assert "hunter2" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (3, "is not a format"),
        ("/", "is not a format"),
        ("data.csv", "names no column"),
        ("{a}/{a}", "names the column 'a' twice"),
        ("{}/x", "has a column without a name"),
        ("{a/x", "has a brace without its partner"),
        ("a}/{b}", "has a brace without its partner"),
        ("{a}/**/x.csv", "has '**', but a format says how deep"),
        ("{a:MM/dd}", "has no year, yyyy, in {a:MM/dd}"),
        ("{a:yyyy/yyyy}", "has 'yyyy' in {a:yyyy/yyyy}: a date is written with"),
        ("{a:yyyy/m}", "has 'm' in {a:yyyy/m}"),
        ("{a:yyyyMMddx}", "has 'x' in"),
    ],
)
def test_wrong_formats(text, why):
    with pytest.raises(DatasetError) as error:
        PartitionFormat(text)
    assert str(error.value).startswith(f"partition_format={text!r} {why}")


def test_combinations_are_those_that_exist_in_the_files_order():
    form = PartitionFormat("{user}/{season}/*.csv")
    names = ["b/x/1.csv", "a/y/1.csv", "b/x/2.csv", "a/x/1.csv"]
    assert form.combinations("/d", names, ["user"]) == [{"user": "b"}, {"user": "a"}]
    assert form.combinations("/d", names) == [
        {"user": "b", "season": "x"},
        {"user": "a", "season": "y"},
        {"user": "a", "season": "x"},
    ]
    assert form.combinations("/d", names, ["season", "user"])[0] == {"season": "x", "user": "b"}
    assert [*form.grouped("/d", names, ["season"]).values()] == [[0, 2, 3], [1]]


@pytest.mark.parametrize("keys", ["user", [], ["person"]])
def test_wrong_keys(keys):
    with pytest.raises(DatasetError, match="partition_keys="):
        PartitionFormat("{user}/x").check_keys(keys)


def test_the_finest_unit_of_a_date():
    form = PartitionFormat("{a:yyyy/MM}/{b:HH dd-yyyy-MM}/{c}")
    assert form.finest("a") == "month"
    assert form.finest("b") == "hour"
    assert [form.is_date(name) for name in form.columns] == [True, True, False]
