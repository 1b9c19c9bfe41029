import errno
import os
import random
import sys
from pathlib import Path

import pytest

from daskrun.data.listing import check_files, list_files
from daskrun.data.local_files import find_local
from daskrun.data.protocols import DataPath, as_elements
from daskrun.errors import DatasetError


@pytest.fixture
def data(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def fill(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)


def listed(path, folder=None):
    return list_files(as_elements(path), str(folder or Path.cwd()))


def names(path):
    return list(listed(path).table)


def test_a_folder_is_all_its_files_in_code_point_order(data):
    all_names = ["a-b", "a.txt", "a/1", "a/10", "a/2", "a/b/c", "a0", "B", "ä/x", "z"]
    fill(data / "in", *all_names)
    found = listed("in")
    assert list(found.table) == sorted(all_names)
    assert (found.root, found.remote) == (str(data / "in"), False)
    assert [size for _, size, _ in found.table.rows()] == [
        len(n.encode()) for n in sorted(all_names)
    ]
    stat = (data / "in/B").stat()
    assert next(found.table.rows()) == ("B", 1, stat.st_mtime_ns)


def test_order_is_that_of_sorted_paths_whatever_the_tree(data):
    pick = random.Random(3)
    made = set()
    for _ in range(300):
        depth = pick.randrange(1, 5)
        name = "/".join("d" + "".join(pick.choices("-.0aé", k=2)) for _ in range(depth - 1))
        made.add(f"{name}/f{pick.randrange(20)}".lstrip("/"))
    fill(data / "in", *made)
    assert names("in") == sorted(made)


@pytest.mark.parametrize(
    ("path", "root", "expected"),
    [
        ("in/0.png", "in", ["0.png"]),
        ("in/sub", "in/sub", ["1.png", "2.txt"]),
        ("in/sub/", "in/sub", ["1.png", "2.txt"]),
        ("./in/../in/sub", "in/sub", ["1.png", "2.txt"]),
        ("in/*.png", "in", ["0.png"]),
        ("in/**/*.png", "in", ["0.png", "deep/er/3.png", "sub/1.png"]),
        ("in/**", "in", ["0.png", "deep/er/3.png", "sub/1.png", "sub/2.txt"]),
        ("in/*/*.png", "in", ["sub/1.png"]),
        ("in/s*/", "in", ["sub/1.png", "sub/2.txt"]),
        ("in/sub/?.[pt]*", "in/sub", ["1.png", "2.txt"]),
        ("i[n]/0.png", "", ["in/0.png"]),
        (["in/sub/2.txt", "in/0.png", "in/sub/1.png"], "in", ["sub/2.txt", "0.png", "sub/1.png"]),
        (["in/sub", "in/deep"], "in", ["sub/1.png", "sub/2.txt", "deep/er/3.png"]),
        (["in/sub/*.png", "in/sub"], "in/sub", ["1.png", "1.png", "2.txt"]),
        (("in/0.png",), "in", ["0.png"]),
    ],
)
def test_what_a_path_means(data, path, root, expected):
    fill(data / "in", "0.png", "sub/1.png", "sub/2.txt", "deep/er/3.png")
    found = listed(path)
    assert list(found.table) == expected
    assert found.root == str(data / root)
    assert all(os.path.isfile(p) for p in found.paths(found.table))


def test_path_objects_home_and_file_urls(data, monkeypatch):
    fill(data, "in/a b.txt", "in/c%20d.txt")
    monkeypatch.setenv("HOME", str(data))
    for path in [data / "in", "~/in", f"file://{data}/in", (data / "in").as_uri()]:
        assert names(path) == ["a b.txt", "c%20d.txt"], path
    assert names((data / "in/a b.txt").as_uri()) == ["a b.txt"]
    assert names(f"file://{data}/in/c%20d.txt") == ["c%20d.txt"]
    assert names([Path("in/a b.txt"), "~/in/c%20d.txt"]) == ["a b.txt", "c%20d.txt"]


def test_the_common_root_may_be_the_top(data):
    fill(data, "x")
    found = listed(
        [data / "x", "/etc/hostname" if os.path.exists("/etc/hostname") else "/etc/passwd"]
    )
    assert found.root == "/"
    assert found.table[0] == f"{data}/x"[1:]
    assert os.path.samefile(next(found.paths(found.table)), data / "x")


def test_roots_are_compared_by_folder_not_by_letter(data):
    fill(data, "ab1/x", "ab2/y")
    found = listed(["ab1", "ab2/y"])
    assert (found.root, list(found.table)) == (str(data), ["ab1/x", "ab2/y"])


def test_what_exists_is_meant_before_the_glob(data):
    fill(data, "[old]/a*b.png", "[old]/ab.png", "o/aXb.png")
    assert names("[old]") == ["a*b.png", "ab.png"]
    assert names("[old]/a*b.png") == ["a*b.png"]
    found = listed("[old]/*.png")
    assert (found.root, list(found.table)) == (str(data / "[old]"), ["a*b.png", "ab.png"])
    fill(data, "o/z")
    assert names("[op]/*.png") == ["o/aXb.png"]


def test_hidden_names_are_taken_only_where_named(data):
    fill(data / "in", "0", ".DS_Store", ".ipynb_checkpoints/0", "sub/.x", "sub/1")
    assert names("in") == ["0", "sub/1"]
    assert names("in/*") == ["0"]
    assert names("in/.*") == [".DS_Store"]
    assert names("in/.DS_Store") == [".DS_Store"]
    assert names("in/.ipynb_checkpoints") == ["0"]
    assert names("in/**/.x") == ["sub/.x"]


def test_links_are_followed_loops_are_not(data):
    fill(data, "in/a/0", "other/1", "other/deep/2")
    (data / "in/file").symlink_to(data / "other/1")
    (data / "in/folder").symlink_to(data / "other")
    (data / "in/a/up").symlink_to(data / "in")
    (data / "other/back").symlink_to(data / "in")
    (data / "in/self").symlink_to("self")
    (data / "in/gone").symlink_to("nowhere")
    found = listed("in")
    assert list(found.table) == [
        "a/0", "file", "folder/1", "folder/deep/2", "gone", "self",
    ]  # fmt: skip
    sizes = {name: size for name, size, _ in found.table.rows()}
    assert (sizes["file"], sizes["gone"], sizes["self"]) == (1 + len("other/"), -1, -1)


def test_what_is_not_a_file_is_left_out(data):
    fill(data, "in/0")
    os.mkfifo(data / "in/pipe")
    assert names("in") == ["0"]
    with pytest.raises(DatasetError, match=r"path='in/pipe' is neither a file nor a folder"):
        names("in/pipe")


def test_names_that_are_not_utf8(data):
    (data / "in").mkdir()
    raw = os.fsencode(data / "in") + b"/\xff\xe9.txt"
    with open(raw, "w"):
        pass
    found = listed("in")
    assert os.fsencode(next(found.paths(found.table))) == raw


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (
            "nothing",
            r"path='nothing' does not exist: looked for '.*/nothing', of which '.*' is there",
        ),
        ("in/x.png", r"path='in/x.png' does not exist"),
        ("in/0/x", r"path='in/0/x' does not exist: looked for '(.*)/x', of which '\1' is a file"),
        ("empty", r"path='empty' is a folder without files"),
        ("hidden", r"names that begin with '\.' are left out"),
        ("in/*.jpg", r"path='in/\*\.jpg' matches no file below '.*/in'"),
        ("*", r"path='\*' matches no file .* write 'folder/\*'"),
        (
            "no/*.jpg",
            r"path='no/\*\.jpg' does not exist: looked for '.*/no', of which '.*' is there",
        ),
        (
            "in/0/**",
            r"path='in/0/\*\*' does not exist: looked for '(.*/in/0)', of which '\1' is a file",
        ),
        (["in", "empty"], r"path='empty' is a folder without files"),
        (["in/0", "s3://bucket/x"], r"'in/0' and 's3://bucket/x' are not of the same kind"),
        (["s3://b/x", "gs://b/x"], r"'s3://b/x' and 'gs://b/x' are not of the same kind"),
    ],
)
def test_what_is_wrong_is_said_at_once(data, path, text):
    fill(data, "in/0", "hidden/.x")
    (data / "empty").mkdir()
    with pytest.raises(DatasetError, match=text):
        check_files(as_elements(path), str(data))
    with pytest.raises(DatasetError, match=text):
        listed(path)


