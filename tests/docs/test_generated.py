"""The pages that are made from the code are what it says now."""

from __future__ import annotations

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
