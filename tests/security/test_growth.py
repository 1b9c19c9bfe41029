"""What strangers write is read in time that grows with its size, and no faster."""

import pandas as pd
import pyarrow as pa
import pytest

from daskrun import Dataset
from daskrun.data.tabular import collect
from daskrun.data.tabular.formats.delimited.spec import header_trouble
from daskrun.data.tabular.formats.json_lines import reader
from daskrun.data.tabular.formats.json_lines.format import _by_key
from daskrun.data.tabular.formats.parquet import format as parquet
from daskrun.data.tabular.planning.resolve import _checked
from daskrun.data.tabular.values import frame as frames
from daskrun.errors import DaskrunError, TableError


def test_a_frame_of_many_columns_is_made_in_slices(monkeypatch):
    values = [[True, None], [1, None], ["a", None], [[1, None], [2]], [1.5, 2.0]]
    table = pa.table({f"c{n}": values[n % 5] for n in range(53)})
    whole, widths, plain = frames.to_frame(table), [], frames._plain_frame

    def noted(part):
        widths.append(part.num_columns)
        return plain(part)

    monkeypatch.setattr(frames, "_plain_frame", noted)
    monkeypatch.setattr(frames, "WIDE", 10)
    pd.testing.assert_frame_equal(frames.to_frame(table), whole)
    assert frames.to_frame(table[:0]).index.equals(pd.RangeIndex(0))
    assert max(widths) == 10


def test_each_key_is_gone_through_once():
    objects = [{f"k{n}": n} for n in range(300)] + [{"a": None, "k0": 1}]
    found = _by_key(objects)
    assert sum(map(len, found.values())) < 3 * len(objects)
    assert (found["k0"], found["k7"], found["a"]) == ([0, 1, None], [7, None], [None, None])


def test_a_table_of_hardly_any_values_is_refused_before_it_is_made(tmp_path, monkeypatch):
    lines = {"plain": '{"k%d": 1}\n', "nested": '{"a": {"k%d": [{"b": 1}]}}\n'}
    for name, line in lines.items():
        (tmp_path / name).write_text("".join(line % n for n in range(300)))
    assert len(read(tmp_path / "plain")) == 300
    monkeypatch.setattr(reader, "MOST_VALUES", 1000)
    for name in lines:
        monkeypatch.setattr(reader, "VALUES_PER_BYTE", 1000)
        assert len(read(tmp_path / name)) == 300
        monkeypatch.setattr(reader, "VALUES_PER_BYTE", 2)
        with pytest.raises(TableError, match=r"a table of 90,000 values, nearly all of them miss"):
            read(tmp_path / name)


def read(path):
    return Dataset.Tabular.from_json_lines_files(path).to_pandas_dataframe()


class Names(list):
    """Names in which none is looked for: that takes time for each."""

    def __contains__(self, name):
        raise AssertionError(name)

    index = count = __contains__


@pytest.mark.parametrize("kind", ["keep", "drop"])
def test_columns_are_not_looked_for_in_lists(kind):
    names = Names(f"c{n}" for n in range(5))
    columns, _ = _checked([(kind, Names(["c1", "c2"]))], names)
    assert columns == (["c1", "c2"] if kind == "keep" else ["c0", "c3", "c4"])
    assert header_trouble(Names("ab"), Names("bc"), same=True).endswith("don't have")


class Footer:
    """A file's, of columns without row groups, that counts the looks at one."""

    num_columns, num_row_groups = 50, 0
    path = logical_type = "c7"

    def __init__(self):
        self.schema, self.looks = self, 0

    def column(self, _):
        self.looks += 1
        return self


def test_columns_of_footers_are_looked_for_by_name():
    footer = Footer()
    known = [parquet._known(footer)]
    for n in range(50):
        assert not parquet._has_missing(known, f"c{n}")
    assert footer.looks <= 2 * 50


def test_dtypes_of_frames_that_are_joined_are_looked_at_once(monkeypatch):
    looks, dtypes = [], pd.DataFrame.dtypes
    looked = property(lambda frame: looks.append(frame) or dtypes.fget(frame))
    parts = [pd.DataFrame({f"c{n}": [value] for n in range(20)}) for value in (1.5, 2)]
    monkeypatch.setattr(pd.DataFrame, "dtypes", looked)
    collect._check_exact(parts)
    collect._as_text(parts)
    assert len(looks) < 10


@pytest.mark.parametrize(
    ("begin", "line"),
    [('a\n"open\n', 2), ('a,b\n1,"', 2), ('a,"b\n', 1), ('a,b\n1,x\n2,\'"\n"', 4)],
)
def test_a_quote_that_is_never_closed_is_named_with_its_line(tmp_path, begin, line):
    (tmp_path / "a.csv").write_text(begin + "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\n" * 100_000)
    with pytest.raises(DaskrunError, match=rf"a\.csv, line {line}: .* not closed before the end"):
        Dataset.Tabular.from_delimited_files(tmp_path / "a.csv").to_pandas_dataframe()
