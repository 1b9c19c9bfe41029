"""Room on the output's disk: what is found, what is said, and when."""

import os
from types import SimpleNamespace

import pytest

from daskrun.core.intervals import USUAL
from daskrun.errors import SettingsError
from daskrun.output.folder import FEWEST_DONE, NOTHING, RESERVE, SpaceWatch, prepare_output, room

MB = 10**6


class Disks:
    """What ``os.statvfs`` answers, by folder."""

    def __init__(self) -> None:
        self.free = 10**12
        self.other = 10**12
        self.files = 10**6
        self.fails = False

    def __call__(self, folder):
        if self.fails:
            raise OSError("Stale file handle")
        free = self.other if "workspace" in str(folder) else self.free
        return SimpleNamespace(f_bavail=free, f_frsize=1, f_files=10**7, f_favail=self.files)


@pytest.fixture
def disks(monkeypatch):
    disks = Disks()
    monkeypatch.setattr(os, "statvfs", disks)
    return disks


@pytest.fixture
def watch(disks, tmp_path):
    output, run_folder = tmp_path / "out", tmp_path / "workspace"
    parts = prepare_output(output, "run1", "rows.txt", overwrite=False)
    run_folder.mkdir()
    return SpaceWatch(output, parts, run_folder)


def test_a_full_disk_is_refused_before_a_run(disks, tmp_path):
    output = tmp_path / "out"
    disks.free = RESERVE - 1
    with pytest.raises(SettingsError) as caught:
        prepare_output(output, "run1", "rows.txt", overwrite=False)
    text = str(caught.value)
    assert text.startswith(f"output: output={str(output)!r}: {output}/_daskrun/run1 has 33.6 MB")
    assert text.endswith("Free space there, or give a folder on another disk.")
    assert list(output.iterdir()) == []
    disks.free = RESERVE
    assert prepare_output(output, "run1", "rows.txt", overwrite=False).is_dir()


def test_a_disk_that_can_hold_no_more_files_is_refused(disks, tmp_path):
    disks.files = 3
    with pytest.raises(SettingsError, match="only 3 more files can be made"):
        prepare_output(tmp_path / "out", "run1", "rows.txt", overwrite=False)


def test_room_for_what_is_still_to_be_joined_is_needed(watch, disks):
    disks.free = RESERVE + 500 * MB
    assert watch.check(0.0, 500 * MB, 0, 5, None) == NOTHING
    assert watch.check(USUAL.space_look, 900 * MB, 400 * MB, 9, None) == NOTHING
    look = watch.check(2 * USUAL.space_look, 900 * MB, 300 * MB, 9, None)
    assert "has 534 MB free and 634 MB are needed: 600 MB of finished rows" in look.trouble
    assert look.trouble.endswith("Free 100 MB there, then go on with run.resume().")


def test_it_looks_only_now_and_then(watch, disks):
    assert watch.check(100.0, 0, 0, 0, None) == NOTHING
    disks.free = 0
    assert watch.check(100.0 + USUAL.space_look / 2, 0, 0, 0, None) == NOTHING
    assert "Free 33.6 MB there" in watch.check(100.0 + USUAL.space_look, 0, 0, 0, None).trouble


def test_the_disk_of_the_journal_is_looked_at_too(watch, disks, tmp_path):
    disks.other = 1000
    look = watch.check(0.0, 0, 0, 0, None)
    assert look.trouble.startswith(f"{tmp_path / 'workspace'} has 0.001 MB free, a run needs")


@pytest.mark.parametrize("done", [FEWEST_DONE - 1, FEWEST_DONE])
def test_what_will_not_fit_is_foreseen_once(watch, disks, done):
    disks.free = 1500 * MB
    look = watch.check(0.0, 100 * MB, 100 * MB, done, 10 * done)
    assert look.trouble == ""
    if done < FEWEST_DONE:
        assert look.warning == ""
        return
    assert "is going to take about 1 GB" in look.warning
    assert "which has 1.5 GB free. Free 334 MB there" in look.warning
    assert watch.check(USUAL.space_look, 100 * MB, 100 * MB, done, 10 * done) == NOTHING


def test_what_will_fit_is_no_warning(watch, disks):
    disks.free = 1800 * MB + RESERVE
    assert watch.check(0.0, 100 * MB, 100 * MB, 10, 100) == NOTHING
    disks.free -= 1
    assert watch.check(USUAL.space_look, 100 * MB, 100 * MB, 10, 100).warning


def test_parts_that_were_removed_end_the_run(watch, tmp_path):
    (tmp_path / "out/_daskrun/run1").rmdir()
    look = watch.check(0.0, 0, 0, 0, None)
    assert f"the folder {tmp_path}/out/_daskrun/run1 was removed while the run" in look.trouble


def test_a_disk_that_does_not_answer_is_left_to_those_who_write(watch, disks):
    disks.fails = True
    assert watch.check(0.0, 0, 0, 0, None) == NOTHING


def test_the_room_of_a_real_disk(tmp_path):
    free = room(tmp_path)
    assert free.nbytes > 0
    with pytest.raises(FileNotFoundError):
        room(tmp_path / "gone")
