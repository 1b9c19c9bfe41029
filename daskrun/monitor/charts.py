"""The plots of a run in bokeh: made once, then shown a :class:`Snapshot` whenever there is a newer.

bokeh is loaded with this module, so it is imported when somebody looks.
"""

from __future__ import annotations

from math import pi
from typing import TYPE_CHECKING, Any

from bokeh.models import ColumnDataSource, HoverTool, NumeralTickFormatter
from bokeh.models.annotations import Title
from bokeh.plotting import figure

from daskrun.core.typing import override
from daskrun.monitor import plot_data
from daskrun.monitor.findings import KINDS
from daskrun.monitor.plot_data import COLORS, DONE, FAILED

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from daskrun.monitor.plot_data import Columns
    from daskrun.monitor.snapshot import Snapshot

TEXT = "#808080"
"""Readable on light and on dark pages."""
HEIGHT = 220


class Chart:
    """A plot; ``columns`` makes what it shows of a snapshot."""

    name: str
    """In addresses."""
    title: str
    columns: Callable[[Snapshot], Columns]
    tooltips: Sequence[tuple[str, str]] = ()
    options: dict[str, Any] = {}  # noqa: RUF012  (constants)

    def __init__(self) -> None:
        self.root: Any = figure(
            title=Title(text=self.title, text_color=TEXT), height=HEIGHT, tools="",
            sizing_mode="stretch_width",
            toolbar_location=None, background_fill_color=None, border_fill_color=None,
            outline_line_color=None, **self.options,
        )  # fmt: skip
        self.source: Any = ColumnDataSource()
        self.root.axis.axis_label_text_color = self.root.axis.major_label_text_color = TEXT
        self.root.axis.axis_line_color = self.root.axis.major_tick_line_color = TEXT
        self.root.axis.minor_tick_line_color = None
        self.root.grid.grid_line_alpha = 0.25
        if self.tooltips:
            self.root.add_tools(HoverTool(tooltips=list(self.tooltips)))

    def show(self, snapshot: Snapshot) -> None:
        """Draw a snapshot."""
        self.source.data = type(self).columns(snapshot)

    def legend(self) -> None:
        """Put the legend below the plot."""
        legend = self.root.legend[0]
        legend.background_fill_alpha = 0
        legend.border_line_color = None
        legend.label_text_color = TEXT
        legend.orientation = "horizontal"
        legend.location = "left"
        self.root.add_layout(legend, "below")


class ProgressChart(Chart):
    """How many mini-batches are in which state."""

    name, title, columns = "progress", "Mini-batches", staticmethod(plot_data.progress)
    tooltips = (("", "@name: @count{0,0}"),)
    format = "0,0"

    def __init__(self) -> None:
        super().__init__()
        self.root.height = 140
        self.root.hbar(
            y=0, left="left", right="right", height=0.8, color="color", source=self.source,
            legend_field="name",
        )  # fmt: skip
        self.root.yaxis.visible = False
        self.root.xaxis.formatter = NumeralTickFormatter(format=self.format)
        self.legend()


class TimesChart(ProgressChart):
    """What the slots' time went into."""

    name, title = "times", "Where the time of the script processes went"
    columns = staticmethod(plot_data.times)
    tooltips = (("", "@name: @count{0.0 %}, @seconds{0,0.0} s"),)
    format = "0 %"


class ThroughputChart(Chart):
    """Mini-batches per second over time."""

    name, title = "throughput", "Mini-batches per second"
    columns = staticmethod(plot_data.throughput)
    tooltips = (("", "@succeeded{0.0}/s, @items{0,0.0} items/s, @failed{0.0} failed tries/s"),)
    options = {"x_axis_type": "datetime"}  # noqa: RUF012

    def __init__(self) -> None:
        super().__init__()
        for name, color in (("succeeded", DONE), ("failed", FAILED)):
            self.root.step(
                x="time", y=name, color=color, source=self.source, mode="after", line_width=1.5,
                legend_label={"failed": "failed tries"}.get(name, name),
            )  # fmt: skip
        self.root.y_range.start = 0
        self.legend()


class LatencyChart(Chart):
    """How long ``run()`` takes for a mini-batch."""

    name, title = "latency", "Seconds in run() for a mini-batch"
    columns = staticmethod(plot_data.latency)
    tooltips = (("", "@left{0.0000} to @right{0.0000} s: @count{0,0}"),)
    options = {"x_axis_type": "log"}  # noqa: RUF012

    def __init__(self) -> None:
        super().__init__()
        self.root.quad(
            left="left", right="right", bottom=0, top="count", color=DONE, source=self.source
        )
        self.root.y_range.start = 0


class ProcessChart(Chart):
    """What each script process's time went into, and how long its ``run()`` takes."""

    name, title = "processes", "Script processes: seconds at work"
    columns = staticmethod(plot_data.processes)
    tooltips = (
        ("", "@process"),
        ("attempts", "@attempts{0,0}, @failures{0,0} failed"),
        ("run()", "half below @median{0.000} s, 95 % below @high{0.000} s"),
    )
    options = {"x_range": []}  # noqa: RUF012
    stack = ("run", "load", "write", "init", "failed")

    def __init__(self) -> None:
        super().__init__()
        self.root.vbar_stack(
            self.stack, x="process", width=0.8, color=[COLORS[kind] for kind in self.stack],
            source=self.source, legend_label=[KINDS[kind] for kind in self.stack],
        )  # fmt: skip
        self.root.xaxis.major_label_orientation = pi / 4
        self.root.y_range.start = 0
        self.legend()

    @override
    def show(self, snapshot: Snapshot) -> None:
        columns = plot_data.processes(snapshot)
        self.root.x_range.factors = columns["process"]
        self.source.data = columns


class TimelineChart(Chart):
    """The last attempts, one bar each, by process; failures and repetitions are marked."""

    name, title = "timeline", "The last mini-batches, by process"
    columns = staticmethod(plot_data.timeline)
    tooltips = (
        ("mini-batch", "@index, try @attempt: @status"),
        ("seconds", "@seconds{0.000}, @inside{0.000} of them in run()"),
    )
    options = {"x_axis_type": "datetime", "y_range": []}  # noqa: RUF012

    def __init__(self) -> None:
        super().__init__()
        self.root.hbar(
            y="process", left="left", right="right", height=0.7, color="color",
            line_color=None, source=self.source,
        )  # fmt: skip

    @override
    def show(self, snapshot: Snapshot) -> None:
        columns = plot_data.timeline(snapshot)
        labels = sorted(set(columns["process"]), reverse=True)[-plot_data.MOST_BARS :]
        self.root.y_range.factors = labels
        self.root.height = max(HEIGHT, 60 + 18 * len(labels))
        self.source.data = columns


class CoresChart(Chart):
    """Processor of each script process."""

    name, title, unit = "cores", "Cores used by each script process", "cores"
    columns = staticmethod(plot_data.usage)
    tooltips = (("", "@process: @cores{0.00} cores, @memory{0,0} MB"),)
    options = {"x_axis_type": "datetime"}  # noqa: RUF012

    def __init__(self) -> None:
        super().__init__()
        self.root.scatter(x="time", y=self.unit, size=4, color=DONE, source=self.source)
        self.root.y_range.start = 0


class MemoryChart(CoresChart):
    """Memory of each script process."""

    name, title, unit = "memory", "Memory of each script process, MB", "memory"


CHARTS: tuple[type[Chart], ...] = (
    ProgressChart,
    ThroughputChart,
    TimesChart,
    LatencyChart,
    ProcessChart,
    TimelineChart,
    CoresChart,
    MemoryChart,
)
