import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import daskrun
from daskrun import errors
from daskrun.core.absent_names import _Absent


def test_all_is_sorted_and_complete():
    constants = [name for name in daskrun.__all__ if name.isupper()]
    classes = [name for name in daskrun.__all__ if not name.isupper()]
    assert daskrun.__all__ == sorted(constants) + sorted(classes)
    assert set(daskrun.__all__) == set(daskrun._HOME)
    assert set(daskrun.__all__) <= set(dir(daskrun))


@pytest.mark.parametrize("name", daskrun.__all__)
def test_each_name_is_the_one_of_its_file(name):
    home = importlib.import_module(daskrun._HOME[name])
    assert getattr(daskrun, name) is getattr(home, name)


def test_each_error_is_public_and_in_the_tree():
    found = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, errors.DaskrunError)
    }
    assert found <= set(daskrun.__all__)
    for name in found:
        assert name in errors.__doc__


def test_a_misspelt_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'Workspce'"):
        daskrun.Workspce  # noqa: B018


def _loaded_by(code: str) -> set[str]:
    script = f"import sys\n{code}\nprint(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def test_import_loads_nothing_else():
    loaded = _loaded_by("import daskrun")
    assert {name for name in loaded if name.startswith("daskrun.")} == set()


HEAVY = {"pandas", "numpy", "pyarrow", "fsspec", "dask", "distributed", "rich", "psutil", "bokeh"}


def test_all_names_load_without_anything_heavy():
    assert _loaded_by("from daskrun import *") & HEAVY == set()


def test_the_version_is_the_installed_one():
    from importlib.metadata import PackageNotFoundError, version

    try:
        installed = version("daskrun")
    except PackageNotFoundError:
        pytest.skip("daskrun is on the path here, not installed")
    assert daskrun.__version__ == installed


def public_members(kind: type) -> list[str]:
    """Return the names that autocomplete shows of a class, but for Python's own."""
    own = {name for base in kind.__mro__ if base.__module__ == "builtins" for name in vars(base)}
    return sorted(
        name
        for name in dir(kind)
        if not name.startswith("_")
        and name not in own
        and not isinstance(inspect.getattr_static(kind, name), _Absent)
    )


def test_the_members_of_public_classes_are_those_that_are_written_down():
    """Whoever adds one writes it into the file, and so says that it is for users."""
    kept = Path(__file__).with_name("public_members.txt").read_text().splitlines()
    found = [
        f"{name}: {' '.join(public_members(getattr(daskrun, name)))}".strip()
        for name in daskrun.__all__
        if isinstance(getattr(daskrun, name), type)
    ]
    assert found == kept
