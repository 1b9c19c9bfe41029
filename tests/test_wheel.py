"""What the wheel holds: the package, every file of data that it reads, the licence."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DATA = {"daskrun/py.typed", "daskrun/original/catalogue.toml"}


@pytest.mark.slow
def test_the_wheel_holds_all_files_of_the_package(tmp_path: Path) -> None:
    pytest.importorskip("hatchling", reason="hatchling builds the wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, check=True, cwd=ROOT, capture_output=True, timeout=100)
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    kept = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "daskrun").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert kept >= DATA
    assert names >= kept
    assert [name for name in names if name.endswith("licenses/LICENSE")]
