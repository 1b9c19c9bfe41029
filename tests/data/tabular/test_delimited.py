import csv
import gzip
import io
import random
import re
import uuid

import fsspec
import numpy as np
import pandas as pd
import pytest
from agreeing import TEXT, same
from generated import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from reading import Opened, read_all

from daskrun.data import Dataset
from daskrun.data.tabular import collect
from daskrun.data.tabular.formats.contract import Piece
from daskrun.data.tabular.formats.delimited import format as delimited_format
from daskrun.data.tabular.formats.delimited.format import DelimitedSource
from daskrun.data.tabular.values.convert import NULLS
from daskrun.data.tabular.values.frame import to_frame
from daskrun.data.tabular.values.types import DataType
from daskrun.errors import DatasetError, TableError

SIZES = (1, 7, 64, 1 << 20)


@pytest.fixture
def made(tmp_path):
    """Write files and give a source of them, in the order they are given."""

    def make(files, **options):
        paths = []
        for name, data in ({"a.csv": files} if isinstance(files, (str, bytes)) else files).items():
            path = tmp_path / "data" / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(data.encode() if isinstance(data, str) else data)
            paths.append(str(path))
        return DelimitedSource(tuple(paths), str(tmp_path), **options)

    return make


def filled(middle, rows=40_000, row="1,2.5,true,2024-05-31,x\n"):
    """A file whose middle no sample sees."""
    part = row * rows
    return "n,f,b,d,t\n" + part + middle + part


def middle_of(source, tmp_path, middle):
    """Read only the middle of such a file."""
    opened = Opened(source, tmp_path)
    at = 10 + len("1,2.5,true,2024-05-31,x\n") * 40_000
    piece = Piece("a.csv", at, at + len(middle.encode()))
    wanted = [name for name, _ in opened.spec.columns]
    rows = opened.reader.read(piece, opened.file(piece), wanted, False)
    return to_frame(rows.table), opened.reader.warnings


CSV = 'a,b,c\n1,"x\ny",2.5\n2,"q""q",\n\n3,,-1\r\n4,"é,",0\r5,end,9'


@pytest.mark.parametrize("size", SIZES)
def test_every_row_once_as_pandas_reads_it(made, tmp_path, size):
    read = read_all(made(CSV), tmp_path, size)
    same(read.rows, pd.read_csv(io.StringIO(CSV)))
    assert read.ids == sorted(set(read.ids))
    assert read.ids == read_all(made(CSV), tmp_path, 1 << 20).ids
    assert {str(d) for f in read.frames for d in f.dtypes} == {"int64", TEXT, "float64"}


@pytest.mark.parametrize(
    "encoding",
    ["utf8", "utf-8", "utf8bom", "latin1", "ISO-8859-1", "windows1252", "utf16", "utf32"],
)
@pytest.mark.parametrize("separator", [",", "\t", "|", "§"])
@pytest.mark.parametrize("size", [3, 1 << 20])
def test_encodings_and_separators(made, tmp_path, encoding, separator, size):
    text = 'ö,b\n"é,1",2\nñ,3\n'.replace(",", separator)
    codec = {"utf8bom": "utf-8-sig", "windows1252": "cp1252"}.get(encoding, encoding)
    read = read_all(
        made(text.encode(codec), encoding=encoding, separator=separator), tmp_path, size
    )
    assert read.rows.to_dict("list") == {"ö": [f"é{separator}1", "ñ"], "b": [2, 3]}


@pytest.mark.parametrize("name", ["a.csv.gz", "a.CSV.GZIP"])
@pytest.mark.parametrize("size", [20, 1 << 20])
@pytest.mark.parametrize("multi_line", [None, False])
def test_compressed_files(made, tmp_path, name, size, multi_line):
    text = "a,b\n" + "".join(f"{n},x{n}\n" for n in range(500))
    source = made({name: gzip.compress(text.encode())}, support_multi_line=multi_line)
    read = read_all(source, tmp_path, size)
    assert read.rows["a"].tolist() == list(range(500))
    assert (len(read.frames) > 1) == (size == 20)


