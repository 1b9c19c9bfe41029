"""``run_script``: an entry script on one mini-batch, in this process, without a run."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import weakref
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daskrun.core.absent_names import original_keywords
from daskrun.data.loading import MiniBatchPaths
from daskrun.engine.script_environment import surroundings
from daskrun.errors import NameNotFoundError, SettingsError
from daskrun.output.assembly.assembler import output_of_one
from daskrun.output.sinks.registry import sink_of, sink_problems
from daskrun.output.sinks.settings_file import read_settings
from daskrun.pipeline.runs.metrics import OfflineRun
from daskrun.pipeline.steps.arguments import flattened
from daskrun.pipeline.steps.base import USABLE
from daskrun.pipeline.steps.config import ParallelRunConfig
from daskrun.pipeline.steps.parameter import resolve_value
from daskrun.pipeline.steps.snapshot import find_code
from daskrun.script.context import ScriptContext
from daskrun.script.node_folders import INLINE
from daskrun.script.process.entry import EntryModule
from daskrun.script.process.item_failures import divided
from daskrun.script.process_spec import ProcessSpec, ScriptFile
from daskrun.storage.folders import user_path
from daskrun.storage.urls import is_url
from daskrun.testing.given import SUBJECT, Given, given
from daskrun.workspace.models.model import models_told
from daskrun.workspace.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from daskrun.core.settings import RunSettings
    from daskrun.output.sinks.sink import Sink

Paths = str | os.PathLike[str]


@dataclass(frozen=True, eq=False)
class ScriptResult:
    """What came of a mini-batch."""

    result: Any
    """What ``run()`` returned; an empty list where there were no items, and so no call."""
    items: int
    """Files or rows in the mini-batch."""
    succeeded: int
    """Items that there is a result for."""
    failed: int
    """Items that there is none for: what ``error_threshold`` counts."""
    rows: bytes = field(repr=False)
    """The output, if this were the one mini-batch of a run."""
    output_dir: Path
    """``EntryScript().output_dir``: what was given, else a folder that goes with this object."""
    metrics: dict[str, Any]
    """What was logged with ``Run.get_context()``, as ``get_metrics()`` of a run gives it."""
    warnings: tuple[str, ...]
    """What a run would warn of: readers of the data, odd results."""

    @property
    def lines(self) -> list[str]:
        """The rows as lines of text, without their line ends; Parquet has none."""
        return [line.removesuffix("\r") for line in self.rows.decode().split("\n")[:-1]]


@original_keywords
def run_script(
    entry_script: Paths,
    mini_batch: Any,
    *,
    index: int = 0,
    mini_batch_size: int | str | None = None,
    partition_keys: Sequence[str] | None = None,
    partition_key_value: Mapping[str, Any] | None = None,
    global_row_index_lower_bound: int | None = None,
    arguments: Sequence[object] = (),
    environment_variables: Mapping[str, str] | None = None,
    models: Mapping[str, Paths] | None = None,
    input_datasets: Mapping[str, Any] | None = None,
    output_dir: Paths | None = None,
    source_directory: Paths | None = None,
    append_row_format: str | type[Sink] | Sink | None = None,
    results_per_item: str = "one",
    logging_level: str = "INFO",
) -> ScriptResult:
    r"""Call an entry script's ``init()``, ``run()`` and ``shutdown()`` once, in this process.

    For a debugger and for unit tests: breakpoints hold, what the script prints is seen, and an
    error of its own comes out as it is. Nothing is tried again and nothing is limited. As in a run
    the script finds its own folder on ``sys.path``, a temporary working directory, its arguments
    in ``sys.argv``; all that is put back after, and the script's own modules are forgotten.

    Parameters
    ----------
    entry_script
        The file; relative to ``source_directory`` if that is given.
    mini_batch
        What ``run()`` gets: a list of paths, or a ``pandas.DataFrame``. Or a dataset, of which it
        gets one mini-batch, cut and read as in a run.
    index
        Which of the dataset's mini-batches; of anything else the number it is said to have.
    mini_batch_size, partition_keys
        How a dataset is cut, as in :class:`~daskrun.ParallelRunConfig`.
    partition_key_value, global_row_index_lower_bound
        What the ``mini_batch_context`` of a list or dataframe says; that of a dataset knows.
    arguments
        What the script finds in ``sys.argv[1:]``; of datasets a step has there, their paths.
    environment_variables
        Set while it runs.
    models
        Files or folders by the names that ``Model.get_model_path`` is asked for; they come before
        the models of the workspace that ``Workspace.from_config()`` would find.
    input_datasets
        More of what ``Run.get_context().input_datasets`` holds: paths, or tabular datasets.
    output_dir
        ``EntryScript().output_dir``; made if it isn't there.
    source_directory, append_row_format, results_per_item, logging_level
        As in :class:`~daskrun.ParallelRunConfig`.

    Raises
    ------
    SettingsError
        With everything that is wrong with what is asked.
    DatasetError
        The mini-batch isn't there or can't be read.
    WrongResultError
        ``run()`` returned what can't be results.
    BaseException
        Whatever the script raises, ``SystemExit`` included.

    Examples
    --------
    >>> script = Path(tempfile.mkdtemp(), "shout.py")
    >>> _ = script.write_text("def run(mini_batch): return [p[-5:].upper() for p in mini_batch]")
    >>> done = run_script(script, ["a.txt", "b.txt"])
    >>> done.result, done.succeeded, done.failed
    (['A.TXT', 'B.TXT'], 2, 0)
    >>> done.rows
    b'A.TXT\nB.TXT\n'
    """
    workspace = Workspace.find()
    with _own_problems():
        config = ParallelRunConfig(
            entry_script=entry_script,
            error_threshold=-1,
            output_action="append_row",
            source_directory=source_directory,
            mini_batch_size=mini_batch_size,
            partition_keys=partition_keys,
            environment_variables=environment_variables,
            append_row_format=append_row_format,
            results_per_item=results_per_item,
            logging_level=logging_level,
        )
        settings, script = _checked(config, arguments, workspace)
    told = {
        "partition_key_value": partition_key_value,
        "global_row_index_lower_bound": global_row_index_lower_bound,
    }
    with _folders(output_dir) as (folder, output):
        data = given(mini_batch, index, settings, mini_batch_size, told, folder)
        more = {name: _reachable(each) for name, each in (input_datasets or {}).items()}
        run = OfflineRun({**data.input_datasets, **more})
        context = ScriptContext(
            models=_models(models, workspace), by_hand=run, output_dir=str(output)
        )
        done = _called(script, settings, data, context, folder, run)
    if output_dir is None:
        weakref.finalize(done, shutil.rmtree, output, ignore_errors=True)
    return done


@contextlib.contextmanager
def _own_problems() -> Iterator[None]:
    """Raise problems with settings, which are checked as a run's are, as those of this call."""
    try:
        yield
    except SettingsError as error:
        own = error.subject == "ParallelRunConfig"
        raise SettingsError(SUBJECT if own else error.subject, error.problems) from None


