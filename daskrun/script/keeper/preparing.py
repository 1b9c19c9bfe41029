"""What script processes of a node wait for: the Python they run in, then the step's side inputs."""

from __future__ import annotations

import contextlib
import selectors
from typing import TYPE_CHECKING

from daskrun.script.messages import Brought, PythonFound, Unprepared

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from daskrun.script.keeper.preparation import Preparation
    from daskrun.script.node_spec import NodeSpec


class Preparations:
    """One preparation at a time, followed from the keeper's loop.

    ``say`` passes a message on to the node; ``use`` is called with the Python that was found;
    ``ready``, once, with the paths of side inputs that were brought, when all is there.
    """

    def __init__(
        self,
        spec: NodeSpec,
        selector: selectors.BaseSelector,
        say: Callable[[object], None],
        use: Callable[[str], None],
        ready: Callable[[Mapping[str, str]], None],
    ) -> None:
        self._spec = spec
        self._selector = selector
        self._say = say
        self._use = use
        self._ready = ready
        self._current: Preparation | None = None

    @property
    def pid(self) -> int | None:
        """Id of the process there is now."""
        return self._current.child.pid if self._current is not None else None

    def start(self) -> None:
        """Begin; where there is nothing to wait for, all is ready at once."""
        if self._spec.python is None:
            self._bring_side_inputs()
            return
        from daskrun.script.keeper.environment import Build  # other keepers are spared its imports

        self._wait_for(Build(self._spec, self._spec.python))

    def step(self, now: float) -> None:
        """Go on as far as it is; tell the node why it can't be."""
        if self._current is None:
            return
        for message in self._current.messages(now):
            if isinstance(message, PythonFound):
                self.end()
                self._use(message.path)
                self._bring_side_inputs()
            elif isinstance(message, Brought):
                self.end()
                self._ready(message.paths)
            else:
                if isinstance(message, Unprepared):
                    self.end()
                self._say(message)

    def end(self) -> None:
        """End the process there is, if there is one; nothing is made ready any more."""
        current, self._current = self._current, None
        if current is not None:
            with contextlib.suppress(KeyError):
                self._selector.unregister(current.child.pipe)
            current.end()

    def _bring_side_inputs(self) -> None:
        if all(side.there for side in self._spec.side_inputs.values()):
            self._ready({})
            return
        from daskrun.script.keeper.side_inputs import SideInputs

        self._wait_for(SideInputs(self._spec))

    def _wait_for(self, preparation: Preparation) -> None:
        self._current = preparation
        self._selector.register(preparation.child.pipe, selectors.EVENT_READ, lambda: None)
