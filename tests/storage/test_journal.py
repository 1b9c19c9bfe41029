import os
import signal
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daskrun.errors import StorageError
from daskrun.storage.journal import Journal

texts = st.text(st.sampled_from('ab\n\x00é"\\\u2028\U0001f600\udce9'), max_size=8)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
records = st.lists(st.dictionaries(texts, values, max_size=3), max_size=6)


def write(path, items):
    journal = Journal(path)
    for item in items:
        journal.append(item)
    journal.close()


@given(items=records)
def test_what_goes_in_comes_out(tmp_path_factory, items):
    path = tmp_path_factory.mktemp("journal") / "journal"
    write(path, items)
    assert list(Journal.read(path)) == items


def test_text_that_is_not_utf8_is_kept(tmp_path):
    item = {"error": "caf\udce9 \ud83d \U0001f600 \x00 \n \u2028"}
    write(tmp_path / "j", [item, {"a": 1}])
    assert list(Journal.read(tmp_path / "j")) == [item, {"a": 1}]


def test_tuples_are_written_as_lists(tmp_path):
    write(tmp_path / "j", [{"outcomes": ((1, 2), (3, None))}])
    assert (tmp_path / "j").read_bytes() == b'c319c513 {"outcomes":[[1,2],[3,null]]}\n'
    assert list(Journal.read(tmp_path / "j")) == [{"outcomes": [[1, 2], [3, None]]}]


@given(cut=st.integers(0, 200), junk=st.binary(max_size=40))
def test_a_torn_tail_is_not_read_and_cut_off(tmp_path_factory, cut, junk):
    path = tmp_path_factory.mktemp("journal") / "journal"
    items = [{"n": n, "text": "x" * n} for n in range(8)]
    write(path, items)
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)
    path.write_bytes(whole[:cut] + junk)
    kept, rest = 0, whole[:cut] + junk
    while kept < len(lines) and rest.startswith(lines[kept]):
        rest = rest[len(lines[kept]) :]
        kept += 1
    assert list(Journal.read(path)) == items[:kept]
    journal = Journal.open(path)
    assert path.read_bytes() == b"".join(lines[:kept])
    journal.append({"after": 1})
    journal.close()
    assert list(Journal.read(path)) == [*items[:kept], {"after": 1}]


@pytest.mark.parametrize("place", [0, 5, 8, 9, 20, -2])
def test_one_wrong_byte_ends_the_reading(tmp_path, place):
    path = tmp_path / "j"
    write(path, [{"n": 0}])
    first = path.stat().st_size
    journal = Journal.open(path)
    journal.append({"n": 1, "text": "some text"})
    journal.sync()
    journal.append({"n": 2})
    journal.close()
    data = bytearray(path.read_bytes())
    second = data.index(b"\n", first) + 1 - first
    data[first + place % second] ^= 1
    path.write_bytes(data)
    assert list(Journal.read(path)) == [{"n": 0}]


def test_what_is_behind_a_damaged_record_is_counted_and_a_torn_last_one_is_not(tmp_path):
    path = tmp_path / "j"
    write(path, [{"n": n} for n in range(6)])
    assert Journal.passed_over(path) == (path.stat().st_size, 0, 0)
    data = path.read_bytes()
    length = len(data) // 6
    path.write_bytes(data[:-3])  # the last record has not come to its end
    assert Journal.passed_over(path) == (5 * length, 0, length - 3)
    path.write_bytes(data[: 2 * length + 4] + b"?" + data[2 * length + 5 : -3])
    assert Journal.passed_over(path) == (2 * length, 2, 4 * length - 3)
    Journal.open(path).close()
    assert path.read_bytes() == data[: 2 * length]
    with pytest.raises(StorageError, match=r"can't read the journal .*none"):
        Journal.passed_over(tmp_path / "none")


