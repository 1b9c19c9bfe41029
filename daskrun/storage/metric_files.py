"""What runs log: lines appended to a file of each process, in the folder of the run."""

from __future__ import annotations

import json
import os
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from daskrun.core.json_text import parsed
from daskrun.errors import StorageError
from daskrun.shown.url_secrets import without_url_secrets
from daskrun.storage.durable import read_file
from daskrun.storage.error_hints import explained
from daskrun.storage.folders import make_folder
from daskrun.storage.safe_names import is_part

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from daskrun.core.codec import JsonObject

FOLDER = "metrics"
"""In the run's folder."""
IMAGES = "images"
"""In that folder: a file for each image."""
FILES = "files"
"""In that folder: the files that a run was given, by their names."""
ENDING = ".jsonl"
VALUE, LIST, ROW, TABLE, IMAGE, TAG = "value", "list", "row", "table", "image", "tag"
ONLY = "only"
"""Kind of a record that names the one process whose records of a mini-batch count."""
_TABULAR = {ROW, TABLE}


class Record(NamedTuple):
    """One thing that was logged."""

    time: float
    """Seconds since the epoch, by the clock of the node; it never goes back in one process."""
    kind: str
    """``value``, ``list``, ``row``, ``table``, ``image`` or ``tag``."""
    name: str
    value: Any
    """Plain JSON; of a row ``{column: value}``, of a table ``{column: values}``, of an image its
    file's name."""
    description: str = ""
    of: tuple[int, int] | None = None
    """Index and attempt of the mini-batch that was in hand."""


class MetricFolder:
    """The metrics of one run. Any number of threads and processes may add at once.

    Each process appends to a file of its own, each record with one ``write``, so that a record is
    there when :meth:`add` returns, however the process ends. ``run_folder``: the run's. ``writer``:
    begins the names of this process's files, such as ``node000/process000``. ``of``: index and
    attempt of the mini-batch that is in hand.
    """

    def __init__(
        self, run_folder: Path, writer: str = "driver", of: tuple[int, int] | None = None
    ) -> None:
        self._folder = run_folder / FOLDER
        self._writer = writer.replace("/", "-")
        self._of = of

    def only(self, index: int, attempt: int, process: str, pid: int) -> None:
        """Have only what one of the processes logged that had a mini-batch at once."""
        self.add(ONLY, str(index), [index, attempt, f"{process.replace('/', '-')}-{pid}-"])

    def add(self, kind: str, name: str, value: Any, description: str = "") -> None:
        """Append a record.

        Raises StorageError where it can't be written. What was written of it is taken back.
        """
        told = without_url_secrets([kind, name, value, description])
        record = [time.time(), *told, *([self._of] if self._of is not None else [])]
        line = json.dumps(record).encode() + b"\n"
        process = _this_process()
        path = self._folder / f"{self._writer}-{process.name}{ENDING}"
        try:
            with process.lock:
                _append(path, line)
        except OSError as error:
            raise StorageError(explained(f"can't log {name!r} in {path}", error)) from error

    def add_image(self, name: str, image: bytes, ending: str, description: str = "") -> None:
        """Keep an image as a file and append a record of it.

        Raises StorageError where it can't be written.
        """
        shown = "".join(c if c.isalnum() or c in "-_." else "_" for c in name)[:100]
        file = f"{shown}-{os.urandom(6).hex()}{ending}"
        path = self._folder / IMAGES / file
        try:
            make_folder(self._folder, parents=False)
            make_folder(path.parent, parents=False)
            path.write_bytes(image)  # nobody knows of it until there is a record
        except OSError as error:
            raise StorageError(explained(f"can't keep image {name!r} in {path}", error)) from error
        self.add(IMAGE, name, file, description)

    def records(self) -> list[Record]:
        """Return all that was logged so far, in order of time; images as the paths they have now.

        Raises StorageError where the files can't be read.
        """
        try:
            files = sorted(file for file in self._folder.iterdir() if file.suffix == ENDING)
            found = _counted([(file.name, record) for file in files for record in _read(file)])
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StorageError(f"the metrics in {self._folder} can't be read: {error}") from error
        found.sort(key=lambda record: record.time)  # stable: a process's own order stays
        return [
            each._replace(value=str(self._folder / IMAGES / str(each.value)))
            if each.kind == IMAGE
            else each
            for each in found
            if each.kind != IMAGE or is_part(str(each.value))  # others may have written it
        ]


