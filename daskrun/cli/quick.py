"""A job from options alone, as if its file had been written."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import daskrun
from daskrun.cli.common import PLACE, WrongUse, pairs, value_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

NAMED = re.compile(r"([A-Za-z_]\w*)=(.+)", re.DOTALL)
TABLES: Mapping[str, tuple[str, Mapping[str, str]]] = {
    ".csv": ("from_delimited_files", {}),
    ".tsv": ("from_delimited_files", {"separator": "\t"}),
    ".jsonl": ("from_json_lines_files", {}),
    ".ndjson": ("from_json_lines_files", {}),
    ".json": ("from_json_lines_files", {}),
    ".parquet": ("from_parquet_files", {}),
}
"""How tables are read, by the ending of their files."""
COMPRESSED = (".gz", ".bz2", ".xz", ".zst")
RESULTS = (".csv", ".jsonl", ".parquet", ".txt")
"""Endings by which ``--output`` is a file of results; else it is a folder."""
JOB_OPTIONS = ("job", "overrides", "overwrite", "cluster", "experiment")
"""Those that go with a job file."""
OPTIONS = (
    click.argument("job", required=False, type=PLACE, metavar="[JOB.yml]"),
    click.option("--script", type=PLACE, metavar="FILE", help="The entry script, which has run()."),
    click.option(
        "--input",
        "inputs",
        multiple=True,
        type=PLACE,
        metavar="[NAME=]FILES",
        help="A folder, file, glob or URL of files.",
    ),
    click.option(
        "--table",
        "tables",
        multiple=True,
        type=PLACE,
        metavar="[NAME=]FILES",
        help="The same, read as rows: .csv, .tsv, .jsonl, .parquet.",
    ),
    click.option(
        "-o",
        "--output",
        type=PLACE,
        metavar="PLACE",
        help="Where results go: a file whose ending is its format (.csv, .jsonl, .parquet, .txt), "
        "or a folder. [default: in the workspace]",
    ),
    click.option("--overwrite", is_flag=True, help="Replace an output that is there."),
    click.option("--own-files", is_flag=True, help="The script writes files of its own."),
    click.option(
        "-b",
        "--mini-batch-size",
        metavar="N|SIZE",
        help="What one run() gets: a number of files, or bytes of rows.",
    ),
    click.option("-p", "--processes", type=int, help="Script processes on a node."),
    click.option("--nodes", type=int, help="Dask workers that take part."),
    click.option(
        "--cluster",
        metavar="TARGET",
        help="A scheduler's address, a compute target's name, or 'inline'. [default: this machine]",
    ),
    click.option("--timeout", type=float, metavar="SECONDS", help="For one run()."),
    click.option("--error-threshold", type=int, help="Failed items allowed. [default: any number]"),
    click.option("--name", help="Of the step. [default: the script's]"),
    click.option("--experiment", metavar="NAME", help="What the run is listed under."),
    click.option(
        "--set",
        "overrides",
        multiple=True,
        metavar="NAME=VALUE",
        help="Another value of what the job file says (inputs.images=photos), or, without one, "
        "of any setting of ParallelRunConfig.",
    ),
)


def job_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the argument ``[JOB]`` and the options that say what a run is without one."""
    for add in reversed(OPTIONS):
        command = add(command)
    return command


def job_of(given: Mapping[str, Any], arguments: Sequence[str]) -> Any:
    """Return the job that options say: that of a file, or one of a single step."""
    path, script = given["job"], given["script"]
    if path is None:
        return _scripted(given, arguments)
    if script is None and path.endswith(".py"):
        return _scripted({**given, "script": path}, arguments)
    if script is not None and not path.endswith((".yml", ".yaml")):
        raise WrongUse(f"{path!r} is no job file (.yml). Write --input {path} for data.")
    alone = [
        {"inputs": "--input", "tables": "--table"}.get(name, f"--{name.replace('_', '-')}")
        for name, value in given.items()
        if name not in JOB_OPTIONS and value not in (None, (), False)
    ]
    if arguments:
        alone.append("-- ARGUMENTS")
    if alone:
        raise WrongUse(
            f"{', '.join(alone)} and the job file {path!r} both say what is run. Leave one out, or "
            "write --set for another value of what the file says."
        )
    job = daskrun.load_job(path, pairs("--set", given["overrides"]))
    return _FileJob(job, given["cluster"], given["experiment"], given["overwrite"])


def _scripted(given: Mapping[str, Any], arguments: Sequence[str]) -> QuickJob:
    missing = [] if given["script"] else ["--script"]
    missing += [] if given["inputs"] or given["tables"] else ["--input"]
    if missing:
        raise WrongUse(
            f"{' and '.join(missing)} missing. Write daskrun run JOB.yml, or daskrun run --script "
            "score.py --input 'images/*.png'. 'daskrun init' writes a job to begin with."
        )
    if given["inputs"] and given["tables"]:
        raise WrongUse("--input and --table: one run() takes files or rows, not both. Give one.")
    return QuickJob(given, tuple(arguments))


@dataclass(frozen=True)
class _FileJob:
    """A job file, and where it runs."""

    job: Any
    cluster: str | None
    experiment: str | None
    overwrite: bool

    @property
    def notes(self) -> list[str]:
        return list(self.job.notes)

    def pipeline(self, workspace: Any) -> Any:
        return self.job.pipeline(workspace, compute_target=self.cluster, overwrite=self.overwrite)

    def submit(self, workspace: Any, detached: bool = False) -> Any:
        return self.job.submit(
            workspace,
            detached=detached,
            compute_target=self.cluster,
            experiment_name=self.experiment,
            overwrite=self.overwrite,
        )


