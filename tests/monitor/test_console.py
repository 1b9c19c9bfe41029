import io
import subprocess
import sys
from dataclasses import replace

import pytest

from daskrun.core.report import Progress, RunStatus
from daskrun.monitor import console
from daskrun.monitor.console import LineDisplay, NotebookDisplay, TerminalDisplay, make_display
from tests.monitor.test_report import made

PROGRESS = Progress(10, 5, 4, 1, 0, 0, 25, 5, 60.0, 30.0)


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_where_output_goes_decides():
    assert isinstance(make_display(io.StringIO()), LineDisplay)
    assert isinstance(make_display(Terminal()), TerminalDisplay)


def test_a_log_file_gets_a_line_now_and_then(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: now[0])
    file = io.StringIO()
    display = LineDisplay(file, interval=5)
    display.show("a", PROGRESS)
    now[0] += 4
    display.show("a", replace(PROGRESS, succeeded=5))
    now[0] += 2
    display.show("a", PROGRESS)  # nothing new since the last line
    display.show("a", replace(PROGRESS, succeeded=6))
    display.say("done")
    display.close()
    lines = file.getvalue().splitlines()
    assert [line.partition("]")[2][:5] for line in lines[:2]] == [" 5/10", " 7/10"]
    assert lines[0].startswith("a: [")
    assert lines[2:] == ["done"]
    now[0] += 6
    display.show("a", replace(PROGRESS, succeeded=6, preparing="building"))  # that is news
    assert "building" in file.getvalue()
    now[0] += 6
    display.show("a", PROGRESS, replace(made(failed=3), dashboard="http://here/status"))
    assert file.getvalue().count("a: dashboard at http://here/status\n") == 1
    assert file.getvalue().endswith("; 3 × ValueError: bad (score.py:3)\n")
    ended = replace(made(), dashboard="http://gone/status", status=RunStatus.COMPLETED)
    display.show("b", PROGRESS, ended)
    assert "http://gone" not in file.getvalue()


def test_a_terminal_gets_a_bar():
    file = Terminal()
    display = make_display(file)
    display.say("before")
    display.show("predict", PROGRESS)
    display.show("predict", replace(PROGRESS, succeeded=9, eta=None))
    display.say("[red]between[/red]")
    display.close()
    display.close()
    display.say("after")
    text = file.getvalue()
    assert "before\n" in text
    assert "predict" in text
    assert "10/10 mini-batches (100 %), 1 failed" in text
    assert "[red]between[/red]" in text  # shown as it is
    assert text.endswith("after\n")


def test_a_narrow_window_names_each_step(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    file = Terminal()
    display = make_display(file)
    for step in ("predict", "explain-everything"):
        display.show(step, replace(PROGRESS, retried=3, preparing="node000: building"), made())
    display._bars.refresh()
    display.close()
    text = file.getvalue()
    assert "predict" in text
    assert "explain-eve…" in text
    assert "━" not in text  # no room for a bar
    assert "predict: 25 items (5 failed)" in text  # which of the two it is


def test_rich_is_imported_when_there_is_something_to_draw():
    code = (
        "import io, sys\n"
        "from daskrun.monitor.console import TerminalDisplay\n"
        "display = TerminalDisplay(io.StringIO())\n"
        "display.say('x'); display.close()\n"
        "print('rich' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


class Handle:
    def __init__(self, shown, content):
        self._shown = shown
        shown.append(content)

    def update(self, content, raw):
        assert raw
        self._shown[-1] = content


def test_a_notebook_gets_one_line_in_place(monkeypatch, capsys):
    display_module = pytest.importorskip("IPython.display")
    shown = []
    monkeypatch.setattr(
        display_module, "display", lambda content, raw, display_id: Handle(shown, content)
    )
    display = NotebookDisplay()
    display.show("a", PROGRESS)
    display.show("a", replace(PROGRESS, succeeded=9))
    display.say("done")
    display.close()
    assert len(shown) == 1
    assert "10/10" in shown[0]["text/plain"]
    assert capsys.readouterr().out == "done\n"
