"""Loading a script, and turning what it raises into values that show the user's code only."""

from __future__ import annotations

import linecache
import re
import sys
import textwrap
from pathlib import Path

import pytest

from daskrun.core.outcome import Failure
from daskrun.script.process.entry import OWN_FOLDER, TEXT_CAP, EntryModule, error_of
from daskrun.script.process.hints import LACKING
from daskrun.script.process_spec import ScriptFile
from daskrun.script.wire import by_name, decode, encode


@pytest.fixture(autouse=True)
def modules_as_before() -> object:
    before = dict(sys.modules)
    yield
    for name in set(sys.modules) - set(before):
        del sys.modules[name]
    sys.modules.update(before)


def file_of(tmp: Path, code: str, name: str = "score.py") -> ScriptFile:
    """Lay the script into a snapshot; its own place is another, as without source_directory."""
    (tmp / "snapshot").mkdir(exist_ok=True)
    (tmp / "mine").mkdir(exist_ok=True)
    path = tmp / "snapshot" / name
    path.write_text(textwrap.dedent(code))
    return ScriptFile(str(path), str(tmp / "mine" / name), str(tmp / "mine"))


def failure(script: ScriptFile, call: str = "run") -> Failure:
    try:
        module = EntryModule(script)
        module.init() if call == "init" else module.run(["a"])
    except BaseException as error:
        error.__traceback__ = error.__traceback__.tb_next  # without the frame of this function
        made = error_of(error, script)
    else:
        raise AssertionError("nothing was raised")
    assert decode(encode(made), by_name(Failure)) == made  # it travels
    return made


def test_a_traceback_has_the_users_frames_and_no_others(tmp_path: Path) -> None:
    script = file_of(
        tmp_path,
        """
        import json
        def run(mini_batch):
            return inner(mini_batch)
        def inner(mini_batch):
            return json.loads("{")
        """,
    )
    error = failure(script)
    assert error.message.startswith("JSONDecodeError: Expecting property name")
    assert error.where == "score.py:6"  # the user's own line, not json's
    assert error.kind == "JSONDecodeError"
    text = str(error.text)
    assert OWN_FOLDER not in text
    assert text.count(script.shown_as) == 2
    assert 'return json.loads("{")' in text


def test_the_traceback_shows_the_code_that_ran_not_what_the_file_has_become(tmp_path: Path) -> None:
    script = file_of(tmp_path, "def run(mini_batch):\n    raise ValueError('as submitted')\n")
    Path(script.shown_as).write_text("# edited since\n# edited since\n")
    linecache.clearcache()
    text = str(failure(script).text)
    assert "raise ValueError('as submitted')" in text
    assert "edited since" not in text


def test_where_names_files_relative_to_the_source_directory(tmp_path: Path) -> None:
    (tmp_path / "pkg").mkdir()
    path = tmp_path / "pkg" / "score.py"
    path.write_text("def run(mini_batch):\n    return 1 / 0\n")
    script = ScriptFile(str(path), str(path), str(tmp_path))
    assert failure(script).where == "pkg/score.py:2"


def test_a_syntax_error_is_shown_with_its_line(tmp_path: Path) -> None:
    error = failure(file_of(tmp_path, "import os\ndef run(mini_batch:\n    pass\n"))
    assert error.where == "score.py:2"
    assert str(error.message).startswith("SyntaxError: ")
    assert OWN_FOLDER not in str(error.text)


def test_an_import_error_is_shown_where_the_script_imports(tmp_path: Path) -> None:
    error = failure(file_of(tmp_path, "import os\nimport no_such_module_here\n"))
    assert error.where == "score.py:2"
    assert error.message == f"ModuleNotFoundError: No module named 'no_such_module_here'{LACKING}"
    deployed = file_of(tmp_path, "import os\nos.environ['AZUREML_MODEL_DIR']\n")
    told = (
        "KeyError: 'AZUREML_MODEL_DIR'. AZUREML_MODEL_DIR is set for the scoring script of a batch"
    )
    assert str(failure(deployed).message).startswith(told)
    foreign = file_of(tmp_path, "import os\nimport os.no_such_part\n")
    assert LACKING not in str(failure(foreign).message)


@pytest.mark.parametrize("code", ["", "run = 3\n", "def Run(mini_batch): return mini_batch\n"])
def test_a_script_without_run_is_told_what_to_define(tmp_path: Path, code: str) -> None:
    error = failure(file_of(tmp_path, code))
    assert "score.py has no function run(mini_batch)" in str(error.message)
    assert "def run(mini_batch)" in str(error.message)


def test_an_exception_whose_text_raises_is_still_reported(tmp_path: Path) -> None:
    code = """
    class Bad(Exception):
        def __str__(self):
            raise RuntimeError("no text")
    def run(mini_batch):
        raise Bad
    """
    error = failure(file_of(tmp_path, code))
    assert error.message == "Bad (its text can't be shown: RuntimeError)"
    assert error.where == "score.py:6"


