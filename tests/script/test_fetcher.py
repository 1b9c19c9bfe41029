"""The fetcher as its keeper runs it: a real process, a real HTTP server on the loopback."""

import http.server
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from daskrun.core.minibatch import Descriptor, PlanInput
from daskrun.errors import DatasetError
from daskrun.script.fetching.waiting import RemoteFiles
from daskrun.script.messages import DropBundle, ServeFetches, WantBundle
from daskrun.script.wire import encode, pack, shared_memory, write_all

ROOT = str(Path(__file__).parents[2])
START = "from daskrun.script.fetching.fetcher import main; main()"


class Site(http.server.ThreadingHTTPServer):
    """Serves any path with its own text; some paths are special."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Answer)
        self.asked = []
        self.gate = threading.Event()
        self.ended = threading.Event()
        self.gate.set()
        self.at_once = self.most_at_once = 0
        self.lock = threading.Lock()
        self.padding = 0

    def handle_error(self, request, client_address):
        if not isinstance(sys.exception(), ConnectionError):  # a fetcher that ended hung up
            super().handle_error(request, client_address)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"


class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        site = self.server
        with site.lock:
            site.asked.append(self.path)
            site.at_once += 1
            site.most_at_once = max(site.at_once, site.most_at_once)
            times = site.asked.count(self.path)
        try:
            site.gate.wait(20)
            self.answer(times)
        finally:
            with site.lock:
                site.at_once -= 1

    def answer(self, times):
        if "slow" in self.path:
            time.sleep(0.3)
        if "missing" in self.path:
            self.send_error(404)
        elif "broken" in self.path or ("flaky" in self.path and times < 3):
            self.send_error(500)
        else:
            self.send(self.path.encode() + b"." * self.server.padding)

    def send(self, body):
        self.send_response(200)
        stalls = "stalls" in self.path
        self.send_header("Content-Length", str(len(body) + 100 * stalls))
        self.end_headers()
        self.wfile.write(body)
        if stalls:
            self.wfile.flush()
            self.server.ended.wait(60)

    def log_message(self, *args):
        pass


@pytest.fixture
def site():
    with Site() as site:
        thread = threading.Thread(target=site.serve_forever, args=(0.02,))
        thread.start()
        yield site
        site.gate.set()
        site.ended.set()
        site.shutdown()
        thread.join()


def told_in_memory(first):
    memory = shared_memory("told")
    write_all(memory, encode(first))
    return memory


class Keeper:
    """The keeper's end of a fetcher."""

    def __init__(self, folder, site, limit=1 << 30, **more):
        self.folder = folder / "fetch"
        self.files = RemoteFiles(self.folder)
        inputs = [
            PlanInput("local", "/local", False, {}),
            PlanInput("far", f"{site.url}/top", True, {}),
        ]
        self.first = ServeFetches(str(folder), encode(inputs), limit, **more)
        self.start()

    def start(self):
        read_end, self.pipe = os.pipe()
        env = {**os.environ, "PYTHONPATH": ROOT}
        told = told_in_memory(self.first)
        self.process = subprocess.Popen(
            [sys.executable, "-c", START, str(told), str(read_end)],
            pass_fds=(told, read_end),
            env=env,
        )
        os.close(told)
        os.close(read_end)

    def tell(self, message):
        write_all(self.pipe, pack(message))

    def want(self, bundle, *batches):
        wanted = [
            Descriptor(i, 1, ("files", *names), len(names), nbytes) for i, names, nbytes in batches
        ]
        self.tell(WantBundle(bundle, wanted))

    def hang_up(self):
        os.close(self.pipe)
        self.pipe = -1

    def here(self, bundle):
        folder = self.folder / str(bundle)
        names = [p.name for p in folder.iterdir()] if folder.exists() else []
        return sorted(int(name) for name in names if name.isdigit())

    def end(self):
        if self.pipe >= 0:
            self.hang_up()
        try:
            assert self.process.wait(10) == 0
        finally:
            self.process.kill()


@pytest.fixture
def keeper(tmp_path, site):
    keepers = []

    def start(**more):
        keepers.append(Keeper(tmp_path, site, **more))
        return keepers[-1]

    yield start
    for keeper in keepers:
        keeper.end()