def _counted(found: list[tuple[str, Record]]) -> list[Record]:
    """Leave out what was logged in the run of a mini-batch that didn't count, and who says so."""
    only: dict[tuple[int, int], str] = {}
    for _, record in found:
        match record:
            case Record(kind=kind, value=[int(index), int(attempt), str(writer)]) if kind == ONLY:
                only[index, attempt] = writer
    return [
        record
        for name, record in found
        if record.kind != ONLY
        and (not only or record.of is None or name.startswith(only.get(record.of, "")))
    ]


def folded(records: list[Record]) -> JsonObject:
    """Return each name's metric, as :meth:`daskrun.Run.get_metrics` shows it."""
    by_name: dict[str, list[Record]] = {}
    for record in records:
        if record.kind != TAG:
            by_name.setdefault(record.name, []).append(record)
    return {name: _metric(found) for name, found in by_name.items()}


def tags(records: list[Record]) -> dict[str, str]:
    """Return the tags, each as it was set last."""
    return {record.name: record.value for record in records if record.kind == TAG}


def _metric(records: list[Record]) -> Any:
    first = records[0]
    if {record.kind for record in records} <= _TABULAR:
        return first.value if len(records) == 1 else _columns(records)
    if len(records) == 1 and first.kind != LIST:
        return first.value
    values: list[Any] = []
    for record in records:
        if record.kind == LIST:
            values += record.value
        else:
            values.append(record.value)
    return values


def _columns(records: list[Record]) -> dict[str, list[Any]]:
    """Put rows and tables below each other; where one has no such column, there is None."""
    columns: dict[str, list[Any]] = {}
    height = 0
    for record in records:
        table = record.value
        if record.kind == ROW:
            table = {name: [value] for name, value in table.items()}
        rows = max(map(len, table.values()), default=0)
        for name in table:
            columns.setdefault(name, [None] * height)
        for name, column in columns.items():
            column += table.get(name, [None] * rows)
        height += rows
    return columns


class _Process:
    """What the files of this process are named by, and the lock of its threads."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        # By chance too: another node, or another boot, may have a process of that number.
        self.name = f"{self.pid}-{os.urandom(4).hex()}"
        self.lock = threading.Lock()


_process = _Process()


def _this_process() -> _Process:
    """Return what is this process's own: a copy that user code forks must not share a lock."""
    global _process
    if _process.pid != os.getpid():
        _process = _Process()
    return _process


def _append(path: Path, line: bytes) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NONBLOCK
    try:
        descriptor = os.open(path, flags, 0o664)
    except FileNotFoundError:
        make_folder(path.parent, parents=False)
        descriptor = os.open(path, flags, 0o664)
    try:
        size = os.fstat(descriptor).st_size
        try:
            view = memoryview(line)
            while view:
                view = view[os.write(descriptor, view) :]
        except OSError:
            with suppress(OSError):
                os.ftruncate(descriptor, size)
            raise
    finally:
        os.close(descriptor)


def _read(path: Path) -> Iterator[Record]:
    """Read what a process has logged; a clock that was put back does not change the order."""
    latest = 0.0
    for line in read_file(path).splitlines(keepends=True):
        if not line.endswith(b"\n"):
            return  # being written now, or its process was killed while it wrote
        try:
            record = Record(*parsed(line))
            if record.of is not None:
                index, attempt = record.of
                record = record._replace(of=(int(index), int(attempt)))
            latest = max(latest, record.time)
        except (ValueError, TypeError):
            continue  # what could not be written whole: log() said so
        yield record._replace(time=latest)
