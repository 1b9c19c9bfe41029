import hashlib
import os
import pickle
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daskrun.data.paths import PathTable, local_copies
from daskrun.errors import DatasetError


def table_of(*names):
    return PathTable((name, n * 10, n) for n, name in enumerate(names))


def test_reads_like_a_list():
    names = ["a/0.png", "ä/ö.png", "b", "c/d/e.txt", "f"]
    table = table_of(*names)
    assert list(table) == names
    assert [table[i] for i in range(-5, 5)] == names + names
    for start in range(6):
        for stop in range(7):
            assert table[start:stop] == names[start:stop]
    assert table[-2:] == names[-2:]
    assert table[::2] == names[::2]
    assert table[::-1] == names[::-1]
    assert "b" in table
    assert "x" not in table
    with pytest.raises(IndexError, match="index=5"):
        table[5]
    with pytest.raises(IndexError):
        table[-6]


def test_empty():
    table = PathTable()
    assert (len(table), list(table), table[0:3], table.nbytes(0, 5)) == (0, [], [], 0)


def test_more_than_one_chunk():
    names = [f"{n:05d}" for n in range(3000)]
    assert list(PathTable((name, 0, 0) for name in names)) == names


def test_names_that_are_not_utf8_survive():
    name = os.fsdecode(b"caf\xe9/\xff.png")
    table = table_of("a", name, "b")
    assert table[1] == name
    assert os.fsencode(table[0:3][1]) == b"caf\xe9/\xff.png"
    assert list(pickle.loads(pickle.dumps(table))) == ["a", name, "b"]


def test_parts_keep_names_sizes_and_times_together():
    table = table_of("a", "bb", "ccc", "dddd", "e")
    part = table.part(1, 4)
    assert list(part.rows()) == [("bb", 10, 1), ("ccc", 20, 2), ("dddd", 30, 3)]
    assert part[1:3] == ["ccc", "dddd"]
    assert list(part.part(1, 9)) == ["ccc", "dddd"]
    assert list(table.part(4, 2)) == []
    assert list(table.part(9, 12)) == []


def test_bytes_are_known_or_not():
    table = PathTable([("a", 3, 0), ("b", -1, 0), ("c", 5, 0), ("d", 6, 0)])
    assert table.nbytes(0, 1) == 3
    assert table.nbytes(0, 2) == -1
    assert table.nbytes(2, 4) == 11


def test_digest_tells_names_sizes_and_times_apart():
    def digest(rows):
        value = hashlib.blake2b()
        PathTable(rows).update(value)
        return value.digest()

    rows = [("a", 1, 1), ("b", 2, 2)]
    others = [
        rows[:1],
        rows[::-1],
        [("a", 1, 1), ("c", 2, 2)],
        [("a", 1, 1), ("b", 3, 2)],
        [("a", 1, 1), ("b", 2, 3)],
        [("ab", 1, 1), ("", 2, 2)],
    ]
    assert digest(rows) == digest(list(rows))
    assert len({digest(r) for r in [rows, *others]}) == 7


def test_a_million_paths_take_less_than_60_mb():
    # Counted, not timed: 30 characters and three columns of 8 bytes each.
    table = PathTable((f"folder/{n:019d}.png", 784, n) for n in range(100_000))
    assert len(table[7]) == 30
    assert table.memory * 10 < 60_000_000


def test_random_slices_agree_with_a_list():
    pick = random.Random(1)
    names = ["x" * pick.randrange(1, 40) + str(n) for n in range(500)]
    table = table_of(*names)
    for _ in range(300):
        start, stop = pick.randrange(-510, 510), pick.randrange(-510, 510)
        assert table[start:stop] == names[start:stop]
        assert list(table.part(start, stop)) == names[start:stop]


@given(
    st.lists(st.tuples(st.text(st.characters(exclude_characters="\0"), max_size=5), st.booleans()))
)
def test_chosen_files_and_bytes_agree_with_rows(pairs):
    pairs = [(name.encode("utf-8", "replace").decode() or "x", flag) for name, flag in pairs]
    table = table_of(*(name for name, _ in pairs), "odd\udce9")
    flags = [*(flag for _, flag in pairs), True]
    wanted = PathTable(row for row, flag in zip(table.rows(), flags, strict=True) if flag)
    found = table.chosen(flags)
    for each in (found, PathTable.from_bytes(found.to_bytes())):
        assert list(each.rows()) == list(wanted.rows())
        assert [each[n] for n in range(len(each))] == list(wanted)
        assert each.to_bytes() == wanted.to_bytes()
    nothing = table.chosen([False] * len(table))
    assert (len(nothing), nothing.to_bytes()) == (0, PathTable().to_bytes())
    assert len(PathTable.from_bytes(PathTable().to_bytes())) == len(PathTable().chosen([])) == 0


@pytest.mark.parametrize("name", ["../x", "a/../../x", "a/..", "folder/"])
def test_a_name_that_leads_out_has_no_local_copy(name):
    with pytest.raises(DatasetError, match="can't be a path below a local folder"):
        local_copies("/to", ["fine", name])


def test_two_names_for_one_local_path_are_refused():
    with pytest.raises(DatasetError, match=r"'a/b' and 'a//b' are the same local path"):
        local_copies("/to", ["a/b", "a//b"])


def test_local_copies_stay_below_the_folder():
    assert local_copies("/to/", ["a/b", "/etc/passwd", "a/b"]) == {
        "a/b": "/to/a/b",
        "/etc/passwd": "/to//etc/passwd",
    }


def test_a_key_that_another_one_has_as_its_folder_is_named(tmp_path):
    # objects may have such keys, files may not
    for names in (["x", "x/y.txt"], ["a/b/c/d", "z", "a/b"]):
        first, second = sorted(each for each in names if each != "z")
        words = f"file names '{first}' and '{second}' can't both be local: the first would be a"
        with pytest.raises(DatasetError, match=words):
            local_copies(str(tmp_path), names)
    assert len(local_copies(str(tmp_path), ["x", "xy/z", "x.txt", "y/x"])) == 4
