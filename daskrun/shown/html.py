"""What a notebook shows of an object: parts of a page in which every text is only text."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from daskrun.shown.printable import printable
from daskrun.shown.url_secrets import shown_text

if TYPE_CHECKING:
    from collections.abc import Iterable


def text_html(value: object) -> str:
    """Return a text for a page: escaped, without secrets of URLs and control characters."""
    return escape(printable(shown_text(str(value))))


def table_html(title: str, rows: Iterable[tuple[object, object]]) -> str:
    """Return a title and a table of names and values."""
    cells = "".join(
        f"<tr><td>{text_html(name)}</td><td>{text_html(value)}</td></tr>" for name, value in rows
    )
    return f"<p><b>{text_html(title)}</b></p><table>{cells}</table>"
