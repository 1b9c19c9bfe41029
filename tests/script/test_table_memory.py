import platform
import subprocess
import sys

import pytest

ROUNDS = """
import resource, sys
from daskrun.script.process.tables import _keep_memory

def mini_batch():
    return [b"x" * (1 << 20) for _ in range(4)]

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

if sys.argv[1] == "kept":
    _keep_memory()
mini_batch()
before = faults()
for _ in range(20):
    mini_batch()
print(faults() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="speaks of glibc's malloc")
def test_memory_of_a_mini_batch_is_kept_for_the_next():
    counts = {}
    for name in ("kept", "given back"):
        command = [sys.executable, "-c", ROUNDS, name]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        counts[name] = int(done.stdout)
    assert counts["given back"] > 10_000, "glibc does so by itself now: _keep_memory() can go"
    assert counts["kept"] < 200
