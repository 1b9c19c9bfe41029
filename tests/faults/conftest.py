"""What the fault tables share."""

from __future__ import annotations

from importlib import import_module

import pytest
from forked import IMPORTED


@pytest.fixture(scope="session", autouse=True)
def imported(forks: None) -> None:
    """Import, here and where processes are forked, what the first fault would else wait for."""
    for name in IMPORTED:
        import_module(name)
