"""The page ``/daskrun`` of a dashboard, as a bokeh document; bokeh is loaded with this module."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from bokeh.layouts import column, grid
from bokeh.models import ColumnDataSource
from bokeh.models.widgets import DataTable, Div, NumberFormatter, Select, TableColumn

from daskrun.monitor.charts import CHARTS, Chart
from daskrun.monitor.findings import findings
from daskrun.monitor.pace import duration
from daskrun.monitor.words import bar_line, state_line
from daskrun.shown.printable import one_line, safe

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bokeh.document import Document

    from daskrun.monitor.charts import Kind
    from daskrun.monitor.snapshot import Snapshot

    Runs = Callable[[], Mapping[str, Snapshot]]
    """The runs that there are to be seen, by id, the newest last."""

INTERVAL = 1000
"""Milliseconds between two looks at the runs."""
WIDTHS = {"mini-batch": 100, "time": 100, "node": 80, "state": 80}
"""Of columns of tables, in pixels."""
NOTHING = "No run of daskrun has been seen here yet."
WHERE_TO_LOOK = (
    "Scripts run in processes of their own: what these use is shown here, not on Dask's pages."
)
STRAGGLING = 4.0
"""A bundle counts as a straggler that is out so many times longer than 95 % of mini-batches."""


class Table:
    """Rows of a snapshot under these headings."""

    def __init__(self, rows: Callable[[Snapshot], list[tuple[Any, ...]]], *headings: str) -> None:
        self.rows = rows
        self.source: Any = ColumnDataSource({heading: [] for heading in headings})
        self._headings = headings
        formats = {
            "count": NumberFormatter(format="0,0"),
            "seconds": NumberFormatter(format="0.000"),
        }
        columns = [
            TableColumn(field=each, title=each, width=WIDTHS.get(each, 400))
            if each not in formats
            else TableColumn(field=each, title=each, width=70, formatter=formats[each])
            for each in headings
        ]
        self.root = DataTable(
            source=self.source, columns=columns, height=200, index_position=None, sortable=False,
            reorderable=False,
            sizing_mode="stretch_width",
        )  # fmt: skip

    def show(self, snapshot: Snapshot) -> None:
        """Show a snapshot; what is selected stays so."""
        rows = self.rows(snapshot)
        data = {name: [row[n] for row in rows] for n, name in enumerate(self._headings)}
        if data != self.source.data:
            self.source.data = data


class Errors:
    """The errors of a run, grouped; a click shows the traceback."""

    def __init__(self) -> None:
        self._table = Table(_errors, "count", "error", "where")
        self._texts: dict[tuple[str, str], str] = {}
        self._key: tuple[str, str] | None = None
        self._text = Div(text="", disable_math=True, sizing_mode="stretch_width")
        self._table.source.selected.on_change("indices", self._chosen)
        self.root = column(self._table.root, self._text, sizing_mode="stretch_width")

    def show(self, snapshot: Snapshot) -> None:
        """Show a snapshot."""
        self._texts = {
            (each.message, each.where): each.text or each.message for each in snapshot.errors
        }
        chosen = self._key
        self._table.show(snapshot)
        keys = list(self._texts)  # what was chosen may stand elsewhere now, or be gone
        self._table.source.selected.indices = [keys.index(chosen)] if chosen in keys else []
        self._show_text(chosen if chosen in keys else None)

    def _chosen(self, attr: str, old: object, new: list[int]) -> None:  # noqa: ARG002
        # bokeh wants a callback's parameters to have these names
        keys = list(self._texts)
        self._show_text(keys[new[0]] if new and new[0] < len(keys) else None)

    def _show_text(self, key: tuple[str, str] | None) -> None:
        self._key = key
        style = "white-space: pre-wrap; overflow-wrap: anywhere"
        text = self._texts[key] if key is not None else ""
        self._text.text = f'<pre style="{style}">{_escaped(text)}</pre>' if text else ""


class Head:
    """How a run stands, in words."""

    def __init__(self) -> None:
        self.root = Div(text=NOTHING, disable_math=True, sizing_mode="stretch_width")

    def show(self, snapshot: Snapshot) -> None:
        """Show a snapshot."""
        progress, bar = snapshot.progress, bar_line(snapshot.progress, snapshot)
        told = [
            bar.partition("] ")[2] or bar, state_line(progress, snapshot), snapshot.message,
            *(f"→ {text}" for text in findings(snapshot)[:3]),
        ]  # fmt: skip
        lines = [_escaped(line) for line in told if line]
        lines.insert(0, f"<b>{_escaped(snapshot.step)}</b> {_escaped(snapshot.standing)}")
        lines.append(f"<small>{_escaped(snapshot.run_id)}. {WHERE_TO_LOOK}</small>")
        self.root.text = "<br>".join(lines)


def page(runs: Runs) -> Callable[[Document], None]:
    """Return what fills a document with all that there is to see of runs, with a choice of them."""

    def fill(document: Document) -> None:
        document.title = "daskrun"
        charts = [Chart(kind) for kind in CHARTS]
        parts: list[Any] = [
            Head(),
            *charts,
            errors := Errors(),
            waiting := Table(_in_flight, "mini-batch", "seconds", "node", "state"),
            longest := Table(_longest, "mini-batch", "seconds", "items"),
            happenings := Table(_happenings, "time", "node", "what happened"),
        ]
        choice = _follow(document, runs, parts)
        pairs = [[each.root for each in charts[n : n + 2]] for n in range(0, len(charts), 2)]
        layout: list[Any] = [
            choice, parts[0].root, grid(pairs, sizing_mode="stretch_width"),
            *_titled("Errors: a click shows the traceback", errors),
            *_titled("In flight, the oldest first", waiting),
            *_titled("Longest mini-batches", longest), *_titled("What happened", happenings),
        ]  # fmt: skip
        document.add_root(column(layout, sizing_mode="stretch_width"))

    return fill


def plot(runs: Runs, kind: Kind) -> Callable[[Document], None]:
    """Return what fills a document with one plot."""

    def fill(document: Document) -> None:
        document.title = f"daskrun: {kind.title}"
        chart = Chart(kind)
        choice = _follow(document, runs, [chart])
        document.add_root(column(choice, chart.root, sizing_mode="stretch_width"))

    return fill


def _follow(document: Document, runs: Runs, parts: list[Any]) -> Any:
    """Show the parts the newest run, or the chosen one, whenever it has changed."""
    choice: Any = Select(title="", options=[], value="", width=500, visible=False)
    newest = ""
    last: Snapshot | None = None

    def look() -> None:
        nonlocal last, newest
        found = runs()
        if not found:
            return
        names = list(reversed([*found]))
        options = [(each, one_line(f"{found[each].step} · {each}")) for each in names]
        if choice.options != options:
            choice.options, choice.visible = options, len(options) > 1
            if choice.value in ("", newest) or choice.value not in found:
                choice.value = names[0]  # whoever has chosen an older one goes on seeing that
            newest = names[0]
        snapshot = found[choice.value]
        if last is not snapshot:
            last = snapshot
            for part in parts:
                part.show(snapshot)

    look()
    choice.on_change("value", lambda attr, old, new: look())  # noqa: ARG005  (as bokeh wants)
    document.add_periodic_callback(look, INTERVAL)
    return choice


def _titled(title: str, part: Any) -> tuple[Any, Any]:
    return Div(text=f"<b>{title}</b>"), part.root


def _errors(snapshot: Snapshot) -> list[tuple[Any, ...]]:
    return [(each.count, one_line(each.message), one_line(each.where)) for each in snapshot.errors]


def _in_flight(snapshot: Snapshot) -> list[tuple[Any, ...]]:
    usual = snapshot.quantile(0.95)
    rows = []
    for each in snapshot.in_flight:
        seconds = snapshot.updated - each.since
        late = usual is not None and seconds > STRAGGLING * usual * max(each.count, 1)
        span = f"{each.first:,}" + (f" and {each.count - 1:,} more" if each.count > 1 else "")
        rows.append((span, seconds, one_line(each.node), "straggler" if late else ""))
    return rows


def _longest(snapshot: Snapshot) -> list[tuple[Any, ...]]:
    return [
        (f"{each.index:,}", each.elapsed, one_line(snapshot.items.get(str(each.index), "")))
        for each in snapshot.longest()
    ]


def _happenings(snapshot: Snapshot) -> list[tuple[Any, ...]]:
    return [
        (f"after {duration(each.at - snapshot.started)}", one_line(each.node), one_line(each.text))
        for each in reversed(snapshot.happenings)
    ]


def _escaped(text: str) -> str:
    return escape(safe(text))
