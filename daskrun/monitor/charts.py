"""The plots of a run, drawn with bokeh from a :class:`Snapshot`: of the dashboard and the report.

bokeh is loaded with this module, so it is imported when somebody looks.
"""

from __future__ import annotations

import csv
from abc import ABC, abstractmethod
from collections import deque
from datetime import UTC, datetime
from math import pi
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bokeh.models import ColumnDataSource, HoverTool, NumeralTickFormatter, Range1d
from bokeh.plotting import figure

from daskrun.core.outcome import Status
from daskrun.core.printable import printable
from daskrun.core.typing import override
from daskrun.monitor.findings import KINDS, shares
from daskrun.monitor.snapshot import BOUNDS, quantile

if TYPE_CHECKING:
    from daskrun.monitor.snapshot import ProcessStatistics, Snapshot

COLORS = {
    "run": "#2b7bba",
    "load": "#e08e0b",
    "write": "#8fbc5a",
    "init": "#8d6cab",
    "failed": "#c0392b",
    "waiting": "#b8b8b8",
}
DONE, FAILED, AGAIN, LEFT = COLORS["run"], COLORS["failed"], COLORS["load"], COLORS["waiting"]
TEXT = "#808080"
"""Readable on light and on dark pages."""
HEIGHT = 220
MOST_BARS = 40
"""Processes drawn by name; of more, those that made most attempts."""
USAGE_ROWS = 2000
"""Lines at the end of a node's file of usage that are drawn."""


class Chart(ABC):
    """A plot: made once, then shown a snapshot whenever there is a newer one."""

    name: str
    """In addresses."""
    title: str
    tooltips: tuple[tuple[str, str], ...] = ()

    def __init__(self, **options: Any) -> None:
        self.root = figure(
            title=self.title,
            height=HEIGHT,
            sizing_mode="stretch_width",
            tools="",
            toolbar_location=None,
            background_fill_color=None,
            border_fill_color=None,
            outline_line_color=None,
            **options,
        )
        self.source = ColumnDataSource(self.empty())
        for part in (self.root.title, self.root.xaxis, self.root.yaxis):
            for name in ("text_color", "axis_label_text_color", "major_label_text_color"):
                if hasattr(part, name):
                    setattr(part, name, TEXT)
        self.root.grid.grid_line_alpha = 0.25
        if self.tooltips:
            self.root.add_tools(HoverTool(tooltips=list(self.tooltips)))
        self.draw()

    @abstractmethod
    def empty(self) -> dict[str, list[Any]]:
        """Return the columns without values."""

    @abstractmethod
    def draw(self) -> None:
        """Add what shows :attr:`source` to :attr:`root`."""

    @abstractmethod
    def columns(self, snapshot: Snapshot) -> dict[str, list[Any]]:
        """Return the columns of a snapshot."""

    def show(self, snapshot: Snapshot) -> None:
        """Draw a snapshot."""
        columns = self.columns(snapshot)
        if columns != self.source.data:
            self.source.data = columns


class ProgressChart(Chart):
    """How many mini-batches are in which state."""

    name, title = "progress", "Mini-batches"
    tooltips = (("", "@state: @count{0,0}"),)

    @override
    def empty(self) -> dict[str, list[Any]]:
        return {name: [] for name in ("state", "left", "right", "count", "color")}

    @override
    def draw(self) -> None:
        self.root.height = 130
        self.root.hbar(
            y=0, left="left", right="right", height=0.8, color="color", source=self.source,
            legend_field="state",
        )  # fmt: skip
        self.root.yaxis.visible = False
        self.root.xaxis.formatter = NumeralTickFormatter(format="0,0")
        _legend(self.root)

    @override
    def columns(self, snapshot: Snapshot) -> dict[str, list[Any]]:
        now = snapshot.progress
        done = now.succeeded + now.failed
        left = max((now.total or 0) - done - now.in_flight, 0)
        counts = {"succeeded": now.succeeded, "failed": now.failed, "in flight": now.in_flight,
                  "not begun": left}  # fmt: skip
        lefts = _sums(counts.values())
        return {
            "state": list(counts),
            "left": lefts,
            "right": [at + count for at, count in zip(lefts, counts.values(), strict=True)],
            "count": list(counts.values()),
            "color": [DONE, FAILED, AGAIN, LEFT],
        }


