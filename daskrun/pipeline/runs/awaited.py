"""Waiting for a run in a coroutine, whose event loop goes on meanwhile."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from typing import TYPE_CHECKING

from daskrun.monitor.event_log import EVENTS, EventTail
from daskrun.pipeline.execution.lifetime import POLL

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Generator, Sequence

    from daskrun.core.events import Event
    from daskrun.pipeline.runs.views import ShownStep


class AwaitedRun:
    """``await run``, and ``async for event in run.events()``."""

    @abstractmethod
    def _ended_within(self, seconds: float) -> bool: ...

    @abstractmethod
    def _end_told(self, raise_on_error: bool) -> str: ...

    @abstractmethod
    def _steps(self) -> Sequence[ShownStep]: ...

    def __await__(self) -> Generator[object, None, str]:
        return self._awaited().__await__()

    async def _awaited(self) -> str:
        """Wait for the end as ``wait_for_completion`` does; who is canceled leaves the run be."""
        while not await asyncio.to_thread(self._ended_within, POLL):
            pass
        return await asyncio.to_thread(self._end_told, True)

    async def events(self) -> AsyncIterator[Event]:
        """Yield what happens in its steps, from their beginning, until the run ends.

        They are read from the run's log of events (``daskrun.core.events`` has the kinds), a second
        late at most, also of a run that another process drives. A ``RunStarted`` names the step.
        Nothing is raised where the run fails: ``await run`` tells.

        Examples
        --------
        >>> async def follow(run):
        ...     async for event in run.events():
        ...         print(event)
        ...     return await run
        """
        tails: dict[str, EventTail] = {}
        ended, more = False, True
        while more or not ended:
            if not more:
                # looked at first: what is written before a run's end is seen then
                ended = await asyncio.to_thread(self._ended_within, POLL)
            more = False
            for step in self._steps():
                for event in await asyncio.to_thread(_new_events, step, tails):
                    more = True
                    yield event


def _new_events(step: ShownStep, tails: dict[str, EventTail]) -> list[Event]:
    folder = step.folder  # each time: of another machine's run it brings what is new
    if step.id not in tails:
        tails[step.id] = EventTail(folder / "logs" / EVENTS)
    return tails[step.id].read()
