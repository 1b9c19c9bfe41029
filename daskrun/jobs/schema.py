"""From nodes of a job file to frozen dataclasses, and from these to the JSON schema of the file."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, TypeVar, get_args, get_origin

from daskrun.core.settings import close_to
from daskrun.jobs.located import Node
from daskrun.storage.folders import user_path

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from daskrun.jobs.located import At, Problems

Made = TypeVar("Made", bound="Said")
SCALARS = {bool: "boolean", int: "integer", float: "number"}
WORDS = {str: "a text", bool: "true or false", int: "a whole number", float: "a number"}


class Binding(str):
    """An expression, ``${{parent.inputs.nodes}}``, in the place of a value."""

    __slots__ = ()


class WrittenPath(str):
    """A path, which knows the folder that it is relative to."""

    __slots__ = ("folder",)
    folder: Path

    @staticmethod
    def at(text: str, folder: Path) -> WrittenPath:
        """Return a path that is written in a file of this folder."""
        made = WrittenPath(text)
        made.folder = folder
        return made

    @property
    def local(self) -> Path:
        """The path on this machine."""
        return self.folder / user_path(self)


def key(doc: str, default: Any = None, *, name: str = "", unused: bool = False) -> Any:
    """Return a field for a key of a file, which none has to have.

    ``name`` is the key where it is no name of Python; ``unused``: it is kept, and that it isn't
    used is said. A ``default`` of ``dict`` is an empty one.
    """
    extra = {"doc": doc, "key": name, "unused": unused}
    if default is dict:
        return field(default_factory=dict, metadata=extra)
    return field(default=default, metadata=extra)


@dataclass(frozen=True, kw_only=True)
class Said:
    """What one mapping of a file says."""

    what: ClassVar[str]
    """What it is called in messages."""
    by_type: ClassVar[Mapping[str, type[Said]]] = {}
    """Of a class that stands for several: which, by the value of ``type``."""

    node: Node = field(default_factory=lambda: Node({}), repr=False, compare=False)

    def where(self, *path: str) -> At:
        """Return where a key of it is."""
        return self.node.where(*path)

    def over(self, base: Self) -> Self:
        """Return it with what it doesn't say taken from another, mappings key by key."""
        changes: dict[str, object] = {}
        keys = {**base.node.keys, **self.node.keys}
        for each in _keys(type(self)):
            own, below = getattr(self, each.name), getattr(base, each.name)
            if (each.metadata["key"] or each.name) not in self.node.table():
                changes[each.name] = below
            elif isinstance(own, Said) and isinstance(below, type(own)):
                changes[each.name] = own.over(below)
            elif isinstance(own, Mapping) and isinstance(below, Mapping):
                merged = {k: _over(v, below, k, self.where(each.name, k)) for k, v in own.items()}
                changes[each.name] = {**below, **merged}
        inside = {**base.node.table(), **self.node.table()}
        return replace(self, node=replace(self.node, value=inside, keys=keys), **changes)

    def unused(self) -> Iterator[tuple[At, str]]:
        """Yield the keys that it has and that nothing uses."""
        for each in fields(self):
            value = getattr(self, each.name) if each.metadata else None
            name = each.metadata.get("key") or each.name
            if each.metadata.get("unused") and name in self.node.table():
                yield self.where(name), name
            inside = value.values() if isinstance(value, Mapping) else [value]
            for said in inside:
                if isinstance(said, Said):
                    yield from said.unused()


def _over(own: object, below: Mapping[str, object], name: str, at: At) -> object:
    base = below.get(name)
    if isinstance(own, str) and hasattr(base, "given"):
        return base.given(own, at)
    return own.over(base) if isinstance(own, Said) and isinstance(base, type(own)) else own


def _keys(kind: type[Said]) -> list[Any]:
    return [each for each in fields(kind) if each.metadata]


def _hints(kind: type[Said]) -> Mapping[str, Any]:
    if kind not in _HINTS:
        _HINTS[kind] = typing.get_type_hints(kind)
    return _HINTS[kind]


_HINTS: dict[type[Said], Mapping[str, Any]] = {}


def read_as(kind: type[Made], node: Node, problems: Problems) -> Made:
    """Return what a mapping says; what is wrong with it is added, and has its default."""
    if not isinstance(node.value, Mapping):
        problems.add(node.at, f"{kind.what} is {_shown(node)}. Write keys and values below it.")
        return kind(node=node)
    known = {each.metadata["key"] or each.name: each for each in _keys(kind)}
    values: dict[str, object] = {}
    for name, each in node.value.items():
        if name not in known:
            hint = close_to(name, known)
            problems.add(node.where(name), f"{name} is no key of {kind.what}. {hint}")
        elif each.value is not None:
            own = known[name].name
            values[own] = _made(_hints(kind)[own], each, problems, name)
    return kind(node=node, **{own: each for own, each in values.items() if each is not MISSING})


def _made(hint: Any, node: Node, problems: Problems, name: str) -> Any:
    """Return the value that a node stands for; MISSING where it is none of the kind."""
    options = [each for each in _options(hint) if each is not type(None)]
    for option in options:
        if _fits(option, node):
            return _as(option, node, problems, name)
    words = list(dict.fromkeys(filter(None, map(_words, options))))
    named = [each for option in options for each in _names(option)]
    hint = close_to(node.text, named) if named and node.text else f"Write {' or '.join(words)}."
    problems.add(node.at, f"{name}={_shown(node)} can't be. {hint}")
    return MISSING


