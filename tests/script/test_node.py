"""One node: a real keeper and real script processes, their bundles, their limits and their ends."""

from __future__ import annotations

import json
import os
import pickle
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from running import (
    END,
    SLACK,
    OneNode,
    alive,
    keepers,
    left_behind,
    lines,
    make_request,
    marked_processes,
    wait_for,
    wait_until_nothing_is_left,
)

from daskrun.core.events import BundleLost, BundleReturned
from daskrun.core.outcome import Status
from daskrun.engine.nodes import node_spec
from daskrun.script import node as node_module
from daskrun.script.messages import (
    BundleGone,
    KeeperLost,
    Notice,
    Preparing,
    ProcessInitFailed,
    ProcessUp,
    RunBundle,
    ShutdownFailed,
    SlotsUp,
)
from daskrun.script.node_folders import base_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.usefixtures("own_temporary_folder")

FAULTY = """
import ctypes, os, sys, time
def run(mini_batch, context):
    n = context.minibatch_index
    if n == 3: time.sleep(60)
    if n == 4: ctypes.PyDLL(None).sleep(60)
    if n == 5: os._exit(9)
    if n == 6: ctypes.string_at(0)
    return [open(path).read() for path in mini_batch]
"""


@pytest.fixture(autouse=True)
def nothing_is_left(own_temporary_folder: Path) -> Iterator[None]:
    yield
    assert wait_until_nothing_is_left() == []


def rows(node: OneNode, event: BundleReturned) -> bytes:
    """Read what the outcomes say was written."""
    assert event.process is not None
    path = Path(node.node._spec.process.parts) / event.process.part
    data = path.read_bytes()
    return b"".join(data[o.offset : o.offset + o.length] for o in event.outcomes if not o.status)


def test_a_bundle_is_done_in_order_and_written_to_one_part(tmp_path: Path) -> None:
    with OneNode(make_request(tmp_path)) as node:
        first, second = node.run(0, 1, 2), node.run(5, 4)
        assert [(o.index, o.attempt, o.status) for o in first.outcomes] == [
            (0, 1, 0),
            (1, 1, 0),
            (2, 1, 0),
        ]
        assert [o.offset for o in first.outcomes + second.outcomes] == [0, 2, 4, 6, 8]
        assert rows(node, first) == lines(range(3))
        assert rows(node, second) == b"5\n4\n"
        assert first.process == second.process
        assert first.process.name == "process000"
        assert first.process.part.startswith("node000-process000-")
        [up] = node.wait_for(SlotsUp)
        assert up == 1
        [(info, seconds, *_)] = node.wait_for(ProcessUp)
        assert info[2] == first.process.pid
        assert seconds >= 0


def test_what_the_budget_leaves_comes_back_unstarted(tmp_path: Path) -> None:
    code = "import time\ndef run(m):\n    time.sleep(0.2)\n    return m\n"
    with OneNode(make_request(tmp_path, code)) as node:
        event = node.run(0, 1, 2, 3, 4, 5, 6, 7, budget=0.3)
        assert [o.index for o in event.outcomes] == [0, 1]


@pytest.mark.parametrize(
    ("culprit", "status", "words"),
    [
        (3, Status.TIMED_OUT, "run() took longer than run_invocation_timeout=0.5 s"),
        (4, Status.TIMED_OUT, "run() took longer than run_invocation_timeout=0.5 s"),
        (5, Status.DIED, "ended by itself with exit code 9"),
        (6, Status.DIED, "ended by SIGSEGV"),
    ],
)
def test_the_one_that_was_running_is_blamed_and_what_was_done_counts(
    tmp_path: Path, culprit: int, status: Status, words: str
) -> None:
    request = make_request(tmp_path, FAULTY, run_invocation_timeout=0.5)
    with OneNode(request) as node:
        event = node.run(0, 1, culprit, 7, 8, attempt=2)
        assert [(o.index, o.attempt, o.status) for o in event.outcomes] == [
            (0, 2, 0),
            (1, 2, 0),
            (culprit, 2, status),
        ]
        assert rows(node, event) == lines(range(2))
        failed = event.outcomes[-1]
        assert failed.items == 1
        assert words in failed.error.message
        assert failed.error.peak_memory > 2**20
        assert f"pid {event.process.pid}" in failed.error.text
        if status == Status.TIMED_OUT:  # where it hung: every thread's stack
            assert "score.py" in failed.error.stderr
            assert 0.5 <= failed.run_seconds < 0.5 + SLACK
        after = node.run(7, 8)  # the replacement
        assert [o.status for o in after.outcomes] == [0, 0]
        assert after.process.pid != event.process.pid
        assert after.process.name == event.process.name
        assert after.process.part != event.process.part


