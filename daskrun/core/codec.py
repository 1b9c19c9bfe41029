"""Dataclasses as JSON values, and back: the one way in which they are kept in files.

There are two forms. A **record** is read as a dataclass that the reader knows beforehand: its
fields stand in an object, and their annotations say what they become (:func:`to_record`,
:func:`from_record`). Where a value may be of several classes, it is **tagged** with its kind, under
:data:`KIND`: a :class:`Writer` and a :class:`Reader` know the same kinds. A class is loaded by a
name from a file only if it was registered under that name.
"""

from __future__ import annotations

import math
import os
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache, partial
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, TypeAlias, TypeVar

from daskrun.core import plugins

T = TypeVar("T")
KIND = "is"
"""Key of an object that says what it is."""
JsonObject: TypeAlias = dict[str, Any]
"""A JSON object that a codec has made or reads."""
Convert: TypeAlias = Callable[[Any, str], Any]
"""Return the JSON value of an object, from the object and where it stands, for messages."""
Converters: TypeAlias = Iterable[tuple[type | tuple[type, ...], Convert]]
Read: TypeAlias = Callable[[Any], Any]
"""Make a value of its JSON value."""
Made: TypeAlias = Mapping[Any, Read]


class UnknownKindError(TypeError):
    """A tagged value is of no kind that its reader knows, or has fields that its class lacks."""


class Writer:
    """Turn values into JSON values; a builtin needs no registration.

    ``classes`` are dataclasses (a subclass is another) by the name they are tagged with, each as
    ``module:attribute``; their fields stand beside the tag. The first of the ``converters`` whose
    class an object is an instance of is taken, for sequences and mappings too; ``unknown`` gets an
    object of no class that is known.
    """

    def __init__(
        self, classes: Mapping[str, str], converters: Converters, unknown: Convert
    ) -> None:
        self._names = {reference: name for name, reference in classes.items()}
        self._converters = tuple(converters)
        self._unknown = unknown

    def plain(self, value: Any, where: str = "") -> Any:
        """Return a value as JSON; ``where`` it stands is for messages."""
        if value is None or isinstance(value, str | int):
            return value
        if isinstance(value, float):  # JSON has no word for those that are not finite
            return value if math.isfinite(value) else {KIND: "float", "value": repr(float(value))}
        cls = type(value)
        name = self._names.get(f"{cls.__module__}:{cls.__qualname__}")
        if name is not None:
            return {KIND: name, **self.fields(value, where)}
        for known, convert in self._converters:
            if isinstance(value, known):
                return convert(value, where)
        if isinstance(value, list | tuple):
            return self.sequence(value, where)
        if isinstance(value, Mapping):
            return {KIND: "dict", "values": self.mapping(value, f"{where}: ")}
        return self._unknown(value, where)

    def sequence(self, value: list[Any] | tuple[Any, ...], where: str = "") -> list[Any]:
        """Return the elements of a list or tuple as JSON."""
        if all(type(each) is str for each in value):
            return list(value)  # of paths there may be a million
        return [self.plain(each, f"{where}[{number}]") for number, each in enumerate(value)]

    def mapping(self, value: Mapping[str, Any], where: str = "") -> JsonObject:
        """Return the values of a mapping as JSON, untagged."""
        return {str(name): self.plain(each, f"{where}{name}") for name, each in value.items()}

    def fields(self, value: Any, where: str = "") -> JsonObject:
        """Return the fields that a dataclass is made of as JSON, untagged."""
        if not is_dataclass(value):
            raise TypeError(f"{where} is of type {type(value).__name__}, which JSON can't hold")
        # Some hold what is open in this process, and can say the same without.
        value = value.closed() if hasattr(value, "closed") else value
        given = {each.name: getattr(value, each.name) for each in fields(value) if each.init}
        return self.mapping(given, where)


class Reader:
    """Turn JSON values into what a :class:`Writer` was given.

    ``classes`` are those of the writer; ``kinds`` have, for other tags, what makes the object of
    what stands beside the tag; ``sequence`` is what is made of a list.
    """

    def __init__(
        self,
        classes: Mapping[str, str],
        kinds: Mapping[str, Callable[[JsonObject], Any]],
        sequence: Callable[[Iterable[Any]], Any] = tuple,
    ) -> None:
        self._classes = classes
        self._kinds: dict[str, Read] = {
            "float": lambda plain: float(plain["value"]),
            "dict": lambda plain: self.mapping(plain["values"]),
            **kinds,
        }
        self._sequence = sequence

    def value(self, plain: Any) -> Any:
        """Return the value of a JSON value; UnknownKindError if its kind is not known here."""
        if isinstance(plain, list):
            return self._sequence(map(self.value, plain))
        if not isinstance(plain, dict):
            return plain
        make = self._kinds.get(plain.get(KIND, ""))
        return make(plain) if make is not None else self._object(plain)

    def mapping(self, plain: Mapping[str, Any]) -> JsonObject:
        """Return the values of a mapping that is not tagged."""
        return {name: self.value(each) for name, each in plain.items()}

    def _object(self, plain: JsonObject) -> Any:
        name: str = plain.get(KIND, "")
        cls = plugins.load(self._classes[name]) if name in self._classes else None
        given = {key: each for key, each in plain.items() if key != KIND}
        if cls is None or not given.keys() <= {each.name for each in fields(cls) if each.init}:
            raise UnknownKindError(f"{sorted(plain)!r} of a {name!r}")
        return cls(**self.mapping(given))


