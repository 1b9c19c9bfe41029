"""Job files of Azure ML v2: what is written, and what runs."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path

import pytest

from daskrun import Model, SettingsError, Workspace
from daskrun.jobs import load_job
from daskrun.pipeline.steps.arguments import WithText

SCORE = """
import os, sys

def run(mini_batch):
    return [f"{os.path.basename(path)} {' '.join(sys.argv[1:])}" for path in mini_batch]
"""
HEAD = """
type: parallel
name: score
inputs:
  images: {type: uri_folder, path: ./images}
  model: {type: custom_model, path: ./model}
  title: two words
  few: 3
  extra: {type: string, optional: true}
outputs:
  rows: {type: uri_file}
input_data: ${{inputs.images}}
"""
TABLE = "mltable, path: ./orders"
TASK = "task: {type: run_function, code: ./src, entry_script: score.py}\n"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with images, a model and scripts."""
    monkeypatch.chdir(tmp_path)
    for name in ("images", "model", "src/pkg", "orders"):
        Path(name).mkdir(parents=True)
    for number in range(5):
        Path("images", f"{number}.txt").write_text(str(number))
    Path("model", "m.bin").write_text("m")
    Path("src", "score.py").write_text(SCORE)
    Path("src", "pkg", "deep.py").write_text(SCORE)
    Path("src", "copy.py").write_text(
        "import shutil, sys\nshutil.copytree(sys.argv[1], sys.argv[2], dirs_exist_ok=True)\n"
    )
    Path("orders", "a.csv").write_text("store,n\nx,1\ny,2\n")
    Path("orders", "MLTable").write_text(
        "paths: [{pattern: ./*.csv}]\ntransformations: [{read_delimited: {delimiter: ','}}]\n"
    )
    return tmp_path


def steps(text: str, overrides: dict[str, str] | None = None) -> list:
    """Return the steps of a job file."""
    Path("job.yml").write_text(textwrap.dedent(text))
    return load_job("job.yml", overrides).pipeline(Workspace.from_config()).steps


def config(more: str, task: str = TASK):
    """Return the configuration of a parallel job with these keys too."""
    head = HEAD.replace("uri_folder, path: ./images", TABLE) if "kb" in more else HEAD
    return steps(head + task + more)[0].parallel_run_config


def problems(text: str, overrides: dict[str, str] | None = None) -> list[str]:
    """Return what is wrong with a job file."""
    with pytest.raises(SettingsError) as caught:
        steps(text, overrides)
    return list(caught.value.problems)


SETTINGS = [
    ("", "error_threshold", -1),
    ("error_threshold: 5", "error_threshold", 5),
    ("mini_batch_error_threshold: 4", "allowed_failed_count", 4),
    ('mini_batch_size: "2"', "mini_batch_size", "2"),
    ("mini_batch_size: 100 kb", "mini_batch_size", "100kb"),
    ("partition_keys: [store, brand]", "partition_keys", ["store", "brand"]),
    ("partition_keys: [store]\nmini_batch_size: 10kb", "mini_batch_size", None),
    ("retry_settings: {max_retries: 2}", "run_max_try", 2),  # tries in all
    ("retry_settings: {max_retries: 0}", "run_max_try", 1),
    ("retry_settings: {timeout: 90}", "run_invocation_timeout", 90.0),
    ("max_concurrency_per_instance: 2", "process_count_per_node", 2),
    ("resources: {instance_count: 2}", "node_count", 2),
    ("resources: {instance_count: '${{inputs.few}}'}", "node_count", "3"),
    ("logging_level: debug", "logging_level", "DEBUG"),
    ("environment_variables: {A: 1, B: '${{inputs.title}}!'}", "environment_variables",
     {"A": "1", "B": "two words!"}),
    ("compute: azureml:nowhere", "compute_target", None),
    ("compute: local", "compute_target", None),
    ("compute: inline", "compute_target", "inline"),
    ("compute: tcp://10.0.0.5:8786", "compute_target", "tcp://10.0.0.5:8786"),
    ("identity: {type: managed}", "error_threshold", -1),
]  # fmt: skip


