import shutil

import pytest

from daskrun.core.report import Report, RunStatus
from daskrun.errors import StorageError
from daskrun.workspace.run_folders.run_folder import RunFolder

REPORT = Report(
    RunStatus.FAILED, "it broke", None, 1, 2, 3, 10, 7, 3, 4, 1, errors=(), warnings=(), seconds=0.5
)


def test_a_copied_folder_still_tells_its_story(tmp_path):
    folder = RunFolder(tmp_path / "runs" / "r1")
    folder.create({"kind": "step", "name": "ä\udc80"})
    folder.add_state("Running")
    folder.add_state("Failed", "it broke")
    folder.write_report(REPORT)
    shutil.copytree(folder.path, tmp_path / "elsewhere" / "named-anew")

    copy = RunFolder(tmp_path / "elsewhere" / "named-anew")
    assert copy.manifest().values == {"kind": "step", "name": "ä\udc80"}
    assert [state.status for state in copy.states()] == ["NotStarted", "Running", "Failed"]
    assert copy.last_state().message == "it broke"
    assert copy.report() == REPORT
    assert not copy.is_driven()


def test_a_run_is_made_once(tmp_path):
    RunFolder(tmp_path / "r1").create({})
    with pytest.raises(StorageError, match="can't make the run's folder"):
        RunFolder(tmp_path / "r1").create({})


def test_a_run_that_was_removed_is_not_one_whose_workspace_is_away(tmp_path):
    folder = RunFolder(tmp_path / "runs" / "r1")
    folder.create({})
    assert folder.is_there()
    folder.remove()
    assert not folder.is_there()
    folder.path.parent.rmdir()
    with pytest.raises(StorageError, match="isn't there, so that no run can be looked for"):
        folder.is_there()


def test_who_drives(tmp_path):
    folder = RunFolder(tmp_path / "r1")
    folder.create({})
    assert not folder.is_driven()
    with folder.drive():
        assert folder.is_driven()
        assert folder.is_driven()
    assert not folder.is_driven()


def test_not_a_run(tmp_path):
    with pytest.raises(StorageError, match=r"it has no run\.json"):
        RunFolder(tmp_path).manifest()
    (tmp_path / "run.json").write_text("[]")
    with pytest.raises(StorageError, match="holds list"):
        RunFolder(tmp_path).manifest()
    assert RunFolder(tmp_path).report() is None
