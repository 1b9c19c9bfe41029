"""Everything a run can be told, resolved and validated once; immutable after.

A new setting is written in three places: its field here, with its rule, default and meaning; the
field of :class:`.ParallelRunConfig` by which users give it; and that class's docstring. Checks,
YAML files and what is kept of a run follow from these. Two tables of tests list it:
``tests/public_members.txt`` and that of ``tests/pipeline/test_yaml.py``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from enum import Flag, auto
from functools import partial
from typing import TYPE_CHECKING, Any

from daskrun.core import rules
from daskrun.core.codec import record
from daskrun.core.minibatch import NodePath
from daskrun.core.told import told_arguments
from daskrun.errors import SettingsError
from daskrun.shown.url_secrets import HIDDEN, without_url_secrets

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from daskrun.core.rules import Rule

ASIDE = rules.ASIDE
STEP_NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?", re.ASCII)


def _arguments(value: Any) -> tuple[str | NodePath, ...]:
    """Return a tuple of texts and of what stands for paths."""
    items = rules.listed(value)
    return tuple(item if isinstance(item, NodePath) else str(item) for item in items)


class Trait(Flag):
    """What is to be known of a setting beside its value."""

    NO_RESULT = auto()
    """No result depends on it, or it is a part of its own of what results come from."""
    RESUME = auto()
    """A resume may change it. ``threads_per_process`` shapes results: the last digits of sums."""
    NODES = auto()
    """It is of nodes and script processes, and means nothing inline."""
    PARAMETER = auto()
    """A pipeline parameter may set it, as in the original."""


NO_RESULT, RESUME, NODES, PARAMETER = Trait


def setting(
    rule: Rule,
    default: Any = MISSING,
    example: str = "",
    hint: str = "",
    traits: Trait = Trait(0),  # noqa: B008  (it is a constant)
) -> Any:
    """Return a field of a setting; a ``default`` of ``dict`` is an empty one.

    The rule is not asked of None where that is the default. Messages end with ``Write
    name=example.``, the default where there is no example, or with the hint in the place of that.
    """
    extra = {"rule": rule, "example": example or repr(default), "hint": hint, "traits": traits}
    if default is dict:
        return field(default_factory=dict, metadata=extra)
    return field(default=default, metadata=extra)


@record
@dataclass(frozen=True)
class RunSettings:
    """Settings of one step run; times in seconds.

    Made by :func:`resolve_settings`.
    """

    entry_script: str = setting(rules.path, MISSING, "'score.py'", traits=NO_RESULT)
    """File with ``run``, relative to ``source_directory`` if that is given."""
    source_directory: str | None = setting(
        rules.folder, None, "'src', or leave it out", traits=NO_RESULT
    )
    output_action: str = setting(
        rules.one_of("append_row", "summary_only"),
        "append_row",
        "'append_row' or output_action='summary_only'",
    )
    append_row_file_name: str = setting(rules.file_name, "parallel_run_step.txt", "'results.txt'")
    append_row_format: str = setting(rules.name, "text", "'csv'")
    """``text``, ``csv``, ``jsonl`` or ``parquet``, or a registered :class:`~daskrun.Sink`."""
    columns: str = setting(
        rules.one_of("same", "union"), "same", "'union' or columns='same'", traits=RESUME
    )
    """``union``: a table of all results has all columns there are, empty where one is lacking."""
    results_per_item: str = setting(
        rules.one_of("one", "any"), "one", "'any' or results_per_item='one'"
    )
    """``any``: a ``run()`` that returned has succeeded with all its items, however many rows."""
    mini_batch_size: int | None = setting(
        rules.size(),
        None,
        hint="Give a number of files for a file dataset (mini_batch_size=10) or bytes for a "
        "tabular one (mini_batch_size='10MB').",
        traits=PARAMETER,
    )
    """Files for a file dataset, bytes for a tabular one; None: 10 files or 1 MB."""
    partition_keys: tuple[str, ...] | None = setting(rules.columns, None, "['Department']")
    """One mini-batch per existing combination of the values of these columns."""
    partition_by: tuple[str, ...] | None = setting(rules.columns, None, "['store']")
    """The same of columns of a table that its files aren't partitioned by: it is shuffled first."""
    error_threshold: int = setting(
        rules.whole(-1), -1, "10, or -1 to ignore failed items", traits=RESUME
    )
    """Failed items allowed over the whole input; -1: any number."""
    allowed_failed_count: int | None = setting(
        rules.whole(-1), None, "10, or -1 to ignore them", traits=RESUME
    )
    """Failed mini-batches allowed; None or -1: any number."""
    allowed_failed_percent: float | None = setting(rules.percent, None, "5", traits=RESUME)
    """Percent of mini-batches allowed to fail, judged once all have been handed out."""
    node_count: int | None = setting(
        rules.whole(1), None, "1", traits=NO_RESULT | RESUME | NODES | PARAMETER
    )
    """None: 1 on this machine, all workers of a cluster that is given."""
    process_count_per_node: int | None = setting(
        rules.whole(1),
        None,
        "2, or None for one process per core",
        traits=NO_RESULT | RESUME | NODES | PARAMETER,
    )
    """Script processes per node; None: one per core, or per GPU where there are GPUs."""
    run_invocation_timeout: float = setting(rules.seconds(), 60, traits=RESUME | NODES | PARAMETER)
    run_max_try: int = setting(rules.whole(1), 3, traits=RESUME | PARAMETER)
    logging_level: str = setting(
        rules.one_of("WARNING", "INFO", "DEBUG"),
        "INFO",
        "'WARNING' or logging_level='INFO' or logging_level='DEBUG'",
        traits=NO_RESULT | RESUME | PARAMETER,
    )
    environment_variables: dict[str, str] = setting(  # noqa: RUF009  (a field, with a factory)
        rules.variables, dict, "{'OMP_NUM_THREADS': '1'}", traits=NO_RESULT
    )
    environment_name: str = setting(str, "", traits=NO_RESULT)
    """Of the environment that the next two come from, for messages."""
    requirements: tuple[str, ...] = setting(rules.pip_lines, (), "['pillow>=10']", traits=NO_RESULT)
    """Lines for pip: a node whose own Python lacks any of them has an environment built."""
    python_executable: str | None = setting(
        rules.interpreter,
        None,
        "'/opt/env/bin/python', or None for the node's own",
        traits=NO_RESULT,
    )
    """Interpreter of the script processes; None: the node's own, or that of what is built."""
    environment_timeout: float = setting(rules.seconds(), 1800, traits=NO_RESULT | NODES)
    init_timeout: float = setting(rules.seconds(), 600, traits=RESUME | NODES)
    load_timeout: float = setting(rules.seconds(), 600, traits=RESUME | NODES)
    shutdown_timeout: float = setting(rules.seconds(), 30, traits=NO_RESULT | RESUME | NODES)
    no_worker_timeout: float = setting(rules.seconds(), 300, traits=NO_RESULT | RESUME | NODES)
    scheduler_timeout: float = setting(rules.seconds(), 300, traits=NO_RESULT | RESUME | NODES)
    """A Dask scheduler may be unreachable for so long."""
    progress_update_timeout: float | None = setting(
        rules.seconds(),
        None,
        "270, or None for 3 × (run_invocation_timeout + 30)",
        traits=NO_RESULT | RESUME | NODES,
    )
    process_memory_limit: int | None = setting(
        rules.size("leaves no memory at all"),
        None,
        "'2GB', or None for no limit",
        traits=RESUME | NODES,
    )
    """Bytes of resident memory at which a script process is killed; None: no limit, or in a
    container 0.9 × its limit ÷ processes."""
    node_cache_limit: int = setting(
        rules.size("is out of range: it must be 0 or more", least=0),
        20 * 2**30,
        "'20GB', or 0 to keep nothing",
        traits=NO_RESULT | RESUME,
    )
    """Bytes of remote side inputs, models and code that a machine keeps for later runs."""
    locality: dict[str, tuple[str, ...]] | str | None = setting(  # noqa: RUF009
        rules.locality,
        None,
        hint="Write locality={'tcp://10.0.0.1:4000': ['/data/a/*.png'], 'host-2': ['/data/b']}, "
        "or the function of a module that returns the hosts of a path, 'hosts:of_path'.",
        traits=NO_RESULT | RESUME | NODES,
    )
    """Which nodes are near which files."""
    retry_delay: float = setting(rules.seconds(zero=True, most=10), 0.1, traits=NO_RESULT | RESUME)
    """Wait before a second try, doubled for each further one, at most 10 s."""
    straggler_backups: bool = setting(
        rules.flag, True, "False or straggler_backups=True", traits=NO_RESULT | RESUME | NODES
    )
    """A mini-batch that takes long is run a second time in a slot with nothing else to do."""
    resource_monitor_interval: float = setting(
        rules.seconds(zero=True), 30, "30, or 0", traits=NO_RESULT | RESUME | NODES
    )
    """Seconds between two notes of what nodes and script processes use; 0: none are made."""
    threads_per_process: int | None = setting(
        rules.whole(1), None, "1, or None for cores ÷ processes", traits=NODES
    )
    """BLAS, OMP, TensorFlow threads of a script process; None: cores ÷ processes."""
    argv_compat: bool | None = setting(rules.flag, None, "True or argv_compat=False")
    """Add the original's ``--mini_batch_size`` ... to the script's ``sys.argv``; None: those that
    its parser has."""
    argv_options: tuple[str, ...] = setting(rules.listed, (), "['--output']", traits=NO_RESULT)
    """Of the original's options those that the script's parser has, and its arguments lack."""
    data_in_errors: bool = setting(
        rules.flag, True, "False or data_in_errors=True", traits=NO_RESULT | RESUME
    )
    """False: what exceptions say, which may hold data, is in no log, journal or message."""
    overwrite: bool = setting(
        rules.flag, False, "True or overwrite=False", traits=NO_RESULT | RESUME
    )
    """Replace an existing output file instead of refusing."""
    arguments: tuple[str | NodePath, ...] = setting(
        _arguments, (), "['--model', 'mnist']", traits=NO_RESULT
    )
    """The user's arguments, as the script sees them in ``sys.argv[1:]``, paths put in."""
    append_row_settings: dict[str, Any] = setting(  # noqa: RUF009
        rules.table, dict, hint='Write {"pandas.DataFrame.to_csv": {"sep": ","}}.'
    )
    """What ``parallel_run_step.settings.json`` beside the script says for ``append_row``."""

    @property
    def appends(self) -> bool:
        """Whether the run writes one output of all results."""
        return self.output_action == "append_row"

    @property
    def output_file(self) -> str | None:
        """Name of that output; None where the script writes its own files."""
        return self.append_row_file_name if self.appends else None


