"""The client's side of a driver on its cluster: which workers can host it, and its task's start."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from daskrun.engine.dask.connection import Connection
from daskrun.engine.dask.driver_host import ASK_LIMIT, host_driver, why_unable
from daskrun.errors import ComputeTargetException

if TYPE_CHECKING:
    from daskrun.core.intervals import Intervals

MODULE, NAME = host_driver.__module__, host_driver.__name__
CALL = partial(eval, f"__import__('{MODULE}', fromlist=['']).{NAME}(data)")
"""The task: builtins and text, as that of a bundle."""
ASKED_AT_ONCE = 10
"""Workers that are asked whether they could drive a run, before others are."""
ANSWER_LIMIT = ASK_LIMIT + 10.0
"""Seconds in which they do: one that is stopped does never."""
RETRIES = 10
"""Times that Dask has another worker try where the task itself has failed on one."""
PRIORITY = 100
"""Before all tasks that wait: it takes a thread for a moment only."""


class DriverTask:
    """What a cluster is asked of, for the driver of one run; a context manager.

    Raises StorageError where the scheduler can't be connected to.
    """

    def __init__(self, run_id: str, target: object, intervals: Intervals) -> None:
        self._connection = Connection(run_id, "", intervals.close_margin, intervals)
        self._key = f"daskrun-driver-{run_id}"
        self._limit = intervals.register_limit
        try:
            self._connection.connect(target)
        except BaseException:
            self._connection.close(quick=True)
            raise

    def __enter__(self) -> DriverTask:
        return self

    def __exit__(self, *_: object) -> None:
        # All that was sent is with the scheduler once the client has closed.
        self._connection.close(quick=False)

    def able(self, data: bytes) -> list[str]:
        """Return workers that can host the driver, a few of them; [] where there are none at all.

        Raises ComputeTargetException where there are workers, and none of them can.
        """
        client = self._connection.client
        known = list(client.scheduler_info(n_workers=-1)["workers"])

        async def ask(address: str) -> str:
            try:
                told = client._run(why_unable, data, workers=[address])
                return str((await asyncio.wait_for(told, ANSWER_LIMIT))[address])
            except TimeoutError:
                return f"it has not answered for {ANSWER_LIMIT:g} s"
            except Exception as error:  # noqa: BLE001  (no daskrun, or another one, or it has died)
                return f"{type(error).__name__}: {error}"

        async def ask_all(addresses: list[str]) -> list[str]:
            return list(await asyncio.gather(*map(ask, addresses)))

        answers: dict[str, str] = {}
        able: list[str] = []
        while not able and len(answers) < len(known):
            some = known[len(answers) : len(answers) + ASKED_AT_ONCE]
            answers.update(zip(some, client.sync(ask_all, some), strict=True))
            able = [address for address in some if not answers[address]]
        if answers and not able:
            address, why = next(iter(answers.items()))
            raise ComputeTargetException(
                f"no worker of {self._connection.address} can drive the run: {address}: {why}"
            )
        return able

    def start(self, data: bytes, workers: list[str]) -> None:
        """Have the scheduler run the task: first on one of these workers, then on any.

        Raises ComputeTargetException where it hasn't taken it in time.
        """
        from dask.task_spec import Task
        from distributed import fire_and_forget

        client, key = self._connection.client, self._key
        (future,) = client.get(
            {key: Task(key, CALL, {"data": data})},
            [key],
            sync=False,
            workers=workers or None,
            allow_other_workers=bool(workers) or None,
            retries=RETRIES,
            priority=PRIORITY,
        )
        try:
            self._await_taken()
            # Where all these workers are gone the task would wait for them, not for one that comes.
            lift = client.scheduler.set_restrictions
            client.sync(lift, worker={key: None}, callback_timeout=self._limit)
            fire_and_forget(future)
        except BaseException:
            with suppress(Exception):
                future.cancel(force=True)
            raise

    def _await_taken(self) -> None:
        deadline = time.monotonic() + self._limit
        while self._status() is None:  # what is wanted before it is known is forgotten
            if time.monotonic() > deadline:
                raise ComputeTargetException(
                    f"the Dask scheduler {self._connection.address} has not taken the driver's "
                    f"task within {self._limit:g} s"
                )
            time.sleep(0.05)

    def _status(self) -> str | None:
        client = self._connection.client
        asked = client.scheduler.get_task_status
        found: dict[Any, str | None] = client.sync(
            asked, keys=[self._key], callback_timeout=self._limit
        )
        return found.get(self._key)
