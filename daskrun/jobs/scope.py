"""What the names in expressions of a job mean: its inputs and outputs, and those around it."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeAlias

from daskrun.data.protocols import DataPath
from daskrun.data.tabular.formats.mltable.definition import DATASTORE
from daskrun.errors import DaskrunError
from daskrun.jobs.data import Data, data_at, data_of, of_files, path_of
from daskrun.jobs.expressions import EXPRESSION, Reference, only, pieces
from daskrun.jobs.kinds import Input, Output
from daskrun.jobs.schema import WrittenPath
from daskrun.pipeline.steps.arguments import WithText
from daskrun.pipeline.steps.output_config import OutputFileDatasetConfig
from daskrun.pipeline.steps.outputs import PendingOutput
from daskrun.workspace.datastores.datastore import Datastore

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from daskrun.data.items import DatasetConsumptionConfig
    from daskrun.jobs.kinds import AnyJob
    from daskrun.jobs.located import At, Problems
    from daskrun.workspace.workspace import Workspace


@dataclass
class Context:
    """What all jobs of a file are made with."""

    workspace: Workspace
    problems: Problems
    notes: list[str]
    datastore: str | None = None
    """Where outputs go that say nothing; None: the workspace's default."""


@dataclass(frozen=True)
class Written:
    """An output of a job that is a step."""

    output: OutputFileDatasetConfig
    type: str
    file: str = ""
    """Its name in the output's folder where it is one file."""

    @property
    def argument(self) -> object:
        """What stands for its path among arguments."""
        return WithText("", self.output, f"/{self.file}") if self.file else self.output

    def data(self, kind: str, mode: str) -> Data:
        """Return it as an input of another job."""
        path = DataPath(PendingOutput(self.output), self.file)
        return data_at(path, mode) if kind == "mltable" else of_files(path, mode)


@dataclass(frozen=True)
class Given:
    """Data that is given for an input."""

    source: WrittenPath | Written
    type: str
    mode: str
    at: At

    def data(self, context: Context) -> Data | None:
        """Return the data; None where there is none, which is a problem."""
        try:
            if isinstance(self.source, Written):
                return self.source.data(self.type, self.mode)
            return data_of(self.source, self.type, self.mode, context.workspace)
        except DaskrunError as error:
            context.problems.add_all(self.at, error)
            return None


OWN = ("default_datastore", "name", "output_name")
"""What expressions in the path of an output may name of its run."""
Value: TypeAlias = "str | Given | None"
"""A literal, data, or nothing where an input is optional."""
Outside: TypeAlias = "Callable[[Reference, At], str | Given | Written | None]"
"""What an expression means that names something around a job."""


