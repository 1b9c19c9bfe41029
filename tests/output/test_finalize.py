import errno
import os
import signal
import subprocess
import sys
import tracemalloc
import zlib

import pytest
from generated import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from daskrun.errors import StorageError
from daskrun.output.assembly import assembler as entries
from daskrun.output.assembly import file_assembler as module
from daskrun.output.assembly.file_assembler import FileAssembler
from daskrun.output.folder import prepare_output
from daskrun.output.sinks.sink import MOST_WARNINGS, LostRowsError


def folders(base):
    output = base / "output"
    return prepare_output(output, "run1", "out.txt", overwrite=True), output / "out.txt"


def commit(finalizer, index, part, offset, length, head, rows=None):
    """Commit what is in a part now, or ``rows``."""
    path = finalizer.parts._folder / part
    if rows is None:
        rows = path.read_bytes()[offset : offset + length] if part else b""
    finalizer.commit(index, part, offset, length, head, zlib.crc32(rows))


def hidden(target):
    return [name for name in os.listdir(target.parent) if name.startswith(".")]


@st.composite
def runs(draw):
    """Mini-batches with a part and rows each (None: no rows), and an order to commit them in."""
    size = st.sampled_from([1, 3, 50, entries.SMALL - 1, entries.SMALL, entries.SMALL + 7, 40_000])
    batch = st.none() | st.tuples(st.sampled_from("abc"), size, st.booleans())
    batches = draw(st.lists(batch, max_size=25))
    order = draw(st.permutations(range(len(batches))))
    return batches, order


