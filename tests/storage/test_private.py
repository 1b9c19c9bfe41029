import os

import pytest

from daskrun.errors import StorageError
from daskrun.storage import private
from daskrun.storage.private import SecretFiles


def test_only_the_user_may_read_what_is_kept(tmp_path):
    files = SecretFiles(tmp_path / "private")
    name = files.keep({"key": "k3y"})
    assert files.read(name) == {"key": "k3y"}
    assert (tmp_path / "private").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "private" / name).stat().st_mode & 0o777 == 0o600


def test_what_is_gone_or_no_file_of_it(tmp_path):
    files = SecretFiles(tmp_path)
    name = files.keep({})
    files.remove(name)
    files.remove(name)
    with pytest.raises(StorageError, match="is gone: what needs it was registered anew"):
        files.read(name)
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(StorageError, match="is not what a workspace keeps there"):
        files.read("other.json")
    files.remove("other.json")
    assert (tmp_path / "other.json").exists()


def test_another_users_secret_is_said(tmp_path, monkeypatch):
    files = SecretFiles(tmp_path)
    name = files.keep({})

    def refused(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(private, "read_file", refused)
    with pytest.raises(StorageError, match=r"only the user .*EnvironmentVariable\(name\)"):
        files.read(name)


def test_sweep_leaves_what_is_named_or_new(tmp_path):
    files = SecretFiles(tmp_path)
    named, old, new = files.keep({}), files.keep({}), files.keep({})
    for name in (named, old):
        os.utime(tmp_path / name, (0, 0))
    files.sweep(lambda: [named])
    assert sorted(os.listdir(tmp_path)) == sorted([named, new])
    os.utime(tmp_path / new, (0, 0))
    files.remove(named)
    files.sweep(list)
    assert os.listdir(tmp_path) == []
    SecretFiles(tmp_path / "none").sweep(lambda: pytest.fail("nothing is old"))
