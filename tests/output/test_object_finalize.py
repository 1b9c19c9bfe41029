import io
import os
import threading
import traceback
import zlib

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from generated import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from daskrun import EncodedRows, Sink
from daskrun.errors import StorageError, WrongResultError
from daskrun.output.assembly import assembler as entries
from daskrun.output.assembly.assembler import Slice
from daskrun.output.assembly.object_assembler import ObjectAssembler
from daskrun.output.assembly.pieces import PieceCutter, Stretch, joined_crc
from daskrun.output.assembly.sink_assembler import SinkObjectAssembler
from daskrun.output.destination import destination_of
from daskrun.output.parts.part import ObjectPart
from daskrun.output.sinks.registry import open_sink
from daskrun.output.sinks.sink import LostRowsError
from daskrun.storage.s3 import MOST_PIECES, SMALLEST_PIECE, Multipart, piece_size
from daskrun.storage.stores import open_url_folder

PARTS = "_daskrun/run1"
MEGA = 2**20


@st.composite
def committed(draw):
    """Entries in order, each with a header or not, in parts that hold them in any order."""
    batch = st.tuples(
        st.sampled_from([0, 1]),  # part
        st.sampled_from([1, 20, 60, 150, 400, 1000]),  # bytes of rows
        st.booleans(),  # whether with a header
        st.integers(0, 2),  # bytes before it that no record names
    )
    return draw(st.lists(st.none() | batch, max_size=30))


@settings(max_examples=examples(100))
@given(batches=committed(), copies=st.booleans(), smallest=st.sampled_from([1, 100, 300]))
def test_pieces_hold_every_row_once_and_keep_the_stores_rules(batches, copies, smallest):
    ends, parts, rows = [0, 0], [b"", b""], []
    packed = []
    for index, batch in enumerate(batches):
        if batch is None:
            packed.append(entries.Entry(True, entries.SKIPPED))
            continue
        part, size, headed, junk = batch
        header = b"hd\n" if headed else b""
        body = bytes([index + 65]) * size
        parts[part] += b"?" * junk + header + body
        start = ends[part] + junk
        ends[part] = start + len(header) + size
        crc = zlib.crc32(header + body)
        packed.append(entries.Entry(True, part, start, ends[part] - start, len(header), crc))
        rows.append((header, body))
    seen = []

    def header(index, entry):
        seen.append(index)
        return parts[entry[1]][entry[2] : entry[2] + entry[4]], len(seen) == 1

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("daskrun.output.assembly.pieces.SMALL", 50)
        patch.setattr("daskrun.output.assembly.pieces.READ_LIMIT", 350)
        patch.setattr("daskrun.output.assembly.pieces.COPY_LIMIT", 700)
        cutter = PieceCutter(smallest, lambda n: 320, lambda part: copies, header)
        pieces = [p for i, entry in enumerate(packed) for p in cutter.add(i, entry)]
        pieces += cutter.finish()
    assert [p.number for p in pieces] == list(range(len(pieces)))
    made = []
    for piece in pieces:
        data = b""
        for segment in piece.segments:
            if isinstance(segment, bytes):
                data += segment
            elif isinstance(segment, Slice):
                assert copies
                data += parts[segment.part][segment.start : segment.stop]
            elif isinstance(segment, Stretch):
                part, start, stop = segment.slice
                assert segment.check.add(start, parts[part][start:stop]) == segment.check.entry.crc
                data += parts[part][start:stop]
            else:
                _, part, offset, length, head, crc = segment.entry
                text = parts[part][offset : offset + length]
                assert zlib.crc32(text) == crc
                data += text if segment.keep else text[head:]
        assert len(data) == piece.size
        if piece.copied:
            assert copies
            assert len(piece.segments) == 1
            assert isinstance(piece.segments[0], Slice)
            assert piece.size <= 700
        made.append(data)
    assert all(len(data) >= smallest for data in made[:-1])
    first = next((n for n, (head, _) in enumerate(rows) if head), None)
    expected = b"".join((head if n == first else b"") + body for n, (head, body) in enumerate(rows))
    assert b"".join(made) == expected
    assert seen == sorted(seen)


def test_ten_thousand_pieces_hold_terabytes():
    assert sum(piece_size(n) for n in range(MOST_PIECES)) > 4 * 10**12
    assert min(piece_size(n) for n in range(MOST_PIECES)) >= SMALLEST_PIECE


