import pickle

import pytest

from daskrun.errors import NameNotFoundError


@pytest.mark.parametrize(
    ("name", "known", "expected"),
    [
        ("x", [], "There is no run yet."),
        ("x", ["b", "a"], "There are 'b', 'a'."),
        ("x", list("abcdefghij"), "There are 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j'."),
        ("x", [f"r{n:,}" for n in range(2000, 0, -1)], "'r1,992', 'r1,991' and 1,990 more."),
        ("m:99", [f"m:{n}" for n in range(1, 13)], "There are 'm:3', 'm:4', "),
        ("m:99", [f"m:{n}" for n in range(1, 13)], "'m:11', 'm:12' and 2 older."),
        ("m:99", [f"m{n}" for n in range(1, 13)], "There are 'm1', 'm2', "),
    ],
)
def test_of_many_names_the_likeliest_are_shown(name, known, expected):
    error = NameNotFoundError("run", name, known)
    assert str(error).startswith(f"no run has the name {name!r}. There ")
    assert expected in str(error)
    assert len(repr(error)) < 200
    assert pickle.loads(pickle.dumps(error)).known == tuple(known)
