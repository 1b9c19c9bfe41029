"""Mini-batches of local files as ``run()`` gets them.

Standard library only: script processes load it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path


class MiniBatchPaths(list[str]):
    """Local paths of a mini-batch's files: a plain list that knows its number.

    ``paths``: absolute. ``task_id``: index of the mini-batch in the run.

    Examples
    --------
    >>> mini_batch = MiniBatchPaths(["/data/0.png"], 7)
    >>> mini_batch, mini_batch.task_id
    (['/data/0.png'], 7)
    """

    __slots__ = ("task_id",)

    def __init__(self, paths: Iterable[str] = (), task_id: int = -1) -> None:
        super().__init__(paths)
        self.task_id = task_id


def load_files(root: str, names: Sequence[str], task_id: int) -> MiniBatchPaths:
    """Make the local paths of a mini-batch.

    Whether the files are there is not looked at: that costs more than anything else done for a
    mini-batch (9 of 20 µs for ten files), and the script finds out. See :func:`unreadable`.
    ``root``: absolute folder of the input; ``""`` when ``names`` are local paths already.
    ``names``: paths relative to it. ``task_id``: index of the mini-batch.
    """
    base = root if not root or root.endswith("/") else root + "/"
    return MiniBatchPaths([base + name for name in names], task_id)


def unreadable(paths: Iterable[str]) -> str | None:
    """Return which file of a mini-batch that failed can't be read and why; None when all can."""
    for path in paths:
        # the list has been in the script's hands, and may hold anything
        if isinstance(path, str) and "\0" not in path and not os.access(path, os.R_OK):
            return _why(path)
    return None


def _why(path: str) -> str:
    if not os.path.lexists(path):
        return f"the input file {path!r} is missing: it was there when the run was submitted."
    if not Path(path).exists():
        target = str(Path(path).readlink())
        return f"the input file {path!r} is a link to {target!r}, which is missing."
    return f"the input file {path!r} can't be read by the user of the script process."
