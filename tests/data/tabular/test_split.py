"""Cuts: whatever the sizes, the pieces' records are those of the whole file, each once."""

import bz2
import gzip
import io
import lzma
import os
import tempfile
import zipfile
from functools import partial
from unittest import mock

import fsspec
import pyarrow as pa
import pytest
from generated import examples
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import daskrun.data.tabular.formats.text.split as split_module
from daskrun.data import Dataset
from daskrun.data.remote_files import RemoteFolder
from daskrun.data.tabular.collect import loader_of, plan_of
from daskrun.data.tabular.formats.contract import Cut, Look, Piece
from daskrun.data.tabular.formats.node_cache import NodeCache
from daskrun.data.tabular.formats.text.lines import bring_bytes, pack_piece, unpack_piece
from daskrun.data.tabular.formats.text.scan import record_starts, unclosed_quote
from daskrun.data.tabular.formats.text.source import MemoryBytes, RemoteBytes, TextFile
from daskrun.data.tabular.formats.text.split import (
    ByteSplitter,
    bring_survey,
    fits_memory,
    survey_bytes,
    survey_file,
)
from daskrun.errors import TableError
from tests.data.tabular.test_scan import files, pandas_reads_it, raw, read


def splitter(
    size, *, exact=True, count_rows=False, header=False, block=1 << 20, plain=True, near=False
):
    return ByteSplitter(
        size,
        exact=exact,
        count_rows=count_rows,
        plain=lambda *_: plain,
        header=lambda name: header,
        near=near,
        block=block,
    )


def cuts_of(found, source, separator=b","):
    """Do the surveys that a splitter asks for."""
    if isinstance(found, list):
        return found
    cuts = []
    for number in range(found.surveys):
        cuts += found.feed(survey_bytes(source, found.request(number), separator))
    return cuts


def split(data, size, separator=b",", **options):
    found = splitter(size, **options).begin("a.csv", len(data))
    return cuts_of(found, MemoryBytes(data, "a.csv"), separator)


def pieces(data, cuts, exact=True, header=False, separator=b","):
    source = MemoryBytes(data, "a.csv")
    return [
        bring_bytes(source, Piece("a.csv", *cut[:2], cut.trouble), exact, header, separator)
        for cut in cuts
    ]


@given(
    st.sampled_from([b",", b";", b"\t"]).flatmap(lambda s: st.tuples(raw(s), st.just(s))),
    st.sampled_from([1, 2, 5, 13, 50, 400]),
    st.sampled_from([1, 7, 64, 1000]),
)
@settings(max_examples=examples(60), suppress_health_check=[HealthCheck.filter_too_much])
def test_the_pieces_hold_what_pandas_reads_from_the_whole(file, size, block):
    data, separator = file
    assume(pandas_reads_it(data, separator))
    cuts = split(data, size, separator, block=block)
    whole = read(data, separator)
    rows = [read(piece.data, separator) for piece in pieces(data, cuts, separator=separator)]
    assert [row for part in rows for row in part] == whole
    if len(data) > size:
        assert [cut.rows for cut in cuts] == [len(part) for part in rows]
        assert all(rows)
    assert [cut.start for cut in cuts] == [0, *[cut.stop for cut in cuts[:-1]]][: len(cuts)]
    assert not cuts or cuts[-1].stop == len(data)


@given(files(), st.sampled_from([1, 4, 9, 33]), st.sampled_from([1, 5, 64, 1000]), st.booleans())
@settings(max_examples=examples(100), suppress_health_check=[HealthCheck.filter_too_much])
def test_cuts_are_the_first_record_starts_behind_the_multiples(file, size, block, header):
    data, separator = file
    assume(unclosed_quote(data, separator) < 0 and len(data) > size)
    starts = record_starts(data, separator).tolist()
    places = {next((s for s in starts if s >= at), None) for at in range(size, len(data), size)}
    no_rows = starts[: 1 + header]  # a piece that ends there would have no row
    wanted = sorted(places - {None} - set(no_rows))
    cuts = split(data, size, separator, block=block, header=header)
    assert [cut.start for cut in cuts[1:]] == wanted
    assert sum(cut.rows for cut in cuts) == max(len(starts) - header, 0)
    again = split(data, size, separator, block=len(data), header=header)
    assert cuts == again
    assert cuts == split(data, size, separator, plain=False, header=header)
    with mock.patch.object(split_module, "_LEAST_STEP", 1):
        assert cuts == split(data, size, separator, block=block, header=header, near=True)


