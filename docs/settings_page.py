"""The table of settings, from the class that takes them and its docstring."""

from __future__ import annotations

import inspect
import re
from dataclasses import MISSING, fields

from daskrun import ParallelRunConfig
from daskrun.core.settings import RunSettings, Trait

HEAD = """\
# Settings

Keywords of `ParallelRunConfig`. Times are in seconds, sizes such as `"10MB"` count in 1,024.

*resume*: `run.resume(name=value)` may change it. *parameter*: it may be a `PipelineParameter`.
*processes*: it is of nodes and script processes, and means nothing with `compute_target="inline"`.

| setting | default | | what it says |
|---|---|---|---|
"""
TRAITS = {Trait.RESUME: "resume", Trait.PARAMETER: "parameter", Trait.NODES: "processes"}


def page() -> str:
    """Return the page."""
    traits = {
        field.name: field.metadata["traits"] for field in fields(RunSettings) if field.metadata
    }
    rows = []
    for field in fields(ParallelRunConfig):
        given = traits.get(field.name, Trait(0))
        marks = ", ".join(word for trait, word in TRAITS.items() if trait in given)
        default = "must be given" if field.default is MISSING else f"`{field.default!r}`"
        rows.append(f"| `{field.name}` | {default} | {marks} | {meanings()[field.name]} |\n")
    return HEAD + "".join(rows)


def meanings() -> dict[str, str]:
    """Return what the docstring says of each setting, in one line of Markdown."""
    text = inspect.getdoc(ParallelRunConfig) or ""
    section = re.split(r"\n\w+\n-+\n", text)[1]
    found = {}
    for names, told in re.findall(r"^(\w[\w, ]*)\n((?:    .*\n?|\n)+)", section, re.M):
        line = " ".join(inspect.cleandoc(told).split()).replace("|", r"\|")
        line = re.sub(r":\w+:`~?(?:[\w.]*\.)?(\w+)`", r"`\1`", line.replace("``", "`"))
        for name in names.split(", "):
            found[name] = line
    return found
