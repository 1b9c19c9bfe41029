import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

import pytest

from daskrun.core.codec import Reader, UnknownKindError, Writer, from_record, record, to_record


class Colour(Enum):
    RED = "red"


@record
@dataclass(frozen=True)
class Point:
    x: int
    y: float = 0.5


@record
@dataclass(frozen=True)
class Shape:
    name: str
    points: tuple[Point, ...]
    home: Path | None = None
    colour: Colour = Colour.RED
    corners: tuple[str | Point, ...] = ()
    by_name: Mapping[str, Point] = field(default_factory=dict)
    labels: Sequence[str] | None = None
    note: str = field(default="", init=False)


SHAPE = Shape(
    "a", (Point(1), Point(2, 3.5)), Path("/x"), Colour.RED, ("p", Point(3)), {"q": Point(4)}, ("l",)
)


def test_a_record_is_the_same_again():
    plain = json.loads(json.dumps(to_record(SHAPE)))
    assert plain["points"] == [{"x": 1, "y": 0.5}, {"x": 2, "y": 3.5}]
    assert plain["home"] == "/x"
    assert plain["colour"] == "red"
    assert "note" not in plain
    assert from_record(Shape, plain) == SHAPE
    few = Shape("b", ())
    assert from_record(Shape, to_record(few)) == few
    assert from_record(Shape, {"name": "b", "points": []}) == few


@pytest.mark.parametrize("plain", [{"name": "a"}, {"name": "a", "points": [], "more": 1}])
def test_a_record_with_other_fields_is_refused(plain):
    with pytest.raises(TypeError, match=r"points|more"):
        from_record(Shape, plain)


@record
@dataclass(frozen=True)
class Holder:
    thing: complex | str
    things: tuple[complex, ...] = ()


def test_what_is_no_record_is_made_by_what_was_given():
    made = {complex: lambda plain: complex(*plain["parts"])}
    plain = {"thing": {"parts": [1, 2]}, "things": [{"parts": [3, 4]}]}
    assert from_record(Holder, plain, made) == Holder(1 + 2j, (3 + 4j,))
    assert from_record(Holder, {"thing": "none"}, made) == Holder("none")


def test_what_no_record_can_hold_is_refused():
    with pytest.raises(TypeError, match=r"things\[0\] is of type object"):
        to_record(Holder("", (object(),)))  # type: ignore[arg-type]


CLASSES = {"Point": f"{__name__}:Point", "Absent": "no_such_module:Absent"}


def refuse(value, where):
    raise ValueError(where)


def test_tagged_values_are_the_same_again():
    writer = Writer(
        CLASSES, [(complex, lambda value, _: {"is": "complex", "real": value.real})], refuse
    )
    reader = Reader(CLASSES, {"complex": lambda plain: complex(plain["real"])})
    value = (None, True, 1, 0.5, "x", Point(1), {"a": (Point(2), math.inf), "is": 1}, 4 + 0j)
    plain = json.loads(json.dumps(writer.plain(value)))
    assert plain[5] == {"is": "Point", "x": 1, "y": 0.5}
    assert reader.value(plain) == value
    with pytest.raises(ValueError, match=r"^here: a\[0\]$"):
        writer.plain({"a": [object()]}, "here")


class Further(Point):
    """A subclass is another class."""


def test_only_registered_classes_are_written_or_loaded():
    with pytest.raises(ValueError, match="here"):
        Writer(CLASSES, (), refuse).plain(Further(1), "here")
    for plain in ({"is": "Shape"}, {"is": "Point", "z": 1}, {}, {"is": "Popen", "args": "ls"}):
        with pytest.raises(UnknownKindError):
            Reader(CLASSES, {}).value(plain)
