"""Remote datasets, over memory:// and a real HTTP server on the loopback."""

import functools
import http.server
import threading
import time
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import fsspec
import pytest

from daskrun.data import Dataset
from daskrun.data.file_plan import FilePlan
from daskrun.data.remote_files import find_remote, is_url, join_url, split_url
from daskrun.errors import DatasetError


@pytest.fixture
def memory():
    system = fsspec.filesystem("memory")
    system.store.clear()
    system.pseudo_dirs[:] = [""]
    for name in ("in/b/2.png", "in/a.txt", "in/a/1.png", "in/.x/3.png", "in/a/.hid", "other/9.png"):
        system.pipe_file(f"/{name}", name.encode())
    yield system
    system.store.clear()


@pytest.fixture
def server(tmp_path):
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    for name in ("a/1.txt", "a/2.txt", "b.txt"):
        path = tmp_path / "www" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    handler = functools.partial(Quiet, directory=str(tmp_path / "www"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as served:
        thread = threading.Thread(target=served.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{served.server_port}"
        served.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("path", "root", "names"),
    [
        ("memory://in", "memory://in", ["a.txt", "a/1.png", "b/2.png"]),
        ("memory://in/", "memory://in", ["a.txt", "a/1.png", "b/2.png"]),
        ("memory://in/a/1.png", "memory://in/a", ["1.png"]),
        ("memory://in/*", "memory://in", ["a.txt"]),
        ("memory://in/*/*.png", "memory://in", ["a/1.png", "b/2.png"]),
        ("memory://in/[b]/", "memory://in", ["b/2.png"]),
        ("memory://in/a/.*", "memory://in/a", [".hid"]),
        ("memory://**/*.png", "memory://", ["in/a/1.png", "in/b/2.png", "other/9.png"]),
        (["memory://in/b", "memory://in/a.txt"], "memory://in", ["b/2.png", "a.txt"]),
        (["memory://other", "memory://in/b"], "memory://", ["other/9.png", "in/b/2.png"]),
    ],
)
def test_what_a_url_means(memory, path, root, names):
    dataset = Dataset.File.from_files(path)
    found = dataset.listing()
    assert (found.root, list(found.table), found.remote) == (root, names, True)
    assert [size for _, size, _ in found.table.rows()] == [
        len(memory.cat_file(url)) for url in dataset.to_path()
    ]


def test_to_path_gives_urls_that_open(memory):
    dataset = Dataset.File.from_files("memory://in")
    urls = dataset.to_path()
    assert urls == ["memory://in/a.txt", "memory://in/a/1.png", "memory://in/b/2.png"]
    assert [fsspec.open(url).open().read() for url in urls] == [
        b"in/a.txt",
        b"in/a/1.png",
        b"in/b/2.png",
    ]
    bag = dataset.to_dask_bag(2)
    assert bag.map_partitions(lambda p: [list(p)]).compute(scheduler="synchronous") == [
        urls[:2],
        urls[2:],
    ]


def test_new_files_are_seen(memory):
    dataset = Dataset.File.from_files("memory://in/b")
    assert len(dataset.to_path()) == 1
    memory.pipe_file("/in/b/3.png", b"")
    assert len(dataset.to_path()) == 2


def test_plan(memory):
    plan = FilePlan([("x", Dataset.File.from_files("memory://in"))], 2)
    assert (plan.inputs[0].root, plan.inputs[0].remote) == ("memory://in", True)
    assert [plan[i].load.names for i in range(2)] == [("a.txt", "a/1.png"), ("b/2.png",)]
    assert plan[0].nbytes == len("in/a.txt" + "in/a/1.png")
    first = plan.fingerprint()
    assert FilePlan([("x", Dataset.File.from_files("memory://in"))], 2).fingerprint() == first
    memory.pipe_file("/in/a.txt", b"other")
    assert FilePlan([("x", Dataset.File.from_files("memory://in"))], 2).fingerprint() != first


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("memory://none", r"path='memory://none' does not exist"),
        ("memory://in/*.jpg", r"path='memory://in/\*\.jpg' matches no file below memory://in"),
        (
            "memory://in/.x/none/*",
            r"path='memory://in/\.x/none/\*' means no file: there is no .*none",
        ),
        ("nosuch://in/x", r"'nosuch://in/x' has the protocol 'nosuch', which fsspec doesn't know"),
        (["memory://in", "memory://none"], r"path='memory://none' does not exist"),
    ],
)
def test_what_is_wrong(memory, path, text):
    with pytest.raises(DatasetError, match=text):
        Dataset.File.from_files(path)


def test_a_folder_of_hidden_files_only(memory):
    memory.pipe_file("/hid/.x", b"")
    with pytest.raises(DatasetError, match=r"path='memory://hid' is a folder without files"):
        Dataset.File.from_files("memory://hid")


def test_download(memory, tmp_path):
    got = Dataset.File.from_files("memory://in/*/*.png").download(tmp_path / "to")
    assert got == [str(tmp_path / "to/a/1.png"), str(tmp_path / "to/b/2.png")]
    assert (tmp_path / "to/b/2.png").read_bytes() == b"in/b/2.png"
    assert sorted(p.name for p in (tmp_path / "to").rglob("*")) == ["1.png", "2.png", "a", "b"]


