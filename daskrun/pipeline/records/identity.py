"""What a step's results come from, written down in parts.

Two runs whose parts are equal have the same results. Left out are settings that no result depends
on, and where the run takes place.
"""

from __future__ import annotations

import ast
import hashlib
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from daskrun.core.settings import Trait, settings_with
from daskrun.core.source import parsed
from daskrun.pipeline.records.changes import input_digests
from daskrun.script.environments.packages import contents
from daskrun.storage.trees import file_digest
from daskrun.workspace.run_folders.run_folder import SNAPSHOT

if TYPE_CHECKING:
    from daskrun.core.minibatch import Plan
    from daskrun.core.settings import RunSettings
    from daskrun.engine.request import ScriptSource
    from daskrun.pipeline.records.step_spec import StepSpec
    from daskrun.workspace.run_folders.run_folder import RunFolder

CALLS = frozenset({"import_module", "__import__"})
"""Functions that import what their first argument names."""
MADE = "__pycache__"

Identity: TypeAlias = dict[str, Mapping[str, object]]
"""By part, and by name in that, what it is, as JSON."""


def identity_of(folder: RunFolder, spec: StepSpec, plan: Plan) -> Identity:
    """Return what the results of a step run come from, in parts; its code is in its folder."""
    settings, manifest = asdict(spec.settings), folder.manifest().values
    snapshot = folder.path / SNAPSHOT
    return {
        "snapshot": _digests(snapshot, sorted(snapshot.rglob("*"))),
        "script": {
            "entry_script": spec.script.file,
            **_beside(spec.script),
            **{name: manifest[name] for name in ("version",) if name in manifest},
        },
        "settings": result_settings(spec.settings),
        "arguments": {
            # Without texts around paths where there are none, as before there were any.
            str(n): {k: v for k, v in each.items() if v} if isinstance(each, dict) else each
            for n, each in enumerate(settings["arguments"])
        },
        "inputs": input_digests(plan, without=snapshot),
        "side_inputs": {
            each.name: f"{each.mode} {each.path_on_compute} {each.dataset.fingerprint()}"
            for each in spec.side_inputs
        },
        "environment": {
            "python": manifest["python"],
            "variables": digest_of(settings["environment_variables"]),
            "requirements": list(settings["requirements"]),
            "contents of requirements": contents(settings["requirements"]),
            "python_executable": settings["python_executable"],
            **_installed(spec.settings),
        },
        "outputs": manifest["destinations"],
    }


def result_settings(settings: RunSettings) -> dict[str, object]:
    """Return the settings that results depend on."""
    left_out = settings_with(Trait.NO_RESULT)
    return {name: each for name, each in sorted(asdict(settings).items()) if name not in left_out}


def _beside(script: ScriptSource) -> dict[str, str]:
    """Digest what a script that was copied alone imports from the folder it is in."""
    if script.extra_path is None:
        return {}
    home = Path(script.extra_path)
    return _digests(home, imported_beside(script.snapshot / script.file, home))


def _installed(settings: RunSettings) -> dict[str, str]:
    """Return the packages there are where a script runs in the Python of its node.

    Other nodes are taken to have what this process has.
    """
    if settings.requirements or settings.python_executable is not None:
        return {}
    folders = [Path(each) for each in sys.path if Path(each).is_dir()]
    found = {file.stem for folder in folders for file in folder.glob("*.dist-info")}
    pairs = (name.partition("-")[::2] for name in sorted(found))
    return {f"package {name}": version for name, version in pairs}


def _digests(folder: Path, paths: Iterable[Path]) -> dict[str, str]:
    return {str(path.relative_to(folder)): file_digest(path) for path in paths if path.is_file()}


def digest_of(value: object) -> str:
    """Digest a JSON value, whatever the order of its names."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def imported_beside(script: Path, folder: Path) -> list[Path]:
    """Return the files of a folder that a script imports, directly or indirectly, sorted.

    They are found in the source, nothing is run: a name that is put together while the script runs
    is not seen. Of a package all files are returned. The script may lie in another folder.
    """
    found: set[Path] = set()
    new = [script]
    while new:
        names = _imported(new.pop())
        files = {file for name in names for file in _files_of(folder, name)} - found
        found |= files
        new += [file for file in files if file.suffix == ".py"]
    return sorted(found - {folder / script.name})


def _imported(file: Path) -> set[str]:
    """Return the first parts of the names that a file imports."""
    try:
        tree = parsed(file.read_bytes())
    except OSError:  # the script itself will say so
        tree = None
    if tree is None:
        return set()
    return {name.partition(".")[0] for node in ast.walk(tree) for name in _named(node)}


def _named(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (each.name for each in node.names)
    elif isinstance(node, ast.ImportFrom):
        # ``from . import name`` may mean a module beside it
        yield from [node.module] if node.module else [each.name for each in node.names]
    elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
        called = node.func.attr if isinstance(node.func, ast.Attribute) else node.func
        called = called.id if isinstance(called, ast.Name) else called
        if called in CALLS and isinstance(node.args[0].value, str):
            yield node.args[0].value


def _files_of(folder: Path, name: str) -> Iterator[Path]:
    """Yield the files of a module or package of that name; none where it is elsewhere."""
    yield from (file for file in (folder / f"{name}.py",) if file.is_file())
    yield from (file for file in folder.glob(f"{name}.*.so") if file.is_file())
    package = folder / name
    if name and package.is_dir():
        whole = (package / "__init__.py").is_file()
        files = package.rglob("*" if whole else "*.py")
        yield from (file for file in files if file.is_file() and MADE not in file.parts)