class ThroughputChart(Chart):
    """Mini-batches and items per second over time."""

    name, title = "throughput", "Mini-batches per second"
    tooltips = (("", "@succeeded{0.0}/s, @items{0,0.0} items/s, @failed{0.0} failed tries/s"),)

    def __init__(self) -> None:
        super().__init__(x_axis_type="datetime")

    @override
    def empty(self) -> dict[str, list[Any]]:
        return {name: [] for name in ("time", "succeeded", "failed", "items")}

    @override
    def draw(self) -> None:
        self.root.varea_step(
            x="time", y1=0, y2="succeeded", fill_alpha=0.35, color=DONE, source=self.source,
            legend_label="succeeded", step_mode="after",
        )  # fmt: skip
        self.root.step(
            x="time", y="failed", color=FAILED, source=self.source, mode="after",
            legend_label="failed tries",
        )  # fmt: skip
        self.root.y_range.start = 0
        _legend(self.root)

    @override
    def columns(self, snapshot: Snapshot) -> dict[str, list[Any]]:
        series = snapshot.series
        width = series.width
        rates = {
            "succeeded": series.succeeded, "failed": series.failed, "items": series.items
        }  # fmt: skip
        return {
            "time": [1000 * (series.start + n * width) for n in range(len(series.succeeded))],
            **{name: [count / width for count in counts] for name, counts in rates.items()},
        }


class LatencyChart(Chart):
    """How long ``run()`` takes for a mini-batch."""

    name, title = "latency", "Seconds in run() for a mini-batch"
    tooltips = (("", "@left{0.0000} to @right{0.0000} s: @count{0,0}"),)

    def __init__(self) -> None:
        super().__init__(x_axis_type="log")

    @override
    def empty(self) -> dict[str, list[Any]]:
        return {name: [] for name in ("left", "right", "count")}

    @override
    def draw(self) -> None:
        self.root.quad(
            left="left", right="right", bottom=0, top="count", color=DONE, source=self.source
        )
        self.root.y_range.start = 0

    @override
    def columns(self, snapshot: Snapshot) -> dict[str, list[Any]]:
        classes = sorted((int(key), count) for key, count in snapshot.latency.items())
        return {
            "left": [BOUNDS[number] for number, _ in classes],
            "right": [BOUNDS[number + 1] for number, _ in classes],
            "count": [count for _, count in classes],
        }


class TimesChart(Chart):
    """What the slots' time went into."""

    name, title = "times", "Where the time of the script processes went"
    tooltips = (("", "@kind: @share{0.0 %}, @seconds{0,0.0} s"),)

    @override
    def empty(self) -> dict[str, list[Any]]:
        return {name: [] for name in ("kind", "left", "right", "share", "seconds", "color")}

    @override
    def draw(self) -> None:
        self.root.height = 130
        self.root.hbar(
            y=0, left="left", right="right", height=0.8, color="color", source=self.source,
            legend_field="kind",
        )  # fmt: skip
        self.root.yaxis.visible = False
        self.root.xaxis.formatter = NumeralTickFormatter(format="0 %")
        self.root.x_range = Range1d(0, 1)
        _legend(self.root)

    @override
    def columns(self, snapshot: Snapshot) -> dict[str, list[Any]]:
        found = shares(snapshot)
        lefts = _sums(found.values())
        return {
            "kind": [KINDS[kind] for kind in found],
            "left": lefts,
            "right": [at + share for at, share in zip(lefts, found.values(), strict=True)],
            "share": list(found.values()),
            "seconds": [getattr(snapshot.times, kind) for kind in found],
            "color": [COLORS[kind] for kind in found],
        }


class ProcessChart(Chart):
    """What each script process's time went into, and how long its ``run()`` takes."""

    name, title = "processes", "Script processes: seconds at work"
    tooltips = (
        ("", "@process"),
        ("attempts", "@attempts{0,0}, @failures{0,0} failed"),
        ("run()", "half below @median{0.000} s, 95 % below @high{0.000} s"),
    )
    stack = ("run", "load", "write", "init", "failed")

    def __init__(self) -> None:
        super().__init__(x_range=[])

    @override
    def empty(self) -> dict[str, list[Any]]:
        names = "process", *self.stack, "attempts", "failures", "median", "high"
        return {name: [] for name in names}

    @override
    def draw(self) -> None:
        self.root.vbar_stack(
            self.stack,
            x="process",
            width=0.8,
            color=[COLORS[kind] for kind in self.stack],
            source=self.source,
            legend_label=[KINDS[kind] for kind in self.stack],
        )
        self.root.xaxis.major_label_orientation = pi / 4
        self.root.y_range.start = 0
        _legend(self.root)

    @override
    def columns(self, snapshot: Snapshot) -> dict[str, list[Any]]:
        some = sorted(snapshot.processes, key=lambda each: -each.attempts)[:MOST_BARS]
        some.sort(key=_label)
        quantiles = [
            [_quantile(each, part) for each in some] for part in (0.5, 0.95)
        ]  # fmt: skip
        return {
            "process": [_label(each) for each in some],
            "run": [each.run for each in some],
            "load": [each.load for each in some],
            "write": [each.write for each in some],
            "init": [each.init_seconds for each in some],
            "failed": [each.failed for each in some],
            "attempts": [each.attempts for each in some],
            "failures": [each.failures for each in some],
            "median": quantiles[0],
            "high": quantiles[1],
        }

    @override
    def show(self, snapshot: Snapshot) -> None:
        columns = self.columns(snapshot)
        if self.root.x_range.factors != columns["process"]:
            self.root.x_range.factors = columns["process"]
        self.source.data = columns