@pytest.mark.parametrize(("written", "name", "value"), SETTINGS)
def test_each_key_is_its_setting(here: Path, written: str, name: str, value: object) -> None:
    assert getattr(config(written), name) == value


TASKS = [
    ("entry_script: score.py", "output_action", "summary_only"),
    ("entry_script: score.py, append_row_to: '${{outputs.rows}}'", "output_action", "append_row"),
    ("entry_script: score.py, append_row_to: '${{outputs.rows}}'", "append_row_file_name", "rows"),
    ("entry_script: pkg.deep, type: function", "entry_script", "pkg/deep.py"),
    ("entry_script: score.py", "environment", None),
    *[
        (f"entry_script: score.py, program_arguments: '{flag}'", setting, value)
        for flag, setting, value in [
            ("--error_threshold 5", "error_threshold", "5"),
            ("--allowed_failed_percent=30", "allowed_failed_percent", "30"),
            ("--progress_update_timeout 600", "progress_update_timeout", "600"),
            ("--task_overhead_timeout 1200", "load_timeout", "1200"),
            ("--process_count_per_node ${{inputs.few}}", "process_count_per_node", "3"),
            ("--resource_monitor_interval 20", "resource_monitor_interval", "20"),
            ("--resource_monitor_interva 20", "resource_monitor_interval", "20"),
        ]
    ],
]


@pytest.mark.parametrize(("written", "name", "value"), TASKS)
def test_each_key_of_a_task_is_its_setting(
    here: Path, written: str, name: str, value: object
) -> None:
    assert getattr(config("", f"task: {{code: ./src, {written}}}\n"), name) == value


ARGUMENTS = [
    ("--a 'b c' --d=e", ["--a", "b c", "--d=e"]),
    ("--t ${{inputs.title}}", ["--t", "two words"]),
    ("--t=${{ inputs.title }}s", ["--t=two wordss"]),
    ("$[[--x ${{inputs.extra}}]] --y", ["--y"]),
    ("$[[--t ${{inputs.title}}]]", ["--t", "two words"]),
    ("--copy_logs_to_parent True --first_task_creation_timeout 60 -v", ["-v"]),
    ("--m ${{inputs.model}}", ["--m", "model"]),
    ("--m=${{inputs.model}}/m.bin", ["--m=model/m.bin"]),
    ("--o ${{outputs.rows}}", ["--o", "rows/rows"]),
]


@pytest.mark.parametrize(("written", "expected"), ARGUMENTS)
def test_program_arguments_are_words_with_values_in_them(
    here: Path, written: str, expected: list[str]
) -> None:
    text = json.dumps(written)
    task = f"task: {{code: ./src, entry_script: score.py, program_arguments: {text}}}\n"
    (step,) = steps(HEAD + task)

    def shown(each: object) -> str:
        if isinstance(each, WithText):
            return f"{each.before}{shown(each.value)}{each.after}"
        return each if isinstance(each, str) else each.name  # type: ignore[attr-defined]

    assert [shown(each) for each in step.arguments] == expected


