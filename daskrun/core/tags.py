"""Tags: texts by name, by which models, datasets and runs are searched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

Wanted: TypeAlias = "Sequence[str | Sequence[str]] | Mapping[str, str] | None"
"""What is looked for: names, pairs of name and value, or a dict of these."""


def tag_problems(argument: str, tags: object) -> list[str]:
    """Return what keeps a value from being tags; ``argument`` is its name in the message.

    Examples
    --------
    >>> tag_problems("tags", {"accuracy": 0.9})
    ["tags={'accuracy': 0.9}: 0.9 is not a text. Write tags={'accuracy': '0.9'}."]
    """
    if tags is None:
        return []
    if not isinstance(tags, Mapping):
        return [f"{argument}={tags!r} is not a dict. Write {argument}={{'name': 'text'}}."]
    return [
        f"{argument}={{{name!r}: {text!r}}}: {text if isinstance(name, str) else name!r} is not "
        f"a text. Write {argument}={{{str(name)!r}: {str(text)!r}}}."
        for name, text in tags.items()
        if not isinstance(name, str) or not isinstance(text, str)
    ]


def wanted_problems(argument: str, wanted: object) -> list[str]:
    """Return what keeps a value from being what :func:`has_tags` looks for."""
    if wanted is None or isinstance(wanted, Mapping):
        return tag_problems(argument, wanted)
    if isinstance(wanted, str) or not isinstance(wanted, Sequence) or not all(map(_one, wanted)):
        problem = f"{argument}={wanted!r} is not a list of tags. Write {argument}=['name'] or "
        return [f"{problem}{argument}=[['name', 'value']]."]
    return []


def has_tags(tags: Mapping[str, str], wanted: Wanted) -> bool:
    """Return whether all tags that are wanted are there, with these values where they have one.

    Examples
    --------
    >>> has_tags({"a": "1", "b": "2"}, ["a", ["b", "2"]]), has_tags({"a": "1"}, {"a": "2"})
    (True, False)
    """
    pairs = wanted.items() if isinstance(wanted, Mapping) else wanted or ()
    return all(
        each in tags if isinstance(each, str) else tags.get(each[0]) == each[1] for each in pairs
    )


def _one(tag: object) -> bool:
    if isinstance(tag, str):
        return True
    pair = isinstance(tag, Sequence) and len(tag) == 2
    return pair and all(isinstance(text, str) for text in tag)  # type: ignore[attr-defined]
