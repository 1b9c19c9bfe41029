"""What crosses between processes: values in frames, the inbox, the status block and its blame."""

from __future__ import annotations

import os
import pickle
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daskrun.core.outcome import Outcome
from daskrun.script.messages import KNOWN, Signal
from daskrun.script.status_block import Blame, Phase, StatusBlock, all_in_hand, blame
from daskrun.script.wire import Inbox, Unpacker, decode, pack, shared_memory, write_all

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    max_leaves=10,
)


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch /tmp/never",)


@pytest.mark.parametrize(
    "value",
    [Evil(), os.path.join, Outcome, ValueError("x"), [{"deep": (1, Evil())}]],
    ids=["reduce", "function", "class", "exception", "nested"],
)
def test_no_class_and_no_function_comes_through(value: object) -> None:
    with pytest.raises(pickle.UnpicklingError, match="only plain values travel here"):
        decode(pickle.dumps(value, 5))


class Old:
    """Is pickled as Python 3.11.0 to 3.11.3 do with members of enumerations."""

    def __init__(self, *values: object) -> None:
        self.values = values

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return getattr, self.values


def test_members_of_known_enumerations_come_from_every_python() -> None:
    for signal in Signal:
        assert decode(pickle.dumps(Old(Signal, signal.name), 5), KNOWN) is signal
    for values in ((Signal, "__class__"), (Signal, "mro"), (Outcome, "__new__"), ({}, "pop")):
        with pytest.raises((pickle.UnpicklingError, KeyError)):
            decode(pickle.dumps(Old(*values), 5), KNOWN)


@given(plain)
def test_plain_values_come_through_as_they_were(value: object) -> None:
    assert decode(pickle.dumps(value, 5)) == value


@given(st.lists(plain, max_size=6), st.lists(st.integers(0, 10_000), max_size=12))
def test_messages_are_found_however_the_stream_is_cut(
    messages: list[object], cuts: list[int]
) -> None:
    stream = b"".join(map(pack, messages))
    edges = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    unpacker, found = Unpacker(), []
    for begin, end in pairwise(edges):
        found += unpacker.feed(stream[begin:end])
    assert found == messages


def test_a_torn_message_at_the_end_is_not_given() -> None:
    stream = pack(1) + pack("second")
    for end in range(len(pack(1)), len(stream)):
        assert Unpacker().feed(stream[:end]) == [1]


def test_write_all_writes_more_than_a_pipe_holds() -> None:
    reader, writer = os.pipe()
    data, found = os.urandom(300_000), bytearray()
    if (child := os.fork()) == 0:
        os.close(reader)
        write_all(writer, data)
        os._exit(0)
    os.close(writer)
    while chunk := os.read(reader, 65536):
        found += chunk
    assert os.waitpid(child, 0)[1] == 0
    os.close(reader)
    assert bytes(found) == data


def test_the_inbox_gives_each_message_once_then_none_at_the_end() -> None:
    memory = shared_memory("test-inbox")
    ours, theirs = os.pipe()
    sender, receiver = Inbox(memory, theirs), Inbox(memory, ours)
    # more than a pipe holds, before anybody reads: the sender must not block
    for message in ({"payload": os.urandom(1_000_000)}, {"small": 1}, None):
        sender.put(message)
        assert receiver.get() == message
    os.close(theirs)
    assert receiver.get() is None
    os.close(ours)
    os.close(memory)


@pytest.fixture
def block() -> StatusBlock:
    fd = shared_memory("test-block")
    block = StatusBlock(fd, create=True)
    os.close(fd)
    return block


def test_a_block_with_nothing_in_hand_blames_nobody(block: StatusBlock) -> None:
    assert blame(block) is None


@pytest.mark.parametrize("loading", [True, False])
def test_the_mini_batch_in_hand_is_blamed(block: StatusBlock, loading: bool) -> None:
    block.ints[StatusBlock.ATTEMPT], block.ints[StatusBlock.ITEMS] = 2, 10
    block.times[StatusBlock.STARTED_AT] = 1e9
    block.times[StatusBlock.LOADING_SINCE], block.times[StatusBlock.RUNNING_SINCE] = 5.0, 6.0
    block.ints[StatusBlock.RUNNING], block.ints[StatusBlock.IN_HAND] = not loading, 7
    assert blame(block) == Blame(7, 2, 10, 5.0 if loading else 6.0, 1e9, loading)


def test_items_not_yet_known_count_as_one(block: StatusBlock) -> None:
    block.ints[StatusBlock.IN_HAND] = 0
    found = blame(block)
    assert found is not None
    assert found.items == 1


def test_what_the_processes_of_a_node_have_in_hand_outlives_them() -> None:
    board = shared_memory("test-board")
    blocks = [StatusBlock(board, slot, create=True) for slot in range(3)]
    blocks[2].ints[StatusBlock.ATTEMPT], blocks[2].ints[StatusBlock.IN_HAND] = 2, 7
    for block in blocks:
        block.close()
    os.pwrite(board, b"x", 1 << 40)  # of a script that writes to each descriptor it finds
    [(slot, at)] = all_in_hand(board)
    assert (slot, at.index, at.attempt) == (2, 7, 2)
    os.close(board)


def test_two_views_of_one_block_show_the_same(block: StatusBlock) -> None:
    fd = shared_memory("test-block")
    mine = StatusBlock(fd, create=True)
    theirs = StatusBlock(fd, create=False)
    theirs.ints[StatusBlock.RUNNING] = 3
    theirs.enter(Phase.IDLE, 12.5)
    assert (mine.ints[StatusBlock.RUNNING], mine.ints[StatusBlock.PHASE]) == (3, 2)
    assert mine.times[StatusBlock.PHASE_SINCE] == 12.5
    for one in (mine, theirs, block):
        one.close()
    os.close(fd)
