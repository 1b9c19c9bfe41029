"""``ParallelRunConfig``: which entry script runs, over how much at once, and what may go wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from daskrun.core.absent_names import original_keywords
from daskrun.core.rules import locality
from daskrun.core.settings import resolve_settings
from daskrun.errors import SettingsError
from daskrun.output.sinks.registry import format_of, reference_of
from daskrun.pipeline.steps.compute_target import inline_note
from daskrun.pipeline.steps.config_problems import own_problems
from daskrun.pipeline.steps.function_script import PREFIX, script_of
from daskrun.pipeline.steps.parameter import PipelineParameter, resolve_value
from daskrun.shown.html import table_html

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence

    from daskrun.core.settings import RunSettings
    from daskrun.output.sinks.sink import Sink
    from daskrun.pipeline.steps.parameter import ParameterValues
    from daskrun.workspace.compute.targets import ComputeTarget
    from daskrun.workspace.environments.environment import Environment
    from daskrun.workspace.workspace import Workspace

NOT_SETTINGS = ("environment", "compute_target", "description")
SUBJECT = "ParallelRunConfig"


@original_keywords
@dataclass(kw_only=True, eq=False, repr=False, slots=True)  # slots: no misspelt attribute passes
class ParallelRunConfig:
    """The settings of a step, all by keyword, checked at once; a misspelt one is named.

    Times are in seconds. ``mini_batch_size``, ``node_count``, ``process_count_per_node``,
    ``logging_level``, ``run_invocation_timeout`` and ``run_max_try`` may be a
    :class:`PipelineParameter`. All are checked again, as they are then, at submit.

    Parameters
    ----------
    entry_script
        File with ``run(mini_batch)``; relative to ``source_directory`` if that is given. Or a
        function, also of a notebook's cell, that is called as ``run`` is: it is stored as it is now
        with what it uses, by cloudpickle.
    error_threshold
        Failed items (files) allowed over the whole input, -1 for any number. Every item of a
        mini-batch that fails counts, and every item that ``run()`` returned no result for.
    output_action
        ``append_row``: all results in one file; ``summary_only``: the script writes its own files,
        and ``run()`` returns one element for each item that succeeded.
    environment
        Packages that the script needs: where the node's own Python lacks any of them, an
        environment with them is built there, once.
    source_directory
        Folder whose files the script processes see as they were at submit.
    compute_target
        None: Dask workers in this process; ``"inline"``: this process itself, for a debugger; a
        :class:`ComputeTarget` or the name of one.
    mini_batch_size
        What one ``run()`` gets: a number of files, 10 if nothing is said; of tables about so many
        bytes of the file, such as ``"10MB"``, ``"1MB"`` if nothing is said.
    partition_keys
        Columns that come from the files' paths (``partition_format``): one ``run()`` then gets all
        files, or all rows, of one existing combination of their values. Not together with
        ``mini_batch_size``.
    partition_by
        Columns of a table, whatever its files hold: one ``run()`` gets all rows of one combination
        of their values. Dask shuffles the rows once, to Parquet files beside the output, which go
        when the run has completed. Not together with ``partition_keys`` or ``mini_batch_size``.
    append_row_file_name
        Name of the output file of ``append_row``.
    append_row_format
        What that file is: ``text`` as the original has it, ``str(element)`` a line, and tables with
        a space between fields; ``csv`` with one header; ``jsonl``, one JSON value a line;
        ``parquet``, a row group for each mini-batch that returned rows; or a
        :class:`~daskrun.Sink` of your own: the class, an object, or the name under which an
        installed package registers it. None: what the ending of ``append_row_file_name`` says,
        ``.csv``, ``.jsonl`` or ``.parquet``; ``text`` with any other, and where
        ``parallel_run_step.settings.json`` says how rows look.
    columns
        Of CSV and Parquet: ``same``: all mini-batches return the same columns, in any order, and
        other ones end the run; ``union``: the output has all columns there are, and nothing where a
        mini-batch lacks one.
    results_per_item
        ``one``: ``run()`` returns one result for each item that succeeded, and items without one
        count as failed. ``any``: it may return any number of rows, one for a group or none; where
        it returned, all its items have succeeded.
    node_count
        Dask workers that take part; None: 1 on this machine, all of a cluster that is given.
    process_count_per_node
        Script processes on each; None: one per core, or per GPU where there are GPUs.
    run_invocation_timeout
        For one ``run()``; then its process is killed and another takes its place.
    run_max_try
        Tries of a mini-batch in all.
    logging_level
        Of ``EntryScript().logger``: ``WARNING``, ``INFO`` or ``DEBUG``.
    allowed_failed_count
        Failed mini-batches allowed; None or -1: any number.
    allowed_failed_percent
        Percent of mini-batches allowed to fail, judged once all have been handed out.
    environment_variables
        Set in the script processes before the script is imported; of one that ``environment`` sets
        too, this value.
    description
        Kept with the run.
    python_executable
        Interpreter that script processes run in, with what they need installed; None: the node's
        own, or what ``environment`` says.
    environment_timeout
        For building the environment on a node.
    init_timeout, load_timeout, shutdown_timeout
        For importing the script and ``init()``; for reading a mini-batch; for ``shutdown()``.
    no_worker_timeout, scheduler_timeout
        How long the run waits for a node when there is none; for a scheduler that can't be reached,
        until it ends, to be resumed. Nodes begin anew once that is back.
    progress_update_timeout
        How long a script process with work may show no progress at all; None: 3 ×
        (``run_invocation_timeout`` + 30).
    process_memory_limit
        Size, such as ``"2GB"``, at which a script process is killed; None: no limit, in a container
        0.9 × its limit ÷ processes.
    locality
        Which nodes are near which files, and preferred for them: a dict of addresses or hosts of
        Dask workers, such as ``{"host-1": ["/data/a", "/data/b/*.png"]}``, or a function of a
        module, or its name such as ``"hosts:of_path"``, that returns the hosts of a path.
    node_cache_limit
        How much a machine keeps for later runs of what they bring there; 0: nothing.
    retry_delay
        Wait before a second try, doubled for each further one, at most 10 s.
    resource_monitor_interval
        Between two notes of what nodes and script processes use of processor and memory, in
        ``logs/sys/perf``, which come more often at first; 0: none are made.
    straggler_backups
        Run what takes 4 × the 95th percentile once more in idle slots; what ends first counts. With
        ``summary_only`` only where the script has ``REPEATABLE = True``.
    threads_per_process
        BLAS, OMP, TensorFlow threads of a script process; None: cores ÷ processes.
    argv_compat
        Add the original's ``--mini_batch_size`` ... to the script's ``sys.argv``; None: those that
        the script's own parser has, and ``arguments`` do not.
    data_in_errors
        False: of an exception only its type is told, and where it was raised; its text, and the end
        of a dead process's stderr, may hold data, and are in no log, journal, report or message.
        What the script prints itself is in ``logs/user`` as ever.
    overwrite
        Replace an existing output file instead of refusing.

    Raises
    ------
    SettingsError
        With every problem there is.

    Examples
    --------
    >>> config = ParallelRunConfig(
    ...     entry_script="score.py", error_threshold=10, output_action="append_row",
    ...     mini_batch_size=PipelineParameter("batch_size_param", "5"))
    >>> config.append_row_file_name
    'parallel_run_step.txt'
    """

    entry_script: str | os.PathLike[str] | Callable[..., object]
    error_threshold: int
    output_action: str
    environment: Environment | None = None
    source_directory: str | os.PathLike[str] | None = None
    compute_target: ComputeTarget | str | None = None
    mini_batch_size: int | str | PipelineParameter | None = None
    partition_keys: Sequence[str] | None = None
    partition_by: Sequence[str] | None = None
    append_row_file_name: str = "parallel_run_step.txt"
    append_row_format: str | type[Sink] | Sink | None = None
    columns: str = "same"
    results_per_item: str = "one"
    node_count: int | str | PipelineParameter | None = None
    process_count_per_node: int | str | PipelineParameter | None = None
    run_invocation_timeout: float | str | PipelineParameter = 60
    run_max_try: int | str | PipelineParameter = 3
    logging_level: str | PipelineParameter = "INFO"
    allowed_failed_count: int | None = None
    allowed_failed_percent: float | None = None
    environment_variables: Mapping[str, str] | None = None
    description: str | None = None
    python_executable: str | os.PathLike[str] | None = None
    environment_timeout: float = 1800
    init_timeout: float = 600
    load_timeout: float = 600
    shutdown_timeout: float = 30
    no_worker_timeout: float = 300
    scheduler_timeout: float = 300
    progress_update_timeout: float | None = None
    process_memory_limit: int | str | None = None
    locality: Mapping[str, Sequence[str]] | Callable[[str], Sequence[str]] | str | None = None
    node_cache_limit: int | str = "20GB"
    retry_delay: float = 0.1
    resource_monitor_interval: float = 30
    straggler_backups: bool = True
    threads_per_process: int | None = None
    argv_compat: bool | None = None
    data_in_errors: bool = True
    overwrite: bool = False

    def __post_init__(self) -> None:
        if callable(self.entry_script):
            self.entry_script = script_of(self.entry_script)
        self.resolve({})
        if callable(self.locality):
            self.locality = locality(self.locality)
        if self.append_row_format is not None:  # what can be recorded
            self.append_row_format = reference_of(self.append_row_format)

    def __repr__(self) -> str:
        return f"{SUBJECT}(entry_script={str(self.entry_script)!r})"

    def _repr_html_(self) -> str:
        given = ((each.name, getattr(self, each.name), each.default) for each in fields(self))
        hidden = "environment_variables"  # which may be secret
        return table_html(
            SUBJECT,
            [
                (name, sorted(value) if name == hidden and value else value)
                for name, value, default in given
                if value is not None and value != default
            ],
        )

    @staticmethod
    def load_yaml(workspace: Workspace, path: str | os.PathLike[str]) -> ParallelRunConfig:
        """Return the config that :meth:`save_to_yaml` wrote, or that was written by hand.

        Parameters
        ----------
        workspace
            Where compute targets and registered environments are looked for by name.
        path
            The file. ``environment`` in it may be the name of a registered one too.

        Raises
        ------
        SettingsError
            With every problem there is, and its line.
        """
        from daskrun.pipeline.steps import config_file  # yaml takes a while to load

        return config_file.load(ParallelRunConfig, workspace, path)

    def save_to_yaml(self, path: str | os.PathLike[str]) -> None:
        """Write all of it to a YAML file, environment variables too; one that is there is replaced.

        Paths stay as they were typed. A compute target is written by its name, an environment with
        all that it says, a :class:`PipelineParameter` with name and default.

        Raises
        ------
        SettingsError
            It holds what can't be run or written.
        StorageError
            The file can't be written.

        Examples
        --------
        >>> import tempfile, pathlib
        >>> file = pathlib.Path(tempfile.mkdtemp(), "score.yml")
        >>> ParallelRunConfig(
        ...     entry_script="score.py", error_threshold=10, output_action="append_row",
        ...     mini_batch_size=PipelineParameter("batch_size_param", "5")).save_to_yaml(file)
        >>> file.read_text().splitlines()[:2]
        ['parallel_run_config:', '  entry_script: score.py']
        """
        from daskrun.pipeline.steps import config_file  # yaml takes a while to load

        self.resolve({})  # what can't be run can't be read either
        if PREFIX in str(self.entry_script):
            problem = "entry_script is a function, which no YAML file holds. Write it to a file."
            raise SettingsError("save_to_yaml", [problem])
        config_file.save(self, path)

    @property
    def _parameter_uses(self) -> list[tuple[str, PipelineParameter]]:
        """The pipeline parameters it uses, each with the setting it is."""
        given = self._values().items()
        return [(name, value) for name, value in given if isinstance(value, PipelineParameter)]

    @property
    def parameters(self) -> list[PipelineParameter]:
        """The pipeline parameters it uses."""
        return [parameter for _, parameter in self._parameter_uses]

    def resolve(
        self, given: ParameterValues, extra: Mapping[str, object] | None = None
    ) -> RunSettings:
        """Check everything with the values given for parameters, and return the settings of a run.

        ``extra`` are settings that come from elsewhere: the step's arguments, the settings file.
        SettingsError has every problem there is.
        """
        problems = own_problems(self)
        sink = self._sink(problems)
        values = {
            name: resolve_value(value, given)
            for name, value in self._values().items()
            if name not in NOT_SETTINGS
        }
        if self.environment is not None and self.python_executable is None and not problems:
            values |= self._packages(self.environment)
        values |= extra or {}
        said = bool(values.get("append_row_settings"))
        values["append_row_format"] = sink or format_of(self.append_row_file_name, said)
        own = values["environment_variables"]
        if self.environment is not None and not problems and isinstance(own, Mapping | None):
            values["environment_variables"] = {**self.environment.variables, **(own or {})}
        try:
            settings = resolve_settings(values, SUBJECT)
        except SettingsError as error:
            raise SettingsError(SUBJECT, [*error.problems, *problems]) from None
        if problems:
            raise SettingsError(SUBJECT, problems)
        return settings

    def _values(self) -> dict[str, object]:
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def _sink(self, problems: list[str]) -> str:
        """Return how records name the sink, ``""`` for none; a problem is added to the list."""
        if self.append_row_format is None:
            return ""
        try:
            return reference_of(self.append_row_format)
        except SettingsError as error:
            problems += error.problems
            return "text"

    def _packages(self, environment: Environment) -> dict[str, object]:
        """Return the settings that an environment says."""
        python = environment.interpreter
        return {
            "environment_name": environment.name,
            "requirements": environment.requirements,
            **({"python_executable": python} if python is not None else {}),
        }

    def _python_notes(self, *, inline: bool) -> list[str]:
        """Return what was asked for of the script's Python and is not used."""
        found = self.environment.notes(inline=inline) if self.environment is not None else []
        if inline and self.python_executable is not None:
            found.append(inline_note([f"python_executable={str(self.python_executable)!r}"]))
        return found
