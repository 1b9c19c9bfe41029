import errno
import os
import subprocess
import sys

import pytest

from daskrun.errors import PartError
from daskrun.output.parts import part as module
from daskrun.output.parts.part import PartWriter


def test_offsets_are_where_the_bytes_are(tmp_path):
    part = PartWriter(tmp_path, "node000-process001-")
    assert part.name == ""
    assert part.write(b"") == 0
    assert os.listdir(tmp_path) == []  # nothing written, no file
    pieces = [b"a\n", b"", b"bcd\n", b"x" * 100_000, b"end\n"]
    offsets = [part.write(piece) for piece in pieces]
    part.sync()
    part.close()
    part.close()
    assert part.name.startswith(f"node000-process001-{os.getpid()}-")
    data = (tmp_path / part.name).read_bytes()
    assert data == b"".join(pieces)
    for piece, offset in zip(pieces, offsets, strict=True):
        assert data[offset : offset + len(piece)] == piece
    with pytest.raises(ValueError, match=r"part node000.* is closed"):
        part.write(b"more")


def test_a_part_never_written_is_no_file(tmp_path):
    part = PartWriter(tmp_path, "p-")
    part.sync()
    part.close()
    assert os.listdir(tmp_path) == []


def test_every_writer_has_its_own_name_in_every_process(tmp_path):
    code = (
        "import sys, pathlib\n"
        "from daskrun.output.parts.part import PartWriter\n"
        "parts = [PartWriter(pathlib.Path(sys.argv[1]), 'p-') for _ in range(20)]\n"
        "for part in parts:\n"
        "    part.write(b'x')\n"
        "    print(part.name)\n"
        "    part.close()\n"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", code, tmp_path], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    names = [name for p in processes for name in p.communicate(timeout=60)[0].split()]
    assert len(set(names)) == 40
    assert sorted(os.listdir(tmp_path)) == sorted(names)


def test_short_writes_are_finished(tmp_path, monkeypatch):
    real = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, data, at: real(fd, bytes(data)[:3], at))
    part = PartWriter(tmp_path, "p-")
    assert part.write(b"0123456789") == 0
    assert part.write(b"abcde") == 10
    part.close()
    assert (tmp_path / part.name).read_bytes() == b"0123456789abcde"


@pytest.mark.parametrize("truncate_fails", [False, True])
def test_a_full_disk_costs_only_what_did_not_fit(tmp_path, monkeypatch, truncate_fails):
    part = PartWriter(tmp_path, "p-")
    real = os.pwrite

    def full_after_two(descriptor, data, offset):
        if len(data) < 5:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, bytes(data)[:2], offset)

    def unable(*args):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "pwrite", full_after_two)
    if truncate_fails:
        monkeypatch.setattr(os, "ftruncate", unable)
    with pytest.raises(OSError, match="No space left"):
        part.write(b"012345")
    assert part.name == ""  # nothing in it yet
    monkeypatch.setattr(os, "pwrite", real)
    assert part.write(b"first\n") == 0
    monkeypatch.setattr(os, "pwrite", full_after_two)
    with pytest.raises(OSError, match="No space left"):
        part.write(b"second\n")
    size = (tmp_path / part.name).stat().st_size
    assert size == (10 if truncate_fails else 6)
    monkeypatch.setattr(os, "pwrite", real)
    assert part.write(b"third, longer\n") == 6
    part.close()
    assert (tmp_path / part.name).read_bytes() == b"first\nthird, longer\n"


def test_a_part_that_could_never_be_written_is_removed(tmp_path, monkeypatch):
    part = PartWriter(tmp_path, "p-")

    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(OSError, match="No space left"):
        part.write(b"x")
    part.close()
    assert os.listdir(tmp_path) == []


def test_sync_only_when_there_is_something_and_the_folder_once(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(module, "sync_data", lambda fd: calls.append("data"))
    monkeypatch.setattr(module, "sync_folder", lambda path: calls.append(path))
    part = PartWriter(tmp_path, "p-")
    part.sync()
    assert calls == []
    part.write(b"a")
    part.sync()
    part.sync()
    assert calls == ["data", tmp_path]
    part.write(b"b")
    part.write(b"c")
    part.sync()
    assert calls == ["data", tmp_path, "data"]
    part.close()
    assert calls == ["data", tmp_path, "data"]


def test_after_a_failed_sync_nothing_is_called_safe(tmp_path, monkeypatch):
    def broken(descriptor):
        raise OSError(errno.EIO, "Input/output error")

    part = PartWriter(tmp_path, "p-")
    part.write(b"a")
    monkeypatch.setattr(module, "sync_data", broken)
    with pytest.raises(OSError, match="Input/output error"):
        part.sync()
    monkeypatch.undo()
    for call in (part.sync, lambda: part.write(b"b"), part.close):
        with pytest.raises(OSError, match="Input/output error"):
            call()
    part.close()  # the descriptor is closed all the same


def test_a_folder_that_is_gone_is_said(tmp_path):
    with pytest.raises(PartError, match=r"gone: No such file.*was removed while the run went on"):
        PartWriter(tmp_path / "gone", "p-").write(b"x")


def test_a_part_that_is_removed_takes_no_more_rows_for_kept(tmp_path):
    part = PartWriter(tmp_path, "p-")
    part.write(b"a")
    part.sync()
    (tmp_path / part.name).unlink()
    part.write(b"b")
    with pytest.raises(PartError, match=f"{part.name}: the part was removed"):
        part.sync()
