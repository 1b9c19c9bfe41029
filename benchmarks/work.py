"""The work of one mini-batch without daskrun: build the list of paths, call ``run()``."""

from __future__ import annotations

import os

from benchmarks.ground import SCRIPT

DATA = os.environ.get("DASKRUN_BENCHMARK_DATA", "")
"""Folder of the files: in the environment, so that no peer has to send it with each call."""

_names: dict[str, object] = {}
exec(SCRIPT, _names)
run = _names["run"]


def call(names: tuple[str, ...]) -> list[str]:
    """Do one mini-batch."""
    base = DATA + "/"
    return run([base + name for name in names])  # type: ignore[operator]
