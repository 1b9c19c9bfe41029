import itertools
import json
import os
import subprocess
import sys

import pytest

from daskrun.errors import NameNotFoundError, SettingsError, StorageError
from daskrun.storage import durable
from daskrun.storage.records import Records, write_whole

MANY = """
import sys, pathlib
from daskrun.storage.records import Records
records = Records(pathlib.Path(sys.argv[1]))
sys.stdin.readline()
for i in range(25):
    print(records.create("models", "mnist", {"by": sys.argv[2], "i": i}))
"""


def test_numbers_run_from_one_and_the_last_is_the_latest(tmp_path):
    records = Records(tmp_path / "ws")
    assert records.latest("models", "mnist") is None
    assert records.numbers("models", "mnist") == []
    assert records.names("models") == []
    for n in range(1, 13):
        assert records.create("models", "mnist", {"n": n}) == n
    assert records.numbers("models", "mnist") == list(range(1, 13))
    assert records.latest("models", "mnist") == (12, {"n": 12})
    assert records.get("models", "mnist", 9) == {"n": 9}
    assert json.loads((tmp_path / "ws/models/mnist/12.json").read_text()) == {"n": 12}


def test_a_number_is_given_once(tmp_path):
    records = Records(tmp_path)
    assert records.create("runs", "r", {"a": 1}, number=7) == 7
    with pytest.raises(StorageError, match=r"number=7 is taken: there is .*7\.json"):
        records.create("runs", "r", {"a": 2}, number=7)
    assert records.get("runs", "r", 7) == {"a": 1}
    assert records.create("runs", "r", {"a": 3}) == 8
    with pytest.raises(SettingsError, match="number=0"):
        records.create("runs", "r", {}, number=0)


@pytest.mark.parametrize("fallback", [False, True])
def test_processes_that_create_at_once_get_all_numbers_once(tmp_path, fallback):
    code = MANY
    if fallback:  # a file system without hard links
        code = (
            "import os, errno\ndef no(*a, **k): raise OSError(errno.EPERM, 'no links')\n"
            "os.link = no\n" + MANY
        )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path), str(n)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for n in range(3)
    ]
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    given = [[int(line) for line in p.communicate(timeout=60)[0].split()] for p in processes]
    assert sorted(itertools.chain(*given)) == list(range(1, 76))
    records = Records(tmp_path)
    for n, numbers in enumerate(given):
        assert numbers == sorted(numbers)
        for i, number in enumerate(numbers):
            assert records.get("models", "mnist", number) == {"by": str(n), "i": i}
    assert [f for f in os.listdir(tmp_path / "models/mnist") if not f.endswith(".json")] == []


def test_what_a_killed_process_left_is_no_record(tmp_path):
    code = (
        "import sys, os, signal, pathlib\n"
        "from daskrun.storage import records, record_store\n"
        "record_store.publish_new = lambda *a: os.kill(os.getpid(), signal.SIGKILL)\n"
        "records.Records(pathlib.Path(sys.argv[1])).create('models', 'mnist', {'a': 1})\n"
    )
    dead = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False, timeout=60)
    assert dead.returncode == -9
    assert len(os.listdir(tmp_path / "models/mnist")) == 1  # the temporary file
    records = Records(tmp_path)
    assert records.names("models") == []
    assert records.latest("models", "mnist") is None
    assert records.create("models", "mnist", {"a": 2}) == 1
    assert records.latest("models", "mnist") == (1, {"a": 2})


def test_a_number_claimed_but_not_filled_is_passed_over(tmp_path):
    records = Records(tmp_path)
    records.create("models", "m", {"a": 1})
    (tmp_path / "models/m/2.json").touch()  # killed between claim and replace, no hard links
    assert records.latest("models", "m") == (1, {"a": 1})
    with pytest.raises(NameNotFoundError, match="m:2"):
        records.get("models", "m", 2)
    assert records.create("models", "m", {"a": 3}) == 3


def test_what_is_not_a_number_is_not_a_record(tmp_path):
    records = Records(tmp_path)
    records.create("models", "m", {"a": 1})
    for name in ("0.json", "01.json", "2.json.bak", "x.json", "-3.json", "٣.json"):
        (tmp_path / "models/m" / name).write_text("{}")
    (tmp_path / "models/a file").touch()
    assert records.numbers("models", "m") == [1]
    assert records.names("models") == ["m"]
    assert records.numbers("models", "a file") == []


def test_delete_removes_all_of_one_name(tmp_path):
    records = Records(tmp_path)
    records.create("models", "a", {})
    records.create("models", "a", {})
    records.create("models", "b", {})
    assert records.delete("models", "a")
    assert not records.delete("models", "a")
    assert records.names("models") == ["b"]
    assert os.listdir(tmp_path / "models") == ["b"]
    assert records.create("models", "a", {}) == 1


