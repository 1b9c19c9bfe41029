"""What this node has: cores, GPUs, a container's memory limit."""

from __future__ import annotations

import contextlib
import os
from itertools import takewhile
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
)


def cores() -> int:
    """Cores this process may use: its affinity, or a container's share if that is less."""
    if hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    else:
        count = os.cpu_count() or 1
    with contextlib.suppress(OSError, ValueError):
        quota, period = (_CGROUP / "cpu.max").read_text().split()
        if quota != "max":
            count = min(count, max(1, int(int(quota) / int(period))))
    return count


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
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return visible_gpus(visible)
    with contextlib.suppress(OSError):
        return [str(n) for n, _ in enumerate(Path("/proc/driver/nvidia/gpus").iterdir())]
    return []


def processes_per_node(asked: int | None) -> int:
    """Script processes for a node: as asked, else one per GPU, else one per core."""
    return asked or len(gpus()) or cores()


def container_memory() -> int | None:
    """Memory limit of the container this process is in, in bytes; None without one."""
    with contextlib.suppress(OSError, ValueError):
        text = (_CGROUP / "memory.max").read_text().strip()
        return None if text == "max" else int(text)
    return None


def resident_memory(pid: int) -> int:
    """Resident memory of a process in bytes, 0 when it can't be read; without psutil's import."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    return 0
