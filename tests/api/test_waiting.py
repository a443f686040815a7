"""Answers that wait for something to happen, and who gets what happened."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.api.serving import TOKEN, Served, serving
from tests.orchestration.plant import Plant

from penstock.clock import SYSTEM
from penstock.core.operations.work import ClaimFlowRuns

DEADLINE = 20.0


@pytest.fixture
def served(plant: Plant) -> Iterator[Served]:
    with serving(plant.store) as served:
        yield served


def claim_later(served: Served, worker: str = "w1") -> http.client.HTTPConnection:
    """Begin to wait for work."""
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=DEADLINE)
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    connection.request(
        "POST", f"/api/workers/{worker}/claim", json.dumps({"pool": "default", "wait_seconds": 15}), headers
    )
    return connection


def waiting(served: Served, count: int) -> None:
    """Return once so many wait."""
    deadline = SYSTEM.elapsed() + DEADLINE
    while len(served.context.wakes._waiting) != count:
        assert SYSTEM.elapsed() < deadline
        SYSTEM.sleep(0.005)


def test_a_run_is_claimed_as_soon_as_it_is_there(served: Served, plant: Plant):
    connection = claim_later(served)
    waiting(served, 1)
    began = SYSTEM.elapsed()
    run = plant.create()
    (claim,) = json.loads(connection.getresponse().read())
    connection.close()

    assert claim["run_id"] == run
    assert SYSTEM.elapsed() - began < 10  # it would have waited for 15


def test_nobody_claims_for_a_client_that_has_gone(served: Served, plant: Plant):
    gone = claim_later(served)
    waiting(served, 1)
    gone.close()
    waiting(served, 0)
    run = plant.create()

    assert plant.state(run) == "Scheduled"
    assert [claim.run_id for claim in plant.claim()] == [run]


def test_of_many_that_wait_each_run_goes_to_one(served: Served, plant: Plant):
    for number in range(5):
        plant.start_worker(f"v{number}")
    connections = [claim_later(served, f"v{number}") for number in range(5)]
    waiting(served, 5)
    runs = [plant.create() for _ in range(5)]
    claimed = [claim["run_id"] for each in connections for claim in json.loads(each.getresponse().read())]
    for connection in connections:
        connection.close()

    assert sorted(claimed) == sorted(runs)


def test_an_answer_waits_no_longer_than_it_was_asked_to(served: Served, plant: Plant):
    began = SYSTEM.elapsed()
    claims = served.orchestrator.ask(ClaimFlowRuns(worker_id="w1", pool="default", wait_seconds=0.3))

    assert claims == []
    assert 0.25 < SYSTEM.elapsed() - began < 5


def test_others_are_answered_while_many_wait(served: Served, plant: Plant):
    """More than there are threads: who waits takes none."""
    before = threading.active_count()
    connections = [claim_later(served) for _ in range(40)]
    waiting(served, 40)
    meanwhile = threading.active_count()
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: served.ask("GET", "/api/flow-runs").status, range(8)))
    for connection in connections:
        connection.close()
    waiting(served, 0)

    assert answers == [200] * 8
    assert meanwhile - before < 20
