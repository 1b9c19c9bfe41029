"""The contract of sinks, for each that is built in; how sinks are named and found."""

from __future__ import annotations

import errno
import io
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow.parquet as pq
import pytest

from daskrun import (
    Dataset,
    EncodedRows,
    Experiment,
    ParallelRunConfig,
    ParallelRunStep,
    Pipeline,
    PipelineData,
    Sink,
    Workspace,
)
from daskrun.core import plugins
from daskrun.core.settings import RunSettings
from daskrun.errors import DaskrunError, RunFailedError, SettingsError
from daskrun.output.sinks.registry import (
    BUILT_IN,
    open_sink,
    reference_of,
    resolved,
    sink_names,
    sink_of,
    sink_problems,
)
from daskrun.output.sinks.sink import CommittedRows, SummarySink
from daskrun.testing import account, run_script
from daskrun.testing.contracts.sinks import SinkContract

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from daskrun import PipelineRun

FRAME = pd.DataFrame({"x": [1, 2], "y": ["a", None]})


class TestText(SinkContract):
    def make_sink(self) -> Sink:
        return open_sink("text")

    def count(self, output: bytes) -> int:
        return output.count(b"\n")


class TestCsv(SinkContract):
    def make_sink(self) -> Sink:
        return open_sink("csv")

    def results(self) -> Sequence[Any]:
        return [FRAME, [], [{"x": 3, "y": "b"}], [{"x": 4, "y": "c"}], FRAME[:0]]

    def count(self, output: bytes) -> int:
        return max(output.count(b"\r\n") - 1, 0)


class TestJsonLines(SinkContract):
    def make_sink(self) -> Sink:
        return open_sink("jsonl")

    def results(self) -> Sequence[Any]:
        return [FRAME, [], [{"x": 3}], [None, "é"], pd.Series([1, 2])]

    def count(self, output: bytes) -> int:
        return output.count(b"\n")


class TestParquet(SinkContract):
    def make_sink(self) -> Sink:
        return open_sink("parquet")

    def results(self) -> Sequence[Any]:
        return [FRAME, [], [{"x": 3, "y": None}], [{"x": 4, "y": "c"}] * 30, FRAME[:0]]

    def count(self, output: bytes) -> int:
        return int(pq.read_table(io.BytesIO(output)).num_rows)


@dataclass(frozen=True)
class Reversed(Sink):
    """Makes an output of its own, the last mini-batch first."""

    end: str = "\n"
    fail: str = ""

    def encode_elements(self, elements: Sequence[Any]) -> EncodedRows:
        return EncodedRows("".join(f"{each}{self.end}" for each in elements).encode())

    def assemble(self, mini_batches: Iterator[CommittedRows], file: Path) -> None:
        if self.fail == "raise":
            raise ValueError("no luck")
        if self.fail == "no file":
            list(mini_batches)
            return
        if self.fail == "not all":
            next(mini_batches)
        rows = [] if self.fail else [each.rows for each in mini_batches]
        file.write_bytes(b"".join(reversed(rows)))


class TestAssembled(SinkContract):
    def make_sink(self) -> Sink:
        return Reversed(";")

    def count(self, output: bytes) -> int:
        return output.count(b";")

    @pytest.mark.parametrize(
        ("fail", "message"),
        [
            ("raise", r"assemble\(\) failed: ValueError: no luck. Mend it and go on with run.res"),
            ("no file", r"assemble\(\) made no file 'output'"),
            ("not all", r"did not take the rows of all mini-batches"),
        ],
    )
    def test_a_sink_that_fails_publishes_nothing(
        self, tmp_path: Path, fail: str, message: str
    ) -> None:
        place = self._destination(tmp_path)
        done = self._written(place, self.results(), None, tmp_path)
        assembler = place.assembler("output", Reversed(fail=fail), tmp_path)
        for number, part, written in done:
            assembler.commit(number, part, *written)
        with pytest.raises(DaskrunError, match=message):
            assembler.finish()
        assembler.abandon()
        place.sweep()
        assert list(tmp_path.iterdir()) == []


