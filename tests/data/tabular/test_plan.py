"""The plan of tables: order, surveys that end in any order, windows, groups."""

from __future__ import annotations

import itertools
import random

import pytest
from generated import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from daskrun.data.listing import Listing
from daskrun.data.paths import PathTable
from daskrun.data.tabular.formats.contract import Cut
from daskrun.data.tabular.formats.frames.reader import FrameSpec
from daskrun.data.tabular.loading.table_spec import Partition, TableSpec
from daskrun.data.tabular.planning.resolve import TableInput
from daskrun.data.tabular.planning.table_plan import TablePlan
from daskrun.errors import DatasetError


class Split:
    """Finds the cuts of a file of ten-byte rows by surveys of some rows each."""

    def __init__(self, rows, each):
        self._rows, self._each, self._done = rows, each, 0
        self.surveys = max(1, -(-rows // each))

    def request(self, number):
        return ("rows", number)

    def feed(self, found):
        start, self._done = self._done, self._done + found
        return [Cut(start, self._done, found, found * 10)] if found else []

    def give_up(self, trouble):
        return [Cut(self._done, None, -1, -1, trouble)]


class Splitter:
    """Cuts files of up to ``mini_batch_size`` rows at once, others by surveys."""

    def __init__(self, size, known):
        self._size, self._known = size, known

    def begin(self, name, size):
        if size <= self._size:
            return [Cut(0, size, size if self._known else -1, size * 10)] if size else []
        return Split(size, self._size)


def spec_of(steps=(), partition=None):
    reader = FrameSpec(columns=(("x", "int"),), strict_types=False, warnings=())
    return TableSpec(reader, ("x",), partition, include_path=False, steps=tuple(steps))


def table(sizes, steps=(), known=True, partition=None):
    names = PathTable((f"{'ab'[n % 2]}/{n:03d}.csv", size, n) for n, size in enumerate(sizes))
    spec = spec_of(steps, partition)
    return TableInput(
        Listing("/data", names, False), lambda _, size: Splitter(size, known=known), spec
    )


def finish(plan, sizes, seed=0, most=3):
    """Complete a plan as a run would, with surveys that come back in any order."""
    chance = random.Random(seed)
    out = {}
    while not plan.complete:
        before = plan.known
        plan.extend(before + 5)
        for survey in plan.surveyor.begin(most - len(out)):
            out[survey.number] = survey.key
        if plan.complete or (not out and plan.known == before):
            break
        if not out:
            continue
        number = chance.choice(sorted(out))
        which, kind, *what = out.pop(number)
        if kind == "look":
            file = int(what[0][2:5])
            total, each = sizes[which][file], plan.mini_batch_size
            plan.learn(number, min(each, total - what[2] * each))
        else:
            plan.learn(number, counted(plan, which, what[0]))
    assert plan.complete


def counted(plan, which, index):
    """Count the rows of a piece: nothing drops any before the first window here."""
    (piece,) = plan._plans[which]._cutting.pieces([index])
    return piece[2] - piece[1]


def rows_of(plan):
    """Give (input, file, row) of every row that the plan's mini-batches keep, in order."""
    found = []
    for index in range(plan.known):
        batch = plan[index]
        assert batch.index == index
        assert plan.encode(index) == batch.encode()
        rows = []
        for name, start, stop, trouble in batch.load.pieces:
            assert not trouble
            rows += [(batch.input, name, row) for row in range(start, stop)]
        for low, high in batch.load.slices:
            rows = rows[low:high]
        assert rows, "no mini-batch is empty"
        found.append(rows)
    return found


def whole(sizes):
    return [
        (which, f"{'ab'[file % 2]}/{file:03d}.csv", row)
        for which, files in enumerate(sizes)
        for file, size in enumerate(files)
        for row in range(size)
    ]


SIZES = st.lists(st.lists(st.integers(0, 12), min_size=1, max_size=6), min_size=1, max_size=3)


@settings(max_examples=examples(60))
@given(sizes=SIZES, size=st.integers(1, 6), seed=st.integers(0, 99), known=st.booleans())
def test_every_row_once_in_order_whatever_order_surveys_end_in(sizes, size, seed, known):
    tables = [(f"t{n}", table(files, known=known)) for n, files in enumerate(sizes)]
    plan = TablePlan(tables, size)
    finish(plan, sizes, seed)
    batches = rows_of(plan)
    assert [row for rows in batches for row in rows] == whole(sizes)
    assert all(len({name for _, name, _ in rows}) == 1 for rows in batches)


@settings(max_examples=examples(60))
@given(
    files=st.lists(st.integers(0, 12), min_size=1, max_size=6),
    size=st.integers(1, 6),
    seed=st.integers(0, 99),
    known=st.booleans(),
    windows=st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20) | st.none()), max_size=3),
)
def test_windows_keep_what_slices_of_all_rows_would(files, size, seed, known, windows):
    bounds = [(low, None if more is None else low + more) for low, more in windows]
    plan = TablePlan([("t", table(files, [("window", *b) for b in bounds], known))], size)
    finish(plan, [files], seed)
    expected = whole([files])
    for low, high in bounds:
        expected = expected[low:high]
    assert [row for rows in rows_of(plan) for row in rows] == expected


