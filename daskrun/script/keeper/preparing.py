"""What script processes of a node wait for: the Python they run in, then the step's side inputs."""

from __future__ import annotations

import contextlib
import selectors
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from daskrun.script.keeper.environment import Build
    from daskrun.script.keeper.side_inputs import SideInputs


class Preparing:
    """One process at a time that makes it, followed from the keeper's loop.

    Parameters
    ----------
    config
        The keeper's configuration.
    selector
        The keeper's: what a process says wakes its loop.
    say
        Passes a message on to the node.
    use
        Called with the Python that was built.
    ready
        Called, once, with the paths of side inputs that were brought, when all is there.
    """

    def __init__(
        self,
        config: dict[str, Any],
        selector: selectors.BaseSelector,
        say: Callable[[str, object], None],
        use: Callable[[str], None],
        ready: Callable[[dict[str, str]], None],
    ) -> None:
        self._config = config
        self._selector = selector
        self._say = say
        self._use = use
        self._ready = ready
        self._process: Build | SideInputs | None = None

    @property
    def pid(self) -> int | None:
        """Id of the process there is now."""
        return self._process.pid if self._process is not None else None

    def start(self) -> None:
        """Begin; where there is nothing to wait for, all is ready at once."""
        if self._config["packages"]:
            from daskrun.script.keeper.environment import (
                Build,  # what it imports, other keepers are spared
            )

            self._wait_for(Build(self._config))
        else:
            self._bring_side_inputs()

    def step(self, now: float) -> None:
        """Go on as far as it is; tell why it can't be."""
        if self._process is None:
            return
        for kind, value in self._process.messages(now):
            if kind in ("python", "brought", "unprepared"):
                self.end()
            if kind == "python":
                self._use(value)
                self._bring_side_inputs()
            elif kind == "brought":
                self._ready(value)
            else:
                self._say(kind, value)

    def end(self) -> None:
        """End the process there is, if there is one; nothing is made ready any more."""
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(KeyError):
                self._selector.unregister(process.out)
            process.end()

    def _bring_side_inputs(self) -> None:
        if all(side["there"] for side in self._config["side_inputs"].values()):
            self._ready({})
        else:
            from daskrun.script.keeper.side_inputs import SideInputs

            self._wait_for(SideInputs(self._config))

    def _wait_for(self, process: Build | SideInputs) -> None:
        self._process = process
        self._selector.register(process.out, selectors.EVENT_READ, lambda: None)