def test_summary_only_counts_and_writes_nothing():
    sink = sink_of(RunSettings("a.py", output_action="summary_only", append_row_format="csv"))
    assert isinstance(sink, SummarySink)
    assert not sink.writes_rows
    assert (sink.count([1, 2]), sink.encode([1, 2])) == (2, (b"", 0))


@dataclass(frozen=True)
class Odd(Sink):
    value: object = field(default_factory=list)

    def encode_elements(self, elements: Sequence[Any]) -> EncodedRows:
        return EncodedRows(b"")


class Half(Sink):
    """Lacks a method."""


NO_SINK = object()


def test_each_way_to_name_a_sink():
    assert [reference_of(name) for name in BUILT_IN] == list(BUILT_IN)
    assert reference_of(Reversed) == reference_of(Reversed()) == f"{__name__}:Reversed"
    named = reference_of(Reversed(end='"é"'))
    assert named == f"{__name__}:Reversed(end='\"é\"')"
    assert open_sink(named) == Reversed('"é"')
    assert resolved("csv") == "daskrun.output.sinks.csv:CsvSink"
    config = ParallelRunConfig(
        entry_script="a.py",
        error_threshold=1,
        output_action="append_row",
        append_row_format=Reversed("\r"),
    )
    assert config.append_row_format == f"{__name__}:Reversed(end='\\r')"
    assert sink_of(config.resolve({})) == Reversed("\r")


def test_a_package_can_register_a_sink(monkeypatch):
    point = EntryPoint("mine", f"{__name__}:Reversed", "daskrun.sinks")
    monkeypatch.setitem(plugins._groups, "daskrun.sinks", {"mine": point, "csv": point})
    assert sink_names() == [*BUILT_IN, "mine"]
    assert reference_of("mine(end='x')") == "mine(end='x')"
    assert resolved("mine(end='x')") == f"{__name__}:Reversed(end='x')"
    assert open_sink("mine") == Reversed()
    assert type(open_sink("csv")).__name__ == "CsvSink"
    with pytest.raises(SettingsError, match=r"append_row_format='parquet' or .*='mine'\."):
        open_sink("their")


def local_sink() -> type[Sink]:
    class Local(Reversed):
        pass

    return Local


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ("xml", "append_row_format='jsonl' or append_row_format='parquet'."),
        (3, "append_row_format=3 is not one of its values"),
        ("nowhere:Sink", "can't be used: 'nowhere:Sink' can't be loaded: there is no module"),
        (f"{__name__}:Gone", "has no 'Gone'. Write append_row_format='sinks:MySink'"),
        (f"{__name__}:NO_SINK", "is no sink"),
        (f"{__name__}:Half", "lacks the method encode_elements of a daskrun.Sink"),
        (f"{__name__}:Reversed(ende=1)", "can't be made: .*unexpected keyword argument 'ende'"),
        (f"{__name__}:Reversed(1)", "can't be made: options are written name=value"),
        (f"{__name__}:Reversed(end=open('x'))", "can't be made: malformed"),
        (f"{__name__}:Reversed(", "can't be made"),
        (local_sink(), "is a class that script processes can't import"),
        (local_sink()(), "is a class that script processes can't import"),
        (Odd(object()), "can't be made"),
    ],
)
def test_what_names_no_sink_is_refused_at_once(given, problem):
    with pytest.raises(SettingsError, match=problem):
        ParallelRunConfig(
            entry_script="a.py",
            error_threshold=1,
            output_action="append_row",
            append_row_format=given,
        )


def test_run_script_gives_the_output_that_a_sink_makes(tmp_path):
    script = tmp_path / "twice.py"
    script.write_text("def run(mini_batch): return [path[-1] for path in mini_batch]\n")
    done = run_script(script, ["a", "b"], append_row_format=Reversed(end="|"))
    assert done.rows == b"a|b|"


