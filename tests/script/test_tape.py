"""Outcomes on the outcome log: what is written is read, and nothing else ever comes out of it."""

import pickle

import pytest

from daskrun.core.outcome import Failure, Found, ItemsFailed, Outcome, Status
from daskrun.script.outcome_log import pack_outcome, read_outcome_log, rowless
from daskrun.script.wire import decode, encode, pack

SUCCESS = Outcome(7, 1, 0, 10, 9, 2**40, 300, 12, 2**32 - 1, 1.7e9 + 0.25, 0.5, 0.25, 0.125, None)
SURVEYED = Outcome(0, 1, 0, 0, 0, -1, 0, 0, 0, 1.0, 2.0, 0.0, 2.0, Found({"rows": (1, None)}))
PARTLY = SUCCESS._replace(error=ItemsFailed(2, ((0, "/a.txt", "ValueError: é", "E", "s.py:3"),)))
NOTHING_WRITTEN = SUCCESS._replace(index=2**40, offset=-1, length=0, head=0, crc=0)
FAILURE = Outcome(
    8, 3, 1, 10, 0, -1, 0, 0, 0, 1.0, 2.0, 1.5, 0.25, Failure("ValueError: é", exit_code=0)
)


def test_outcomes_come_back_as_they_were():
    outcomes = [SUCCESS, FAILURE, NOTHING_WRITTEN, FAILURE, SURVEYED, PARTLY, SUCCESS]
    read = read_outcome_log(b"".join(pack_outcome(one) for one in outcomes))
    assert read == outcomes
    assert all(type(one) is Outcome for one in read)
    assert type(read[4].error) is Found
    assert (read[5].items_failed, read[5].failure) == (PARTLY.error, None)
    assert read_outcome_log(b"") == []


@pytest.mark.parametrize("last", [SUCCESS, FAILURE])
def test_a_torn_frame_ends_the_outcome_log(last):
    whole, torn = pack_outcome(SUCCESS), pack_outcome(last)
    for cut in range(len(torn)):
        assert read_outcome_log(whole + torn[:cut]) == [SUCCESS], cut
    assert read_outcome_log(whole + torn) == [SUCCESS, last]


def test_nothing_but_plain_values_is_made():
    with pytest.raises(pickle.UnpicklingError, match="only plain values"):
        decode(encode((*FAILURE[:-1], print)))
    for strange in (pack((*FAILURE[:-1], print)), b"\1\1" * 500, pack("text"), pack(None)):
        assert read_outcome_log(pack_outcome(SUCCESS) + strange) == [SUCCESS]


def test_rowless_a_success_is_a_failure_or_was_never_begun():
    outcomes = [SUCCESS, FAILURE, NOTHING_WRITTEN]
    assert rowless(outcomes) == [FAILURE, NOTHING_WRITTEN]
    error = Failure("OSError: full")
    lost, *others = rowless(outcomes, error)
    assert others == [FAILURE, NOTHING_WRITTEN]
    assert lost[:9] == (7, 1, Status.NOT_WRITTEN, 10, 0, -1, 0, 0, 0)
    assert lost[9:] == (*SUCCESS[9:13], error)
