"""Programs that use ``azure.ai.ml``: the jobs they build are those of files."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from daskrun import Model, NameNotFoundError, SettingsError, Workspace
from daskrun.jobs.client import MLClient
from daskrun.jobs.v2 import (
    Entity,
    Input,
    Output,
    RunFunction,
    command,
    load_component,
    parallel_run_function,
    pipeline,
)

if TYPE_CHECKING:
    from daskrun.jobs import v2

PROGRAM = """
import daskrun.azureml

from azure.ai.ml import Input, MLClient, Output, command, dsl, load_component
from azure.ai.ml.constants import AssetTypes, InputOutputModes
from azure.ai.ml.entities import Environment
from azure.ai.ml.parallel import RunFunction, parallel_run_function
from azure.identity import DefaultAzureCredential

credential = DefaultAzureCredential()
credential.get_token("https://management.azure.com/.default")
client = MLClient.from_config(credential=credential)
prepare = load_component(source="./copy.yml")
score = parallel_run_function(
    name="batch_score",
    display_name="Batch score",
    inputs=dict(
        images=Input(type=AssetTypes.URI_FOLDER, description="to be scored"),
        title=Input(type="string", default="t"),
        more=Input(type="string", optional=True),
    ),
    outputs=dict(rows=Output(type=AssetTypes.URI_FILE)),
    input_data="${{inputs.images}}",
    instance_count=1,
    max_concurrency_per_instance=1,
    mini_batch_size="2",
    mini_batch_error_threshold=0,
    retry_settings=dict(max_retries=2, timeout=60),
    logging_level="DEBUG",
    task=RunFunction(
        code=".",
        entry_script="score.py",
        program_arguments="--title ${{inputs.title}} $[[--more ${{inputs.more}}]]",
        environment=Environment(image="mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu20.04"),
        append_row_to="${{outputs.rows}}",
    ),
)


@dsl.pipeline(default_compute="inline", description="two steps")
def whole(images, title="hello"):
    copied = prepare(images=images)
    scored = score(images=copied.outputs.copied, title=title)
    scored.outputs.rows.mode = InputOutputModes.RW_MOUNT
    return {"all_rows": scored.outputs.rows}


job = whole(images=Input(type=AssetTypes.URI_FOLDER, path="./images"))
job.outputs.all_rows.type = AssetTypes.URI_FILE
job.settings.force_rerun = True
submitted = client.jobs.create_or_update(job, experiment_name="samples")
client.jobs.stream(submitted.name)
assert client.jobs.get(submitted.name).status == "Completed"
client.jobs.download(name=submitted.name, download_path="here", output_name="all_rows")
"""
COPY = """
type: command
name: copy_files
inputs: {images: {type: uri_folder}}
outputs: {copied: {type: uri_folder}}
code: .
command: python copy_files.py ${{inputs.images}} ${{outputs.copied}}
"""


def test_a_program_builds_submits_and_downloads(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for number in range(3):
        (tmp_path / "images" / f"{number}.txt").write_text("")
    (tmp_path / "copy.yml").write_text(COPY)
    (tmp_path / "copy_files.py").write_text(
        "import shutil, sys\nshutil.copytree(sys.argv[1], sys.argv[2], dirs_exist_ok=True)\n"
    )
    (tmp_path / "score.py").write_text(
        "import os, sys\ndef run(batch):\n"
        "    return [f'{os.path.basename(f)} {sys.argv[1:]}' for f in batch]\n"
    )
    (tmp_path / "program.py").write_text(PROGRAM)
    done = subprocess.run(
        [sys.executable, "program.py"], cwd=tmp_path, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr
    (found,) = (tmp_path / "here" / "named-outputs").rglob("all_rows/*")
    assert found.read_text() == "".join(f"{n}.txt ['--title', 'hello']\n" for n in range(3))


def parallel(**more: object) -> v2.Step:
    return parallel_run_function(
        **{
            "name": "score",
            "inputs": {"images": Input(type="uri_folder"), "few": Input(type="integer")},
            "outputs": {"rows": Output(type="uri_file")},
            "input_data": "${{inputs.images}}",
            "task": RunFunction(code=".", entry_script="score.py"),
            **more,
        }
    )


def test_what_is_registered_by_a_client_is_found_and_used(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("conda.yml").write_text("dependencies: [python, {pip: [tabulate]}]\n")
    Path("m.txt").write_text("m")
    client = MLClient(workspace=Workspace.create("trial"))
    made = client.environments.create_or_update(
        Entity(name="own", image="x", conda_file="conda.yml")
    )
    assert (made.name, made.version) == ("own", "1")
    by_dict = Entity(name="own", conda_file={"dependencies": ["python", {"pip": ["rich"]}]})
    assert client.environments.begin_create_or_update(by_dict).result().version == "2"
    client.models.create_or_update(Entity(name="mine", path="m.txt", type="custom_model"))
    client.data.create_or_update(Entity(name="texts", path="m.txt", type="uri_file"))
    for kind, name in (("environments", "own"), ("models", "mine"), ("data", "texts")):
        (found,) = getattr(client, kind).list()
        assert (found.name, found.path) == (name, client.__dict__[kind].get(name).id)
        assert list(getattr(client, kind).list(name="other")) == []
    step = parallel(task=RunFunction(code=".", environment=client.environments.get("own", "1")))
    assert step.as_job().said.task.environment == "azureml:own:1"
    component = parallel()
    assert client.components.create_or_update(component) is component
    assert load_component(client=client, name="score", version="1") is component
    (listed,) = client.components.list()
    assert listed.name == "score"
    with pytest.raises(NameNotFoundError, match="no component has the name 'other'"):
        client.components.get("other")
    with pytest.raises(AttributeError, match=r"no MLClient\.batch_endpoints\. It has .*jobs,"):
        client.batch_endpoints  # noqa: B018
    assert client.begin_create_or_update(made).result() is made


def test_outputs_of_a_job_can_be_registered(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("write.py").write_text("import sys\nopen(sys.argv[1] + '/m.txt', 'w').write('m')\n")
    client = MLClient(workspace=Workspace.create("trial"))
    job = command(
        name="train",
        code=".",
        command="python write.py ${{outputs.model}}",
        outputs={"model": Output(type="uri_folder")},
        compute="inline",
    )
    made = client.jobs.create_or_update(job)
    client.jobs.stream(made.name)
    for inside in ("", "/paths/m.txt"):
        path = f"azureml://jobs/{made.name}/outputs/model{inside}"
        client.models.create_or_update(Entity(name="trained", path=path))
    folder = Path(Model.get_model_path("trained", 1, client.workspace))
    assert [each.name for each in folder.iterdir()] == ["m.txt"]
    assert Path(Model.get_model_path("trained", 2, client.workspace)).read_text() == "m"


def test_names_that_nothing_uses_can_be_imported(tmp_path: Path) -> None:
    code = """
    import daskrun.azureml
    from azure.ai.ml import automl
    from azure.ai.ml.entities import BatchEndpoint, PipelineJob
    from azure.ai.ml.sweep import Choice
    from azure.core.exceptions import ResourceNotFoundError

    for use in (lambda: Choice([1]), lambda: automl.image()):
        try:
            use()
        except AttributeError as error:
            assert "daskrun run job.yml" in str(error)
        else:
            raise AssertionError
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True, cwd=tmp_path)


