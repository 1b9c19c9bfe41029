"""The report of a run: one page of HTML that needs nothing else, made from a :class:`Snapshot`."""

from __future__ import annotations

import math
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from daskrun.core.typing import override
from daskrun.monitor import plot_data
from daskrun.monitor.findings import efficiency, findings
from daskrun.monitor.pace import duration
from daskrun.monitor.statistics_file import StatisticsFile
from daskrun.shown.printable import one_line, safe
from daskrun.shown.url_secrets import shown_text
from daskrun.storage.folders import make_folder, open_kept

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jinja2 import Environment, FileSystemBytecodeCache
    from jinja2.bccache import Bucket

    from daskrun.core.events import RunEnded
    from daskrun.monitor.snapshot import Snapshot

REPORT = "report.html"
"""Its name in a run's ``logs``."""
WIDTH, HEIGHT = 1000, 120
"""Units of a plot."""
MOST_POINTS = 1000
"""Of a metric's values, drawn."""
PACKAGES = ("daskrun", "dask", "distributed", "pandas", "pyarrow", "numpy")


@dataclass(frozen=True)
class StepView:
    """A step of a pipeline's run, as a notebook shows it."""

    name: str
    status: str
    message: str
    after: tuple[str, ...]
    """Names of the steps that it waited for."""
    snapshot: Snapshot | None
    report: str = ""
    """Where its report is, once it has ended."""


def report_html(snapshot: Snapshot) -> str:
    """Return the report of a run, whole, as HTML; every text of users is escaped."""
    return _environment().get_template("report.html").render(_values(snapshot))


def summary_html(snapshot: Snapshot) -> str:
    """Return what a notebook shows of a run: a part of a page, with nothing outside it."""
    return _environment().get_template("summary.html").render(_values(snapshot))


def details_html(
    run_id: str, status: str, message: str, steps: Sequence[StepView], metrics: Mapping[str, object]
) -> str:
    """Return what a notebook shows of a pipeline's run: its steps, and what was logged."""
    from markupsafe import Markup

    shown = [
        {**vars(step), "html": Markup(summary_html(step.snapshot)) if step.snapshot else ""}
        for step in steps
    ]
    values = {name: _plotted(value) for name, value in metrics.items()}
    about = {"id": run_id, "status": status, "message": message}
    return _environment().get_template("details.html").render(**about, steps=shown, metrics=values)


