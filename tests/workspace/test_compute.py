import socket
import threading
from dataclasses import replace

import pytest

from daskrun.core.intervals import USUAL
from daskrun.errors import ComputeTargetException, SettingsError
from daskrun.workspace.compute import targets as compute
from daskrun.workspace.compute.targets import AmlCompute, ComputeTarget, DaskCompute
from daskrun.workspace.workspace import Workspace


@pytest.fixture
def ws(tmp_path):
    return Workspace.create("trial", path=tmp_path)


def test_the_tutorials_way(ws, capsys):
    plan = AmlCompute.provisioning_configuration(
        vm_size="STANDARD_D2_V2", min_nodes="0", max_nodes="4"
    )
    assert "cpucluster" not in ws.compute_targets
    target = ComputeTarget.create(ws, "cpucluster", plan)
    target.wait_for_completion(show_output=True, min_node_count=None, timeout_in_minutes=20)
    assert "Succeeded" in capsys.readouterr().out
    status = target.get_status().serialize()
    assert status["scaleSettings"] == {"minNodeCount": 0, "maxNodeCount": 4}
    assert status["vmSize"] == "STANDARD_D2_V2"
    found = ws.compute_targets["cpucluster"]
    assert type(found) is AmlCompute
    assert (found.most_nodes, found.dask_target) == (4, None)
    unused = "vm_size='STANDARD_D2_V2' and min_nodes=0 are recorded and not used"
    assert unused in found.notes[0]
    with pytest.raises(ComputeTargetException, match="min_node_count=5 is more"):
        found.wait_for_completion(min_node_count=5)
    found.delete()
    assert ws.compute_targets == {}


def test_a_target_says_what_it_was_made_as(ws):
    made = ComputeTarget.create(ws, "cpu", AmlCompute.provisioning_configuration("any"))
    attached = ComputeTarget.attach(ws, "cluster", address="tcp://127.0.0.1:1")
    assert (made.type, attached.type) == ("AmlCompute", "Dask")


def test_what_else_the_original_takes_is_recorded_and_told(ws):
    plan = AmlCompute.provisioning_configuration(
        "STANDARD_D2_V2", max_nodes=2, vm_priority="lowpriority", idle_seconds_before_scaledown=120
    )
    target = ComputeTarget.create(ws, "cpu", plan)
    [note] = target.notes
    told = "vm_priority='lowpriority', idle_seconds_before_scaledown=120, vm_size='STANDARD_D2_V2'"
    assert f"compute target 'cpu': {told} and min_nodes=0 are recorded and not used" in note
    assert target.most_nodes == 2
    with pytest.raises(TypeError, match="idle_secnds"):
        AmlCompute.provisioning_configuration("any", idle_secnds=3)


def test_bad_counts_come_all_at_once(ws):
    with pytest.raises(SettingsError) as caught:
        AmlCompute.provisioning_configuration("x", min_nodes="few", max_nodes=0)
    assert caught.value.problems == (
        "min_nodes='few' is not a number of nodes. Write min_nodes=4.",
        "max_nodes=0 is too few. Write 1 or more.",
    )
    with pytest.raises(SettingsError, match="max_nodes=1 is less than min_nodes='2'"):
        AmlCompute.provisioning_configuration("x", min_nodes="2", max_nodes=1)
    with pytest.raises(SettingsError, match="provisioning_configuration is a dict"):
        ComputeTarget.create(ws, "x", {})


def test_an_unknown_target(ws):
    with pytest.raises(ComputeTargetException, match="no compute target has the name 'gpu'"):
        ComputeTarget(ws, "gpu")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "exactly one must be given"),
        ({"address": "tcp://a:1", "cluster": 1}, "exactly one must be given"),
        ({"address": "host"}, "address='host' is not a scheduler's"),
        ({"cluster": 3}, "cluster=3 is neither a Dask cluster nor a client"),
    ],
)
def test_attach_wants_one_good_thing(ws, arguments, message):
    with pytest.raises(SettingsError, match=message):
        ComputeTarget.attach(ws, "x", **arguments)


class FakeCluster:
    def __init__(self, address):
        self.scheduler_address = address


def test_attach_an_object(ws, monkeypatch):
    cluster = FakeCluster("tcp://127.0.0.1:8786")
    target = ComputeTarget.attach(ws, "mine", cluster=cluster)
    assert type(target) is DaskCompute
    assert ws.compute_targets["mine"].dask_target is cluster
    monkeypatch.setattr(compute, "_attached", {})  # as in another process
    assert ws.compute_targets["mine"].dask_target == "tcp://127.0.0.1:8786"


def test_an_object_without_an_address_is_of_its_process(ws, monkeypatch):
    target = ComputeTarget.attach(ws, "mine", cluster=FakeCluster("inproc://1/2/3"))
    target.wait_for_completion()
    monkeypatch.setattr(compute, "_attached", {})
    with pytest.raises(ComputeTargetException, match="by another process"):
        target.dask_target  # noqa: B018


def test_waiting_for_an_address(ws):
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        target = ComputeTarget.attach(ws, "there", address=address)
        target.wait_for_completion()
        assert target.get_status().serialize()["address"] == address
    with pytest.raises(ComputeTargetException, match="nothing answers at"):
        target.wait_for_completion(timeout_in_minutes=0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"min_node_count": "few"}, "min_node_count='few' is not a number from 0 on"),
        ({"min_node_count": -1}, "min_node_count=-1 is not a number from 0 on"),
        ({"timeout_in_minutes": float("nan")}, "timeout_in_minutes=nan is not a number"),
    ],
)
def test_a_wait_wants_numbers(ws, arguments, message):
    target = ComputeTarget.attach(ws, "there", address="tcp://127.0.0.1:1")
    with pytest.raises(SettingsError, match=message):
        target.wait_for_completion(**arguments)


@pytest.mark.parametrize("given", ["cluster", "client", "address"])
def test_waiting_for_workers(ws, given):
    from distributed import Client, LocalCluster

    options = {"protocol": "tcp", "dashboard_address": ":0", "threads_per_worker": 1}
    with (
        LocalCluster(n_workers=1, processes=False, **options) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        by = {"cluster": cluster, "client": client, "address": cluster.scheduler_address}[given]
        target = ComputeTarget.attach(
            ws, "there", **{"address" if given == "address" else "cluster": by}
        )
        target.wait_for_completion(min_node_count="1")
        with pytest.raises(ComputeTargetException) as caught:
            target.wait_for_completion(min_node_count=2, timeout_in_minutes=0.005)
        assert str(caught.value) == (
            "compute target 'there' has 1 workers at the end of the wait, less than "
            f"min_node_count=2. Start more: dask worker {cluster.scheduler_address}"
        )
        threading.Timer(0.7, cluster.scale, (2,)).start()
        target.wait_for_completion(min_node_count=2, timeout_in_minutes=1)
        assert len(client.ncores()) == 2
        assert client.status == "running"  # what was given stays open


def test_a_scheduler_that_says_nothing_ends_the_wait(ws):
    ws = Workspace(ws.folder, intervals=replace(USUAL, connect_limit=0.5))
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        target = ComputeTarget.attach(ws, "silent", address=address)
        with pytest.raises(ComputeTargetException, match=r"'silent': no Dask scheduler answered"):
            target.wait_for_completion(min_node_count=1, timeout_in_minutes=0.05)