def test_inputs_that_a_pipelines_function_annotates_may_be_left_out_and_name_a_path() -> None:
    score = parallel()

    @pipeline()
    def whole(
        images,
        folder: Input(type="string"),
        few: Input(type="integer", default=3, optional=True),
    ):
        scored = score(images=images, few=few)
        scored.outputs.rows = Output(path=folder, type="uri_folder")
        return {"out": scored.outputs.rows}

    said = whole(images=Input(path="images"), folder="there").as_job().said
    assert (said.inputs["few"], said.outputs["out"].path) == ("3", "${{parent.inputs.folder}}")
    assert "folder" not in whole().as_job().said.inputs


def test_a_misspelt_keyword_is_named() -> None:
    with pytest.raises(SettingsError, match=r"mini_batch_sise is no key .* Write mini_batch_size"):
        parallel(mini_batch_sise="2").as_job()


def test_steps_of_one_component_have_names_of_their_own() -> None:
    score = parallel()

    @pipeline
    def twice(images, few):
        first = score(images, few=few)
        second = score(images=first.outputs.rows, few=3)
        second.compute = "inline"
        return {"last": second.outputs.rows}

    said = twice(Input(path="images"), 2).as_job().said
    assert list(said.jobs) == ["score", "score_1"]
    assert said.jobs["score_1"].inputs["images"].path == "${{parent.jobs.score.outputs.rows}}"
    assert said.jobs["score_1"].compute == "inline"
    assert said.jobs["score_1"].outputs["rows"].path == "${{parent.outputs.last}}"
    assert said.inputs["few"] == "2"


def test_a_pipeline_is_a_step_of_another() -> None:
    score = parallel()

    @pipeline()
    def inner(images):
        return {"out": score(images=images, few=1).outputs.rows}

    @pipeline()
    def outer(images):
        return {"all": inner(images).outputs.out}

    said = outer(Input(type="uri_folder", path="images")).as_job().said
    (name,) = said.jobs
    assert list(said.jobs[name].jobs) == ["score"]


def test_other_modules_of_azure_are_found_as_ever(tmp_path: Path) -> None:
    (tmp_path / "azure" / "identity").mkdir(parents=True)
    (tmp_path / "azure" / "identity" / "__init__.py").write_text("OWN = 1\n")
    program = """
        import daskrun.azureml
        import azure.ai.ml
        from azure.ai.ml import MLClient
        from azure.identity import OWN
        try:
            import azure.storage
        except ModuleNotFoundError:
            print("as ever")
        from azure.ai.ml import automl
        try:
            automl.classification()
        except AttributeError as error:
            print("daskrun run job.yml" in str(error))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.split("\n")[:2] == ["as ever", "True"], done.stderr
