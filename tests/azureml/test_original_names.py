"""Each name of the original is daskrun's, or says what there is instead."""

from __future__ import annotations

import importlib
import importlib.util
import re
import subprocess
import sys

import pytest

import daskrun
from daskrun import OriginalImportError, OriginalNameError
from daskrun.original.catalogue import catalogue
from daskrun.original.finder import put_first, take_out
from daskrun.original.names import NAMES, SHARED

MISSING = catalogue().imports
PAIRS = [(module, name) for module, names in NAMES.items() for name in names]
HEAVY = {"pandas", "numpy", "pyarrow", "fsspec", "dask", "distributed", "rich", "psutil", "bokeh"}


@pytest.fixture(autouse=True)
def names():
    """Have the original's names there, as `import daskrun.azureml` does."""
    put_first()
    yield
    take_out()


@pytest.mark.parametrize(("module", "name"), PAIRS)
def test_each_name_is_what_the_table_says(module, name):
    home, _, origin = NAMES[module][name].partition(":")
    scope: dict[str, object] = {}
    exec(f"from {module} import {name} as found", scope)
    assert scope["found"] is getattr(importlib.import_module(home), origin)
    assert getattr(importlib.import_module(module), name) is scope["found"]


@pytest.mark.parametrize("module", NAMES)
def test_a_module_lists_what_it_has(module):
    made = importlib.import_module(module)
    assert set(NAMES[module]) <= set(dir(made))
    scope: dict[str, object] = {}
    exec(f"from {module} import *", scope)
    assert set(scope) - {"__builtins__"} == set(NAMES[module])
    assert "daskrun" in repr(made) or module in SHARED


def test_parents_of_all_modules_are_there():
    parents = {name.rpartition(".")[0] for name in NAMES} - {""}
    assert parents <= set(NAMES)


@pytest.mark.parametrize("name", MISSING)
def test_a_name_that_is_missing_says_what_there_is_instead(name):
    module, _, last = name.rpartition(".")
    expected = f"daskrun has no {name}: {MISSING[name]}"
    with pytest.raises(OriginalImportError) as error:
        exec(f"from {module} import {last}")
    assert str(error.value) == expected
    with pytest.raises(OriginalImportError):
        importlib.import_module(name)
    assert not hasattr(importlib.import_module(module), last)


def test_a_missing_name_is_an_attribute_error_where_it_is_used():
    import azureml.core

    with pytest.raises(
        OriginalNameError, match=r"daskrun has no azureml\.core\.Keyvault: there is"
    ):
        azureml.core.Keyvault  # noqa: B018
    with pytest.raises(AttributeError, match=r"It has ComputeTarget, Dataset, .*, workspace"):
        azureml.core.Workspce  # noqa: B018


def test_what_is_below_a_missing_module_is_missing_as_it_is():
    for code in (
        "import azureml.train.automl.run",
        "from azureml.train.automl import AutoMLConfig",
    ):
        with pytest.raises(ImportError, match=r"daskrun has no azureml\.train\.automl: models are"):
            exec(code)


def test_a_name_is_not_both_there_and_missing():
    there = {f"{module}.{name}" for module, name in PAIRS} | set(NAMES)
    assert not there & set(MISSING)
    for name in MISSING:
        assert name.rpartition(".")[0] in NAMES or name.startswith("azureml.contrib."), name


def test_hints_name_only_what_daskrun_has():
    words = set(re.findall(r"\b[A-Z][a-z]+[A-Z]\w+", " ".join(MISSING.values())))
    assert len(words) > 5
    assert words <= {*daskrun.__all__, "TensorFlow"}


@pytest.mark.parametrize(
    "code", ["import azureml.nothing", "from azureml import nothing", "import azureml.nothing.more"]
)
def test_an_unknown_module_is_not_found_and_the_known_ones_are_listed(code):
    with pytest.raises(ModuleNotFoundError) as error:
        exec(code)
    text = str(error.value)
    assert text.startswith("daskrun stands for azureml here and has no module azureml.nothing. ")
    assert "azureml.core.compute_target, " in text


@pytest.mark.parametrize("code", ["import azureml.core.more", "from azureml.core import more"])
def test_an_unknown_name_is_an_import_error_that_lists_the_known_ones(code):
    with pytest.raises(ImportError, match=r"no 'more' in it\. It has ComputeTarget, .*, workspace"):
        exec(code)


def test_who_looks_whether_the_original_is_there_finds_it():
    found = importlib.util.find_spec("azureml.core.run")
    assert found is not None
    assert found.origin == "daskrun"


def _loaded_by(code: str) -> set[str]:
    command = [sys.executable, "-c", f"import sys\n{code}\nprint(*sys.modules)"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_it_loads_only_the_tables():
    loaded = _loaded_by("import daskrun.azureml")
    own = {name for name in loaded if name.startswith("daskrun.")}
    assert own == {
        "daskrun.azureml",
        "daskrun.core",
        "daskrun.core.plugins",
        "daskrun.errors",
        *(f"daskrun.original{end}" for end in ("", ".finder", ".names")),
    }


def test_all_names_load_without_anything_heavy():
    code = "\n".join(f"from {module} import *" for module in NAMES)
    assert _loaded_by(f"import daskrun.azureml\n{code}") & HEAVY == set()


@pytest.mark.slow
def test_the_catalogue_is_read_when_something_is_missing_and_not_before():
    code = (
        "from daskrun import *\n"
        "from azureml.core import Workspace\n"
        "Environment('e').python.user_managed_dependencies = True\n"
        "Run.get_context(); PipelineData('scores'); ParallelRunConfig; dir(Model)\n"
    )
    assert "daskrun.original.catalogue" not in _loaded_by(f"import daskrun.azureml\n{code}")
    missing = "hasattr(Model, 'deploy')"
    assert "daskrun.original.catalogue" in _loaded_by(f"import daskrun.azureml\n{code}{missing}")