@pytest.mark.skipif(sys.platform == "linux" and os.geteuid() == 0, reason="root may list anything")
def test_a_folder_without_permission(data):
    fill(data, "in/ok", "in/shut/1")
    (data / "in/shut").chmod(0)
    try:
        with pytest.raises(DatasetError, match=r"path='in': the folder '.*shut' can't be listed"):
            names("in")
    finally:
        (data / "in/shut").chmod(0o700)


def test_a_refused_folder_is_named(data, monkeypatch):
    fill(data, "in/ok", "in/shut/1")
    scan = os.scandir

    def refuse(path):
        if str(path).rstrip("/").endswith("shut"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(
        DatasetError,
        match=r"path='in': the folder '.*shut/' can't be listed: Permission.*Give this user",
    ):
        names("in")


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (
            errno.EIO,
            "can't be listed: Input/output error. See that its disk or network mount works",
        ),
        (errno.ENOENT, "'.*/in/gone/' was removed while its folder was listed"),
    ],
)
def test_what_is_no_matter_of_rights_is_not_said_to_be(data, monkeypatch, code, text):
    fill(data, "in/ok", "in/gone/1")
    scan = os.scandir

    def fail(path):
        if str(path).rstrip("/").endswith("gone"):
            raise OSError(code, os.strerror(code), str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", fail)
    with pytest.raises(DatasetError, match=f"path='in': .*{text}") as caught:
        names("in")
    assert "right" not in str(caught.value)


def test_a_path_that_may_not_be_looked_at(data, monkeypatch):
    stat = os.stat

    def refuse(path, **options):
        if path == str(data / "in"):
            raise PermissionError(13, "Permission denied", path)
        return stat(path, **options)

    monkeypatch.setattr(os, "stat", refuse)
    with pytest.raises(DatasetError, match=r"'in' can't be read: Permission.*Give this user"):
        find_local(str(data / "in"), "in")


class Store:
    def __init__(self, base, **options):
        self.base = base
        self.storage_options = options

    def url(self, relative):
        return f"{self.base}/{relative}" if relative else self.base


def test_datastore_paths(data):
    fill(data, "in/a/0", "in/b/1")
    store = Store(str(data / "in"))
    for path in [(store, "a"), DataPath(store, "a"), [(store, "a")], [DataPath(store, "a/0")]]:
        assert names(path) == ["0"]
    assert names(DataPath(store)) == ["a/0", "b/1"]
    assert names([(store, "a"), str(data / "in/b")]) == ["a/0", "b/1"]
    with pytest.raises(DatasetError, match=r"path=<DataPath .*/in/c> does not exist"):
        names((store, "c"))


def test_two_places_with_other_credentials_have_no_common_root():
    one, two = Store("memory://a", user="x"), Store("memory://a", user="y")
    with pytest.raises(DatasetError, match="different storage options") as caught:
        listed([(one, "x"), (two, "x")])
    assert "user" not in str(caught.value)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ([], "lists nothing"),
        ((), "lists nothing"),
        (3, r"path=3 is of type int"),
        (None, r"path=None is of type NoneType"),
        (["a", 3], r"path=3 is of type int"),
        ("", "names no file"),
        ("a\0b", "names no file"),
        (("folder", 3), r"is not \(datastore, 'relative/path'\)"),
        ((Store("x"), 3), r"path=\(datastore, 3\)"),
        (Store("x"), r"is a datastore. Write datastore.path"),
    ],
)
def test_what_is_no_path(path, text):
    with pytest.raises(DatasetError, match=text):
        as_elements(path)


def test_relative_paths_are_those_of_the_folder_given(data, tmp_path_factory):
    fill(data, "in/0")
    elements = as_elements("in")
    os.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert list(list_files(elements, str(data)).table) == ["0"]
