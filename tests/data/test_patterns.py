import pytest

from daskrun.data.patterns import ALL, NO_DATA, Pattern, has_magic

CASES = [
    ("*.png", ["0.png", "a.png"], ["a.jpg", "b/0.png", ".0.png", "png"]),
    ("?.png", ["0.png"], ["10.png", ".png"]),
    ("[0-4]*.png", ["0.png", "4x.png"], ["5.png"]),
    ("[!0].png", ["1.png"], ["0.png"]),
    ("*/0.png", ["a/0.png"], ["0.png", "a/b/0.png", ".a/0.png"]),
    ("**", ["0", "a/0", "a/b/0"], [".0", "a/.0", ".a/0"]),
    ("**/*.png", ["0.png", "a/0.png", "a/b/0.png"], ["a/0.jpg", "a/.b/0.png"]),
    ("a/**", ["a/0", "a/b/0"], ["b/0", "a"]),
    ("a/**/z/*.x", ["a/z/1.x", "a/b/z/1.x", "a/b/c/z/1.x", "a/z/z/1.x"], ["a/1.x", "z/1.x"]),
    ("**/**/x", ["x", "a/x", "a/b/x"], ["a/y"]),
    ("**/a/**/b", ["a/b", "x/a/b", "a/x/b", "a/a/b/b"], ["b", "a", "x/b"]),
    (".*", [".hidden"], ["plain"]),
    (".h/*", [".h/0"], ["h/0", ".h/.0"]),
    ("x**y", ["xy", "x12y"], ["x/y"]),
    ("*.PNG", ["a.PNG"], ["a.png"]),
    ("a[b", ["a[b"], ["ab"]),
    ("a.b*", ["a.b", "a.bc"], ["axb"]),
]


@pytest.mark.parametrize(("glob", "yes", "no"), CASES)
def test_what_a_glob_means(glob, yes, no):
    pattern = Pattern(glob.split("/"))
    assert [name for name in yes if not pattern.matches(name)] == []
    assert [name for name in no if pattern.matches(name)] == []


def test_depth_is_known_unless_folders_may_be_skipped():
    assert Pattern(["*", "*.png"]).depth == 2
    assert Pattern(["**", "*.png"]).depth is None


def test_folders_that_can_hold_nothing_are_not_entered():
    pattern = Pattern(["a*", "*.png"])
    inside = pattern.enter(pattern.start, "abc")
    assert inside
    assert not pattern.enter(pattern.start, "b")
    assert not pattern.enter(inside, "deeper")


@pytest.mark.parametrize(
    ("text", "magic"), [("a*", True), ("a?", True), ("[", True), ("a.b", False)]
)
def test_magic(text, magic):
    assert has_magic(text) is magic


@pytest.mark.parametrize(
    ("glob", "yes", "no"),
    [
        ("**", ["0", "a/0", "_y=1/0"], ["_SUCCESS", ".0.crc", "a/_0", "_delta_log/0.json"]),
        ("*.csv", ["a.csv"], ["_a.csv", ".a.csv"]),
        ("_*", ["_a.csv"], ["a"]),
        ("_a/*", ["_a/0"], ["_a/_0"]),
    ],
)
def test_what_is_no_data_is_left_out_where_it_is_not_named(glob, yes, no):
    for hidden, left_out in ((NO_DATA, no), (ALL, [])):
        pattern = Pattern(glob.split("/"), hidden)
        assert [name for name in yes if not pattern.matches(name)] == []
        assert [name for name in left_out if pattern.matches(name)] == []
    everything = Pattern(["**"], ALL)
    assert all(everything.matches(name) for name in (*yes, *no))
