import bz2
import json
import uuid

import fsspec
import pandas as pd
import pytest
from agreeing import TEXT
from generated import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from reading import Opened, read_all

from daskrun.data.tabular.formats.contract import Piece
from daskrun.data.tabular.formats.json_lines import format as json_lines_format
from daskrun.data.tabular.formats.json_lines.format import JsonLinesSource
from daskrun.data.tabular.formats.text import text_reader
from daskrun.data.tabular.values.frame import to_frame
from daskrun.data.tabular.values.types import DataType
from daskrun.errors import DatasetError, TableError

ROW = '{"n":1,"s":{"x":1},"t":"x","d":"2024-05-31"}\n'
ROWS = 30_000


@pytest.fixture
def made(tmp_path):
    def make(files, **options):
        paths = []
        for name, data in (files if isinstance(files, dict) else {"a.jsonl": files}).items():
            path = tmp_path / "data" / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(data.encode() if isinstance(data, str) else data)
            paths.append(str(path))
        return JsonLinesSource(tuple(paths), str(tmp_path), **options)

    return make


def middle_of(made, tmp_path, middle, **options):
    """Read only the middle of a file, which no sample sees."""
    opened = Opened(made(ROW * ROWS + middle + ROW * ROWS, **options), tmp_path)
    at = len(ROW) * ROWS
    piece = Piece("a.jsonl", at, at + len(middle.encode()))
    wanted = [name for name, _ in opened.spec.columns]
    rows = opened.reader.read(piece, opened.file(piece), wanted, True)
    assert len(rows.ids) == rows.table.num_rows
    return to_frame(rows.table), opened.reader.warnings, (rows.ids - at).tolist()


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 20, 1 << 20])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_line_once(made, tmp_path, size, end):
    objects = [{"a": n, "b": f"é{n}", "c": {"d": [n]}} for n in range(20)]
    lines = [json.dumps(one, ensure_ascii=False) for one in objects]
    lines[5] += end + " \t"  # blank lines are none
    text = "\ufeff" + end.join(lines)
    read = read_all(made(text + end + end), tmp_path, size)
    assert json.loads(read.rows.to_json(orient="records")) == objects
    assert read.ids == sorted(set(read.ids))
    assert read.rows.dtypes.astype(str).tolist() == ["int64", TEXT, "object"]


@pytest.mark.parametrize("encoding", ["utf8", "utf8bom", "latin1", "windows1252", "utf16", "utf32"])
@pytest.mark.parametrize("size", [5, 1 << 20])
def test_encodings(made, tmp_path, encoding, size):
    codec = {"utf8bom": "utf-8-sig", "windows1252": "cp1252"}.get(encoding, encoding)
    data = '{"a":"é"}\n{"a":"b"}\n'.encode(codec)
    assert read_all(made(data, encoding=encoding), tmp_path, size).rows["a"].tolist() == ["é", "b"]


def test_compressed_and_remote(made, tmp_path):
    lines = [f'{{"a":{n},"b":"\\"{n}"}}\n' for n in range(100)]
    source = made({"a.jsonl.bz2": bz2.compress("".join(lines).encode())})
    for size in (50, 1 << 20):
        assert read_all(source, tmp_path, size).rows["a"].tolist() == list(range(100))
    url = f"memory://{uuid.uuid4().hex}/a.jsonl"
    with fsspec.open(f"{url}.bz2", "wb", compression=None) as file:
        file.write(bz2.compress("".join(lines).encode()))
    for size in (50, 1 << 20):
        read = read_all(JsonLinesSource((f"{url}.bz2",), ""), tmp_path, size)
        assert read.rows["a"].tolist() == list(range(100))
    with fsspec.open(url, "wb") as file:
        file.write("".join(lines).encode() + b"{\n")
    read = read_all(JsonLinesSource((url,), ""), tmp_path, 1000)
    assert len(read.errors) == 1
    assert f"a.jsonl, byte {sum(map(len, lines))}: the line is no JSON object" in str(
        read.errors[0]
    )


def test_keys_that_lines_lack_are_missing(made, tmp_path):
    rows = read_all(made('{"a":1,"b":"x"}\n{"b":null,"c":true}\n{}\n'), tmp_path).rows
    assert rows.dtypes.astype(str).tolist() == ["float64", TEXT, "boolean"]
    assert rows.isna().sum().tolist() == [2, 2, 2]


def test_an_empty_text_is_a_value(made, tmp_path):
    assert read_all(made('{"a":""}\n{"a":"NA"}\n'), tmp_path).rows["a"].tolist() == ["", "NA"]