@pytest.mark.parametrize("size", [5, 1 << 20])
@pytest.mark.parametrize("multi_line", [None, False])
def test_remote_files(made, tmp_path, size, multi_line):
    folder = f"memory://{uuid.uuid4().hex}"
    for name, text in {"a.csv": "a,b\n1,x\n2,y\n", "b.csv": "b,a\nz,3\n"}.items():
        with fsspec.open(f"{folder}/{name}", "wb") as file:
            file.write(text.encode())
    source = DelimitedSource((folder,), "", support_multi_line=multi_line)
    source.check()
    read = read_all(source, tmp_path, size)
    assert read.rows.to_dict("list") == {"a": [1, 2, 3], "b": ["x", "y", "z"]}
    with fsspec.open(f"{folder}/b.csv", "wb") as file:
        file.write(b"b,a\nz,3\ny\n")
    bad = read_all(source, tmp_path, 1 << 20)
    assert "b.csv, byte 8: 1 fields were found, 2 expected: 'y'" in str(bad.errors[0])


FILES = {"1.csv": "a,b\n1,2\n", "2.csv": "", "3.csv": "b,a\n3,4\n", "4.csv": "a,c\n5,6\n"}


def test_headers_the_same_in_any_order(made, tmp_path):
    read = read_all(made(FILES), tmp_path)
    assert [f.to_dict("list") for f in read.frames] == [{"a": [1], "b": [2]}, {"a": [4], "b": [3]}]
    (error,) = read.errors
    assert "4.csv: its header lacks 'b' and has 'c'" in str(error)
    assert "COMBINE_ALL_FILES_HEADERS" in str(error)
    assert error.items == 1


def test_headers_combined(made, tmp_path):
    rows = read_all(made(FILES, header="COMBINE_ALL_FILES_HEADERS"), tmp_path).rows
    assert rows["a"].tolist() == [1, 4, 5]
    assert rows.fillna(-1).to_dict("list") == {"a": [1, 4, 5], "b": [2, 3, -1], "c": [-1, -1, 6]}
    assert rows.dtypes.astype(str).tolist() == ["int64", "float64", "float64"]


def test_headers_in_the_first_file_only_or_in_none(made, tmp_path):
    two = {"1.csv": "a,b\n1,2\n", "2.csv": "3,4\n"}
    first = read_all(made(two, header="ONLY_FIRST_FILE_HAS_HEADERS"), tmp_path).rows
    assert first.to_dict("list") == {"a": [1, 3], "b": [2, 4]}
    none = read_all(made(two, header=False), tmp_path).rows
    assert none.to_dict("list") == {"Column1": ["a", "1", "3"], "Column2": ["b", "2", "4"]}


def test_names_that_come_twice_or_are_empty(made, tmp_path):
    rows = read_all(made('a,a,,"b\nc"\n1,2,3,4\n'), tmp_path).rows
    assert list(rows) == ["a", "a.1", "Column3", "b\nc"]


def test_files_without_rows(made, tmp_path):
    read = read_all(made({"1.csv": "", "2.csv": "a,b\n", "3.csv": "a,b\n1,x\n"}), tmp_path)
    assert read.rows.to_dict("list") == {"a": [1], "b": ["x"]}
    with pytest.raises(DatasetError, match="its files are empty"):
        read_all(made({"1.csv": ""}), tmp_path)


def test_columns_pushed_down_and_empty_tables(made, tmp_path):
    read = read_all(made("a,b,c\n1,x,true\n2,y,\n"), tmp_path, columns=["c", "a"])
    assert list(read.rows) == ["c", "a"]
    empty = Opened(made("a,b,c\n1,x,true\n2,y,\n"), tmp_path).reader.empty(["c", "a"])
    assert (empty.column_names, empty.num_rows) == (["c", "a"], 0)


def test_missing_values(made, tmp_path):
    text = 'n,t\nNA,NA\n,\n1.5,""\n'
    rows = read_all(made(text), tmp_path).rows
    assert rows["t"].isna().tolist() == [False, True, True]
    assert rows["n"].isna().tolist() == [True, True, False]
    rows = read_all(made(text, empty_as_string=True), tmp_path).rows
    assert rows["t"].tolist() == ["NA", "", ""]