class Run:
    """Parts as script processes write them, and the finalizer, on a store."""

    def __init__(self, url, options, spool, heads=None):
        self.folder = open_url_folder(f"{url}/out", options)
        self.finalizer = ObjectAssembler(self.folder, PARTS, "rows.txt", heads)
        self.part = ObjectPart(f"{url}/out/{PARTS}", options, "p-", spool)
        self.unsynced = []

    def add(self, index, rows, head=0, crc=None, sync=True):
        offset = self.part.write(rows)
        crc = zlib.crc32(rows) if crc is None else crc
        self.unsynced.append((index, self.part.name, offset, len(rows), head, crc))
        if sync:
            self.sync()

    def sync(self):
        self.part.sync()
        for rows in self.unsynced:
            self.finalizer.commit(*rows, self.part.etag)
        self.unsynced.clear()

    def output(self):
        size = self.folder.system.info(self.folder.path("rows.txt"))["size"]
        return self.folder.read([("rows.txt", 0, size)])[0] if size else b""


@pytest.fixture(params=["s3", "file"])
def run(request, tmp_path):
    """Give a run on S3, and on a store that can do nothing but write, read and move."""
    if request.param == "file":
        return Run(f"file://{tmp_path}", {}, tmp_path)
    bucket = request.getfixturevalue("bucket")
    return Run(bucket.url, bucket.options, tmp_path)


@pytest.fixture
def s3_run(bucket, tmp_path):
    return Run(bucket.url, bucket.options, tmp_path)


@pytest.mark.slow
def test_a_small_output_is_an_upload_that_can_be_halted_too(s3_run, bucket, monkeypatch):
    """By the next driver, where this one was stopped just before its output appears."""
    s3_run.add(0, b"1\n")
    commit = Multipart.commit

    def commit_late(self, overwrite):
        other = open_url_folder(f"{bucket.url}/out", bucket.options)
        other.halt("rows.txt", s3_run.finalizer._publication._note)
        commit(self, overwrite)

    monkeypatch.setattr(Multipart, "commit", commit_late)
    with pytest.raises(StorageError, match=r"can't write s3://.*/rows\.txt"):
        s3_run.finalizer.publish(overwrite=True, total=1)
    assert not [key for key in bucket.keys() if key.endswith("rows.txt")]  # noqa: SIM118
    assert bucket.uploads() == 0


def test_a_small_output_is_in_order(s3_run, bucket):
    s3_run.add(1, b"b c\n3\n4\n", head=4)
    s3_run.add(0, b"b c\n1\n", head=4, sync=False)
    s3_run.add(3, b"5\n")
    s3_run.finalizer.skip(2)
    s3_run.finalizer.publish(overwrite=False, total=4)
    assert bucket.get("out/rows.txt") == b"b c\n1\n3\n4\n5\n"
    methods = [a.method for a in bucket.asked(part="rows.txt")]
    assert methods == ["POST", "PUT", "HEAD", "POST"]  # begin, a piece, complete
    assert bucket.uploads() == 0
    assert s3_run.finalizer.warnings == ()
    s3_run.finalizer.abandon()  # after publish: nothing
    assert len(bucket.keys()) == 4  # the output, two parts, and the note of the upload


def test_any_store_joins_in_order_with_one_header_and_tells_of_others(run):
    rows = [b"h %d\n" % (n % 2) + b"%d\n" % n * 3 for n in range(30)]
    for n in reversed(range(30)):
        run.add(n, rows[n], head=4, sync=n % 4 == 0)
        run.finalizer.advance()
    run.finalizer.publish(overwrite=False, total=30)
    assert run.output() == b"h 0\n" + b"".join(row[4:] for row in rows)
    told = run.finalizer.warnings
    assert [f"mini-batch {n} has" in text for n, text in zip(range(1, 21, 2), told, strict=False)]
    assert told[-1] == "5 more mini-batches have a header that differs"


def test_a_run_without_rows_has_an_empty_output(run):
    run.finalizer.skip(0)
    run.finalizer.publish(overwrite=False, total=1)
    assert run.output() == b""


def test_an_output_that_appeared_meanwhile_is_replaced_only_when_asked(run):
    run.add(0, b"new\n")
    run.folder.put("rows.txt", b"theirs")
    with pytest.raises(StorageError, match=r"rows\.txt: an object of that name appeared.*overwr"):
        run.finalizer.publish(overwrite=False, total=1)
    run.finalizer.abandon()
    assert run.output() == b"theirs"
    again = ObjectAssembler(run.folder, PARTS, "rows.txt")
    again.commit(0, run.part.name, 0, 4, 0, zlib.crc32(b"new\n"))
    again.publish(overwrite=True, total=1)
    assert run.output() == b"new\n"


