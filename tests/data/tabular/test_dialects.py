"""Records written in other ways than the usual: comments, backslashes, blanks, decimal commas."""

import csv
import io
import warnings

import pandas as pd
import pytest
from agreeing import parts_of
from generated import examples
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from reading import scan_block

from daskrun.data import Dataset
from daskrun.data.dataset_codec import from_plain, to_plain
from daskrun.data.tabular.collect import loader_of, plan_of
from daskrun.data.tabular.formats.contract import Piece
from daskrun.data.tabular.formats.text.dialect import rewritten
from daskrun.data.tabular.formats.text.grammar import Grammar
from daskrun.data.tabular.formats.text.lines import bring_bytes
from daskrun.data.tabular.formats.text.scan import (
    quoted_line_break,
    record_starts,
    unclosed_quote,
)
from daskrun.data.tabular.formats.text.source import MemoryBytes
from daskrun.data.tabular.formats.text.split import ByteSplitter, survey_bytes
from daskrun.errors import DatasetError, TableError

Tabular = Dataset.Tabular
PARTS = [b'"', b'""', b'"', b",", b'",', b',"', b', "', b"\n", b"\r", b"\r\n", b'\n"', b"\n#", b"#"]
PARTS += [
    b"a",
    b"1",
    b" ",
    b"  ",
    b"\\",
    b'\\"',
    b"\\\\",
    b"\\\n",
    b"\n  \n",
    b"\n \x1a",
    "é".encode(),
]
RAW = st.lists(st.sampled_from(PARTS), max_size=60).map(b"".join)
GRAMMARS = st.builds(
    Grammar,
    st.just(b","),
    escape=st.booleans(),
    space=st.booleans(),
    comment=st.sampled_from([b"", b"#"]),
    blanks=st.booleans(),
)


def walk(data, grammar, inside=False):  # noqa: C901
    """One byte at a time: where records begin, and the state at the end."""
    starts, at, state = [], 0, "in" if inside else "line"
    while at < len(data):
        byte = data[at : at + 1]
        if state == "line":
            end = at
            while end < len(data) and data[end : end + 1] not in (b"\r", b"\n"):
                # An escaped line break ends no line, not even one that is passed over.
                end += 2 if grammar.escape and data[end : end + 1] == b"\\" else 1
            line = data[at:end]
            if grammar.comment and line.startswith(b"#"):
                at = end
                continue
            if grammar.blanks and line and not line.strip(b" \t\x1a"):
                at = end
                continue
            if byte in (b"\r", b"\n"):
                at += 1
                continue
            starts.append(at)
            state = "field"
        elif state == "field" and byte == b" " and grammar.space:
            at += 1
        elif state == "field" and byte == b'"':
            state, at = "in", at + 1
        elif grammar.escape and byte == b"\\" and at + 1 < len(data):
            state, at = "in" if state == "in" else "text", at + 2
        elif state == "in":
            state, at = "quote" if byte == b'"' else "in", at + 1
        elif state == "quote" and byte == b'"':
            state, at = "in", at + 1
        elif byte in (b"\r", b"\n"):
            state, at = "line", at + 1
        else:
            state, at = "field" if byte == b"," else "text", at + 1
    return starts, state == "in"


@given(RAW, GRAMMARS)
@settings(max_examples=examples(300))
def test_the_scan_sees_the_records_that_a_walk_sees(data, grammar):
    for inside in (False, True):
        starts, open_ = walk(data, grammar, inside)
        assert record_starts(data, grammar, inside).tolist() == starts
        trace = scan_block(data, grammar, 7, 0)[inside]
        assert (trace.rows, trace.inside) == (len(starts), open_)
        if not inside:
            assert (unclosed_quote(data, grammar) >= 0) == open_
    assert quoted_line_break(data, grammar) < len(data)


def rows(data, grammar):
    """Read records by Python's own reader, once what is no record is out of them."""
    text = rewritten(data, grammar).decode()
    return [row for row in csv.reader(io.StringIO(text, newline="")) if row]


