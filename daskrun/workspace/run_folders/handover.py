"""That a run is driven by processes of its own, one after the other, and which these were."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from daskrun.core.codec import from_record, record, to_record
from daskrun.core.json_text import parsed
from daskrun.errors import StorageError
from daskrun.storage.durable import read_file, write_whole

if TYPE_CHECKING:
    from pathlib import Path

FILE = "detached.json"
"""In the folder of a pipeline's run. Who has the run's lock writes it."""
MOST_KEPT = 20
"""Drivers that are kept, the last ones."""


@record
@dataclass(frozen=True, slots=True)
class DriverBegan:
    """That a process has begun to drive the run."""

    host: str
    pid: int
    time: float
    """Seconds since the epoch."""
    done: int
    """Attempts that were in the journals, and steps that were Completed."""
    worker: str = ""
    """Address of the Dask worker that it is a child of; ``""``: of none."""

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


@record
@dataclass(frozen=True, slots=True)
class Handover:
    """Who drives a run whose driver is a process of its own."""

    at: str
    """The scheduler's address; ``""``: this machine, where no other process takes over."""
    time: float
    """When it was handed over, in seconds since the epoch."""
    limit: float
    """Seconds for which the run may be without a driver before it counts as lost."""
    drivers: tuple[DriverBegan, ...] = ()

    @property
    def last(self) -> float:
        """When something was noted last."""
        return max([self.time, *(each.time for each in self.drivers)])

    @property
    def waits(self) -> bool:
        """Whether a driver is to come: the first, or on a cluster also another."""
        return bool(self.at) or not self.drivers

    def with_driver(self, worker: str, done: int) -> Handover:
        """Return it with this process as the next driver."""
        own = DriverBegan(os.uname().nodename, os.getpid(), time.time(), done, worker)
        return replace(self, drivers=(*self.drivers, own)[-MOST_KEPT:])

    def stuck(self, most: int, done: int) -> bool:
        """Return whether the last ``most`` drivers have got no further."""
        last = self.drivers[-most:]
        return len(last) == most and all(each.done == done for each in last)


def read(folder: Path) -> Handover | None:
    """Return what is kept in a run's folder; None where it is driven by who submitted it.

    Raises StorageError where it can't be read.
    """
    try:
        return from_record(Handover, parsed(read_file(folder / FILE)), known_only=True)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise StorageError(f"{folder / FILE} can't be read: {error}") from error


def write(folder: Path, value: Handover) -> None:
    """Keep it in a run's folder; OSError where that can't be."""
    write_whole(folder / FILE, json.dumps(to_record(value)).encode())
