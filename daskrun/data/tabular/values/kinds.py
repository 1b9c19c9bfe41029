"""Kinds of values, and which of them a column of each kind takes: the law of types as a table.

What becomes of a value that is taken is in :mod:`daskrun.data.tabular.values.law`. Formats only say
what they found.
"""

from __future__ import annotations

from enum import Enum
from functools import lru_cache

from daskrun.data.libraries import pa
from daskrun.data.tabular.values.types import arrow_type, datetime_formats


class Kind(Enum):
    """What values are; in words for messages."""

    TEXT = "a text"
    WHOLE = "a whole number"
    FLOAT = "a number"
    EXACT = "an exact decimal"
    BOOL = "true or false"
    DATE = "a date"
    NAIVE = "a date and time without a zone"
    ZONED = "a date and time with a zone"
    TIME = "a time of day"
    DURATION = "a duration"
    BINARY = "bytes"
    LIST = "a list"
    STRUCT = "an object"
    MAP = "a map"
    NULL = "nothing"
    OTHER = "of another type"


_NUMBERS = frozenset({Kind.WHOLE, Kind.FLOAT, Kind.EXACT})

WITHIN: dict[Kind, frozenset[Kind]] = {
    **{kind: frozenset({kind}) for kind in Kind},
    **dict.fromkeys(_NUMBERS, _NUMBERS),
    Kind.DATE: frozenset({Kind.DATE, Kind.NAIVE}),
    Kind.NAIVE: frozenset({Kind.DATE, Kind.NAIVE}),
}
"""Kinds that a type takes wherever it stands, also inside nested values: each value exactly."""

WRITTEN = frozenset(Kind) - {Kind.LIST, Kind.STRUCT, Kind.MAP, Kind.BINARY, Kind.OTHER}
"""Kinds that have a written form, which a column takes where it takes the value."""

MOMENTS = frozenset({Kind.NAIVE, Kind.ZONED})
"""Kinds that are always written as text, in JSON, too."""


def admits(
    type_text: str, kind: Kind, declared: bool, reads: frozenset[Kind] = frozenset()
) -> bool:
    """Return whether a column takes values of a kind, as far as each can be held.

    ``declared``: whether ``set_column_types`` says the type; else it is inferred. ``reads``: kinds
    that the format has no other form for than text.
    """
    target = kind_of(arrow_type(type_text))
    if kind is Kind.NULL or kind in WITHIN[target] or kind is target:
        return True
    if target is Kind.TEXT:
        return kind is not Kind.OTHER
    if kind is Kind.TEXT:  # as it is written
        return target in (WRITTEN if declared else reads)
    if kind is Kind.WHOLE:  # 0 and 1; digits in the order of a format
        return (target is Kind.BOOL and declared) or bool(datetime_formats(type_text))
    return False


def wider(one: pa.DataType, other: pa.DataType) -> pa.DataType:
    """Return the type that holds the values of both, or else the first."""
    kinds = kind_of(one), kind_of(other)
    if one.equals(other) or Kind.NULL in kinds:
        return other if kinds[0] is Kind.NULL else one
    if pa.types.is_dictionary(one) or pa.types.is_dictionary(other):
        return wider(*(t.value_type if pa.types.is_dictionary(t) else t for t in (one, other)))
    if set(kinds) == {Kind.DATE, Kind.NAIVE}:
        return one if kinds[0] is Kind.NAIVE else other
    if kinds == (Kind.LIST, Kind.LIST):
        return pa.list_(wider(one.value_type, other.value_type))
    if kinds == (Kind.STRUCT, Kind.STRUCT):
        found = {field.name: field.type for field in one}
        for field in other:
            found[field.name] = wider(found.get(field.name, field.type), field.type)
        return pa.struct(list(found.items()))
    if kinds == (Kind.ZONED, Kind.ZONED):
        units = ("s", "ms", "us", "ns")
        return pa.timestamp(max(one.unit, other.unit, key=units.index), one.tz)
    if kinds[0] not in WITHIN[kinds[1]]:
        return one
    schemas = [pa.schema([("", each)]) for each in (one, other)]
    try:
        return pa.unify_schemas(schemas, promote_options="permissive").field(0).type
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return one


def roomy(arrow: pa.DataType) -> pa.DataType:
    """Return a type that has room for as many categories as other files may have."""
    if pa.types.is_dictionary(arrow):  # the file's own is as narrow as its writer's list was
        return pa.dictionary(pa.int32(), arrow.value_type, arrow.ordered)
    if kind_of(arrow) is Kind.STRUCT:
        return pa.struct([field.with_type(roomy(field.type)) for field in arrow])
    if pa.types.is_list(arrow) and not (inner := roomy(arrow.value_type)).equals(arrow.value_type):
        return pa.list_(inner)
    return arrow


def lacking(one: pa.DataType, other: pa.DataType, path: str) -> list[str]:
    """Return the paths of the fields that a nested type has and another lacks."""
    kinds = kind_of(one), kind_of(other)
    if kinds == (Kind.LIST, Kind.LIST):
        return lacking(one.value_type, other.value_type, f"{path}[]")
    if kinds != (Kind.STRUCT, Kind.STRUCT):
        return []
    found = []
    for field in one:
        at, there = f"{path}.{field.name}", other.get_field_index(field.name)
        found += [at] if there < 0 else lacking(field.type, other.field(there).type, at)
    return found


@lru_cache(maxsize=1024)
def kind_of(arrow: pa.DataType) -> Kind:
    """Return the kind of an Arrow type's values; of a dictionary that of its values."""
    if pa.types.is_dictionary(arrow):
        return kind_of(arrow.value_type)
    if pa.types.is_timestamp(arrow):
        return Kind.NAIVE if arrow.tz is None else Kind.ZONED
    for kind, checks in _CHECKS.items():
        if any(getattr(pa.types, check)(arrow) for check in checks):
            return kind
    return Kind.OTHER


_CHECKS = {
    Kind.NULL: ("is_null",),
    Kind.TEXT: ("is_string", "is_large_string", "is_string_view"),
    Kind.WHOLE: ("is_integer",),
    Kind.FLOAT: ("is_floating",),
    Kind.EXACT: ("is_decimal",),
    Kind.BOOL: ("is_boolean",),
    Kind.DATE: ("is_date",),
    Kind.TIME: ("is_time",),
    Kind.DURATION: ("is_duration",),
    Kind.BINARY: ("is_binary", "is_large_binary", "is_binary_view", "is_fixed_size_binary"),
    Kind.LIST: ("is_list", "is_large_list", "is_fixed_size_list"),
    Kind.STRUCT: ("is_struct",),
    Kind.MAP: ("is_map",),
}
"""Names of the functions of :mod:`pyarrow.types` that know each kind."""
