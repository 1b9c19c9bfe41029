"""A function as the entry script: with what it uses of the session, in other processes."""

import subprocess
import sys
from types import ModuleType

import pytest

from daskrun import ParallelRunConfig, SettingsError
from daskrun.testing import run_script

NEEDED = {"error_threshold": -1, "output_action": "append_row"}
FACTOR = 3


def times(number):
    return number * FACTOR


def score(mini_batch):
    return [times(len(open(path).read())) for path in mini_batch]


def told(mini_batch, mini_batch_context):
    return [f"{mini_batch_context.minibatch_index}" for _ in mini_batch]


def broken(mini_batch):
    raise ValueError("of the user's")


@pytest.mark.parametrize("function", [score, lambda files: [9 for _ in files], told])
def test_a_function_is_run(work, function):
    run = work.submit(entry_script=function)
    run.wait_for_completion()
    rows = run.outputs["scores"].to_pandas_dataframe()["result"].tolist()
    wanted = [str(3 * n) for n in range(10)] if function is score else ["9"] * 10
    assert rows == (wanted if function is not told else [str(n // 3) for n in range(10)])


def test_it_is_stored_as_it_is_when_the_config_is_made(work, monkeypatch):
    config = ParallelRunConfig(entry_script=score, **NEEDED)
    monkeypatch.setattr(sys.modules[__name__], "FACTOR", 100)
    assert run_script(config.entry_script, [str(work.path / "files" / "2.txt")]).result == [6]


def test_a_module_may_be_there_under_two_names(work, monkeypatch):
    own = ModuleType("own_module")
    own.__file__ = str(work.path / "own_module.py")
    for name in ("own_module", "own_module_again"):
        monkeypatch.setitem(sys.modules, name, own)
    ParallelRunConfig(entry_script=score, **NEEDED)


def test_errors_show_the_users_lines(work):
    run = work.submit(entry_script=broken, run_max_try=1)
    run.wait_for_completion(raise_on_error=False)
    assert 'raise ValueError("of the user\'s")' in run._reason()
    assert "test_function_script.py:" in run.message


PROGRAM = """
import helper
from daskrun import *
from pathlib import Path

LIMIT = 2

def count(mini_batch):
    import sys
    assert "dask" not in sys.modules
    sizes = [(Path(path).name, len(Path(path).read_text())) for path in mini_batch]
    return [f"{name} {helper.double(size) > LIMIT}" for name, size in sizes]

ws = Workspace.from_config()
usual = {"error_threshold": 0, "output_action": "append_row", "process_count_per_node": 1}
config, files = ParallelRunConfig(entry_script=count, **usual), Dataset.File.from_files("files")
step = ParallelRunStep("count-all", config, [files], PipelineData("counts"))
run = Experiment(ws, "f").submit(Pipeline(ws, [step]))
run.wait_for_completion()
print(Path(run.outputs["counts"].path).read_text())
"""


@pytest.mark.slow
def test_a_program_gives_its_own_function_and_a_module_beside_it(work):
    (work.path / "helper.py").write_text("def double(number):\n    return 2 * number\n")
    (work.path / "main.py").write_text(PROGRAM)
    done = subprocess.run(
        [sys.executable, "main.py"], cwd=work.path, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[:3] == ["0.txt False", "1.txt False", "2.txt True"]


def test_what_can_not_be_stored_is_refused_with_a_way_out(work):
    lock = __import__("threading").Lock()

    def locked(mini_batch):
        with lock:
            return mini_batch

    with pytest.raises(SettingsError, match=r"entry_script=locked can't be stored: .*lock.*") as e:
        ParallelRunConfig(entry_script=locked, **NEEDED)
    assert "Put `%%writefile locked.py` on top of the cell" in str(e.value)
    with pytest.raises(SettingsError, match="entry_script=dict can't be stored: it is a class"):
        ParallelRunConfig(entry_script=dict, **NEEDED)
    with pytest.raises(SettingsError, match=r"source_directory='\.' and a function"):
        ParallelRunConfig(entry_script=score, source_directory=".", **NEEDED)
    with pytest.raises(SettingsError, match="a function, which no YAML file holds"):
        ParallelRunConfig(entry_script=score, **NEEDED).save_to_yaml(work.path / "a.yml")