def test_rows_are_counted_on_as_long_as_they_are_known():
    plan = TablePlan([("t", table([3, 2, 4]))], 4)
    finish(plan, [[3, 2, 4]])
    assert [plan[n].load.first_row for n in range(3)] == [0, 3, 5]
    assert [plan[n].items for n in range(3)] == [3, 2, 4]
    plan = TablePlan([("t", table([3, 2, 9], known=False))], 4)
    finish(plan, [[3, 2, 9]])
    assert [plan[n].load.first_row for n in range(3)] == [0, None, None]
    assert [plan[n].items for n in range(5)] == [None, None, 4, 4, 1]
    filtered = table([3, 2], [("filter", ("==", ("column", "x"), ("value", 1)))])
    plan = TablePlan([("t", filtered)], 4)
    finish(plan, [[3, 2]])
    assert [plan[n].items for n in range(2)] == [None, None]


def test_a_take_looks_no_further_than_it_needs():
    plan = TablePlan([("t", table([5] * 10_000, [("window", 0, 7)]))], 5)
    plan.extend(10_000)
    assert plan.complete
    assert plan.known == 2
    assert len(plan._plans[0]._cutting.cuts) < 100


def test_what_can_not_be_surveyed_is_one_bad_piece():
    plan = TablePlan([("t", table([3, 9, 3]))], 4)
    plan.extend(10)
    surveys = plan.begin(10)
    plan.learn(surveys[0].number, 4)
    trouble = "b/001.csv can't be cut into mini-batches: no such page"
    plan.give_up(surveys[1].number, "no such page")
    plan.learn(surveys[2].number, 1)  # comes too late, and is not wanted
    plan.extend(10)
    assert plan.complete
    pieces = [plan[n].load.pieces[0] for n in range(plan.known)]
    assert [piece[1:] for piece in pieces] == [
        (0, 3, ""), (0, 4, ""), (4, None, trouble), (0, 3, "")
    ]  # fmt: skip


def test_what_can_not_be_surveyed_is_the_same_piece_in_whichever_order_that_is_found_out():
    found = {0: 4, 1: 4, 2: "no such page", 3: "nor this one"}  # a resumed run hears of them anew
    for order in itertools.permutations(found):
        plan = TablePlan([("t", table([16, 3]))], 4)
        plan.extend(10)
        surveys = plan.begin(10)
        for each in order:
            number, told = surveys[each].number, found[each]
            (plan.give_up if isinstance(told, str) else plan.learn)(number, told)
        plan.extend(10)
        assert plan.complete
        pieces = [plan[n].load.pieces[0] for n in range(plan.known)]
        trouble = "a/000.csv can't be cut into mini-batches: no such page"
        assert [piece[1:] for piece in pieces] == [
            (0, 4, ""), (4, 8, ""), (8, None, trouble), (0, 3, "")
        ]  # fmt: skip