@dataclass
class Scope:
    """The names that a job's own texts know."""

    context: Context
    job: AnyJob
    name: str
    inputs: dict[str, Value]
    outputs: Mapping[str, Written]
    outside: Outside
    _uses: dict[str, DatasetConsumptionConfig | None] = field(default_factory=dict)

    def split(self, name: str) -> DatasetConsumptionConfig | None:
        """Return the input that mini-batches are cut from, ``arguments`` included."""
        self._uses[name] = self._use(name, split=True)
        return self._uses[name]

    def is_absent(self, reference: Reference) -> bool:
        """Return whether an expression names an optional input that is not given."""
        name = self._input(reference)
        return name in self.inputs and self.inputs[name] is None

    def value(self, reference: Reference, at: At) -> object:
        """Return what an expression stands for in arguments; ``""``, and a problem, for none."""
        name = self._input(reference)
        kind, _, rest = reference.text.partition(".")
        if kind in ("parent", "parents"):  # as if it were an input of the job
            if reference.text not in self.inputs:
                found = self.outside(reference, at)
                given = Given(found, found.type, "", at) if isinstance(found, Written) else found
                self.inputs[reference.text] = "" if given is None else given
            name = reference.text
        if kind == "outputs" and rest.removesuffix(".path") in self.outputs:
            return self.outputs[rest.removesuffix(".path")].argument
        if name not in self.inputs:
            known = [*(f"inputs.{n}" for n in self.inputs), *(f"outputs.{n}" for n in self.outputs)]
            there = f"There are {', '.join(known)}." if known else "The job has no inputs."
            self.context.problems.add(at, f"{reference} names nothing of this job. {there}")
            return ""
        value = self.inputs[name]
        if value is None:
            text = f"{reference} is optional, and is not given. Write $[[ ]] around what it is for."
            self.context.problems.add(at, text)
            return ""
        if isinstance(value, str):
            return value
        if name not in self._uses:
            self._uses[name] = self._use(name)
        return self._uses[name] or ""

    def text(self, written: str, at: At) -> str:
        """Return a text with its expressions replaced, which must be literals."""
        made = []
        for part in pieces(written):
            value = self.value(part, at) if isinstance(part, Reference) else part
            if not isinstance(value, str):
                text = f"{part} is data, and here a value is needed. Write the name of a literal."
                self.context.problems.add(at, text)
                value = ""
            made.append(value)
        return "".join(made)

    def _use(self, name: str, *, split: bool = False) -> DatasetConsumptionConfig | None:
        given = self.inputs[name]
        assert isinstance(given, Given)
        data = given.data(self.context)
        return None if data is None else data.use(name, split=split)

    @staticmethod
    def _input(reference: Reference) -> str:
        kind, _, name = reference.text.partition(".")
        return name.removesuffix(".path") if kind == "inputs" else ""


def inputs_of(job: AnyJob, context: Context, outside: Outside) -> dict[str, Value]:
    """Return the values of a job's inputs."""
    made: dict[str, Value] = {}
    for name, given in job.inputs.items():
        at = job.where("inputs", name)
        if not isinstance(given, Input):
            made[name] = _of_text(str(given), at, outside)
            continue
        path = given.path
        if path is not None and (reference := only(path)) is not None:
            found = outside(reference, at)
            if isinstance(found, Written):
                found = Given(found, given.type or found.type, given.mode or "", at)
            elif isinstance(found, Given):
                kind, mode = given.type or found.type, given.mode or found.mode
                found = replace(found, type=kind, mode=mode)
            made[name] = found
        elif path is not None:
            text = WrittenPath.at(_of_pieces(path, at, outside), path.folder)
            made[name] = Given(text, given.type or "uri_folder", given.mode or "", at)
        elif given.literal is not None and given.is_data:
            text = WrittenPath.at(given.literal, given.node.at.folder)
            made[name] = Given(text, given.type or "uri_folder", given.mode or "", at)
        else:
            made[name] = _of_text(given.literal, at, outside) if given.literal is not None else None
            if made[name] is None and not given.optional:
                kind = f"path: or --set inputs.{name}=PATH" if given.is_data else "value"
                context.problems.add(at, f"input {name!r} has no value. Write its {kind}.")
                made[name] = ""
        _check(name, made[name], given, context.problems, at)
    return made


def _check(name: str, value: Value, said: Input, problems: Problems, at: At) -> None:
    """Check a literal against what is said of the input."""
    if not isinstance(value, str) or said.is_data or not value:
        return
    wrong = ""
    if said.type in ("number", "integer") or said.min is not None or said.max is not None:
        try:
            number = float(value)
        except ValueError:
            wrong = "is no number"
        else:
            if said.type == "integer" and number != int(number):
                wrong = "is no whole number"
            elif said.min is not None and number < said.min:
                wrong = f"is less than min={said.min:g}"
            elif said.max is not None and number > said.max:
                wrong = f"is more than max={said.max:g}"
    elif said.type == "boolean" and value.lower() not in ("true", "false"):
        wrong = "is neither true nor false"
    if said.enum and value not in said.enum:
        wrong = f"is none of {', '.join(said.enum)}"
    if wrong:
        problems.add(at, f"input {name!r}: {value!r} {wrong}. Write another value.")


