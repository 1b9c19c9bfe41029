"""The look for inputs that changed while a run went on, beside its end."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, cast

from daskrun.data.input_changes import changed_files

if TYPE_CHECKING:
    from daskrun.core.minibatch import Plan
    from daskrun.data.listed_plan import ListedPlan

LIMIT = 30.0
"""Seconds that it is waited for: a network mount that is gone answers never."""


class InputLook:
    """Looks for changed inputs in a thread, while the run's processes end.

    Ten files take 15 µs, a third of what a mini-batch of them costs that does nothing.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = cast("ListedPlan", plan)
        self._found = "input files could not be looked at for changes: "
        self._thread = threading.Thread(target=self._look, name="daskrun-inputs", daemon=True)
        self._thread.start()

    def _look(self) -> None:
        try:
            self._found = changed_files(self._plan)
        except Exception as error:  # noqa: BLE001  (told)
            self._found += f"{type(error).__name__}: {error}"

    def warning(self) -> str:
        """Wait for what it has found; ``""`` where nothing has changed."""
        self._thread.join(LIMIT)
        if self._thread.is_alive():
            return f"{self._found}their file system did not answer within {LIMIT:g} s"
        return self._found
