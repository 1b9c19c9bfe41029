"""A script process's side of the fetcher: wait for a mini-batch's files, give their room back.

They talk by names in a folder. For mini-batch ``<index>`` of a bundle: ``<bundle>/<index>/`` holds
its files, all of them; ``<index>.error`` says why they could not be had; ``<index>.done`` that the
script process needs them no more.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daskrun.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Sequence

_SHORTEST, _LONGEST = 0.001, 0.005
"""Seconds between two looks: little beside the latency of what is waited for."""


def labels(load: tuple[Any, ...]) -> tuple[str, ...]:
    """Name what is brought for a plain load: a file as it is called, parts of tables by number."""
    if load[0] == "files":
        return load[1:]
    if load[0] == "table":
        return tuple(str(number) for number in range(len(load[1])))
    return tuple(str(number) for number in range(len(load[2]))) if load[1] == "count" else ("0",)


class RemoteFiles:
    """The node-local folder that the fetcher fills."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self._folder = os.fspath(folder)

    def wait(
        self, bundle: int, index: int, names: Sequence[str], timeout: float | None = None
    ) -> list[str]:
        """Wait for the files of a mini-batch, and return their local paths.

        They are named ``names`` below the input's root. Without ``timeout`` (seconds) the keeper
        ends this process at ``load_timeout``. Raises DatasetError where a file can't be had;
        names its URL.
        """
        home = f"{self._folder}/{bundle}/{index}"
        deadline = None if timeout is None else time.monotonic() + timeout
        pause = _SHORTEST
        # os.access is the cheapest look there is; the folder appears by a rename, whole.
        while not os.access(home, os.F_OK):
            if os.access(f"{home}.error", os.F_OK):
                raise DatasetError(json.loads(Path(f"{home}.error").read_bytes())["message"])
            if deadline is not None and time.monotonic() > deadline:
                raise DatasetError(
                    f"the files of mini-batch {index} were not fetched within {timeout} s: "
                    f"{', '.join(names[:3])}{' …' if len(names) > 3 else ''}"
                )
            time.sleep(pause)
            pause = min(pause * 1.5, _LONGEST)
        return [f"{home}/{name}" for name in names]

    def release(self, bundle: int, index: int) -> None:
        """Remove the files of a mini-batch, and show that they are needed no more."""
        home = f"{self._folder}/{bundle}/{index}"
        with contextlib.suppress(OSError):  # the bundle may have been dropped meanwhile
            Path(f"{home}.done").touch()
        shutil.rmtree(home, ignore_errors=True)
