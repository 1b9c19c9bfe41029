"""The pages that are made from the code are what it says now."""

from __future__ import annotations

import re
import runpy

import pytest
from pages import ROOT

PAGES = runpy.run_path(str(ROOT / "docs" / "generate.py"))["PAGES"]


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_up_to_date(name):
    kept = (ROOT / "docs" / name).read_text(encoding="utf-8")
    assert kept == PAGES[name](), "run: python docs/generate.py"


def test_the_names_of_the_original_are_told_apart():
    page = PAGES["migrate/azureml-names.md"]()
    assert "| `Model.deploy`" in page
    assert "| `PythonScriptStep`: `hash_paths=` | accepted, not used | " in page
    assert "| `Experiment.submit`: `config=` | the same | It is `pipeline=` here" in page


def test_examples_in_helps_keep_their_lines():
    page = PAGES["reference/commands.md"]()
    assert "\\b" not in page
    assert "\n  daskrun run --script score.py --table 'orders/*.csv' -- --model mnist\n" in page


def test_every_environment_variable_is_told_of():
    page = (ROOT / "docs" / "reference" / "environment-variables.md").read_text(encoding="utf-8")
    code = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "daskrun").rglob("*.py"))
    used = set(re.findall(r"\b(DASKRUN_[A-Z_]+)\b", code))
    assert len(used) > 5
    assert {name for name in used if name not in page} == set()


def test_pages_of_the_api_have_no_roles_before_names():
    clean = runpy.run_path(str(ROOT / "docs" / "roles.py"))["on_page_content"]
    assert (
        clean("As :meth:<code>a</code>, :b: <code>c</code>")
        == "As <code>a</code>, :b: <code>c</code>"
    )
