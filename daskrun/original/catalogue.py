"""What the original has and daskrun lacks: ``catalogue.toml``, read at first use."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

PRIVATE = "azureml._common"
"""One of the modules and names that are the original's own: all that begin with ``_`` are."""


@dataclass(frozen=True)
class Keyword:
    """A keyword that only the original has."""

    message: str
    """What to write instead, or why it means nothing here."""
    unless: tuple[object, ...] = ()
    """Values that describe what daskrun does anyway: these, and None, are accepted."""
    unused: bool = False
    """Whether any value is accepted, and not used."""
    here: str = ""
    """What it is called in daskrun, where that has it under another name."""

    def problem(self, value: object) -> str:
        """Return the message for a value, ``""`` where it is accepted."""
        return "" if self.unused or self._is_so(value) else self.message

    def is_told(self, value: object) -> bool:
        """Return whether it is said of a value that it is not used."""
        return self.unused and not self._is_so(value)

    def _is_so(self, value: object) -> bool:
        return value is None or any(
            type(value) is type(each) and value == each for each in self.unless
        )


@dataclass(frozen=True)
class Catalogue:
    """The tables of the file, each with one name per key and its messages whole."""

    members: Mapping[str, Mapping[str, str]]
    """By class and member."""
    keywords: Mapping[str, Mapping[str, Keyword]]
    """By call, ``Class`` or ``Class.method``, and keyword."""
    imports: Mapping[str, str]
    """By full name of a module or of a name in one."""


@cache
def _text() -> str:
    return Path(__file__).with_name("catalogue.toml").read_text(encoding="utf-8")


@cache
def _words() -> frozenset[str]:
    """Return each name in the file: of one that isn't there, as hasattr() asks, it is not read."""
    return frozenset(re.findall(r"\w+", _text()))


@cache
def catalogue() -> Catalogue:
    """Return the contents of the file; reading takes some 30 ms."""
    import tomllib

    read = tomllib.loads(_text())
    messages: dict[str, str] = read["messages"]

    def whole(message: str) -> str:
        name, space, rest = message.partition(" ")
        return f"{messages[name[1:]]}{space}{rest}" if message.startswith("@") else message

    def keyword(said: Any) -> Keyword:
        if isinstance(said, str):
            return Keyword(whole(said))
        text, here = said.get("say", said.get("unused", "")), said.get("here", "")
        return Keyword(whole(text), tuple(said.get("unless", ())), "unused" in said, here)

    return Catalogue(
        members={
            kind: {name: whole(said) for name, said in _each(table)}
            for kind, table in read["members"].items()
        },
        keywords={
            call: {name: keyword(said) for name, said in _each(table)}
            for call, table in read["keywords"].items()
        },
        imports={
            name: whole(entry["say"])
            for entry in read["imports"]
            for name in entry["names"].split()
        },
    )


def _each(table: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Return the entries of a table, one for each name of its keys."""
    return ((name, said) for names, said in table.items() for name in names.split())


def member(classes: Iterable[str], name: str) -> str | None:
    """Return the message for a member that a class lacks; None where the original has none.

    ``classes`` are the names of the class and of its bases, in their order.
    """
    if name not in _words():
        return None
    members = catalogue().members
    found = (each for each in classes if name in members.get(each, ()))
    return next((f"daskrun has no {each}.{name}: {members[each][name]}" for each in found), None)


def keyword(calls: Iterable[str], name: str) -> Keyword | None:
    """Return what is known of a keyword that a call lacks; None where the original has none.

    ``calls`` are ``Class`` or ``Class.method``, of the class and its bases, in their order.
    """
    if name not in _words():
        return None
    keywords = catalogue().keywords
    found = (keywords[call][name] for call in calls if name in keywords.get(call, ()))
    return next(found, None)


def import_(name: str) -> str | None:
    """Return what there is instead of a module, or of a name in one; None where it isn't known."""
    imports = catalogue().imports
    if any(part.startswith("_") for part in name.split(".")):
        return imports[PRIVATE]
    while name and name not in imports:
        name = name.rpartition(".")[0]
    return imports.get(name)
