"""What every sink has to keep."""

from __future__ import annotations

import contextlib
import random
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from daskrun.errors import SettingsError, StorageError, WrongResultError
from daskrun.output.destination import destination_of
from daskrun.output.parts.part import ResultWriter, open_part
from daskrun.output.sinks.registry import open_sink, reference_of, resolved

if TYPE_CHECKING:
    from collections.abc import Sequence

    from daskrun.output.assembly.assembler import Assembler
    from daskrun.output.destination import Destination
    from daskrun.output.parts.part import Written
    from daskrun.output.sinks.sink import Sink

RUN = "run1"
NAME = "output"
Committed = tuple[int, str, "Written"]
"""A mini-batch, the part its rows are in, and where."""


class SinkContract(ABC):
    """Tests of a sink: what it encodes, and outputs of it in folders and behind a URL."""

    @abstractmethod
    def make_sink(self) -> Sink:
        """Make a sink."""

    def results(self) -> Sequence[Any]:
        """Return what ``run()`` may return for the mini-batches of one run."""
        return [["a", "b"], [], ["c"], ["d", "é", "f"], [], ["g"] * 3]

    def rows(self, output: bytes) -> Any:
        """Return what is compared of two outputs: their bytes, unless those may differ."""
        return output

    def count(self, output: bytes) -> int | None:  # noqa: ARG002  (for those who can)
        """Return how many results an output has; None where that can't be told."""
        return None

    def test_its_reference_makes_the_same_sink(self) -> None:
        """Script processes get a text, and records keep it."""
        sink = self.make_sink()
        reference = sink.reference or reference_of(sink)
        made = open_sink(resolved(reference))
        assert type(made) is type(sink)
        for result in self.results():
            assert made.encode(result) == sink.encode(result)

    @pytest.mark.parametrize("result", [None, "text", {"a": 1}, {"a"}, iter("ab"), 3, b"bytes"])
    def test_what_is_no_list_is_refused(self, result: Any) -> None:
        """The mini-batch fails; one that is empty fails like any other."""
        sink = self.make_sink()
        for call in (sink.count, sink.encode):
            with pytest.raises(WrongResultError):
                call(result)

    def test_results_are_counted_and_encoded_alike_each_time(self) -> None:
        """No encoding depends on an earlier one, so that a retry writes the same."""
        results = self.results()
        backwards = self.make_sink()
        found = {n: backwards.encode(results[n]) for n in reversed(range(len(results)))}
        sink = self.make_sink()
        for n, result in enumerate(results):
            data, header = encoded = sink.encode(result)
            assert encoded == found[n] == sink.encode(result)
            assert type(data) is bytes
            assert 0 <= header <= len(data)
            assert sink.count(result) == len(result)

    def test_headers_are_aside_as_the_output_has_them(self) -> None:
        """The CRC of rows is made in script processes, and checked in the driver."""
        sink = self.make_sink()
        if sink.writes_rows and not sink.assembles:
            with contextlib.closing(sink.headers(None)) as headers:
                assert headers.aside == sink.header_aside

    @pytest.mark.parametrize("seed", range(5))
    def test_the_output_depends_on_no_order(self, tmp_path: Path, seed: int) -> None:
        """Nor on which process wrote what, nor on attempts that are not committed."""
        chance = random.Random(seed)
        first = self._output(tmp_path / "in order", None)
        again = self._output(tmp_path / "any order", chance)
        behind = self._output(f"memory://{uuid4()}", chance, tmp_path)
        assert self.rows(first) == self.rows(again) == self.rows(behind)
        count = self.count(first)
        assert count is None or count == sum(len(result) for result in self.results())

    def test_an_output_without_rows_is_one(self, tmp_path: Path) -> None:
        """All mini-batches were empty, or failed, or there were none."""
        outputs = []
        for name, mini_batches in (("empty", [[], []]), ("failed", [None]), ("none", [])):
            place = self._destination(tmp_path / name)
            done = self._written(place, mini_batches, None, tmp_path)
            outputs.append(self._published(place, done, len(mini_batches), tmp_path))
        assert len({str(self.rows(output)) for output in outputs}) == 1
        assert not self.count(outputs[0])

    def test_an_output_that_is_there_is_kept_or_replaced(self, tmp_path: Path) -> None:
        """Before a run it is refused; what appears meanwhile is not overwritten either."""
        place = self._destination(tmp_path)
        output = self._output(tmp_path, None)
        with pytest.raises(SettingsError, match="exists already"):
            place.prepare(NAME, overwrite=False)
        (tmp_path / NAME).write_bytes(b"another")
        with pytest.raises(StorageError, match="appeared during the run"):
            self._output(tmp_path, None)
        assert (tmp_path / NAME).read_bytes() == b"another"
        assert self.rows(self._output(tmp_path, None, overwrite=True)) == self.rows(output)

    def test_nothing_is_left_of_one_that_is_given_up(self, tmp_path: Path) -> None:
        """Also after all rows are put together."""
        place = self._destination(tmp_path)
        done = self._written(place, self.results(), None, tmp_path)
        for finished in (False, True):
            assembler = self._assembler(place, done, tmp_path)
            assembler.advance()
            if finished:
                assembler.finish()
            assembler.abandon()
            assembler.abandon()
        place.sweep()
        assert list(tmp_path.iterdir()) == []

    def test_rows_that_something_has_changed_are_refused(self, tmp_path: Path) -> None:
        """They are checked against what the script process wrote."""
        place = self._destination(tmp_path)
        done = self._written(place, self.results(), None, tmp_path)
        for part in Path(place.parts).iterdir():
            data = bytearray(part.read_bytes())
            data[-1] ^= 1
            part.write_bytes(data)
        with pytest.raises(StorageError, match="does not hold the rows"):
            self._published(place, done, len(self.results()), tmp_path)

    def _destination(self, location: str | Path) -> Destination:
        place = destination_of(location, {}, RUN)
        place.prepare(None, overwrite=True)
        return place

    def _output(
        self,
        location: str | Path,
        chance: random.Random | None,
        spool: Path | None = None,
        *,
        overwrite: bool = False,
    ) -> bytes:
        """Return the output of a run over all results."""
        place, folder = self._destination(location), spool or Path(location)
        done = self._written(place, self.results(), chance, folder)
        return self._published(place, done, len(self.results()), folder, overwrite=overwrite)

    def _written(
        self, place: Destination, results: Sequence[Any], chance: random.Random | None, spool: Path
    ) -> list[Committed]:
        """Write results as processes do, in any order and some of them twice; None: it failed."""
        processes = 1 if chance is None else 3
        parts = [open_part(place.parts, {}, f"{n}-", str(spool)) for n in range(processes)]
        writers = [ResultWriter(self.make_sink(), part) for part in parts]
        order = [n for n, result in enumerate(results) if result is not None]
        if chance is not None:
            order = chance.sample(order, len(order))
        done = []
        for number in order:
            tries = 1 if chance is None else chance.randint(1, 2)
            for _ in range(tries):
                which = chance.randrange(processes) if chance is not None else 0
                written = writers[which].write(results[number], contextlib.nullcontext())
                part = parts[which]
                assert part is not None
                last = number, part.name if written.length else "", written
            done.append(last)
        for part in parts:
            assert part is not None
            part.close()
        return done

    def _assembler(self, place: Destination, done: list[Committed], spool: Path) -> Assembler:
        assembler = place.assembler(NAME, self.make_sink(), spool)
        for number, part, written in done:
            assembler.commit(number, part, *written)
        return assembler

    def _published(
        self,
        place: Destination,
        done: list[Committed],
        total: int,
        spool: Path,
        *,
        overwrite: bool = False,
    ) -> bytes:
        assembler = self._assembler(place, done, spool)
        try:
            for number in set(range(total)) - {number for number, _, _ in done}:
                assembler.skip(number)
            assembler.advance()
            assembler.finish()
            mark = assembler.mark
            assembler.publish(overwrite, total)
        finally:
            assembler.abandon()
        assert place.published(NAME, mark)
        location = place.parts.partition("/_daskrun")[0]
        if "://" not in location:
            return Path(location, NAME).read_bytes()
        import fsspec

        with fsspec.open(f"{location}/{NAME}", "rb") as file:
            data: bytes = file.read()
        return data
