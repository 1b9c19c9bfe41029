"""The kinds of nodes of a job file, and their keys; the JSON schema is made of these."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from daskrun.core.settings import close_to
from daskrun.jobs import located
from daskrun.jobs.schema import Binding, Said, WrittenPath, key, read_as

if TYPE_CHECKING:
    from daskrun.jobs.located import At, Node, Problems

DataType = Literal[
    "uri_folder",
    "uri_file",
    "mltable",
    "custom_model",
    "mlflow_model",
    "triton_model",
    "string",
    "number",
    "integer",
    "boolean",
]
REGISTERED = "azureml:"
"""Before the name of what is registered."""


@dataclass(frozen=True, kw_only=True)
class Input(Said):
    """An input of a job, or what a component says of one."""

    what: ClassVar = "an input"

    type: DataType | None = key("what it is; uri_folder where there is a path.")
    path: WrittenPath | None = key("a file, folder, glob or URL, or azureml:NAME:VERSION.")
    mode: str | None = key("ro_mount, download, direct, eval_mount, eval_download.")
    optional: bool | None = key("whether it may be left out.")
    default: str | None = key("the value where none is given.")
    value: str | None = key("the value of a literal.")
    description: str | None = key("any text.")
    min: float | None = key("the least number.")
    max: float | None = key("the greatest number.")
    enum: tuple[str, ...] | None = key("the values that it may have.")
    path_on_compute: str | None = key("where it is found on the node.", unused=True)

    def given(self, text: str, at: At) -> Input:
        """Return it with the value that a job gives: the path of data, else a literal."""
        if self.is_data or "${{" in text:
            return replace(self, path=WrittenPath.at(text, at.folder), default=None)
        return replace(self, value=text)

    @property
    def literal(self) -> str | None:
        """The value that it has without a path."""
        return self.value if self.value is not None else self.default

    @property
    def is_data(self) -> bool:
        """Whether it is data."""
        return self.path is not None or self.type not in (None, *located.LITERALS)


@dataclass(frozen=True, kw_only=True)
class Output(Said):
    """An output of a job."""

    what: ClassVar = "an output"

    type: DataType | None = key("uri_folder, uri_file or mltable.")
    path: WrittenPath | None = key("a folder, or file for uri_file; or a URL.")
    mode: str | None = key("rw_mount, upload or direct.")
    name: str | None = key("under which it is registered when it is written.")
    version: str | None = key("versions are numbered here.", unused=True)
    description: str | None = key("any text.")
    path_on_compute: str | None = key("where it is on the node.", unused=True)

    def given(self, text: str, at: At) -> Output:
        """Return it with the place that a job gives."""
        return replace(self, path=WrittenPath.at(text, at.folder))


@dataclass(frozen=True, kw_only=True)
class Described(Said):
    """What has a file of its own."""

    schema: str | None = key("address of a JSON schema.", name="$schema")
    name: str | None = key("its name.")
    description: str | None = key("any text.")
    tags: Mapping[str, str] = key("texts by name.", dict)
    properties: Mapping[str, Any] = key("anything.", dict)


@dataclass(frozen=True, kw_only=True)
class EnvironmentSaid(Described):
    """An environment that is written out."""

    what: ClassVar = "environment"

    version: str | None = key("its version.")
    image: str | None = key("an image; scripts run in Python environments here.", unused=True)
    conda_file: WrittenPath | Mapping[str, Any] | None = key("a conda file, or what is in it.")
    build: Any = key("how an image is built.", unused=True)
    os_type: str | None = key("linux.", unused=True)
    inference_config: Any = key("routes of a server.", unused=True)


@dataclass(frozen=True, kw_only=True)
class Resources(Said):
    """How many nodes a job has."""

    what: ClassVar = "resources"

    instance_count: int | Binding | None = key("nodes: Dask workers that take part.")
    instance_type: str | None = key("size of a node.", unused=True)
    shm_size: str | None = key("of a container.", unused=True)
    docker_args: str | None = key("of a container.", unused=True)
    properties: Any = key("anything.", unused=True)
    locations: Any = key("regions.", unused=True)
    max_instance_count: int | None = key("nodes at most.", unused=True)


@dataclass(frozen=True, kw_only=True)
class RetrySettings(Said):
    """Tries of a mini-batch."""

    what: ClassVar = "retry_settings"

    max_retries: int | Binding | None = key("tries of a mini-batch in all.")
    timeout: float | Binding | None = key("seconds for one run().")


@dataclass(frozen=True, kw_only=True)
class Task(Said):
    """What a parallel job runs."""

    what: ClassVar = "task"

    type: Literal["run_function", "function"] = key("run_function.", "run_function")
    code: WrittenPath | None = key("folder whose files the script sees.")
    entry_script: str | None = key("file with run(mini_batch), below code.")
    environment: str | EnvironmentSaid | None = key("packages that the script needs.")
    program_arguments: str | None = key("what the script finds in sys.argv.")
    args: str | None = key("an older name of program_arguments.")
    append_row_to: str | None = key("the output that results are appended to.")
    model: str | None = key("a model of MLflow.", unused=True)


@dataclass(frozen=True, kw_only=True)
class Limits(Said):
    """Limits of a job."""

    what: ClassVar = "limits"

    timeout: float | None = key("seconds that it may take.")


@dataclass(frozen=True, kw_only=True)
class AnyJob(Described):
    """A job of any type, or a component: what they have in common."""

    what: ClassVar = "a job"

    type: str | None = key("parallel, command or pipeline.")
    version: str | None = key("of a component.")
    display_name: str | None = key("any text.")
    experiment_name: str | None = key("what runs are kept under.")
    component: WrittenPath | Mapping[str, Any] | None = key("a component file, or what is in it.")
    inputs: Mapping[str, Binding | str | Input] = key("values and data by name.", dict)
    outputs: Mapping[str, Binding | str | Output] = key("what it writes, by name.", dict)
    compute: str | None = key("azureml:NAME of a compute target, local, inline, tcp://…")
    identity: Any = key("an account.", unused=True)
    services: Any = key("ports of a node.", unused=True)
    is_deterministic: bool | None = key("false: earlier outputs are not used.")
    environment_variables: Mapping[str, str] = key("set before the script begins.", dict)
    resources: Resources | None = key("nodes.")
    limits: Limits | None = key("limits.")
    queue_settings: Any = key("how it waits for nodes.", unused=True)

    @classmethod
    def read(cls, node: Node, problems: Problems) -> AnyJob:
        """Return a job of the type that a node says, with what its component says."""
        known = {"parallel": ParallelJob, "command": CommandJob, "pipeline": PipelineJob}
        component = node.table().get("component")
        base = _component(component, problems) if component is not None else None
        own = node.table().get("type")
        found = str(own.value).lower() if own is not None else _type_of(node, base)
        if found in known and (base is None or type(base) is known[found]):
            made: AnyJob = read_as(known[found], node, problems)
            return made if base is None else made.over(base)
        at = node.where("type")
        if not isinstance(node.value, Mapping):
            problems.add(at, "a job is written as keys and values: type, inputs, task, …")
        elif base is not None:
            problems.add(at, f"type={found!r}, and its component is {base.type!r}. Write that.")
        elif found in OTHER_TYPES:
            problems.add(at, f"type={found!r}: {OTHER_TYPES[found]}")
        elif not found and component is None:
            problems.add(at, "the job has no type. Write type: parallel, command or pipeline.")
        elif found:
            problems.add(at, f"type={found!r} is no job's. {close_to(found, known)}")
        return cls(node=node)


OTHER_TYPES = {
    "sweep": "there are no sweeps here. Write a parallel job over a table of values.",
    "automl": "there is no automatic training here. Write a command job.",
    "spark": "there is no Spark here. Write a parallel job.",
    "import": "nothing is imported here. Write the path of the data as an input.",
    "data_transfer": "nothing is copied here. Write the path of the data as an input.",
    "do_while": "there are no loops here. Write them in a script.",
    "if_else": "there are no conditions here. Write them in a script.",
}


def _type_of(node: Node, base: AnyJob | None) -> str:
    """Return the type of a job that says none."""
    if base is not None:
        return str(base.type)
    for name, mark in (("pipeline", "jobs"), ("parallel", "task"), ("command", "command")):
        if mark in node.table():
            return name
    return ""


def _component(node: Node, problems: Problems) -> AnyJob | None:
    """Return what the component of a job says; None where it can't be read."""
    if isinstance(node.value, Mapping):
        return AnyJob.read(node, problems)
    text = node.text.removeprefix("file:")
    path = WrittenPath.at(text, node.at.folder).local
    wrong = "is made of itself" if str(path.resolve()) in problems.reading else ""
    wrong = "is registered nowhere here" if text.startswith(REGISTERED) else wrong
    if wrong:
        example = "Write the path of a file, such as component: ./score.yml"
        problems.add(node.at, f"component={text!r} {wrong}. {example}")
        return None
    found = located.read(path, problems, node.at)
    problems.reading.append(str(path.resolve()))
    made = None if found is None else AnyJob.read(found, problems)
    problems.reading.pop()
    return made


