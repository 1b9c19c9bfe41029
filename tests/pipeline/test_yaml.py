"""A config as a YAML file: all of it is there, and what is wrong with a file is said at once."""

from dataclasses import MISSING, fields
from pathlib import Path

import numpy as np
import pytest
import yaml
from generated import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from daskrun import (
    ComputeTarget,
    CondaDependencies,
    Environment,
    ParallelRunConfig,
    PipelineParameter,
    SettingsError,
    StorageError,
    Workspace,
)
from daskrun.pipeline.steps.config_problems import MAY_BE_PARAMETERS

FIELDS = fields(ParallelRunConfig)
NEEDED = {"entry_script": "score.py", "error_threshold": 10, "output_action": "append_row"}


def environment():
    made = Environment("mine")
    made.python.conda_dependencies = CondaDependencies.create(pip_packages=["packaging>=20"])
    made.docker.enabled = True
    made.environment_variables = {"THREADS": "2"}
    return made


VALUES = {
    "entry_script": Path("code") / "score.py",
    "error_threshold": 3,
    "output_action": "append_row",
    "environment": environment(),
    "source_directory": "src",
    "compute_target": "cluster",
    "mini_batch_size": "10MB",
    "partition_keys": ("Department", "Day"),
    "partition_by": ("store",),
    "append_row_file_name": "größe – 1.parquet",
    "append_row_format": "parquet",
    "columns": "union",
    "results_per_item": "any",
    "node_count": "2",
    "process_count_per_node": 4,
    "run_invocation_timeout": 1.5,
    "run_max_try": 7,
    "logging_level": "DEBUG",
    "allowed_failed_count": 0,
    "allowed_failed_percent": 12.5,
    "environment_variables": {"OMP_NUM_THREADS": 1, "yes": "no: really"},
    "description": "first: line\n# second\n",
    "python_executable": Path("/opt/env/bin/python"),
    "environment_timeout": 100,
    "init_timeout": 101,
    "load_timeout": 102,
    "shutdown_timeout": 103,
    "no_worker_timeout": 104,
    "scheduler_timeout": 109,
    "progress_update_timeout": 105,
    "process_memory_limit": "2GB",
    "locality": {"tcp://10.0.0.1:4000": ["/data/a/*"], "host-2": ["s3://bucket/b"]},
    "node_cache_limit": "5GB",
    "retry_delay": 0.5,
    "resource_monitor_interval": 15,
    "straggler_backups": False,
    "threads_per_process": 2,
    "argv_compat": True,
    "data_in_errors": False,
    "overwrite": True,
}
"""Of each field a value that is not its default."""


@pytest.fixture(scope="module")
def ws(tmp_path_factory):
    ws = Workspace.create("trial", path=tmp_path_factory.mktemp("work"))
    ComputeTarget.attach(ws, "cluster", address="tcp://127.0.0.1:1")
    return ws


def there_and_back(ws, config):
    file = ws.folder / "config.yml"
    config.save_to_yaml(file)
    return ParallelRunConfig.load_yaml(ws, file)


def comparable(value):
    """Give a value as far as it must survive: what is no plain value, by all that it says."""
    if isinstance(value, PipelineParameter):
        return "parameter", value.name, value.default_value
    if isinstance(value, Environment):
        return value.as_record()
    if isinstance(value, ComputeTarget):
        return value.name
    return list(value) if isinstance(value, tuple) else str(value) if _is_path(value) else value


def _is_path(value):
    return isinstance(value, Path)


def assert_same(one, other):
    for field in FIELDS:
        before, after = (comparable(getattr(each, field.name)) for each in (one, other))
        assert before == after, field.name
        assert type(before) is type(after), field.name
    assert one.resolve({}) == other.resolve({})


def test_there_is_a_value_for_each_field():
    assert VALUES.keys() == {field.name for field in FIELDS}
    usual = {field.name: field.default for field in FIELDS if field.default is not MISSING}
    assert not [name for name, value in usual.items() if VALUES[name] == value]


@pytest.mark.parametrize("name", VALUES)
def test_each_field_survives(ws, name):
    config = ParallelRunConfig(**{**NEEDED, name: VALUES[name]})
    read = there_and_back(ws, config)
    assert_same(config, read)
    assert comparable(getattr(read, name)) == comparable(VALUES[name])


@pytest.mark.parametrize("name", MAY_BE_PARAMETERS)
def test_parameters_keep_name_and_default(ws, name):
    config = ParallelRunConfig(**{**NEEDED, name: PipelineParameter(f"the {name}", VALUES[name])})
    read = there_and_back(ws, config)
    assert_same(config, read)
    assert isinstance(getattr(read, name), PipelineParameter)


TEXTS = st.text(st.characters(exclude_characters="\0"))
PLAIN = {
    "error_threshold": st.integers(-1, 2**31 - 1) | st.just("5"),
    "mini_batch_size": st.integers(1, 9) | st.sampled_from(["1", "1KB", "3gb", None]),
    "description": TEXTS | st.none(),
    "run_invocation_timeout": st.floats(1e-6, 259200) | st.just("1e3"),
    "allowed_failed_percent": st.floats(0, 100) | st.none(),
    "environment_variables": st.dictionaries(
        st.text(st.characters(exclude_characters="=\0"), min_size=1),
        TEXTS | st.integers() | st.floats(allow_nan=False),
    ),
    "entry_script": TEXTS.filter(str.strip),
    "overwrite": st.booleans(),
    "logging_level": st.builds(PipelineParameter, TEXTS.filter(str.strip), st.just("INFO")),
}