def test_a_take_over_what_can_not_be_counted_ends_the_plan():
    plan = TablePlan([("t", table([3, 3], [("window", 1, 5)], known=False))], 4)
    plan.extend(10)
    (first, _) = plan.begin(10)
    with pytest.raises(DatasetError, match=r"take\(\) and skip\(\) count rows.*gone"):
        plan.give_up(first.number, "gone")


def test_groups_are_the_combinations_in_the_order_of_the_files():
    partition = Partition("{key}/{n}.csv", ("key", "n"))
    plan = TablePlan([("t", table([3, 2, 0, 4], partition=partition))], 1, ["key"])
    finish(plan, [[3, 2, 0, 4]])
    assert [[piece[0] for piece in plan[n].load.pieces] for n in range(plan.known)] == [
        ["a/000.csv"], ["b/001.csv", "b/003.csv"]
    ]  # fmt: skip
    assert [plan[n].items for n in range(2)] == [3, 6]
    with pytest.raises(DatasetError, match="input 't' is not partitioned"):
        TablePlan([("t", table([1]))], 1, ["key"])


@settings(max_examples=examples(60))
@given(
    files=st.lists(st.integers(0, 9), min_size=1, max_size=8),
    windows=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 30) | st.none()), max_size=3),
    known=st.booleans(),
)
def test_windows_keep_the_same_rows_where_files_are_put_together(files, windows, known):
    bounds = [(low, None if more is None else low + more) for low, more in windows]
    partition = Partition("{key}/{n}.csv", ("key", "n"))
    steps = [("window", *b) for b in bounds]
    plan = TablePlan([("t", table(files, steps, known, partition))], 1, ["key"])
    finish(plan, [files])
    expected = whole([files])
    for low, high in bounds:
        expected = expected[low:high]
    found = rows_of(plan)
    assert sorted(row for rows in found for row in rows) == sorted(expected)
    assert [{name[0] for _, name, _ in rows} for rows in found] == [
        {key} for key in "ab" if any(name[0] == key for _, name, _ in expected)
    ]


def test_bundles_end_where_a_large_row_group_does():
    class Grouped:
        def __init__(self, size):
            pass

        def begin(self, name, size):
            return [Cut(row, row + 1, 1, 1, goes_on=row % 8 > 0) for row in range(size)]

    listing = Listing("/data", PathTable([("a", 24, 0), ("b", 5, 0)]), False)
    table_input = TableInput(listing, lambda _, size: Grouped(size), spec_of())
    plan = TablePlan([("t", table_input)], 1)
    plan.extend(100)
    assert plan.known == 29
    sizes = [plan.bundle_size(0, count) for count in (1, 3, 4, 6, 8, 11, 13, 20, 100)]
    assert sizes == [1, 3, 8, 8, 8, 8, 16, 16, 100]
    assert [plan.bundle_size(5, count) for count in (1, 3, 7, 8)] == [1, 3, 11, 11]
    assert plan.bundle_size(20, 5) == 4
    assert plan.bundle_size(24, 6) == 5


def test_the_fingerprint_is_of_data_schema_and_size():
    made = [
        TablePlan([("t", table([3]))], 1).fingerprint(),
        TablePlan([("t", table([4]))], 1).fingerprint(),
        TablePlan([("t", table([3]))], 2).fingerprint(),
        TablePlan([("t", table([3], [("window", 0, 1)]))], 1).fingerprint(),
    ]
    assert len(set(made)) == 4
    assert made[0] == TablePlan([("t", table([3]))], 1).fingerprint()


@pytest.mark.parametrize("size", [0, -1, "1MB", 1.5])
def test_a_size_that_is_none(size):
    with pytest.raises(DatasetError, match=r"mini_batch_size=.* is not a number of bytes"):
        TablePlan([("t", table([1]))], size)