def _plotted(value: object) -> dict[str, object]:
    """Return a metric as series of numbers, or as a text."""
    columns = value if isinstance(value, dict) else {"": value}
    series = {
        str(name): [float(each) for each in values[:: len(values) // MOST_POINTS + 1]]
        for name, values in columns.items()
        if isinstance(values, list) and len(values) > 1 and all(map(_is_number, values))
    }
    return {"series": series, "text": str(value)}


def _is_number(value: object) -> bool:
    try:
        return isinstance(value, int | float) and math.isfinite(value)
    except OverflowError:  # a whole number that no float holds
        return False


def _values(snapshot: Snapshot) -> dict[str, object]:
    found = efficiency(snapshot)
    return {
        "run": snapshot,
        "efficiency": None if found is None else f"{100 * found:.0f} %",
        "findings": findings(snapshot),
        "page": _page(snapshot),
        "progress": plot_data.progress(snapshot),
        "times": plot_data.times(snapshot),
        "throughput": plot_data.throughput(snapshot),
        "latency": plot_data.latency(snapshot),
        "processes": plot_data.processes(snapshot),
        "timeline": _lanes(plot_data.timeline(snapshot)),
        "usage": plot_data.usage(snapshot),
        "quantiles": {part: snapshot.quantile(part / 100) for part in (50, 95, 99)},
        "versions": _versions(),
        "seconds": snapshot.seconds,
    }


class ReportFile(StatisticsFile):
    """Keeps the statistics of a run, and writes its report when it has ended."""

    @override
    def on_run_ended(self, event: RunEnded) -> None:
        super().on_run_ended(event)
        path = self._path.parent.parent / REPORT
        try:
            with open_kept(path, "w", encoding="utf-8", errors="replace") as file:
                file.write(report_html(self.snapshot()))
        except OSError as error:
            self.warning = f"the report of the run could not be written: {error}"


def _compiled(folder: Path) -> FileSystemBytecodeCache | None:
    """Return where templates are kept compiled, which takes 0.1 s: beside them, as Python does.

    None where that can't be.
    """
    from jinja2 import FileSystemBytecodeCache

    class Compiled(FileSystemBytecodeCache):
        @override
        def dump_bytecode(self, bucket: Bucket) -> None:
            with suppress(OSError):  # the folder is for reading only
                super().dump_bytecode(bucket)

    if sys.dont_write_bytecode:
        return None
    try:
        make_folder(folder, parents=False)  # what is in it is run
    except OSError:
        return None
    return Compiled(str(folder))


@cache
def _environment() -> Environment:
    # Here: it takes 40 ms, for which nothing waits before a run has ended.
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    templates = Path(__file__).with_name("templates")
    made = Environment(
        loader=FileSystemLoader(templates),
        bytecode_cache=_compiled(templates / "__pycache__"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(
        text=safe, line=_line, duration=duration, clock=_clock, number="{:,}".format
    )
    made.globals.update(steps=steps, line=line, WIDTH=WIDTH, HEIGHT=HEIGHT, colors=plot_data.COLORS)
    return made


def steps(values: Sequence[float], most: float) -> str:
    """Return the path of an SVG that goes through values of equal intervals, closed at 0.

    Examples
    --------
    >>> steps([1, 2], 2)
    'M0,120V60.0H500.0V0.0H1000.0V120Z'
    """
    if not values:
        return ""
    width = WIDTH / len(values)
    parts = [
        f"V{HEIGHT * (1 - each / (most or 1)):.1f}H{width * (n + 1):.1f}"
        for n, each in enumerate(values)
    ]
    return f"M0,{HEIGHT}{''.join(parts)}V{HEIGHT}Z"


def line(values: Sequence[float]) -> str:
    """Return the points of a line through values at equal distances.

    Examples
    --------
    >>> line([1, 3, 2])
    '0.0,120.0 500.0,0.0 1000.0,60.0'
    """
    low, high = min(values), max(values)
    across, up = WIDTH / max(len(values) - 1, 1), HEIGHT / ((high - low) or 1)
    return " ".join(f"{across * n:.1f},{up * (high - each):.1f}" for n, each in enumerate(values))


def _page(snapshot: Snapshot) -> str:
    """Return the address of the page where a run is seen now; ``""`` where there is none."""
    address = "" if snapshot.status.ended else snapshot.dashboard
    known = address.startswith(("http://", "https://"))
    return f"{address.rpartition('/')[0]}/daskrun" if known else ""


def _lanes(columns: plot_data.Columns) -> dict[str, object]:
    """Return the attempts of a timeline as bars in a lane for each process."""
    lanes = sorted(set(columns["process"]))[: plot_data.MOST_BARS]
    first = min(columns["left"], default=0.0)
    whole = max(max(columns["right"], default=0.0) - first, 1.0)
    rows = zip(*columns.values(), strict=True)
    bars = [
        {
            "x": WIDTH * (left - first) / whole,
            "width": max(WIDTH * (right - left) / whole, 0.5),
            "lane": lanes.index(process),
            "color": color,
            "title": f"mini-batch {index}, try {attempt}: {status}, {seconds:.3f} s",
        }
        for process, left, right, color, index, attempt, status, seconds, _ in rows
        if process in lanes
    ]
    return {"lanes": lanes, "bars": bars, "first": first / 1000, "last": (first + whole) / 1000}


def _line(text: str) -> str:
    return one_line(shown_text(text))


def _clock(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(seconds))


@cache
def _versions() -> dict[str, str]:
    found = {"python": sys.version.split()[0]}
    for name in PACKAGES:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found