WORDS = st.sampled_from([*NULLS, "-NAN", "inf", "1", "2.5", "0", "x", "2024-05-31"])
TYPES = {
    "i": DataType.to_long(),
    "f": DataType.to_float(),
    "b": DataType.to_bool(),
    "d": DataType.to_datetime(),
    "o": DataType.to_datetime("%Y-%m-%d"),
    "t": DataType.to_string(),
}


@pytest.mark.slow
@pytest.mark.parametrize("as_string", [False, True])
@given(cells=st.lists(st.tuples(*[WORDS] * len(TYPES)), min_size=1, max_size=8))
@settings(max_examples=examples(60))
def test_words_for_missing_are_the_same_after_any_piece(tmp_path_factory, as_string, cells):
    """Pieces without such words are parsed in another way until one has some."""
    folder = tmp_path_factory.mktemp("words")
    lines = [",".join([*TYPES, "end"]), *[",".join([*row, "0"]) for row in cells]]
    (folder / "a.csv").write_text("\n".join(lines))
    (folder / "worded.csv").write_text(f"{lines[0]}\n1,NA,1,NA,NA,NA,0\n")
    paths = (str(folder / "a.csv"), str(folder / "worded.csv"))
    source = DelimitedSource(paths, str(folder), set_column_types=TYPES, empty_as_string=as_string)
    fresh, worded = Opened(source, folder), Opened(source, folder)
    *pieces, last = fresh.pieces(1)
    worded.reader.read(last, worded.file(last), list(TYPES), False)
    for piece in pieces:
        found = []
        for opened in (fresh, worded):
            opened.reader._words &= opened is worded
            try:
                rows = opened.reader.read(piece, opened.file(piece), list(TYPES), False)
                found.append(to_frame(rows.table).to_dict("list"))
            except TableError as error:
                found.append(str(error))
        assert repr(found[0]) == repr(found[1])


def test_types_are_those_asked_for(made, tmp_path):
    types = {"a": DataType.to_string(), "d": DataType.to_datetime("%d/%m/%Y")}
    rows = read_all(made("a,d,e\n007,01/02/2024,1\n", set_column_types=types), tmp_path).rows
    assert rows.to_dict("list") == {"a": ["007"], "d": [pd.Timestamp("2024-02-01")], "e": [1]}
    rows = read_all(made("a,e\n007,1\n", infer_column_types=False), tmp_path).rows
    assert rows.to_dict("list") == {"a": ["007"], "e": ["1"]}
    with pytest.raises(DatasetError, match=r"no column 'aa'\. Did you mean 'a'"):
        read_all(made("a,e\n", set_column_types={"aa": types["a"]}), tmp_path)


@pytest.mark.parametrize(
    ("middle", "column", "dtype", "values", "warned"),
    [
        (
            "1,1,true,2024-05-31,x\n,2,true,,y\n",
            "n",
            "float64",
            [1, None],
            "'n' has missing values",
        ),
        (
            "1,1,true,2024-05-31,x\n2.5,2,true,,y\n",
            "n",
            "float64",
            [1, 2.5],
            "'n' has decimal values",
        ),
        (
            "1,1,true,2024-05-31,x\n3,2,,,y\n",
            "b",
            "boolean",
            [True, None],
            "'b' has missing values",
        ),
        (" 1,1,true,2024-05-31,x\n2,-2,true,,y\n", "n", "int64", [1, 2], ""),
        ("1,1, true,2024-05-31,x\n2,2,FALSE,,y\n", "b", "bool", [True, False], ""),
    ],
)
def test_what_changes_a_dtype_in_its_mini_batch_is_told(
    made, tmp_path, middle, column, dtype, values, warned
):
    frame, warnings = middle_of(made(filled(middle)), tmp_path, middle)
    assert str(frame[column].dtype) == dtype
    assert [None if pd.isna(v) else v for v in frame[column]] == values
    assert any(warned in text for text in warnings) if warned else not warnings
    strict = made(filled(middle), strict_types=True)
    if warned:
        with pytest.raises(TableError, match=f"line 400.*column '{column}'.*strict_types=True"):
            middle_of(strict, tmp_path, middle)