@given(RAW, GRAMMARS, st.sampled_from([1, 5, 13, 50]), st.sampled_from([1, 7, 40, 1000]))
@settings(max_examples=examples(200), suppress_health_check=[HealthCheck.filter_too_much])
def test_any_cuts_give_the_records_of_one_pass(data, grammar, size, block):
    assume(unclosed_quote(data, grammar) < 0 and len(data) > size)
    source = MemoryBytes(data, "a.csv")
    split = ByteSplitter(size, exact=True, count_rows=True, plain=lambda *_: True, block=block)
    found, cuts = split.begin("a.csv", len(data)), []
    for number in range(found.surveys):
        cuts += found.feed(survey_bytes(source, found.request(number), grammar))
    pieces = [
        bring_bytes(source, Piece("a.csv", cut.start, cut.stop), True, False, grammar).data
        for cut in cuts
    ]
    whole = bring_bytes(source, (0, None), True, False, grammar)
    try:
        expected = rows(whole.data, grammar)
    except TableError:  # a backslash right behind a closing quote
        return
    assert [row for piece in pieces for row in rows(piece, grammar)] == expected
    starts = record_starts(whole.data, grammar).tolist()
    assert sum(cut.rows for cut in cuts) == len(starts)
    wanted = {next((s for s in starts if s >= at), None) for at in range(size, len(data), size)}
    assert [cut.start for cut in cuts[1:]] == sorted(wanted - {None, *starts[:1]})


def test_a_backslash_behind_a_closing_quote_is_told_though_the_records_are_as_many():
    with pytest.raises(TableError, match="a backslash stands right behind a quote"):
        rewritten(b'""\\\n"\n""', Grammar(b",", escape=True))


@pytest.mark.parametrize("text", ["\r", "\n", "a\rb", "a\r\nb"])
def test_line_breaks_inside_fields_stay_there(text):
    data = f' "{text}",1\n"x",2\n'.encode()
    assert rows(data, Grammar(b",", space=True)) == [[text, "1"], ["x", "2"]]