def until(condition, seconds=10):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def stays(condition, seconds=0.4):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert condition()
        time.sleep(0.01)


@pytest.mark.slow
def test_files_come_with_their_folders_and_go(keeper):
    k = keeper()
    k.want(7, (0, ["a/0.txt", "a/b/1.txt"], 33), (3, ["2.txt", "2.txt"], -1))
    paths = k.files.wait(7, 0, ("a/0.txt", "a/b/1.txt"), 10)
    assert paths == [f"{k.folder}/7/0/a/0.txt", f"{k.folder}/7/0/a/b/1.txt"]
    assert [Path(p).read_text() for p in paths] == ["/top/a/0.txt", "/top/a/b/1.txt"]
    assert Path(k.files.wait(7, 3, ("2.txt",), 10)[0]).read_text() == "/top/2.txt"
    k.files.release(7, 0)
    assert k.here(7) == [3]


def test_all_files_of_a_mini_batch_at_once(keeper, site):
    k = keeper()
    names = [f"slow{n}" for n in range(8)]
    k.want(0, (0, names, 80))
    k.files.wait(0, 0, names, 10)
    assert site.most_at_once >= 6


def test_a_missing_file_is_said_at_once_and_the_rest_comes(keeper, site):
    k = keeper()
    k.want(1, (0, ["fine", "missing.png"], 10), (1, ["other"], 5))
    with pytest.raises(
        DatasetError, match=rf"'{site.url}/top/missing.png' can't be fetched: FileNot"
    ):
        k.files.wait(1, 0, ("fine", "missing.png"), 10)
    assert site.asked.count("/top/missing.png") == 1, "a file that isn't there is not tried again"
    assert Path(k.files.wait(1, 1, ("other",), 10)[0]).read_text() == "/top/other"
    assert json.loads((k.folder / "1/0.error").read_bytes())["message"]
    assert not (k.folder / "1/0.partial").exists()


@pytest.mark.slow
def test_failures_are_tried_three_times(keeper, site):
    k = keeper()
    k.want(1, (0, ["flaky"], 5), (1, ["broken"], 5))
    assert Path(k.files.wait(1, 0, ("flaky",), 10)[0]).read_text() == "/top/flaky"
    with pytest.raises(DatasetError, match=r"broken' can't be fetched: .*500.*\(tried 3 times\)"):
        k.files.wait(1, 1, ("broken",), 10)
    assert (site.asked.count("/top/flaky"), site.asked.count("/top/broken")) == (3, 3)


def test_names_that_lead_out_of_the_folder_are_refused(keeper, site):
    k = keeper()
    k.want(1, (0, ["../../../escape"], 5), (1, ["x", "/x"], 5))
    with pytest.raises(DatasetError, match="can't be a path below a local folder"):
        k.files.wait(1, 0, ("../../../escape",), 10)
    with pytest.raises(DatasetError, match="'x' and '/x' are the same local path"):
        k.files.wait(1, 1, ("x", "/x"), 10)
    assert site.asked == []


@pytest.mark.slow
def test_what_is_here_stays_within_the_bound(keeper, site):
    site.padding = 1000 - len("/top/0")
    k = keeper(limit=3500)
    k.want(1, *((n, [f"{n}"], 1000) for n in range(9)))
    until(lambda: k.here(1) == [0, 1, 2])
    stays(lambda: k.here(1) == [0, 1, 2])
    assert len(site.asked) == 3
    for n in range(9):
        k.files.wait(1, n, (f"{n}",), 10)
        assert len(k.here(1)) <= 3
        k.files.release(1, n)
    assert k.here(1) == []


@pytest.mark.slow
def test_sizes_that_nobody_told_are_counted_when_known(keeper, site):
    site.padding = 100_000
    k = keeper(limit=1 << 20)  # one file of unknown size is taken for 1 MiB
    k.want(1, *((n, [f"{n}"], -1) for n in range(30)))
    until(lambda: len(k.here(1)) == 10)
    stays(lambda: len(k.here(1)) == 10)


