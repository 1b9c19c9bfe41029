"""What a page of Markdown shows as code, and how each block of it is run.

A comment in the line before a block says what it is:

``<!-- file: score.py -->``
    a file that the reader makes
``<!-- output -->``
    what the block before printed; ``...`` stands for anything
``<!-- raises: SettingsError -->``
    this block ends with that error
``<!-- not run: why -->``
    it needs what no test has, such as a registry of packages; Python is compiled all the same
``<!-- needs: texts s3 -->``
    once for a page: what :mod:`needs` makes for it

All other blocks of ``python`` and ``sh`` are run, in order, in one folder: those of a page in
Python as the cells of one notebook. Blocks of ``text`` that are no output are pictures.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
GENERATED = {"azureml-names.md", "api.md"}
"""Pages without a block to run."""
FENCE = re.compile(
    r"^(?P<indent> *)(?:<!-- (?P<kind>[a-z ]+?)(?:: (?P<name>[^\n]+?))? -->\n(?P=indent))?"
    r"```(?P<language>\w*)[^\n]*\n(?P<text>.*?)^(?P=indent)```$",
    re.M | re.S,
)
KINDS = {"file", "output", "raises", "not run", "command"}
RUN = {"python", "sh"}


class Block(NamedTuple):
    """A block of code on a page."""

    line: int
    language: str
    kind: str
    """One of ``KINDS``; ``""``: run as it is."""
    name: str
    text: str

    def fault(self) -> str:
        """Return what is wrong with how it is marked, ``""`` for nothing."""
        if self.kind and self.kind not in KINDS:
            return f"line {self.line}: <!-- {self.kind} --> is none of {sorted(KINDS)}"
        if not self.kind and self.language not in RUN | {"text"}:
            return f"line {self.line}: a block of {self.language!r} is neither a file nor an output"
        if self.kind in KINDS - {"output"} and not self.name:
            return f"line {self.line}: <!-- {self.kind} --> lacks what comes after the colon"
        return ""


def blocks(page: Path) -> list[Block]:
    """Return the blocks of a page in order."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(
            text.count("\n", 0, found.start("text")),
            found["language"],
            found["kind"] or "",
            found["name"] or "",
            re.sub(rf"^{found['indent']}", "", found["text"], flags=re.M),
        )
        for found in FENCE.finditer(text)
    ]


def needs(page: Path) -> list[str]:
    """Return what a page says it needs."""
    found = re.search(r"^<!-- needs: (.+) -->$", page.read_text(encoding="utf-8"), re.M)
    return found[1].split() if found else []


def pages() -> list[Path]:
    """Return the pages that have something to run."""
    found = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return [
        page for page in found if page.name not in GENERATED and any(map(_is_run, blocks(page)))
    ]


def _is_run(block: Block) -> bool:
    return block.language in RUN and block.kind in ("", "raises", "file")


def matches(expected: str, found: str) -> bool:
    """Return whether an output is what a page shows, but for blanks; ``...`` is anything."""
    pattern = re.escape(_even(expected)).replace(r"\.\.\.", ".*?")
    return re.fullmatch(pattern, _even(found), re.S) is not None


def _even(text: str) -> str:
    return re.sub(r" *\n *", "\n", re.sub(r"[ \t]+", " ", text)).strip()