FORKS = {
    "sys.exit": "sys.exit(0)",
    "a text": "sys.exit('a copy ends')",
    "an exception": "raise ValueError('a copy ends')",
    "a return": "return ['a copy']",
}


@pytest.mark.parametrize("end", FORKS)
def test_a_copy_that_run_forks_does_not_go_on_with_the_bundle(tmp_path: Path, end: str) -> None:
    code = f"""
    import os, sys
    def run(m, context):
        if context.minibatch_index == 1:
            pid = os.fork()
            if pid == 0:
                {FORKS[end]}
            print("ended with", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        return [open(path).read() for path in m]
    """
    with OneNode(make_request(tmp_path, code)) as node:
        for indices in ((0, 1, 2), (3, 4)):
            event = node.run(*indices)
            assert [(o.index, o.status) for o in event.outcomes] == [(n, 0) for n in indices]
            assert rows(node, event) == b"".join(b"%d\n" % n for n in indices)
        expected = "1" if end in ("a text", "an exception") else "0"
        assert node.log("user/stdout/node000/*").split("ended with ")[1].strip() == expected
        if expected == "1":
            assert "a copy ends" in node.log("user/stderr/node000/*")


def test_a_copy_that_init_or_shutdown_forks_ends_there(tmp_path: Path) -> None:
    code = """
    import os
    def fork(name):
        pid = os.fork()
        if pid:
            print(name, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    def init(): fork("init")
    def run(m): return m
    def shutdown(): fork("shutdown")
    """
    with OneNode(make_request(tmp_path, code)) as node:
        assert [o.status for o in node.run(0, 1).outcomes] == [0, 0]
        assert len(node.wait_for(ProcessUp)) == 1
        node.node.close()
        assert node.log("user/stdout/node000/*").split("\n")[:3] == [
            "init 0",
            "shutdown 0",
            "",
        ]