@pytest.mark.parametrize(
    ("middle", "told"),
    [
        (
            "1,1,true,2024-05-31,x\nx,1,true,2024-05-31,x\n",
            "line 40003, column 'n' .*: 'x' is no number",
        ),
        (
            "9007199254740993,1,,,\n,1,,,\n",
            "line 40003, column 'n' .*is missing, and .*9007199254740993",
        ),
        ("1,1;5,true,2024-05-31,x\n", "line 40002, column 'f' .*'1;5' is no number"),
        ("1,1,maybe,2024-05-31,x\n", "column 'b' .*'maybe' is neither true nor false"),
        ("1,1,1,2024-05-31,x\n", "column 'b' .*'1' is neither true nor false"),
        ("1,1,true,2024-05-31,x\n1,1,0,,\n", "column 'b' .*'0' is neither true nor false"),
        ("1,1,true,31.5.2024,x\n", "column 'd' .*'31.5.2024' is no date"),
        (
            "1,1,true,2024-05-31\n",
            "line 40002: 4 fields were found, 5 expected: '1,1,true,2024-05-31'",
        ),
        ("1,1,true,2024-05-31,x,y\n", "line 40002: 6 fields were found, 5 expected"),
        ('1,1,true,2024-05-31,"a\nb"\n1\n', "line 40004: 1 fields were found, 5 expected: '1'"),
    ],
)
def test_what_does_not_fit_is_named_with_its_line(made, tmp_path, middle, told):
    with pytest.raises(TableError, match=told) as caught:
        middle_of(made(filled(middle)), tmp_path, middle)
    assert "a.csv" in str(caught.value)
    assert caught.value.items > 0
    assert not caught.value.ends_run


def test_line_breaks_in_quotes_where_there_should_be_none_end_the_run(made, tmp_path):
    text = "a,b\n" + "1,x\n" * 10 + '2,"y\nz"\n' + "1,x\n" * 10
    for size in SIZES:
        read = read_all(made(text, support_multi_line=False), tmp_path, size)
        ending = [error for error in read.errors if error.ends_run]
        assert ending, size
        assert "line 12" in str(ending[0])
        assert "support_multi_line=True" in str(ending[0])
    for size in SIZES:
        clean = 'a,b\n1,"x,"\n2,y\r\n\n3,z'
        rows = read_all(made(clean, support_multi_line=False), tmp_path, size).rows
        assert rows.to_dict("list") == {"a": [1, 2, 3], "b": ["x,", "y", "z"]}


@pytest.mark.parametrize("multi_line", [None, True, False])
@pytest.mark.parametrize("size", [8, 1 << 20])
def test_a_quote_that_is_never_closed_is_no_row(made, tmp_path, multi_line, size):
    text = 'a,b\n1,x\n2,y\n3,"z'
    read = read_all(made(text, support_multi_line=multi_line), tmp_path, size)
    assert len(read.errors) == 1
    assert "not closed" in str(read.errors[0])
    assert "a.csv, line 4: " in str(read.errors[0])


def test_bytes_of_another_encoding_are_named(made, tmp_path):
    middle = "1,1,true,2024-05-31,é\n".encode("latin1").decode("latin1")
    data = filled("\0").encode().replace(b"\0", middle.encode("latin1"))
    source = made(data)
    with pytest.raises(TableError, match=r"line 40002: the bytes are not utf8.*encoding='latin1'"):
        middle_of(source, tmp_path, middle[:-1])
    for text, options in (("é,b\n1,2\n", {}), ("a,b\né,2\n", {"encoding": "ascii"})):
        with pytest.raises(DatasetError, match=r"is not (utf8|ascii)\. Write the encoding"):
            made(text.encode("latin1"), **options).check()


