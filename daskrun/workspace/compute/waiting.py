"""Waiting until a cluster that was attached answers, and has workers."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING, Any, TypeVar

from daskrun.errors import ComputeTargetException, SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from daskrun.core.intervals import Intervals

ANSWER_LIMIT = 10.0
"""Seconds in which a scheduler says which workers it has."""
N = TypeVar("N", int, float)


def number(name: str, value: object, kind: Callable[[Any], N]) -> N:
    """Return an argument as a number; it may be text, as environment variables are."""
    try:
        found = kind(value)
    except (TypeError, ValueError):
        found = kind(-1)
    if not found >= kind(0):
        problem = f"{name}={value!r} is not a number from 0 on. Write {name}=4, or leave it out."
        raise SettingsError("wait_for_completion", [problem])
    return found


def wait_for_scheduler(name: str, address: str, deadline: float) -> None:
    """Wait until a scheduler answers; ComputeTargetException after the deadline."""
    host, _, port = str(address).partition("://")[2].rpartition(":")
    while True:
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
        except OSError as error:
            if time.monotonic() >= deadline:
                raise ComputeTargetException(
                    f"compute target {name!r}: nothing answers at {address} ({error}). "
                    "Start the Dask scheduler, or attach the address it has."
                ) from error
            time.sleep(min(1, max(0.05, deadline - time.monotonic())))
        else:
            return


def wait_for_workers(
    name: str, target: object, count: int, deadline: float, intervals: Intervals
) -> None:
    """Wait until a cluster has so many workers; ComputeTargetException after the deadline."""
    from daskrun.engine.dask.connection import Connection  # distributed takes long to import

    connection = Connection(name, "", ANSWER_LIMIT, intervals)
    try:
        connection.connect(target)
        while (there := _workers_of(connection.client)) < count:
            if time.monotonic() >= deadline:
                raise ComputeTargetException(
                    f"compute target {name!r} has {there} workers at the end of the wait, "
                    f"less than min_node_count={count}. Start more: dask worker "
                    f"{connection.address}"
                )
            time.sleep(min(0.5, max(0.05, deadline - time.monotonic())))
    except OSError as error:  # also: the scheduler has gone, or answers too late
        raise ComputeTargetException(f"compute target {name!r}: {error}") from error
    finally:
        connection.close(quick=True)


def _workers_of(client: Any) -> int:
    """Count the workers of a scheduler; TimeoutError where it doesn't answer."""
    ncores = client.scheduler.ncores
    return len(client.sync(ncores, workers=None, callback_timeout=ANSWER_LIMIT))
