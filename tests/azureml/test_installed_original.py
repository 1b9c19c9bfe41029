"""The original, or others' packages of its name, installed beside daskrun."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

PKGUTIL = "__path__ = __import__('pkgutil').extend_path(__path__, __name__)\n"


@pytest.fixture
def site(tmp_path):
    """Give what lays modules into a folder, and what runs code that finds them there."""

    class Site:
        def lay(self, **modules):
            for name, text in modules.items():
                file = tmp_path / "site" / name.replace("__", "/") / "__init__.py"
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text)

        def run(self, code):
            path = [str(tmp_path / "site"), os.environ.get("PYTHONPATH", "")]
            environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, path))}
            command = [sys.executable, "-c", code]
            return subprocess.run(
                command, capture_output=True, text=True, env=environment, cwd=tmp_path
            )

        def printed(self, code):
            done = self.run(code)
            assert done.returncode == 0, done.stderr
            return done.stdout.split()

    return Site()


@pytest.mark.parametrize("package", ["", PKGUTIL], ids=["namespace", "package"])
def test_others_packages_stay_importable(site, package):
    site.lay(azureml__opendatasets="NAME = 'theirs'", azureml__contrib__fairness="NAME = 'too'")
    if package:
        site.lay(azureml=package)
    code = (
        "import {}\n{}"
        "from azureml.opendatasets import NAME as first\n"
        "from azureml.contrib.fairness import NAME as second\n"
        "from azureml.core import Run\n"
        "from azureml.contrib.pipeline.steps import ParallelRunStep\n"
        "print(first, second, Run.__module__, ParallelRunStep.__module__)\n"
    )
    expected = [
        "theirs",
        "too",
        "daskrun.pipeline.runs.metrics",
        "daskrun.pipeline.steps.parallel_step",
    ]
    assert site.printed(code.format("daskrun.azureml", "")) == expected
    offer = "daskrun.original.finder.offer()\n"
    assert site.printed(code.format("daskrun.original.finder", offer)) == expected


def test_what_others_packages_lack_is_said_as_python_says_it(site):
    site.lay(azureml__opendatasets="")
    done = site.run("import daskrun.azureml\nimport azureml.opendatasets.more")
    assert "ModuleNotFoundError: No module named 'azureml.opendatasets.more'" in done.stderr


@pytest.mark.parametrize("package", ["", PKGUTIL], ids=["namespace", "package"])
def test_the_explicit_import_stands_for_an_installed_original(site, package):
    site.lay(azureml__core="VERSION = 'theirs'")
    if package:
        site.lay(azureml=package)
    code = "import daskrun.azureml\nfrom azureml.core import Run\nprint(Run.__module__)"
    assert site.printed(code) == ["daskrun.pipeline.runs.metrics"]


def test_an_original_that_is_imported_already_is_an_error(site):
    site.lay(azureml__core="VERSION = 'theirs'")
    done = site.run("import azureml.core\nimport daskrun.azureml")
    assert "azureml.core has been imported already, from " in done.stderr
    assert "Write `import daskrun.azureml` before" in done.stderr


def test_an_offer_leaves_an_installed_original_whole(site):
    site.lay(azureml__core="VERSION = 'theirs'")
    code = (
        "from daskrun.original.finder import offer\noffer()\noffer()\n"
        "from azureml.core import VERSION\n"
        "from azureml_user.parallel_run import EntryScript\n"
        "try:\n    import azureml.pipeline.core\n"
        "except ModuleNotFoundError as error:\n    print(VERSION, error.name)\n"
    )
    assert site.printed(code) == ["theirs", "azureml.pipeline"]


@pytest.mark.parametrize("package", ["", PKGUTIL], ids=["namespace", "package"])
def test_a_process_that_is_started_anew_has_the_names_by_its_path(site, package):
    from daskrun.original.finder import SPAWNED

    site.lay(azureml__opendatasets="NAME = 'theirs'")
    if package:
        site.lay(azureml=package)
    code = (
        f"import sys; sys.path.append({SPAWNED!r})\n"
        "from azureml_user.parallel_run import EntryScript\n"
        "import azureml\n"
        "from azureml.opendatasets import NAME\n"
        "from azureml.core import Run\n"
        "print(NAME, Run.__module__, EntryScript.__module__, azureml.core.Run is Run)\n"
    )
    if package:  # what is installed is found first, and does not offer the names
        code = code.replace("import azureml\n", "import daskrun.original.finder as f; f.offer()\n")
        code = code.replace(", azureml.core.Run is Run", ", True")
    assert site.printed(code) == [
        "theirs",
        "daskrun.pipeline.runs.metrics",
        "daskrun.script.entry_script",
        "True",
    ]