def test_ranges_of_five_megabytes_are_copied_by_the_store_and_none_is_read_whole(s3_run, bucket):
    large = os.urandom(6 * MEGA)
    neighbours = [os.urandom(2 * MEGA) for _ in range(3)]
    small = [b"%d\n" % n for n in range(100)]
    index, expected = 0, b""
    for rows in [*small[:50], large, *small[50:]]:  # 0..100: small ones share an object
        s3_run.add(index, rows, sync=len(rows) > 10)
        index, expected = index + 1, expected + rows
    for rows in neighbours:  # side by side in one object: one copy
        s3_run.add(index, rows, sync=False)
        index, expected = index + 1, expected + rows
    s3_run.sync()
    s3_run.finalizer.publish(overwrite=False, total=index)
    assert bucket.get("out/rows.txt") == expected
    copies = [a for a in bucket.asked("PUT", "rows.txt") if a.copied]
    assert len(copies) >= 1
    assert all("bytes=" in a.copied for a in copies)
    moved = sum(a.received for a in bucket.asked("PUT", "rows.txt"))
    assert moved < 12 * MEGA  # of 12 MB and 200 bytes; what is copied doesn't come by here
    gets = bucket.asked("GET", PARTS)
    assert gets
    assert all(a.range.startswith("bytes=") for a in gets)
    assert bucket.uploads() == 0


SIZES = {"alone": [6 * MEGA], "side by side": [2 * MEGA] * 3, "at an edge": [100, 6 * MEGA, 100]}


@pytest.mark.parametrize("which", SIZES)
@pytest.mark.parametrize("known", [True, False], ids=["with an ETag", "without"])
def test_a_byte_that_changes_in_a_part_is_never_published(s3_run, bucket, which, known):
    """Also where the store copies ranges itself, and where it must not as nothing is known."""
    rows = [os.urandom(size) for size in SIZES[which]]
    for n, each in enumerate(rows):
        s3_run.add(n, each, sync=n == len(rows) - 1)
    if not known:
        s3_run.finalizer.etags[:] = [""]
    [key] = [key for key in bucket.keys() if PARTS in key]  # noqa: SIM118
    data = bytearray(bucket.get(key))
    data[4 * MEGA] ^= 1
    bucket.put(key, bytes(data))
    with pytest.raises(LostRowsError) as caught:
        s3_run.finalizer.publish(overwrite=False, total=len(rows))
    assert ("is not the object any more that was committed" in str(caught.value)) == known
    assert ("does not hold the rows that mini-batch" in str(caught.value)) == (not known)
    assert bool([a for a in bucket.asked("PUT", "rows.txt") if a.copied]) == (
        known and "edge" not in which
    )
    assert "out/rows.txt" not in bucket.keys()  # noqa: SIM118


def test_what_no_etag_tells_of_is_read_in_slices_and_checked(run):
    rows = [b"h\n" + os.urandom(20 * MEGA), b"g\n" + os.urandom(9 * MEGA)]
    for n, each in enumerate(rows):
        run.add(n, each, head=2)
    run.finalizer.etags[:] = ["", ""]
    run.finalizer.publish(overwrite=False, total=2)
    assert run.output() == rows[0] + rows[1][2:]


def test_an_etag_that_a_store_does_not_tell_again_counts_for_none(s3_run, bucket, monkeypatch):
    s3_run.add(0, b"row\n")
    assert s3_run.part.etag == s3_run.folder.etag(f"{PARTS}/{s3_run.part.name}") != ""
    monkeypatch.setattr(type(s3_run.folder), "etag", lambda folder, name: "another")
    other = Run(bucket.url, bucket.options, s3_run.part._spool)
    other.add(0, b"row\n")
    assert other.part.etag == ""


@given(st.binary(max_size=50), st.binary(max_size=50))
def test_crcs_are_joined(first, second):
    crc = joined_crc(zlib.crc32(first), zlib.crc32(second), len(second))
    assert crc == zlib.crc32(first + second)