def test_create_beside_a_delete_ends_with_a_record(tmp_path, monkeypatch):
    records = Records(tmp_path)
    original = durable.publish_new
    calls = []

    def deleted_first(temporary, path):
        if not calls:
            calls.append(path)
            records.delete("models", "a")
        original(temporary, path)

    monkeypatch.setattr("daskrun.storage.record_store.publish_new", deleted_first)
    assert records.create("models", "a", {"a": 1}) == 1
    assert records.latest("models", "a") == (1, {"a": 1})


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "is empty"),
        ("..", "begins with a dot"),
        (".hidden", "begins with a dot"),
        ("a/b", "has a slash"),
        ("a\\b", "has a slash"),
        ("a\0b", "control character"),
        ("a\nb", "control character"),
        ("ü" * 101, "longer than 200 bytes"),
    ],
)
def test_names_stay_inside_the_folder(tmp_path, name, why):
    records = Records(tmp_path)
    for call in (
        lambda: records.create("models", name, {}),
        lambda: records.latest("models", name),
        lambda: records.get("models", name, 1),
        lambda: records.numbers("models", name),
        lambda: records.delete("models", name),
    ):
        with pytest.raises(SettingsError, match=f"models: name=.*{why}"):
            call()
    with pytest.raises(SettingsError, match=f"record: kind=.*{why}"):
        records.names(name)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["mnist", "Größe 1", "a:b", "x" * 200, "caf\udce9", "名前"])
def test_other_names_are_kept_as_they_are(tmp_path, name):
    records = Records(tmp_path)
    value = {"name": name, "more": [1, 2.5, None, {"deep": True}]}
    assert records.create("models", name, value) == 1
    assert records.names("models") == [name]
    assert records.latest("models", name) == (1, value)


def test_errors_name_the_file(tmp_path):
    records = Records(tmp_path)
    records.create("models", "a", {})
    path = tmp_path / "models/a/2.json"
    path.write_text("{")
    with pytest.raises(StorageError, match=r"a/2\.json is not the JSON"):
        records.latest("models", "a")
    path.write_text("[1]")
    with pytest.raises(StorageError, match=r"a/2\.json holds list"):
        records.get("models", "a", 2)
    with pytest.raises(NameNotFoundError, match=r"no models has the name 'a:9'.*'a:1', 'a:2'"):
        records.get("models", "a", 9)
    (tmp_path / "plain").touch()
    with pytest.raises(StorageError, match=r"can't keep models 'a' in .*plain"):
        Records(tmp_path / "plain").create("models", "a", {})


def test_write_whole_replaces_and_leaves_nothing_beside(tmp_path):
    path = tmp_path / "state.json"
    write_whole(path, b"one")
    write_whole(path, b"two")
    assert path.read_bytes() == b"two"
    assert os.listdir(tmp_path) == ["state.json"]


def test_write_whole_that_fails_leaves_the_old(tmp_path, monkeypatch):
    path = tmp_path / "state.json"
    write_whole(path, b"one")

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(OSError, match="No space left"):
        write_whole(path, b"two")
    assert path.read_bytes() == b"one"
    assert os.listdir(tmp_path) == ["state.json"]


@pytest.mark.parametrize("fallback", [False, True])
def test_publish_new_never_replaces(tmp_path, monkeypatch, fallback):
    if fallback:

        def no(*args):
            raise OSError(1, "Operation not permitted")

        monkeypatch.setattr(os, "link", no)
    (tmp_path / "new").write_text("new")
    (tmp_path / "old").write_text("old")
    with pytest.raises(FileExistsError):
        durable.publish_new(tmp_path / "new", tmp_path / "old")
    assert (tmp_path / "old").read_text() == "old"
    durable.publish_new(tmp_path / "new", tmp_path / "free")
    assert (tmp_path / "free").read_text() == "new"
    assert sorted(os.listdir(tmp_path)) == ["free", "old"]


def test_a_number_that_was_deleted_is_not_given_again(tmp_path):
    records = Records(tmp_path)
    for number in (1, 2):
        records.create("models", "m", {"a": number})
    assert records.delete_one("models", "m", 2)
    assert not records.delete_one("models", "m", 2)
    assert not records.delete_one("models", "m", 7)
    assert records.latest("models", "m") == (1, {"a": 1})
    assert records.numbers("models", "m") == [1]
    with pytest.raises(NameNotFoundError, match=r"m:2.*'m:1'\.$"):
        records.get("models", "m", 2)
    with pytest.raises(StorageError, match="number=2 is taken"):
        records.create("models", "m", {}, 2)
    assert records.delete_one("models", "m", 1)
    assert records.names("models") == []
    assert records.latest("models", "m") is None
    assert records.create("models", "m", {"a": 3}) == 3
    assert records.names("models") == ["m"]


def test_values_of_all_records(tmp_path):
    records = Records(tmp_path)
    records.create("models", "m", {"path": "1"})
    records.create("models", "m", {})
    records.create("models", "n", {"path": "2"})
    assert records.values_of("models", ["m", "n", "none"], "path") == ["1", "2"]
