"""What the wheel holds: the package, every file of data that it reads, the licence."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DATA = {"daskrun/py.typed", "daskrun/original/catalogue.toml"}


def built(folder: Path) -> list[Path]:
    """Return the wheel and the archive of the source, built into a folder."""
    pytest.importorskip("hatchling", reason="hatchling builds the wheel")
    python(["-m", "hatchling", "build", "-d", str(folder)])
    return sorted(folder.iterdir(), key=lambda path: path.suffix, reverse=True)


def python(arguments: list[str]) -> str:
    """Return what a program says, which must succeed."""
    done = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_wheel_holds_all_files_of_the_package(tmp_path: Path) -> None:
    wheel, _ = built(tmp_path)
    names = set(zipfile.ZipFile(wheel).namelist())
    kept = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "daskrun").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert kept >= DATA
    assert names >= kept
    assert [name for name in names if name.endswith("licenses/LICENSE")]


@pytest.mark.slow
def test_what_is_published_is_well_formed_and_the_same_each_time(tmp_path: Path) -> None:
    first, second = built(tmp_path / "1"), built(tmp_path / "2")
    for one, two in zip(first, second, strict=True):
        assert one.read_bytes() == two.read_bytes(), one.name
    pytest.importorskip("twine")
    python(["-m", "twine", "check", "--strict", *map(str, first)])
    pytest.importorskip("check_wheel_contents")
    python(["-m", "check_wheel_contents", str(first[0])])