def test_sync_without_records_does_nothing(tmp_path, monkeypatch):
    journal = Journal(tmp_path / "j")
    calls = []
    monkeypatch.setattr("daskrun.storage.journal.sync_data", calls.append)
    journal.sync()
    assert calls == []
    journal.append({"n": 1})
    assert (tmp_path / "j").read_bytes() == b""  # buffered
    journal.sync()
    journal.sync()
    assert len(calls) == 1
    journal.close()
    journal.close()
    assert len(calls) == 1


def test_an_existing_journal_is_not_begun_anew(tmp_path):
    write(tmp_path / "j", [{"n": 1}])
    with pytest.raises(StorageError, match=r"exists already\. Journal\.open"):
        Journal(tmp_path / "j")
    with pytest.raises(StorageError, match=r"can't read the journal .*none"):
        Journal.open(tmp_path / "none")
    with pytest.raises(StorageError, match=r"can't read the journal .*none"):
        list(Journal.read(tmp_path / "none"))
    with pytest.raises(StorageError, match="can't open the journal"):
        Journal(tmp_path / "no" / "folder")


def test_after_a_full_disk_the_same_records_can_be_tried_again(tmp_path, monkeypatch):
    path = tmp_path / "j"
    journal = Journal(path)
    journal.append({"n": 0})
    journal.sync()
    real = os.pwrite

    def half(descriptor, data, offset):
        if len(data) < 10:
            raise OSError(28, "No space left on device")
        return real(descriptor, bytes(data)[: len(data) // 2], offset)

    monkeypatch.setattr(os, "pwrite", half)
    journal.append({"n": 1, "text": "x" * 100})
    with pytest.raises(StorageError, match=r"can't write the journal .*No space left"):
        journal.sync()
    assert list(Journal.read(path)) == [{"n": 0}]
    monkeypatch.undo()
    journal.append({"n": 2})
    journal.sync()
    assert [r["n"] for r in Journal.read(path)] == [0, 1, 2]
    journal.close()
    assert [r["n"] for r in Journal.read(path)] == [0, 1, 2]


def test_short_writes_are_finished(tmp_path, monkeypatch):
    real = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, data, at: real(fd, bytes(data)[:7], at))
    items = [{"n": n} for n in range(5)]
    write(tmp_path / "j", items)
    assert list(Journal.read(tmp_path / "j")) == items


def test_a_failed_disk_is_never_called_good_again(tmp_path, monkeypatch):
    journal = Journal(tmp_path / "j")

    def broken(descriptor):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("daskrun.storage.journal.sync_data", broken)
    journal.append({"n": 1})
    with pytest.raises(StorageError, match="Input/output error"):
        journal.sync()
    monkeypatch.undo()
    with pytest.raises(StorageError, match="Input/output error"):
        journal.sync()
    with pytest.raises(StorageError, match="Input/output error"):
        journal.close()


def test_a_closed_journal_says_so(tmp_path):
    journal = Journal(tmp_path / "j")
    journal.close()
    journal.append({"n": 1})
    with pytest.raises(StorageError, match="it is closed"):
        journal.sync()


def test_what_was_synced_outlives_a_kill(tmp_path):
    path = tmp_path / "j"
    code = (
        "import sys, pathlib\n"
        "from daskrun.storage.journal import Journal\n"
        "journal = Journal(pathlib.Path(sys.argv[1]))\n"
        "n = 0\n"
        "while True:\n"
        "    journal.append({'n': n, 'text': 'x' * 5000})\n"
        "    journal.sync()\n"
        "    print(n, flush=True)\n"
        "    n += 1\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, path], stdout=subprocess.PIPE, text=True
    )
    for _ in range(30):
        process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    told = 30 + len([line for line in process.communicate(timeout=60)[0].splitlines() if line])
    found = [record["n"] for record in Journal.read(path)]
    assert found == list(range(len(found)))
    assert len(found) >= told - 1  # the last line printed may be cut
    assert len(found) >= 30
