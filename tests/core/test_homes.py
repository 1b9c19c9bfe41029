"""Mini-batches go to nodes that are near their data, and no node waits for long."""

import random

import pytest

from daskrun.core.events import BundleLost, HandOut, NodeReady, Planned, RoomFor
from daskrun.core.homes import WAIT, Homes
from daskrun.core.ledger import Ledger
from daskrun.core.settings import RunSettings

A, B = "tcp://10.0.0.1:4000", "tcp://10.0.0.2:4000"


class Desk:
    def __init__(self, hosts, **nodes):
        self.homes = Homes()
        for each in hosts:
            self.homes.add(each)
        self.ledger = Ledger(RunSettings(entry_script="x.py"), homes=self.homes)
        self.now = 0.0
        self.ledger.handle(Planned(len(hosts), True, self.now))
        for name, where in nodes.items():
            self.ledger.handle(NodeReady(name, 1, self.now, where))

    def take(self, node, limit=10):
        """Give what a node gets; the bundle's number first."""
        found = self.ledger.handle(RoomFor(node, limit, self.now))
        if not found:
            return None, []
        [order] = found
        assert isinstance(order, HandOut)
        return order.bundle.number, [index for index, _ in order.bundle.entries]


def desk(**more):
    hosts = [["10.0.0.1"], ["10.0.0.2"], [], ["10.0.0.1", "10.0.0.2"], ["10.0.0.2"]]
    return Desk(hosts, a=A, b=B, **more)


def test_a_node_gets_what_is_near_it_then_what_is_near_none():
    run = desk()
    assert run.take("b", 3)[1] == [1, 4, 3]
    assert run.take("b", 3)[1] == [2]
    assert run.take("a")[1] == [0]
    assert run.ledger.remaining() == 0
    assert run.ledger.progress(0.0).handed_out == 5


@pytest.mark.parametrize("told", [A, "10.0.0.1:4000", "10.0.0.1"])
def test_a_host_may_be_told_as_its_worker_is(told):
    run = Desk([[told]], b=B, a=A)
    assert run.take("b") == (None, [])
    assert run.take("a")[1] == [0]


def test_a_node_without_work_near_it_waits_so_long_and_then_helps():
    run = Desk([["10.0.0.1"]] * 4, a=A, b=B)
    assert run.take("b", 1) == (None, [])
    run.now = WAIT - 0.1
    assert run.take("b", 1) == (None, [])
    assert run.take("a", 1)[1] == [0]
    run.now = WAIT
    assert run.take("b", 1)[1] == [1]
    assert run.take("b", 1)[1] == [2]  # it has waited already
    assert run.take("a", 1)[1] == [3]


def test_a_node_that_found_work_again_waits_again():
    run = Desk([["10.0.0.1"], ["10.0.0.2"], ["10.0.0.1"]], a=A, b=B)
    first, _ = run.take("b", 1)
    assert run.take("b", 1) == (None, [])
    run.now = WAIT
    assert run.take("b", 1)[1] == [0]
    run.ledger.handle(BundleLost(first, "no reason", run.now))
    assert run.take("b", 1)[1] == [1]
    assert run.take("b", 1) == (None, [])


def test_what_comes_back_goes_to_who_is_near_it():
    run = Desk([["10.0.0.1"], ["10.0.0.2"]], a=A, b=B)
    number, entries = run.take("a")
    assert entries == [0]
    run.ledger.handle(BundleLost(number, "no reason", run.now))
    assert run.take("b")[1] == [1]
    assert run.take("b") == (None, [])
    assert run.take("a")[1] == [0]


def test_hosts_that_never_have_a_node_cost_a_short_wait():
    run = Desk([["nowhere"]] * 3, a=A)
    assert run.take("a") == (None, [])
    assert run.ledger.has_work(run.now)
    run.now = WAIT
    assert run.take("a")[1] == [0, 1, 2]


@pytest.mark.parametrize("seed", range(50))
def test_each_mini_batch_is_out_once(seed):
    rng = random.Random(seed)
    hosts = ["10.0.0.1", "10.0.0.2", "nowhere"]
    run = Desk([rng.sample(hosts, rng.randrange(3)) for _ in range(40)], a=A, b=B)
    out = {}
    left = 40
    for _ in range(400):
        run.now += rng.random()
        if out and rng.random() < 0.3:
            number = rng.choice(list(out))
            run.ledger.handle(BundleLost(number, "no reason", run.now))
            left += len(out.pop(number))
        number, entries = run.take(rng.choice("ab"), rng.randrange(1, 6))
        if number is not None:
            out[number] = entries
            left -= len(entries)
        every = [index for entries in out.values() for index in entries]
        assert len(every) == len(set(every)) == 40 - left
        assert run.ledger.remaining() == left


def test_what_an_earlier_driver_had_out_is_fresh_again():
    run = desk()
    assert run.take("b", 2)[1] == [1, 4]
    again = Ledger(RunSettings(entry_script="x.py"), homes=run.homes)
    again.recall([])
    again.handle(Planned(5, True, 0.0))
    again.handle(NodeReady("b", 1, 0.0, B))
    [order] = again.handle(RoomFor("b", 10, 0.0))
    assert [index for index, _ in order.bundle.entries] == [1, 4, 3, 2]