class TimelineChart(Chart):
    """The last attempts, one bar each, by process; failures and repetitions are marked."""

    name, title = "timeline", "The last mini-batches, by process"
    tooltips = (
        ("mini-batch", "@index, try @attempt: @status"),
        ("seconds", "@seconds{0.000}, @inside{0.000} of them in run()"),
    )

    def __init__(self) -> None:
        super().__init__(x_axis_type="datetime", y_range=[])

    @override
    def empty(self) -> dict[str, list[Any]]:
        names = "process", "left", "right", "color", "index", "attempt", "status", "seconds"
        return {name: [] for name in (*names, "inside")}

    @override
    def draw(self) -> None:
        self.root.hbar(
            y="process", left="left", right="right", height=0.7, color="color",
            line_color=None, source=self.source,
        )  # fmt: skip

    @override
    def columns(self, snapshot: Snapshot) -> dict[str, list[Any]]:
        made = [each for each in snapshot.attempts() if each.process >= 0]
        labels = [_label(each) for each in snapshot.processes]
        return {
            "process": [labels[each.process] for each in made],
            "left": [1000 * each.started for each in made],
            "right": [1000 * (each.started + each.elapsed) for each in made],
            "color": [FAILED if each.status else AGAIN if each.attempt > 1 else DONE
                      for each in made],
            "index": [each.index for each in made],
            "attempt": [each.attempt for each in made],
            "status": [Status(each.status).category or "succeeded" for each in made],
            "seconds": [each.elapsed for each in made],
            "inside": [each.run_seconds for each in made],
        }  # fmt: skip

    @override
    def show(self, snapshot: Snapshot) -> None:
        columns = self.columns(snapshot)
        labels = sorted(dict.fromkeys(columns["process"]), reverse=True)[-MOST_BARS:]
        if self.root.y_range.factors != labels:
            self.root.y_range.factors = labels
            self.root.height = max(HEIGHT, 60 + 18 * len(labels))
        self.source.data = columns


class UsageChart(Chart):
    """Processor and memory of each script process, from the files that nodes write."""

    name, title = "usage", "Cores used by script processes"
    column = "cores"
    tooltips = (("", "@process: @cores{0.00} cores, @memory{0,0} MB"),)

    def __init__(self) -> None:
        super().__init__(x_axis_type="datetime")

    @override
    def empty(self) -> dict[str, list[Any]]:
        return {name: [] for name in ("time", "process", "cores", "memory")}

    @override
    def draw(self) -> None:
        self.root.scatter(x="time", y=self.column, size=4, color=DONE, source=self.source)
        self.root.y_range.start = 0

    @override
    def columns(self, snapshot: Snapshot) -> dict[str, list[Any]]:
        found = self.empty()
        for node, row in _usage(Path(snapshot.folder, "logs", "sys", "perf")):
            when = datetime.strptime(row[0], "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
            found["time"].append(1000 * when.timestamp())
            found["process"].append(printable(f"{node}/{row[1]}"))
            found["cores"].append(float(row[3]))
            found["memory"].append(float(row[4]))
        return found


class MemoryChart(UsageChart):
    """Memory of each script process."""

    name, title, column = "memory", "Memory of script processes, MB", "memory"


CHARTS: tuple[type[Chart], ...] = (
    ProgressChart,
    ThroughputChart,
    TimesChart,
    LatencyChart,
    ProcessChart,
    TimelineChart,
    UsageChart,
    MemoryChart,
)


def _usage(folder: Path) -> list[tuple[str, list[str]]]:
    """Return the last lines of what nodes have noted of their script processes."""
    found: list[tuple[str, list[str]]] = []
    for path in sorted(folder.glob("*/processes_resource_usage.csv")):
        with path.open(encoding="utf-8", errors="replace", newline="") as file:
            rows = deque(csv.reader(file), USAGE_ROWS)
        found += [(path.parent.name, row) for row in rows if len(row) == 5 and row[2].isdigit()]
    return found[-USAGE_ROWS:]


def _quantile(process: ProcessStatistics, part: float) -> float:
    return quantile({int(key): count for key, count in process.latency.items()}, part) or 0.0


def _label(process: ProcessStatistics) -> str:
    return printable(f"{process.node}/{process.name.removeprefix('process')}.{process.pid}")


def _sums(counts: Any) -> list[float]:
    """Return where each part of a bar begins."""
    found, at = [], 0.0
    for count in counts:
        found.append(at)
        at += count
    return found


def _legend(root: Any) -> None:
    root.legend.background_fill_alpha = 0
    root.legend.border_line_color = None
    root.legend.label_text_color = TEXT
    root.legend.orientation = "horizontal"
    root.add_layout(root.legend[0], "below")