def test_only_the_columns_asked_for_are_read(made, tmp_path):
    read = read_all(made('{"a":1,"b":"x"}\n{"a":2}\n'), tmp_path, columns=["b"])
    assert list(read.rows) == ["b"]


def test_lines_that_are_no_objects_are_an_error_or_dropped(made, tmp_path):
    middle = '{"n":5}\nx\n[1]\n{"n":6\n{"n":7}\n'
    with pytest.raises(TableError, match=r"line 30002: the line is no JSON object.*'x'.*drop"):
        middle_of(made, tmp_path, middle)
    frame, warnings, ids = middle_of(made, tmp_path, middle, invalid_lines="drop")
    assert frame["n"].tolist() == [5, 7]
    assert ids == [0, middle.index('{"n":7')]
    assert any("3 lines that are no JSON objects" in w and "line 30002" in w for w in warnings)


@pytest.mark.parametrize(
    "bad", ["x", '  {"n": 1', "[{}]", "null", '{"n":1,"n":2}', '{"n":1} {}', "{x}"]
)
def test_dropped_lines_are_counted_and_looked_for_once(made, tmp_path, monkeypatch, bad):
    good = ['{"n":1}', ' {"n":2} ', "\ufeff" + '{"n":3}', '{"n":4}\r', "", "  "]
    looked = []
    monkeypatch.setattr(text_reader, "line_number", lambda *_: looked.append(1) or 7)
    data = "\n".join([*good, *[bad] * 50, '{"n":5}'])
    read = read_all(made(data, invalid_lines="drop"), tmp_path)
    assert read.rows["n"].tolist() == [1, 2, 3, 4, 5]
    assert len(read.ids) == 5
    assert "50 lines that are no JSON objects were left out, the first at" in read.warnings[0]
    assert len(looked) == 1, "to find a line's number costs reading all before it"


@pytest.mark.parametrize(
    "middle", ['{"n":1}{"n":2}\n', '{"n":\n1}\n', '{"n":1}\n{"n":1} {"n":2}\n']
)
def test_one_object_a_line_and_no_other_way(made, tmp_path, middle):
    with pytest.raises(TableError, match="no JSON object"):
        middle_of(made, tmp_path, middle)


def test_keys_that_the_sample_had_not_are_named_once(made, tmp_path):
    frame, warnings, _ = middle_of(
        made, tmp_path, '{"n":5,"k":1,"s":{"x":2,"y":3}}\n{"z":1,"n":1}\n'
    )
    assert list(frame) == ["n", "s", "t", "d"]
    assert frame["s"][0] == {"x": 2}
    (warning,) = warnings[:1]
    assert "'k', 's.y', 'z'" in warning
    frame, warnings, _ = middle_of(
        made, tmp_path, '{"n":5,"k":1.50}\n', set_column_types={"k": DataType.to_string()}
    )
    assert frame["k"].tolist() == ["1.50"]


@pytest.mark.parametrize(
    ("middle", "dtype", "warned"),
    [
        ('{"n":2}\n{"n":null}\n', "float64", "'n' has missing values"),
        ('{"n":2}\n{}\n', "float64", "'n' has missing values"),
        ('{"n":2}\n{"n":2.5}\n', "float64", "'n' has decimal values"),
    ],
)
def test_what_changes_a_dtype_is_told(made, tmp_path, middle, dtype, warned):
    frame, warnings, _ = middle_of(made, tmp_path, middle)
    assert str(frame["n"].dtype) == dtype
    assert warned in " ".join(warnings)
    with pytest.raises(TableError, match=r"line 30002, column 'n'.*strict_types=True"):
        middle_of(made, tmp_path, middle, strict_types=True)


@pytest.mark.parametrize(
    ("middle", "told"),
    [
        ('{"n":2}\n{"n":"x"}\n', "line 30002, column 'n' .*'x' is text, and is no whole"),
        ('{"n":2}\n{"n":"3"}\n', "'3' is text, .*or read what is written: DataType.to_long"),
        ('{"n":true}\n', "column 'n' .*'true' is no whole number"),
        ('{"n":123456789012345678901}\n', "column 'n' .*int64 can't hold"),
        ('{"d":"soon"}\n', "column 'd' .*'soon' is no date"),
        ('{"s":{"x":1.5}}\n', "column 's' .*, at s.x: 1.5 is no whole number"),
        ('{"s":[1]}\n', "column 's' .*: \\[1\\] is no struct<x: int64>"),
        ('{"n":1,"n":2}\n', "the key 'n' comes twice"),
        ('{"t":"\\ud800"}\n', "column 't' .*surrogate"),
    ],
)
def test_what_does_not_fit_is_named_with_its_line(made, tmp_path, middle, told):
    with pytest.raises(TableError, match=told) as caught:
        middle_of(made, tmp_path, middle)
    assert caught.value.items == middle.count("\n")