def test_a_file_that_is_gone_is_named(made, tmp_path):
    source = made("a,b\n1,2\n")
    opened = Opened(source, tmp_path)
    (piece,) = opened.pieces(1 << 20)
    (tmp_path / "data" / "a.csv").unlink()
    with pytest.raises(TableError, match=r"a\.csv can't be read: No such file"):
        opened.reader.read(piece, opened.file(piece), ["a"], False)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"encoding": "utf7"}, "encoding='utf7' is not known. Write one of utf8"),
        ({"separator": "ab"}, "separator='ab' is not one character"),
        ({"separator": "\\t"}, "For a tab write"),
        ({"separator": '"'}, "is a quote or a line end"),
        ({"separator": "§", "encoding": "ascii"}, "is not a character of encoding='ascii'"),
        ({"header": "SOME"}, "header='SOME' is not known"),
        ({"support_multi_line": "yes"}, "support_multi_line='yes' is not known"),
        ({"on_type_conflict": "drop"}, "on_type_conflict='drop' is not known"),
        ({"on_type_conflict": "text", "strict_types": True}, "Leave out one of them"),
        ({"set_column_types": {"a": "int"}}, "'int'}: that is no type"),
        ({"set_column_types": "a"}, "is not a dict of names and types"),
    ],
)
def test_arguments_that_can_not_be(made, options, told):
    with pytest.raises(DatasetError, match=told.replace("\\", "\\\\")):
        made("a\n", **options)


def test_validation_looks_at_the_first_rows(made, tmp_path):
    made(CSV).check()
    with pytest.raises(
        DatasetError, match="has 2 columns by its first record, and then a record with 1"
    ):
        made("a,b\n1\n").check()
    with pytest.raises(DatasetError, match="does not exist"):
        DelimitedSource((str(tmp_path / "no.csv"),), "").check()


def test_the_wrong_separator_is_suspected(made, tmp_path):
    (warning,) = read_all(made("a;b\n1;2\n"), tmp_path).reader.warnings
    assert "separator=';'" in warning


def test_it_is_shown_as_the_call_that_makes_it():
    source = DelimitedSource(
        ("x.csv",), "", separator=";", set_column_types={"a": DataType.to_long()}
    )
    assert repr(source) == (
        "Dataset.Tabular.from_delimited_files('x.csv', "
        "set_column_types={'a': DataType.to_long()}, separator=';')"
    )


def test_types_come_from_all_over_the_files(made, tmp_path):
    rows = [f"{n},{n}\n" for n in range(200_000)]
    rows[100_000:] = [f"{n}.5,\n" for n in range(100_000)]
    reader = Opened(made("a,b\n" + "".join(rows)), tmp_path).spec
    assert reader.columns == (("a", "float"), ("b", "int_as_float"))


def test_a_sample_that_begins_in_quotes_does_not_make_numbers_text(made, tmp_path):
    row = '1,"' + "lorem, ipsum\n" * 9000 + '"\n'
    reader = Opened(made("a,b\n" + row * 12), tmp_path).spec
    assert reader.columns == (("a", "int"), ("b", "text"))


def test_samples_begin_where_records_do(made, tmp_path):
    """Random texts with quotes and line breaks: the numbers beside them are whole."""
    chance = random.Random(5)

    def text():
        return "".join(chance.choice('ab ,"\n\ré;') for _ in range(chance.randrange(60)))

    files = {}
    for name in "012":
        buffer = io.StringIO()
        rows = [(n, text(), text(), n % 7) for n in range(3000)]
        csv.writer(buffer).writerows([("id", "a", "b", "k"), *rows])
        files[name] = buffer.getvalue()
    types = [kind for _, kind in Opened(made(files), tmp_path).spec.columns]
    assert types == ["int", "text", "text", "int"]


@pytest.mark.parametrize("at", [150, 500])
def test_all_that_was_read_for_the_sample_tells_the_type(made, tmp_path, at):
    rows = [f"{n},{'none' if n == at else n}\n" for n in range(1000)]
    spec = Opened(made("id,n\n" + "".join(rows)), tmp_path).spec
    assert dict(spec.columns) == {"id": "int", "n": "text"}
    assert "999 of 1,000 sampled values are numbers, but 'none' is not" in spec.warnings[0]


