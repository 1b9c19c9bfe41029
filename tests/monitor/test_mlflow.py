"""What MLflow is told of a run, by a module that stands for it."""

import sys
import types

import pytest

from daskrun.core.events import RunEnded, RunStarted
from daskrun.core.report import Report, RunStatus
from daskrun.core.settings import RunSettings
from daskrun.monitor import mlflow_log
from daskrun.monitor.mlflow_log import URI, MlflowLog, is_wanted
from daskrun.monitor.report import REPORT, ReportFile
from daskrun.testing.contracts.observers import PROGRESS, ObserverContract, made_up_run

SETTINGS = RunSettings(entry_script="score.py", environment_variables={"TOKEN": "hush"})


class Client:
    """Notes what it is told; signatures as those of ``mlflow.MlflowClient``."""

    told: list = []  # noqa: RUF012  (emptied by the fixture)
    broken = False

    def get_experiment_by_name(self, name):
        if self.broken:
            raise ConnectionError("no server")
        return

    def create_experiment(self, name, artifact_location=None, tags=None):
        self.told.append(("experiment", name))
        return "7"

    def create_run(self, experiment_id, start_time=None, tags=None, run_name=None):
        self.told.append(("run", experiment_id, run_name, tags["daskrun.run"]))
        return types.SimpleNamespace(info=types.SimpleNamespace(run_id="r"))

    def log_param(self, run_id, key, value, synchronous=None):
        self.told.append(("param", key, value))

    def log_metric(self, run_id, key, value, timestamp=None, step=None):
        self.told.append(("metric", key, value))

    def log_artifact(self, run_id, local_path, artifact_path=None):
        self.told.append(("artifact", local_path.rpartition("/")[2]))

    def set_terminated(self, run_id, status=None, end_time=None):
        self.told.append(("end", status))


@pytest.fixture(autouse=True)
def client(monkeypatch):
    monkeypatch.setitem(sys.modules, "mlflow", types.SimpleNamespace(MlflowClient=Client))
    monkeypatch.setattr(mlflow_log, "INTERVAL", 0.01)
    monkeypatch.setattr(Client, "told", [])
    return Client


class TestMlflowLog(ObserverContract):
    def make_observer(self, folder):
        return MlflowLog(folder, folder / REPORT)


def run(folder, status=RunStatus.COMPLETED):
    """Show an observer a run, beside the one that keeps the statistics; return it."""
    kept, observer = ReportFile(folder), MlflowLog(folder, folder / REPORT)
    events = [RunStarted("run-1", "score", SETTINGS, 10, 0.0, "trial", "run-0", str(folder))]
    events += [*made_up_run(folder)[5:-1], RunEnded(Report(status, "done"), 5.0)]
    for event in events:
        for each in (kept, observer):
            each.notify(event)
            each.progress(PROGRESS[1])
    observer.close()
    return observer


@pytest.mark.parametrize(
    ("status", "end"),
    [
        (RunStatus.COMPLETED, "FINISHED"),
        (RunStatus.CANCELED, "KILLED"),
        (RunStatus.FAILED, "FAILED"),
    ],
)
def test_it_is_told_settings_figures_report_and_end(tmp_path, client, status, end):
    assert run(tmp_path, status).warning == ""
    told = client.told
    assert told[:2] == [("experiment", "trial"), ("run", "7", "score", "run-1")]
    assert ("param", "entry_script", "score.py") in told
    assert ("metric", "mini_batches_succeeded", 5.0) in told
    assert told[-2:] == [("artifact", "report.html"), ("end", end)]
    assert "hush" not in str(told)


def test_a_server_that_fails_is_a_warning(tmp_path, client, monkeypatch):
    monkeypatch.setattr(client, "broken", True)
    observer = run(tmp_path)
    assert observer.warning == "MLflow was not told of the run: ConnectionError: no server"


def test_it_is_wanted_where_it_is_set_up(monkeypatch):
    monkeypatch.setattr(mlflow_log, "find_spec", lambda name: object())
    monkeypatch.delenv(URI, raising=False)
    assert not is_wanted()
    monkeypatch.setenv(URI, "http://127.0.0.1:5000")
    assert is_wanted()
    monkeypatch.setattr(mlflow_log, "find_spec", lambda name: None)
    assert not is_wanted()
