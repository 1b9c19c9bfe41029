"""One attempt, in this process: what becomes of each kind of result, and what it shows."""

from __future__ import annotations

import os
import sys
import textwrap
import zlib
from typing import TYPE_CHECKING, Any

import pytest

from daskrun.core.minibatch import Descriptor, PlanInput
from daskrun.core.outcome import Outcome, Status
from daskrun.data.loading import MiniBatchPaths
from daskrun.output.parts.part import PartWriter, ResultWriter
from daskrun.output.sinks.registry import open_sink
from daskrun.script.process.entry import EntryModule
from daskrun.script.process.execute import Executor
from daskrun.script.process_spec import ScriptFile
from daskrun.script.status_block import StatusBlock
from daskrun.script.wire import shared_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Make = Callable[..., "Trial"]


class Trial:
    """An executor over three local files."""

    def __init__(self, tmp: Path, code: str, *, writes: bool = True, **options: Any) -> None:
        for n in range(3):
            (tmp / f"{n}.txt").write_text(str(n))
        path = tmp / "attempt_script.py"
        path.write_text(textwrap.dedent(code))
        module = EntryModule(ScriptFile(str(path), str(path), str(tmp)))
        fd = shared_memory("test-status")
        self.block = StatusBlock(fd, create=True)
        os.close(fd)
        module.module.__dict__["cell"] = self.block
        parts = tmp / "parts"
        parts.mkdir()
        self.part = PartWriter(parts, "p-") if writes else None
        self.parts = parts
        source = PlanInput("numbers", str(tmp), options.pop("remote", False), {})
        writer = ResultWriter(open_sink("text"), self.part)
        self._executor = Executor(module, [source], writer, self.block, **options)

    def attempt(self, *names: str, index: int = 5, number: int = 1) -> Outcome:
        descriptor = Descriptor(index, 0, ("files", *names), len(names), -1)
        return self._executor.attempt(1, descriptor, number)

    def written(self, outcome: Outcome) -> bytes:
        assert self.part is not None
        data = (self.parts / self.part.name).read_bytes()
        return data[outcome.offset : outcome.offset + outcome.length]


@pytest.fixture
def trial(tmp_path: Path) -> Iterator[Make]:
    before = set(sys.modules)
    yield lambda code, **options: Trial(tmp_path, code, **options)
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_a_success_is_written_and_described(trial: Make) -> None:
    t = trial("def run(m): return [open(p).read() for p in m]")
    first = t.attempt("0.txt", "1.txt")
    second = t.attempt("2.txt", index=6, number=3)
    assert first[:9] == (5, 1, 0, 2, 2, 0, 4, 0, zlib.crc32(b"0\n1\n"))
    assert (second.index, second.attempt, second.offset) == (6, 3, 4)
    assert (t.written(first), t.written(second)) == (b"0\n1\n", b"2\n")
    assert 0 <= first.run_seconds <= first.elapsed


def test_summary_only_writes_nothing_and_counts_the_same(trial: Make) -> None:
    t = trial("def run(m): return m", writes=False)
    assert t.attempt("0.txt", "1.txt")[2:8] == (0, 2, 2, -1, 0, 0)


def test_an_empty_result_is_a_success_without_bytes(trial: Make) -> None:
    t = trial("def run(m): return []")
    assert t.attempt("0.txt")[2:8] == (0, 1, 0, -1, 0, 0)


@pytest.mark.parametrize("result", ["None", "'text'", "{}", "(x for x in m)", "3", "set(m)"])
def test_a_wrong_type_is_named_and_costs_the_attempt(trial: Make, result: str) -> None:
    outcome = trial(f"def run(m): return {result}").attempt("0.txt", "1.txt")
    assert outcome.status == Status.WRONG_TYPE
    assert outcome[3:8] == (2, 0, -1, 0, 0)
    assert "run() returned" in outcome.error.message


