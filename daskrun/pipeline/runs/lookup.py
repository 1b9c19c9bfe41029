"""Runs that are there, found as the original has it: ``Run(experiment, run_id)``."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from daskrun.errors import SettingsError

if TYPE_CHECKING:
    from daskrun.pipeline.runs.submitted import SubmittedRun

Found = TypeVar("Found", bound="SubmittedRun")


def find_run(subject: str, experiment: object, run_id: object) -> SubmittedRun:
    """Return a run of an experiment, of a pipeline or of a step.

    Parameters
    ----------
    subject
        The class that was called.
    experiment, run_id
        What it was given.

    Raises
    ------
    NameNotFoundError
        There is no run of that id.
    SettingsError
        It is another experiment's, or these are no such values.
    """
    from daskrun.pipeline.runs.experiment import Experiment  # it brings the engine's names along

    problems = []
    if not isinstance(experiment, Experiment):
        problems.append(f"experiment={experiment!r} is not one. Write Experiment(ws, 'digits').")
    if not isinstance(run_id, str):
        problems.append(f"run_id={run_id!r} is not a run's id. Write the text that run.id gave.")
    if problems or not isinstance(experiment, Experiment):
        raise SettingsError(subject, problems)
    run: SubmittedRun = experiment.workspace.get_run(str(run_id))
    if run.experiment.name != experiment.name:
        problem = f"run_id={run_id!r} is a run of experiment {run.experiment.name!r}, not of "
        advice = f"Write Experiment(ws, {run.experiment.name!r})."
        raise SettingsError(subject, [f"{problem}{experiment.name!r}. {advice}"])
    return run


def find_run_of(kind: type[Found], experiment: object, run_id: object) -> Found:
    """Return a run of an experiment that is of a class.

    Raises
    ------
    NameNotFoundError, SettingsError
        As of :func:`find_run`; SettingsError also where it is of another class.
    """
    run = find_run(kind.__name__, experiment, run_id)
    if not isinstance(run, kind):
        problem = f"run_id={run_id!r} is a {type(run).__name__}. "
        advice = f"Write {type(run).__name__}(experiment, run_id), or Run(experiment, run_id)."
        raise SettingsError(kind.__name__, [problem + advice])
    return run
