"""Tiny packages for environments that are built without a network."""

from __future__ import annotations

import textwrap
import zipfile
from importlib import metadata
from typing import TYPE_CHECKING

from packaging.requirements import Requirement

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def make_wheel(folder: Path, name: str = "tiny", version: str = "1.0", code: str = "") -> Path:
    """Make a wheel with one module; give its path."""
    return _make(folder, name, version, {f"{name}.py": code or f"VERSION = {version!r}\n"})


def _make(
    folder: Path, name: str, version: str, files: dict[str, str], requires: Iterable[str] = ()
) -> Path:
    path = folder / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    needed = "".join(f"Requires-Dist: {each}\n" for each in requires)
    files = {
        **files,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needed}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{each},,\n" for each in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(path, "w") as wheel:
        for each, text in files.items():
            wheel.writestr(zipfile.ZipInfo(each), text)  # the same bytes whenever it is made
    return path


def lend_wheels(folder: Path, *names: str) -> None:
    """Make a wheel of each package that is installed here, and of those it needs.

    What is installed from one is a line that leads to links to this Python's own copy of the
    package, and of no other: to install it takes no index, and not the half a minute that unpacking
    pandas and pyarrow would.
    """
    for name in names:
        links = folder / f"links-{name}"
        if links.exists():
            continue
        links.mkdir()
        found = metadata.distribution(name)
        for top in {file.parts[0] for file in found.files or ()} - {"..", "__pycache__"}:
            if not top.endswith(".dist-info"):
                (links / top).symlink_to(found.locate_file(top))
        needed = [each for each in map(Requirement, found.requires or ()) if _is_needed(each)]
        plain = name.replace("-", "_")
        _make(folder, plain, found.version, {f"{plain}.pth": f"{links}\n"}, map(str, needed))
        lend_wheels(folder, *(each.name for each in needed))


def _is_needed(each: Requirement) -> bool:
    return each.marker is None or each.marker.evaluate({"extra": ""})


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