def test_a_result_that_cannot_be_written_is_an_output_error(trial: Make) -> None:
    code = """
    class Sly:
        def __str__(self): raise RuntimeError("not shown")
    def run(m): return [Sly()] if m[0].endswith("0.txt") else m
    """
    t = trial(code)
    outcome = t.attempt("0.txt")
    assert outcome.status == Status.NOT_WRITTEN
    assert outcome.error.where == "attempt_script.py:3"
    assert t.attempt("1.txt").offset == 0  # nothing of the first was kept


def test_a_file_that_is_not_there_is_an_input_error(trial: Make) -> None:
    outcome = trial("def run(m): return [open(p).read() for p in m]").attempt("9.txt", "0.txt")
    assert outcome.status == Status.NOT_LOADED
    assert outcome.items == 2
    assert "9.txt" in outcome.error.message


def test_an_empty_mini_batch_does_not_call_run(trial: Make) -> None:
    outcome = trial("def run(m): raise RuntimeError").attempt()
    assert outcome[2:5] == (0, 0, 0)


def test_the_context_names_mini_batch_and_input(trial: Make) -> None:
    code = """
    def run(m, c):
        return [c.minibatch_index, c.dataset, c.partition_key_value,
                c.global_row_index_lower_bound]
    """
    t = trial(code)
    assert t.written(t.attempt("0.txt", index=8)) == b"8\nnumbers\nNone\nNone\n"


def test_the_mini_batch_is_a_list_of_paths_with_a_task_id(trial: Make, tmp_path: Path) -> None:
    t = trial("def run(m): return [isinstance(m, list), m.task_id, *m]")
    expected = f"True\n5\n{tmp_path}/0.txt\n".encode()
    assert t.written(t.attempt("0.txt")) == expected


def test_the_cell_shows_what_is_running_until_it_is_let_go(trial: Make) -> None:
    code = """
    def run(m):
        i = cell.ints
        assert (i[cell.IN_HAND], i[cell.RUNNING], i[cell.ITEMS], i[cell.ATTEMPT]) == (5, 1, 1, 2)
        raise KeyError("x")
    """
    t = trial(code)
    outcome = t.attempt("0.txt", number=2)
    assert outcome.error.message == "KeyError: 'x'"
    assert t.block.ints[StatusBlock.IN_HAND] == 5  # its outcome is not safe yet
    t._executor.let_go()
    assert t.block.ints[StatusBlock.IN_HAND] == -1


def test_the_cell_shows_the_mini_batch_as_running_while_its_rows_are_made(trial: Make) -> None:
    # a process that dies in the user's __str__ must be blamed on this mini-batch
    code = """
    class Row:
        def __str__(self): return str(cell.ints[cell.IN_HAND])
    def run(m): return [Row()]
    """
    t = trial(code)
    assert t.written(t.attempt("0.txt")) == b"5\n"


@pytest.mark.parametrize("code", ["def run(m): return m", "def run(m): raise ValueError"])
def test_remote_files_are_asked_for_and_let_go_also_after_a_failure(trial: Make, code: str) -> None:
    said: list[tuple[object, ...]] = []

    def fetched(bundle: int, index: int, source: dict[str, Any], load: Any) -> list[str]:
        said.append(("fetch", bundle, index, load))
        assert t.block.ints[StatusBlock.IN_HAND] == index
        assert t.block.ints[StatusBlock.RUNNING] == 0
        return [f"/copy/{name}" for name in load[1:]]

    t = trial(code, remote=True, fetched=fetched, release=lambda b, i: said.append(("done", b, i)))
    t.attempt("0.txt")
    assert said == [("fetch", 1, 5, ("files", "0.txt")), ("done", 1, 5)]


def test_a_fetch_that_fails_is_an_input_error(trial: Make) -> None:
    def fetched(*_: object) -> list[str]:
        raise OSError("no route")

    outcome = trial("def run(m): return m", remote=True, fetched=fetched).attempt("0.txt", "1.txt")
    assert (outcome.status, outcome.items) == (Status.NOT_LOADED, 2)
    assert outcome.error.message == "OSError: no route"


def test_paths_are_a_list_that_can_be_copied() -> None:
    paths = MiniBatchPaths(["a", "b"], 3)
    assert [*paths, "c"] == ["a", "b", "c"]
    assert paths.task_id is not None
