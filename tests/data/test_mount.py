"""File datasets as folders."""

import os
from pathlib import Path

import pytest

from daskrun import Dataset, DatasetError


@pytest.fixture
def files(tmp_path):
    for name in ("a.txt", "inner/b.txt", "inner/c.png"):
        (tmp_path / "files" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "files" / name).write_text(name)
    return tmp_path / "files"


def below(folder):
    return sorted(str(p.relative_to(folder)) for p in Path(folder).rglob("*") if p.is_file())


def test_the_files_are_a_folder_while_it_lasts(files):
    with Dataset.File.from_files(str(files / "**/*.txt")).mount() as mounted:
        point = mounted.mount_point
        assert below(point) == ["a.txt", "inner/b.txt"]
        assert Path(point, "inner/b.txt").read_text() == "inner/b.txt"
    assert not os.path.exists(point)
    assert below(files) == ["a.txt", "inner/b.txt", "inner/c.png"]
    with pytest.raises(DatasetError, match="nothing is mounted"):
        _ = mounted.mount_point


def test_a_place_of_ones_own(files, tmp_path):
    mounted = Dataset.File.from_files(str(files)).mount(tmp_path / "here")
    mounted.start()
    mounted.start()
    assert len(below(tmp_path / "here")) == 3
    mounted.stop()
    mounted.stop()
    assert not (tmp_path / "here").exists()
    with pytest.raises(DatasetError, match="there and not empty"):
        Dataset.File.from_files(str(files)).mount(files)


def test_remote_files_are_copied(bucket):
    bucket.put("in/x/1.txt", b"one")
    data = Dataset.File.from_files(f"memory://{os.urandom(4).hex()}", validate=False)
    with pytest.raises(DatasetError):
        data.mount().start()
    from daskrun.data.protocols import DataPath

    class Place:
        storage_options = bucket.options

        def url(self, relative):
            return f"{bucket.url}/{relative}"

    with Dataset.File.from_files(DataPath(Place(), "in/")).mount() as mounted:
        assert below(mounted.mount_point) == ["x/1.txt"]
