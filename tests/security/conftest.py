"""What tests of trust share."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from daskrun.storage import own_folders

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Make a folder that all users may write, as /tmp is, and have it be the temporary one."""
    folder = Path(tempfile.mkdtemp(prefix="shared"))
    folder.chmod(0o1777)
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.delenv(own_folders.TRUSTED, raising=False)
    monkeypatch.setattr(own_folders, "_said", set())
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def no_umask() -> Iterator[None]:
    """Have files made as open as they are asked for."""
    before = os.umask(0)
    yield
    os.umask(before)
