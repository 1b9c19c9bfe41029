import pytest

from daskrun.data.datasets import Dataset
from daskrun.data.items import DatasetConsumptionConfig
from daskrun.errors import SettingsError
from daskrun.output.sinks.registry import open_sink
from daskrun.pipeline.runs.pipeline import Pipeline
from daskrun.pipeline.steps.config import ParallelRunConfig
from daskrun.pipeline.steps.inputs import size_notes
from daskrun.pipeline.steps.outputs import PipelineData
from daskrun.pipeline.steps.parallel_step import ParallelRunStep
from daskrun.pipeline.steps.parameter import PipelineParameter
from daskrun.pipeline.submission import parameters
from daskrun.workspace.workspace import Workspace

FILES = Dataset.File.from_files("images", validate=False)
OTHER = Dataset.File.from_files("more", validate=False)


def make_config(**changes):
    values = {"entry_script": "score.py", "error_threshold": 10, "output_action": "append_row"}
    return ParallelRunConfig(**{**values, **changes})


def make_step(name="score-files", config=None, inputs=(FILES,), output=True, **more):
    output = PipelineData("scores") if output is True else output
    return ParallelRunStep(name, config or make_config(), list(inputs), output, **more)


@pytest.fixture
def ws(tmp_path):
    return Workspace.create("trial", path=tmp_path)


def test_config_defaults_are_the_contracts():
    config = make_config()
    assert config.mini_batch_size is None  # 10 files or 1 MB: the inputs decide
    assert config.append_row_file_name == "parallel_run_step.txt"
    assert (config.node_count, config.process_count_per_node) == (None, None)
    assert (config.run_invocation_timeout, config.run_max_try) == (60, 3)
    assert config.logging_level == "INFO"


def test_a_misspelt_setting_is_a_type_error():
    with pytest.raises(TypeError, match="run_max_tries"):
        make_config(run_max_tries=3)
    with pytest.raises(TypeError):
        ParallelRunConfig("score.py", 10, "append_row")
    with pytest.raises(AttributeError):
        make_config().run_max_tries = 3


def test_all_problems_of_a_config_at_once():
    with pytest.raises(SettingsError) as caught:
        make_config(
            error_threshold=-2,
            mini_batch_size="10 files",
            environment="tensorflow",
            compute_target=3,
            description=4,
            partition_keys=["a"],
            init_timeout=PipelineParameter("init", 5),
        )
    text = str(caught.value)
    for expected in (
        "error_threshold=-2",
        "mini_batch_size='10 files' is not a size",
        "environment='tensorflow' is of type str",
        "compute_target=3 is of type int",
        "description=4 is of type int",
        "partition_keys=['a'] and mini_batch_size='10 files' both say",
        "can't be a PipelineParameter",
    ):
        assert text.count(expected) == 1


def test_parameters_are_checked_by_default_and_by_value():
    with pytest.raises(SettingsError, match="mini_batch_size='x'"):
        make_config(mini_batch_size=PipelineParameter("size", "x"))
    config = make_config(
        mini_batch_size=PipelineParameter("size", "5"), node_count=PipelineParameter("nodes", 2)
    )
    assert config.resolve({}).mini_batch_size == 5
    assert config.resolve({"size": "1", "nodes": "3"}).node_count == 3
    with pytest.raises(SettingsError) as caught:
        config.resolve({"size": 0, "nodes": 0})
    assert len(caught.value.problems) == 2
    assert {parameter.name for parameter in config.parameters} == {"size", "nodes"}


def test_a_changed_config_is_checked_again():
    config = make_config()
    config.node_count = 0
    with pytest.raises(SettingsError, match="node_count=0"):
        config.resolve({})


def test_parameter_and_output_names():
    with pytest.raises(SettingsError, match="name='' is not a name"):
        PipelineParameter("", 1)
    for name in ("", "a/b", "..", None):
        with pytest.raises(SettingsError, match="is not an output's"):
            PipelineData(name)
    with pytest.raises(SettingsError, match="datastore='x' is of type str"):
        PipelineData("a", datastore="x")


