"""The page of the original's names is what the catalogue says."""

from __future__ import annotations

import runpy
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_is_up_to_date():
    made = runpy.run_path(str(DOCS / "azureml_names.py"))["page"]()
    kept = (DOCS / "azureml-names.md").read_text(encoding="utf-8")
    assert kept == made, "run: python docs/azureml_names.py > docs/azureml-names.md"
    assert "| `Model.deploy`" in kept
    assert "| `PythonScriptStep`: `hash_paths=` | accepted, not used | " in kept
    assert "| `Experiment.submit`: `config=` | the same | It is `pipeline=` here" in kept