def test_a_chain_is_shown_whole_without_our_frames(tmp_path: Path) -> None:
    code = """
    def run(mini_batch):
        try:
            open("/no/such/file")
        except OSError as error:
            raise ValueError("second") from error
    """
    error = failure(file_of(tmp_path, code))
    assert error.message == "ValueError: second"
    text = str(error.text)
    assert "direct cause" in text
    assert "/no/such/file" in text
    assert OWN_FOLDER not in text


def test_a_group_of_exceptions_is_shown_with_its_members(tmp_path: Path) -> None:
    code = """
    def run(mini_batch):
        raise ExceptionGroup("several", [ValueError("one"), KeyError("two")])
    """
    text = str(failure(file_of(tmp_path, code)).text)
    assert "ValueError: one" in text
    assert "KeyError: 'two'" in text
    assert OWN_FOLDER not in text


def test_an_endless_recursion_and_a_huge_text_are_capped(tmp_path: Path) -> None:
    code = """
    def run(mini_batch):
        if mini_batch == ["deep"]:
            return run(mini_batch)
        raise ValueError("x" * 10_000_000)
    """
    error = failure(file_of(tmp_path, code))
    assert len(str(error.message)) < 5000
    assert len(str(error.text)) < TEXT_CAP + 100
    script = file_of(tmp_path, code)
    with pytest.raises(RecursionError) as caught:
        EntryModule(script).run(["deep"])
    assert "Previous line repeated" in error_of(caught.value, script).text


def test_sys_exit_is_an_error_with_its_line(tmp_path: Path) -> None:
    error = failure(file_of(tmp_path, "import sys\ndef run(mini_batch):\n    sys.exit(42)\n"))
    assert (error.message, error.where) == ("SystemExit: 42", "score.py:3")


def test_an_error_without_a_text_is_its_type(tmp_path: Path) -> None:
    error = failure(file_of(tmp_path, "def run(mini_batch):\n    assert not mini_batch\n"))
    assert error.message == "AssertionError"


@pytest.mark.parametrize("name", ["random.py", "json.py", "my-script.py", "2.py", "pytest.py"])
def test_a_script_may_be_called_like_a_module(tmp_path: Path, name: str) -> None:
    import random

    script = file_of(tmp_path, "import random\ndef run(mini_batch): return random.random\n", name)
    module = EntryModule(script)
    assert module.run([]) == random.random
    assert sys.modules["random"] is random
    assert module.module.__file__ == script.shown_as


def test_what_the_script_defines_can_be_pickled(tmp_path: Path) -> None:
    code = """
    import pickle
    from dataclasses import dataclass
    @dataclass
    class Row:
        value: int
    def run(mini_batch):
        return [pickle.loads(pickle.dumps(Row(3))).value]
    """
    assert EntryModule(file_of(tmp_path, code)).run([]) == [3]


def test_the_main_guard_is_not_entered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "score", raising=False)  # of another test
    code = "def run(m): return m\nif __name__ == '__main__':\n    raise SystemExit(1)\n"
    assert EntryModule(file_of(tmp_path, code)).module.__name__ == "score"


@pytest.mark.parametrize(
    ("signature", "wanted"),
    [
        ("mini_batch", False),
        ("mini_batch, mini_batch_context", True),
        ("mini_batch, context=None", True),
        ("mini_batch, limit=3", False),
        ("mini_batch, *, option=1", False),
        ("mini_batch, **options", False),
    ],
)
def test_the_context_is_given_to_those_who_take_it(
    tmp_path: Path, signature: str, wanted: bool
) -> None:
    module = EntryModule(file_of(tmp_path, f"def run({signature}): return []\n"))
    assert module.wants_context is wanted


def test_init_and_shutdown_are_optional(tmp_path: Path) -> None:
    bare = EntryModule(file_of(tmp_path, "def run(mini_batch): return []\n"))
    bare.init()
    bare.shutdown()
    code = "done = []\ndef init(): done.append(1)\ndef run(m): return []\n"
    module = EntryModule(file_of(tmp_path, code + "def shutdown(): done.append(2)\n"))
    module.init()
    module.shutdown()
    assert module.module.done == [1, 2]


@pytest.mark.parametrize(
    ("parameters", "told"),
    [
        ("", "too many positional arguments"),
        ("one, two, three", "missing a required"),
        ("mini_batch, *, mini_batch_context", "missing a required"),
    ],
)
def test_a_run_that_can_not_be_called_is_told_when_it_is_loaded(
    tmp_path: Path, parameters: str, told: str
) -> None:
    script = file_of(tmp_path, f"def run({parameters}):\n    return []\n")
    with pytest.raises(TypeError, match=rf"run\({re.escape(parameters)}\) of score\.py") as caught:
        EntryModule(script)
    assert told in str(caught.value)
    assert str(caught.value).endswith(
        "Write def run(mini_batch): or def run(mini_batch, mini_batch_context):"
    )
