"""The plots of a run in bokeh: made once, then shown a :class:`Snapshot` whenever there is a newer.

bokeh is loaded with this module, so it is imported when somebody looks.
"""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from math import pi
from typing import TYPE_CHECKING, Any, NamedTuple

from bokeh.models import ColumnDataSource, HoverTool, NumeralTickFormatter
from bokeh.models.annotations import Title
from bokeh.plotting import figure

from daskrun.monitor import plot_data
from daskrun.monitor.findings import KINDS
from daskrun.monitor.plot_data import COLORS, DONE, FAILED

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from daskrun.monitor.plot_data import Columns
    from daskrun.monitor.snapshot import Snapshot

TEXT = "#808080"
"""Readable on light and on dark pages."""
HEIGHT = 220


class Kind(NamedTuple):
    """A kind of plot."""

    name: str
    """In addresses."""
    title: str
    columns: Callable[[Snapshot], Columns]
    """Makes what it shows of a snapshot."""
    draw: Callable[[Any, Any], object]
    """Draws that from a source on a figure."""
    tooltips: Sequence[tuple[str, str]] = ()
    options: Mapping[str, Any] = {}
    """Of the figure."""
    axis: str = ""
    """Which one has the processes by name, ``x`` or ``y``."""


class Chart:
    """A plot of a kind, made once."""

    def __init__(self, kind: Kind) -> None:
        self._kind = kind
        self.root: Any = figure(
            title=Title(text=kind.title, text_color=TEXT), height=HEIGHT, tools="",
            sizing_mode="stretch_width",
            toolbar_location=None, background_fill_color=None, border_fill_color=None,
            outline_line_color=None, **kind.options,
        )  # fmt: skip
        self.source: Any = ColumnDataSource()
        axes = self.root.axis
        axes.axis_label_text_color = axes.major_label_text_color = TEXT
        axes.axis_line_color = axes.major_tick_line_color = TEXT
        axes.minor_tick_line_color = None
        self.root.grid.grid_line_alpha = 0.25
        self.root.add_tools(HoverTool(tooltips=list(kind.tooltips)))
        kind.draw(self.root, self.source)

    def show(self, snapshot: Snapshot) -> None:
        """Draw a snapshot."""
        columns = self._kind.columns(snapshot)
        if self._kind.axis == "x":
            self.root.x_range.factors = columns["process"]
        elif self._kind.axis:
            labels = sorted(set(columns["process"]), reverse=True)[-plot_data.MOST_BARS :]
            self.root.y_range.factors = labels
            self.root.height = max(HEIGHT, 60 + 18 * len(labels))
        self.source.data = columns


def _legend(root: Any) -> None:
    """Put the legend below the plot."""
    legend = root.legend[0]
    legend.background_fill_alpha, legend.border_line_color = 0, None
    legend.label_text_color, legend.orientation, legend.location = TEXT, "horizontal", "left"
    legend.ncols = 3  # so that half a narrow page has room for them
    root.add_layout(legend, "below")


def _parts(root: Any, source: Any, numbers: str = "0,0") -> None:
    root.height = 160
    root.hbar(
        y=0, left="left", right="right", height=0.8, color="color", source=source,
        legend_field="name",
    )  # fmt: skip
    root.yaxis.visible = False
    root.xaxis.formatter = NumeralTickFormatter(format=numbers)
    _legend(root)


def _rates(root: Any, source: Any) -> None:
    for name, label, color in (
        ("succeeded", "succeeded", DONE),
        ("failed", "failed tries", FAILED),
    ):
        root.step(
            x="time", y=name, color=color, source=source, mode="after", line_width=1.5,
            legend_label=label,
        )  # fmt: skip
    root.y_range.start = 0
    _legend(root)


def _histogram(root: Any, source: Any) -> None:
    root.quad(left="left", right="right", bottom=0, top="count", color=DONE, source=source)
    root.y_range.start = 0


def _stacks(root: Any, source: Any) -> None:
    kinds = ("run", "load", "write", "init", "failed")
    root.vbar_stack(
        kinds, x="process", width=0.8, color=[COLORS[kind] for kind in kinds], source=source,
        legend_label=[KINDS[kind] for kind in kinds],
    )  # fmt: skip
    root.xaxis.major_label_orientation = pi / 4
    root.y_range.start = 0
    _legend(root)


def _bars(root: Any, source: Any) -> None:
    root.hbar(
        y="process", left="left", right="right", height=0.7, color="color", line_color=None,
        source=source,
    )  # fmt: skip


def _dots(root: Any, source: Any, unit: str) -> None:
    root.scatter(x="time", y=unit, size=4, color=DONE, source=source)
    root.x_range.default_span = timedelta(minutes=1)  # of a single time
    root.y_range.start = 0


TIME = {"x_axis_type": "datetime"}
USAGE = (("", "@process: @cores{0.00} cores, @memory{0,0} MB"),)
CHARTS = (
    Kind("progress", "Mini-batches", plot_data.progress, _parts, (("", "@name: @count{0,0}"),)),
    Kind(
        "throughput", "Mini-batches per second", plot_data.throughput, _rates,
        (("", "@succeeded{0.0}/s, @items{0,0.0} items/s, @failed{0.0} failed tries/s"),), TIME,
    ),
    Kind(
        "times", "Where the time of the script processes went", plot_data.times,
        partial(_parts, numbers="0 %"), (("", "@name: @count{0.0 %}, @seconds{0,0.0} s"),),
    ),
    Kind(
        "latency", "Seconds in run() for a mini-batch", plot_data.latency, _histogram,
        (("", "@left{0.0000} to @right{0.0000} s: @count{0,0}"),), {"x_axis_type": "log"},
    ),
    Kind(
        "processes", "Script processes: seconds at work", plot_data.processes, _stacks,
        (
            ("", "@process"), ("attempts", "@attempts{0,0}, @failures{0,0} failed"),
            ("GPU", "@gpu"),
            ("run()", "half below @median{0.000} s, 95 % below @high{0.000} s"),
        ),
        {"x_range": []}, "x",
    ),
    Kind(
        "timeline", "The last mini-batches, by process", plot_data.timeline, _bars,
        (
            ("mini-batch", "@index, try @attempt: @status"),
            ("seconds", "@seconds{0.000}, @inside{0.000} of them in run()"),
        ),
        {**TIME, "y_range": []}, "y",
    ),
    Kind(
        "cores", "Cores used by each script process", plot_data.usage,
        partial(_dots, unit="cores"), USAGE, TIME,
    ),
    Kind(
        "memory", "Memory of each script process, MB", plot_data.usage,
        partial(_dots, unit="memory"), USAGE, TIME,
    ),
)  # fmt: skip