WRONG = [
    (HEAD + TASK + "mini_batch_sise: 3", "job.yml:13:1", "Write mini_batch_size."),
    (HEAD + TASK + "error_threshold: many", "job.yml:13:18", "error_threshold='many'"),
    (HEAD + "task: {code: ./src, entry_scrpt: score.py}", "job.yml:12:21", "Write entry_script."),
    (HEAD.replace("inputs.images}", "inputs.imgs}") + TASK, "job.yml:11:1", "input_data="),
    (HEAD + TASK + "retry_settings: {max_retries: -3}", "job.yml:13:18", "max_retries=-3"),
    (HEAD + "task: {entry_script: src/score.py, program_arguments: '--a ${{inputs.b}}'}",
     "job.yml:12:36", "inputs.title"),
    (HEAD + "task: {entry_script: src/score.py, program_arguments: '--a ${{inputs.extra}}'}",
     "job.yml:12:36", "is optional"),
    (HEAD + "task: {entry_script: src/score.py, append_row_to: '${{outputs.row}}'}",
     "job.yml:12:36", "${{outputs.rows}}"),
    ("type: sweep", "job.yml:1:1", "no sweeps"),
    ("type: paralel", "job.yml:1:1", "Write parallel."),
    ("type: pipeline\njobs: {a: {component: 'azureml:a:1'}}", "job.yml:2:23", "registered"),
    ("type: pipeline\njobs: {a: {component: ./none.yml}}", "job.yml:2:23", "can't be read"),
    ("type: pipeline\njobs:\n  a: {inputs: {x: '${{parent.inputs.y}}'}, command: 'ls'}",
     "job.yml:3:16", "names nothing of the pipeline"),
    ("type: pipeline\njobs:\n  a: {inputs: {x: '${{parent.jobs.a.outputs.o}}'}, command: ls}",
     "job.yml:3:16", "wait for itself"),
    ("type: parallel\ncomponent: ./job.yml", "/", "job.yml:2:12: component='./job.yml' is made"),
    ("type: pipeline\njobs: {a: }", "job.yml:2:10", "has no type"),
    (HEAD + TASK.replace("}", ", program_arguments: --error_threshold many}"),
     "job.yml:12:65", "error_threshold='many'"),
    ("type: [a", "job.yml:1:", "YAML"),
    ("a: 1\na: 2\ntype: command", "job.yml:2:1", "written twice"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "place", "said"), WRONG)
def test_what_is_wrong_is_said_with_its_place(here: Path, text: str, place: str, said: str) -> None:
    found = problems(text.lstrip("\n"))
    assert any(each.startswith(place) and said in each for each in found), found


def test_all_that_is_wrong_is_said_at_once(here: Path) -> None:
    task = 'task: {code: ./src, entry_script: nope.py, program_arguments: "--a \'b"}\n'
    text = HEAD.replace("./images", "./none") + task
    text += (
        "mini_batch_sise: 3\nerror_threshold: many\nmax_concurrency_per_instance: '${{inputs.b}}'"
    )
    said = ("'./none' is not there", "nope.py", "quotation", "sise", "many", "inputs.b")
    found = problems(text)
    assert len(found) == len(said)
    assert all(any(each in one for one in found) for each in said)


def test_names_that_no_workspace_knows_hide_nothing(here: Path) -> None:
    text = HEAD.replace("path: ./images", "path: 'azureml:images:1'") + TASK + "inputz: 3\n"
    Path("job.yml").write_text(text)
    with pytest.raises(SettingsError, match="Write inputs") as caught:
        load_job("job.yml")
    assert len(caught.value.problems) == 1


PIPELINE = """
type: pipeline
experiment_name: trial
settings: {default_compute: inline, force_rerun: true}
inputs:
  images: {type: uri_folder, path: ./images}
outputs:
  all: {type: uri_file}
jobs:
  score:
    type: parallel
    inputs:
      data: {path: "${{parent.jobs.copy.outputs.copied}}"}
      model: {type: uri_file, path: ./model/m.bin}
    outputs: {rows: "${{parent.outputs.all}}"}
    input_data: ${{inputs.data}}
    mini_batch_size: 2
    task:
      code: ./src
      entry_script: score.py
      program_arguments: --model=${{inputs.model}} 'a b'
      append_row_to: ${{outputs.rows}}
  copy:
    type: command
    code: ./src
    inputs: {images: "${{parent.inputs.images}}"}
    outputs:
      copied:
    command: >-
      python copy.py ${{inputs.images}} ${{outputs.copied}}
"""


@pytest.mark.parametrize("command", ["python copy.py ", "true && python copy.py "])
def test_a_pipeline_runs_in_the_order_of_its_data(here: Path, command: str) -> None:
    Path("job.yml").write_text(PIPELINE.replace("python copy.py ", command))
    run = load_job("job.yml").submit(Workspace.create("trial"))
    run.wait_for_completion()
    rows = Path(run.outputs["all"].path).read_text().splitlines()
    assert rows == [f"{n}.txt --model={here}/model/m.bin a b" for n in range(5)]
    assert run.experiment.name == "trial"
    assert "job/job.yml" in run.get_file_names()


