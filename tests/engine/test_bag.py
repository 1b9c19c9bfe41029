"""Bundles as partitions of a bag: what is asked of Dask, and that it travels without daskrun."""

from __future__ import annotations

import asyncio
import sys

import pytest
from distributed.protocol.pickle import dumps, loads

from daskrun.engine.dask import worker as side
from daskrun.engine.dask.bag import BundleBags
from daskrun.engine.dask.connection import Connection

NO_CODE = (b"cloudpickle", b"CodeType", b"marshal")
"""What is in a pickle of a function by value."""
ADDRESS = "tcp://10.0.0.1:1"


class StandInClient:
    """Notes what it is asked for; a future is its key."""

    def __init__(self):
        self.asked = []

    def get(self, graph, keys, **options):
        self.asked.append((dict(graph), list(keys), options))
        return list(keys)


@pytest.fixture
def client():
    return StandInClient()


def test_a_partition_is_the_task_of_one_bundle(client, monkeypatch):
    monkeypatch.setattr(side, "call_entry_script", lambda payload: [payload + b"!"])
    bags = BundleBags(client, "score", "x")
    futures = bags.submit({4: b"a", 5: b"b"}, ADDRESS)
    [(graph, keys, _)] = client.asked
    assert futures == {4: keys[0], 5: keys[1]}
    assert len(graph) == 2, "nothing but a task for each bundle is to travel"
    results = [graph[key]() for key in keys]
    assert results == [[b"a!"], [b"b!"]]


def test_only_the_worker_that_is_named_may_run_it_and_earlier_bundles_come_first(client):
    bags = BundleBags(client, "score", "x")
    bags.submit({4: b""}, ADDRESS)
    options = client.asked[0][2]
    assert options == {
        "sync": False,
        "workers": [ADDRESS],
        "allow_other_workers": False,
        "priority": -4,
    }


def test_no_key_comes_twice(client):
    bags = BundleBags(client, "score", "x")
    for _ in range(3):
        bags.submit({1: b"", 2: b""}, ADDRESS)
    keys = [key for _, keys, _ in client.asked for key in keys]
    assert len(set(keys)) == 6


def test_a_scheduler_without_daskrun_unpickles_a_task_and_pickles_it_again(client, monkeypatch):
    bags = BundleBags(client, "score", "x")
    bags.submit({1: b"a"}, ADDRESS)
    [task] = client.asked[0][0].values()
    with monkeypatch.context() as patch:
        for name in [name for name in sys.modules if name.partition(".")[0] == "daskrun"]:
            patch.setitem(sys.modules, name, None)
        by_value = [kind for kind in NO_CODE if kind in (again := dumps(loads(dumps(task))))]
    assert by_value == [], "nothing of it is to be bytecode of whoever pickled it"
    monkeypatch.setattr(side, "call_entry_script", lambda payload: [payload + b"!"])
    assert loads(again)() == [b"a!"]


class Finished:
    """A future that is done."""

    key = ("bundle-x-1", 0)
    status = "finished"


class Worker:
    """A worker in this process."""

    def __init__(self, data):
        self.data = data


def test_a_result_of_a_worker_in_this_process_is_taken_from_it():
    connection = Connection("run", "topic", 1.0)  # without a client, so that nobody can be asked
    connection._here = (Worker({}), Worker({Finished.key: [b"result"]}))
    assert asyncio.run(connection._result(Finished(), 1.0)) == [b"result"]


def test_keys_tell_step_and_mini_batches_and_dask_groups_them_by_the_step(client):
    from dask.utils import key_split

    bags = BundleBags(client, "score-orders", "run-1")
    bags.submit({4: b""}, ADDRESS, 32, 63)
    [key] = client.asked[0][1]
    assert key[0].startswith("daskrun-score-orders-32-63-")
    assert key_split(key) == "daskrun-score-orders"