def test_step_inputs_get_names():
    named = DatasetConsumptionConfig("images", FILES).as_mount()
    step = make_step(inputs=[named, FILES, FILES.as_download()])
    assert [name for name, _ in step.named_inputs] == ["images", "input_1", "input_2"]
    with pytest.raises(SettingsError, match="2 have the name 'images'"):
        make_step(inputs=[named, named])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "A"}, "name='A' is not a step's"),
        ({"inputs": []}, "is not a list with at least one dataset"),
        ({"inputs": ["images"]}, r"inputs\[0\]='images' is not a dataset"),
        (
            {"inputs": [PipelineParameter("images", OTHER)]},
            r"inputs\[0\]=.* Write inputs=\[DatasetConsumptionConfig\('images', parameter\)\]",
        ),
        ({"inputs": [FILES.as_mount("/data")]}, "Write as_mount\\(\\) without a path"),
        ({"output": None}, "output=None with output_action='append_row'"),
        ({"output": "scores"}, "output='scores' is of type str"),
        ({"side_inputs": FILES}, "side_inputs=.* is not a list"),
        ({"side_inputs": ["images"]}, r"side_inputs\[0\]='images' is not a dataset"),
        ({"arguments": "--a"}, "arguments='--a' is not a list"),
        ({"arguments": [OTHER]}, r"arguments\[0\]=.* the step uses no such dataset"),
        ({"allow_reuse": "no"}, "allow_reuse='no' is not one"),
        ({"config": 3}, "parallel_run_config=3 is not a ParallelRunConfig"),
    ],
)
def test_wrong_steps(changes, message):
    with pytest.raises(SettingsError, match=message):
        make_step(**changes)


def test_all_problems_of_a_step_at_once():
    with pytest.raises(SettingsError) as caught:
        make_step(name="A", inputs=[], output=None)
    assert len(caught.value.problems) == 3


def test_summary_only_needs_no_output():
    assert make_step(config=make_config(output_action="summary_only"), output=None).output is None


def test_arguments_pass_untouched():
    step = make_step(arguments=["--model", PipelineParameter("model", "a"), 3, "--output"])
    assert step._resolve({"model": "b"}, {}).arguments == ("--model", "b", "3", "--output")
    assert step._resolve({}, {}).arguments == ("--model", "a", "3", "--output")


def test_pipeline_parameters(ws):
    size = PipelineParameter("size", "5")
    data = PipelineParameter("data", FILES)
    config = make_config(mini_batch_size=size)
    step = make_step(config=config, inputs=[DatasetConsumptionConfig("x", data)], arguments=[size])
    pipeline = Pipeline(ws, [step])
    assert pipeline.parameters == {"size": size, "data": data}
    assert parameters.problems(pipeline.steps, {"size": 1}) == {}
    problems = parameters.problems(pipeline.steps, {"sizes": 1, "nodes": 2})
    assert problems["sizes"] == (
        "pipeline_parameters={'sizes': 1}: the pipeline has no such parameter."
    )
    assert len(problems) == 2


def test_two_parameters_of_one_name(ws):
    first = make_step("first", make_config(node_count=PipelineParameter("n", 1)))
    again = make_step("second", make_config(run_max_try=PipelineParameter("n", 1)))
    Pipeline(ws, [first, again])
    other = make_step("second", make_config(run_max_try=PipelineParameter("n", 3)))
    with pytest.raises(SettingsError, match="two parameters have the name 'n'"):
        Pipeline(ws, [first, other])


def test_wrong_pipelines(ws):
    with pytest.raises(SettingsError) as caught:
        Pipeline("ws", [])
    assert len(caught.value.problems) == 2
    with pytest.raises(SettingsError, match=r"steps\[0\]=3 is not a step"):
        Pipeline(ws, [3])
    with pytest.raises(SettingsError, match="2 have the name 'score-files'"):
        Pipeline(ws, [make_step(), make_step()])


def test_a_number_of_files_given_for_a_table_is_noticed():
    few = make_config(mini_batch_size=10).resolve({})
    assert "means 10 bytes of a table" in size_notes(few, "tabular", 10)[0]
    assert size_notes(few, "files", 10) == []
    assert size_notes(make_config(mini_batch_size="1KB").resolve({}), "tabular", "1KB") == []
    assert size_notes(make_config().resolve({}), "tabular", None) == []


def test_a_parquet_file_with_the_name_of_a_text_is_noticed():
    assert "append_row_file_name='scores.parquet'" in open_sink("parquet").notes("scores.txt")[0]
    assert open_sink("parquet").notes("scores") == []
    assert open_sink("csv").notes("scores.txt") == []


def test_inputs_are_of_one_kind(tmp_path):
    (tmp_path / "a.csv").write_text("a\n1\n")
    table = Dataset.Tabular.from_delimited_files(str(tmp_path / "a.csv"))
    with pytest.raises(SettingsError, match="inputs has file datasets and tabular ones"):
        make_step(inputs=[FILES, table])
    with pytest.raises(SettingsError, match="mini_batch_size='1MB' is a size in bytes"):
        make_step(config=make_config(mini_batch_size="1MB"))
    make_step(inputs=[table], config=make_config(mini_batch_size="1MB"))
