"""``RunDetails``: a run at one glance."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from daskrun.core.absent_names import OriginalClass, original_keywords
from daskrun.monitor.console import in_notebook
from daskrun.monitor.words import bar_line
from daskrun.pipeline.runs.views import html_of
from daskrun.shown.printable import safe

if TYPE_CHECKING:
    from daskrun.pipeline.runs.run import PipelineRun, StepRun


class RunDetails(OriginalClass):
    """Shows how a pipeline's run stands."""

    @original_keywords
    def __init__(self, run: PipelineRun) -> None:
        self._run = run

    def __repr__(self) -> str:
        return self.text()

    def _repr_html_(self) -> str:
        return html_of(self._run, self._run.get_steps())

    @original_keywords
    def show(self) -> None:
        """Show how the run stands: status, steps, progress, where logs and outputs are.

        In a notebook it goes on changing while other cells run (with ipywidgets), has a button that
        cancels the run, and stays as it was at the end; elsewhere it is text, as of now.
        """
        if in_notebook():
            from daskrun.pipeline.runs.widget import show_in_notebook

            show_in_notebook(self._run, self._run.get_steps, self._run.cancel)
            return
        sys.stdout.write(f"{self.text()}\n")
        sys.stdout.flush()

    def text(self) -> str:
        """Return what :meth:`show` writes outside notebooks."""
        run = self._run
        message = f"  {run.message}" if run.message else ""
        lines = [f"Run {run.id}: {run.status.value}{message}", f"  kept in {run.place_of()}"]
        for step in run._steps():
            lines += self._step_lines(step)
        return safe("\n".join(lines))

    def _step_lines(self, step: StepRun) -> list[str]:
        lines = [f"  Step {step.name}: {step.status.value}"]
        if step.progress is not None:
            left = None if step.status.ended else step.progress.eta
            lines.append(f"    {bar_line(replace(step.progress, eta=left))}")
        if step.status.ended and step.message:
            lines.append(f"    {step.message}")
        lines.append(f"    logs in {step.place_of('logs')}")
        output = step.output_folder
        if output is not None:
            lines.append(f"    output goes to {output}")
        return lines