def _checked(
    config: ParallelRunConfig, arguments: Sequence[object], workspace: Workspace | None
) -> tuple[RunSettings, ScriptFile]:
    """Find the script and the settings file beside it, as submit does."""
    extra: dict[str, Any] = {"arguments": _plain(arguments)}
    code = find_code(config.resolve({}, extra), workspace.folder if workspace else Path())
    extra["append_row_settings"] = read_settings(code.script_folder)
    settings = config.resolve({}, extra)
    if problems := sink_problems(settings):
        raise SettingsError(SUBJECT, problems)
    path = str(code.root / code.entry_script)
    return settings, ScriptFile(path, path, str(code.root))


def _plain(arguments: Sequence[object]) -> Sequence[object]:
    """Return arguments as a step does: what is in lists among them, values of parameters."""
    if not isinstance(arguments, list | tuple):
        return arguments  # refused, as that of a step
    values = [resolve_value(each, {}) for _, each in flattened(arguments)]
    problems = [
        f"arguments={value!r} has no path where there is no run. Write a path, as text."
        for value in values
        if isinstance(value, USABLE)
    ]
    if problems:
        raise SettingsError(SUBJECT, problems)
    return values


def _models(
    models: Mapping[str, Paths] | None, workspace: Workspace | None
) -> dict[str, dict[str, str]]:
    paths = {name: _absolute(path) for name, path in (models or {}).items()}
    problems = [
        f"models[{name!r}]={str(path)!r} is not there. Write a file or folder that is."
        for name, path in paths.items()
        if not path.exists()
    ]
    if problems:
        raise SettingsError(SUBJECT, problems)
    found = models_told(workspace)["models"] if workspace else {}
    return found | {name: {"1": str(path)} for name, path in paths.items()}


