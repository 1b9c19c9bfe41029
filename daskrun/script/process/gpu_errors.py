"""Errors of libraries that mean: the memory of a GPU is used up. None of them is imported here."""

from __future__ import annotations

import os

NAMES = {
    ("torch", "OutOfMemoryError"): "",
    ("cupy", "OutOfMemoryError"): "",
    ("tensorflow", "ResourceExhaustedError"): "GPU",
    ("jaxlib", "XlaRuntimeError"): "RESOURCE_EXHAUSTED",
    ("jax", "JaxRuntimeError"): "RESOURCE_EXHAUSTED",
    ("jaxlib", "JaxRuntimeError"): "RESOURCE_EXHAUSTED",
}
"""By package and class what the text must hold: some mean other memory too."""
WORDS = ("cuda out of memory", "cuda error: out of memory", "cuda_error_out_of_memory")
"""In the text of a RuntimeError or MemoryError of any library, and of numba's and pycuda's own."""


def is_out_of_gpu_memory(error: BaseException) -> bool:
    """Return whether an exception says that no more memory of a GPU could be had.

    Examples
    --------
    >>> is_out_of_gpu_memory(RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"))
    True
    >>> is_out_of_gpu_memory(MemoryError("no host memory"))
    False
    """
    try:
        text = str(error)
    except Exception:  # noqa: BLE001  (user code)
        return False
    for kind in type(error).__mro__:
        needed = NAMES.get((kind.__module__.partition(".")[0], kind.__name__))
        if needed is not None and needed in text:
            return True
    return any(words in text.lower() for words in WORDS)


def remedy() -> str:
    """Return what to write instead, as the end of a message."""
    which = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    gpu = f"GPU {which}" if which else "the GPU"
    return (
        f". The memory of {gpu} is used up. Write a smaller mini_batch_size, or fewer script "
        "processes for each GPU: process_count_per_node"
    )