@given(st.fixed_dictionaries(PLAIN))
@settings(max_examples=examples(100))
def test_any_value_survives(ws, values):
    config = ParallelRunConfig(**{**NEEDED, **values})
    assert_same(config, there_and_back(ws, config))


def test_numbers_of_numpy_are_numbers(ws):
    config = ParallelRunConfig(
        **{**NEEDED, "mini_batch_size": np.int64(5), "retry_delay": np.float64(0.5)}
    )
    read = there_and_back(ws, config)
    assert (type(read.mini_batch_size), read.mini_batch_size) == (int, 5)
    assert (type(read.retry_delay), read.retry_delay) == (float, 0.5)


def test_the_file_is_for_people_too(ws):
    file = ws.folder / "readable.yml"
    size = PipelineParameter("size", "5")
    target = ComputeTarget(ws, "cluster")
    ParallelRunConfig(**NEEDED, mini_batch_size=size, compute_target=target).save_to_yaml(file)
    lines = file.read_text().splitlines()
    assert lines[:2] == ["parallel_run_config:", "  entry_script: score.py"]
    assert "  compute_target: cluster" in lines
    written = yaml.safe_load(file.read_text())["parallel_run_config"]
    parameter = {"pipeline_parameter": {"name": "size", "default_value": "5"}}
    assert written["mini_batch_size"] == parameter


def test_names_of_what_is_registered_are_enough(ws, tmp_path):
    older = environment().register(ws)
    newer = environment()
    newer.docker.enabled = False
    newer = newer.register(ws)
    file = tmp_path / "config.yml"
    text = "parallel_run_config:\n  entry_script: a.py\n  error_threshold: -1\n  output_action: "
    text += "append_row\n  compute_target: {}\n  environment: {}\n"
    for target, wanted, version in (
        ("cluster", "mine", newer.version),
        ("inline", "{name: mine, version: '1'}", older.version),
        ("tcp://host:1", "{name: mine, version: 1}", older.version),
        ("later", "null", None),
    ):
        file.write_text(text.format(target, wanted))
        read = ParallelRunConfig.load_yaml(ws, file)
        assert comparable(read.compute_target) == target
        assert isinstance(read.compute_target, ComputeTarget) == (target == "cluster")
        assert (read.environment and read.environment.version) == version


def test_all_problems_of_a_file_are_said_with_their_lines(ws, tmp_path):
    file = tmp_path / "bad.yml"
    file.write_text("""\
other: 1
parallel_run_config:
  entry_script: score.py
  mini_batch_sise: 5
  mini_batch_size: 10 files
  error_threshold: -2
  error_threshold: many
  run_max_try: {pipeline_parameter: {name: tries}}
  node_count: {pipeline_parameter: {name: nodes, default_value: 0}}
  compute_target: [a]
  environment: nowhere
  init_timeout: {pipeline_parameter: {name: init, default_value: 3}}
  environment_variables:
    A: [1]
""")
    with pytest.raises(SettingsError) as caught:
        ParallelRunConfig.load_yaml(ws, file)
    assert caught.value.subject == str(file)
    expected = (
        "other is not known here",
        "line 7: error_threshold is written 2 times. Leave one.",
        "line 4: mini_batch_sise is not a setting. Write mini_batch_size.",
        "line 8: run_max_try={'pipeline_parameter': {'name': 'tries'}} is not a parameter. Write",
        "line 11: environment='nowhere' can't be used: no environment has the name 'nowhere'",
        "output_action is missing. Write output_action: append_row",
        "line 5: mini_batch_size='10 files' is not a size.",
        "line 7: error_threshold='many' is not a whole number.",
        "line 9: node_count=0 is out of range",
        "line 13: environment_variables={'A': [1]} has a value that is not text for 'A'.",
        "line 12: init_timeout=",
        "line 10: compute_target=['a'] is of type list.",
    )
    for text in expected:
        assert [each for each in caught.value.problems if each.startswith(text)], text
    assert len(caught.value.problems) == len(expected)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "it holds no settings. Write `parallel_run_config:`"),
        ("parallel_run_config: 3", "it holds no settings"),
        ("- a\n- b\n", "it holds no settings"),
        ("a: [", r"can't be read as YAML: .*line 1.*\. Write `parallel_run_config:` and the"),
        ("parallel_run_config: !!python/object:os.system {}", "can't be read as YAML"),
        ("\x00", "can't be read as YAML"),
        ("a: 1\n---\nb: 2\n", "can't be read as YAML"),
    ],
)
def test_what_is_no_config(ws, tmp_path, text, message):
    (tmp_path / "x.yml").write_text(text)
    with pytest.raises(SettingsError, match=message):
        ParallelRunConfig.load_yaml(ws, tmp_path / "x.yml")


def test_paths_and_workspace_are_checked(ws, tmp_path):
    text = r"path='.*none\.yml' can't be read: No such file or directory\. Write the path of a file"
    with pytest.raises(SettingsError, match=text):
        ParallelRunConfig.load_yaml(ws, tmp_path / "none.yml")
    with pytest.raises(SettingsError, match="workspace='ws' is not a Workspace"):
        ParallelRunConfig.load_yaml("ws", tmp_path / "none.yml")
    with pytest.raises(StorageError, match="can't be written"):
        ParallelRunConfig(**NEEDED).save_to_yaml(tmp_path / "none" / "x.yml")


def test_what_has_become_wrong_since_is_not_written(ws, tmp_path):
    config = ParallelRunConfig(**NEEDED)
    config.node_count = 0
    with pytest.raises(SettingsError, match="node_count=0"):
        config.save_to_yaml(tmp_path / "x.yml")
    assert not (tmp_path / "x.yml").exists()
