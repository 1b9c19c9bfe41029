"""Each name of the original is daskrun's, or says what there is instead."""

from __future__ import annotations

import importlib
import importlib.util
import re
import subprocess
import sys

import pytest

import daskrun
from daskrun import OriginalNameError
from daskrun.core import notices
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
def test_a_name_that_is_missing_can_be_imported_and_says_why_when_it_is_used(name):
    module, _, last = name.rpartition(".")
    scope: dict[str, object] = {}
    exec(f"from {module} import {last} as found", scope)
    found = scope["found"]
    if isinstance(found, type(sys)):
        found = importlib.import_module(name).Anything
        name += ".Anything"
    said = f"daskrun has no {name}: {catalogue().imports.get(name) or MISSING[f'{module}.{last}']}"
    if issubclass(found, Exception):
        with pytest.raises(daskrun.DaskrunError):
            raise found("of the user's")
        return
    for use in (found, lambda: found.Mode, lambda: type("Mine", (found,), {}), lambda: found(1)):
        with pytest.raises(OriginalNameError) as error:
            use()
        assert str(error.value) == said
    assert not isinstance(3, found)
    assert found | None


def test_an_unused_name_costs_nothing():
    code = (
        "from azureml.core import Workspace, Keyvault, ScriptRunConfig\n"
        "from azureml.core.webservice import AciWebservice, Webservice\n"
        "from azureml.exceptions import WebserviceException\n"
        "import azureml.train.automl.run\n"
        "from azureml._restclient.models import *\n"
        "def deploy(service: Webservice) -> 'AciWebservice':\n    return Webservice(service)\n"
        "try:\n    Workspace('nowhere')\n"
        "except WebserviceException:\n    raise AssertionError\n"
        "except Exception as error:\n    print(error)\n"
    )
    exec(code, {})


def test_a_missing_name_says_so_where_it_is_used():
    import azureml.core

    with pytest.raises(
        OriginalNameError, match=r"daskrun has no azureml\.core\.Keyvault: there is"
    ):
        azureml.core.Keyvault()
    with pytest.raises(AttributeError, match=r"It has ComputeTarget, Dataset, .*, workspace"):
        azureml.core.Workspce  # noqa: B018


def test_modules_are_there_as_attributes():
    from azureml import core, pipeline

    assert pipeline.core.Pipeline is daskrun.Pipeline
    assert core.run.Run is daskrun.Run
    assert pipeline.steps.parallel_run_step.ParallelRunStep is daskrun.ParallelRunStep


def test_accounts_are_accepted_and_not_used(caplog, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    notices.forget()
    from azureml.core import Workspace
    from azureml.core import authentication as accounts

    for name in sorted(NAMES["azureml.core.authentication"]):
        account = getattr(accounts, name)("tenant", service_principal_password="word", force=True)
        assert Workspace.from_config(auth=account) == Workspace.get(tmp_path.name, account)
        with pytest.raises(OriginalNameError, match=r"no .*get_authentication_header: there is no"):
            account.get_authentication_header()
    said = [record.message for record in caplog.records]
    assert len(said) == 1 + len(NAMES["azureml.core.authentication"])
    assert all("no account to sign in to" in each and "word" not in each for each in said)


def test_the_version_compares_as_the_last_of_the_original():
    from azureml.core import VERSION
    from packaging.version import Version

    assert Version("1.50") < Version(VERSION) < Version("2")


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
        *(f"daskrun.shown{end}" for end in ("", ".printable", ".url_secrets")),
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
