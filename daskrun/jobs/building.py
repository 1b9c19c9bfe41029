"""From the jobs of a file to the steps of a pipeline, each after those whose outputs it uses."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from daskrun.core.settings import close_to
from daskrun.jobs.data import target_of
from daskrun.jobs.expressions import only
from daskrun.jobs.kinds import (
    AnyJob,
    CommandJob,
    Deployment,
    Input,
    Output,
    ParallelJob,
    PipelineJob,
    Resources,
    RetrySettings,
    Task,
)
from daskrun.jobs.scope import Context, Given, Scope, Written, inputs_of, outputs_of
from daskrun.jobs.steps import Deployed, command_step, parallel_step, step_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from daskrun.jobs.expressions import Reference
    from daskrun.jobs.kinds import DataType
    from daskrun.jobs.located import At
    from daskrun.jobs.scope import Outside, Value
    from daskrun.pipeline.steps.base import PipelineStep

UNSAID = object()
"""Stands for a compute target that nobody has asked for."""
PREDICTIONS = "predictions"
"""The output of a deployment."""


@dataclass
class Builder:
    """Makes the steps of a file's jobs."""

    context: Context
    compute: object = UNSAID
    """The target that all jobs have, whatever the file says."""
    steps: list[PipelineStep] = field(default_factory=list)
    names: set[str] = field(default_factory=set)

    def add(self, job: AnyJob | Deployment) -> None:
        """Add the steps of a file's job."""
        if isinstance(job, Deployment):
            self._one(*_of_deployment(job), _nothing_around, _Usual(None, reuse=True))
        elif isinstance(job, PipelineJob):
            self._pipeline(job, "", _nothing_around, _Usual(job.compute, reuse=True))
        else:
            self._one(job, Deployed(), _nothing_around, _Usual(None, reuse=True))

    def _pipeline(
        self, job: PipelineJob, before: str, outside: Outside, usual: _Usual
    ) -> Mapping[str, Written]:
        settings = job.settings
        compute = job.default_compute or job.compute or usual.compute
        if settings is not None:
            compute = settings.default_compute or compute
            usual = replace(usual, reuse=usual.reuse and not settings.force_rerun)
            if settings.default_datastore is not None:
                self.context.datastore = settings.default_datastore.removeprefix("azureml:")
        if not job.jobs:
            example = "Write jobs: and a job below it."
            self.context.problems.add(job.where("jobs"), f"the pipeline has no jobs. {example}")
        usual = replace(usual, compute=compute)
        job = replace(job, outputs=_typed(job))
        given = inputs_of(job, self.context, outside)
        written = outputs_of(job, self.context, outside, given)
        return _Inside(self, job, before, usual, given, written).build()

    def _one(
        self, job: AnyJob, deployed: Deployed, outside: Outside, usual: _Usual, name: str = ""
    ) -> Mapping[str, Written]:
        """Add the step of a job, and return its outputs."""
        name = step_name(name or job.name or str(job.type or "job"), self.names)
        self.names.add(name)
        context = self.context
        given = inputs_of(job, context, outside)
        written = outputs_of(job, context, outside, given)
        scope = Scope(context, job, name, given, written, outside)
        compute = self.compute
        if compute is UNSAID:
            said = job.compute or usual.compute
            compute = None if said is None else target_of(said, context.workspace, context.notes)
        reuse = usual.reuse and job.is_deterministic is not False
        step = None
        if isinstance(job, ParallelJob):
            step = parallel_step(job, scope, name, compute, reuse, deployed)
        elif isinstance(job, CommandJob):
            step = command_step(job, scope, name, compute, reuse)
        if step is not None:
            self._after(step, given)
            self.steps.append(step)
        return scope.outputs

    def _after(self, step: PipelineStep, given: Mapping[str, Value]) -> None:
        """Have a step wait for what its inputs are, also those that its texts don't name."""
        sources = [each.source for each in given.values() if isinstance(each, Given)]
        links = [each.output.link for each in sources if isinstance(each, Written)]
        for other in self.steps:
            if any(output.link in links for output in other.outputs):
                step.run_after(other)


@dataclass(frozen=True)
class _Usual:
    """What holds for jobs that say nothing."""

    compute: str | None
    reuse: bool


