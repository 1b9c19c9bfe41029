"""Write the pages that say what the code says: ``python docs/generate.py``.

A test says when one of them is out of date.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parent))

import api_page
import azureml_names
import command_page
import job_schema
import settings_page

if TYPE_CHECKING:
    from collections.abc import Callable

DOCS = Path(__file__).parent
PAGES: dict[str, Callable[[], str]] = {
    "migrate/azureml-names.md": azureml_names.page,
    "reference/api.md": api_page.page,
    "reference/commands.md": command_page.page,
    "reference/exit-codes.md": command_page.exit_codes,
    "reference/settings.md": settings_page.page,
    "../daskrun/jobs/schema.json": job_schema.page,
}
"""By the path of a page below ``docs``: what makes it."""


def main() -> None:
    """Write all pages."""
    for name, page in PAGES.items():
        (DOCS / name).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
