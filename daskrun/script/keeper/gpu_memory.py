"""What NVIDIA's library knows of GPUs; apart, as ctypes takes a while to load."""

from __future__ import annotations

import contextlib
import ctypes
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def descriptions(wanted: Sequence[str], library: str = "libnvidia-ml.so.1") -> dict[str, str]:
    """Return name and memory of GPUs, as far as NVIDIA's library for that is there and knows."""
    found: dict[str, str] = {}
    with contextlib.suppress(OSError, AttributeError):
        nvml = ctypes.CDLL(library)
        if nvml.nvmlInit_v2() == 0:
            for gpu in wanted:
                if (handle := _handle(nvml, gpu)) is not None and (told := _told(nvml, handle)):
                    found[gpu] = told
            nvml.nvmlShutdown()
    return found


def _handle(nvml: ctypes.CDLL, gpu: str) -> ctypes.c_void_p | None:
    handle = ctypes.c_void_p()
    if not gpu.isdecimal():
        if nvml.nvmlDeviceGetHandleByUUID(gpu.encode(), ctypes.byref(handle)) == 0:
            return handle
        return None
    if nvml.nvmlDeviceGetHandleByIndex_v2(int(gpu), ctypes.byref(handle)) == 0:
        return handle
    return None


class _Memory(ctypes.Structure):
    _fields_ = (
        ("total", ctypes.c_ulonglong),
        ("free", ctypes.c_ulonglong),
        ("used", ctypes.c_ulonglong),
    )


def _told(nvml: ctypes.CDLL, handle: ctypes.c_void_p) -> str:
    memory, name = _Memory(), ctypes.create_string_buffer(96)
    if nvml.nvmlDeviceGetMemoryInfo(handle, ctypes.byref(memory)):
        return ""
    nvml.nvmlDeviceGetName(handle, name, len(name))
    model = name.value.decode(errors="replace")
    whole, free = (size / 2**30 for size in (memory.total, memory.free))
    return f"{model}, {whole:.1f} GB, {free:.1f} free"
