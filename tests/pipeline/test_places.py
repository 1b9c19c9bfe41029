"""Outputs at a path or URL of the user's choice, without a datastore that names it."""

import os

import pytest

from daskrun import OutputFileDatasetConfig, SettingsError, StorageError


def test_an_output_goes_to_a_path_of_this_machine(work):
    output = OutputFileDatasetConfig("scores", destination="out/{run-id}")
    work.path.joinpath("elsewhere").mkdir()
    os.chdir(work.path / "elsewhere")  # it is of the folder in which it was made
    run = work.submit(work.make_step(output=output, entry_script=str(work.path / "score.py")))
    run.wait_for_completion()
    (step,) = run.get_steps()
    found = run.outputs["scores"]
    assert found.path == str(work.path / "out" / step.id / "parallel_run_step.txt")
    assert found.download(work.path / "copy", flat=True) == 1
    assert sorted(work.ws.datastores) == ["workspaceblobstore"]


def test_of_a_folder_with_other_files_only_the_output_is_downloaded(work, capsys):
    shared = work.path / "shared"
    (shared / "sub").mkdir(parents=True)
    for name in ("other.txt", "sub/more.txt"):
        (shared / name).write_text("not of the run")
    output = OutputFileDatasetConfig("scores", destination=str(shared))
    run = work.submit(work.make_step(output=output))
    run.wait_for_completion(show_output=True)
    found = run.outputs["scores"]
    assert f"written: 10 rows, in {found.path}\n" in capsys.readouterr().out
    assert found.download(work.path / "copy", flat=True) == 1
    assert os.listdir(work.path / "copy") == ["parallel_run_step.txt"]
    os.unlink(found.path)
    with pytest.raises(StorageError, match=r"there is no file in .*parallel_run_step\.txt"):
        found.download(work.path / "again", flat=True)


@pytest.mark.parametrize(
    ("place", "problem"),
    [
        ("s3://bucket", "is not (datastore, 'path')"),
        ("/", "is not (datastore, 'path')"),
        ("", "is not (datastore, 'path')"),
        ("htps://host/file", "Write https://"),
        ("s3://me:SECRET@host/file", r"'s3://\*\*\*@host/file' holds a password"),
        ("out/_daskrun", "is where daskrun keeps what is unfinished"),
    ],
)
def test_places_that_no_output_can_go_to(place, problem):
    with pytest.raises(SettingsError, match=problem.replace("(", r"\(").replace(")", r"\)")):
        OutputFileDatasetConfig("scores", destination=place)