def test_archives_are_roots_too(tmp_path):
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for name in ("in/a/1.txt", "in/2.txt"):
            archive.writestr(name, name)
    dataset = Dataset.File.from_files(f"zip://in/**::file://{tmp_path}/all.zip")
    assert dataset.to_path() == [
        f"zip://in/{n}::file://{tmp_path}/all.zip" for n in ("2.txt", "a/1.txt")
    ]
    got = dataset.download(tmp_path / "to")
    assert [Path(p).read_text() for p in got] == ["in/2.txt", "in/a/1.txt"]


def test_http(server, tmp_path):
    folder = Dataset.File.from_files(f"{server}/")
    assert folder.to_path() == [f"{server}/{n}" for n in ("a/1.txt", "a/2.txt", "b.txt")]
    assert Dataset.File.from_files(f"{server}/a/*.txt").listing().table[:] == ["1.txt", "2.txt"]
    got = Dataset.File.from_files([f"{server}/b.txt", f"{server}/a/2.txt"]).download(
        tmp_path / "to"
    )
    assert [Path(p).read_text() for p in got] == ["b.txt", "a/2.txt"]
    with pytest.raises(DatasetError, match=r"path='http://127.*/none.txt' does not exist"):
        Dataset.File.from_files(f"{server}/none.txt")


def test_a_server_that_is_not_there():
    with pytest.raises(
        DatasetError, match=r"path='http://\*\*\*@127.*x' can't be reached"
    ) as caught:
        Dataset.File.from_files("http://me:secret@127.0.0.1:1/x")
    assert "secret" not in str(caught.value)


def test_a_name_with_two_colons_is_no_chain(memory):
    for name in ("in/a::b.txt", "in/simplecache::c.txt"):
        memory.pipe_file(f"/{name}", b"v\n1")
    urls = ["memory://in/a::b.txt", "memory://in/simplecache::c.txt"]
    for url in urls:
        root, rows = find_remote(url, {}, repr(url))
        assert [join_url(root, name) for name, *_ in rows] == [url]
        assert Dataset.Tabular.from_delimited_files(url).to_pandas_dataframe()["v"].tolist() == [1]
    assert Dataset.File.from_files(urls).to_path() == urls
    assert "a::b.txt" in Dataset.File.from_files("memory://in").listing().table
    assert list(Dataset.File.from_files("memory://in/*::*").listing().table) == [
        "a::b.txt", "simplecache::c.txt",
    ]  # fmt: skip


def test_urls():
    assert split_url("zip://a::b.txt::s3://k/z.zip") == ("zip://", "a::b.txt", "::s3://k/z.zip")
    assert split_url("zip://a::/tmp/z.zip") == ("zip://", "a", "::/tmp/z.zip")
    assert split_url("zip://a::simplecache::s3://k/z").tail == "::simplecache::s3://k/z"
    assert [is_url(t) for t in ("s3://b/x", "simplecache::s3://b/x", "a://b")] == [True] * 3
    assert [is_url(t) for t in ("/a", "a::b", "C:/x", "file:///x", "x/y://z", "://")] == [False] * 6
    assert split_url("simplecache::s3://b/x") == ("simplecache::s3://", "b/x", "")
    assert join_url("s3://b/x", "y/z") == "s3://b/x/y/z"
    assert join_url("s3://", "b/x") == "s3://b/x"
    assert join_url("zip://::s3://b/a.zip", "x") == "zip://x::s3://b/a.zip"
    assert join_url("simplecache::s3://b", "x") == "simplecache::s3://b/x"


class Bucket:
    """A file system with names that only a bucket can have."""

    def __init__(self, details):
        self.details = details

    def _strip_protocol(self, path):
        return path

    def invalidate_cache(self):
        pass

    def info(self, path):
        return {"name": path, "type": "directory"}

    def find(self, base, maxdepth, detail):
        return self.details


def test_names_of_a_bucket_are_kept_as_they_are(monkeypatch):
    noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    details = {
        "b/x/": {"size": 0},
        "b/x//1": {"size": 1, "LastModified": noon},
        "b/x/a//2": {"size": None, "updated": "2026-01-01T12:00:00+00:00"},
        "b/x/a/": {"size": 0},
        "b/x/3": {"mtime": time.mktime(noon.timetuple())},
        "b/x/unpacked on its way": {"size": 9, "contentEncoding": "gzip"},
    }
    monkeypatch.setattr("fsspec.core.url_to_fs", lambda url, **_: (Bucket(details), "b/x"))
    root, rows = find_remote("s3://b/x", {}, "'s3://b/x'")
    nanoseconds = int(noon.timestamp()) * 10**9
    assert root == "s3://b/x"
    assert list(rows) == [
        ("/1", 1, nanoseconds),
        ("3", -1, int(time.mktime(noon.timetuple()) * 10**9)),
        ("a//2", -1, nanoseconds),
        ("unpacked on its way", -1, -1),
    ]
