"""Script processes and the GPUs of a node, by a list that is made up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from running import OneNode, make_request

from daskrun.script.messages import Notice, ProcessUp

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
        assert len(node.wait_for(ProcessUp, count or 2)) == (count or 2)
        assert told in node.wait_for(Notice)
        node.run(0)
    assert (tmp_path / "seen").read_text() in ("MIG-GPU-b630/1/0", "GPU-8932")