@dataclass(frozen=True, kw_only=True)
class ParallelJob(AnyJob):
    """A job that runs an entry script over mini-batches."""

    what: ClassVar = "a parallel job"

    task: Task | None = key("what it runs.")
    input_data: str | None = key("the input that mini-batches are cut from, ${{inputs.NAME}}.")
    mini_batch_size: str | None = key("files, or bytes of a table such as 10MB.")
    partition_keys: tuple[str, ...] | Binding | None = key("one run() for their values.")
    mini_batch_error_threshold: int | Binding | None = key("failed mini-batches allowed; -1: any.")
    error_threshold: int | Binding | None = key("failed items allowed; -1: any.")
    allowed_failed_percent: float | Binding | None = key("percent of mini-batches.")
    retry_settings: RetrySettings | None = key("tries.")
    max_concurrency_per_instance: int | Binding | None = key("script processes on a node.")
    logging_level: Literal["warning", "info", "debug"] | Binding | None = key("of logs.")
    code: WrittenPath | None = key("an older place of task's.")
    environment: str | EnvironmentSaid | None = key("an older place of task's.")


@dataclass(frozen=True, kw_only=True)
class CommandJob(AnyJob):
    """A job that runs a command once."""

    what: ClassVar = "a command job"

    command: str | None = key("a command line, such as python prepare.py --out ${{outputs.o}}.")
    code: WrittenPath | None = key("folder whose files the command sees.")
    environment: str | EnvironmentSaid | None = key("packages that it needs.")
    distribution: Any = key("processes that know each other.", unused=True)