def test_digits_are_truth_values_where_that_is_said(made, tmp_path):
    text = "a,b\n1,true\n0,FALSE\n"
    for types, found in (
        ({"a": DataType.to_bool()}, [[True, False]] * 2),
        ({"b": DataType.to_bool()}, [[1, 0], [True, False]]),
    ):
        rows = read_all(made(text, set_column_types=types), tmp_path).rows
        assert [rows["a"].tolist(), rows["b"].tolist()] == found


@pytest.mark.parametrize("late", ["00501", "+4915123", '"007"', "-007", " 007"])
def test_zeros_and_plus_that_numbers_lose_are_told(made, tmp_path, late):
    middle = f"5,1,true,2024-05-31,x\n{late},1,true,2024-05-31,05\n"
    frame, warnings = middle_of(made(filled(middle)), tmp_path, middle)
    assert frame["n"].tolist() == [5, int(late.strip('"'))]
    (told,) = warnings
    shown = late.strip('"')
    assert f"column 'n' has zeros or a plus before digits, as in '{shown}'" in told
    assert told.endswith("a.csv, line 40003.")
    long = made(filled(middle), set_column_types={"n": DataType.to_long()})
    assert middle_of(long, tmp_path, middle)[1] == [], "who says so knows it"
    decimal = f"1,{late},true,2024-05-31,x\n"
    frame, (told,) = middle_of(made(filled(decimal)), tmp_path, decimal)
    assert frame["f"].tolist() == [float(shown)]
    assert f"column 'f' has zeros or a plus before digits, as in '{shown}'" in told
    assert "or DataType.to_float() if this is meant" in told


BAD = "7,1,true,2024-05-31,x\nx,1,true,soon,x\n8,1,2,,y\nx,1,true,2024-06-01,x\n"


@pytest.mark.parametrize("choice", ["null", "text"])
def test_values_that_do_not_fit_a_guessed_type_become_what_was_chosen(
    made, tmp_path, choice, monkeypatch
):
    monkeypatch.setattr(delimited_format, "WIDE", 8)  # the middle is in no place
    frame, warnings = middle_of(made(filled(BAD), on_type_conflict=choice), tmp_path, BAD)
    if choice == "null":
        assert frame["n"].fillna(-1).tolist() == [7, -1, 8, -1]
        assert frame["b"].isna().tolist() == [False, False, True, False]
        assert frame["d"].isna().tolist() == [False, True, True, False]
        assert str(frame["d"].dtype) == "datetime64[us]"
    else:
        assert frame["n"].tolist() == ["7", "x", "8", "x"]
        assert frame["b"].tolist() == ["true", "true", "2", "true"]
        assert frame["d"].fillna("").tolist() == ["2024-05-31", "soon", "", "2024-06-01"]
    assert len([w for w in warnings if f"on_type_conflict='{choice}' says" in w]) == 3
    (told,) = (w for w in warnings if "column 'n' (" in w)
    assert "such as 'x'." in told
    assert told.endswith("a.csv, line 40003.")
    long = {"set_column_types": {"n": DataType.to_long()}, "on_type_conflict": choice}
    with pytest.raises(TableError, match="'x' is no whole number"):
        middle_of(made(filled(BAD), **long), tmp_path, BAD)
    with pytest.raises(TableError, match=r"'x' is no.*on_type_conflict='null' or 'text'\.") as e:
        middle_of(made(filled(BAD)), tmp_path, BAD)
    assert e.value.lasting


@pytest.mark.filterwarnings("ignore:column '[nbd]'")
def test_mini_batches_with_text_and_numbers_are_joined_as_text(tmp_path, monkeypatch):
    monkeypatch.setattr(delimited_format, "WIDE", 8)
    monkeypatch.setattr(collect, "_SIZE", 400_000)
    (tmp_path / "a.csv").write_text(filled(BAD))
    dataset = Dataset.Tabular.from_delimited_files(str(tmp_path), on_type_conflict="text")
    frame = dataset.to_pandas_dataframe()
    assert set(frame["n"]) == {"1", "7", "8", "x"}
    assert set(frame["b"]) == {"true", "2"}
    assert [str(d) for d in frame.dtypes] == [TEXT, "float64", TEXT, TEXT, TEXT]


