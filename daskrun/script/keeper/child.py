"""A process that the keeper starts: what all of them have in common."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from daskrun.script import reaper
from daskrun.script.messages import KNOWN
from daskrun.script.wire import Unpacker, encode, pack, shared_memory, write_all
from daskrun.storage.folders import make_folder, open_kept

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import IO

    from daskrun.script.node_spec import NodeSpec

BOOT = (
    "import sys; sys.path[:] = [p for p in sys.path if p]; root = sys.argv[1]; "
    "sys.path += [] if root in sys.path else [root]; "
    "from daskrun.script.{module} import main; main()"
)
"""What a process of ours starts with; argv[1] is the folder that daskrun is in."""
PACKAGE_ROOT = str(Path(__file__).resolve().parents[3])


class Program(NamedTuple):
    """What a process runs in: the node's own Python, or that of script processes."""

    python: str = sys.executable
    root: str = PACKAGE_ROOT
    """Folder that daskrun is imported from there."""


NODES_OWN = Program()


def start(
    module: str,
    fds: Sequence[int],
    environment: Mapping[str, str],
    stdout: IO[bytes],
    stderr: IO[bytes],
    *,
    program: Program = NODES_OWN,
    folder: str | None = None,
) -> subprocess.Popen[bytes]:
    """Start ``main()`` of a module in a process that ends with this one.

    ``module`` is below ``daskrun.script``; the numbers of ``fds``, which it inherits, are its last
    arguments.
    """
    return subprocess.Popen(
        [program.python, "-c", BOOT.format(module=module), program.root, *map(str, fds)],
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        env=environment,
        cwd=folder,
        pass_fds=fds,
        start_new_session=True,
        preexec_fn=reaper.dies_with_parent(),
    )


def read_messages(fd: int, unpacker: Unpacker) -> tuple[list[Any], bool]:
    """Return what has been said on a pipe that does not block, and whether more may come."""
    found: list[Any] = []
    with contextlib.suppress(BlockingIOError):
        while data := os.read(fd, 65536):
            found += unpacker.feed(data)
        return found, False
    return found, True


def log_of(spec: NodeSpec, name: str) -> Path:
    """Return a file among the logs of a node's own processes."""
    return Path(spec.logs) / "sys" / "node" / spec.node / name


class Child:
    """A process of daskrun's own beside the script processes.

    It is ``told`` something first, in memory that it inherits, since that may hold secrets; its
    output goes to ``log``. It has the node's variables, or ``environment``. It ``talks`` to the
    keeper on a pipe, or else the keeper talks to it.
    """

    def __init__(
        self,
        spec: NodeSpec,
        module: str,
        log: Path,
        told: object,
        *,
        talks: bool = True,
        program: Program = NODES_OWN,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.log = log
        make_folder(log.parent)
        memory = shared_memory("daskrun-told")
        write_all(memory, encode(told))
        read_end, write_end = os.pipe()
        os.set_blocking(read_end, not talks)
        self.pipe, theirs = (read_end, write_end) if talks else (write_end, read_end)
        self._unpacker = Unpacker(KNOWN)
        environment = {**(environment or os.environ), reaper.MARK: spec.folder}
        with open_kept(log, "ab") as output:
            fds = memory, theirs
            self._popen = start(module, fds, environment, output, output, program=program)
        os.close(theirs)
        os.close(memory)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._popen.pid

    def read(self) -> tuple[list[Any], bool]:
        """Return what it has said, and whether it may say more."""
        return read_messages(self.pipe, self._unpacker)

    def tell(self, message: object) -> None:
        """Send it a message; that it is dead is noticed elsewhere."""
        with contextlib.suppress(BrokenPipeError):
            write_all(self.pipe, pack(message))

    def exit_code(self) -> int | None:
        """Return its exit code, None while it runs."""
        return self._popen.poll()

    def wait(self) -> int:
        """Wait for its end, and return its exit code."""
        return self._popen.wait()

    def end(self) -> None:
        """End it and all that it has started."""
        reaper.kill_all(lambda: reaper.descendants(self.pid))
        self._popen.kill()
        self._popen.wait()
        os.close(self.pipe)
