import io
import os
import shutil
from pathlib import Path

import pytest

from daskrun.errors import SettingsError, StorageError
from daskrun.output.folder import prepare_output, sweep, temporary_file


def test_folders_are_made_and_swept(tmp_path):
    output = tmp_path / "a" / "b"
    parts = prepare_output(output, "run1", "out.txt", overwrite=False)
    assert parts == output / "_daskrun" / "run1"
    assert os.listdir(parts) == []  # the probe is gone
    assert prepare_output(output, "run1", "out.txt", overwrite=False) == parts  # resumed
    other = prepare_output(output, "run2", None, overwrite=False)
    (parts / "some part").write_text("x")
    temporary_file(parts, output).write_text("left by a killed driver")
    sweep(parts)
    assert os.listdir(output) == ["_daskrun"]
    assert other.is_dir()
    sweep(other)
    assert os.listdir(output) == []
    sweep(other)  # again: nothing to do


def test_temporary_files_of_runs_differ(tmp_path):
    files = {
        temporary_file(prepare_output(tmp_path, run, None, overwrite=False), tmp_path)
        for run in ("run1", "run2")
    }
    assert len(files) == 2
    assert all(f.parent == tmp_path and f.name.startswith(".") for f in files)


def test_an_existing_output_is_refused_or_left_to_be_replaced(tmp_path):
    (tmp_path / "out.txt").write_text("old")
    with pytest.raises(SettingsError, match=r"append_row_file_name='out\.txt'.*overwrite=True"):
        prepare_output(tmp_path, "run", "out.txt", overwrite=False)
    assert os.listdir(tmp_path) == ["out.txt"]
    prepare_output(tmp_path, "run", "out.txt", overwrite=True)
    prepare_output(tmp_path, "run", None, overwrite=False)  # summary_only: not ours
    assert (tmp_path / "out.txt").read_text() == "old"


def test_a_link_to_nowhere_exists_too(tmp_path):
    (tmp_path / "out.txt").symlink_to(tmp_path / "nowhere")
    with pytest.raises(SettingsError, match="exists already"):
        prepare_output(tmp_path, "run", "out.txt", overwrite=False)


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_in_the_place_of_the_output_is_refused(tmp_path, overwrite):
    (tmp_path / "out.txt").mkdir()
    with pytest.raises(SettingsError, match=r"out\.txt is a folder"):
        prepare_output(tmp_path, "run", "out.txt", overwrite=overwrite)


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "file").touch()
    for name in ("out.txt", None):
        with pytest.raises(
            SettingsError, match=r"output=.*file.* can't be written: .*Give a folder"
        ):
            prepare_output(tmp_path / "file", "run", name, overwrite=False)


def test_a_name_the_file_system_can_not_hold_is_refused_before_the_run(tmp_path):
    with pytest.raises(SettingsError, match="File name too long"):
        prepare_output(tmp_path, "run", "x" * 300, overwrite=False)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(SettingsError, match=r"can't be written: .*Permission denied"):
        prepare_output(tmp_path, "run", "out.txt", overwrite=False)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="Linux only")
def test_a_folder_that_nobody_can_make_is_refused():
    with pytest.raises(SettingsError, match=r"output='/proc/none' can't be written"):
        prepare_output(Path("/proc/none"), "run", "out.txt", overwrite=False)


def test_a_disk_without_room_is_found_by_the_probe(tmp_path, monkeypatch):
    def full(self, data):
        raise OSError(28, "No space left on device")

    class Full(io.BytesIO):
        write = full

    real = type(tmp_path).open

    def opened(self, *args, **kwargs):
        return Full() if self.name.startswith(".probe") else real(self, *args, **kwargs)

    monkeypatch.setattr(type(tmp_path), "open", opened)
    with pytest.raises(SettingsError, match="No space left"):
        prepare_output(tmp_path, "run", "out.txt", overwrite=False)
    assert os.listdir(tmp_path) == []


def test_sweep_touches_only_folders_of_parts(tmp_path):
    (tmp_path / "precious").mkdir()
    with pytest.raises(ValueError, match="is not a folder of parts"):
        sweep(tmp_path / "precious")
    assert (tmp_path / "precious").is_dir()


def test_sweep_tries_again_and_then_says_what_is_left(tmp_path, monkeypatch):
    parts = prepare_output(tmp_path, "run", None, overwrite=False)
    real, calls = shutil.rmtree, []

    def busy_twice(path):
        calls.append(path)
        if len(calls) <= 2:
            raise OSError(39, "Directory not empty", str(path))
        real(path)

    monkeypatch.setattr(shutil, "rmtree", busy_twice)
    sweep(parts)
    assert len(calls) == 3
    assert os.listdir(tmp_path) == []
    parts = prepare_output(tmp_path, "run", None, overwrite=False)
    calls.clear()
    monkeypatch.setattr(shutil, "rmtree", lambda path: busy_twice(calls.clear() or path))
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    with pytest.raises(StorageError, match=r"can't remove .*run.*not empty"):
        sweep(parts)