def test_an_output_with_a_path_is_written_anew_by_each_run(here: Path) -> None:
    text = PIPELINE.replace("all: {type: uri_file}", "all: {type: uri_file, path: ./out/all.txt}")
    Path("job.yml").write_text(text)
    ws = Workspace.create("trial")
    for _ in range(2):
        load_job("job.yml").submit(ws).wait_for_completion()
    assert len(Path("out", "all.txt").read_text().splitlines()) == 5


def test_a_pipelines_output_that_says_no_type_has_that_of_what_is_written_to_it(here: Path) -> None:
    Path("component.yml").write_text(
        "type: command\nname: one\noutputs: {made: {type: uri_file}}\ncode: ./src\n"
        "command: python one.py ${{outputs.made}}\n"
    )
    Path("src", "one.py").write_text("import sys\nopen(sys.argv[1], 'w').write('1')\n")
    Path("job.yml").write_text(
        "type: pipeline\nsettings: {default_compute: inline}\noutputs: {all: {}}\njobs:\n"
        "  one: {component: ./component.yml, outputs: {made: '${{parent.outputs.all}}'}}\n"
    )
    run = load_job("job.yml").submit(Workspace.create("trial"))
    assert run.wait_for_completion() == "Completed"
    (written,) = [each for each in Path(run.outputs["all"].path).rglob("*") if each.is_file()]
    assert written.read_text() == "1"


def test_the_path_of_an_output_may_name_inputs_and_nothing_else(here: Path) -> None:
    text = PIPELINE.replace("inputs:\n", "inputs:\n  where: out\n", 1)
    path = "'./${{%s}}/all.txt'"
    named = text.replace("uri_file}\njobs", f"uri_file, path: {path}}}\njobs")
    for inside in ("inputs.where", "parent.inputs.where"):
        (_, score) = steps(named % inside)
        assert score.output.destination == f"{here}/out"
    (problem,) = problems(named % "inputs.wher")
    assert "${{inputs.wher}} in the path of an output names nothing of this job" in problem
    assert "There are default_datastore, name, output_name, inputs.where" in problem


def test_what_is_kept_of_a_run_makes_the_same_steps(here: Path) -> None:
    Path("job.yml").write_text(PIPELINE)
    published = load_job("job.yml").pipeline(Workspace.create("trial")).publish("kept")
    (argument, _) = published.pipeline().steps[-1].arguments
    assert (argument.before, argument.value.name) == ("--model=", "model")


def test_an_input_that_no_text_names_is_waited_for(here: Path) -> None:
    text = (
        PIPELINE
        + """
  last:
    type: command
    inputs: {rows: "${{parent.jobs.score.outputs.rows}}"}
    command: ls
"""
    )
    last = steps(text)[-1]
    assert [each.name for each in last._upstream({})] == ["score"]


def test_programs_side_by_side_end_in_one_process(here: Path) -> None:
    one = "{type: command, command: 'true'}"
    Path("job.yml").write_text(f"type: pipeline\njobs: {{a: {one}, b: {one}, c: {one}}}\n")
    run = load_job("job.yml").submit(Workspace.create("trial"), compute_target="inline")
    assert run.wait_for_completion(timeout_seconds=60) == "Completed"


def test_a_value_given_takes_the_place_of_one_in_the_file(here: Path) -> None:
    Path("few").mkdir()
    Path("few", "1.txt").write_text("")
    Path("jobs").mkdir()
    Path("jobs", "job.yml").write_text(PIPELINE)
    given = {"inputs.images": "few", "jobs.score.mini_batch_size": "7"}
    job = load_job("jobs/job.yml", given)
    text = repr(job.said.inputs["images"].path.local)
    assert str(here / "few") in text
    assert job.said.jobs["score"].mini_batch_size == "7"


