"""Tiny packages for environments that are built without a network."""

from __future__ import annotations

import textwrap
import zipfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def make_wheel(folder: Path, name: str = "tiny", version: str = "1.0", code: str = "") -> Path:
    """Make a wheel with one module; give its path."""
    path = folder / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": code or f"VERSION = {version!r}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{each},,\n" for each in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(path, "w") as wheel:
        for each, text in files.items():
            wheel.writestr(zipfile.ZipInfo(each), text)  # the same bytes whenever it is made
    return path


def make_slow_source(folder: Path, seconds: float, started: Path) -> Path:
    """Make a source folder whose build notes its process in ``started``, then takes its time."""
    folder.mkdir()
    (folder / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "slow"\nbackend-path = ["."]\n'
        '[project]\nname = "sluggish"\nversion = "1"\n'
    )
    code = f"""
    import os, time
    from pathlib import Path

    def get_requires_for_build_wheel(config_settings=None):
        with Path({str(started)!r}).open("a") as file:
            file.write(f"{{os.getpid()}}\\n")
        time.sleep({seconds})
        raise RuntimeError("the build of this package can not end well")

    def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
        raise RuntimeError
    """
    (folder / "slow.py").write_text(textwrap.dedent(code))
    return folder