def record(cls: T) -> T:
    """Mark a dataclass that :func:`from_record` makes: its annotations must be found at run time.

    Imports that only they use may not stand under ``TYPE_CHECKING``, which ruff knows by this mark.
    """
    return cls


def to_record(value: Any, converters: Converters = ()) -> Any:
    """Return a dataclass as JSON: its fields, untagged; those with ``init=False`` are left out.

    Mappings, sequences, enums, paths and dataclasses in it become JSON too; of other classes the
    ``converters`` make it, as those of a :class:`Writer` do.

    Examples
    --------
    >>> from daskrun.core.minibatch import NodePath
    >>> to_record(NodePath("input", "images"))
    {'kind': 'input', 'name': 'images', 'before': '', 'after': ''}
    """
    writer: Writer = Writer(
        {},
        (
            *converters,
            (Mapping, lambda value, where: writer.mapping(value, f"{where}.")),
            (Enum, lambda value, _: value.value),
            (os.PathLike, lambda value, _: os.fspath(value)),
        ),
        lambda value, where: writer.fields(value, where),
    )
    return writer.plain(value)


def from_record(
    cls: Callable[..., T],
    plain: Mapping[str, Any],
    made: Made | None = None,
    *,
    known_only: bool = False,
) -> T:
    """Make a dataclass, marked with :func:`record`, of what :func:`to_record` gave.

    ``made`` has, by annotation, what makes a value of its JSON value, for classes that are no
    records. TypeError where a field is missing, or not known: left out with ``known_only``.

    Examples
    --------
    >>> from daskrun.core.minibatch import NodePath
    >>> from_record(NodePath, {"kind": "input", "name": "images"})
    NodePath(kind='input', name='images', before='', after='')
    """
    of_field = _readers(cls) if made is None else _uncached_readers(cls, made)
    names = plain.keys() & of_field if known_only else plain
    return cls(**{name: of_field.get(name, _as_it_is)(plain[name]) for name in names})


@cache
def _readers(cls: Any) -> dict[str, Read]:
    return _uncached_readers(cls, {})


def _uncached_readers(cls: Any, made: Made) -> dict[str, Read]:
    """Return by field what makes its value of the JSON value."""
    hints = typing.get_type_hints(cls)
    named = [(each.name, hints[each.name]) for each in fields(cls) if each.init]
    return {name: _reader(hint, made) or _as_it_is for name, hint in named}


def _reader(hint: Any, made: Made) -> Read | None:
    """Return what makes a value of an annotation; None: the value is the JSON value."""
    if hint in made:
        return made[hint]
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, UnionType):
        return _union_reader([each for each in arguments if each is not NoneType], made)
    if origin in _SEQUENCES:
        return partial(_sequence, _SEQUENCES[origin], _reader(arguments[0], made))
    if origin in (dict, Mapping):
        of_key, of_value = _KEYS.get(arguments[0]), _reader(arguments[1], made)
        if of_key is not None:
            value = of_value or _as_it_is
            return lambda plain: {of_key(key): value(each) for key, each in dict(plain).items()}
        return of_value and (lambda plain: {key: of_value(each) for key, each in plain.items()})
    if not isinstance(hint, type):
        return None
    if is_dataclass(hint):
        return partial(from_record, hint, made=made or None)
    return hint if issubclass(hint, Enum | Path) else None


def _union_reader(arms: list[Any], made: Made) -> Read | None:
    """Return the reader of a union, which goes by the form that the JSON value has."""
    by_form: dict[type, Read] = {}
    for arm in arms:
        if (read := _reader(arm, made)) is not None:
            text = isinstance(arm, type) and issubclass(arm, Enum | Path)
            form = str if text else list if typing.get_origin(arm) in _SEQUENCES else dict
            by_form.setdefault(form, read)
    return (lambda plain: by_form.get(type(plain), _as_it_is)(plain)) if by_form else None


def _sequence(make: Read, read: Read | None, plain: list[Any]) -> Any:
    return make(plain if read is None else map(read, plain))


def _as_it_is(plain: Any) -> Any:
    return plain


_KEYS: dict[Any, Read] = {int: int}
"""What makes a key of one that is no text: JSON has texts alone."""
_SEQUENCES: dict[Any, Read] = {tuple: tuple, list: list, Sequence: tuple}