@pytest.mark.slow
def test_processes_do_not_disturb_each_other(tmp_path: Path) -> None:
    request = make_request(
        tmp_path, FAULTY, files=20, process_count_per_node=2, run_invocation_timeout=1
    )
    with OneNode(request) as node:
        node.wait_for(ProcessUp, 2)
        events: dict[int, BundleReturned] = {}

        def send(culprit: int, *others: int) -> None:
            events[culprit] = node.run(culprit, *others)

        threads = [threading.Thread(target=send, args=(n, n + 10)) for n in (4, 6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(SLACK)
        assert {o.index for e in events.values() for o in e.outcomes} == {4, 6}


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_process_that_is_killed_or_stopped_from_outside(tmp_path: Path, number: int) -> None:
    code = "import time\ndef run(m):\n    time.sleep(0.6)\n    return m\n"
    with OneNode(make_request(tmp_path, code, run_invocation_timeout=1.2)) as node:
        [(info, *_)] = node.wait_for(ProcessUp)
        timer = threading.Timer(0.3, os.kill, (info[2], number))
        timer.start()
        event = node.run(0, 1)
        [outcome] = event.outcomes
        expected = Status.DIED if number == signal.SIGKILL else Status.TIMED_OUT
        assert (outcome.index, outcome.status) == (0, expected)
        assert [o.status for o in node.run(0, 1).outcomes] == [0, 0]


def test_a_process_killed_while_idle_charges_nobody(tmp_path: Path) -> None:
    with OneNode(make_request(tmp_path)) as node:
        first = node.run(0)
        os.kill(first.process.pid, signal.SIGKILL)
        node.wait_for(ProcessUp, 2)
        second = node.run(1, 2)
        assert [o.status for o in second.outcomes] == [0, 0]
        assert second.process.pid != first.process.pid


@pytest.mark.slow
def test_a_process_that_dies_before_it_begins_returns_nothing_of_the_bundle_before(
    tmp_path: Path,
) -> None:
    request = make_request(tmp_path, progress_update_timeout=0.5)
    with OneNode(request) as node:
        first = node.run(0, 1)
        os.kill(first.process.pid, signal.SIGSTOP)  # it never takes the next one
        second = node.run(2, 3)
        assert second.process.pid == first.process.pid
        assert second.outcomes == ()
        [note] = node.wait_for(Notice)
        assert note == (
            "process000 was killed: it showed no progress between two mini-batches for longer than "
            "progress_update_timeout=0.5 s"
        )
        third = node.run(2, 3)
        assert [(o.index, o.status) for o in third.outcomes] == [(2, 0), (3, 0)]
        assert rows(node, third) == b"2\n3\n"


NO_SYNC = """
import errno, os
from daskrun.output.parts import part
real = part.sync_data
def init():
    def bad(fd):
        part.sync_data = real
        {how}
    if {when}:
        part.sync_data = bad
def run(m, context):
    return [] if context.minibatch_index == 2 else [open(path).read() for path in m]
"""


def test_rows_that_can_not_be_put_on_the_disk_cost_no_attempt(tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    code = NO_SYNC.format(
        how="raise OSError(errno.EDQUOT, 'Disk quota exceeded')",  # as NFS tells: once
        when=f"not os.path.exists({str(seen)!r}) and not open({str(seen)!r}, 'w').close()",
    )
    with OneNode(make_request(tmp_path, code)) as node:
        event = node.run(0, 1, 2)
        assert [(o.index, o.status) for o in event.outcomes] == [(2, 0)]
        assert f"{event.process.part}: Disk quota exceeded. The quota is used up" in event.trouble
        again = node.run(0, 1)  # by another: the part is not written to again
        assert [o.status for o in again.outcomes] == [0, 0]
        assert again.process.pid != event.process.pid
        assert again.process.part != event.process.part
        assert rows(node, again) == lines(range(2))
        assert again.trouble == ""
        assert node._told(ProcessInitFailed, 1) == []


def test_rows_of_a_process_that_died_while_they_were_synced_are_made_again(tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    code = NO_SYNC.format(
        how="os._exit(7)",
        when=f"not os.path.exists({str(seen)!r}) and not open({str(seen)!r}, 'w').close()",
    )
    with OneNode(make_request(tmp_path, code)) as node:
        assert [(o.index, o.status) for o in node.run(0, 2, 1).outcomes] == [(2, 0)]
        [note] = node.wait_for(Notice)
        assert "died while the disk or store was asked to keep it" in note
        assert rows(node, node.run(0, 1)) == lines(range(2))


def test_one_that_ends_its_process_before_its_rows_are_kept_is_charged(tmp_path: Path) -> None:
    with OneNode(make_request(tmp_path, NO_SYNC.format(how="os._exit(7)", when="True"))) as node:
        several = node.run(0, 2, 1)
        assert [(o.index, o.status) for o in several.outcomes] == [(2, 0)]
        assert several.alone == (0, 1)  # one of them
        [died] = node.run(0, attempt=2).outcomes
        assert (died.index, died.attempt, died.status) == (0, 2, Status.DIED)
        assert "exit code 7" in died.error.message
        assert node._told(ProcessInitFailed, 1) == []


def test_time_outs_of_sockets_are_not_the_links(tmp_path: Path) -> None:
    # the link would seem to be closed, and the keeper's end be waited for in vain
    code = "import time\ndef run(m):\n    time.sleep(0.2)\n    return m\n"
    socket.setdefaulttimeout(0.05)
    try:
        with OneNode(make_request(tmp_path, code)) as node:
            assert [o.status for o in node.run(0).outcomes] == [0]
            assert node._told(KeeperLost, 1) == []
    finally:
        socket.setdefaulttimeout(None)


@pytest.mark.slow
def test_a_process_that_has_nothing_left_to_do_ends_soon(tmp_path: Path) -> None:
    code = """
    import threading, time
    def run(m): return m
    def shutdown(): threading.Thread(target=time.sleep, args=(60,), name="busy").start()
    """
    with OneNode(make_request(tmp_path, code)) as node:
        node.run(0)
        began = time.monotonic()
        node.node.close()
        assert time.monotonic() - began < 2 + SLACK
        [waited] = node.wait_for(Preparing)
        assert waited == (
            "waiting for script processes to end: process000, which has nothing left to do, held "
            "up by its threads 'busy'"
        )
        [note] = node.wait_for(Notice)
        assert (
            "it had not ended 2 s after it had nothing left to do, held up by its threads 'busy'"
            in note
        )


def test_rows_of_a_dead_process_that_the_keeper_can_not_sync_are_made_again(
    tmp_path: Path,
) -> None:
    code = """
    import glob, os
    def run(m, context):
        if context.minibatch_index == 1:
            [part] = glob.glob(os.environ["DASKRUN_OUTPUT_PATH"] + "/_daskrun/run1/*")
            os.unlink(part)
            os._exit(7)
        return m
    """
    with OneNode(make_request(tmp_path, code)) as node:
        event = node.run(0, 1)
        assert [(o.index, o.status) for o in event.outcomes] == [(1, Status.DIED)]
        [note] = node.wait_for(Notice)
        assert "may not have been kept, and is made again: [Errno 2]" in note


@pytest.mark.slow
@pytest.mark.parametrize("limit", [None, 150 * 2**20])
def test_processes_that_die_right_after_init_are_failures_of_init_and_come_slower(
    tmp_path: Path, limit: int | None
) -> None:
    end = "os._exit(7)" if limit is None else "eaten.append(b'x' * 2**28)"
    code = f"""
    import os, threading, time
    eaten = []
    def end():
        time.sleep(0.1)
        {end}
    def init(): threading.Thread(target=end, daemon=True).start()
    def run(m): return m
    """
    with OneNode(make_request(tmp_path, code, process_memory_limit=limit)) as node:
        began = time.monotonic()
        told = node.wait_for(ProcessInitFailed, 4)
        assert time.monotonic() - began >= 0.1 + 0.2 + 0.4
        assert len({info[2] for info, _ in told}) == len(told)
        words = "ended by itself with exit code 7" if limit is None else "process_memory_limit is"
        for _, error in told:
            assert words in error.message
            assert "right after init(), before it had returned anything" in error.message


def test_a_process_that_dies_after_it_has_returned_something_is_replaced_at_once(
    tmp_path: Path,
) -> None:
    with OneNode(make_request(tmp_path)) as node:
        for times in range(1, 4):
            node.wait_for(ProcessUp, times)
            os.kill(node.run(0).process.pid, signal.SIGKILL)
        node.wait_for(ProcessUp, 4)
        assert [o.status for o in node.run(0).outcomes] == [0]
        assert node._told(ProcessInitFailed, 1) == []


def test_a_script_that_eats_memory_is_killed_at_its_limit(tmp_path: Path) -> None:
    code = """
    import time
    def run(m):
        eaten = []
        while True:
            eaten.append(b"x" * 2**24)
            time.sleep(0.002)
    """
    with OneNode(make_request(tmp_path, code, process_memory_limit=200 * 2**20)) as node:
        [outcome] = node.run(0, 1).outcomes
        assert (outcome.index, outcome.status) == (0, Status.OUT_OF_MEMORY)
        assert "process_memory_limit is 200 MB" in outcome.error.message
        assert outcome.error.peak_memory > 200 * 2**20


@pytest.mark.parametrize(
    ("code", "message", "where"),
    [
        (
            "def init(): raise ValueError('no model')\ndef run(m): return m",
            "no model",
            "score.py:1",
        ),
        ("import no_such_module", "No module named 'no_such_module'", "score.py:1"),
        ("def run(m:\n", "SyntaxError", "score.py:1"),
        ("x = 1", "no function run(mini_batch)", ""),
        ("import sys\nsys.exit(5)", "SystemExit: 5", "score.py:2"),
        ("import os\nos._exit(5)", "ended by itself with exit code 5", ""),
        ("import ctypes\nctypes.string_at(0)", "SIGSEGV", ""),
    ],
)
def test_an_init_that_fails_is_told_with_the_users_error(
    tmp_path: Path, code: str, message: str, where: str
) -> None:
    with OneNode(make_request(tmp_path, code)) as node:
        (info, error), *_ = node.wait_for(ProcessInitFailed)
        assert info[:2] == ("node000", "process000")
        assert message in error.message
        assert error.where == where


def test_an_init_that_hangs_is_killed_at_init_timeout(tmp_path: Path) -> None:
    code = "import ctypes\ndef init(): ctypes.PyDLL(None).sleep(60)\ndef run(m): return m"
    with OneNode(make_request(tmp_path, code, init_timeout=0.7)) as node:
        (_, error), *_ = node.wait_for(ProcessInitFailed)
        assert error.message == "init() took longer than init_timeout=0.7 s"
        assert "in init" in error.stderr


@pytest.mark.slow
def test_a_bundle_waits_for_init_and_its_time_is_not_the_mini_batchs(tmp_path: Path) -> None:
    code = "import time\ndef init(): time.sleep(1)\ndef run(m): return m"
    with OneNode(make_request(tmp_path, code, run_invocation_timeout=0.6)) as node:
        [outcome] = node.run(0).outcomes
        assert outcome.status == 0
        assert outcome.elapsed < 0.6


def test_a_process_that_says_it_is_ready_can_be_given_a_bundle(tmp_path: Path) -> None:
    # the keeper looks when it hears that; were the process not idle yet, the bundle would wait
    code = """
    from daskrun.script.messages import BundleGone, RunBundle, ScriptReady
    from daskrun.script.process.main import ScriptLoop
    from daskrun.script.status_block import StatusBlock, Phase
    def init():
        send = ScriptLoop._send
        def tell(self, message):
            if isinstance(message, ScriptReady):
                print("idle" if self._status.ints[StatusBlock.PHASE] == Phase.IDLE else "not idle")
            send(self, message)
        ScriptLoop._send = tell
    def run(mini_batch): return mini_batch
    """
    with OneNode(make_request(tmp_path, code)) as node:
        assert len(node.run(0).outcomes) == 1
        assert node.log("user/stdout/*/*.txt") == "idle\n"


@pytest.mark.slow
def test_a_killed_keeper_gives_its_bundle_back_uncharged_and_is_replaced(tmp_path: Path) -> None:
    code = "import time\ndef run(m):\n    time.sleep(0.5)\n    return m\n"
    with OneNode(make_request(tmp_path, code)) as node:
        [(info, *_)] = node.wait_for(ProcessUp)
        keeper = node.keeper
        timer = threading.Timer(0.2, os.kill, (keeper, signal.SIGKILL))
        timer.start()
        event = node.run(0, 1)
        assert isinstance(event, BundleLost)
        assert "keeper" in event.reason
        [(reason, again)] = node.wait_for(KeeperLost)
        assert again
        assert "ended with code -9 while mini-batch 0, attempt 1 (process000) was in hand" in reason
        wait_for(lambda: not alive(info[2]), END)
        node.wait_for(SlotsUp, 2)
        assert [o.status for o in node.run(0).outcomes] == [0]
        assert len(list(base_folder().iterdir())) == 1


def test_a_keeper_killed_again_and_again_ends_the_node(tmp_path: Path) -> None:
    with OneNode(make_request(tmp_path)) as node:
        for times in range(4):
            node.wait_for(SlotsUp, times + 1)
            os.kill(node.keeper, signal.SIGKILL)
            node.wait_for(KeeperLost, times + 1)
        *others, last = node.wait_for(KeeperLost, 4)
        assert [each.again for each in (*others, last)] == [True, True, True, False]
        assert "keeper" in last.reason
        event = node.run(0)
        assert isinstance(event, BundleLost)


def test_stop_gives_back_what_is_waiting_and_ends_what_is_in_hand(tmp_path: Path) -> None:
    code = (
        "import time\ndef run(m):\n    time.sleep(0.3 if '000000' in m[0] else 60)\n    return m\n"
    )
    with OneNode(make_request(tmp_path, code)) as node:
        node.wait_for(ProcessUp)
        events: dict[int, BundleReturned] = {}

        def send(index: int, *more: int) -> None:
            events[index] = node.run(index, *more)

        threads = [threading.Thread(target=send, args=numbers) for numbers in ((0, 5), (1,))]
        threads[0].start()
        time.sleep(0.1)
        threads[1].start()
        time.sleep(0.1)
        node.node.stop(2.0)
        for thread in threads:
            thread.join(SLACK)
        assert [(o.index, o.status) for o in events[0].outcomes] == [(0, 0)]
        assert events[1].outcomes == ()
        assert events[1].process is None


def test_stop_kills_what_does_not_end_in_its_grace_and_charges_nobody(tmp_path: Path) -> None:
    with OneNode(make_request(tmp_path, FAULTY)) as node:
        node.wait_for(ProcessUp)
        threading.Timer(0.3, node.node.stop, (0.3,)).start()
        event = node.run(1, 4, 7)
        assert [(o.index, o.status) for o in event.outcomes] == [(1, 0)]


def test_shutdown_is_called_once_at_the_end(tmp_path: Path) -> None:
    note = tmp_path / "note"
    code = f"""
    def run(m): return m
    def shutdown():
        print("bye from shutdown")
        with open({str(note)!r}, "a") as file:
            file.write("x")
        raise ValueError("told, not fatal")
    """
    with OneNode(make_request(tmp_path, code)) as node:
        node.run(0)
        node.node.close()
        assert note.read_text() == "x"
        [text] = node.wait_for(ShutdownFailed)
        assert "shutdown() failed in process000" in text
        assert "told, not fatal" in text
        assert "bye from shutdown" in node.log("user/stdout/node000/*")


def test_a_shutdown_that_hangs_is_killed_at_its_limit(tmp_path: Path) -> None:
    code = "import time\ndef run(m): return m\ndef shutdown(): time.sleep(60)\n"
    with OneNode(make_request(tmp_path, code, shutdown_timeout=0.5)) as node:
        node.run(0)
        began = time.monotonic()
        node.node.close()
        assert time.monotonic() - began < SLACK


@pytest.mark.slow
@pytest.mark.parametrize("hangs", ["shutdown", "idle"])
def test_after_a_stop_no_process_gets_long_to_end(tmp_path: Path, hangs: str) -> None:
    code = "import time\ndef run(m): return m\ndef shutdown(): time.sleep(60)\n"
    with OneNode(make_request(tmp_path, code, shutdown_timeout=600)) as node:
        pid = node.run(0).process.pid
        if hangs == "idle":
            os.kill(pid, signal.SIGSTOP)
        node.node.stop(0.5)
        began = time.monotonic()
        node.node.close()
        assert 2 <= time.monotonic() - began < 4.5
        [note] = node.wait_for(ShutdownFailed if hangs == "shutdown" else Notice)
        expected = {
            "shutdown": "shutdown() took longer than shutdown_timeout=2 s",
            "idle": "it did not go on to shutdown() within 2 s",
        }
        assert f"process000 was killed: {expected[hangs]}" in note


@pytest.mark.slow
def test_an_idle_process_that_does_not_answer_does_not_get_the_shutdown_timeout(
    tmp_path: Path,
) -> None:
    with OneNode(make_request(tmp_path, shutdown_timeout=600)) as node:
        os.kill(node.run(0).process.pid, signal.SIGSTOP)
        began = time.monotonic()
        node.node.close()
        assert time.monotonic() - began < 4.5


def test_script_processes_have_the_workers_own_python(tmp_path: Path) -> None:
    # the driver's may be of another machine: it sends none
    request = make_request(tmp_path, "import sys\ndef run(m): return [sys.executable]\n")
    assert node_spec(request, "node000", 1).python is None
    with OneNode(request) as node:
        assert rows(node, node.run(0)).decode().strip() == sys.executable


def test_a_keeper_that_fails_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = node_module.pack

    def other_logs(message: Any) -> bytes:
        return real(replace(message, logs=f"{__file__}/logs"))

    monkeypatch.setattr(node_module, "pack", other_logs)
    with OneNode(make_request(tmp_path)) as node:
        reason = wait_for(
            lambda: next((r for r, again in node._told(KeeperLost, 1) if not again), "")
        )
        assert "ended with code 1: NotADirectoryError" in reason
        assert f"{__file__}/logs" in reason
        monkeypatch.setattr(node_module, "pack", real)


def test_what_is_installed_beside_daskrun_does_not_hide_the_standard_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site"
    site.mkdir()
    (site / "daskrun").symlink_to(Path(node_module.PACKAGE_ROOT) / "daskrun")
    (site / "selectors.py").write_text("raise ImportError('a back-port')\n")
    monkeypatch.setattr(node_module, "PACKAGE_ROOT", str(site))
    with OneNode(make_request(tmp_path)) as node:
        assert [o.status for o in node.run(0).outcomes] == [0]


@pytest.mark.slow
def test_a_thread_the_script_left_running_does_not_keep_the_node(tmp_path: Path) -> None:
    code = """
    import threading, time
    def init(): threading.Thread(target=time.sleep, args=(60,)).start()
    def run(m): return m
    """
    with OneNode(make_request(tmp_path, code, shutdown_timeout=0.5)) as node:
        assert node.run(0).outcomes[0].status == 0
        began = time.monotonic()
        node.node.close()
        assert time.monotonic() - began < SLACK


@pytest.mark.slow
def test_large_bundles_and_large_results_both_ways_at_once(tmp_path: Path) -> None:
    # more than the link holds in each direction: nobody may wait for the other in a circle
    code = "def run(m): raise ValueError('x' * 60_000)\n"
    request = make_request(tmp_path, code, process_count_per_node=2)
    with OneNode(request) as node:
        node.wait_for(ProcessUp, 2)
        entries = [
            (pickle.dumps((n, 0, ("files", str(n) * 20_000), 1, -1), 5), 1)
            for n in range(1000, 1080)
        ]
        payload = pickle.dumps(entries, 5)
        results = []

        def send(first: int) -> None:
            for number in range(first, first + 6):
                results.append(node.node.run_bundle(RunBundle(number, payload, 60.0)))

        threads = [threading.Thread(target=send, args=(10 * n,), daemon=True) for n in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        try:
            assert len(results) == 36
        finally:
            if len(results) < 36:
                os.kill(node.keeper, signal.SIGKILL)  # else close() would wait too


LOOK = """
import json, os, sys
def init():
    with open("here", "w") as file:
        file.write("x")
def run(m):
    seen = {
        "argv": sys.argv, "cwd": os.getcwd(), "here": os.listdir("."), "path": sys.path,
        "environ": dict(os.environ), "modules": sorted(sys.modules), "file": __file__,
        "oom": open("/proc/self/oom_score_adj").read(), "session": os.getsid(0), "pid": os.getpid(),
        "fds": sorted(os.listdir("/proc/self/fd")), "stdin": sys.stdin.read(),
    }
    print("said on stdout")
    print("said on stderr", file=sys.stderr)
    from daskrun.script.entry_script import EntryScript
    EntryScript().logger.warning("said to the logger")
    return [json.dumps(seen)]
"""


def test_what_user_code_sees(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("MKL_NUM_THREADS", "7")
    request = make_request(
        tmp_path,
        LOOK,
        script="inner/score.py",
        source_directory=True,
        arguments=("--model", "mnist", "--error_threshold"),
        environment_variables={"MINE": "yes", "DASKRUN_OUTPUT_PATH": "/elsewhere"},
    )
    with OneNode(request) as node:
        event = node.run(0)
        seen = json.loads(rows(node, event))
        snapshot = request.script.snapshot
        assert seen["argv"] == [str(snapshot / "inner/score.py"), *request.settings.arguments]
        assert seen["file"] == seen["argv"][0]
        assert seen["path"][:2] == [str(snapshot), str(snapshot / "inner")]
        assert seen["here"] == ["here"]  # a folder of its own
        assert Path(seen["cwd"]).is_relative_to(base_folder())
        assert "" not in seen["path"]
        assert seen["session"] == seen["pid"]
        assert int(seen["oom"]) == 500
        assert seen["stdin"] == ""
        for absent in (
            "distributed",
            "dask",
            "bokeh",
            "pandas",
            "daskrun.engine",
            "daskrun.core.ledger",
        ):
            assert absent not in seen["modules"]
        environ = seen["environ"]
        assert environ["MINE"] == "yes"
        assert environ["DASKRUN_OUTPUT_PATH"] == "/elsewhere"
        assert environ["AZUREML_BI_OUTPUT_PATH"] == str(request.output_folder)
        assert int(environ["OMP_NUM_THREADS"]) >= 1
        assert environ["MKL_NUM_THREADS"] == "7"  # set for the machine: kept
        logs = "user/{}/node000/process000*"
        assert "said on stdout" in node.log(logs.format("stdout"))
        assert "said on stderr" in node.log(logs.format("stderr"))
        assert "said to the logger" in node.log(logs.format("entry_script_log"))
        folder = Path(seen["cwd"])
    assert not folder.exists()


def test_threads_per_process_and_argv_compat(tmp_path: Path) -> None:
    request = make_request(
        tmp_path, LOOK, threads_per_process=3, argv_compat=True, process_count_per_node=2
    )
    with OneNode(request) as node:
        seen = json.loads(rows(node, node.run(0)))
        assert seen["environ"]["OMP_NUM_THREADS"] == "3"
        assert seen["argv"][1:3] == ["--mini_batch_size", "1"]


def test_what_user_code_starts_holds_nothing_of_ours_open(tmp_path: Path) -> None:
    code = """
    import subprocess
    def run(m):
        return [subprocess.run(["ls", "/proc/self/fd"], capture_output=True, close_fds=False,
                               text=True).stdout.split()]
    """
    with OneNode(make_request(tmp_path, code)) as node:
        held = eval(rows(node, node.run(0)))
        assert len(held) <= 4  # three standard ones, and ls reading the folder


DRIVER = """
import sys, threading
sys.path[:0] = sys.argv[1:2]
from pathlib import Path
from running import OneNode, make_request
code = '''
import ctypes, os, subprocess
def run(m):
    child = subprocess.Popen(["sleep", "300"], start_new_session=True)
    print(child.pid, os.getpid(), os.getcwd(), flush=True)
    ctypes.PyDLL(None).sleep(300)
'''
node = OneNode(make_request(Path(sys.argv[2]), code, process_count_per_node=2))
print("up", flush=True)
node.run(0)
"""


@pytest.mark.parametrize("victims", ["driver", "driver and keeper"])
def test_a_driver_that_is_killed_takes_everything_with_it(tmp_path: Path, victims: str) -> None:
    here = str(Path(__file__).parents[1])
    driver = subprocess.Popen([sys.executable, "-c", DRIVER, here, str(tmp_path / "w")])
    stdout = tmp_path / "w/run1/logs/user/stdout/node000"

    def said() -> list[str]:
        found = [p.read_text().split() for p in stdout.glob("*")] if stdout.exists() else []
        return next((words for words in found if len(words) == 3), [])

    grandchild, process, cwd = wait_for(said, 30)
    [keeper] = keepers()
    assert alive(int(grandchild))
    assert len(marked_processes(base_folder())) >= 3
    if victims == "driver and keeper":
        os.kill(keeper, signal.SIGSTOP)
    driver.kill()
    driver.wait()
    if victims == "driver and keeper":
        os.kill(keeper, signal.SIGKILL)
        wait_for(lambda: not alive(int(process)), END)
        # nobody is there to clear up: the next run on this machine does, and says so
        with OneNode(make_request(tmp_path / "next")) as node:
            [note] = node.wait_for(Notice)
            assert "cleared up after a run" in note
    assert wait_until_nothing_is_left() == []
    assert not alive(int(grandchild))
    assert not alive(int(process))
    wait_for(lambda: not alive(keeper), END)
    assert not Path(cwd).exists()


def test_the_folder_of_a_live_node_is_not_cleared_by_another(tmp_path: Path) -> None:
    with OneNode(make_request(tmp_path / "a")) as first:
        first.run(0)
        with OneNode(make_request(tmp_path / "b", run_id="run2")) as second:
            second.run(0)
            assert second._told(Notice, 1) == []
            assert [o.status for o in first.run(1).outcomes] == [0]
    assert left_behind() == []


@pytest.mark.parametrize("speaks", [True, False])
def test_a_keeper_is_killed_when_several_looks_in_a_row_find_it_silent(
    monkeypatch: pytest.MonkeyPatch, speaks: bool
) -> None:
    # one look finds nothing where this process itself was stopped, before the keeper could speak
    node: Any = node_module.Node.__new__(node_module.Node)
    looks: list[float] = []
    kills: list[int] = []
    found = [*[False] * (node_module.LOOKS - 1), True] if speaks else []
    node._popen = SimpleNamespace(kill=lambda: kills.append(len(looks)))
    node._link = SimpleNamespace(recv=lambda _: b"")
    node._keeper_gone = lambda: False

    def look(seconds: float) -> bool:
        looks.append(seconds)
        return len(looks) <= len(found) and found[len(looks) - 1]

    monkeypatch.setattr(node, "_speaks", look)
    if speaks:
        node._follow()
        assert kills == []
    else:
        with pytest.raises(TimeoutError, match="survives SIGKILL"):
            node._follow()
        assert kills == [node_module.LOOKS]
    assert sum(looks[: node_module.LOOKS]) == node_module.BEAT_LIMIT


def test_a_keeper_that_stops_while_it_has_nothing_to_do_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with OneNode(make_request(tmp_path)) as node:
        with monkeypatch.context() as patience:
            patience.setattr(node_module, "BEAT_LIMIT", 1.0)
            node.run(0)
            os.kill(node.keeper, signal.SIGSTOP)
            [(reason, again)] = node.wait_for(KeeperLost)
        assert (reason, again) == ("the keeper of node000 ended with code -9", True)
        assert [o.status for o in node.run(1).outcomes] == [0]


@pytest.mark.parametrize("part", ["_keeper_gone", "_start"])
def test_who_waits_for_a_bundle_is_told_when_its_node_can_not_be_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    def fail(*_: object) -> None:
        raise OSError("no more")

    with OneNode(make_request(tmp_path, "import time\ndef run(b): time.sleep(60)")) as node:
        node.wait_for(SlotsUp)
        answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
        bundle = node.payload([(0, 1)])
        thread = threading.Thread(target=lambda: answers.put(node.node.run_bundle(bundle)))
        thread.start()
        wait_for(lambda: node.node._waiting)
        monkeypatch.setattr(node.node, part, fail)
        os.kill(node.keeper, signal.SIGKILL)
        gone = answers.get(timeout=END)
        assert isinstance(gone, BundleGone)
        assert "no more" in gone.reason
        again = node.node.run_bundle(node.payload([(0, 1)]))
        assert isinstance(again, BundleGone)
        thread.join()
