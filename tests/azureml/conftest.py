"""The original's names in this process, for one test."""

from __future__ import annotations

import pytest

from daskrun.script.original import put_first, take_out


@pytest.fixture
def put_in():
    """Have the names there, as `import daskrun.azureml` does."""
    put_first()
    yield
    take_out()