def settings_with(trait: Trait) -> tuple[str, ...]:
    """Return the names of the settings that have a trait."""
    return tuple(each.name for each in fields(RunSettings) if trait in each.metadata["traits"])


def _take(setting: Any, value: Any) -> Any:
    """Return the value to use; ValueError says what is wrong and what to write instead."""
    if value is None and setting.default is None:
        return None
    extra = setting.metadata
    try:
        return extra["rule"](value)
    except ValueError as error:
        hint = extra["hint"] or f"Write {setting.name}={extra['example']}."
        raise ValueError(f"{error}. {hint}") from None


RULES: dict[str, Rule] = {each.name: partial(_take, each) for each in fields(RunSettings)}
"""By name of a setting: the value to use, or ValueError with ``is wrong … . Write …``."""


def resolve_settings(values: Mapping[str, Any], subject: str = "ParallelRunConfig") -> RunSettings:
    """Check the values of settings against every rule and return them as one immutable object.

    Numbers may be given as text, as they are where they come from a command line or a pipeline
    parameter. SettingsError, which names the ``subject``, has each value that is wrong.

    Examples
    --------
    >>> resolve_settings({"entry_script": "score.py", "mini_batch_size": "5"}).mini_batch_size
    5
    """
    unknown = [name for name in values if name not in RULES]
    problems = [f"{name} is not a setting. {close_to(name, RULES)}" for name in unknown]
    if "entry_script" not in values:
        problems.append("entry_script is missing. Write the path of the file that has run().")
    good: dict[str, Any] = {}
    for name, value in values.items():
        if name in RULES:
            try:
                good[name] = RULES[name](value)
            except ValueError as error:
                problems.append(f"{name}={_shown(without_values(name, value))} {error}")
    if problems:
        raise SettingsError(subject, problems)
    return RunSettings(**good)


