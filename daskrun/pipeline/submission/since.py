"""``since``: a run over what is new, without the files that an earlier run has processed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from daskrun.core.report import RunStatus
from daskrun.data.protocols import shown_url
from daskrun.data.tabular.tabular_dataset import TabularDataset
from daskrun.errors import SettingsError
from daskrun.pipeline.records.processed import LeftOut, Processed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from daskrun.core.minibatch import Plan, PlanInput
    from daskrun.data.file_plan import FilePlan
    from daskrun.data.paths import PathTable
    from daskrun.pipeline.submission.prepare import PreparedStep
    from daskrun.workspace.run_folders.run_folder import RunFolder
    from daskrun.workspace.workspace import Workspace

RESUME = "Resume it first, and wait until it is Completed: run.resume()."


def earlier_run(workspace: Workspace, since: object) -> RunFolder:
    """Return the folder of the Completed run whose id ``since`` is."""
    if not isinstance(since, str):
        raise _wrong(f"since={since!r} is no run. Write since=run, or its id.")
    folder = workspace.site.find_run(since)
    if folder is None:
        raise _wrong(
            f"since={since!r}: {workspace!r} has no such run. Its runs: "
            "Experiment(ws, name).get_runs()."
        )
    if folder.manifest().kind != "pipeline":
        whole = folder.manifest().pipeline_run
        raise _wrong(f"since={since!r} is the run of one step. Write since={whole!r}.")
    status = folder.last_state().status
    if status is not RunStatus.COMPLETED:
        raise _wrong(
            f"since={since!r} is {status}, and only what a Completed run has done is in its "
            f"output. {RESUME}"
        )
    return folder


def without_processed(prepared: Sequence[PreparedStep], earlier: RunFolder) -> list[PreparedStep]:
    """Leave out of steps what an earlier run of the pipeline has processed.

    Steps whose inputs are outputs of others are left as they are. SettingsError is raised where the
    earlier run has no step of a name, or an input is no files; with all problems at once.
    """
    folders = [earlier.sibling(name) for name in earlier.manifest().steps]
    by_name = {folder.manifest().name: folder for folder in folders}
    problems = [text for each in prepared for text in _problems(each, earlier.id, by_name)]
    if problems:
        raise SettingsError("submit", problems)
    return [
        each
        if each.plan is None or not each.inputs
        else _without(each, each.plan, by_name[each.step.name], earlier.id)
        for each in prepared
    ]


def _problems(each: PreparedStep, run_id: str, by_name: dict[str, RunFolder]) -> Iterator[str]:
    """Return why what is new can't be told for a step."""
    frames = [
        name for name, data in each.inputs if isinstance(data, TabularDataset) and data.in_memory
    ]
    queries = [
        source.name
        for source in (each.plan.inputs if each.plan is not None else ())
        if source.kind == "tabular" and not _is_files(source) and source.name not in frames
    ]
    for name, what in [(n, "a dataframe") for n in frames] + [(n, "a query") for n in queries]:
        yield (
            f"since={run_id!r}: input {name!r} of step {each.step.name!r} is {what}, and only of "
            "files can be told which are new. Leave since out, or give it as files."
        )
    if each.settings.partition_by is not None:
        yield (
            f"since={run_id!r}: step {each.step.name!r} has partition_by, which puts rows of new "
            "files and old ones together. Leave since out."
        )
    for source in each.plan.inputs if each.plan is not None else ():
        if _counts_rows(source):
            yield (
                f"since={run_id!r}: input {source.name!r} of step {each.step.name!r} counts rows "
                "(take, skip), which leaves files half read. Leave since out, or take() and skip()."
            )
    if each.plan is not None and each.inputs and each.step.name not in by_name:
        there = ", ".join(repr(name) for name in by_name)
        yield f"since={run_id!r} has no step {each.step.name!r}. Its steps are {there}."


def _without(each: PreparedStep, plan: Plan, earlier: RunFolder, run_id: str) -> PreparedStep:
    """Leave out of a step what its earlier run has processed."""
    plan, left = _narrowed(plan, Processed.by(earlier), run_id)
    note = f"step {each.step.name!r}: {_message(left, plan)}"
    return replace(each, plan=plan, notes=(*each.notes, note), left_out=left)


def _is_files(source: PlanInput) -> bool:
    from daskrun.data.tabular.formats.registry import spec_class

    return spec_class((source.table or {})["reader"]["format"]).of_files


def _counts_rows(source: PlanInput) -> bool:
    from daskrun.data.tabular.conditions.row_steps import Steps

    return source.kind == "tabular" and bool(Steps((source.table or {})["steps"]).windows)


def _narrowed(plan: Plan, processed: Processed, run_id: str) -> tuple[Plan, LeftOut]:
    """Return the plan of what is new, and what is left out."""
    listed, new, old = cast("FilePlan", plan), [], []
    for each, table in zip(listed.inputs, listed.tables, strict=True):
        known = _left_out(each, table, processed)
        new.append(table.chosen([not is_known for is_known in known]))
        old.append(table.chosen(known))
    roots = tuple(shown_url(each.root) for each in listed.inputs)
    return listed.narrowed(new), LeftOut(run_id, roots, tuple(old))


def _left_out(source: PlanInput, table: PathTable, processed: Processed) -> list[bool]:
    """Return of each file whether it is left out; the files of a mini-batch are so together."""
    known = processed.known(source.root, table)
    keys = (source.table or {}).get("partition_keys")
    if keys:
        from daskrun.data.partition_format import PartitionFormat

        form = PartitionFormat((source.table or {})["partition"]["format"])
        for files in form.grouped(source.root, table, keys).values():
            if not all(known[file] for file in files):
                for file in files:
                    known[file] = False
    return known


def _message(left: LeftOut, plan: Plan) -> str:
    tables: Any = cast("FilePlan", plan).tables
    new = sum(map(len, tables))
    files = "file is" if new == 1 else "files are"
    return (
        f"since run {left.run} {new:,} {files} new or changed; {left.count:,} that were processed "
        "by it or before it are left out."
    )


def _wrong(problem: str) -> SettingsError:
    return SettingsError("submit", [problem])