@pytest.mark.slow
def test_each_bundle_has_one_whatever_the_bound(keeper, site):
    site.padding = 5000
    k = keeper(limit=10)
    for bundle in (1, 2, 3):
        k.want(bundle, *((n, [f"{bundle}-{n}"], 5000) for n in range(3)))
    until(lambda: [k.here(b) for b in (1, 2, 3)] == [[0], [0], [0]])
    stays(lambda: [k.here(b) for b in (1, 2, 3)] == [[0], [0], [0]])
    k.files.release(2, 0)
    k.files.wait(2, 1, ("2-1",), 10)
    assert [k.here(b) for b in (1, 2, 3)] == [[0], [1], [0]]


@pytest.mark.slow
def test_bundles_take_turns(keeper, site):
    site.gate.clear()
    k = keeper()
    k.want(1, (0, [f"first{n}" for n in range(8)], 80))  # takes every thread
    until(lambda: len(site.asked) == 8)
    k.want(2, *((n, [f"a{n}"], 5) for n in range(40)))
    k.want(3, *((n, [f"b{n}"], 5) for n in range(40)))
    time.sleep(0.2)
    site.gate.set()
    k.files.wait(2, 39, (), 20)
    k.files.wait(3, 39, (), 20)
    early = site.asked[8:48]
    assert 15 <= sum(name.startswith("/top/b") for name in early) <= 25


@pytest.mark.slow
def test_a_bundle_that_is_dropped_leaves_nothing_and_gives_room(keeper, site):
    site.padding = 1000
    k = keeper(limit=2500)
    k.want(1, *((n, [f"a{n}"], 1000) for n in range(9)))
    until(lambda: len(k.here(1)) == 2)
    k.want(2, *((n, [f"b{n}"], 1000) for n in range(2)))
    until(lambda: k.here(2) == [0])
    k.tell(DropBundle(1))
    until(lambda: k.here(2) == [0, 1])
    assert not (k.folder / "1").exists()
    assert len([name for name in site.asked if "/a" in name]) == 2


def test_a_bundle_that_is_dropped_while_it_comes(keeper, site):
    site.gate.clear()
    k = keeper()
    k.want(1, *((n, [f"x/a{n}"], 10) for n in range(50)))
    until(lambda: len(site.asked) == 8)
    k.tell(DropBundle(1))
    k.want(2, (0, ["b"], 10))
    time.sleep(0.1)
    site.gate.set()
    k.files.wait(2, 0, ("b",), 10)
    until(lambda: site.at_once == 0)
    until(lambda: not (k.folder / "1").exists())
    stays(lambda: not (k.folder / "1").exists(), 0.2)
    assert len(site.asked) == 9


@pytest.mark.slow
def test_a_file_that_stops_coming_is_given_up(keeper, site):
    k = keeper(stall_timeout=3.0)
    k.want(1, *((n, [f"stalls{n}"], 10) for n in range(8)), (8, ["fine"], 4))
    with pytest.raises(
        DatasetError, match=r"stalls0' can't be fetched: no byte of it arrived for 3 s"
    ):
        k.files.wait(1, 0, ("stalls0",), 30)
    # All eight threads hang, and yet the next comes.
    assert Path(k.files.wait(1, 8, ("fine",), 30)[0]).read_text() == "/top/fine"


@pytest.mark.slow
def test_the_end_of_the_pipe_removes_all(keeper, site):
    k = keeper()
    k.want(1, *((n, [f"a{n}"], 5) for n in range(20)))
    k.files.wait(1, 0, ("a0",), 10)
    site.gate.clear()
    k.want(2, *((n, [f"b{n}"], 5) for n in range(20)))
    began = time.monotonic()
    k.hang_up()
    assert k.process.wait(10) == 0
    assert time.monotonic() - began < 5
    assert list(k.folder.iterdir()) == []


def test_before_the_first_message_too(tmp_path):
    read_end, write_end = os.pipe()
    told = told_in_memory(ServeFetches(str(tmp_path), encode([]), 1000))
    env = {**os.environ, "PYTHONPATH": ROOT}
    process = subprocess.Popen(
        [sys.executable, "-c", START, str(told), str(read_end)], pass_fds=(told, read_end), env=env
    )
    os.close(told)
    os.close(read_end)
    os.close(write_end)
    assert process.wait(10) == 0


