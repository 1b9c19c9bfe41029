"""A run's journal: what daskrun 0.1 wrote is read, and written the same way."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from daskrun.engine.journal_records import KINDS, decode, encode, read_attempts
from daskrun.engine.past import read_past
from daskrun.storage.journal import Journal

if TYPE_CHECKING:
    from pathlib import Path

WRITTEN = [
    '{"kind":"run","run":"r","plan":"p","mini_batches":null,"settings":{"run_max_try":3}}',
    '{"kind":"planned","mini_batches":3}',
    '{"kind":"survey","key":[0,"look","a.csv",0],"found":"gASVBQAAAAAAAABLAS4="}',
    '{"kind":"survey","key":[1,"look","b.csv",0],"trouble":"torn"}',
    '{"kind":"warnings","texts":["a word"]}',
    (
        '{"kind":"bundle","number":4,"process":["node000","process001",77],"part":"p-1",'
        '"outcomes":[[0,1,0,2,2,10,5,0,99,"d0"],[1,1,1,2,0,-1,0,0,0,"d1"]],'
        '"errors":{"1":{"message":"ValueError: x","where":"s.py:3","text":"Traceback"}}}'
    ),
    '{"kind":"bundle","number":5,"process":null,"part":"","outcomes":[]}',
    '{"kind":"resumed","lost":[0],"forgiven":[1],"tries":3}',
    '{"kind":"resumed","lost":[],"forgiven":[]}',
    '{"kind":"finalizing","mark":"m","mini_batches":3}',
    '{"kind":"unfinished"}',
    '{"kind":"finalized"}',
    '{"kind":"reopened","part":"reopened-1","rows":[[0,0,5,0,99]]}',
    '{"kind":"reopened","part":"reopened-1","rows":[],"last":true}',
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    journal = Journal(tmp_path / "journal")
    for text in WRITTEN:
        journal.append(json.loads(text))
    journal.close()
    return journal.path


def test_each_kind_of_record_is_read_and_written_as_it_was():
    assert {json.loads(text)["kind"] for text in WRITTEN} == set(KINDS)
    for text in WRITTEN:
        assert json.dumps(encode(decode(json.loads(text))), separators=(",", ":")) == text


def test_what_a_later_version_adds_is_passed_over():
    later = {**json.loads(WRITTEN[1]), "checksum": "x"}
    assert decode(later) == decode(json.loads(WRITTEN[1]))


def test_a_journal_tells_its_next_driver_everything(path: Path):
    past = read_past(path)
    assert past is not None
    assert (past.plan, past.mini_batches, past.warnings) == ("p", 3, ["a word"])
    assert [record.trouble for record in past.surveys.values()] == [None, "torn"]
    assert (past.lost, past.forgiven) == ({0: 1}, {1: 1})
    assert (past.mark, past.finalized, past.reopened) == (None, False, 2)
    restored, _ = past.attempts()
    assert (restored.outcome.offset, restored.process.part) == (0, "reopened-1")
    first, second = read_attempts(path)
    assert (first.drivers, first.descriptor, first.outcome.offset) == (0, "d0", 10)
    assert first.process is not None
    assert (first.process.name, first.process.part) == ("process001", "p-1")
    assert first.outcome.error is None
    assert second.outcome.status == 1
    assert second.outcome.error is not None
