"""What a script can ask of the run it is in: it is looked at as who submitted it does."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from daskrun.core.report import RunStatus


class AskedRun(ABC):
    """A run that somebody else has submitted, and this process works for."""

    @property
    @abstractmethod
    def _submitted(self) -> Any:
        """The run as those have it who submit runs."""

    @property
    def status(self) -> RunStatus:
        """Which state it is in."""
        status: RunStatus = self._submitted.status
        return status

    def get_status(self) -> str:
        """Return which state it is in, such as ``Running``."""
        return self.status.value

    def get_details(self) -> dict[str, object]:
        """Return what is known of the run; see :meth:`PipelineRun.get_details`."""
        return dict(self._submitted.get_details())

    def cancel(self) -> None:
        """Ask the process that drives the run to cancel it, with all steps of its pipeline."""
        self._submitted.cancel("its script called cancel()")

    def find_step_run(self, name: str) -> list[Any]:
        """Return the runs of the step of a name, of the pipeline's run: ``run.parent``."""
        return list(self._submitted.find_step_run(name))

    def get_steps(self) -> list[Any]:
        """Return the runs of the steps, of the pipeline's run: ``run.parent``."""
        return list(self._submitted.get_steps())
