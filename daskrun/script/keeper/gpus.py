"""The GPUs of a node: which it sees, and which of them are its own among its neighbours."""

from __future__ import annotations

import contextlib
import os
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

from daskrun.script.keeper.hardware import cores

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

VISIBLE = "CUDA_VISIBLE_DEVICES"


def visible_gpus(text: str) -> list[str]:
    """Return the GPUs that a value of ``CUDA_VISIBLE_DEVICES`` shows: numbers, UUIDs, MIG's names.

    As CUDA reads it: what is no device hides all that follow.

    Examples
    --------
    >>> visible_gpus("1, GPU-8932f937,MIG-GPU-b630/1/0")
    ['1', 'GPU-8932f937', 'MIG-GPU-b630/1/0']
    >>> visible_gpus("0,-1,1"), visible_gpus(""), visible_gpus("NoDevFiles")
    (['0'], [], [])
    """
    names = [name.strip() for name in text.split(",")]
    return list(takewhile(lambda n: n.isdecimal() or n.startswith(("GPU-", "MIG-")), names))


def gpus() -> list[str]:
    """Identify the GPUs this process may use, as ``CUDA_VISIBLE_DEVICES`` would."""
    visible = os.environ.get(VISIBLE)
    if visible is not None:
        return visible_gpus(visible)
    with contextlib.suppress(OSError):
        return [str(n) for n, _ in enumerate(Path("/proc/driver/nvidia/gpus").iterdir())]
    return []


def processes_per_node(asked: int | None, own: Sequence[str]) -> int:
    """Script processes for a node: as asked, else one per GPU of its own, else one per core."""
    return asked or len(own) or cores()


def shares(seen: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Divide GPUs among the nodes of one machine, by what each sees.

    One that comes first in a node's list is rather that node's: dask-cuda has each worker see all,
    beginning with its own. Where there are fewer than nodes, some nodes share one.

    Examples
    --------
    >>> shares({"a": ["0", "1", "2"], "b": ["1", "2", "0"]})
    {'a': ['0'], 'b': ['1', '2']}
    >>> shares({"a": ["0"], "b": ["0"], "c": []}), shares({"a": ["0", "1"], "b": ["2"]})
    ({'a': ['0'], 'b': ['0'], 'c': []}, {'a': ['0', '1'], 'b': ['2']})
    """
    owned: dict[str, list[str]] = {node: [] for node in seen}
    for gpu in dict.fromkeys(gpu for listed in seen.values() for gpu in listed):
        nodes = [node for node, listed in seen.items() if gpu in listed]
        owner = min(nodes, key=lambda node: (len(owned[node]), seen[node].index(gpu)))
        owned[owner].append(gpu)
    for place, (node, listed) in enumerate(seen.items()):
        if listed and not owned[node]:
            owned[node].append(listed[place % len(listed)])
    return owned