def _of_text(text: str, at: At, outside: Outside) -> Value:
    reference = only(text)
    if reference is None:
        return _of_pieces(text, at, outside)
    found = outside(reference, at)
    return Given(found, found.type, "", at) if isinstance(found, Written) else found


def _of_pieces(text: str, at: At, outside: Outside) -> str:
    found = [outside(e, at) if isinstance(e, Reference) else e for e in pieces(text)]
    return "".join(each if isinstance(each, str) else "" for each in found)


def outputs_of(
    job: AnyJob, context: Context, outside: Outside, inputs: Mapping[str, Value]
) -> dict[str, Written]:
    """Return the outputs of a job that is a step, or of a pipeline; paths may name ``inputs``."""
    made: dict[str, Written] = {}
    for name, said in job.outputs.items():
        at = job.where("outputs", name)
        if not isinstance(said, Output):
            said = Output(path=WrittenPath.at(str(said), at.folder))
        reference = only(said.path or "")
        found = outside(reference, at) if reference is not None else None
        if isinstance(found, Written):  # of the pipeline
            made[name] = found
            continue
        if said.path is not None:
            said = replace(said, path=_path(said.path, at, context, outside, inputs))
        try:
            made[name] = output_of(name, said, context)
        except DaskrunError as error:
            context.problems.add_all(at, error)
    return made


def _path(
    path: WrittenPath, at: At, context: Context, outside: Outside, inputs: Mapping[str, Value]
) -> WrittenPath:
    """Return the path of an output with its expressions replaced, but those of a run's own."""
    made = ""
    for part in pieces(path):
        if not isinstance(part, Reference) or part.text in OWN:
            made += str(part)
            continue
        name = part.text.removeprefix("parent.").removeprefix("inputs.")
        value = inputs[name] if name in inputs else outside(part, at)
        value = value.source if isinstance(value, Given) else value
        if not isinstance(value, str) or value == str(part):
            known = ", ".join((*OWN, *(f"inputs.{each}" for each in inputs)))
            text = f"{part} in the path of an output names nothing of this job. There are {known}."
            context.problems.add(at, text)
        made += str(value)
    return WrittenPath.at(made, path.folder)


def output_of(name: str, said: Output, context: Context) -> Written:
    """Return the output that is written; DaskrunError is raised where it can go nowhere."""
    destination: object = None
    file = ""
    if said.path is not None:
        file, destination = _destination(said.path, said.type == "uri_file", context)
    elif context.datastore is not None:
        destination = Datastore(context.workspace, context.datastore)
    if said.type == "uri_file":
        file = file or name
    made = OutputFileDatasetConfig(name, destination)  # type: ignore[arg-type]
    if said.path is not None:  # the same for each run: it goes there, as a mounted output does
        made = made.as_upload(overwrite=True)
    if said.name is not None:
        made = made.register_on_complete(said.name, said.description)
    return Written(made, said.type or "uri_folder", file)


def _destination(path: WrittenPath, is_file: bool, context: Context) -> tuple[str, object]:
    """Return the file's name, and the folder that it is in, as a destination of an output."""
    usual = context.datastore or context.workspace.default_datastore_name
    known = dict(zip(OWN, (usual, "{run-id}", "{output-name}"), strict=True))
    text = EXPRESSION.sub(lambda match: known.get(match[1].strip(), match[0]), path)
    folder, _, file = text.rstrip("/").rpartition("/") if is_file else (text, "", "")
    if found := DATASTORE.fullmatch(text):
        inside = found["path"].strip("/")
        inside = posixpath.dirname(inside) if is_file else inside
        store = Datastore(context.workspace, found["store"])
        return file, (store, inside or "{output-name}")
    place = path_of(WrittenPath.at(folder or ".", path.folder), "", context.workspace)
    return file, place