@dataclass(frozen=True)
class QuickJob:
    """One step, made of options."""

    given: Mapping[str, Any]
    arguments: tuple[str, ...]
    notes: tuple[str, ...] = ()
    """None: there is nothing of it that is not used."""

    @property
    def name(self) -> str:
        """The step's, made of the script's where none was given."""
        if self.given["name"] is not None:
            return str(self.given["name"])
        stem = re.sub("[^a-z0-9]+", "-", Path(self.given["script"]).stem.lower()).strip("-")
        stem = stem if stem[:1].isalpha() and len(stem) > 2 else f"step-{stem}".rstrip("-")
        return stem[:32].rstrip("-")

    def submit(self, workspace: Any, detached: bool = False) -> Any:
        """Start a run of it."""
        experiment = daskrun.Experiment(workspace, self.given["experiment"] or self.name)
        return experiment.submit(self.pipeline(workspace), detached=detached)

    def pipeline(self, workspace: Any) -> Any:
        """Make the pipeline of its one step."""
        folder, file = _parted(self.given["output"])
        output = (
            daskrun.PipelineData("output")
            if folder is None
            else daskrun.OutputFileDatasetConfig("output", destination=folder)
        )
        config = daskrun.ParallelRunConfig(**self._settings(file))
        step = daskrun.ParallelRunStep(
            self.name, config, self._inputs(), output, arguments=list(self.arguments)
        )
        return daskrun.Pipeline(workspace, [step])

    def _settings(self, file: str | None) -> Mapping[str, Any]:
        given = self.given
        own = {
            "entry_script": given["script"],
            "error_threshold": -1 if given["error_threshold"] is None else given["error_threshold"],
            "output_action": "summary_only" if given["own_files"] else "append_row",
            "append_row_file_name": file,
            "mini_batch_size": given["mini_batch_size"],
            "process_count_per_node": given["processes"],
            "node_count": given["nodes"],
            "compute_target": given["cluster"],
            "run_invocation_timeout": given["timeout"],
            "overwrite": given["overwrite"] or None,
        }
        said = {name: value for name, value in own.items() if value is not None}
        known = {each.name for each in fields(daskrun.ParallelRunConfig)}
        for name, text in pairs("--set", given["overrides"]).items():
            if name not in known:
                from daskrun.core.settings import close_to  # no help needs it

                raise WrongUse(f"--set {name}: there is no such setting. {close_to(name, known)}")
            said[name] = _environment(text) if name == "environment" else value_of(text)
        return said

    def _inputs(self) -> list[Any]:
        made = []
        for each in self.given["inputs"]:
            name, place = _named(each)
            made.append((name, daskrun.Dataset.File.from_files(place)))
        for each in self.given["tables"]:
            name, place = _named(each)
            made.append((name, _table(place)))
        return [data if name is None else data.as_named_input(name) for name, data in made]


def _environment(file: str) -> daskrun.Environment:
    """Return the environment whose packages a file names, for pip or for conda."""
    kinds = {
        ".txt": daskrun.Environment.from_pip_requirements,
        ".yml": daskrun.Environment.from_conda_specification,
        ".yaml": daskrun.Environment.from_conda_specification,
    }
    read = kinds.get(Path(file).suffix)
    if read is None:
        raise WrongUse(
            f"--set environment={file}: it is no file of packages. Write one for pip, such as "
            "requirements.txt, or for conda, such as conda.yml."
        )
    return read(Path(file).stem, file)


def _named(given: str) -> tuple[str | None, str]:
    """Return name and place of an input: that of a folder day=1 is a place without a name."""
    found, (first, *_) = NAMED.fullmatch(given), given.split("/")
    if found is None or any(Path().glob(first)):
        return None, given
    return found[1], found[2]


def _parted(output: str | None) -> tuple[str | None, str | None]:
    """Return folder and name of the file that ``--output`` says; None where it says none."""
    if output is None or not output.endswith(RESULTS):
        return output, None
    folder, _, name = output.rpartition("/")
    return folder or ("/" if output.startswith("/") else "."), name


def _table(place: str) -> Any:
    """Return the rows of files, read by their ending."""
    ending = _ending(place)
    if ending not in TABLES:  # a folder, or a glob that leaves it open
        paths = daskrun.Dataset.File.from_files(place).to_path()
        endings = {_ending(path) for path in paths}
        if len(endings) != 1 or not endings <= TABLES.keys():
            there = ", ".join(sorted(each or "none" for each in endings))
            raise WrongUse(
                f"--table {place!r}: its files have the endings {there}. Write a glob of one kind, "
                f"such as 'orders/*.csv'; {', '.join(TABLES)} are read as rows."
            )
        (ending,) = endings
    method, options = TABLES[ending]
    return getattr(daskrun.Dataset.Tabular, method)(place, **options)


def _ending(path: str) -> str:
    """Return the ending of a path that says what is in it, without that of a compression."""
    name = path.rpartition("/")[2].lower()
    for each in COMPRESSED:
        name = name.removesuffix(each)
    return Path(name).suffix
