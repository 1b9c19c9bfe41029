"""The table of the original's names, from the catalogue."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from daskrun.original.absent import Unused
from daskrun.original.catalogue import catalogue
from daskrun.original.names import NAMES
from daskrun.workspace.environments.run_configuration import Recorded

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from daskrun.original.catalogue import Keyword

SAME, UNUSED, WRITE = "the same", "accepted, not used", "what to write"
HEAD = """\
# Names of the original, the Azure ML SDK v1, in daskrun

Names are there after `import daskrun.azureml`, under
`python -m daskrun.azureml program.py`, and in every script process. *The same*: it is there and
does what it did. *Accepted, not used*: it can be written and changes nothing, which is said once.
The rest can be imported, and says what to write when it is used. What stands in no table is the
same too.
"""
Row = tuple[str, str, str]


def lines() -> Iterator[str]:
    """Yield the lines of the page."""
    yield HEAD
    yield from table("Modules, and the names in them", names())
    yield from table("Members of classes that daskrun lacks", members())
    yield from table("Keywords of calls", keywords())


def names() -> Iterator[Row]:
    """Yield what there is in each module, and what each that is missing says."""
    for module, found in NAMES.items():
        unused = [name for name, reference in found.items() if is_unused(reference)]
        same = [name for name in found if name not in unused]
        if same:
            yield f"`{module}`: {listed(same)}", SAME, ""
        if unused:
            yield f"`{module}`: {listed(unused)}", UNUSED, ""
    by_message: dict[str, list[str]] = {}
    for name, message in catalogue().imports.items():
        by_message.setdefault(message, []).append(name)
    for message, found_names in by_message.items():
        yield listed(found_names), WRITE, message


def is_unused(reference: str) -> bool:
    """Return whether a name is of a class that is accepted, and does nothing."""
    module, _, name = reference.partition(":")
    found = getattr(import_module(module), name)
    return isinstance(found, type) and issubclass(found, Unused | Recorded)


def members() -> Iterator[Row]:
    """Yield the members that classes lack, those of which the same is said together."""
    for kind, found in catalogue().members.items():
        by_message: dict[str, list[str]] = {}
        for name, message in found.items():
            by_message.setdefault(message, []).append(f"{kind}.{name}")
        for message, grouped in by_message.items():
            yield listed(grouped), WRITE, message


def keywords() -> Iterator[Row]:
    """Yield the keywords that are of the original alone."""
    for call, found in catalogue().keywords.items():
        by_kind: dict[tuple[str, str], list[str]] = {}
        for name, keyword in found.items():
            by_kind.setdefault(kind_of(keyword), []).append(f"{name}=")
        for (kind, message), grouped in by_kind.items():
            yield f"`{call}`: {listed(grouped)}", kind, message


def kind_of(keyword: Keyword) -> tuple[str, str]:
    """Return which kind of a keyword it is, and what is said of it."""
    if keyword.here:
        return SAME, f"It is `{keyword.here}=` here; both are taken."
    if keyword.unused:
        return UNUSED, keyword.message
    if keyword.unless:
        values = listed([repr(each) for each in keyword.unless])
        return f"{values} the same; else {WRITE}", keyword.message
    return WRITE, keyword.message


def listed(found: Iterable[str]) -> str:
    """Return names side by side."""
    return ", ".join(f"`{each}`" for each in found)


def table(title: str, rows: Iterable[Row]) -> Iterator[str]:
    """Yield a table of rows below its title."""
    yield f"## {title}\n"
    yield "| the original's | in daskrun | |\n|---|---|---|"
    for name, kind, message in rows:
        text = (message[:1].upper() + message[1:]).replace("|", r"\|").replace("['", r"\['")
        yield f"| {name} | {kind} | {text} |"
    yield ""


def page() -> str:
    """Return the page."""
    return "\n".join(lines()).rstrip() + "\n"