def step_name_problem(name: object) -> str | None:
    """Return what is wrong with the name of a step, None if nothing is."""
    if isinstance(name, str) and 3 <= len(name) <= 32 and STEP_NAME.fullmatch(name):
        return None
    return (
        f"name={_shown(name)} is not a step's. Write 3 to 32 small letters, digits and '-', "
        "a letter first and no '-' at the end, such as name='predict-digits'."
    )


def same_name_problems(argument: str, names: Sequence[str]) -> list[str]:
    """Return which names of a list stand in it more than once."""
    return [
        f"{argument}: {count} have the name {name!r}. Give each its own name."
        for name, count in sorted(Counter(names).items())
        if count > 1
    ]


def told_settings(settings: RunSettings) -> dict[str, object]:
    """Return settings for a record that others may read: of what may be secret the names alone."""
    told = {name: without_url_secrets(each) for name, each in asdict(settings).items()}
    told["environment_variables"] = sorted(settings.environment_variables)
    told["arguments"] = told_arguments(asdict(settings)["arguments"])
    return told


def without_values(name: str, value: object) -> object:
    """Return a setting as messages show it: of variables and arguments the values may be secret."""
    if name == "environment_variables" and isinstance(value, Mapping):
        return {
            key: HIDDEN if isinstance(each, str | bytes) else each for key, each in value.items()
        }
    if name == "arguments" and isinstance(value, list | tuple):
        return told_arguments(value)
    return value


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:197]}..."


def close_to(name: object, known: Collection[str]) -> str:
    """Return which name may be meant, or which there are."""
    import difflib  # only where something is misspelt

    near = difflib.get_close_matches(str(name), known, n=1)
    return f"Write {near[0]}." if near else f"There are {', '.join(sorted(known))}."


def without_secrets(settings: RunSettings) -> RunSettings:
    """Return settings without the values that may be secret: of variables the names stay."""
    names = dict.fromkeys(settings.environment_variables, "")
    return replace(settings, environment_variables=names, arguments=())
