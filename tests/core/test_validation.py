import re

import pytest

from daskrun.core.rules import parse_size
from daskrun.core.settings import RunSettings, resolve_settings, step_name_problem
from daskrun.errors import SettingsError

LEAST = {"entry_script": "score.py"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1", 1),
        ("0", 0),
        (10, 10),
        ("10kb", 10 * 1024),
        ("1KB", 1024),
        ("1Mb", 1024**2),
        ("10MB", 10 * 1024**2),
        ("2gB", 2 * 1024**3),
    ],
)
def test_sizes(text, expected):
    assert parse_size(text) == expected


@pytest.mark.parametrize(
    "text", ["", "10 files", "1.5", "-1", "KB", "1K", "1TB", "٣", True, 1.5, None, " 1"]
)
def test_not_sizes(text):
    with pytest.raises(ValueError, match="is not a size"):
        parse_size(text)


def test_defaults_are_the_settings_own():
    assert resolve_settings(LEAST) == RunSettings(entry_script="score.py")


GOOD = [
    ("mini_batch_size", "5", 5),
    ("mini_batch_size", 5, 5),
    ("mini_batch_size", "10MB", 10 * 1024**2),
    ("mini_batch_size", None, None),
    ("partition_keys", ["a", "b"], ("a", "b")),
    ("error_threshold", "-1", -1),
    ("allowed_failed_count", None, None),
    ("allowed_failed_count", 0, 0),
    ("allowed_failed_percent", 100, 100.0),
    ("allowed_failed_percent", "2.5", 2.5),
    ("node_count", "2", 2),
    ("process_count_per_node", None, None),
    ("run_invocation_timeout", "0.5", 0.5),
    ("run_invocation_timeout", 259200, 259200.0),
    ("run_max_try", 1, 1),
    ("logging_level", "debug", "DEBUG"),
    ("process_memory_limit", "2GB", 2 * 1024**3),
    ("process_memory_limit", None, None),
    ("retry_delay", 0, 0.0),
    ("progress_update_timeout", None, None),
    ("threads_per_process", 1, 1),
    ("environment_variables", None, {}),
    ("environment_variables", {"A": 1}, {"A": "1"}),
    ("arguments", ["--n", 3], ("--n", "3")),
    ("overwrite", True, True),
    ("data_in_errors", False, False),
    ("source_directory", None, None),
]


@pytest.mark.parametrize(("name", "value", "expected"), GOOD)
def test_good_values(name, value, expected):
    assert getattr(resolve_settings({**LEAST, name: value}), name) == expected


