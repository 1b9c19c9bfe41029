"""Script processes and the GPUs of a node, by a list that is made up."""

from __future__ import annotations

import ctypes
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from running import OneNode, make_request, run_script

from daskrun.core.outcome import Status
from daskrun.engine.nodes import node_spec
from daskrun.script.keeper.gpu_memory import descriptions
from daskrun.script.keeper.spawn import Spawner
from daskrun.script.messages import Notice, ProcessUp
from daskrun.script.process.gpu_errors import is_out_of_gpu_memory

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("own_temporary_folder")

SCRIPT = """
import os
def run(mini_batch):
    with open({path!r}, "w") as file:
        file.write(os.environ["CUDA_VISIBLE_DEVICES"])
    return mini_batch
"""


@pytest.mark.parametrize(
    ("count", "told"),
    [
        (None, "GPU MIG-GPU-b630/1/0: process000; GPU GPU-8932: process001"),
        (1, "GPU MIG-GPU-b630/1/0: process000; GPU GPU-8932: no process"),
        (3, "GPU MIG-GPU-b630/1/0: process000, process002; GPU GPU-8932: process001"),
    ],
)
def test_each_gpu_has_a_process_unless_another_number_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int | None, told: str
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-GPU-b630/1/0,GPU-8932,-1,3")
    code = SCRIPT.format(path=str(tmp_path / "seen"))
    request = make_request(tmp_path, code, files=3, process_count_per_node=count)
    with OneNode(request) as node:
        up = node.wait_for(ProcessUp, count or 2)
        assert len(up) == (count or 2)
        of = {info.name: gpu for info, *_, gpu in up}
        assert of["process000"] == "MIG-GPU-b630/1/0"
        assert of.get("process001", "GPU-8932") == "GPU-8932"
        assert told in node.wait_for(Notice)
        node.run(0)
    assert (tmp_path / "seen").read_text() in ("MIG-GPU-b630/1/0", "GPU-8932")


def test_a_node_has_its_share_and_a_variable_of_the_config_is_left_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2,3")
    request = make_request(tmp_path, process_count_per_node=None)
    spec = node_spec(request, "node000", 2, ["1", "3"])
    assert Spawner(spec, 0).gpus_told == ["GPU 1: process000; GPU 3: process001"]
    assert len(Spawner(replace(spec, gpus=None), 0).names) == 4
    whole = replace(spec, environment={"CUDA_VISIBLE_DEVICES": "2,3"}, processes=1)
    assert Spawner(whole, 0).gpus_told == ["GPU 2: process000; GPU 3: process000"]
    none = replace(spec, environment={"CUDA_VISIBLE_DEVICES": ""}, processes=1)
    assert Spawner(none, 0).gpus_told == []


class Nvml:
    """NVIDIA's library, as far as it is asked, with one GPU."""

    def __init__(self, name: str) -> None:
        assert name == "libnvidia-ml.so.1"

    def nvmlInit_v2(self) -> int:
        return 0

    nvmlShutdown = nvmlInit_v2

    def nvmlDeviceGetHandleByIndex_v2(self, index: int, handle: object) -> int:
        return 0 if index == 0 else 6

    def nvmlDeviceGetHandleByUUID(self, uuid: bytes, handle: object) -> int:
        return 0 if uuid == b"GPU-8932" else 6

    def nvmlDeviceGetMemoryInfo(self, handle: object, memory: object) -> int:
        memory._obj.total, memory._obj.free = 80 << 30, 60 << 30
        return 0

    def nvmlDeviceGetName(self, handle: object, name: ctypes.Array, size: int) -> int:
        name.value = b"H100"
        return 0


def test_name_and_memory_are_told_where_the_library_is_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert descriptions(["0"], "libno-such-library.so") == {}
    monkeypatch.setattr(ctypes, "CDLL", Nvml)
    told = "H100, 80.0 GB, 60.0 free"
    assert descriptions(["0", "1", "GPU-8932", "MIG-1"]) == {"0": told, "GPU-8932": told}


def raised(module: str, name: str, text: str, base: type = RuntimeError) -> BaseException:
    return type(name, (base,), {"__module__": module})(text)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (raised("torch", "OutOfMemoryError", "Tried to allocate"), True),
        (raised("torch.cuda", "OutOfMemoryError", ""), True),
        (raised("cupy.cuda.memory", "OutOfMemoryError", "Out of memory", MemoryError), True),
        (
            raised("tensorflow.python.framework.errors_impl", "ResourceExhaustedError", "GPU:0"),
            True,
        ),
        (raised("tensorflow.python.framework.errors_impl", "ResourceExhaustedError", "CPU"), False),
        (raised("jaxlib.xla_extension", "XlaRuntimeError", "RESOURCE_EXHAUSTED: Out"), True),
        (raised("jaxlib.xla_extension", "XlaRuntimeError", "INVALID_ARGUMENT"), False),
        (raised("numba.cuda", "CudaAPIError", "[2] ... CUDA_ERROR_OUT_OF_MEMORY"), True),
        (MemoryError("std::bad_alloc: CUDA error: out of memory"), True),
        (raised("mine", "OutOfMemoryError", "of the host"), False),
        (MemoryError(), False),
    ],
)
def test_which_errors_mean_the_memory_of_a_gpu(error: BaseException, expected: bool) -> None:
    assert is_out_of_gpu_memory(error) is expected


def test_a_gpu_without_memory_is_told_as_that_with_a_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    code = """
    def run(mini_batch):
        raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
    """
    run = run_script(tmp_path, code, files=1, target="inline", run_max_try=1)
    [error] = run.report.errors
    assert error.status == Status.GPU_MEMORY
    assert "The memory of GPU 1 is used up. Write a smaller mini_batch_size" in error.message
