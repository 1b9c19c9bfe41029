"""``PythonScriptStep``: an ordinary program as a step, before, between or after parallel ones."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daskrun.core.absent_names import original_keywords
from daskrun.core.rules import LONGEST_TIME
from daskrun.core.settings import same_name_problems, step_name_problem
from daskrun.core.typing import override
from daskrun.errors import SettingsError
from daskrun.pipeline.steps.arguments import flattened, implied, resolve_arguments
from daskrun.pipeline.steps.base import PipelineStep, as_consumption
from daskrun.pipeline.steps.config import ParallelRunConfig
from daskrun.pipeline.steps.outputs import StepOutput, output_of
from daskrun.pipeline.steps.parameter import PipelineParameter, bound, resolve_value
from daskrun.pipeline.steps.side_inputs import list_problems, side_problems
from daskrun.workspace.environments.run_configuration import RunConfiguration

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from daskrun.core.settings import RunSettings
    from daskrun.pipeline.steps.base import NamedInput
    from daskrun.pipeline.steps.parallel_step import AnyInput
    from daskrun.pipeline.steps.parameter import ParameterValues
    from daskrun.pipeline.steps.written import Written
    from daskrun.workspace.compute.targets import ComputeTarget
    from daskrun.workspace.environments.environment import Environment

SUBJECT = "PythonScriptStep"
LONGEST_NAME = 255
VERSION = "version"
PARAMETER = "AML_PARAMETER_"
"""Before a parameter's name, the variable by which a script is told it, as in the original."""
OWN_WORDS = {
    "entry_script=": "script_name=",
    "the file that has run()": "the script",
    "run_invocation_timeout=": "timeout=",
    "as output=... if": "in outputs=[...] if",
    "side_inputs=[...]": "inputs=[...]",
    "in inputs and side_inputs": "in inputs",
}
"""What is said of a parallel step, and how it is said of this."""