BAD = [
    ("entry_script", "", "entry_script='' is not a path. Write entry_script='score.py'."),
    ("entry_script", None, "entry_script=None is not a path."),
    (
        "mini_batch_size",
        "10 files",
        "mini_batch_size='10 files' is not a size. Give a number of files",
    ),
    ("partition_keys", "Department", "is not a list of names"),
    ("partition_keys", [], "partition_keys=[] is not a list of names"),
    ("partition_keys", ["a", 1], "has 1, which is not a column's name"),
    ("partition_keys", ["a", "a"], "names a column twice"),
    ("mini_batch_size", 0, "mini_batch_size=0 is out of range"),
    ("mini_batch_size", -1, "mini_batch_size=-1 is not a size"),
    ("error_threshold", -2, "error_threshold=-2 is out of range: it must be -1 or more."),
    ("error_threshold", 1.5, "error_threshold=1.5 is not a whole number"),
    ("error_threshold", True, "error_threshold=True is not a whole number"),
    ("allowed_failed_count", -2, "allowed_failed_count=-2"),
    ("allowed_failed_percent", 101, "allowed_failed_percent=101 is not a percentage"),
    ("allowed_failed_percent", float("nan"), "allowed_failed_percent=nan"),
    (
        "output_action",
        "append",
        "Write output_action='append_row' or output_action='summary_only'.",
    ),
    ("append_row_file_name", "a/b.txt", "append_row_file_name='a/b.txt' has '/'"),
    ("append_row_file_name", "", "is not a file name"),
    ("append_row_file_name", "..", "can't be the output's name"),
    ("append_row_file_name", "_daskrun", "can't be the output's name"),
    ("append_row_format", "", "is not a name. Write append_row_format='csv'."),
    ("append_row_format", 3, "append_row_format=3 is not a name."),
    ("append_row_file_name", "a\nb", r"has '\n'"),
    ("node_count", 0, "node_count=0 is out of range: it must be 1 or more. Write node_count=1."),
    ("node_count", "two", "node_count='two' is not a whole number"),
    ("process_count_per_node", 0, "process_count_per_node=0"),
    ("run_invocation_timeout", 0, "must be more than 0 and at most 259200 seconds"),
    ("run_invocation_timeout", 259201, "run_invocation_timeout=259201"),
    ("run_invocation_timeout", float("inf"), "is not a number of seconds"),
    ("run_max_try", 0, "run_max_try=0"),
    ("logging_level", "ERROR", "logging_level='ERROR' is not one of its values"),
    ("environment_variables", "A=1", "is not a dict"),
    ("environment_variables", {"A=": "1"}, "which is not a variable's name"),
    ("environment_variables", {"A": None}, "a value that is not text"),
    ("init_timeout", -1, "init_timeout=-1"),
    ("load_timeout", "soon", "load_timeout='soon' is not a number of seconds"),
    ("shutdown_timeout", 0, "shutdown_timeout=0"),
    ("no_worker_timeout", None, "no_worker_timeout=None"),
    ("progress_update_timeout", 0, "progress_update_timeout=0"),
    ("process_memory_limit", "2 GB", "process_memory_limit='2 GB' is not a size"),
    ("process_memory_limit", 0, "leaves no memory"),
    ("retry_delay", 11, "must be at least 0 and at most 10 seconds"),
    ("threads_per_process", 0, "threads_per_process=0"),
    ("argv_compat", "yes", "argv_compat='yes' is not True or False"),
    ("overwrite", 1, "overwrite=1 is not True or False"),
    ("arguments", "--a", "arguments='--a' is not a list"),
    ("append_row_settings", [], "is not a dict"),
]


@pytest.mark.parametrize(("name", "value", "message"), BAD)
def test_bad_values(name, value, message):
    with pytest.raises(SettingsError, match=re.escape(message)) as caught:
        resolve_settings({**LEAST, name: value})
    assert len(caught.value.problems) == 1
    assert caught.value.problems[0].startswith(f"{name}=")


@pytest.mark.parametrize("char", '~"#%&*:<>?/\\{|}')
def test_characters_the_original_refuses_in_file_names(char):
    with pytest.raises(SettingsError, match="append_row_file_name"):
        resolve_settings({**LEAST, "append_row_file_name": f"a{char}b"})


def test_all_problems_come_at_once():
    with pytest.raises(SettingsError) as caught:
        resolve_settings({"node_count": 0, "run_max_try": 0, "runmaxtry": 3}, "step 'a'")
    assert caught.value.subject == "step 'a'"
    assert len(caught.value.problems) == 4
    text = str(caught.value)
    assert "step 'a' has 4 problems:" in text
    assert "entry_script is missing" in text
    assert "runmaxtry is not a setting. Write run_max_try." in text


@pytest.mark.parametrize("name", ["abc", "a-b", "predict-digits-mnist", "a" * 32, "a1b"])
def test_step_names(name):
    assert step_name_problem(name) is None


@pytest.mark.parametrize(
    "name", ["ab", "a" * 33, "Abc", "1ab", "ab-", "a_b", "", None, "abc\n", "äbc"]
)
def test_bad_step_names(name):
    assert step_name_problem(name).startswith(f"name={name!r} is not a step's.")
