"""A script that is submitted by itself, and steps in a row, as the original has them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from daskrun.core.absent_names import OriginalClass, original_keywords
from daskrun.errors import SettingsError
from daskrun.original.endpoint import PipelineEndpoint
from daskrun.pipeline.runs import experiment
from daskrun.pipeline.runs.pipeline import Pipeline
from daskrun.pipeline.steps.base import PipelineStep
from daskrun.pipeline.steps.script_step import PythonScriptStep
from daskrun.workspace.environments.run_configuration import Recorded, RunConfiguration

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Sequence

    from daskrun.workspace.compute.targets import ComputeTarget
    from daskrun.workspace.environments.environment import Environment


class ScriptRunConfig(OriginalClass):
    """A script with what it runs in: ``experiment.submit(config)`` runs it as a step of its own.

    ``source_directory``, ``script``, ``arguments``, ``compute_target``, ``environment``: as of
    :class:`PythonScriptStep`. ``run_config``: as ``runconfig`` of that; what is said beside it goes
    before. ``distributed_job_config``, ``docker_runtime_config``: kept with the run.
    ``max_run_duration_seconds``: seconds it may take.

    Examples
    --------
    >>> config = ScriptRunConfig(source_directory="src", script="train.py", arguments=["--n", 3])
    >>> config.as_step()
    PythonScriptStep(name='train')
    """

    @original_keywords
    def __init__(
        self,
        source_directory: str | os.PathLike[str] | None = None,
        script: str | os.PathLike[str] | None = None,
        arguments: Sequence[object] | None = None,
        run_config: RunConfiguration | None = None,
        compute_target: ComputeTarget | str | None = None,
        environment: Environment | None = None,
        distributed_job_config: Recorded | None = None,
        max_run_duration_seconds: float | None = None,
        docker_runtime_config: Recorded | None = None,
    ) -> None:
        self.source_directory = source_directory
        self.script = script
        self.arguments = list(arguments or [])
        self.run_config = run_config if run_config is not None else RunConfiguration()
        said = {
            "target": compute_target,
            "environment": environment,
            "max_run_duration_seconds": max_run_duration_seconds,
            "mpi": distributed_job_config,
            "docker": docker_runtime_config,
        }
        for name, value in said.items():
            if value is not None:
                setattr(self.run_config, name, value)

    def as_step(self) -> PythonScriptStep:
        """Return the step that it is run as."""
        script = self.script if self.script is not None else self.run_config.script
        if script is None:
            problem = "script=None names no file. Write script='train.py'."
            raise SettingsError("ScriptRunConfig", [problem])
        return PythonScriptStep(
            script,
            arguments=self.arguments or self.run_config.arguments,
            source_directory=self.source_directory,
            runconfig=self.run_config,
            allow_reuse=False,
        )


class Experiment(experiment.Experiment):
    """An experiment that scripts can be submitted to by themselves."""

    @original_keywords
    def submit(self, pipeline: Any, *args: Any, **given: Any) -> Any:
        """Start a run; see daskrun's own. Of a :class:`ScriptRunConfig` it is that of its step."""
        if isinstance(pipeline, PipelineEndpoint):
            pipeline = pipeline._active(given.pop("pipeline_version", None))
        if not isinstance(pipeline, ScriptRunConfig):
            return super().submit(pipeline, *args, **given)
        whole = super().submit(Pipeline(self.workspace, [pipeline.as_step()]), *args, **given)
        return whole.get_steps()[0]


class StepSequence(list[PipelineStep]):
    """Steps that run one after the other; those of a list in it at once.

    Examples
    --------
    >>> first, second = PythonScriptStep("a.py", name="first"), PythonScriptStep("b.py", name="two")
    >>> StepSequence(steps=[first, [second]])
    [PythonScriptStep(name='first'), PythonScriptStep(name='two')]
    """

    def __init__(self, steps: Iterable[PipelineStep | Sequence[PipelineStep]] = ()) -> None:
        super().__init__()
        before: list[PipelineStep] = []
        for each in steps:
            now = [each] if isinstance(each, PipelineStep) else list(each)
            for step in now:
                for earlier in before:
                    step.run_after(earlier)
            self += now
            before = now