def test_many_small_rows_become_several_pieces_and_joined_requests(s3_run, bucket):
    rows = [bytes([65 + n % 26]) * 8191 + b"\n" for n in range(2500)]  # 20 MB, none copied
    for n, row in enumerate(rows):
        s3_run.add(n, row, sync=n % 250 == 249)
    threading.Thread(target=s3_run.finalizer.advance).run()
    s3_run.finalizer.publish(overwrite=False, total=len(rows))
    assert bucket.get("out/rows.txt") == b"".join(rows)
    puts = [a for a in bucket.asked("PUT", "rows.txt") if "partNumber" in a.query]
    assert len(puts) == 3
    assert len(bucket.asked("GET", PARTS)) <= 10 + 3


def test_a_store_without_copies_of_ranges_is_read(s3_run, bucket):
    bucket.fail("PUT", "rows.txt", status=501)
    rows = [os.urandom(6 * MEGA), b"last\n"]
    for n, row in enumerate(rows):
        s3_run.add(n, row)
    s3_run.finalizer.publish(overwrite=True, total=2)
    assert bucket.get("out/rows.txt") == b"".join(rows)


@pytest.mark.slow
def test_a_store_that_is_slow_for_a_while_is_waited_for(s3_run, bucket):
    bucket.fail("PUT", PARTS)
    bucket.fail("GET", PARTS)
    bucket.fail("PUT", "rows.txt")
    s3_run.add(0, b"row\n")
    s3_run.finalizer.publish(overwrite=False, total=1)
    assert bucket.get("out/rows.txt") == b"row\n"


def test_an_answer_that_was_lost_is_no_second_output(s3_run, bucket, monkeypatch):
    s3_run.add(0, b"row\n")
    call = type(s3_run.folder).call

    def deaf(folder, method, name, **arguments):
        answer = call(folder, method, name, **arguments)
        if method == "put_object" and name == "rows.txt":
            raise ConnectionError("the answer never came")
        return answer

    monkeypatch.setattr(type(s3_run.folder), "call", deaf)
    s3_run.finalizer.publish(overwrite=False, total=1)
    assert bucket.get("out/rows.txt") == b"row\n"


@pytest.mark.parametrize("size", [10, 6 * MEGA])
def test_a_part_that_is_missing_is_named_and_nothing_appears(run, size):
    run.add(0, b"x" * size)
    run.finalizer.commit(1, "gone", 0, size, 0, 0)
    run.finalizer.skip(2)
    with pytest.raises(StorageError, match=f"{PARTS}/gone"):
        run.finalizer.publish(overwrite=False, total=3)
    run.finalizer.abandon()
    assert run.folder.names() == [f"{PARTS}/{run.part.name}"]


def test_rows_that_are_not_those_written_are_named(run):
    run.add(0, b"row\n")
    run.add(1, b"raw\n", crc=7)
    with pytest.raises(StorageError, match=r"does not hold the rows that mini-batch 1 wrote"):
        run.finalizer.publish(overwrite=False, total=2)
    assert not run.folder.exists("rows.txt")


def test_an_upload_that_is_given_up_leaves_nothing(s3_run, bucket):
    s3_run.add(0, os.urandom(12 * MEGA))
    s3_run.add(1, b"end\n")
    s3_run.finalizer.advance()
    s3_run.finalizer.abandon()
    s3_run.finalizer.abandon()
    assert bucket.uploads() == 0
    found = bucket.keys()
    assert all(PARTS in key for key in found)


def test_what_is_not_committed_is_named(s3_run):
    s3_run.finalizer.skip(1)
    with pytest.raises(StorageError, match="mini-batch 0 of 2 is not committed"):
        s3_run.finalizer.publish(overwrite=False, total=2)
    s3_run.finalizer.abandon()


def test_the_place_is_checked_and_swept(bucket):
    place = destination_of(f"{bucket.url}/out", bucket.options, "run1")
    place.prepare("rows.txt", overwrite=False)
    assert bucket.keys() == []  # the probe is gone
    bucket.put("out/rows.txt", b"old")
    bucket.put(f"out/{PARTS}0/other", b"of another run")
    for n in range(3):
        bucket.put(f"out/{PARTS}/{n}", b"x")
    with pytest.raises(ValueError, match=r"append_row_file_name='rows\.txt'.*overwrite=True"):
        place.prepare("rows.txt", overwrite=False)
    place.prepare("rows.txt", overwrite=True)
    place.sweep()
    assert bucket.keys() == [f"out/{PARTS}0/other", "out/rows.txt"]
    place.sweep()  # again: nothing to do


