"""A hook of mkdocs: names of the API stand in its pages without the roles of docstrings."""

from __future__ import annotations

import re

ROLE = re.compile(r":(?:attr|class|data|exc|func|meth|mod):(?=<code>)")


def on_page_content(html: str, **_: object) -> str:
    """Return a page's content without ``:meth:`` and its like before names."""
    return ROLE.sub("", html)