@pytest.mark.slow
def test_columns_with_text_in_one_of_many_places_are_text_where_that_was_chosen(made, tmp_path):
    rows = ["1,2\n"] * 1_000_000
    rows[650_000] = "x,2\n"
    data = "a,b\n" + "".join(rows)
    opened = Opened(made(data), tmp_path)
    (risk,) = made(data).risks(opened.listing, opened.spec, ["a", "b"])
    assert "column 'a' is read as DataType.to_long(), and a wider sample has 'x'" in risk
    assert "on_type_conflict='null' or 'text'" in risk
    assert made(data).risks(opened.listing, opened.spec, ["b"]) == []
    text = Opened(made(data, on_type_conflict="text"), tmp_path).spec
    assert dict(text.columns) == {"a": "text", "b": "int"}


def test_headers_and_open_quotes_are_told_when_the_dataset_is_made(made):
    files = {"1.csv": "a,b\n1,2\n", "2.csv": "b,a\n3,4\n", "3.csv": "a,c\n5,6\n"}
    with pytest.raises(DatasetError, match=r"3\.csv: its header lacks 'b' and has 'c'.*COMBINE"):
        made(files).check()
    made(files, header="COMBINE_ALL_FILES_HEADERS").check()
    with pytest.raises(DatasetError, match=r"1\.csv, line 3: the quote that opens this field"):
        made({"1.csv": 'a,b\n1,2\n3,"4\n5,6\n'}).check()


field = st.text(st.sampled_from("ab \"'é1.-"), max_size=4)
quoted = st.text(st.sampled_from('ab "\n\r,é1'), max_size=5).map(
    lambda text: '"' + text.replace('"', '""') + '"'
)
end = st.sampled_from(["\n", "\r\n", "\n\n"])


@pytest.mark.filterwarnings("ignore:text stands behind a quote:UserWarning")
@pytest.mark.filterwarnings("ignore:a quote behind a blank:UserWarning")
@settings(max_examples=examples(60))
@given(st.lists(st.tuples(field | quoted, quoted, end), min_size=1, max_size=8), st.integers(1, 40))
def test_rows_are_those_of_pandas_whatever_the_quotes(tmp_path_factory, records, size):
    lines = [f"{n},{one},{two}{end}" for n, (one, two, end) in enumerate(records)]
    # A quote opens a field only where it begins: one without an end makes no table.
    if any(re.fullmatch(r'"(?:[^"]|"")*', one) for one, _, _ in records):
        return
    text = "n,one,two\n" + "".join(lines)
    folder = tmp_path_factory.mktemp("rows")
    (folder / "a.csv").write_bytes(text.encode())
    expected = pd.read_csv(folder / "a.csv", dtype=str, keep_default_na=False, na_values=[""])
    if len(expected) != len(records):
        return
    types = {name: DataType.to_string() for name in ("n", "one", "two")}
    source = DelimitedSource((str(folder / "a.csv"),), "", set_column_types=types)
    read = read_all(source, folder, size)
    found = read.rows
    assert np.array_equal(found.isna(), expected.isna())
    assert found.fillna("").to_dict("list") == expected.fillna("").to_dict("list")


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ("a,b\n1,é\n".encode("utf-16"), "begins as files in utf16 do: write encoding='utf16'"),
        ("a,b\n1,é\n".encode("utf-32"), "begins as files in utf32 do: write encoding='utf32'"),
        (b"PAR1\xff\x00", r"is a Parquet file: use from_parquet_files\(\)"),
        (b"a,b\n1,\xe9\n", "such as encoding='latin1'"),
    ],
)
def test_what_is_not_of_the_encoding_says_what_it_looks_like(tmp_path, data, told):
    (tmp_path / "a.csv").write_bytes(data)
    with pytest.raises(DatasetError, match=told):
        Dataset.Tabular.from_delimited_files(str(tmp_path / "a.csv"))