def test_its_keepers_death_ends_it(tmp_path, site):
    folder = tmp_path / "fetch"
    inputs = [PlanInput("far", f"{site.url}/top", True, {})]
    told = encode(ServeFetches(str(tmp_path), encode(inputs), 1000))
    want = pack(WantBundle(1, [Descriptor(0, 0, ("files", "a"), 1, 5)]))
    code = f"""
import os, subprocess, sys, time
m = os.memfd_create("told")
os.write(m, {told!r})
r, w = os.pipe()
p = subprocess.Popen([sys.executable, "-c", {START!r}, str(m), str(r)], pass_fds=(m, r))
os.close(r)
os.write(w, {want!r})
print(p.pid, flush=True)
time.sleep(60)
"""
    env = {**os.environ, "PYTHONPATH": ROOT}
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env=env)
    with parent:
        fetcher = int(parent.stdout.readline())
        RemoteFiles(folder).wait(1, 0, ("a",), 10)
        ends = os.pidfd_open(fetcher)
        parent.send_signal(signal.SIGKILL)
        assert select.select([ends], [], [], 5)[0], "the fetcher has not ended"
        os.close(ends)
    assert list(folder.iterdir()) == []


def test_a_fetcher_that_is_started_again_goes_on(keeper, site):
    site.padding = 1000
    k = keeper(limit=2500)
    batches = [(n, [f"a{n}"], 1000) for n in range(6)]
    k.want(1, *batches)
    k.files.wait(1, 0, ("a0",), 10)
    k.files.release(1, 0)
    k.files.wait(1, 1, ("a1",), 10)
    k.process.kill()
    k.process.wait()
    os.close(k.pipe)
    k.start()
    k.want(1, *batches)
    for n in range(1, 6):
        path = k.files.wait(1, n, (f"a{n}",), 10)[0]
        assert Path(path).read_text().startswith(f"/top/a{n}")
        k.files.release(1, n)
    assert site.asked.count("/top/a0") == 1


def test_files_that_can_not_be_kept_are_that_mini_batchs_error(keeper, site):
    k = keeper()
    site.gate.clear()
    k.want(1, (0, ["a"], 5), (1, ["b"], 5))
    until(lambda: len(site.asked) == 2)
    (k.folder / "1/0").mkdir()  # where its files are to be
    (k.folder / "1/0/in the way").touch()
    site.gate.set()
    error = k.folder / "1/0.error"
    until(error.exists)
    assert "its files can't be kept on this node: OSError:" in error.read_text()
    assert Path(k.files.wait(1, 1, ("b",), 10)[0]).read_text() == "/top/b"
    k.want(2, *((n, [f"c{n}"], 5) for n in range(20)))  # no thread was lost
    for n in range(20):
        k.files.wait(2, n, (f"c{n}",), 10)


def test_a_thread_that_can_not_go_on_ends_the_fetcher_with_its_traceback(keeper, site, capfd):
    k = keeper()
    site.gate.clear()
    k.want(1, (0, ["missing"], 5))
    until(lambda: site.asked)
    shutil.rmtree(k.folder / "1")
    (k.folder / "1").touch()  # not even the error can be told
    site.gate.set()
    assert k.process.wait(10) == 1
    said = capfd.readouterr().err
    assert "Traceback" in said
    assert "Error: [Errno" in said.splitlines()[-1]
    (k.folder / "1").unlink()
    os.close(k.pipe)
    k.start()  # as its keeper does
    k.want(2, (1, ["b"], 5))
    assert Path(k.files.wait(2, 1, ("b",), 10)[0]).read_text() == "/top/b"


def test_waiting_has_an_end(keeper):
    k = keeper()
    with pytest.raises(
        DatasetError, match=r"mini-batch 5 were not fetched within 0.1 s: a, b, c …"
    ):
        k.files.wait(1, 5, ("a", "b", "c", "d"), 0.1)


def test_releasing_what_never_came_is_no_error(keeper):
    k = keeper()
    k.files.release(9, 1)
