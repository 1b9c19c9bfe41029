"""A journal behind a URL."""

import pytest

from daskrun.errors import StorageError
from daskrun.storage import segments as segments_file
from daskrun.storage.journal import Journal
from daskrun.storage.segments import Segments
from daskrun.storage.url_folder import open_url_folder


@pytest.fixture
def folder(bucket):
    return open_url_folder(f"{bucket.url}/runs/r1", bucket.options)


def written(folder, path, records):
    journal = Journal(path, segments=Segments(folder))
    for number in records:
        journal.append({"n": number})
        journal.sync()
    journal.close()


def test_what_is_synced_is_there_when_sync_returns(folder, tmp_path, bucket):
    journal = Journal(tmp_path / "journal", segments=Segments(folder))
    journal.append({"n": 1})
    assert bucket.keys() == []
    journal.sync()
    journal.append({"n": 2})
    journal.append({"n": 3})
    journal.sync()
    assert len(bucket.keys()) == 2
    assert Segments(folder).bring(tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == (tmp_path / "journal").read_bytes()
    assert [each["n"] for each in Journal.read(tmp_path / "copy")] == [1, 2, 3]
    journal.close()


def test_small_segments_are_joined(folder, tmp_path, bucket, monkeypatch):
    monkeypatch.setattr(segments_file, "MANY", 4)
    written(folder, tmp_path / "journal", range(10))
    assert bucket.keys() == ["runs/r1/journal/000000000000000"]  # at the 4th, 7th and 10th
    Segments(folder).bring(tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == (tmp_path / "journal").read_bytes()


def test_a_driver_killed_while_segments_were_joined(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(segments_file, "MANY", 4)
    monkeypatch.setattr(type(folder), "delete", lambda *_: None)  # killed before that
    written(folder, tmp_path / "journal", range(6))
    monkeypatch.undo()
    Segments(folder).bring(tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == (tmp_path / "journal").read_bytes()


def test_the_next_driver_goes_on_and_the_one_before_can_not(folder, tmp_path):
    before = Journal(tmp_path / "journal", segments=Segments(folder))
    before.append({"n": 1})
    before.sync()
    Segments(folder).bring(tmp_path / "copy")
    after = Journal.open(tmp_path / "copy", Segments(folder))
    after.append({"n": 2})
    after.sync()
    before.append({"n": "late"})
    with pytest.raises(StorageError, match="another process, which has taken the run over"):
        before.sync()
    Segments(folder).bring(tmp_path / "again")
    assert [each["n"] for each in Journal.read(tmp_path / "again")] == [1, 2]
    after.close()


def test_a_record_that_is_damaged_is_cut_off_there_too(folder, tmp_path, bucket):
    written(folder, tmp_path / "journal", range(5))
    third = bucket.keys()[2]
    bucket.put(third, bucket.get(third).replace(b"2", b"3"))
    Segments(folder).bring(tmp_path / "copy")
    journal = Journal.open(tmp_path / "copy", Segments(folder))
    journal.append({"n": "again"})
    journal.close()
    Segments(folder).bring(tmp_path / "last")
    assert [each["n"] for each in Journal.read(tmp_path / "last")] == [0, 1, "again"]


def test_a_put_that_was_not_heard_is_gone_on_with(folder, tmp_path, monkeypatch):
    journal = Journal(tmp_path / "journal", segments=Segments(folder))
    create = type(folder).create
    broken = []

    def unheard(self, name, data):
        create(self, name, data)
        if not broken:
            broken.append(name)
            raise StorageError("the connection broke")

    monkeypatch.setattr(type(folder), "create", unheard)
    journal.append({"n": 1})
    with pytest.raises(StorageError, match="broke"):
        journal.sync()
    journal.append({"n": 2})  # the next try has more to put
    journal.sync()
    journal.close()
    Segments(folder).bring(tmp_path / "copy")
    assert [each["n"] for each in Journal.read(tmp_path / "copy")] == [1, 2]


def test_a_segment_that_is_gone_is_said(folder, tmp_path, bucket):
    written(folder, tmp_path / "journal", range(3))
    folder.delete([bucket.keys()[1].removeprefix("runs/r1/")])
    with pytest.raises(StorageError, match=r"lacks bytes \d+ to \d+"):
        Segments(folder).bring(tmp_path / "copy")


def test_there_is_none(folder, tmp_path):
    assert not Segments(folder).bring(tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_what_the_driver_before_puts_while_the_next_one_begins_is_not_cut_off(folder, tmp_path):
    before = Journal(tmp_path / "journal", segments=Segments(folder))
    before.append({"n": 1})
    before.sync()
    Segments(folder).bring(tmp_path / "copy")
    before.append({"n": 2})
    before.sync()
    with pytest.raises(StorageError, match="still written by the process that drove the run"):
        Journal.open(tmp_path / "copy", Segments(folder))
    before.append({"n": 3})
    before.close()
    Segments(folder).bring(tmp_path / "again")
    assert [each["n"] for each in Journal.read(tmp_path / "again")] == [1, 2, 3]


def test_one_that_was_not_heard_is_joined_with_the_others(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(segments_file, "MANY", 4)
    journal = Journal(tmp_path / "journal", segments=Segments(folder))
    create, tries = type(folder).create, []

    def unheard(self, name, data):
        create(self, name, data)
        tries.append(name)
        if len(tries) == 2:
            raise StorageError("the connection broke")

    monkeypatch.setattr(type(folder), "create", unheard)
    for number in range(9):
        journal.append({"n": number})
        try:
            journal.sync()
        except StorageError:
            journal.sync()
    journal.close()
    Segments(folder).bring(tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == (tmp_path / "journal").read_bytes()
