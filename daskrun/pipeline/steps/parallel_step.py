"""``ParallelRunStep``: an entry script's configuration, its data and its output."""

from __future__ import annotations

from typing import TYPE_CHECKING

from daskrun.core.absent_names import original_keywords
from daskrun.core.settings import RunSettings, same_name_problems, step_name_problem
from daskrun.core.typing import override
from daskrun.data.items import DatasetConsumptionConfig, Items
from daskrun.errors import SettingsError
from daskrun.pipeline.steps.arguments import flattened, implied, resolve_arguments
from daskrun.pipeline.steps.base import USABLE, PipelineStep, as_consumption, named, places_used
from daskrun.pipeline.steps.compute_target import NOT_INLINE
from daskrun.pipeline.steps.config import ParallelRunConfig
from daskrun.pipeline.steps.inputs import kind_problems
from daskrun.pipeline.steps.outputs import StepOutput, output_of
from daskrun.pipeline.steps.parameter import PipelineParameter, bound, resolve_value
from daskrun.pipeline.steps.side_inputs import list_problems, side_problems

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from daskrun.core.minibatch import NodePath
    from daskrun.pipeline.steps.base import NamedInput
    from daskrun.pipeline.steps.parameter import ParameterValues
    from daskrun.pipeline.steps.written import Written

