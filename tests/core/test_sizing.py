"""How many mini-batches travel together."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daskrun.core.sizing import GROWTH, LEAST, LEAST_TAIL, BundleSizer


def taught(seconds: float, slots: int = 2, rounds: int = 12) -> BundleSizer:
    """Give a sizer that has seen mini-batches of ``seconds`` each for a while."""
    sizer = BundleSizer()
    for _ in range(rounds):
        size = sizer.size(10**9, slots)
        sizer.observe(size, size * seconds)
    return sizer


def test_it_begins_with_one_and_one_bundle_for_each_slot() -> None:
    sizer = BundleSizer()
    assert sizer.size(1000, 4) == sizer.size(None, 4) == 1
    assert sizer.window(4, 1000) == sizer.window(4, None) == 1


@pytest.mark.parametrize(("seconds", "size"), [(0.001, 1000), (0.05, 20), (0.5, 2), (60.0, 1)])
def test_it_finds_the_size_that_takes_the_aim(seconds: float, size: int) -> None:
    assert taught(seconds).size(10**9, 2) == pytest.approx(size, abs=1)


def test_it_grows_by_steps_so_that_one_fast_mini_batch_proves_little() -> None:
    sizer = BundleSizer()
    sizer.observe(1, 1e-5)
    assert sizer.size(10**9, 2) == GROWTH


def test_with_many_slots_a_bundle_must_outweigh_a_round_trip_for_each() -> None:
    sizer = BundleSizer()
    assert sizer.aim(2) == LEAST
    assert sizer.aim(1000) == pytest.approx(5.0)
    assert sizer.budget(1000) == 2 * sizer.aim(1000)


def test_near_the_end_bundles_shrink_but_stay_worth_their_round_trip() -> None:
    sizer = taught(0.001)
    assert sizer.size(400, 2) == 100
    assert sizer.size(4, 2) == pytest.approx(LEAST_TAIL / 0.001, abs=1)
    assert taught(0.4).size(4, 2) == 1


@pytest.mark.parametrize("seconds", [0.01, 2.0])
def test_far_from_the_end_a_second_bundle_waits(seconds: float) -> None:
    assert taught(seconds).window(2, None) == taught(seconds).window(2, 1000) == 2


def test_near_the_end_a_second_one_waits_only_where_they_are_short() -> None:
    assert taught(0.01).window(2, 3) == 2
    assert taught(2.0).window(2, 3) == 1


def test_slow_ones_after_fast_ones_are_learnt_of() -> None:
    sizer = taught(0.001)
    for _ in range(12):
        sizer.observe(1, 1.0)
    assert sizer.size(10**9, 2) == 1


def test_a_bundle_that_came_back_untouched_teaches_nothing() -> None:
    sizer = BundleSizer()
    sizer.observe(0, 5.0)
    assert sizer.size(1000, 2) == 1


@given(
    st.lists(st.tuples(st.integers(0, 10_000), st.floats(0, 1000)), max_size=20),
    st.one_of(st.none(), st.integers(0, 10**9)),
    st.integers(0, 5000),
)
def test_a_size_is_always_at_least_one_and_a_window_one_or_two(
    seen: list[tuple[int, float]], remaining: int | None, slots: int
) -> None:
    sizer = BundleSizer()
    for count, seconds in seen:
        sizer.observe(count, seconds)
    assert sizer.size(remaining, slots) >= 1
    assert sizer.window(slots, remaining) in (1, 2)
