"""Claims that come at the same moment are answered together, and each gets what it would have got alone."""

from __future__ import annotations

import pytest
from tests.orchestration.plant import Plant, furnished

from penstock import errors
from penstock.core.access import OWNER
from penstock.core.operations import work as of_work
from penstock.core.operations import work_pools as of_pools
from penstock.orchestration import asking
from penstock.orchestration.claims import claim_together
from penstock.store.interface import Store


@pytest.fixture
def plant(either_store: Store) -> Plant:
    """Workers `w1` to `w3`."""
    plant = furnished(either_store)
    for name in ("w2", "w3"):
        plant.start_worker(name)
    return plant


def wish(worker_id: str, limit: int = 1, *, not_of: tuple[str | None, ...] = ()) -> of_work.ClaimFlowRuns:
    left = tuple(each for each in not_of if each is not None)
    return of_work.ClaimFlowRuns(worker_id=worker_id, pool="default", limit=limit, except_deployments=left)


def together(plant: Plant, *wishes: of_work.ClaimFlowRuns) -> list[list[str]]:
    """The ids of the runs that each gets; of one who may not ask, none."""
    found = plant.store.run(lambda tx: claim_together(tx, wishes))
    return [[] if isinstance(each, Exception) else [claim.run_id for claim in each] for each in found]


def test_workers_get_runs_in_the_order_in_which_they_ask(plant: Plant):
    runs = [plant.create() for _ in range(5)]

    assert together(plant, wish("w1", 2), wish("w2"), wish("w3", 4)) == [runs[:2], runs[2:3], runs[3:]]
    assert {plant.run(run).worker for run in runs} == {"w1", "w2", "w3"}
    assert plant.run(runs[2]).state_message == "Claimed by worker w2"


def test_who_is_not_known_is_told_and_the_others_get_theirs(plant: Plant):
    run = plant.create()

    found = plant.store.run(lambda tx: claim_together(tx, [wish("nobody"), wish("w1")]))

    assert isinstance(found[0], errors.NotFound)
    assert not isinstance(found[1], Exception)
    assert [claim.run_id for claim in found[1]] == [run]


def test_each_gets_runs_of_its_queues_only(plant: Plant):
    plant.start_worker("fast", queues=("fast",))
    slow = [plant.create() for _ in range(2)]
    fast = [plant.create(work_queue="fast") for _ in range(2)]

    assert together(plant, wish("fast", 3), wish("w1", 3)) == [fast, slow]


def test_who_serves_fewer_queues_gets_what_others_have_left_of_them(plant: Plant):
    plant.start_worker("fast", queues=("fast",))
    fast = [plant.create(work_queue="fast") for _ in range(3)]

    assert together(plant, wish("w1", 2), wish("fast", 2)) == [fast[:2], fast[2:]]


def test_queues_are_served_by_their_priority(plant: Plant):
    plant.ask(of_pools.SaveWorkQueue(pool="default", queue="urgent", priority=1))
    plant.ask(of_pools.SaveWorkQueue(pool="default", queue="default", priority=2))
    first = plant.create()
    urgent = plant.create(work_queue="urgent")
    second = plant.create()

    assert together(plant, wish("w1"), wish("w2", 2)) == [[urgent], [first, second]]


def test_of_many_queues_too(plant: Plant):
    names = [f"queue-{number}" for number in range(12)]
    runs = [plant.create(work_queue=name) for name in names]

    assert together(plant, wish("w1", 5), wish("w2", 10)) == [runs[:5], runs[5:]]


def test_who_leaves_out_a_deployment_gets_runs_of_others_and_who_does_not_gets_those_too(plant: Plant):
    plant.deploy("hourly")
    nightly = [plant.create() for _ in range(2)]
    hourly = [plant.create("etl/hourly") for _ in range(2)]
    left_out = plant.run(nightly[0]).deployment_id

    assert together(plant, wish("w1", 3, not_of=(left_out,)), wish("w2"), wish("w3", 3)) == [
        hourly,
        nightly[:1],
        nightly[1:],
    ]


def test_limits_hold_for_all_of_them_together(plant: Plant):
    plant.ask(of_pools.UpdateWorkPool(pool="default", concurrency_limit=3))
    plant.ask(of_pools.SaveWorkQueue(pool="default", queue="fast", concurrency_limit=1))
    fast = [plant.create(work_queue="fast") for _ in range(2)]
    slow = [plant.create() for _ in range(3)]

    assert together(plant, wish("w1", 2), wish("w2", 2)) == [[fast[0], slow[0]], [slow[1]]]
    assert together(plant, wish("w1", 2)) == [[]]


def test_limits_of_deployments_hold_for_those_who_serve_other_queues(plant: Plant):
    plant.deploy("limited", concurrency_limit=2)
    plant.start_worker("fast", queues=("fast",))
    fast = [plant.create("etl/limited", work_queue="fast") for _ in range(3)]

    assert together(plant, wish("fast"), wish("w1", 3), wish("w2", 3)) == [fast[:1], fast[1:2], []]


def test_the_same_request_that_comes_twice_at_once_is_carried_out_once(plant: Plant):
    runs = [plant.create() for _ in range(3)]
    asked = [asking._Asked(wish("w1"), OWNER, "key"), asking._Asked(wish("w1"), OWNER, "key")]
    asked += [asking._Asked(wish("w2", 5), OWNER, "other"), asking._Asked(wish("w2"), OWNER, "key")]

    first, again, other, reused = plant.store.run(lambda tx: asking._claim(tx, asked))

    assert isinstance(first, asking.Answer)
    assert runs[0].encode() in first.body
    assert again == first
    assert isinstance(other, asking.Answer)
    assert other.items == 2
    assert isinstance(reused, errors.KeyReused)