@pytest.mark.parametrize("size", [1 << 20, 127 << 20, 128 << 20, (128 << 20) + 1, 1000 << 20])
def test_surveys_of_a_near_file_grow_after_the_first_ones(size):
    def bounds(step, near):
        found = splitter(step, near=near, block=32 << 20, count_rows=True).begin("a.csv", size)
        return [found.request(number)[:2] for number in range(found.surveys)]

    starts = [*range(0, 128 << 20, 32 << 20), *range(128 << 20, size, 128 << 20)]
    starts = [start for start in starts if start < size]
    assert bounds(1 << 20, near=True) == list(zip(starts, [*starts[1:], size], strict=True))
    even = list(range(0, size, 32 << 20))
    even = list(zip(even, [*even[1:], size], strict=True))
    assert bounds(1 << 20, near=False) == bounds(1 << 10, near=True) == even


@pytest.mark.slow
@given(files(), st.sampled_from([1, 9, 33]), st.sampled_from([9, 64, 1000]), st.integers(1, 40))
@settings(max_examples=examples(80), suppress_health_check=[HealthCheck.filter_too_much])
def test_what_is_in_memory_at_a_time_and_where_a_survey_runs_are_the_same(file, size, block, read):
    data, separator = file
    assume(len(data) > size)
    wanted = split(data, size, separator, block=block)
    source = MemoryBytes(data, "a.csv")
    target = os.path.join(tempfile.gettempdir(), f"daskrun-test-{os.getpid()}")
    with mock.patch.object(split_module, "_READ", read):
        assert split(data, size, separator, block=block) == wanted
        found, cuts = splitter(size, block=block).begin("a.csv", len(data)), []
        for number in range(found.surveys):
            bring_survey(source, found.request(number), target, separator)
            cuts += found.feed(survey_file(target, found.request(number), separator))
            os.unlink(target)
    assert cuts == wanted


@given(files(), st.sampled_from([1, 4, 9, 1000]), st.sampled_from([1, 5, 64]))
@settings(max_examples=examples(80), suppress_health_check=[HealthCheck.filter_too_much])
def test_a_quote_without_an_end_is_trouble_for_its_record_only(file, size, block):
    data, separator = file
    at = unclosed_quote(data, separator)
    assume(at >= 0)
    *before, last = split(data, size, separator, block=block, count_rows=True)
    starts = record_starts(data, separator).tolist()
    assert not any(cut.trouble for cut in before)
    assert f"the quote at byte {at} " in last.trouble
    assert f"byte {starts[-1]} " in last.trouble
    assert last.stop == len(data)
    assert last.rows == -1  # how many its lines are, loading it counts
    assert last.start == (starts[-1] if len(starts) > 1 else 0)
    assert sum(cut.rows for cut in before) == len(starts) - 1


@given(raw(b",").map(lambda data: data.replace(b'"', b"")), st.sampled_from([1, 3, 10, 50]))
@settings(max_examples=examples(80), suppress_health_check=[HealthCheck.filter_too_much])
def test_nominal_pieces_are_the_lines_that_begin_in_them(data, size):
    assume(len(data) > size)
    cuts = split(data, size, exact=False)
    assert [cut[:3] for cut in cuts] == [
        (at, min(at + size, len(data)), -1) for at in range(0, len(data), size)
    ]
    for header in (False, True):
        parts = pieces(data, cuts, exact=False, header=header)
        found = [part.offset + at for part in parts for at in record_starts(part.data, b",")]
        assert found == record_starts(data, b",").tolist()[header:]


@pytest.mark.parametrize("header", [False, True])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_header_and_mark_are_in_no_piece(header, mark):
    data = mark + b'\n"a\nb",c\r\n' + b"".join(b'%d,"x\ny"\n' % n for n in range(20))
    for size in (1, 7, 60, 10_000):
        cuts = split(data, size, block=16, header=header)
        parts = pieces(data, cuts, header=header)
        rows = [row for part in parts for row in read(part.data, columns=2)]
        assert rows == read(data[len(mark) :], columns=2)[header:]
        assert {part.header for part in parts} == {b'"a\nb",c' if header else b""}
        assert parts == [unpack_piece(pack_piece(part)) for part in parts]


