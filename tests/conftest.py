"""What all tests share."""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
import tempfile
from multiprocessing.util import Finalize
from typing import TYPE_CHECKING

import pytest
from forked import get_ready
from generated import RANDOM, examples
from hypothesis import settings
from s3 import bucket, public_bucket, s3_endpoint  # noqa: F401  (fixtures)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Tests start thousands of processes that import daskrun: compiled once, not in each of them.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# How long a store that fails is asked again by its own client differs between versions of botocore,
# 50 s or 10: that of the later ones for all, also in the processes that tests start.
os.environ.setdefault("AWS_RETRY_MODE", "standard")
# A slow machine is not a failure. DASKRUN_EXAMPLES=10 tries 33 times as many examples of generated
# data as usual, and others in each run: a failure prints how to have it again.
settings.register_profile(
    "daskrun",
    deadline=None,
    max_examples=examples(100),
    derandomize=not RANDOM,
    print_blob=True,
)
settings.load_profile("daskrun")

if "COVERAGE_PROCESS_CONFIG" in os.environ:
    from daskrun.script import node

    # Keepers start without site-packages, and so without what begins to measure elsewhere.
    node.KEEPER = (
        f"import sys; sys.path.append({sysconfig.get_path('purelib')!r}); "
        f"import coverage; coverage.process_startup(); {node.KEEPER}"
    )


def pytest_sessionfinish() -> None:
    """Keep what was measured now: xdist kills a process of tests that takes 10 s to end."""
    coverage = sys.modules.get("coverage")
    measuring = coverage.Coverage.current() if coverage is not None else None
    if measuring is not None:
        measuring.save()


if "PYTEST_XDIST_WORKER" in os.environ:
    # Tests look for what runs leave behind: each process of them has a temporary folder of its own.
    # A short name: sockets lie in it.
    tempfile.tempdir = tempfile.mkdtemp(prefix=os.environ["PYTEST_XDIST_WORKER"])
    os.chmod(tempfile.tempdir, 0o755)  # PostgreSQL's server is another user's
    os.environ["TMPDIR"] = tempfile.tempdir
    # after multiprocessing has removed its own from it, whose priority is -100
    Finalize(None, shutil.rmtree, (tempfile.tempdir, True), exitpriority=-200)

# What machines keep for later runs is the tests' own; what they start has it too.
os.environ["DASKRUN_CACHE"] = tempfile.mkdtemp(prefix="daskrun-tests-cache-")
Finalize(None, shutil.rmtree, (os.environ["DASKRUN_CACHE"], True), exitpriority=-100)

collect_ignore = ["azureml/accepted_names.py"]  # a program, which a test runs


@pytest.fixture(scope="module", autouse=True)
def no_working_copies() -> Iterator[None]:
    """Remove a module's copies of workspaces behind URLs, which a process keeps until its end.

    Tests of leftovers in a later module of the same process would find them.
    """
    yield
    module = sys.modules.get("daskrun.workspace.run_folders.working_copy")
    if module is not None:
        module.remove_copies()


@pytest.fixture(scope="session")
def forks() -> None:
    """Have processes forked that need not import Dask: see ``forked.py``."""
    get_ready()


@pytest.fixture
def own_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Have a test's nodes keep their folders, and a cache, in its own, so leftovers show."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setenv("DASKRUN_CACHE", str(tmp_path / "own-cache"))
    return folder
