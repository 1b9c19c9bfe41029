"""Runs with scripted faults, over files and over tables: the same rows from both."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from running import Finished, Watch, make_request, run_request, wait_until_nothing_is_left

from daskrun.core.report import RunStatus
from daskrun.data import Dataset
from daskrun.data.file_plan import FilePlan
from daskrun.data.tabular.planning.table_plan import TablePlan
from daskrun.engine.driver import RunControl, execute
from daskrun.testing import Faults, account
from daskrun.workspace.run_folders.run_folder import RunFolder

if TYPE_CHECKING:
    from daskrun.core.minibatch import Plan
    from daskrun.engine.request import StepRequest
    from daskrun.testing import Account

MINI_BATCHES, SIZE = 6, 2
ITEMS = MINI_BATCHES * SIZE
EACH_KIND = [(data, act) for data in ("files", "table") for act in ("append_row", "summary_only")]
SCRIPT = """
def run(mini_batch):
    if isinstance(mini_batch, list):
        return [open(path).read() for path in mini_batch]
    return [str(n) for n in mini_batch["n"]]
"""


def rows_of(*mini_batches: int) -> bytes:
    """Give the output of SCRIPT for these mini-batches."""
    return b"".join(b"%d\n" % (n * SIZE + k) for n in mini_batches for k in range(SIZE))


def make_plan(tmp: Path, data: str) -> Plan:
    """Lay out six mini-batches of two files, or of two rows."""
    folder = tmp / data
    if not folder.exists():
        folder.mkdir(parents=True)
        for n in range(MINI_BATCHES):
            first = n * SIZE
            if data == "table":
                (folder / f"{n}.csv").write_text(f"n,text\n{first},a\n{first + 1},b\n")
                continue
            for k in range(SIZE):
                (folder / f"{first + k:03d}.txt").write_text(str(first + k))
    if data == "table":
        table = Dataset.Tabular.from_delimited_files(str(folder)).resolve()
        return TablePlan([("rows", table)], 1000, None)  # each of the files is smaller
    return FilePlan([("files", Dataset.File.from_files(str(folder)))], SIZE)


def make_faulty(
    tmp: Path, data: str, action: str, faults: Faults, script: str = SCRIPT, **settings: Any
) -> StepRequest:
    """Say what is to be run: SCRIPT with its faults, over mini-batches of that kind."""
    own = tmp / "own" / "score.py"
    own.parent.mkdir()
    own.write_text(script)
    made = Path(faults.around(own))
    return make_request(
        tmp,
        made.read_text(),
        script=made.name,
        extra={"score.py": script},
        plan=make_plan(tmp, data),
        output_action=action,
        **settings,
    )


def audit(finished: Finished) -> Account:
    """Hold the journal, the output and the report against each other."""
    folder = RunFolder(finished.request.run_folder)
    folder.write_report(asdict(finished.report))
    found = account(folder.path, finished.request.output_folder)
    found.check()
    if finished.report.status is RunStatus.COMPLETED:
        assert found.exact is (True if finished.request.settings.appends else None)
    return found


def run_faulty(*arguments: Any, **settings: Any) -> tuple[Finished, Account]:
    """Run it to its end, and account for every row."""
    finished = run_request(make_faulty(*arguments, **settings))
    return finished, audit(finished)


def resume(request: StepRequest, **changed: Any) -> tuple[Finished, Account]:
    """Go on with a run, in this process."""
    request, watch = replace(request, resumed=True, **changed), Watch()
    finished = Finished(request, execute(request, [watch], RunControl()), watch)
    assert wait_until_nothing_is_left() == []
    return finished, audit(finished)