def test_a_header_with_line_breaks_is_refused_where_pieces_are_cut_by_lines():
    data = b'"a\nb",c\n' + b"1,2\n" * 20
    cuts = split(data, 10, exact=False)
    with pytest.raises(TableError, match="header has a line break inside quotes") as failed:
        pieces(data, cuts, exact=False, header=True)
    assert failed.value.ends_run
    (whole,) = pieces(data, split(data, 1000, exact=False), exact=False, header=True)
    assert (whole.header, whole.offset) == (b'"a\nb",c', 8)


def test_a_header_that_is_never_closed_is_named():
    with pytest.raises(
        TableError, match=r"a\.csv, line 1: the header opens a quote that is not closed"
    ):
        pieces(b'a,"b\n1,2\n', split(b'a,"b\n1,2\n', 100), header=True)


@pytest.mark.parametrize("header", [False, True])
def test_a_file_without_rows_has_no_piece(header):
    for data in (b"", b"\n\r\n\n", b"a,b\n" if header else b"\n", b"\xef\xbb\xbf"):
        assert split(data, 1, header=header, count_rows=True) == []
        assert split(data, 100, header=header, count_rows=True) == []


def test_rows_of_small_files_are_counted_when_asked_for():
    data = b'a,b\n1,"\n"\n2,3'
    assert split(data, 100) == [Cut(0, len(data), -1, len(data))]
    assert split(data, 100, count_rows=True, header=True) == [Cut(0, len(data), 2, len(data))]


def test_giving_up_leaves_one_piece_for_the_rest():
    data = b"1,2\n" * 10
    found = splitter(8, block=16).begin("a.csv", len(data))
    first = found.feed(survey_bytes(MemoryBytes(data, "a.csv"), found.request(0), b","))
    assert [cut[:2] for cut in first] == [(0, 8)]
    assert found.give_up("lost") == [Cut(8, len(data), -1, -1, "lost")]


PACK = {
    "gz": gzip.compress,
    "GZIP": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "csv": bytes,
}


def zstd(data):
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(data)
    return sink.getvalue().to_pybytes()


PACK["zst"] = zstd


@pytest.mark.parametrize("end", sorted(PACK))
@pytest.mark.parametrize("encoding", ["utf8", "utf16", "utf-32"])
@pytest.mark.parametrize("where", ["local", "memory"])
def test_what_is_not_plain_is_made_so_and_cut(tmp_path, end, encoding, where):
    text = "".join(f'{n},"é\n{n}"\r\n' for n in range(300))
    packed, name = PACK[end](text.encode(encoding)), f"a.{end}"
    (tmp_path / name).write_bytes(packed)
    fsspec.filesystem("memory").pipe_file(f"/split/{name}", packed)
    place = str(tmp_path / name) if where == "local" else RemoteFolder("memory://split", {})
    file, cache = TextFile(name, place, encoding), NodeCache(str(tmp_path / "cache"))
    for size in (200, len(packed)):
        found = ByteSplitter(
            size,
            exact=True,
            count_rows=False,
            plain=lambda *_: file.is_plain(),
        ).begin(name, len(packed))

        def opened(what):
            return file.open(cache, in_memory=partial(fits_memory, what))

        cuts = found
        if not isinstance(found, list):
            source, target = opened(Look(name, found.request(0))), str(tmp_path / f"brought-{size}")
            bring_survey(source, found.request(0), target, b",")
            cuts = cuts_of(found, source)
            if not file.is_plain():  # one survey; brought, it finds the same
                other = ByteSplitter(size, exact=True, count_rows=False, plain=lambda *_: False)
                other = other.begin(name, len(packed))
                assert other.feed(survey_file(target, other.request(0), b",")) == cuts
        else:
            end_of_it = len(packed) if file.is_plain() else None
            assert cuts == [Cut(0, end_of_it, -1, size)]
        parts = [bring_bytes(opened(p := Piece(name, *c[:2])), p, True, False, b",") for c in cuts]
        assert b"".join(part.data for part in parts).decode() == text
        assert len(cuts) > 10 or size > 200


