from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from generated import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from daskrun.data.tabular.conditions.expression import Column
from daskrun.data.tabular.conditions.row_steps import Steps, drawn, row_keys
from daskrun.data.tabular.planning.resolve import with_window
from daskrun.data.tabular.planning.windows import Windows

FEW = settings(max_examples=examples(100))


def frame_of(rows):
    return pd.DataFrame({"n": range(rows), "k": [i % 3 for i in range(rows)]})


def keys_of(frame):
    return row_keys("a.csv", frame["n"].to_numpy(dtype=np.uint64))


def test_nothing_to_do_gives_the_frame_itself():
    frame = frame_of(5)
    assert Steps([]).apply(frame, None) is frame
    assert Steps([("window", 0, 9)]).apply(frame, None, [(0, 5)]) is frame
    assert Steps([("filter", (Column("n") >= 0).plain)]).apply(frame, None) is frame


def test_steps_in_order():
    steps = Steps(
        [
            ("filter", (Column("k") != 1).plain),
            ("window", 1, None),
            ("drop", ["k"]),
            ("window", 0, 2),
            ("keep", ["n"]),
        ]
    )
    left = steps.apply(frame_of(9), None, [(1, 6), (0, 2)])
    assert left.to_dict("list") == {"n": [2, 3]}
    assert list(left.index) == [0, 1]
    assert steps.windows == [(1, None), (0, 2)]
    assert [steps.counts_known(n) for n in range(3)] == [False, True, True]
    assert len(steps.apply(frame_of(9), None, [], 0)) == 6
    assert len(steps.apply(frame_of(9), None, [(1, 6)], 1)) == 5
    assert steps.looks_at() == {"k"}
    assert not steps.needs_ids


def test_what_follows_from_the_number_of_rows():
    sample = ("sample", 0.0, 0.5, 1)
    steps = Steps([("window", 0, 5), sample, ("window", 2, None), ("drop", ["k"])])
    assert [steps.counts_known(n) for n in range(3)] == [True, False, True]
    assert steps.needs_ids
    assert not steps.samples_before(0)
    assert steps.samples_before(1)
    filtered = Steps([("window", 0, 5), ("filter", (Column("n") > 3).plain)])
    assert filtered.looks_at(0) == set()
    assert filtered.looks_at() == {"n"}
    assert not filtered.counts_known(1)


def test_a_result_can_be_changed_without_a_warning():
    for plain, slices in (
        ([("window", 1, None)], [(1, 5)]),
        ([("filter", (Column("n") > 2).plain)], []),
        ([("keep", ["n"])], []),
    ):
        left = Steps(plain).apply(frame_of(5), None, slices)
        left["n"] = 7
        left.loc[0, "n"] = 8


def test_draws_are_uniform_and_a_second_sample_of_a_seed_is_independent():
    keys = row_keys("x", np.arange(100_000, dtype=np.uint64))
    first = drawn(keys, 0.0, 0.3, 7, position=0)
    second = drawn(keys, 0.0, 0.3, 7, position=1)
    assert abs(first.mean() - 0.3) < 0.01
    assert abs((first & second).mean() - 0.09) < 0.01
    other = drawn(row_keys("y", np.arange(100_000, dtype=np.uint64)), 0.0, 0.3, 7, position=0)
    assert abs((first & other).mean() - 0.09) < 0.01
    assert drawn(keys, 0.0, 1.0, 7, position=0).all()
    # Bits of neighbouring byte offsets have nothing to do with each other.
    strided = row_keys("x", np.arange(0, 10**7, 100, dtype=np.uint64))
    assert abs(drawn(strided, 0.0, 0.5, 1, position=0).mean() - 0.5) < 0.01


def test_draws_never_change():
    keys = row_keys("a.csv", np.array([0, 1, 2**63, 2**64 - 1], dtype=np.uint64))
    assert keys.tolist() == [
        16196178671140811938, 14135435616180656121, 2023059093513241229, 8710187206987030717,
    ]  # fmt: skip


@FEW
@given(st.integers(0, 300), st.floats(0.01, 0.99), st.integers(0, 2**32))
def test_the_parts_of_a_split_are_a_partition(rows, at, seed):
    keys = row_keys("f", np.arange(rows, dtype=np.uint64))
    one, two = (drawn(keys, *part, seed, position=0) for part in ((0.0, at), (at, 1.0)))
    assert (one ^ two).all()


windows = st.lists(
    st.tuples(st.booleans(), st.integers(0, 12)).map(
        lambda each: (each[1], None) if each[0] else (0, each[1])
    ),
    max_size=6,
)


@FEW
@given(windows, st.integers(0, 30))
def test_adjacent_windows_are_one(calls, rows):
    steps = ()
    expected = list(range(rows))
    for start, stop in calls:
        steps = with_window(steps, start, stop)
        expected = expected[start:stop]
    assert len(steps) <= 1
    got = list(range(rows))[steps[0][1] : steps[0][2]] if steps else list(range(rows))
    assert got == expected


step = st.one_of(
    st.tuples(st.just("window"), st.integers(0, 9), st.none() | st.integers(9, 20)),
    st.tuples(st.just("sample"), st.just(0.0), st.floats(0.3, 1.0), st.integers(0, 3)),
    st.integers(0, 2).map(lambda k: ("filter", (Column("k") != k).plain)),
)


@FEW
@given(st.lists(step, max_size=5), st.lists(st.integers(0, 12), min_size=1, max_size=6))
def test_the_same_rows_however_they_are_cut(plain, sizes):
    """Whole: one mini-batch whose slices are the windows. Cut: as the plan finds them."""
    steps = Steps(plain)
    whole = frame_of(sum(sizes))
    cuts = np.cumsum([0, *sizes])
    frames = [whole.iloc[low:high] for low, high in pairwise(cuts)]
    parts = [
        steps.apply(frame.reset_index(drop=True), keys_of(frame), each)
        for frame, each in zip(frames, _slices(steps, frames), strict=True)
        if each is not None
    ]
    assert [n for part in parts for n in part["n"]] == _plainly(plain, whole)


def _plainly(plain, frame):
    """Apply the steps to all rows at once."""
    samples = 0
    for kind, *given_ in plain:
        if kind == "window":
            frame = frame.iloc[slice(*given_)]
        elif kind == "filter":
            frame = frame[frame["k"] != given_[0][3][2]]
        else:
            frame = frame[drawn(keys_of(frame), *given_, position=samples)]
            samples += 1
    return frame["n"].tolist()


def _slices(steps, frames):
    """Find each mini-batch's slices through Windows, as a plan does; None: nothing is left."""
    bounds = steps.windows
    if not bounds:
        return [()] * len(frames)
    plan = Windows(bounds, [steps.counts_known(n) for n in range(len(bounds))])
    for index, frame in enumerate(frames):
        plan.enter(index, len(frame))
    while waiting := [each for each in plan.uncounted() if not each[1].asked]:
        window, arrival = waiting[0]
        frame = frames[arrival.index]
        reached = steps.apply(frame.reset_index(drop=True), keys_of(frame), arrival.slices, window)
        rows = len(reached)
        plan.count(arrival, rows)
    kept = {arrival.index: arrival.slices for arrival in plan.kept()}
    return [kept.get(index) for index in range(len(frames))]


@pytest.mark.parametrize("kind", ["sample"])
def test_sampled_rows_need_keys(kind):
    with pytest.raises(AssertionError, match="sampled rows have keys"):
        Steps([(kind, 0.0, 0.5, 1)]).apply(frame_of(3), None)