COMPONENT = """
type: parallel
name: score
inputs:
  data: {type: uri_folder}
  few: {type: integer, default: 2}
  title: {type: string, optional: true}
outputs: {rows: {type: uri_file}}
input_data: ${{inputs.data}}
mini_batch_size: "5"
retry_settings: {max_retries: 2, timeout: 60}
task:
  code: .
  entry_script: score.py
  program_arguments: --few ${{inputs.few}} $[[--title ${{inputs.title}}]]
  append_row_to: ${{outputs.rows}}
"""


def test_a_job_says_what_it_wants_of_its_component_otherwise(here: Path) -> None:
    Path("src", "score.yml").write_text(COMPONENT)
    (step,) = steps(
        """
        type: pipeline
        jobs:
          one:
            component: ./src/score.yml
            inputs: {data: {path: ./images}, title: t}
            mini_batch_error_threshold: 10
            retry_settings: {max_retries: 5}
        """
    )
    made = step.parallel_run_config
    assert (made.mini_batch_size, made.allowed_failed_count, made.run_max_try) == ("5", 10, 5)
    assert made.run_invocation_timeout == 60
    assert step.arguments == ["--few", "2", "--title", "t"]
    assert Path(made.source_directory) == here / "src"


DEPLOYMENT = """
$schema: https://azuremlschemas.azureedge.net/latest/batchDeployment.schema.json
name: classifier-dpl
endpoint_name: classifier
model: {path: ./model}
code_configuration: {code: src, scoring_script: model.py}
compute: inline
mini_batch_size: 2
max_concurrency_per_instance: 2
output_action: append_row
output_file_name: predictions.txt
retry_settings: {max_retries: 3, timeout: 30}
error_threshold: -1
logging_level: info
"""
MODEL = """
import os

def init():
    global model
    model = open(os.path.join(os.environ["AZUREML_MODEL_DIR"], "model", "m.bin")).read()

def run(mini_batch):
    assert os.environ["AZUREML_BI_OUTPUT_PATH"]
    return [f"{os.path.basename(path)} {model}" for path in mini_batch]
"""


@pytest.mark.parametrize("registered", [False, True])
def test_a_deployment_is_a_job_of_one_step(here: Path, registered: bool) -> None:
    Path("src", "model.py").write_text(MODEL)
    text = DEPLOYMENT
    ws = Workspace.create("trial")
    if registered:
        Model.register(ws, "model", "classifier")
        text = text.replace("{path: ./model}", "azureml:classifier@latest")
    Path("job.yml").write_text(text)
    run = load_job("job.yml", {"inputs.data": "images"}).submit(ws)
    run.wait_for_completion()
    output = Path(run.outputs["predictions"].path)
    assert output.name == "predictions.txt"
    assert output.read_text().splitlines() == [f"{n}.txt m" for n in range(5)]


def test_a_deployment_needs_a_script(here: Path) -> None:
    text = DEPLOYMENT.replace("code_configuration: {code: src, scoring_script: model.py}\n", "")
    (found,) = problems(text, {"inputs.data": "images"})
    assert "scoring_script" in found


def test_a_deployment_needs_data(here: Path) -> None:
    assert "--set inputs.data=PATH" in problems(DEPLOYMENT)[0]


def test_tables_are_those_of_an_mltable(here: Path) -> None:
    (step,) = steps(HEAD.replace("uri_folder, path: ./images", TABLE) + TASK)
    (used,) = step.inputs
    assert used.dataset.to_pandas_dataframe().to_dict("list") == {"store": ["x", "y"], "n": [1, 2]}


def test_files_of_a_table_have_no_size_in_bytes(here: Path) -> None:
    text = HEAD.replace("uri_folder, path: ./images", f"{TABLE}, mode: eval_mount")
    (found,) = problems(f"{text}mini_batch_size: 1kb\n{TASK}")
    assert found.endswith("such as mini_batch_size=10, or mode: direct to have the rows in them.")
    assert str(SettingsError("job.yml", ["job.yml:3:1: no"])) == "job.yml:3:1: no"


def test_checking_makes_no_workspace(here: Path) -> None:
    Path("job.yml").write_text(PIPELINE)
    load_job("job.yml").check()
    assert not Path(".daskrun").exists()