@dataclass
class _Inside:
    """The jobs of a pipeline, each made when another needs what it writes."""

    builder: Builder
    job: PipelineJob
    before: str
    usual: _Usual
    inputs: Mapping[str, Value]
    outputs: Mapping[str, Written]
    made: dict[str, Mapping[str, Written]] = field(default_factory=dict)
    waiting: list[str] = field(default_factory=list)

    def build(self) -> Mapping[str, Written]:
        for name in self.job.jobs:
            self._child(name)
        return self.outputs

    def _child(self, name: str) -> Mapping[str, Written]:
        if name in self.made:
            return self.made[name]
        child = self.job.jobs[name]
        self.waiting.append(name)
        full = f"{self.before}{name}"
        if isinstance(child, PipelineJob):
            made = self.builder._pipeline(child, f"{full}-", self._name, self.usual)
        else:
            made = self.builder._one(child, Deployed(), self._name, self.usual, full)
        self.waiting.remove(name)
        self.made[name] = made
        return made

    def _name(self, reference: Reference, at: At) -> str | Given | Written | None:
        """Return what an expression in a job of the pipeline means."""
        parts = reference.text.removesuffix(".path").split(".")
        if parts[0] in ("parent", "parents"):
            parts = parts[1:]
        match parts:
            case ["inputs", name] if name in self.inputs:
                return self.inputs[name]
            case ["outputs", name] if name in self.outputs:
                return self.outputs[name]
            case ["jobs", job, "outputs", name] if job in self.job.jobs:
                if job in self.waiting:
                    text = f"{reference}: job {job!r} would wait for itself. Name another's output."
                    self.builder.context.problems.add(at, text)
                    return ""
                made = self._child(job)
                if name in made:
                    return made[name]
                self._unknown(reference, at, [f"parent.jobs.{job}.outputs.{o}" for o in made])
                return ""
        known = [f"parent.inputs.{each}" for each in self.inputs]
        known += [f"parent.outputs.{each}" for each in self.outputs]
        known += [
            f"parent.jobs.{j}.outputs.{o}" for j in self.job.jobs for o in self.job.jobs[j].outputs
        ]
        self._unknown(reference, at, known)
        return ""

    def _unknown(self, reference: Reference, at: At, known: list[str]) -> None:
        hint = close_to(reference.text, known) if known else "The pipeline has none."
        self.builder.context.problems.add(at, f"{reference} names nothing of the pipeline. {hint}")


def _typed(job: PipelineJob) -> Mapping[str, Any]:
    """Return the outputs of a pipeline; one that says no type has that of what is written to it."""
    types: dict[str, DataType] = {}
    for child in job.jobs.values():
        for said in child.outputs.values():
            reference = only(said.path or "") if isinstance(said, Output) else None
            if isinstance(said, Output) and reference is not None and said.type is not None:
                types[reference.text.rpartition(".")[2]] = said.type
    return {
        name: replace(said, type=types.get(name))
        if isinstance(said, Output) and said.type is None
        else said
        for name, said in job.outputs.items()
    }


def _nothing_around(reference: Reference, at: At) -> str:
    """Return the expression itself: a job without a pipeline around it knows nothing else."""
    del at
    return str(reference)


def _of_deployment(job: Deployment) -> tuple[ParallelJob, Deployed]:
    """Return a deployment as the parallel job that its invocation is."""
    code, retry = job.code_configuration, job.said("retry_settings")
    action = job.said("output_action") or "append_row"
    output = job.outputs.get(PREDICTIONS) or Output(type="uri_file", node=job.node)
    data = Input(type="uri_folder", node=job.node)
    inputs = {
        name: each if isinstance(each, Input) else data.given(str(each), job.where("inputs", name))
        for name, each in (job.inputs or {"data": data}).items()
    }
    script = code.scoring_script if code is not None else None
    task = Task(
        code=(code.code if code is not None else None) or job.code_path,
        entry_script=script,
        environment=job.environment,
        append_row_to="${{outputs.predictions}}" if action == "append_row" else None,
        node=job.node.table().get("code_configuration", job.node),
    )
    retry = retry or RetrySettings()
    made = ParallelJob(
        type="parallel",
        name=job.name or job.endpoint_name,
        description=job.description,
        compute=job.compute,
        inputs=inputs,
        outputs={PREDICTIONS: output},
        input_data=f"${{{{inputs.{next(iter(inputs))}}}}}",
        mini_batch_size=job.said("mini_batch_size"),
        error_threshold=job.said("error_threshold"),
        retry_settings=replace(
            retry,
            max_retries=3 if retry.max_retries is None else retry.max_retries,
            timeout=30 if retry.timeout is None else retry.timeout,
        ),
        max_concurrency_per_instance=job.said("max_concurrency_per_instance"),
        logging_level=job.said("logging_level"),
        environment_variables=job.said("environment_variables"),
        resources=job.resources or Resources(),
        task=task,
        node=job.node,
    )
    path = output.path if isinstance(output, Output) else None
    file = job.said("output_file_name") or ("" if path else "predictions.csv")
    return made, Deployed(job.model, file)