@pytest.mark.parametrize("wrong", ["anon", "key", "bucket"])
def test_a_place_that_can_not_be_written_is_said_without_secrets(bucket, wrong):
    options, url = bucket.options, f"{bucket.url}/out"
    if wrong == "anon":
        options = bucket.anonymous
    elif wrong == "key":
        options = {**options, "key": "AKIAWRONG", "secret": "a-very-secret-secret"}
    else:
        url = "s3://no-such-bucket-anywhere/out"
    with pytest.raises(ValueError, match=r"output='s3://.*/out' can't be written: .*") as caught:
        destination_of(url, options, "run1").prepare("rows.txt", overwrite=False)
    assert "AKIA" not in str(caught.value)
    assert "secret-secret" not in str(caught.value)


def test_rows_of_the_bundle_wait_here_and_are_put_once(bucket, tmp_path):
    part = ObjectPart(f"{bucket.url}/parts", bucket.options, "p-", tmp_path)
    assert part.name == ""
    part.sync()
    assert part.write(b"") == 0
    assert (part.write(b"one\n"), part.write(b"two\n")) == (0, 4)
    first = part.name
    assert bucket.keys() == []
    part.sync()
    part.sync()
    assert bucket.keys() == [f"parts/{first}"]
    assert part.write(b"three\n") == 0
    second = part.name
    part.close()
    part.close()
    assert bucket.get(f"parts/{first}") == b"one\ntwo\n"
    assert bucket.get(f"parts/{second}") == b"three\n"
    assert len(bucket.asked("PUT")) == 2


def test_a_large_bundle_waits_in_a_file_and_goes_in_pieces(bucket, tmp_path):
    part = ObjectPart(f"{bucket.url}/parts", bucket.options, "p-", tmp_path)
    data = os.urandom(9 * MEGA)
    for n in range(9):
        assert part.write(data[n * MEGA : (n + 1) * MEGA]) == n * MEGA
    part.close()
    assert bucket.get(f"parts/{part.name}") == data
    assert [a.received for a in bucket.asked("PUT")] == [8 * MEGA, MEGA]


def test_a_bundle_that_can_not_be_put_is_an_os_error(bucket, tmp_path):
    part = ObjectPart("s3://no-such-bucket-anywhere/parts", bucket.options, "p-", tmp_path)
    part.write(b"row\n")
    with pytest.raises(OSError, match=r"can't write s3://no-such-bucket-anywhere/parts/p-"):
        part.sync()


def test_uploads_of_processes_that_were_killed_are_forgotten(s3_run, bucket, tmp_path):
    rows = os.urandom(12 * MEGA)
    s3_run.add(0, rows)
    s3_run.add(1, b"end\n")
    publication = s3_run.folder.publication(f"{PARTS}/amid a bundle")
    publication.write(0, rows[: 9 * MEGA])
    publication.write(1, rows[: 9 * MEGA])
    killed = s3_run.folder.publication("rows.txt", f"{PARTS}/upload")
    killed.write(0, rows[: 6 * MEGA])
    killed.write(1, rows[: 6 * MEGA])
    assert bucket.uploads() == 2
    s3_run.finalizer.publish(overwrite=False, total=2)
    destination_of(f"{bucket.url}/out", bucket.options, "run1").sweep()
    assert bucket.uploads() == 0
    assert bucket.keys() == ["out/rows.txt"]
    assert bucket.get("out/rows.txt") == rows + b"end\n"


@pytest.mark.parametrize("hidden", ["of the error", "of its cause"])
def test_no_traceback_shows_a_secret(tmp_path, hidden):
    secret = "a-secret-of-mine"
    folder = open_url_folder(f"file://{tmp_path}", {"auto_mkdir": True, "word": secret})

    def fails():
        if hidden == "of the error":
            raise PermissionError(f"no {secret}")
        try:
            raise KeyError(secret)
        except KeyError as error:
            raise PermissionError("no") from error

    with pytest.raises(StorageError, match=r"can't try: PermissionError: no") as caught:
        folder.retry("try", fails)
    assert secret not in "".join(traceback.format_exception(caught.value))
    with pytest.raises(StorageError, match="can't try: TypeError: 3") as caught:
        folder.retry("try", lambda: (_ for _ in ()).throw(TypeError(3)))
    assert isinstance(caught.value.__cause__, TypeError)


