"""Storage that fails under a run: what is lost is named, nobody is charged, nothing counts twice.

Disks are filled for real where this machine lets the tests mount a small one; else, and for what
can't be had at will (a stale mount, a failing disk), the system's call is made to answer so.
"""

from __future__ import annotations

import errno
import os
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from daskrun.core.report import RunStatus
from daskrun.engine.driver import RunControl, execute
from daskrun.errors import SettingsError
from daskrun.output.folder import RESERVE, prepare_output
from daskrun.output.parts import part
from daskrun.storage import journal as journal_module
from daskrun.storage.journal import Journal
from tests.running import (
    ECHO,
    SHORT,
    Finished,
    Watch,
    lines,
    make_request,
    run_script,
    wait_until_nothing_is_left,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a disk that has a little more than a run needs to begin."""
    folder = tmp_path / "small"
    folder.mkdir()
    size = f"size={RESERVE + 2**20}"
    command = ["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(folder)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs the right to mount a small disk")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def check_not_charged(run: Finished) -> None:
    """See that no mini-batch has a failed attempt, and that the run can be resumed."""
    assert run.report.status is RunStatus.FAILED
    assert run.output is None
    assert {o.status for o in run.attempts} <= {0}
    assert (run.report.failed, run.report.retried) == (0, 0)
    assert run.report.unfinished > 0
    assert "run.resume()" in run.report.message


def check_resumed(run: Finished, expected: bytes) -> None:
    """Resume it: what was done is not done again, and nothing is missing or there twice."""
    done = {o.index for o in run.attempts}
    watch = Watch()
    request = replace(run.request, resumed=True)
    report = execute(request, [watch], RunControl())
    assert (report.status, report.failed) == (RunStatus.COMPLETED, 0)
    assert {o.index for o in watch.attempts} == set(range(report.total)) - done
    assert {o.attempt for o in watch.attempts} == {1}
    assert Finished(request, report, watch).output == expected


# what refuses to write, and what the run says

FAULTS = {
    "ENOSPC": "No space left on device. The disk is full: free space there",
    "EDQUOT": "Disk quota exceeded. The quota is used up",
    "EROFS": "Read-only file system. The disk is mounted for reading only",
    "EIO": "Input/output error. The disk or the network mount has failed",
    "ESTALE": "Stale file handle. The disk or the network mount has failed",
}
CALLS = ["pwrite_all", "sync_data", "sync_folder"]
REFUSES = """
import errno, os
import daskrun.output.parts.part as part
def bad(*args):
    raise OSError(errno.{name}, os.strerror(errno.{name}))
def run(mini_batch, context):
    if context.minibatch_index == 3 and not os.path.exists({mended!r}):
        part.{call} = bad
    return [open(path).read() for path in mini_batch]
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "call", "target"),
    [
        *(("ENOSPC", call, target) for call in CALLS for target in (None, "inline")),
        *((name, "pwrite_all", None) for name in FAULTS if name != "ENOSPC"),
    ],
)
def test_a_disk_that_refuses_rows_ends_the_run_and_costs_no_attempt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, call: str, target: object
) -> None:
    monkeypatch.setattr(part, call, getattr(part, call))  # inline, the script changes it here
    code = REFUSES.format(name=name, call=call, mended=str(tmp_path / "mended"))
    if call == "sync_folder":
        code = code.replace("== 3", "== 0")  # once for each part
    run = run_script(tmp_path, code, files=8, target=target)
    check_not_charged(run)
    assert FAULTS[name] in run.report.message
    assert f"{tmp_path}/out/_daskrun/run1/" in run.report.message
    done = {o.index for o in run.attempts}
    if call == "sync_folder":
        assert 0 not in done
    else:  # what was written before it is on the disk and counts
        assert {0} <= done
        assert 3 not in done
    monkeypatch.undo()
    if name == "ENOSPC":
        (tmp_path / "mended").touch()
        check_resumed(run, lines(range(8)))


# disks that are full, gone or not to be written to

FILLS = """
import os
def run(mini_batch, context):
    filler = {filler!r}
    if context.minibatch_index == 3 and not os.path.exists({mended!r}):
        with open(filler, "wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(2**20 if {whole} else 4096))
                    if not {whole} and os.statvfs(filler).f_bavail * 4096 < {reserve}:
                        break
            except OSError:
                pass
    {then}
    return [open(path).read().rjust(10_000) for path in mini_batch]
"""
WIDE = b"".join(b"%10000d\n" % n for n in range(8))
"""What it gives: each row more than what is left of a page of the disk."""


