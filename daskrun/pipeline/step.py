"""``ParallelRunStep``: an entry script's configuration, its data and its output."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from daskrun.core.validation import same_name_problems, step_name_problem
from daskrun.data.consumption import DatasetConsumptionConfig
from daskrun.data.dataset import FileDataset
from daskrun.data.tabular.dataset import TabularDataset
from daskrun.errors import SettingsError
from daskrun.pipeline.base import USABLE, PipelineStep, as_consumption, places_used
from daskrun.pipeline.check import check_parallel_step
from daskrun.pipeline.config import ParallelRunConfig
from daskrun.pipeline.data import StepOutput
from daskrun.pipeline.inputs import AnyDataset, kind_problems
from daskrun.pipeline.parameter import PipelineParameter, resolve_value

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from daskrun.core.settings import RunSettings
    from daskrun.pipeline.base import CheckedStep
    from daskrun.workspace.workspace import Workspace

SUBJECT = "ParallelRunStep"


class ParallelRunStep(PipelineStep):
    """A step that runs an entry script over datasets, mini-batch by mini-batch.

    Parameters
    ----------
    name
        3 to 32 small letters, digits and ``-``; its runs are found by it.
    parallel_run_config
        What runs, and how.
    inputs
        Datasets of one kind, all of files or all tabular, each split into mini-batches by itself;
        also outputs of other steps, which then run before.
    output
        Where results go, a :class:`PipelineData` or :class:`OutputFileDatasetConfig`; required for
        ``append_row``.
    side_inputs
        Reference data for every node: not possible yet.
    arguments
        What the entry script finds in ``sys.argv[1:]``; any text passes untouched. May hold
        pipeline parameters.
    allow_reuse
        Whether the output of an earlier run is used, at once, where nothing that it depends on has
        changed; ``explain_reuse()`` of the run says what has.

    Raises
    ------
    SettingsError
        With every problem there is.

    Examples
    --------
    >>> from daskrun.data.dataset import Dataset
    >>> config = ParallelRunConfig(
    ...     entry_script="score.py", error_threshold=-1, output_action="append_row")
    >>> images = Dataset.File.from_files("images", validate=False)
    >>> step = ParallelRunStep("score-images", config, [images], PipelineData("scores"))
    >>> step.name
    'score-images'
    """

    def __init__(
        self,
        name: str,
        parallel_run_config: ParallelRunConfig,
        inputs: Sequence[AnyDataset | DatasetConsumptionConfig | StepOutput],
        output: StepOutput | None = None,
        side_inputs: Sequence[object] | None = None,
        arguments: Sequence[object] | None = None,
        allow_reuse: bool = True,
    ) -> None:
        super().__init__()
        self.name = name
        self.parallel_run_config = parallel_run_config
        self.inputs = inputs
        self.output = output
        self.side_inputs = side_inputs
        self.arguments = arguments
        self.allow_reuse = allow_reuse
        problems = self.problems()
        if problems:
            raise SettingsError(SUBJECT, problems)
        self.inputs = [as_consumption(each) for each in inputs]
        self.arguments = list(arguments or [])
        if output is not None:
            output.link.step = self

    @property
    def outputs(self) -> list[StepOutput]:
        """What it writes, one output or none."""
        return [] if self.output is None else [self.output]

    @property
    def named_inputs(self) -> list[tuple[str, DatasetConsumptionConfig]]:
        """The inputs with the name each has, ``input_<n>`` where none was given."""
        inputs = [as_consumption(each) for each in self.inputs]
        return [(each.name or f"input_{n}", each) for n, each in enumerate(inputs)]

    @property
    def parameters(self) -> list[PipelineParameter]:
        """The pipeline parameters it uses, those of its configuration included."""
        inputs = [each.dataset for _, each in self.named_inputs]
        values = [*self.parallel_run_config.parameters, *inputs, *(self.arguments or [])]
        return [value for value in values if isinstance(value, PipelineParameter)]

    def resolve(
        self, given: Mapping[str, Any], append_row_settings: Mapping[str, Any]
    ) -> RunSettings:
        """Give the settings of a run of this step, with the values given for parameters."""
        arguments = tuple(str(resolve_value(each, given)) for each in self.arguments or [])
        extra = {"arguments": arguments, "append_row_settings": append_row_settings}
        return self.parallel_run_config.resolve(given, extra)

    def check(
        self, workspace: Workspace, given: Mapping[str, Any], problems: list[str]
    ) -> CheckedStep:
        """Look up all that it needs but its data; problems are added to the list."""
        return check_parallel_step(self, workspace, given, problems)

    def _used(self) -> list[object]:
        return [*(each for _, each in self.named_inputs)]

    def problems(self, given: Mapping[str, Any] | None = None) -> list[str]:
        """Say everything that is wrong with it as it is now.

        Parameters
        ----------
        given
            Values of pipeline parameters, at submit; until then they are not looked at.
        """
        problem = step_name_problem(self.name)
        problems = [problem] if problem else []
        if not isinstance(self.parallel_run_config, ParallelRunConfig):
            problems.append(
                f"parallel_run_config={self.parallel_run_config!r} is not a ParallelRunConfig. "
                "Write parallel_run_config=ParallelRunConfig(...)."
            )
        problems += self._input_problems(given) + self._output_problems()
        problems += self._argument_problems(given)
        if self.side_inputs:
            problems.append(
                f"side_inputs={list(self.side_inputs)!r}: side inputs are not possible yet. Leave "
                "them out, and give paths that every node can read in arguments=[...]."
            )
        if not isinstance(self.allow_reuse, bool):
            problems.append(f"allow_reuse={self.allow_reuse!r} is not one. Write True or False.")
        return problems

    def _input_problems(self, given: Mapping[str, Any] | None) -> list[str]:
        example = (
            "Write inputs=[Dataset.File.from_files('images')] for files, or [Dataset.Tabular."
            "from_delimited_files('*.csv')] for tables, [Dataset.Tabular.from_pandas_dataframe("
            "frame)] for a dataframe."
        )
        if not isinstance(self.inputs, list | tuple) or not self.inputs:
            shown = _shown(self.inputs)
            return [f"inputs={shown} is not a list with at least one dataset. {example}"]
        problems = []
        for number, each in enumerate(self.inputs):
            if not isinstance(each, USABLE):
                problems.append(f"inputs[{number}]={_shown(each)} is not a dataset. {example}")
            elif isinstance(each, DatasetConsumptionConfig) and each.path_on_compute is not None:
                problems.append(
                    f"inputs[{number}] has path={each.path_on_compute!r}: files that mini-batches "
                    "are cut from have paths of daskrun's choice. Write as_mount() without a path."
                )
        if not problems:
            problems += same_name_problems("inputs", [name for name, _ in self.named_inputs])
            problems += self._circle_problems()
            problems += self._kind_problems(given)
        return problems

    def _circle_problems(self) -> list[str]:
        links = [place.output.link for place in places_used(self._used(), {})]
        if isinstance(self.output, StepOutput) and self.output.link in links:
            name = self.output.name
            return [f"inputs has output {name!r} of the step itself. Give it another output."]
        return []

    def _kind_problems(self, given: Mapping[str, Any] | None) -> list[str]:
        """Check the kinds of the inputs; those that are parameters only when they are given."""
        datasets = [each.dataset for _, each in self.named_inputs]
        size = getattr(self.parallel_run_config, "mini_batch_size", None)
        if given is not None:
            datasets = [each.resolve(given) for _, each in self.named_inputs]
            size = resolve_value(size, given)
        known = [each for each in datasets if isinstance(each, FileDataset | TabularDataset)]
        return kind_problems(known, size)

    def _output_problems(self) -> list[str]:
        example = "Write output=PipelineData(name='inferences')."
        if self.output is not None and not isinstance(self.output, StepOutput):
            given = type(self.output).__name__
            return [f"output={self.output!r} is of type {given}. {example}"]
        action = getattr(self.parallel_run_config, "output_action", None)
        if self.output is None and action == "append_row":
            nowhere = "output=None with output_action='append_row': there is nowhere to write."
            return [f"{nowhere} {example}"]
        return []

    def _argument_problems(self, given: Mapping[str, Any] | None) -> list[str]:
        if self.arguments is None:
            return []
        if isinstance(self.arguments, str) or not isinstance(self.arguments, list | tuple):
            return [
                f"arguments={self.arguments!r} is not a list. Write arguments=['--model', 'mnist']."
            ]
        problems = []
        for number, each in enumerate(self.arguments):
            value = each if given is None else resolve_value(each, given)
            if isinstance(value, USABLE):
                of = f" (of parameter {each.name!r})" if isinstance(each, PipelineParameter) else ""
                problems.append(
                    f"arguments[{number}]={value!r}{of}: a dataset's path can't be an argument "
                    "yet. Write a path that every node can read."
                )
        return problems


def _shown(value: object) -> str:
    """Give what was typed, in one line: a dataframe's rows say nothing here."""
    text = repr(value)
    return text if "\n" not in text else f"<{type(value).__module__}.{type(value).__name__}>"