@pytest.fixture(params=["s3", "file"])
def parquet_run(request, tmp_path):
    """Give a run whose rows are row groups."""
    if request.param == "file":
        return Run(f"file://{tmp_path}", {}, tmp_path, open_sink("parquet").headers(None))
    bucket = request.getfixturevalue("bucket")
    return Run(bucket.url, bucket.options, tmp_path, open_sink("parquet").headers(None))


@pytest.mark.slow
@pytest.mark.parametrize("sizes", [[3, 700_000, 5, 0, 900_000, 20, 1], [1_200_000], [2] * 30, []])
def test_row_groups_of_every_size_become_one_parquet_file(parquet_run, sizes):
    # up to 9.6 MB each: some are copied on the store's side, some read
    frames = [pd.DataFrame({"n": np.random.default_rng(n).random(n)}) for n in sizes]
    encoder = open_sink("parquet")
    for index in reversed(range(len(sizes))):
        data, head = encoder.encode(frames[index])
        if not data:
            parquet_run.finalizer.skip(index)
            continue
        parquet_run.add(index, data, head, zlib.crc32(data[head:]), sync=index % 2 == 0)
    parquet_run.part.sync()
    parquet_run.finalizer.finish()
    parquet_run.finalizer.publish(overwrite=False, total=len(sizes))
    file = pq.ParquetFile(io.BytesIO(parquet_run.output()), page_checksum_verification=True)
    assert file.num_row_groups == len([size for size in sizes if size])
    found = file.read().to_pandas()
    wanted = pd.concat(frames) if frames else pd.DataFrame()
    assert found.to_dict("list") == wanted.to_dict("list")


@pytest.mark.slow
def test_a_footer_of_several_pieces(parquet_run, monkeypatch):
    monkeypatch.setattr("daskrun.output.assembly.object_assembler.piece_size", lambda _: 5 * MEGA)
    monkeypatch.setattr("daskrun.output.sinks.parquet.footer.BLOCK", 50_000)
    names = {f"column_{n}": n for n in range(600)}
    data, head = open_sink("parquet").encode([names])
    for index in range(100):
        parquet_run.add(index, data, head, zlib.crc32(data[head:]), sync=False)
    parquet_run.sync()
    parquet_run.finalizer.publish(overwrite=False, total=100)
    made = parquet_run.output()
    assert int.from_bytes(made[-8:-4], "little") > 5 * MEGA
    assert pq.read_table(io.BytesIO(made)).to_pylist() == [names] * 100


def test_columns_that_differ_end_the_run_and_leave_nothing(parquet_run):
    encoder = open_sink("parquet")
    for index, result in enumerate([[1], ["x"]]):
        data, head = encoder.encode(result)
        parquet_run.add(index, data, head, zlib.crc32(data[head:]))
    with pytest.raises(
        WrongResultError, match=r"other columns for mini-batch \d than for mini-batch"
    ):
        parquet_run.finalizer.publish(overwrite=False, total=2)
    parquet_run.finalizer.abandon()
    assert not parquet_run.folder.exists("rows.txt")


class Joined(Sink):
    """Makes the output of its own: the rows, joined."""

    def encode_elements(self, elements):
        return EncodedRows(b"".join(elements))

    def assemble(self, mini_batches, file):
        file.write_bytes(b"".join(each.rows for each in mini_batches))


@pytest.mark.parametrize("sizes", [[3 * MEGA, 0, 10, 9 * MEGA, 700], [], [5]])
def test_what_a_sink_makes_is_uploaded_whole(run, tmp_path, sizes):
    spool = tmp_path / "spool"
    run.finalizer = SinkObjectAssembler(Joined(), run.folder, PARTS, "rows.txt", spool)
    rows = [bytes([65 + n]) * size for n, size in enumerate(sizes)]
    for index in reversed(range(len(sizes))):
        if rows[index]:
            run.add(index, rows[index], sync=index % 2 == 0)
        else:
            run.finalizer.skip(index)
    run.part.sync()
    run.finalizer.advance()
    run.finalizer.finish()
    assert not run.folder.exists("rows.txt")
    run.finalizer.publish(False, len(sizes))
    assert run.folder.read_whole("rows.txt") == b"".join(rows)
    assert run.folder.published("rows.txt", run.finalizer.mark)
    assert list(spool.iterdir()) == []
    again = SinkObjectAssembler(Joined(), run.folder, PARTS, "rows.txt", spool)
    with pytest.raises(StorageError, match=r"appeared during the run"):
        again.publish(False, 0)
    again.abandon()
    assert run.folder.read_whole("rows.txt") == b"".join(rows)
