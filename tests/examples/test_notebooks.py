"""The notebooks of 15 cells: one as for the original, one as a newcomer writes it."""

from __future__ import annotations

import nbformat
import pytest
from walked import EXAMPLES, copy_example, run_notebook

CHECKS = {
    "original": (
        "assert sorted(scores['class'].unique()) == [0, 1, 2] and len(scores) == 12\n"
        "assert second_run.get_status() == 'Completed' and model.properties['run'] == training.id\n"
        "print('checked')"
    ),
    "newcomer": (
        "assert len(result) == 1000 and (result['price'] == result['size'] * 2500).all()\n"
        "assert again.find_step_run('price')[0].reused_run_id == step_run.id\n"
        "print('checked')"
    ),
}


@pytest.mark.parametrize("name", CHECKS)
def test_a_notebook_has_15_cells_and_no_outputs(name):
    file = EXAMPLES / "notebooks" / f"{name}.ipynb"
    found = nbformat.read(file, as_version=4)
    cells = [each for each in found.cells if each.cell_type == "code"]
    assert len(cells) == 15
    assert all(each.outputs == [] and each.execution_count is None for each in cells)


@pytest.mark.slow
@pytest.mark.parametrize("name", CHECKS)
def test_a_kernel_runs_a_notebook_as_it_stands(name, tmp_path):
    folder = copy_example("notebooks", tmp_path)
    assert "checked" in run_notebook(folder / f"{name}.ipynb", CHECKS[name])