@pytest.mark.parametrize("end", ["gz", "bz2", "xz", "zst"])
@pytest.mark.parametrize("in_memory", [False, True])
def test_a_truncated_file_is_named(tmp_path, end, in_memory):
    path, cache = tmp_path / "a.csv", NodeCache(str(tmp_path / "cache"))
    path.write_bytes(PACK[end](b"".join(b"%d,x\n" % n for n in range(1000)))[:-9])
    with pytest.raises(TableError, match=r"a\.csv can't be decompressed as .*first bytes say"):
        TextFile(path.name, str(path), "utf8").open(cache, in_memory=lambda _: in_memory)
    assert not list((tmp_path / "cache").glob("*.part")) or in_memory


def zipped(data, names=("in/a.csv",)):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.writestr(name, data)
    return buffer.getvalue()


ALL = {**PACK, "zip": zipped}


@pytest.mark.slow
@pytest.mark.parametrize("kind", sorted({*ALL} - {"GZIP"}))
@pytest.mark.parametrize("name", ["a.csv", "a.gz", "zst"])
@pytest.mark.parametrize("where", ["local", "memory"])
@pytest.mark.parametrize("size", [300, 3000, 1 << 20])
def test_first_bytes_tell_how_a_file_is_compressed(tmp_path, kind, name, where, size):
    for lines, end in ((None, "\n"), (False, " ")):
        text = "n,t\n" + "".join(f'{n},"é{end}{n}"\n' for n in range(900))
        packed = ALL[kind](text.encode())
        path = str(tmp_path / name)
        if where == "memory":
            path = f"memory://{kind}-{size}/{name}"
        with fsspec.open(path, "wb") as file:
            file.write(packed)
        dataset = Dataset.Tabular.from_delimited_files(path, support_multi_line=lines)
        plan = plan_of(dataset, size)
        with loader_of(plan) as loader:
            frames = [loader.frame(plan[n].load.plain()) for n in range(plan.known)]
        assert [n for frame in frames for n in frame["n"]] == list(range(900))
        looked = size if where == "memory" and name != "a.gz" else size // 20
        assert (len(frames) > 1) == (len(packed) > looked and len(text) > size)
        assert frames[0]["t"][0] == f"é{end}0"


def test_an_archive_of_several_files_is_refused(tmp_path):
    (tmp_path / "a.csv").write_bytes(zipped("a\n1\n", ["1.csv", "2.csv"]))
    with pytest.raises(TableError, match=r"a\.csv is a zip archive of 2 files.*unpack it"):
        Dataset.Tabular.from_delimited_files(str(tmp_path / "a.csv"))


def test_bytes_that_are_no_utf16_are_named(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes("a,b\n1,2\n".encode("utf-16")[:-1])
    with pytest.raises(TableError, match="the file is not utf16: truncated data"):
        TextFile("a.csv", str(path), "utf16").open(NodeCache(str(tmp_path)), in_memory=bool)


def test_a_remote_file_is_read_by_ranges(monkeypatch):
    data = b"".join(b'%d,"a\nb"\n' % n for n in range(20_000))
    system = fsspec.filesystem("memory")
    system.pipe_file("/ranges/a.csv", data)
    asked = []
    plain = type(system).cat_file

    def cat_file(self, path, start=None, end=None, **more):
        asked.append((start, end))
        return plain(self, path, start=start, end=end, **more)

    monkeypatch.setattr(type(system), "cat_file", cat_file)
    source = RemoteBytes(RemoteFolder("memory://ranges", {}), "a.csv")
    found = splitter(30_000, block=50_000).begin("a.csv", len(data))
    cuts = cuts_of(found, source)
    assert len(asked) == found.surveys  # one request each, though blocks end inside lines
    parts = [bring_bytes(source, Piece("a.csv", *cut[:2]), True, False, b",") for cut in cuts]
    assert b"".join(part.data for part in parts) == data
    assert all(start is not None and end - start < 60_000 for start, end in asked)