def test_bytes_of_no_character_are_named(made, tmp_path):
    read = read_all(made('{"a":"é"}\n'.encode("latin1")), tmp_path)
    assert "line 1: the bytes are not utf8. Write the encoding" in str(read.errors[0])


def test_types_asked_for(made, tmp_path):
    types = {"a": DataType.to_string(), "b": DataType.to_long()}
    read = read_all(
        made('{"a":{"x":1},"b":"7"}\n{"a":2,"b":8}\n', set_column_types=types), tmp_path
    )
    assert read.rows.to_dict("list") == {"a": ['{"x": 1}', "2"], "b": [7, 8]}
    read = read_all(made('{"a":1}\n', set_column_types={"aa": DataType.to_string()}), tmp_path)
    assert "the key 'aa' is in no line of the sample. There is 'a'" in read.reader.warnings[0]


def test_validation_and_arguments(made, tmp_path):
    made('{"a":1}\n').check()
    with pytest.raises(DatasetError, match=r"line 2 of those that aren't blank is no JSON object"):
        made('{"a":1}\n\n[2]\n').check()
    made("[2]\n", invalid_lines="drop").check()
    with pytest.raises(DatasetError, match="no JSON object was found"):
        read_all(made("[2]\n"), tmp_path)
    with pytest.raises(DatasetError, match="invalid_lines='keep' is not known"):
        made("", invalid_lines="keep")
    with pytest.raises(DatasetError, match="encoding='x' is not known"):
        made("", encoding="x")
    assert repr(JsonLinesSource(("x.jsonl",), "", invalid_lines="drop")) == (
        "Dataset.Tabular.from_json_lines_files('x.jsonl', invalid_lines='drop')"
    )


value = (
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.floats(-2, 2)
    | st.text('a"\\\né\u2028', max_size=3)
)


@settings(max_examples=examples(60))
@given(
    st.lists(st.dictionaries(st.sampled_from("ab"), value), min_size=1, max_size=8),
    st.integers(1, 60),
)
def test_values_are_those_of_json(tmp_path_factory, objects, size):
    if not any(objects):
        return
    folder = tmp_path_factory.mktemp("rows")
    (folder / "a.jsonl").write_text(
        "".join(json.dumps(o, ensure_ascii=False) + "\n" for o in objects)
    )
    rows = read_all(JsonLinesSource((str(folder / "a.jsonl"),), ""), folder, size).rows
    assert len(rows) == len(objects)
    for name in rows:
        for found, line in zip(rows[name], objects, strict=True):
            wanted = line.get(name)
            if wanted is None:
                assert pd.isna(found)
            elif isinstance(found, str) and not isinstance(wanted, str):
                assert json.loads(found) == wanted
            else:
                assert found == wanted


@pytest.mark.parametrize("choice", ["null", "text"])
def test_values_that_do_not_fit_a_guessed_type_become_what_was_chosen(
    made, tmp_path, choice, monkeypatch
):
    monkeypatch.setattr(json_lines_format.sample, "WIDE", 8)  # the middle is in no place
    middle = '{"n":5,"s":{"x":2},"t":"y","d":"2024-05-30"}\n{"n":"five","s":[1],"d":"soon"}\n'
    frame, warnings, _ = middle_of(made, tmp_path, middle, on_type_conflict=choice)
    if choice == "null":
        assert frame["n"].fillna(-1).tolist() == [5, -1]
        assert frame["s"].tolist() == [{"x": 2}, None]
        assert frame["d"].isna().tolist() == [False, True]
    else:
        assert frame["n"].tolist() == ["5", "five"]
        assert frame["s"].tolist() == ['{"x": 2}', "[1]"]
        assert frame["d"].tolist() == ["2024-05-30", "soon"]
    told = [w for w in warnings if f"on_type_conflict='{choice}' says" in w]
    assert len(told) == 3
    assert all(w.endswith(f"a.jsonl, line {ROWS + 2}.") for w in told)


@pytest.mark.parametrize("size", [1, 9, 1 << 20])
def test_a_last_mark_and_blank_lines_are_no_lines(made, tmp_path, size):
    source = made('{"n":1}\n{"n":2}\n  \n\x1a')
    source.check()
    assert read_all(source, tmp_path, size).rows["n"].tolist() == [1, 2]