class PythonScriptStep(PipelineStep):
    """A step that runs a script once, as ``python script.py`` does.

    It runs in a script process of one node, as entry scripts do: with logs, limits, cancel and
    ``Run.get_context()``. Its working directory is a private copy of ``source_directory``. An
    exception, or an exit code other than 0, fails the step; resumed, the script begins again.

    Parameters
    ----------
    script_name
        The file; relative to ``source_directory`` if that is given.
    name
        Any text, such as ``Train Model``; None: made of the script's name. Its runs are found by
        it.
    arguments
        What it finds in ``sys.argv[1:]``: text, numbers, pipeline parameters, and inputs and
        outputs of the step, which become paths on its node. What
        ``as_named_input()``, ``as_mount()`` and the like gave, or an
        :class:`OutputFileDatasetConfig`, is one of its inputs, or outputs, if it stands here alone.
    compute_target
        As of :class:`ParallelRunConfig`.
    inputs
        Datasets and outputs of other steps, each whole on the node.
    outputs
        What it writes: :class:`PipelineData` or :class:`OutputFileDatasetConfig`, each a folder
        that is there when the script begins. Files for a URL are put there when it has ended well.
    params
        Values by name, also pipeline parameters: environment variables ``AML_PARAMETER_<name>``.
    source_directory
        Folder whose files the script sees as they were at submit; None: the script alone, with the
        folder it is in importable.
    allow_reuse
        Whether the outputs of an earlier run are used where nothing they depend on has changed.
    runconfig
        Environment, variables and target that hold where the step says no others; what else it
        says is kept with the run, and not used.
    environment
        What packages it needs; None: it runs in the Python of its node.
    environment_variables
        Set before it begins.
    version
        Any text: an earlier run's outputs are used where that had the same.
    timeout
        Seconds it may take; None: 259,200, three days.
    run_max_try
        Tries in all.

    Raises
    ------
    SettingsError
        With every problem there is.

    Examples
    --------
    >>> from daskrun.pipeline.steps.outputs import PipelineData
    >>> pages = PipelineData("pages")
    >>> PythonScriptStep("split_pages.py", arguments=["--output", pages], outputs=[pages]).name
    'split-pages'
    """

    _is_program = True

    @original_keywords
    def __init__(
        self,
        script_name: str | os.PathLike[str],
        name: str | None = None,
        arguments: Sequence[object] | None = None,
        compute_target: ComputeTarget | str | None = None,
        inputs: Sequence[AnyInput] | None = None,
        outputs: Sequence[StepOutput | Written] | None = None,
        params: Mapping[str, object] | None = None,
        source_directory: str | os.PathLike[str] | None = None,
        allow_reuse: bool = True,
        *,
        runconfig: RunConfiguration | None = None,
        environment: Environment | None = None,
        environment_variables: Mapping[str, str] | None = None,
        version: str | None = None,
        timeout: float | PipelineParameter | None = None,
        run_max_try: int | PipelineParameter = 1,
    ) -> None:
        super().__init__()
        inputs, arguments = bound(inputs), bound(arguments)
        self.script_name = script_name
        self.name = _id_of(Path(str(script_name)).stem) if name is None else name
        self.arguments = arguments
        self.runconfig = runconfig
        used, written = implied(arguments, inputs, outputs)
        if isinstance(inputs, list | tuple | None):
            inputs = [*(inputs or ()), *used]
        self.inputs = inputs
        self.params = params
        self.version = version
        self.timeout = timeout
        self.allow_reuse = allow_reuse
        if isinstance(outputs, list | tuple | None):
            outputs = [*map(output_of, outputs or ()), *written]
        self._outputs: Any = outputs
        problems = self.problems()
        if isinstance(runconfig, RunConfiguration):
            compute_target = compute_target or runconfig.used_target
            environment = environment or runconfig.used_environment
            if runconfig.max_run_duration_seconds is not None and timeout is None:
                self.timeout = timeout = runconfig.max_run_duration_seconds
        try:
            self._own_config = ParallelRunConfig(
                entry_script=script_name,
                source_directory=source_directory,
                compute_target=compute_target,
                environment=environment,
                environment_variables=environment_variables,
                run_invocation_timeout=LONGEST_TIME if timeout is None else timeout,
                run_max_try=run_max_try,
                error_threshold=0,
                output_action="summary_only",
                mini_batch_size=1,
                process_count_per_node=1,
            )
        except SettingsError as error:
            problems += map(self._in_own_words, error.problems)
        if problems:
            raise SettingsError(SUBJECT, problems)
        self.inputs = [as_consumption(each) for each in self.inputs or []]
        self.arguments = list(arguments or [])
        for output in self.outputs:
            output.link.step = self

    @property
    @override
    def outputs(self) -> list[StepOutput]:
        return list(self._outputs or [])

    @property
    @override
    def _config(self) -> ParallelRunConfig:
        return self._own_config

    @property
    @override
    def _side_inputs(self) -> list[NamedInput]:
        return self.named_inputs

    @property
    @override
    def _parameter_uses(self) -> list[tuple[str, PipelineParameter]]:
        inputs = [(f"input {name!r}", each.dataset) for name, each in self.named_inputs]
        arguments = flattened(self.arguments or [])
        params = [(f"params[{name!r}]", each) for name, each in (self.params or {}).items()]
        own = [(self._in_own_words(f"{name}=")[:-1], p) for name, p in self._config._parameter_uses]
        uses = [*inputs, *arguments, *params, *own]
        return [(what, each) for what, each in uses if isinstance(each, PipelineParameter)]

    @property
    @override
    def _id_part(self) -> str:
        return self.name if step_name_problem(self.name) is None else _id_of(self.name)

    @property
    @override
    def _recorded(self) -> Mapping[str, object]:
        said = {"runconfig": self.runconfig.said} if self.runconfig is not None else {}
        return said if self.version is None else {**said, VERSION: str(self.version)}

    @override
    def _own_notes(self) -> list[str]:
        said = ", ".join(self.runconfig.said) if self.runconfig is not None else ""
        return [f"runconfig: {said} recorded and not used."] if said else []

    @override
    def problems(self, given: ParameterValues | None = None) -> list[str]:
        problems = []
        if not isinstance(self.name, str) or not 0 < len(self.name.strip()) <= LONGEST_NAME:
            shown = f"name={self.name!r} is not a step's"
            problems.append(
                f"{shown}. Write 1 to {LONGEST_NAME} characters, such as 'Train Model'."
            )
        if not isinstance(self.runconfig, RunConfiguration | None):
            shown = f"runconfig={self.runconfig!r} is of type {type(self.runconfig).__name__}"
            problems.append(f"{shown}. Write runconfig=RunConfiguration(), or environment=...")
        problems += list_problems("inputs", self.inputs) + self._output_problems()
        if self.params and not isinstance(self.params, dict):
            problems.append(f"params={self.params!r} is not a dict. Write params={{'rate': 0.1}}.")
        if not isinstance(self.allow_reuse, bool):
            problems.append(f"allow_reuse={self.allow_reuse!r} is not one. Write True or False.")
        if isinstance(self.arguments, str) or not isinstance(self.arguments, list | tuple | None):
            shown = f"arguments={self.arguments!r} is not a list"
            return [*problems, f"{shown}. Write arguments=['--rate', 0.1]."]
        if problems:
            return problems
        problems += same_name_problems("outputs", [each.name for each in self.outputs])
        problems += side_problems(self.named_inputs, (), given)
        return problems + [self._in_own_words(each) for each in self._resolved(given)[1]]

    def _output_problems(self) -> list[str]:
        outputs = self._outputs
        if outputs is None or (
            isinstance(outputs, list | tuple) and all(isinstance(o, StepOutput) for o in outputs)
        ):
            return []
        return [f"outputs={outputs!r} is not a list of them. Write [PipelineData('pages')]."]

    def _resolved(self, given: ParameterValues | None) -> tuple[list[Any], list[str]]:
        return resolve_arguments(self.arguments or [], given, self.named_inputs, self.outputs)

    @override
    def _resolve(
        self, given: ParameterValues, append_row_settings: Mapping[str, object] | None = None
    ) -> RunSettings:
        params = {
            f"{PARAMETER}{name}": str(resolve_value(value, given))
            for name, value in (self.params or {}).items()
        }
        configured = self.runconfig.variables() if self.runconfig is not None else {}
        variables = {**configured, **params, **(self._config.environment_variables or {})}
        extra = {"arguments": self._resolved(given)[0], "environment_variables": variables}
        return self._config.resolve(given, extra)

    @override
    def _unused_inline(self, settings: RunSettings, given: ParameterValues) -> list[str]:
        given_timeout = self.timeout is not None
        return [f"timeout={resolve_value(self.timeout, given)!r}"] if given_timeout else []

    @override
    def _in_own_words(self, problem: str) -> str:
        for others, own in OWN_WORDS.items():
            problem = problem.replace(others, own)
        return problem


def _id_of(text: str) -> str:
    """Make of any text what may be a part of a run's id."""
    name = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:32].strip("-")
    name = name if re.match("[a-z]", name) else f"run-{name}"[:32].strip("-")
    return name if len(name) > 2 else f"run-{name}"