@dataclass(frozen=True, kw_only=True)
class PipelineSettings(Said):
    """What holds for all jobs of a pipeline."""

    what: ClassVar = "settings"

    default_compute: str | None = key("where jobs run that say nothing.")
    default_datastore: str | None = key("where outputs go that say nothing.")
    continue_on_step_failure: bool | None = key("whether others go on where one failed.")
    force_rerun: bool | None = key("true: earlier outputs are not used.")
    continue_run_on_failed_optional_input: bool | None = key("not known here.", unused=True)


@dataclass(frozen=True, kw_only=True)
class PipelineJob(AnyJob):
    """Jobs that feed each other."""

    what: ClassVar = "a pipeline job"

    jobs: Mapping[str, AnyJob] = key("jobs by name.", dict)
    settings: PipelineSettings | None = key("what holds for all.")
    default_compute: str | None = key("where jobs run that say nothing.")


@dataclass(frozen=True, kw_only=True)
class Code(Said):
    """The code of a deployment."""

    what: ClassVar = "code_configuration"

    code: WrittenPath | None = key("folder whose files the script sees.")
    scoring_script: str | None = key("file with run(mini_batch), below code.")


@dataclass(frozen=True, kw_only=True)
class ModelSaid(Described):
    """A model that is written out."""

    what: ClassVar = "model"

    version: str | None = key("its version.")
    path: WrittenPath | None = key("its file or folder.")
    type: str | None = key("custom_model or mlflow_model.")
    flavors: Any = key("of MLflow.")


@dataclass(frozen=True, kw_only=True)
class DeploymentSettings(Said):
    """How a deployment runs."""

    what: ClassVar = "settings"

    mini_batch_size: str | None = key("files of a mini-batch.")
    output_action: Literal["append_row", "summary_only"] | None = key("what becomes of results.")
    output_file_name: str | None = key("the file of append_row.")
    retry_settings: RetrySettings | None = key("tries.")
    error_threshold: int | None = key("failed files allowed; -1: any.")
    logging_level: Literal["warning", "info", "debug"] | None = key("of logs.")
    max_concurrency_per_instance: int | None = key("script processes on a node.")
    environment_variables: Mapping[str, str] = key("set before the script begins.", dict)


@dataclass(frozen=True, kw_only=True)
class Deployment(DeploymentSettings, Described):
    """A batch deployment of a model, run as a job of one step."""

    what: ClassVar = "a batch deployment"

    type: Literal["model"] = key("model.", "model")
    endpoint_name: str | None = key("the endpoint's name.")
    model: WrittenPath | ModelSaid | None = key("its file or folder, or azureml:NAME:VERSION.")
    code_configuration: Code | None = key("the script.")
    code_path: WrittenPath | None = key("an older place of code.")
    environment: str | EnvironmentSaid | None = key("packages that the script needs.")
    compute: str | None = key("azureml:NAME of a compute target.")
    resources: Resources | None = key("nodes.")
    settings: DeploymentSettings | None = key("how it runs.")
    inputs: Mapping[str, Binding | str | Input] = key("the data, which an invocation gives.", dict)
    outputs: Mapping[str, Binding | str | Output] = key("predictions: where they go.", dict)
    experiment_name: str | None = key("what runs are kept under.")

    def said(self, name: str) -> Any:
        """Return what ``settings``, or the deployment itself, says."""
        inside = getattr(self.settings, name, None) if self.settings is not None else None
        return getattr(self, name) if inside is None or inside == {} else inside


def read_job(node: Node, problems: Problems) -> AnyJob | Deployment:
    """Return the job, component or deployment that a node is."""
    table = node.table()
    schema = table["$schema"].text if "$schema" in table else ""
    if {"endpoint_name", "code_configuration"} & set(table) or "batchDeployment" in schema:
        if "type" not in table or table["type"].text.lower() != "pipeline":
            return read_as(Deployment, node, problems)
        own = ("component", "settings", "inputs", "outputs")
        node = replace(node, value={k: v for k, v in table.items() if k in own})
    return AnyJob.read(node, problems)


AnyJob.by_type = {"parallel": ParallelJob, "command": CommandJob, "pipeline": PipelineJob}
FILES = {**AnyJob.by_type, "deployment": Deployment}
"""What a file may be."""
