"""The process that finds the Python of a node's script processes, or builds it.

Its keeper tells it what is asked in a file, and watches over its time; it answers on a pipe. What
is built is kept for every later run of this user on this machine that asks for the same.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from daskrun.script import reaper
from daskrun.script.environments.advice import advice, as_told
from daskrun.script.environments.packages import LEAST_PYTHON, contents, lacking
from daskrun.script.messages import Building, FindPython, Notice, PythonFound, Unprepared
from daskrun.script.signals import outlive_them
from daskrun.script.wire import pack, told_first, write_all
from daskrun.shown.url_secrets import shown_text
from daskrun.storage.durable import write_whole
from daskrun.storage.own_folders import cache_folder, make_own, safe_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

FOLDER = "DASKRUN_ENVIRONMENTS"
"""Environment variable of a node: where its environments are kept."""
MARKER = "daskrun.json"
"""In an environment's folder, written last: it is whole."""
LAYOUT = 1
"""Raised when environments that were built before are not to be used any more."""
MOST_SAID = 1 << 20
"""Characters of pip's output that reasons are looked for in."""
TAIL = 4000
"""Characters of pip's output that a failure tells."""
_NOT_PASSED = ("PYTHONPATH", "PYTHONHOME", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT")
"""Variables by which pip would find, or put, packages outside the environment."""
_PROBE = """
import json, sys
try:
    from importlib import metadata
except ImportError:
    metadata = None
found = {}
for name in sys.argv[1:]:
    try:
        found[name] = metadata.version(name)
    except Exception:
        found[name] = None
print(json.dumps([list(sys.version_info[:2]), found]))
"""


class CanNotPrepare(Exception):  # noqa: N818  (told, in words for the user)
    """There is no Python for the script processes, and why."""


def main() -> None:
    """Answer with the path of an interpreter, or with the reason why there is none."""
    outlive_them()  # of pip's children some are code of the packages'
    memory, out = map(int, sys.argv[-2:])

    def tell(message: object) -> None:
        with contextlib.suppress(BrokenPipeError):  # the keeper is gone, and this process with it
            write_all(out, pack(message))

    try:
        tell(PythonFound(find(told_first(memory, out), tell)))
    except CanNotPrepare as error:
        tell(Unprepared(str(error)))


def find(task: FindPython, tell: Callable[[object], None]) -> str:
    """Return the interpreter for the script processes.

    Raises
    ------
    CanNotPrepare
        With the reason.
    """
    asked = task.asked
    if asked.python is not None:
        return _existing(task, asked.python)
    missing = lacking(asked.requirements)
    if not missing:
        tell(Notice(f"environment {asked.name!r}: the node's own Python has all of it"))
        return sys.executable
    lines = sorted({*asked.requirements, *asked.needs})
    try:
        folder = environments_folder(lambda text: tell(Notice(text))) / identity(lines)
        make_own(folder.parent)
        with _locked(folder, lambda: tell(Building(stage="another process builds it"))):
            if is_whole(folder):
                tell(Notice(f"environment {asked.name!r} is there already, in {folder}"))
            else:
                tell(Building(str(folder)))
                _build(task, lines, folder)
    except OSError as error:
        raise CanNotPrepare(
            f"environment {asked.name!r} can't be built on {task.node}: {error}. It needs "
            f"{', '.join(missing)}. The environment variable {FOLDER} of a node names another "
            "folder to build in."
        ) from error
    return str(python_of(folder))


def environments_folder(say: Callable[[str], object] | None = None) -> Path:
    """Return the folder that this user's environments are in on this machine.

    It is one that nobody else can put a Python into; ``say`` is told where that is another one.
    """
    if named := os.environ.get(FOLDER):
        return safe_folder(Path(named), say)
    return cache_folder(say) / "environments"


def identity(lines: list[str]) -> str:
    """Name an environment by what it is made of."""
    python = [sys.version, sys.base_prefix, platform.machine(), str(LAYOUT), contents(lines)]
    return hashlib.sha256("\n".join(python).encode()).hexdigest()[:32]


def python_of(folder: Path) -> Path:
    """Return the interpreter of an environment."""
    return folder / "bin" / "python"


def is_whole(folder: Path) -> bool:
    """Return whether an environment is there, and what it is based on."""
    return (folder / MARKER).exists() and python_of(folder).exists()


def remove_half(folder: Path) -> None:
    """Remove what a builder that was killed has left, unless another has begun again."""
    with contextlib.suppress(OSError), _lock_file(folder) as fd:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not is_whole(folder):
            shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _lock_file(folder: Path) -> Iterator[int]:
    fd = os.open(folder.with_name(f"{folder.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        yield fd
    finally:
        os.close(fd)


@contextlib.contextmanager
def _locked(folder: Path, wait: Callable[[], object]) -> Iterator[None]:
    """Hold the lock of an environment; it ends with this process, however that ends."""
    with _lock_file(folder) as fd:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            wait()
            fcntl.flock(fd, fcntl.LOCK_EX)  # the keeper's limit ends the wait
        yield


def _build(task: FindPython, lines: list[str], folder: Path) -> None:
    """Make an environment; what is there before is what a builder that was killed has left."""
    began = time.monotonic()
    shutil.rmtree(folder, ignore_errors=True)
    own_pip = importlib.util.find_spec("pip") is not None
    try:
        bare = ["--without-pip"] if own_pip else []
        # -P: else they would import what lies in the driver's current folder, which may be /tmp
        _call(task, [sys.executable, "-P", "-m", "venv", *bare, str(folder)])
        wanted = folder / "requirements.txt"
        wanted.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        python = str(python_of(folder))
        pip = [sys.executable, "-P", "-m", "pip", "--python", python]
        by = pip if own_pip else [python, "-P", "-m", "pip"]
        quiet = ["--no-input", "--disable-pip-version-check", "--progress-bar=off"]
        _call(task, [*by, "install", *quiet, "-r", str(wanted)])
        made = {"requirements": lines, "python": sys.version, "seconds": time.monotonic() - began}
        write_whole(folder / MARKER, json.dumps({**made, "created": time.time()}).encode())
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _call(task: FindPython, command: list[str]) -> None:
    """Run a command that writes to the log; tell the end of that where it fails."""
    environment = {k: v for k, v in os.environ.items() if k not in _NOT_PASSED}
    environment |= {"PIP_USER": "0", "TMPDIR": task.temporary}
    with Path(task.log).open("ab") as log:
        code = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment,
            check=False,
            preexec_fn=reaper.dies_with_parent(),
        ).returncode
    if code:
        asked, said = task.asked, tail(task.log)
        hint = advice(tail(task.log, MOST_SAID), asked.requirements, asked.needs)
        raise CanNotPrepare(
            f"environment {asked.name!r} could not be built on {task.node}: {command[3]} "
            f"ended with code {code}. {f'{hint} ' if hint else ''}The end of what it said, the "
            f"rest is in {task.log}:\n{as_told(said, asked.needs)}"
        )


def tail(log: str | Path, size: int = TAIL) -> str:
    """Return the end of a log, from the beginning of a line."""
    text = ""
    with contextlib.suppress(OSError):
        text = Path(log).read_text(encoding="utf-8", errors="backslashreplace").strip()
    text = shown_text(text)
    return text if len(text) <= size else text[-size:].partition("\n")[2] or text[-size:]


def _existing(task: FindPython, python: str) -> str:
    """Return an interpreter that is there, if script processes can run in it."""
    asked, found = task.asked, shutil.which(python)
    said = f"environment {asked.name!r}: " if asked.name else ""
    if found is None:
        raise CanNotPrepare(
            f"{said}there is no interpreter {python} on {task.node} ({platform.node()}). Write "
            "the path of one that every node has, or leave it out for the node's own."
        )
    path = Path(found).absolute()
    names = [line.partition(">")[0] for line in asked.needs]
    environment = {k: v for k, v in os.environ.items() if k not in _NOT_PASSED}
    answer = subprocess.run(
        [str(path), "-c", _PROBE, *names],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="backslashreplace",
        env=environment,
        cwd=task.temporary,
        check=False,
        preexec_fn=reaper.dies_with_parent(),
    )
    try:
        version, versions = json.loads(answer.stdout.splitlines()[-1])
    except (ValueError, IndexError):
        raise CanNotPrepare(
            f"{said}{path} on {task.node} is no Python that works (code {answer.returncode}): "
            f"{answer.stderr.strip()[-TAIL:]}"
        ) from None
    if problem := _unfit(path, version, versions, asked.needs):
        raise CanNotPrepare(f"{said}{path} on {task.node} {problem}")
    return str(path)


def _unfit(
    path: Path, version: list[int], versions: dict[str, str | None], needs: Iterable[str]
) -> str:
    """Return what an interpreter lacks; ``""`` where that is nothing."""
    from packaging.requirements import Requirement

    if tuple(version) < LEAST_PYTHON:
        least = ".".join(map(str, LEAST_PYTHON))
        return f"is Python {version[0]}.{version[1]}; daskrun needs {least} or later."
    missing = []
    for each in map(Requirement, needs):
        there = versions[each.name]
        if there is None or not each.specifier.contains(there, prereleases=True):
            missing.append(str(each))
    if not missing:
        return ""
    asked = " ".join(f"'{each}'" for each in missing)
    return f"lacks what this run needs. Install it there: {path} -m pip install {asked}"