SUBJECT = "ParallelRunStep"
AnyInput = Items | DatasetConsumptionConfig | StepOutput
"""What may be among ``inputs`` and ``side_inputs``."""


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
        ``append_row``. An :class:`OutputFileDatasetConfig` in ``arguments`` alone is a folder more,
        which script processes may write to; files for a URL are put there before their mini-batches
        count as done.
    side_inputs
        Datasets, or outputs of other steps, that are whole on every node before the script is
        imported; their paths, or rows, are ``Run.get_context().input_datasets[name]``.
    arguments
        What the entry script finds in ``sys.argv[1:]``; any text passes untouched. May hold
        pipeline parameters, lists, which become several arguments, and what is in ``inputs``,
        ``side_inputs`` and ``output``, which becomes its path on the node. What
        ``as_named_input()``, ``as_mount()`` and the like gave is a side input where it stands here
        alone.
    allow_reuse
        Whether the output of an earlier run is used, at once, where nothing that it depends on has
        changed; ``explain_reuse()`` of the run says what has.

    Raises
    ------
    SettingsError
        With every problem there is.

    Examples
    --------
    >>> from daskrun import Dataset, PipelineData
    >>> config = ParallelRunConfig(
    ...     entry_script="score.py", error_threshold=-1, output_action="append_row")
    >>> images = Dataset.File.from_files("images", validate=False)
    >>> step = ParallelRunStep("score-images", config, [images], PipelineData("scores"))
    >>> step.name
    'score-images'
    """

    @original_keywords
    def __init__(
        self,
        name: str,
        parallel_run_config: ParallelRunConfig,
        inputs: Sequence[AnyInput],
        output: StepOutput | Written | None = None,
        side_inputs: Sequence[AnyInput] | None = None,
        arguments: Sequence[object] | None = None,
        allow_reuse: bool = True,
    ) -> None:
        super().__init__()
        inputs, side_inputs, arguments = map(bound, (inputs, side_inputs, arguments))
        self.name = name
        self.parallel_run_config = parallel_run_config
        self.inputs = inputs
        self.output: StepOutput | None = output_of(output)
        known = [
            each
            for given in (inputs, side_inputs)
            if isinstance(given, list | tuple)
            for each in given
        ]
        used, self._written = implied(arguments, known, [self.output])
        if isinstance(side_inputs, list | tuple | None):
            side_inputs = [*(side_inputs or ()), *used]
        self.side_inputs = side_inputs
        self.arguments = arguments
        self.allow_reuse = allow_reuse
        problems = self.problems()
        if problems:
            raise SettingsError(SUBJECT, problems)
        self.inputs = [as_consumption(each) for each in inputs]
        self.side_inputs = [as_consumption(each) for each in side_inputs or []]
        self.arguments = list(arguments or [])
        for each in self.outputs:
            each.link.step = self

    @property
    @override
    def outputs(self) -> list[StepOutput]:
        return [*([] if self.output is None else [self.output]), *self._written]

    @property
    def named_side_inputs(self) -> list[tuple[str, DatasetConsumptionConfig]]:
        """The side inputs with the name each has, ``side_input_<n>`` where none was given."""
        return named(self.side_inputs or [], "side_input")

    @property
    @override
    def _config(self) -> ParallelRunConfig:
        return self.parallel_run_config

    @property
    @override
    def _side_inputs(self) -> list[NamedInput]:
        return self.named_side_inputs

    @property
    @override
    def _result(self) -> StepOutput | None:
        return self.output

    @property
    @override
    def _parameter_uses(self) -> list[tuple[str, PipelineParameter]]:
        inputs = [(f"input {name!r}", each.dataset) for name, each in self.named_inputs]
        sides = [(f"side input {name!r}", each.dataset) for name, each in self.named_side_inputs]
        arguments = flattened(self.arguments or [])
        uses = [*self.parallel_run_config._parameter_uses, *inputs, *sides, *arguments]
        return [(what, each) for what, each in uses if isinstance(each, PipelineParameter)]

    @override
    def _resolve(
        self, given: ParameterValues, append_row_settings: Mapping[str, object] | None = None
    ) -> RunSettings:
        arguments, _ = self._resolved_arguments(given)
        extra = {"arguments": arguments, "append_row_settings": append_row_settings or {}}
        return self.parallel_run_config.resolve(given, extra)

    @override
    def _unused_inline(self, settings: RunSettings, given: ParameterValues) -> list[str]:
        usual = RunSettings(entry_script="")
        return [
            f"{name}={resolve_value(getattr(self.parallel_run_config, name), given)!r}"
            for name in NOT_INLINE
            if getattr(settings, name) not in (getattr(usual, name), 1 if "count" in name else None)
        ]

    @override
    def problems(self, given: ParameterValues | None = None) -> list[str]:
        problem = step_name_problem(self.name)
        problems = [problem] if problem else []
        if not isinstance(self.parallel_run_config, ParallelRunConfig):
            problems.append(
                f"parallel_run_config={self.parallel_run_config!r} is not a ParallelRunConfig. "
                "Write parallel_run_config=ParallelRunConfig(...)."
            )
        problems += self._data_problems(given) + self._output_problems()
        problems += self._argument_problems(given)
        if not isinstance(self.allow_reuse, bool):
            problems.append(f"allow_reuse={self.allow_reuse!r} is not one. Write True or False.")
        return problems

    def _input_problems(self, given: ParameterValues | None) -> list[str]:
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
            if isinstance(each, PipelineParameter):
                problems.append(
                    f"inputs[{number}]={each!r} has no name as an input. "
                    f"Write inputs=[DatasetConsumptionConfig({each.name!r}, parameter)]."
                )
            elif not isinstance(each, USABLE):
                problems.append(f"inputs[{number}]={_shown(each)} is not a dataset. {example}")
            elif isinstance(each, DatasetConsumptionConfig) and each.path_on_compute is not None:
                problems.append(
                    f"inputs[{number}] has path={each.path_on_compute!r}: files that mini-batches "
                    "are cut from have paths of daskrun's choice. Write as_mount() without a path."
                )
        if not problems:
            problems += same_name_problems("inputs", [name for name, _ in self.named_inputs])
            problems += self._kind_problems(given)
        return problems

    def _data_problems(self, given: ParameterValues | None) -> list[str]:
        """Check the inputs and side inputs, and what can only be said of all of them."""
        found = self._input_problems(given) + list_problems("side_inputs", self.side_inputs)
        if found:
            return found
        names = {name for name, _ in self.named_inputs}
        found += side_problems(self.named_side_inputs, names, given)
        links = [place.output.link for place in places_used(self._used(), given or {})]
        if isinstance(self.output, StepOutput) and self.output.link in links:
            name = self.output.name
            found.append(f"inputs has output {name!r} of the step itself. Give it another output.")
        return found

    def _kind_problems(self, given: ParameterValues | None) -> list[str]:
        """Check the kinds of the inputs; those that are parameters only when they are given."""
        datasets = [each.dataset for _, each in self.named_inputs]
        size = getattr(self.parallel_run_config, "mini_batch_size", None)
        if given is not None:
            datasets = [each.resolve(given) for _, each in self.named_inputs]
            size = resolve_value(size, given)
        known = [each for each in datasets if isinstance(each, Items)]
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

    def _argument_problems(self, given: ParameterValues | None) -> list[str]:
        if self.arguments is None:
            return []
        if isinstance(self.arguments, str) or not isinstance(self.arguments, list | tuple):
            return [
                f"arguments={self.arguments!r} is not a list. Write arguments=['--model', 'mnist']."
            ]
        return self._resolved_arguments(given)[1]

    def _resolved_arguments(
        self, given: ParameterValues | None
    ) -> tuple[list[str | NodePath], list[str]]:
        """Return the arguments of the script, and what is wrong with them."""
        if self._data_problems(given):
            return [], []  # what they speak of isn't known
        # Of what is both, a side input's path is all of it, and that of one file is the file's.
        used = [*self.named_side_inputs, *self.named_inputs]
        outputs = [each for each in self.outputs if isinstance(each, StepOutput)]
        return resolve_arguments(self.arguments or [], given, used, outputs)


def _shown(value: object) -> str:
    """Return what was typed, in one line: a dataframe's rows say nothing here."""
    text = repr(value)
    return text if "\n" not in text else f"<{type(value).__module__}.{type(value).__name__}>"
