"""Input files that change between the plan and the end of a run."""

import os

import pytest

from daskrun.data import Dataset
from daskrun.data.file_plan import FilePlan
from daskrun.data.input_changes import changed_files, check_brought
from daskrun.errors import DatasetError


@pytest.fixture
def folder(tmp_path):
    for n in range(10):
        (tmp_path / f"{n}.txt").write_text("text")
    return tmp_path


@pytest.fixture
def plan(folder):
    return FilePlan([("files", Dataset.File.from_files(str(folder)))], 2)


def test_nothing_is_said_of_files_that_stay(plan):
    assert changed_files(plan) == ""


def test_what_has_changed_is_named(folder, plan):
    (folder / "1.txt").write_text("longer")
    (folder / "2.txt").unlink()
    os.utime(folder / "3.txt", ns=(1, 1))
    (folder / "new.txt").write_text("no part of the plan")
    assert changed_files(plan) == (
        f"3 input files were changed while the run went on: '{folder}/1.txt' had 4 bytes and has 6,"
        f" '{folder}/2.txt' can't be found any more, '{folder}/3.txt' was written again. Rows of "
        "such a file may be of either version."
    )


def test_of_many_the_first_are_named(folder, plan):
    for n in range(1, 6):
        (folder / f"{n}.txt").unlink()
    assert changed_files(plan).startswith("5 input files were")
    assert "'/5.txt'" not in changed_files(plan)
    assert " and 2 more. Rows" in changed_files(plan)


def test_of_too_many_some_are_looked_at(folder, plan):
    (folder / "1.txt").unlink()
    assert changed_files(plan, most=5) == ""  # the first, the third, ...
    (folder / "4.txt").unlink()
    told = "1 input file was changed while the run went on (5 of 10 were looked at):"
    assert changed_files(plan, most=5).startswith(told)


def test_what_was_brought_is_held_against_what_was_listed(folder):
    names = ["0.txt", "1.txt", "0.txt", "2.txt", "3.txt"]
    paths = [f"{folder}/{name}" for name in names]
    check_brought("s3://b/in", names, paths, 20)  # one that comes twice was listed twice
    check_brought("s3://b/in", names, paths, -1)
    (folder / "1.txt").write_text("longer")
    with pytest.raises(DatasetError) as caught:
        check_brought("s3://user:secret@b/in", names, paths, 20)
    assert str(caught.value) == (
        "one of the input files 's3://***@b/in/0.txt' (now 4 bytes), 's3://***@b/in/1.txt' (now 6 "
        "bytes), 's3://***@b/in/0.txt' (now 4 bytes) and 2 more was changed after the run was "
        "submitted: 20 bytes were listed, 22 were brought. Submit the run again."
    )
