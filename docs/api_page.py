"""The page of the API: every public name, by what users do with it."""

from __future__ import annotations

import daskrun
import daskrun.testing

GROUPS = {
    "Data": "Dataset data.datasets.FileDatasetFactory data.tabular.factory.TabularDatasetFactory "
    "FileDataset TabularDataset DataType DatasetConsumptionConfig "
    "Datastore EnvironmentVariable",
    "Steps": "ParallelRunConfig ParallelRunStep PythonScriptStep PipelineParameter PipelineData "
    "OutputFileDatasetConfig",
    "Runs": "Pipeline PublishedPipeline Experiment PipelineRun StepRun RunDetails Run Status "
    "ExitCode",
    "Job files": "load_job Job",
    "In entry scripts": "EntryScript Failed",
    "Workspace": "Workspace Model Environment CondaDependencies ComputeTarget AmlCompute",
    "Extending": "Observer Sink EncodedRows CommittedRows",
}
CONSTANTS = {"DEFAULT_CPU_IMAGE", "DEFAULT_GPU_IMAGE"}
HEAD = """\
# API

Everything that `import daskrun` gives, and `daskrun.testing`. Names of the Azure ML SDK are on a
[page of their own](../migrate/azureml-names.md).
"""


def page() -> str:
    """Return the page; a public name that is in no group goes under Errors, or is a fault."""
    grouped = {name for names in GROUPS.values() for name in names.split()}
    rest = [name for name in daskrun.__all__ if name not in grouped | CONSTANTS]
    unknown = [name for name in rest if not _is_error(name)]
    assert not unknown, f"docs/api_page.py has no group for {unknown}"
    groups = {**GROUPS, "Errors": " ".join(rest)}
    parts = [HEAD, *(_group(title, "daskrun", names.split()) for title, names in groups.items())]
    return "\n".join([*parts, _group("Testing", "daskrun.testing", daskrun.testing.__all__)])


def _is_error(name: str) -> bool:
    found = getattr(daskrun, name)
    return isinstance(found, type) and issubclass(found, Exception)


def _group(title: str, module: str, names: list[str]) -> str:
    shown = [name for name in names if not name.isupper()]
    return "\n".join([f"## {title}\n", *(f"::: {module}.{name}\n" for name in shown)])