class Full(Reversed):
    """Fails while there is a file ``full``."""

    def assemble(self, mini_batches: Iterator[CommittedRows], file: Path) -> None:
        if Path("full").exists():
            raise OSError(errno.ENOSPC, "No space left on device")
        super().assemble(mini_batches, file)


def submitted(sink: Sink | type[Sink] | str) -> PipelineRun:
    """Submit a run over three files in the working directory."""
    Path("texts").mkdir()
    for name in "abc":
        Path("texts", name).write_text(name)
    Path("name.py").write_text("def run(mini_batch): return [p[-1] for p in mini_batch]\n")
    config = ParallelRunConfig(
        entry_script="name.py",
        error_threshold=0,
        output_action="append_row",
        mini_batch_size=1,
        append_row_format=sink,
        compute_target="inline",
    )
    files = Dataset.File.from_files("texts").as_named_input("texts")
    output = PipelineData("out")
    step = ParallelRunStep("names", parallel_run_config=config, inputs=[files], output=output)
    ws = Workspace.from_config()
    return Experiment(ws, "e").submit(Pipeline(ws, [step]))


def output_of(run: PipelineRun) -> bytes:
    found = run.find_step_run("names")[0].get_output_data("out")
    found.download("got")
    (written,) = Path("got", found.path_on_datastore).iterdir()
    return written.read_bytes()


@pytest.mark.parametrize(
    ("sink", "output"),
    [
        (Reversed(end="|"), b"c|b|a|"),
        (Reversed, b"c\nb\na\n"),
        ("csv", b"result\r\na\r\nb\r\nc\r\n"),
    ],
)
def test_a_run_is_accounted_for_whatever_its_sink(tmp_path, monkeypatch, sink, output):
    monkeypatch.chdir(tmp_path)
    run = submitted(sink)
    run.wait_for_completion()
    account(run).check()
    assert output_of(run) == output


def test_a_resumed_run_makes_the_output_that_a_sink_failed_to_make(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("full").touch()
    run = submitted(Full)
    with pytest.raises(RunFailedError, match=r"can't assemble .*: No space left on device"):
        run.wait_for_completion()
    Path("full").unlink()
    run.resume().wait_for_completion()
    assert output_of(run) == b"c\nb\na\n"
    account(run).check()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"append_row_file_name": "rows.txt"}, "append_row_format='text' has no names of columns"),
        ({"append_row_file_name": "rows.csv"}, ""),
        ({"append_row_file_name": "rows.parquet"}, ""),
        ({"append_row_file_name": "rows.jsonl"}, ""),
        ({"append_row_format": f"{__name__}:Reversed"}, "has no names of columns in its output"),
    ],
)
def test_all_columns_are_refused_where_no_column_has_a_name(settings, said):
    needed = {"entry_script": "a.py", "error_threshold": 1, "output_action": "append_row"}
    config = ParallelRunConfig(**needed, columns="union", **settings)
    assert said in "".join(sink_problems(config.resolve({})))
    assert bool(sink_problems(config.resolve({}))) is bool(said)


def test_long_fields_and_quotes_are_read_again_where_columns_are_put_together(tmp_path):
    sink = open_sink("csv")
    long = 'say "hi",\r\n' * 20_000
    rows = [[{"a": long, "b": 1}], [{"b": 2, "a": "x"}], [{"a": "", "b": 3}]]
    encoded = [sink.encode(each) for each in rows]
    committed = [CommittedRows(n, d[:head], d[head:]) for n, (d, head) in enumerate(encoded)]
    sink.join_by_name(committed, tmp_path / "rows.csv")
    whole = open_sink("csv").encode([{"a": r[0]["a"], "b": r[0]["b"]} for r in rows])
    assert (tmp_path / "rows.csv").read_bytes() == whole.data
