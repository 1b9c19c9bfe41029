import pytest

from daskrun.core.tags import has_tags, tag_problems, wanted_problems


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (None, True),
        ([], True),
        (["a"], True),
        (["a", "c"], False),
        ([["a", "1"], "b"], True),
        ([("a", "2")], False),
        ({"a": "1", "b": ""}, True),
        ({"c": "1"}, False),
    ],
)
def test_tags_are_looked_for_by_name_or_value(wanted, found):
    assert wanted_problems("tags", wanted) == []
    assert has_tags({"a": "1", "b": ""}, wanted) is found


@pytest.mark.parametrize("wanted", ["a", 1, [1], [["a"]], [["a", 1]], {"a": 1}])
def test_what_nothing_can_be_looked_for_by(wanted):
    (problem,) = wanted_problems("tags", wanted)
    assert problem.startswith("tags=")


def test_tags_are_texts():
    assert tag_problems("tags", {"a": "b"}) == tag_problems("tags", None) == []
    assert tag_problems("tags", [1]) == ["tags=[1] is not a dict. Write tags={'name': 'text'}."]
    problems = tag_problems("properties", {"a": 1, 2: "b"})
    assert problems == [
        "properties={'a': 1}: 1 is not a text. Write properties={'a': '1'}.",
        "properties={2: 'b'}: 2 is not a text. Write properties={'2': 'b'}.",
    ]