@settings(max_examples=examples(60))
@given(
    run=runs(),
    every=st.integers(1, 7),
    chunk=st.sampled_from([1, 2, 4096]),
    most_open=st.sampled_from([1, 64]),
    block=st.sampled_from([100, module.BLOCK]),
    junk=st.integers(0, 5),
)
def test_any_order_gives_the_naive_join(
    tmp_path_factory, run, every, chunk, most_open, block, junk
):
    batches, order = run
    parts, target = folders(tmp_path_factory.mktemp("finalize"))
    written = dict.fromkeys("abc", b"")
    places, rows = {}, {}
    for index in order:  # parts hold rows in the order they were made, and bytes no record names
        if batches[index] is None:
            continue
        name, size, has_header = batches[index]
        written[name] += b"?" * junk
        header = b"x y\n" if has_header else b""
        rows[index] = bytes([index % 250 + 1]) * size
        places[index] = (name, len(written[name]), len(header) + size, len(header))
        written[name] += header + rows[index]
    for name, data in written.items():
        (parts / name).write_bytes(data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(entries, "CHUNK", chunk)
        patch.setattr(entries, "MOST_OPEN", most_open)
        patch.setattr(module, "BLOCK", block)
        finalizer = FileAssembler(parts, target)
        for n, index in enumerate(order):
            commit(finalizer, index, *places[index]) if index in places else finalizer.skip(index)
            if n % every == 0:
                done = finalizer.advance()
                assert done == next(
                    (i for i in range(len(order)) if i not in order[: n + 1]), n + 1
                )
        assert not target.exists()
        finalizer.publish(overwrite=False, total=len(batches))
    first = next((i for i in sorted(places) if places[i][3]), None)
    expected = b"".join((b"x y\n" if i == first else b"") + rows[i] for i in sorted(rows))
    assert target.read_bytes() == expected
    assert finalizer.warnings == ()
    assert hidden(target) == []


@pytest.mark.parametrize(("size", "read"), [(500, [3000]), (400_000, [800_000] * 3)])
def test_neighbours_are_read_at_once(tmp_path, monkeypatch, size, read):
    parts, target = folders(tmp_path)
    (parts / "a").write_bytes(os.urandom(6 * size))
    finalizer = FileAssembler(parts, target)
    for n in range(6):
        commit(finalizer, n, "a", n * size, size, 0)
    reads = []
    real_read = os.pread
    monkeypatch.setattr(os, "pread", lambda *args: reads.append(args[1]) or real_read(*args))
    finalizer.advance()
    assert reads == read
    finalizer.publish(overwrite=False, total=6)
    assert target.read_bytes() == (parts / "a").read_bytes()


@pytest.mark.parametrize("head", [0, 5])
@pytest.mark.parametrize("size", [10, 40_000, module.BLOCK + 4])
def test_rows_that_are_not_those_written_are_found(tmp_path, size, head):
    parts, target = folders(tmp_path)
    (parts / "a").write_bytes(b"0123456789" * (size // 5))
    finalizer = FileAssembler(parts, target)
    committed = [(n, "a", n * size, size, head) for n in range(2)]
    for each in committed:
        commit(finalizer, *each)
    with (parts / "a").open("r+b") as part:
        part.seek(2 * size - 1)
        part.write(b"!")
    words = rf"the part .*a does not hold the rows that mini-batch 1 wrote: bytes {size} to"
    with pytest.raises(LostRowsError, match=words):
        finalizer.advance()
    assert finalizer.done == 0
    rows = [(*each, zlib.crc32(b"0123456789" * (size // 10))) for each in committed]
    assert finalizer.lost(rows) == [1]
    (parts / "a").unlink()
    finalizer.parts.close()
    assert finalizer.lost(rows) == [0, 1]
    finalizer.abandon()


def test_a_run_without_rows_has_an_empty_output(tmp_path):
    parts, target = folders(tmp_path)
    finalizer = FileAssembler(parts, target)
    finalizer.skip(1)
    commit(finalizer, 0, "", -1, 0, 0)
    finalizer.publish(overwrite=False, total=2)
    assert target.read_bytes() == b""
    parts, target = folders(tmp_path / "none")
    FileAssembler(parts, target).publish(overwrite=False, total=0)
    assert target.read_bytes() == b""


def test_what_is_missing_is_named(tmp_path):
    parts, target = folders(tmp_path)
    finalizer = FileAssembler(parts, target)
    finalizer.skip(0)
    finalizer.skip(2)
    assert finalizer.advance() == 1
    with pytest.raises(StorageError, match="mini-batch 1 of 3 is not committed"):
        finalizer.publish(overwrite=False, total=3)
    finalizer.abandon()
    assert hidden(target) == []
    assert not target.exists()


@pytest.mark.parametrize("size", [10, 100_000])
def test_a_missing_or_short_part_is_named_and_can_be_put_back(tmp_path, size):
    parts, target = folders(tmp_path)
    (parts / "good").write_bytes(b"g" * size)
    finalizer = FileAssembler(parts, target)
    commit(finalizer, 0, "good", 0, size, 0)
    commit(finalizer, 1, "bad", 0, size, 0, b"b" * size)
    with pytest.raises(StorageError, match=r"the part .*bad, which holds committed.*No such file"):
        finalizer.advance()
    (parts / "bad").write_bytes(b"b" * (size - 1))
    with pytest.raises(StorageError, match=rf"bad is too short: .* to {size} .*ends at {size - 1}"):
        finalizer.advance()
    (parts / "bad").write_bytes(b"b" * size)
    finalizer.publish(overwrite=False, total=2)
    assert target.read_bytes() == b"g" * size + b"b" * size


def test_a_full_disk_leaves_a_state_from_which_it_goes_on(tmp_path, monkeypatch):
    parts, target = folders(tmp_path)
    (parts / "a").write_bytes(b"h\n1\nk\n2\n" + b"x" * 100_000)
    finalizer = FileAssembler(parts, target)
    commit(finalizer, 0, "a", 0, 4, 2)
    commit(finalizer, 1, "a", 4, 4, 2)
    commit(finalizer, 2, "a", 8, 100_000, 0)

    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(module, "pwrite_all", full)
        for _ in range(2):
            with pytest.raises(StorageError, match=r"can't copy to .*No space left"):
                finalizer.advance()
            assert (finalizer.done, finalizer.nbytes, finalizer.warnings) == (0, 0, ())
    finalizer.publish(overwrite=False, total=3)
    assert target.read_bytes() == b"h\n1\n2\n" + b"x" * 100_000
    assert len(finalizer.warnings) == 1


def test_headers_are_written_once_and_compared(tmp_path):
    parts, target = folders(tmp_path)
    (parts / "a").write_bytes(b"a b\n1 2\n" + b"a b\n" + b"b a\n5 6\n" + b"7 8\n")
    finalizer = FileAssembler(parts, target)
    commit(finalizer, 3, "a", 12, 8, 4)
    commit(finalizer, 4, "a", 20, 4, 0)  # a list among the tables
    commit(finalizer, 2, "a", 8, 4, 4)  # a table without rows
    commit(finalizer, 1, "a", 0, 8, 4)
    finalizer.skip(0)
    finalizer.publish(overwrite=False, total=5)
    assert target.read_bytes() == b"a b\n1 2\n5 6\n7 8\n"
    (warning,) = finalizer.warnings
    assert "mini-batch 3 has the header 'b a', the output has 'a b'" in warning


def test_many_differing_headers_are_counted_not_listed(tmp_path):
    parts, target = folders(tmp_path)
    (parts / "a").write_bytes(b"".join(b"h%03d\nx" % n for n in range(100)))
    finalizer = FileAssembler(parts, target)
    for n in range(100):
        commit(finalizer, n, "a", 6 * n, 6, 5)
    finalizer.publish(overwrite=False, total=100)
    assert target.read_bytes() == b"h000\n" + 100 * b"x"
    assert len(finalizer.warnings) == MOST_WARNINGS + 1
    assert finalizer.warnings[-1] == "89 more mini-batches have a header that differs"


def test_an_output_that_appeared_meanwhile_is_not_replaced(tmp_path):
    parts, target = folders(tmp_path)
    (parts / "a").write_bytes(b"new\n")
    finalizer = FileAssembler(parts, target)
    commit(finalizer, 0, "a", 0, 4, 0)
    target.write_text("theirs")
    with pytest.raises(StorageError, match=r"out\.txt: a file of that name appeared.*overwrite"):
        finalizer.publish(overwrite=False, total=1)
    assert target.read_text() == "theirs"
    finalizer.publish(overwrite=True, total=1)
    assert target.read_text() == "new\n"
    assert hidden(target) == []
    finalizer.abandon()  # after publish: nothing
    assert target.read_text() == "new\n"


def test_another_failure_to_publish_is_said(tmp_path):
    parts, target = folders(tmp_path)
    finalizer = FileAssembler(parts, target)
    target.mkdir()
    with pytest.raises(StorageError, match=r"can't publish .*out\.txt: .*directory"):
        finalizer.publish(overwrite=True, total=0)
    finalizer.abandon()
    assert hidden(target) == []


def test_abandon_leaves_no_output(tmp_path):
    parts, target = folders(tmp_path)
    (parts / "a").write_bytes(b"row\n")
    finalizer = FileAssembler(parts, target)
    commit(finalizer, 0, "a", 0, 4, 0)
    finalizer.advance()
    finalizer.abandon()
    finalizer.abandon()
    assert not target.exists()
    assert hidden(target) == []


def test_a_mini_batch_is_committed_once(tmp_path):
    parts, target = folders(tmp_path)
    (parts / "a").write_bytes(b"row\n")
    finalizer = FileAssembler(parts, target)
    commit(finalizer, 0, "a", 0, 4, 0)
    commit(finalizer, 5, "a", 0, 4, 0)
    for again in (0, 5):
        with pytest.raises(ValueError, match=f"mini-batch {again} was committed before"):
            commit(finalizer, again, "a", 0, 4, 0)
        with pytest.raises(ValueError, match=f"mini-batch {again} was committed before"):
            finalizer.skip(again)
    finalizer.advance()
    for wrong in (0, -1):
        with pytest.raises(ValueError, match="committed before"):
            commit(finalizer, wrong, "a", 0, 4, 0)
    for offset, length, head in ((-1, 4, 0), (0, 4, 5), (0, 4, -1)):
        with pytest.raises(ValueError, match="is no range"):
            commit(finalizer, 1, "a", offset, length, head)
    finalizer.abandon()


def test_few_parts_are_open_at_once(tmp_path):
    parts, target = folders(tmp_path)
    count = 3 * entries.MOST_OPEN
    for n in range(count):
        (parts / f"p{n}").write_bytes(b"%d\n" % n)
    before = len(os.listdir("/proc/self/fd"))
    finalizer = FileAssembler(parts, target)
    for n in range(count):
        commit(finalizer, n, f"p{n}", 0, len(b"%d\n" % n), 0)
    finalizer.advance()
    assert len(os.listdir("/proc/self/fd")) <= before + entries.MOST_OPEN + 1
    finalizer.publish(overwrite=False, total=count)
    assert len(os.listdir("/proc/self/fd")) == before
    assert target.read_bytes() == b"".join(b"%d\n" % n for n in range(count))


@pytest.mark.slow
def test_many_that_wait_for_the_first_take_little_memory(tmp_path):
    parts, target = folders(tmp_path)
    count = 200_000
    (parts / "a").write_bytes(b"1234567\n" * count)
    crc = zlib.crc32(b"1234567\n")
    finalizer = FileAssembler(parts, target)
    tracemalloc.start()
    try:
        for n in range(1, count):
            finalizer.commit(n, "a", 8 * n, 8, 0, crc)
        waiting, _ = tracemalloc.get_traced_memory()
        finalizer.commit(0, "a", 0, 8, 0, crc)
        finalizer.advance()
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert finalizer.done == count
    assert finalizer.nbytes == 8 * count
    assert waiting < 40 * count
    assert peak < 40 * count
    assert after < 10 * count  # what is done is dropped
    finalizer.abandon()


@pytest.mark.slow
def test_memory_stays_small_when_all_come_in_order(tmp_path):
    parts, target = folders(tmp_path)
    finalizer = FileAssembler(parts, target)
    tracemalloc.start()
    try:
        for n in range(100_000):
            finalizer.skip(n)
            if n % 100 == 0:
                finalizer.advance()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1_500_000
    finalizer.abandon()


def test_a_killed_driver_leaves_no_output_and_is_not_in_the_way(tmp_path):
    parts, target = folders(tmp_path)
    (parts / "a").write_bytes(b"one\ntwo\n")
    code = (
        "import sys, os, signal, pathlib\n"
        "from zlib import crc32\n"
        "from daskrun.output.assembly.file_assembler import FileAssembler\n"
        "f = FileAssembler(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))\n"
        # another order than the next driver's: nothing is kept of it
        "f.commit(0, 'a', 4, 4, 0, crc32(b'two\\n'))\n"
        "f.commit(1, 'a', 0, 4, 0, crc32(b'one\\n'))\n"
        "f.commit(2, 'a', 0, 4, 0, crc32(b'one\\n'))\n"
        "f.advance()\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    dead = subprocess.run([sys.executable, "-c", code, parts, target], check=False, timeout=60)
    assert dead.returncode == -signal.SIGKILL
    assert not target.exists()
    assert len(hidden(target)) == 1
    finalizer = FileAssembler(parts, target)
    commit(finalizer, 0, "a", 0, 4, 0)
    commit(finalizer, 1, "a", 4, 4, 0)
    finalizer.publish(overwrite=False, total=2)
    assert target.read_bytes() == b"one\ntwo\n"
    assert hidden(target) == []


def test_a_folder_that_is_gone_is_said(tmp_path):
    with pytest.raises(StorageError, match=r"can't create .*gone"):
        FileAssembler(tmp_path, tmp_path / "gone" / "out.txt")
