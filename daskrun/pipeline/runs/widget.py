"""A run in a notebook: a view that goes on while other cells run, and static HTML afterwards."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from daskrun.core.logs import get_logger
from daskrun.pipeline.runs.views import LOGS, html_of, log_html

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from daskrun.pipeline.runs.views import Shown, ShownStep

logger = get_logger(__name__)
INTERVAL = 1.0
"""Seconds between two looks at the run."""
KEPT_INTERVAL = 10.0
"""Seconds between two times that what a notebook keeps of a run that goes on is written anew."""


def show_in_notebook(
    run: Shown, steps: Callable[[], Sequence[ShownStep]], cancel: Callable[[], object]
) -> None:
    """Display a run that goes on changing until it has ended; without ipywidgets as it is now."""
    from IPython.display import HTML, display

    if run.status.ended:
        display(HTML(html_of(run, steps())))
        return
    try:
        import ipywidgets
    except ImportError:
        display(HTML(f"{html_of(run, steps())}{WITHOUT}"))
        return
    RunWidget(ipywidgets, run, steps, cancel).display()


WITHOUT = (
    "<p><small>This is how it stands now. With ipywidgets (<code>pip install ipywidgets</code>) it "
    "goes on changing.</small></p>"
)


# A page that was loaded anew shows the widget, and takes no more outputs of cells that ran before:
# what they had is what is saved. So beside the widget, which hides it, there is how the run stood;
# it hides in turn that a widget is gone.
KEPT = (
    '<div class="daskrun-kept daskrun-{id}">{html}<p><small>As it stood at {now} UTC. '
    "<code>RunDetails(ws.get_run('{id}')).show()</code> shows it as it is now.</small></p></div>"
    "<style>.jp-OutputArea-child:has(.daskrun-kept) + * > .jupyter-widgets:not(:has(*))"
    " {{display: none}}</style>"
)
HIDE = "<style>.daskrun-{id} {{display: none}}</style>"


class RunWidget:
    """The view of a run that has not ended: how it stands, its logs, and a button that cancels."""

    def __init__(
        self,
        widgets: Any,
        run: Shown,
        steps: Callable[[], Sequence[ShownStep]],
        cancel: Callable[[], object],
    ) -> None:
        self._run = run
        self._steps = steps
        self._cancel = cancel
        self._head = widgets.HTML()
        self._logs = {title: widgets.HTML() for title in LOGS}
        self._button = widgets.Button(description="Cancel the run", button_style="danger")
        self._button.on_click(self._clicked)
        tabs = widgets.Tab(children=list(self._logs.values()))
        for number, title in enumerate(LOGS):
            tabs.set_title(number, title)
        self.root = widgets.VBox([self._head, self._button, tabs])
        self._kept: Any = None
        self._handle: Any = None
        self._due = 0.0

    def display(self) -> None:
        """Show it where output goes now, and follow the run in a thread of its own."""
        from IPython.display import display

        self.update()
        self._kept = display(self._as_it_stands(), display_id=True)
        self._handle = display(self.root, display_id=True)
        threading.Thread(target=self._follow, name="daskrun-widget", daemon=True).start()

    def update(self) -> None:
        """Show how the run stands now."""
        steps = self._steps()
        self._head.value = HIDE.format(id=self._run.id) + html_of(self._run, steps)
        for title, name in LOGS.items():
            self._logs[title].value = log_html(steps, name)

    def _follow(self) -> None:
        over = threading.Event()
        failed = False
        while not over.wait(INTERVAL):
            try:
                ended = self._run.status.ended
                if ended:
                    self._settle()
                    return
                self.update()
                if time.monotonic() > self._due:
                    self._kept.update(self._as_it_stands())
            except Exception:  # a store that is away, a file that is just replaced
                if not failed:
                    logger.exception("run %s can't be shown for now", self._run.id)
                failed = True

    def _as_it_stands(self) -> Any:
        from IPython.display import HTML

        self._due = time.monotonic() + KEPT_INTERVAL
        now = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())
        return HTML(KEPT.format(id=self._run.id, html=html_of(self._run, self._steps()), now=now))

    def _settle(self) -> None:
        """Put static HTML in its place: a widget is gone when the notebook is opened again."""
        from IPython.display import HTML

        self._handle.update(HTML(html_of(self._run, self._steps())))
        self._kept.update(HTML(""))
        self._button.disabled = True
        self.update()  # pages that were loaded anew have the widget

    def _clicked(self, _button: object) -> None:
        self._button.disabled = True
        self._cancel()