def _names(option: Any) -> tuple[str, ...]:
    return get_args(option) if get_origin(option) is Literal else ()


def _options(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in (typing.Union, types.UnionType) else (hint,)


def _fits(option: Any, node: Node) -> bool:
    value, origin = node.value, get_origin(option)
    if option is Any:
        return True
    if origin is tuple:
        return not isinstance(value, Mapping)
    if (origin is not None and origin is not Literal) or (
        isinstance(option, type) and issubclass(option, Said)
    ):
        return isinstance(value, Mapping)
    if isinstance(value, Mapping | tuple):
        return False
    if origin is Literal:
        return str(value).lower() in get_args(option)
    if option is Binding:
        return "${{" in node.text
    if option in (int, float):
        return not isinstance(value, bool) and _number(option, node.text) is not None
    return option is not bool or isinstance(value, bool) or node.text.lower() in ("true", "false")


def _number(option: Any, text: str) -> float | None:
    try:
        return float(option(text.replace("_", "")))
    except ValueError:
        return None


def _as(option: Any, node: Node, problems: Problems, name: str) -> Any:
    origin = get_origin(option)
    if option is Any:
        return node.plain()
    if origin is Literal:
        return str(node.value).lower()
    if origin is tuple:
        inside = node.value if isinstance(node.value, tuple) else (node,)
        found = [_made(get_args(option)[0], each, problems, name) for each in inside]
        return tuple(each for each in found if each is not MISSING)
    if origin is not None:
        kind = get_args(option)[1]
        empty: Mapping[str, Node] = {}  # of an input or output; what else is empty is left out
        said = any(isinstance(e, type) and issubclass(e, Said) for e in _options(kind))
        given = {
            k: replace(each, value=empty) if each.value is None else each
            for k, each in node.table().items()
            if said or each.value is not None
        }
        made = {k: _made(kind, each, problems, k) for k, each in given.items()}
        return {k: each for k, each in made.items() if each is not MISSING}
    if issubclass(option, Said):
        read = getattr(option, "read", None)
        return read(node, problems) if read is not None else read_as(option, node, problems)
    if option is WrittenPath:
        return WrittenPath.at(node.text, node.at.folder)
    if option is str and isinstance(node.value, bool):
        return str(node.value)  # as it is told to scripts
    if option is bool:
        return node.text.lower() == "true"
    if option in (int, float):
        return option(node.text.replace("_", ""))
    return option(node.text)


def _words(option: Any) -> str:
    origin = get_origin(option)
    if origin is Literal:
        return " or ".join(get_args(option))
    if origin is tuple:
        return "a list"
    if origin is not None:
        return "keys and values"
    if isinstance(option, type) and issubclass(option, Said):
        return f"the keys of {option.what}"
    return "" if option is Binding else WORDS.get(option, "a text")


def _shown(node: Node) -> str:
    if isinstance(node.value, tuple):
        return "a list"
    return "a mapping" if isinstance(node.value, Mapping) else repr(node.text)


def json_schema(kinds: Mapping[str, type[Said]]) -> Mapping[str, Any]:
    """Return the JSON schema of files of these kinds, by which editors complete and check."""
    definitions: dict[str, object] = {}
    refs = [_reference(kind, definitions) for kind in kinds.values()]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "daskrun job file",
        "anyOf": refs,
        "$defs": definitions,
    }


def _reference(kind: type[Said], definitions: dict[str, object]) -> Mapping[str, object]:
    if kind.__dict__.get("by_type"):
        return {"anyOf": [_reference(each, definitions) for each in kind.by_type.values()]}
    if kind.__name__ not in definitions:
        definitions[kind.__name__] = {}  # one in itself ends here
        properties = {
            each.metadata["key"] or each.name: {
                **_schema(_hints(kind)[each.name], definitions),
                "description": each.metadata["doc"],
            }
            for each in _keys(kind)
        }
        definitions[kind.__name__] = {
            "type": "object",
            "properties": properties,
            "additionalProperties": False,
        }
    return {"$ref": f"#/$defs/{kind.__name__}"}


def _schema(hint: Any, definitions: dict[str, object]) -> Mapping[str, object]:
    options = [each for each in _options(hint) if each is not type(None)]
    made = [_schema_of(each, definitions) for each in options]
    return (
        made[0]
        if len(made) == 1
        else {"anyOf": [each for n, each in enumerate(made) if each not in made[:n]]}
    )


def _schema_of(option: Any, definitions: dict[str, object]) -> Mapping[str, object]:
    origin = get_origin(option)
    if option is Any:
        return {}
    if origin is Literal:
        return {"enum": [spelt for each in get_args(option) for spelt in (each, each.upper())]}
    if origin is tuple:
        return {"type": "array", "items": _schema(get_args(option)[0], definitions)}
    if origin is not None:
        inside = _schema(get_args(option)[1], definitions)
        return {"type": "object", "additionalProperties": inside}
    if issubclass(option, Said):
        return _reference(option, definitions)
    if option is Binding:
        return {"type": "string", "pattern": "\\$\\{\\{"}
    if option is str or option is WrittenPath:
        return {"type": ["string", "number", "boolean"]} if option is str else {"type": "string"}
    return {"type": SCALARS[option]}
