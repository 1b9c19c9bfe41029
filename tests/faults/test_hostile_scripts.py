"""Scripts that spoil their own process: the mini-batch that did it pays, and the others are done.

A mini-batch in hand is charged for its process's end until its outcome is safe.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from running import lines, run_script

from daskrun.core.events import Note, RunEnded
from daskrun.core.outcome import Status
from daskrun.core.report import RunStatus
from daskrun.engine.request import INLINE

pytestmark = pytest.mark.usefixtures("own_temporary_folder")

FILES, BAD = 12, 5
SCRIPT = """
import io, json, os, pickle, signal, socket, stat, sys, threading, time
def run(mini_batch, context):
    rows = [open(path).read() for path in mini_batch]
    if context.minibatch_index == {bad}:
        {do}
    return rows
"""

PAYS = {
    "closes all": "os.closerange(3, 65536)",
    "closes most": "os.closerange(3, 1024)",
    "closes each that is there": "[os.close(int(n)) for n in os.listdir('/proc/self/fd')[3:-1]]",
    "uses up descriptors": """
        import resource
        resource.setrlimit(resource.RLIMIT_NOFILE, (8, 4096)); os.closerange(900, 1024)""",
    "puts others in their place": """
        null = os.open("/dev/null", os.O_RDWR)
        for fd in map(int, os.listdir('/proc/self/fd')):
            try: fd > 2 and os.dup2(null, fd)
            except OSError: pass""",
    "puts a file in their place": """
        other = os.memfd_create("mine")
        for fd in map(int, os.listdir('/proc/self/fd')):
            try: stat.S_ISREG(os.fstat(fd).st_mode) and fd > 2 and os.dup2(other, fd)
            except OSError: pass""",
    "limits the size of files": """
        import resource
        resource.setrlimit(resource.RLIMIT_FSIZE, (5, 5))""",
    "an exception that can't be shown": """
        class Sly(Exception):
            def __str__(self): sys.exit(3)
        raise Sly""",
    "an exception with a method items": """
        class Sly(Exception):
            def items(self): return 1
        raise Sly""",
    "a name that is no path": "mini_batch[:] = ['\\0']; open(mini_batch[0])",
}
"""What costs the mini-batch that does it its attempt."""

NO_MATTER = {
    "os.write": "os.write = os.pwrite = os.read = os.pread = os.fdatasync = None",
    "os.fstat": "os.fstat = os.lseek = os.ftruncate = os.getpid = os.open = None",
    "time": "time.monotonic = time.time = time.perf_counter = lambda: 'now'",
    "the time stands still": "time.monotonic = time.time = lambda: 1e12",
    "json and pickle": "json.dumps = pickle.dumps = pickle.loads = None; pickle.Pickler = None",
    "streams": "sys.stdout = sys.stderr = None",
    "closes low ones": "os.closerange(3, 900)",
    "writes to low ones": """
        for fd in range(3, 900):
            try: os.write(fd, b'\\xff' * 100)
            except OSError: pass""",
    "writes to each file that is there": """
        import stat
        for fd in range(3, 1024):
            try:
                if not stat.S_ISFIFO(os.fstat(fd).st_mode): os.write(fd, b'\\0' * 10000)
            except OSError: pass""",
    "forgets modules": "sys.modules.clear()",
    "signals itself": """
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP): os.kill(os.getpid(), number)
        os.killpg(0, signal.SIGTERM)""",
}
"""What daskrun does not notice."""


@pytest.mark.parametrize("what", PAYS)
def test_who_spoils_the_process_pays_and_nobody_else(tmp_path: Path, what: str) -> None:
    code = SCRIPT.format(bad=BAD, do=PAYS[what])
    run = run_script(tmp_path, code, files=FILES, run_max_try=1)
    assert run.report.status is RunStatus.COMPLETED
    assert [o.index for o in run.attempts if o.status] == [BAD]
    assert run.output == lines([n for n in range(FILES) if n != BAD])


@pytest.mark.parametrize("what", NO_MATTER)
def test_what_the_script_replaces_or_writes_to_costs_nothing(tmp_path: Path, what: str) -> None:
    code = SCRIPT.format(bad=BAD, do=NO_MATTER[what])
    run = run_script(tmp_path, code, files=FILES, run_max_try=1)
    assert run.report.status is RunStatus.COMPLETED
    assert not [o for o in run.attempts if o.status]
    assert run.output == lines(range(FILES))


def test_who_writes_where_daskrun_talks_is_killed_at_once(tmp_path: Path) -> None:
    code = SCRIPT.format(
        bad=BAD,
        do="""
        for fd in map(int, os.listdir('/proc/self/fd')):
            try: fd > 2 and os.write(fd, b'\\xff' * 100)
            except OSError: pass
        time.sleep(60)""",
    )
    run = run_script(tmp_path, code, files=FILES, run_max_try=1)
    [failed] = [o for o in run.attempts if o.status]
    assert (failed.index, failed.status) == (BAD, Status.DIED)
    assert "it wrote to a descriptor that daskrun talks by" in failed.error.message
    assert run.output == lines([n for n in range(FILES) if n != BAD])


CHILDREN = {
    "Popen.terminate": """
        child = subprocess.Popen(["sleep", "60"]); child.terminate()
        assert child.wait(20) == -signal.SIGTERM""",
    "Pool.terminate, fork": "pool('fork')",
    "Pool.terminate, spawn": "pool('spawn')",
    "Pool.terminate, forkserver": "pool('forkserver')",
    "Ctrl-C": """
        child = subprocess.Popen([sys.executable, "-c", "print(1, flush=True); input()"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        child.stdout.readline(); child.send_signal(signal.SIGINT)
        assert b"KeyboardInterrupt" in child.communicate(timeout=20)[1]""",
    "a handler of its own": """
        signal.signal(signal.SIGTERM, lambda *_: os._exit(7))
        if (pid := os.fork()) == 0: time.sleep(60)
        os.kill(pid, signal.SIGTERM)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7""",
}


@pytest.mark.parametrize("what", CHILDREN)
def test_what_the_script_starts_can_be_ended_by_signals(tmp_path: Path, what: str) -> None:
    code = f"""
    import multiprocessing, os, signal, subprocess, sys, tempfile, time
    def pool(how):
        tempfile.tempdir = "/tmp"  # that of tests is too long for the socket of a fork server
        with multiprocessing.get_context(how).Pool(1) as made:
            made.apply_async(time.sleep, (60,))
    def run(mini_batch):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(os.getpid(), number)  # it goes on itself
        {CHILDREN[what]}
        return mini_batch
    """
    run = run_script(tmp_path, code, files=1, run_max_try=1, run_invocation_timeout=30)
    assert run.report.status is RunStatus.COMPLETED, run.report.errors


ENDS = {"killed": "time.sleep(60)", "exits": "os._exit(3)", "fails": "1 / 0"}


@pytest.mark.slow
@pytest.mark.parametrize("how", ENDS)
def test_shared_memory_goes_with_the_process_that_made_it(tmp_path: Path, how: str) -> None:
    code = f"""
    import os, time
    from multiprocessing.shared_memory import SharedMemory
    kept = []
    def run(mini_batch):
        kept.append(SharedMemory(create=True, size=1000))
        with open({str(tmp_path / "names")!r}, "a") as file:
            file.write(kept[-1].name + "\\n")
        {ENDS[how]}
    """
    run_script(tmp_path, code, files=1, run_max_try=2, run_invocation_timeout=0.5)
    names = (tmp_path / "names").read_text().split()
    assert len(names) == 2
    assert not [name for name in names if Path("/dev/shm", name).exists()]


@pytest.mark.parametrize(
    ("does", "told"),
    [
        ("1 / 0", "shutdown() failed in process000"),
        ("time.sleep(60)", "process000 was killed: shutdown() took longer than shutdown_timeout"),
        ("os.kill(os.getpid(), 9)", "process000 died in shutdown(): the script process was ended"),
    ],
)
def test_a_process_that_does_not_end_well_is_told_in_the_report(
    tmp_path: Path, does: str, told: str
) -> None:
    code = f"import os, time\ndef run(m): return m\ndef shutdown(): {does}"
    run = run_script(tmp_path, code, files=1, shutdown_timeout=0.5)
    assert run.report.status is RunStatus.COMPLETED
    [warning] = run.report.warnings
    assert told in warning
    assert run.watch.of(Note)[-1].text == warning
    assert type(run.watch.events[-1]) is RunEnded


def test_a_shutdown_that_fails_is_told_in_the_report_of_an_inline_run(tmp_path: Path) -> None:
    code = "def run(m): return m\ndef shutdown(): 1 / 0"
    run = run_script(tmp_path, code, files=1, target=INLINE)
    [warning] = run.report.warnings
    assert "shutdown() failed" in warning
    assert "1 / 0" in warning


ARGUMENTS = """
import argparse
parser = argparse.ArgumentParser("score")
parser.add_argument("--weights", required=True)
parser.parse_args()
"""
PRIVATE = "The working directory of a script process is a private, empty one"
BESIDE = "write Path(__file__).parent / 'labels.txt'."
ELSE = "or put the file beside the script and write Path(__file__).parent / 'in/none'."
REQUIRED = "score: error: the following arguments are required: --weights"
SAYS = {
    "argparse": (ARGUMENTS, f"SystemExit: 2. The last that was printed: {REQUIRED}"),
    "sys.exit": ("import sys\ndef init(): sys.exit('no model')", "SystemExit: no model (score.py"),
    "beside": (
        "def init(): open('labels.txt')",
        f"{PRIVATE}; the file is beside the entry script: {BESIDE}",
    ),
    "nowhere": ("def init(): open('in/none')", f"{PRIVATE}. Give an absolute path, {ELSE}"),
}


@pytest.mark.parametrize("what", SAYS)
def test_what_init_fails_by_is_said(tmp_path: Path, what: str) -> None:
    code, words = SAYS[what]
    code += "\ndef run(mini_batch): return mini_batch"
    run = run_script(tmp_path, code, files=1, extra={"labels.txt": "cat"})
    assert run.report.status is RunStatus.FAILED
    assert words in run.report.message
