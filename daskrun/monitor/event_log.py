"""``sys/events.jsonl``: all that happened in a run, a line for each event; every view follows."""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daskrun.core.codec import from_record, to_record
from daskrun.core.events import METHODS, Bundle, BundleReturned, HandedOut, Observer, RunStarted
from daskrun.core.json_text import parsed
from daskrun.core.outcome import Failure, Found, ItemsFailed, Outcome, ProcessInfo
from daskrun.core.settings import without_secrets
from daskrun.core.typing import override
from daskrun.monitor.attempts import cut_torn_line
from daskrun.shown.url_secrets import without_url_secrets
from daskrun.storage.durable import open_regular
from daskrun.storage.folders import make_folder, open_kept

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from daskrun.core.events import Event

EVENTS = Path("sys", "events.jsonl")
"""Where it is, below a run's ``logs``."""
AT_ONCE = 1000
"""Events of a log that are read at once."""
KINDS = {kind.__name__: kind for kind in METHODS}


class EventLog(Observer):
    """Writes each event as a line of JSON: ``event``, its kind, then its fields.

    The first line of each driver has ``epoch`` too: the seconds since the epoch at which the clock
    of the ``now`` of its events showed 0. Values that may be secret are left out.
    """

    def __init__(self, path: Path) -> None:
        make_folder(path.parent)
        if path.exists() and not path.is_file():  # a pipe that was put there
            path.unlink()
        if path.exists():  # an earlier driver of the run may have been killed within a line
            cut_torn_line(path)
        # Each line leaves this process at once: a driver that is killed loses none.
        self._file = open_kept(path, "a", buffering=1, encoding="utf-8", errors="backslashreplace")

    @override
    def notify(self, event: Event) -> None:
        plain: dict[str, object]
        if isinstance(event, BundleReturned):
            plain = _returned(event)
        elif isinstance(event, HandedOut):
            plain = {"bundles": [_bundle(each) for each in event.bundles], "now": event.now}
        elif isinstance(event, RunStarted):
            settings = without_secrets(event.settings)
            epoch = time.time() - time.monotonic()
            plain = {"epoch": epoch, **to_record(replace(event, settings=settings))}
        else:
            plain = without_url_secrets(to_record(event))
        line = {"event": type(event).__name__, **plain}
        with self._writing():
            self._file.write(f"{json.dumps(line, ensure_ascii=False, separators=(',', ':'))}\n")

    @override
    def close(self) -> None:
        with self._writing():
            self._file.close()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Go on where the disk is full or gone, which may pass; warn of it."""
        try:
            yield
        except OSError as error:
            self.warning = f"the log of events is not whole: {error}"


def read_events(path: Path, start: int = 0, epoch: float = 0.0) -> Iterator[tuple[float, Event]]:
    """Yield the events of a log, each with the epoch of its driver's clock; a torn line is none.

    Of those that a view needs not all fields are kept: of successes where their rows are. From
    byte ``start`` on, where ``epoch`` is that of the driver there.
    """
    for _, line in _lines(path, start):
        epoch, event = _read(line, epoch)
        if event is not None:
            yield epoch, event


class EventTail:
    """Reads what is added to a log of events, which need not be there yet."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

    def read(self) -> list[Event]:
        """Return the events that have come since the last call, so many at once."""
        lines = _lines(self._path, self._offset)
        read = ((end, _read(line, 0.0)[1]) for end, line in lines)
        found = [*islice(((end, event) for end, event in read if event is not None), AT_ONCE)]
        self._offset = found[-1][0] if found else self._offset
        return [event for _, event in found]


def _lines(path: Path, start: int) -> Iterator[tuple[int, str]]:
    """Yield the whole lines from a byte on, each with the byte behind it."""
    if not path.is_file():
        return
    with open_regular(path) as file:
        file.seek(start)
        for line in file:
            if not line.endswith(b"\n"):
                return
            start += len(line)
            yield start, line.decode("utf-8", "replace")


def _read(line: str, epoch: float) -> tuple[float, Event | None]:
    """Return a line's event, None of what is none that is known, and the epoch from there on."""
    try:
        plain = parsed(line)
        kind = KINDS.get(plain.pop("event"))
        epoch = float(plain.pop("epoch", epoch))
        return epoch, None if kind is None else _event(kind, plain)
    except (ValueError, TypeError, KeyError, AttributeError, IndexError):
        return epoch, None


def _event(kind: type[Event], plain: Mapping[str, Any]) -> Event:
    if kind is BundleReturned:
        process = plain["process"]
        return BundleReturned(
            plain["number"],
            ProcessInfo(*process) if process is not None else None,
            tuple(map(_outcome, plain["outcomes"])),
            plain["seconds"],
            plain["now"],
            tuple(plain["warnings"]),
            plain["trouble"],
        )
    if kind is HandedOut:
        return HandedOut(tuple(_read_bundle(*each) for each in plain["bundles"]), plain["now"])
    made = {ProcessInfo: lambda plain: ProcessInfo(*plain)}
    return from_record(kind, plain, made, known_only=True)  # type: ignore[return-value]


def _returned(event: BundleReturned) -> dict[str, object]:
    return {
        "number": event.number,
        "process": event.process,
        "outcomes": [
            (*o[:5], o[6], *o[9:13])
            if o.error is None
            else (*o[:5], o[6], *o[9:13], _told(o.error))
            for o in event.outcomes
        ],
        "seconds": event.seconds,
        "now": event.now,
        "warnings": without_url_secrets(event.warnings),
        "trouble": without_url_secrets(event.trouble),
    }


def _told(error: Failure | Found | ItemsFailed) -> object:
    """Return a failure as its fields; items that failed in a success under a name of their own."""
    told = error.plain() if isinstance(error, Failure) else {"items_failed": error}
    return without_url_secrets(told)


def _outcome(values: list[Any]) -> Outcome:
    index, attempt, status, items, results, length, started, elapsed, run, load, *told = values
    error: Failure | ItemsFailed | None = None
    if told and (given := told[0].get("items_failed")) is not None:
        error = ItemsFailed(given[0], tuple(map(tuple, given[1])))
    elif told:
        error = Failure.from_plain(told[0])
    head = (index, attempt, status, items, results, -1, length, 0, 0)
    return Outcome(*head, started, elapsed, run, load, error)


def _bundle(bundle: Bundle) -> list[Any]:
    """Return a bundle with its mini-batches as ranges ``[start, stop, attempt]``."""
    ranges: list[list[int]] = []
    for index, attempt in bundle.entries:
        if ranges and ranges[-1][1:] == [index, attempt]:
            ranges[-1][1] = index + 1
        else:
            ranges.append([index, index + 1, attempt])
    return [bundle.number, bundle.node, ranges, bundle.survey]


def _read_bundle(number: int, node: str, ranges: list[list[int]], survey: bool) -> Bundle:
    entries = tuple((n, attempt) for start, stop, attempt in ranges for n in range(start, stop))
    return Bundle(number, node, entries, survey)