DIALECTS = {
    "backslash": (
        'n,t\n1,"He said \\"hi\\" to me"\n2,"a\\\\"\n3,"b\\, c\nd"\n4,e\\,f\n',
        {"quoting": "backslash"},
        {"n": [1, 2, 3, 4], "t": ['He said "hi" to me', "a\\", "b, c\nd", "e,f"]},
    ),
    "initial space": (
        'n, t\n1, "a, b"\n2,  "c ""d"""\n 3, e\n',
        {"skip_initial_space": True},
        {"n": [1, 2, 3], "t": ["a, b", 'c "d"', "e"]},
    ),
    "comments": (
        '# made by x, "y\nn,t\n#1,"a\n1,"b\n#c"\n2,d\n# end',
        {"comment": "#"},
        {"n": [1, 2], "t": ["b\n#c", "d"]},
    ),
    "lines to skip": (
        'Report, "of\r\n\r\nn,t\r\n1,a\r\n2,b\r\n',
        {"skip_rows": 2},
        {"n": [1, 2], "t": ["a", "b"]},
    ),
    "lines to skip, no header": (
        'Report, "of\n1,a\n2,b\n',
        {"skip_rows": 1, "header": False},
        {"Column1": [1, 2], "Column2": ["a", "b"]},
    ),
    "decimal comma": (
        "n;x;t\n1.234;1.234,5;a\n12;-2,5;1.5\n7;;b\n",
        {"separator": ";", "decimal": ",", "thousands": "."},
        {"n": [1234, 12, 7], "x": [1234.5, -2.5, None], "t": ["a", "1.5", "b"]},
    ),
    "words for missing": (
        "n,t\n1,-\n-,a\n3,none\n",
        {"null_values": ["-", "none"]},
        {"n": [1, None, 3], "t": [None, "a", None]},
    ),
    "one separator more": ("n,t\n1,a,\n2,b,\n", {}, {"n": [1, 2], "t": ["a", "b"]}),
    "lines of blanks": (
        'n,t\n1,a\n  \n2,"b\n \nc"\n\t\n3,d\n \t\n\x1a',
        {},
        {"n": [1, 2, 3], "t": ["a", "b\n \nc", "d"]},
    ),
    "an end behind the last": ("n,t\n1,a\n2,b\x1a", {}, {"n": [1, 2], "t": ["a", "b"]}),
    "one column with blanks": ("t\na \n   \n b\n", {}, {"t": ["a ", " b"]}),
    "a tab between": ("n\tt\n1\t\n\t\n2\tb\n", {"separator": "\t"},
                      {"n": [1, None, 2], "t": [None, None, "b"]}),
    "latin1": (
        'n;t\n#é\n1; "é; b"\n',
        {"separator": ";", "comment": "#", "skip_initial_space": True, "encoding": "latin1"},
        {"n": [1], "t": ["é; b"]},
    ),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:each row ends with one separator more")
@pytest.mark.parametrize("name", DIALECTS)
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_dialects(tmp_path, name, mark):
    text, options, expected = DIALECTS[name]
    codec = options.get("encoding", "utf-8")
    (tmp_path / "a.csv").write_bytes(mark + text.encode(codec))
    dataset = Tabular.from_delimited_files(str(tmp_path / "a.csv"), **options)
    whole = dataset.to_pandas_dataframe()
    assert whole.astype(object).where(whole.notna(), None).to_dict("list") == expected
    for size in (1, 7, 20):
        frames, none = parts_of(dataset, size)
        assert {str(f.dtypes.to_dict()) for f in (*frames, none)} == {str(whole.dtypes.to_dict())}
        pd.testing.assert_frame_equal(pd.concat(frames, ignore_index=True), whole)
        plan = plan_of(dataset.skip(1).take(1), size)
        with loader_of(plan) as loader:
            taken = [loader.frame(plan[n].load.plain()) for n in range(plan.known)]
        assert sum(map(len, taken)) == min(1, len(whole) - 1)
    again = from_plain(to_plain(dataset), None)
    assert repr(again) == repr(dataset)
    assert again.fingerprint() == dataset.fingerprint()


def test_what_a_dialect_does_not_fit_is_told(tmp_path):
    def told(text, **options):
        (tmp_path / "a.csv").write_text(text)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            Tabular.from_delimited_files(str(tmp_path), **options).to_pandas_dataframe()
        return [str(each.message) for each in caught]

    (text,) = told('n,t\n1,"He said \\"hi\\" to me"\n')
    assert "text stands behind a quote that closes its field" in text
    assert "quoting='backslash'" in text
    (text,) = told("n,t\n" + '1,"x"\n' * 4000 + '1,"x"y\n')
    assert "text stands behind a quote that closes its field, as in '\"x\"y'" in text
    (text,) = told('n,t\n1, "a"\n')
    assert "a quote behind a blank" in text
    assert "skip_initial_space=True" in text
    (text,) = told("n,t\n1,a,\n")
    assert "one separator more than the header" in text
    assert told('n,t\n1,"a ""b"""\n2,5" x\n') == []
    with pytest.raises(DatasetError, match=r"a record with 3.*Also, .*quoting='backslash'"):
        told('n,t\n1,"He said \\"hi, you\\" to me"\n')


@pytest.mark.parametrize("size", [4, 1 << 20])
def test_an_escaped_line_break_where_lines_are_records_ends_the_run(tmp_path, size):
    (tmp_path / "a.csv").write_bytes(b"a,b\n1,x\\\\\n2,y\\\nz\n3,c\n")
    dataset = Tabular.from_delimited_files(
        str(tmp_path), quoting="backslash", support_multi_line=False
    )
    with pytest.raises(TableError, match="line 3: a field has a line break") as error:
        parts_of(dataset, size)
    assert error.value.ends_run


@pytest.mark.filterwarnings("ignore:each row ends with one separator more")
def test_rows_that_are_written_otherwise_later_are_named(tmp_path):
    path, many = tmp_path / "a.csv", "1,5;a;\n" * 200_000
    options = {"separator": ";", "decimal": ","}
    for late, said in (
        ("1.5;a;\n", r"line 200002, column 'x' .*: '1\.5' is no number with decimal=','"),
        ("1;a;b\n", r"line 200002: 'b' is behind the last column's separator"),
    ):
        path.write_text(f"x;t\n{many}{late}{many}")
        dataset = Tabular.from_delimited_files(str(path), **options)
        with pytest.raises(TableError, match=said):
            dataset.to_pandas_dataframe()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"quoting": "none"}, "quoting='none' is not known"),
        ({"quoting": "backslash", "separator": "\\"}, "can't be beside"),
        ({"skip_initial_space": True, "separator": " "}, "can't be beside"),
        ({"skip_initial_space": "yes"}, "write True or False"),
        ({"comment": ""}, "comment='' can't be"),
        ({"comment": ",x"}, "can't be what lines"),
        ({"skip_rows": -1}, "skip_rows=-1 is no number of lines"),
        ({"skip_rows": True}, "skip_rows=True is no number"),
        ({"decimal": ".."}, "decimal='..' is no character"),
        ({"thousands": "1"}, "thousands='1' is no character"),
        ({"decimal": ",", "thousands": ","}, "are the same character"),
        ({"null_values": "NA"}, "null_values='NA' is no list"),
        ({"null_values": [1]}, "is no list of texts"),
    ],
)
def test_options_that_can_not_be(options, said):
    with pytest.raises(DatasetError, match=said):
        Tabular.from_delimited_files("x.csv", validate=False, **options)


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"a;b\n1;2,5 m\n2;3,5 m\n", {"separator": "';'", "header": "True", "encoding": "'utf8'"}),
        (b"1\tx\n2\ty\n", {"separator": "'\\t'", "header": "False"}),
        ("n|t\n1|é\n".encode("latin1"), {"separator": "'|'", "encoding": "'latin1'"}),
        ("n,t\n1,€\n".encode("cp1252"), {"encoding": "'windows1252'"}),
        ("n,t\n1,é\n".encode("utf-16"), {"encoding": "'utf16'", "separator": "','"}),
        ("n,t\n1,e\n".encode("utf-16-le"), {"encoding": "'utf16'"}),
        (b'n,t\n1,"a \\"b\\", c"\n', {"quoting": "'backslash'", "separator": "','"}),
        (b"name,town\nann,oslo\nbob,rome\n", {"header": "True"}),
        (b"ann,oslo\nbob,oslo\nann,rome\n", {"header": "False"}),
    ],
)
def test_sniffing_says_what_it_chose(tmp_path, data, found):
    (tmp_path / "a.csv").write_bytes(data)
    with pytest.warns(UserWarning, match="sniff=True: a.csv is read with") as told:
        dataset = Tabular.from_delimited_files(str(tmp_path), sniff=True)
    for name, value in found.items():
        assert f"{name}={value}" in str(told[0].message)
    assert len(dataset.to_pandas_dataframe()) in (1, 2, 3)
    with pytest.warns(UserWarning, match=r"read with quoting=[^,]*(, header=\w*)?\.$"):
        Tabular.from_delimited_files(str(tmp_path), sniff=True, separator=" ", encoding="ascii",
                                     validate=False)  # fmt: skip


def test_quotes_beyond_the_first_rows_are_told_at_submit(tmp_path):
    (tmp_path / "a.csv").write_text("n,t\n" + '1,"x"\n' * 100_000 + '1,"x"y\n' * 30_000)
    dataset = Tabular.from_delimited_files(str(tmp_path))
    source = dataset.source
    listing = source.listing()
    (text,) = source.risks(listing, source.describe(listing), ["n", "t"])
    assert text.startswith("text stands behind a quote that closes its field")