def _reachable(dataset: Any) -> Any:
    """Return a path so that it holds in the script's working directory too; all else is itself."""
    if isinstance(dataset, str | os.PathLike) and not is_url(str(dataset)):
        return str(_absolute(dataset))
    return dataset


def _absolute(path: Paths) -> Path:
    return Path(os.path.abspath(user_path(path)))  # noqa: PTH100  (a link keeps its name)


@contextlib.contextmanager
def _folders(output_dir: Paths | None) -> Iterator[tuple[Path, Path]]:
    """Yield a temporary folder, and the output's, which goes too where it is nobody's."""
    prefix = "daskrun-script-"
    with tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True) as folder:
        output = _absolute(tempfile.mkdtemp(prefix=prefix) if output_dir is None else output_dir)
        try:
            output.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            problem = f"output_dir={str(output)!r} can't be made: {error.strerror}. Write a folder."
            raise SettingsError(SUBJECT, [problem]) from error
        try:
            yield Path(folder), output
        except BaseException:
            if output_dir is None:
                shutil.rmtree(output, ignore_errors=True)
            raise


def _called(
    script: ScriptFile,
    settings: RunSettings,
    data: Given,
    context: ScriptContext,
    folder: Path,
    run: OfflineRun,
) -> ScriptResult:
    sink = sink_of(settings)
    home, working = str(Path(script.path).parent), folder / "work"
    working.mkdir()
    spec = ProcessSpec(
        script=script,
        sys_path=tuple(dict.fromkeys((script.root, home))),
        argv=tuple(map(str, (script.path, *settings.arguments))),
        context=replace(
            context,
            agent_name=f"{INLINE}/process000",
            working_dir=str(working),
            log_dir=str(folder / "logs"),
            script_dir=home,
            logging_level=settings.logging_level,
        ),
    )
    with surroundings(spec, settings.environment_variables), contextlib.chdir(working):
        module = EntryModule(script)
        with _begun(module):
            mini_batch, mini_batch_context = data.load()
            items = len(mini_batch)
            result = _processed(module, mini_batch, mini_batch_context) if items else []
            with module.here:  # str(element) is the user's code too
                kept, failed = divided(result, mini_batch, script)
                count = sink.count(kept)
                if settings.results_per_item == "any":
                    count = items
                count = min(count, items - (failed.count if failed is not None else 0))
                encoded = sink.encode(kept)
    return ScriptResult(
        result=result,
        items=items,
        succeeded=min(count, items),
        failed=max(items - count, 0),
        rows=output_of_one(sink, encoded, mini_batch_context.minibatch_index, folder / "output"),
        output_dir=Path(context.output_dir),
        metrics=run.get_metrics(),
        warnings=(*data.warnings(), *sink.new_warnings()),
    )


@contextlib.contextmanager
def _begun(module: EntryModule) -> Iterator[None]:
    """Enclose what is between ``init()`` and ``shutdown()``, which a run calls in any case."""
    try:
        module.init()
    except NameNotFoundError as error:
        if error.kind == "model":
            error.add_note(f"Say where it is: run_script(..., models={{{error.name!r}: 'a path'}})")
        raise
    try:
        yield
    except BaseException as error:
        try:
            module.shutdown()
        except Exception as second:  # noqa: BLE001  (the first error is what is looked for)
            error.add_note(f"shutdown() failed too: {type(second).__name__}: {second}")
        raise
    module.shutdown()


def _processed(module: EntryModule, mini_batch: Any, mini_batch_context: object) -> Any:
    try:
        return module.process(mini_batch, lambda: mini_batch_context)
    except Exception as error:
        paths = mini_batch if isinstance(mini_batch, MiniBatchPaths) else ()
        for path in [each for each in paths if not os.access(each, os.R_OK)][:1]:
            error.add_note(f"{path!r} of the mini-batch is not there, or can't be read.")
        raise
