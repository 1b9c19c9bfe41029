"""What a job file says, with the file, line and column of each value."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import yaml

from daskrun.errors import NameNotFoundError, SettingsError
from daskrun.storage.yaml_text import read_yaml

if TYPE_CHECKING:
    import os

Value: TypeAlias = "Mapping[str, Node] | tuple[Node, ...] | str | int | float | bool | None"
MOST_NAMED = 1000
"""How many components the files of a job may name, each as often as it is named."""


@dataclass(frozen=True)
class At:
    """A place in a file, or the argument of a call that stands for one."""

    file: str = ""
    folder: Path = field(default_factory=Path.cwd)
    """What relative paths that are written there are relative to."""
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file


@dataclass(frozen=True)
class Node:
    """A value, and where it is written."""

    value: Value
    at: At = field(default_factory=At)
    text: str = ""
    """Of a scalar, as it is written."""
    keys: Mapping[str, At] = field(default_factory=dict)
    """Of a mapping, where each key is."""

    @staticmethod
    def of(value: object, at: At | None = None) -> Node:
        """Return builtins, in which nodes may stand, as a node; keys without a value are left out.

        Examples
        --------
        >>> Node.of({"size": 5, "name": None}).plain()
        {'size': 5}
        """
        at = at or At()
        if isinstance(value, Node):
            return value
        if isinstance(value, Mapping):
            made = {str(k): Node.of(v, at) for k, v in value.items() if v is not None}
            return Node(made, at)
        if isinstance(value, list | tuple):
            return Node(tuple(Node.of(each, at) for each in value), at)
        if isinstance(value, bool | int | float | None):
            return Node(value, at, str(value))
        return Node(str(value), at, str(value))

    def plain(self) -> object:
        """Return the builtins that it stands for."""
        if isinstance(self.value, Mapping):
            return {name: each.plain() for name, each in self.value.items()}
        if isinstance(self.value, tuple):
            return [each.plain() for each in self.value]
        return self.value

    def table(self) -> Mapping[str, Node]:
        """Return what is in a mapping; nothing of any other value."""
        return self.value if isinstance(self.value, Mapping) else {}

    def where(self, *path: str) -> At:
        """Return where a key is, or the nearest that is there of those above it."""
        node, at = self, self.at
        for name in path:
            at = node.keys.get(name, at)
            if name not in node.table():
                break
            node = node.table()[name]
        return at

    def with_value(self, path: tuple[str, ...], value: Node) -> Node:
        """Return it with another value at a path of keys, which need not be there.

        A scalar in the place of an input or output is its path.
        """
        name, *rest = path
        inside = dict(self.table())
        old = inside.get(name, Node({}, value.at))
        if rest:
            inside[name] = old.with_value(tuple(rest), value)
        elif "type" in old.table() and not isinstance(value.value, Mapping):
            of_data = str(old.table()["type"].plain()).lower() not in LITERALS
            inside[name] = old.with_value(("path" if of_data else "default",), value)
        else:
            inside[name] = value
        return replace(self, value=inside, keys={**self.keys, name: value.at})


LITERALS = ("string", "number", "integer", "boolean")
"""Types of inputs that are values, not data."""


class Problems(list[tuple[At, str]]):
    """What is wrong, each with its place."""

    knows_names = True
    """Whether there is a workspace, in which what is registered could be found."""

    def __init__(self) -> None:
        super().__init__()
        self.reading: list[str] = []
        """Components that are read now, each named by the one before."""
        self.named = 0
        """How many components files have named, each as often as it is named."""

    def add(self, at: At, text: str) -> None:
        """Add a problem, once."""
        if (at, text) not in self:
            self.append((at, text))

    def add_all(self, at: At, error: Exception) -> None:
        """Add each problem of an error of what was written at a place."""
        if isinstance(error, NameNotFoundError) and not self.knows_names:
            return
        for text in error.problems if isinstance(error, SettingsError) else [str(error)]:
            self.add(at, text)

    def raise_any(self, subject: str) -> None:
        """Raise SettingsError with all there are, in the order of the file."""
        if self:
            ordered = sorted(self, key=lambda each: (each[0].file, each[0].line, each[0].column))
            texts = [f"{at}: {text}" if str(at) else text for at, text in ordered]
            raise SettingsError(subject, texts)


def read(path: str | os.PathLike[str], problems: Problems, at: At | None = None) -> Node | None:
    """Return what a YAML file says; None where it can't be read, which is a problem ``at`` a place.

    ``path``: the file; places in it are told as this says. ``problems``: what is wrong is added
    here, keys that are written twice too. ``at``: what names the file.
    """
    file = Path(path)
    whole = At(str(path), file.absolute().parent)
    problems.named += at is not None
    if problems.named > MOST_NAMED:
        problems.add(at or whole, f"{str(path)!r} is one of more than {MOST_NAMED} components.")
        return None
    try:
        node, _ = read_yaml(file)
    except OSError as error:
        problem = f"path={str(path)!r} can't be read: {error.strerror or error}. Write the path of "
        problems.add(at or At(), f"{problem}a YAML file.")
        return None
    except (ValueError, yaml.YAMLError) as error:
        mark = getattr(error, "problem_mark", None)
        place = replace(whole, line=mark.line + 1, column=mark.column + 1) if mark else whole
        said = " ".join(str(getattr(error, "problem", None) or error).split())
        problems.add(place, f"it can't be read as YAML: {said}.")
        return None
    if node is None:
        problems.add(whole, "it is empty. Write a job, such as `daskrun init` makes.")
        return None
    return _Loader(whole, problems).node(node)


class _Loader:
    """Makes nodes of YAML's."""

    def __init__(self, whole: At, problems: Problems) -> None:
        self._whole = whole
        self._problems = problems
        self._yaml = yaml.SafeLoader("")

    def node(self, node: yaml.Node) -> Node:
        at = self._at(node)
        if isinstance(node, yaml.SequenceNode):
            return Node(tuple(self.node(each) for each in node.value), at)
        if isinstance(node, yaml.MappingNode):
            self._yaml.flatten_mapping(node)  # what `<<` merges comes first
            made: dict[str, Node] = {}
            keys: dict[str, At] = {}
            for key, value in node.value:
                name, place = str(key.value), self._at(key)
                if name in made and keys[name].line < place.line:
                    self._problems.add(place, f"{name} is written twice. Leave one.")
                made[name], keys[name] = self.node(value), place
            return Node(made, at, keys=keys)
        value = self._yaml.construct_object(node)
        if isinstance(value, datetime.date) or not isinstance(value, bool | int | float | None):
            value = node.value
        return Node(value, at, node.value)

    def _at(self, node: yaml.Node) -> At:
        mark = node.start_mark
        return replace(self._whole, line=mark.line + 1, column=mark.column + 1)