def on_small_disk(tmp: Path, disk: Path, **options: Any) -> Finished:
    """Run with the output on a disk that the script fills up in mini-batch 3."""
    mended, filler = str(tmp / "mended"), str(disk / "filler")
    code = FILLS.format(mended=mended, filler=filler, reserve=RESERVE, **options)
    (tmp / "out").symlink_to(disk)
    return run_script(tmp, code, files=8, intervals=SHORT)


def mend(tmp: Path, disk: Path) -> None:
    (disk / "filler").unlink()
    (tmp / "mended").touch()


def test_a_full_disk_ends_the_run_which_goes_on_when_there_is_room(
    tmp_path: Path, small_disk: Path
) -> None:
    run = on_small_disk(tmp_path, small_disk, whole=True, then="pass")
    check_not_charged(run)
    assert "No space left on device" in run.report.message
    mend(tmp_path, small_disk)
    check_resumed(run, WIDE)


@pytest.mark.slow
def test_a_disk_that_is_nearly_full_ends_the_run_before_it_is(
    tmp_path: Path, small_disk: Path
) -> None:
    wait = f"if not os.path.exists({str(tmp_path / 'mended')!r}): __import__('time').sleep(0.4)"
    run = on_small_disk(tmp_path, small_disk, whole=False, then=wait)
    check_not_charged(run)
    assert "MB free and 33.6 MB are needed" in run.report.message
    assert run.report.message.endswith("there, then go on with run.resume().")
    mend(tmp_path, small_disk)
    check_resumed(run, WIDE)


def test_a_disk_without_room_is_refused_before_a_run(tmp_path: Path, small_disk: Path) -> None:
    (small_disk / "filler").write_bytes(bytes(2 * 2**20))
    with pytest.raises(SettingsError, match=r"32\.5 MB free, a run needs 33\.6 MB at least"):
        prepare_output(small_disk / "out", "run1", "rows.txt", overwrite=False)


def test_a_disk_for_reading_only_is_refused_before_a_run(tmp_path: Path, small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(SettingsError, match=r"can't be written: .*Read-only file system"):
        prepare_output(small_disk / "out", "run1", "rows.txt", overwrite=False)


@pytest.mark.slow
def test_an_output_folder_that_is_removed_ends_the_run(tmp_path: Path) -> None:
    code = """
    import os, shutil, time
    def run(mini_batch, context):
        if context.minibatch_index == 3:
            shutil.rmtree(os.environ["DASKRUN_OUTPUT_PATH"])
        if context.minibatch_index > 3:
            time.sleep(0.1)
        return [open(path).read() for path in mini_batch]
    """
    run = run_script(tmp_path, code, files=40, intervals=SHORT)
    check_not_charged(run)
    assert "removed" in run.report.message
    assert f"{tmp_path}/out/_daskrun/run1" in run.report.message


@pytest.mark.slow
@pytest.mark.parametrize("call", ["pwrite_all", "sync_data"])
def test_a_journal_that_can_not_be_written_ends_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, call: str
) -> None:
    real = getattr(journal_module, call)
    full = []

    def full_after_some(descriptor: int, *what: Any) -> None:
        if full or os.fstat(descriptor).st_size > 2000:
            full.append(1)
            if what:
                real(descriptor, what[0][:20], what[1])
            raise OSError(errno.ENOSPC, "No space left on device")
        real(descriptor, *what)

    monkeypatch.setattr(journal_module, call, full_after_some)
    # so slow that they come back in several bundles
    slow = ECHO.replace("    return", "    time.sleep(0.01)\n    return")
    request = make_request(tmp_path, "import time\n" + slow, files=100)
    watch = Watch()
    report = execute(request, [watch], RunControl())
    assert report.status is RunStatus.FAILED
    told = f"can't write the journal {request.run_folder}/journal: No space left on device"
    assert told in report.message
    assert report.message.endswith("then go on with run.resume().")
    assert not [r for r in caplog.records if r.name == "daskrun.engine.driver"]  # told once
    journalled = [
        o for r in Journal.read(request.run_folder / "journal") for o in r.get("outcomes", ())
    ]
    assert report.succeeded <= len(journalled) < 100  # nothing counts that isn't journalled
    assert call == "sync_data" or report.succeeded == len(journalled)
    assert watch.closed == 1
    assert wait_until_nothing_is_left() == []
    monkeypatch.undo()
    if call == "pwrite_all":  # else records may be there that did not count
        check_resumed(Finished(request, report, watch), lines(range(100)))
