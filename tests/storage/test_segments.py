"""A journal behind a URL."""

import pytest

from daskrun.errors import StorageError
from daskrun.storage.journal import Journal, encoded
from daskrun.storage.segments import Segments
from daskrun.storage.stores import open_url_folder


@pytest.fixture
def folder(bucket):
    return open_url_folder(f"{bucket.url}/runs/r1", bucket.options)


def written(folder, path, records, **options):
    journal = Journal(path, segments=Segments(folder, **options))
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


def test_small_segments_are_joined(folder, tmp_path, bucket):
    written(folder, tmp_path / "journal", range(10), many=4)
    assert bucket.keys() == ["runs/r1/journal/000000000000000"]  # at the 4th, 7th and 10th
    Segments(folder).bring(tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == (tmp_path / "journal").read_bytes()


def test_a_driver_killed_while_segments_were_joined(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(type(folder), "delete", lambda *_: None)  # killed before that
    written(folder, tmp_path / "journal", range(6), many=4)
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


def test_the_next_driver_has_all_that_the_one_before_put_until_it_took_over(
    folder, tmp_path, monkeypatch
):
    """The one before was only stopped: it goes on while the next one begins."""
    before = Journal(tmp_path / "journal", segments=Segments(folder))
    before.append({"n": 1})
    before.sync()
    create, late = type(folder).create, []

    def meanwhile(self, name, data):
        if not late:
            late.append(name)
            before.append({"n": 2})
            before.sync()
        create(self, name, data)

    with monkeypatch.context() as patch:
        patch.setattr(type(folder), "create", meanwhile)
        Segments(folder).take_over(tmp_path / "copy", encoded({"kind": "mine now"}))
    before.append({"n": 3})
    with pytest.raises(StorageError, match="another process, which has taken the run over"):
        before.sync()
    after = Journal.open(tmp_path / "copy", Segments(folder))
    after.append({"n": 4})
    after.close()
    Segments(folder).bring(tmp_path / "again")
    records = [{"n": 1}, {"n": 2}, {"kind": "mine now"}, {"n": 4}]
    assert list(Journal.read(tmp_path / "again")) == records


def test_who_has_not_begun_a_journal_can_not_once_the_run_was_taken_over(folder, tmp_path):
    before = Journal(tmp_path / "journal", segments=Segments(folder))
    before.append({"n": 1})
    Segments(folder).take_over(tmp_path / "copy", encoded({"kind": "mine now"}))
    with pytest.raises(StorageError, match="another process, which has taken the run over"):
        before.sync()
    after = Journal.open(tmp_path / "copy", Segments(folder))
    after.append({"n": 1})
    after.close()
    Segments(folder).bring(tmp_path / "again")
    assert list(Journal.read(tmp_path / "again")) == [{"kind": "mine now"}, {"n": 1}]


@pytest.mark.parametrize("refused", ["put", "delete"])
def test_a_store_that_refuses_to_join_takes_records_all_the_same(
    folder, tmp_path, monkeypatch, refused
):
    call, refusals = getattr(type(folder), refused), []

    def once(self, *values):
        if not refusals:
            refusals.append(values)
            raise StorageError("403")
        call(self, *values)

    monkeypatch.setattr(type(folder), refused, once)
    written(folder, tmp_path / "journal", range(12), many=4)
    assert refusals
    Segments(folder).bring(tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == (tmp_path / "journal").read_bytes()


def test_segments_that_are_joined_while_they_are_read(folder, tmp_path, monkeypatch):
    journal = Journal(tmp_path / "journal", segments=Segments(folder, many=4))
    for number in range(3):
        journal.append({"n": number})
        journal.sync()
    read, joined = type(folder).read_whole, []

    def meanwhile(self, name):
        if not joined and not name.endswith("0" * 15):
            joined.append(name)
            journal.append({"n": 3})
            journal.sync()  # the fourth: the second is gone then
        return read(self, name)

    monkeypatch.setattr(type(folder), "read_whole", meanwhile)
    (tmp_path / "copy").write_text("what was brought before")
    Segments(folder).bring(tmp_path / "copy")
    assert joined
    assert [each["n"] for each in Journal.read(tmp_path / "copy")] == [0, 1, 2, 3]
    journal.close()


def test_a_journal_that_can_not_be_brought_leaves_the_one_that_is_here(folder, tmp_path, bucket):
    written(folder, tmp_path / "journal", range(3))
    folder.delete([bucket.keys()[1].removeprefix("runs/r1/")])
    before = (tmp_path / "journal").read_bytes()
    with pytest.raises(StorageError, match="lacks bytes"):
        Segments(folder).bring(tmp_path / "journal")
    assert (tmp_path / "journal").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["journal"]


def test_one_that_was_not_heard_is_joined_with_the_others(folder, tmp_path, monkeypatch):
    journal = Journal(tmp_path / "journal", segments=Segments(folder, many=4))
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
