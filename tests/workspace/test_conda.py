"""Packages that are named for conda, and what is said where pip has none of them."""

from __future__ import annotations

import pytest

from daskrun import CondaDependencies, Environment
from daskrun.script.environments.advice import advice, as_told
from daskrun.workspace.environments.conda import NO_PACKAGES, PIP_NAMES, as_pip


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("scikit-learn", "scikit-learn"),
        ("scikit-learn=0.22.1", "scikit-learn==0.22.1.*"),
        ("scikit-learn==0.22.1", "scikit-learn==0.22.1"),
        ("numpy=1.18.5=py36ha1c710e_0", "numpy==1.18.5"),
        ("numpy==1.18.5=py36ha1c710e_0", "numpy==1.18.5"),
        ("numpy 1.18.*", "numpy==1.18.*"),
        ("numpy 1.18", "numpy==1.18.*"),
        ("numpy >=1.18, <2", "numpy>=1.18,<2"),
        ("pandas!=1.0", "pandas!=1.0"),
        ("pandas *", "pandas"),
        ("conda-forge::LightGBM", "lightgbm"),
        ("conda-forge/linux-64::tqdm=4", "tqdm==4.*"),
        ("pytorch=1.10", "torch==1.10.*"),
        ("py-opencv", "opencv-python"),
        ("librosa", "librosa"),
        ("cudatoolkit=10.1", None),
        ("python=3.6.2", None),
        ("pip=20.2.4", None),
        ("r-base=4", None),
        ("numpy=1.11|1.12", None),
        ("scikit-learn[version='>=0.22']", None),
        ("", None),
    ],
)
def test_what_pip_is_asked_for(line, expected):
    assert as_pip(line) == expected


def test_the_tables_exclude_each_other():
    assert not NO_PACKAGES & {*PIP_NAMES}


def test_it_is_installed_with_the_rest_and_the_rest_is_named():
    environment = Environment("e")
    environment.python.conda_dependencies = CondaDependencies.create(
        pip_packages=["tabulate", "pandas==2.2"],
        conda_packages=["scikit-learn", "pandas=1.0", "azureml-core", "cudatoolkit=10.1"],
        python_version="3.6.2",
    )
    assert environment.requirements == ["tabulate", "pandas==2.2", "scikit-learn"]
    told = [each.removeprefix("environment 'e': ") for each in environment.notes(inline=False)]
    others = "cudatoolkit=10.1 of conda not installed, as pip has no such packages"
    assert told == [
        f"{others}: they are to be on the nodes.",
        "python=3.6.2 not used: the script runs in the Python of its node.",
        "azureml-core not installed, since daskrun stands for it.",
    ]
    environment.python.user_managed_dependencies = True
    assert environment.requirements == []


NOT_FOUND = """
ERROR: Could not find a version that satisfies tensorflow==1.15.2 (from versions: 2.16)
ERROR: No matching distribution found for tensorflow==1.15.2
"""
NOT_BUILT = """
  error: subprocess-exited-with-error
  × Encountered error while generating package metadata.
  ╰─> numpy
note: This is an issue with the package mentioned above, not pip.
"""
NO_WHEEL = (
    "ERROR: Failed to build installable wheels for some pyproject.toml based projects (PyYAML)"
)
CONFLICT = """
ERROR: Cannot install pandas==1.0.3 and pandas>=2.2 because they have conflicting dependencies.
The conflict is caused by:
    The user requested pandas==1.0.3
    The user requested pandas>=2.2
"""


def test_what_to_write_where_pip_has_none():
    needs = ["pandas>=2.2"]
    text = advice(NOT_FOUND, ["tensorflow==1.15.2"], needs)
    assert text.startswith("Nothing of tensorflow==1.15.2 is there for Python 3.")
    assert "Write no version, or one that is; or python_executable='/path/of/python'" in text
    text = advice(NOT_BUILT, ["scipy==1.0", "numpy==1.18.2"], needs)
    assert text.startswith("numpy==1.18.2 can't be built for Python 3.")
    assert advice(NO_WHEEL, ["pyyaml==5.1"], needs).startswith("pyyaml==5.1 can't be built")
    text = advice(CONFLICT, ["pandas==1.0.3"], needs)
    assert text.startswith("What is asked for excludes each other. daskrun itself needs pandas>=2.")
    assert advice("no space left", ["pandas"], needs) == ""


def test_what_daskrun_added_is_named_as_that():
    told = as_told(CONFLICT, ["pandas>=2.2"])
    assert "The user requested pandas==1.0.3\n    daskrun itself needs pandas>=2.2\n" in told
