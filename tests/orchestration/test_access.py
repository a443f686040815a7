"""Who may ask for what: keys of people, of workers and of runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest
from tests.orchestration.plant import Plant

from penstock import errors
from penstock.core import operations, records
from penstock.core.access import OWNER, Permission, Principal
from penstock.core.operations import Request
from penstock.core.operations import api_keys as of_keys
from penstock.core.operations import deployments as of_deployments
from penstock.core.operations import flow_runs as of_runs
from penstock.core.operations import work as of_work
from penstock.core.operations import work_pools as of_pools
from penstock.orchestration import access, asking
from penstock.store.sqlite import SqliteStore
from penstock.testing import FakeClock


@pytest.fixture
def timed(clock: FakeClock) -> Iterator[Plant]:
    with SqliteStore.in_memory(clock) as store:
        yield Plant(store)


def new_key(plant: Plant, **options: Any) -> of_keys.CreatedApiKey:
    return plant.ask(of_keys.CreateApiKey(**{"name": "ci", **options}))


def principal(plant: Plant, key: str) -> Principal:
    found = access.principal_of(plant.store, key)
    assert found is not None
    return found


def asker(plant: Plant, by: Principal) -> Callable[[Request[Any]], Any]:
    """Asks in somebody's name; gives the answer."""
    return lambda request: msgspec.json.decode(asking.answer(plant.store, request, by=by).body)


# ── keys ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_key_is_known_again_and_its_secret_is_kept_nowhere(plant: Plant):
    made = new_key(plant, permissions=(Permission.READ, Permission.OPERATE))

    known = principal(plant, made.key)
    assert (known.name, known.permissions) == (
        f"key {made.details.id}",
        frozenset({Permission.READ, Permission.OPERATE}),
    )
    (listed,) = plant.ask(of_keys.ListApiKeys())
    assert (listed.name, listed.pool, listed.expires_at) == ("ci", None, None)
    secret = made.key.split("_", 2)[2]
    with plant.store.reading() as tx:
        assert secret not in repr(tx.api_keys.all())


def test_when_a_key_was_last_shown_is_told(plant: Plant):
    made = new_key(plant, permissions=(Permission.READ,))
    assert made.details.used_at is None

    principal(plant, made.key)

    (listed,) = plant.ask(of_keys.ListApiKeys())
    assert listed.used_at is not None


def test_a_key_that_is_not_quite_the_same_is_nobodys(plant: Plant):
    key = new_key(plant, permissions=(Permission.READ,)).key
    secret = key.split("_", 2)[2]

    spoilt = ["", "psk_", "psk_x", "psk__", key[:-1], f"{key}x", key.upper(), key.replace("psk_", "prk_"), f"{key}é"]
    for each in [*spoilt, f"psk_000000000000_{secret}"]:
        assert access.principal_of(plant.store, each) is None, each


def test_a_deleted_key_is_nobodys(plant: Plant):
    made = new_key(plant, permissions=(Permission.READ,))

    plant.ask(of_keys.DeleteApiKey(key="ci"))

    assert access.principal_of(plant.store, made.key) is None
    with pytest.raises(errors.NotFound, match="No key has that name or id: `ci`"):
        plant.ask(of_keys.DeleteApiKey(key="ci"))


def test_a_key_is_good_for_as_long_as_it_was_made_for(timed: Plant, clock: FakeClock):
    made = new_key(timed, permissions=(Permission.READ,), days=2)

    clock.advance(2 * 86400 - 1)
    assert access.principal_of(timed.store, made.key) is not None
    clock.advance(1)
    assert access.principal_of(timed.store, made.key) is None


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({}, errors.UsageError, "has permissions, or is a worker's"),
        ({"permissions": (Permission.READ,), "pool": "default"}, errors.UsageError, "or is a worker's"),
        ({"permissions": (Permission.READ,), "days": 0}, errors.UsageError, "good for some days"),
        ({"permissions": (Permission.READ,), "days": 1e9}, errors.UsageError, "good for some days"),
        ({"permissions": (Permission.READ,), "name": "a/b"}, errors.UsageError, "Not the name of a key"),
        ({"pool": "nope"}, errors.NotFound, "nope"),
    ],
)
def test_a_key_that_cannot_be_is_not_made(plant: Plant, options: dict[str, Any], error: type[Exception], said: str):
    with pytest.raises(error, match=said):
        new_key(plant, **options)
    assert plant.ask(of_keys.ListApiKeys()) == []


def test_a_name_is_given_once(plant: Plant):
    new_key(plant, permissions=(Permission.READ,))

    with pytest.raises(errors.AlreadyExists, match="`ci`"):
        new_key(plant, permissions=(Permission.ADMIN,))


# ── workers ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_workers_key_works_for_its_pool_and_for_no_other(plant: Plant):
    plant.ask(of_pools.CreateWorkPool(name="other"))
    mine = principal(plant, new_key(plant, pool="default").key)
    other = principal(plant, new_key(plant, pool="other", name="else").key)
    run = plant.create()
    (claim,) = plant.claim()

    of_the_pool = [
        of_work.RegisterWorker(id="w9", name="w9", pool="default"),
        of_work.RegisterWorker(id="w1", name="w1", pool="default"),
        of_work.ClaimFlowRuns(worker_id="w1", pool="default"),
        of_work.Heartbeat(worker_id="w1", runs=(of_work.Held(run_id=run, attempt=claim.attempt),)),
        of_work.PinCommit(run_id=run, attempt=1, commit="c"),
    ]
    for request in of_the_pool:
        asking.answer(plant.store, request, by=mine)
        with pytest.raises(errors.NotAllowed, match="of the pool `other`"):
            asking.answer(plant.store, request, by=other)


def test_a_batch_with_one_run_of_another_pool_is_refused_whole(plant: Plant):
    plant.ask(of_pools.CreateWorkPool(name="other"))
    other = principal(plant, new_key(plant, pool="other").key)
    plant.ask(of_work.RegisterWorker(id="w2", name="w2", pool="other"))
    run = plant.create()
    seen = {each.id: each.seen_at for each in plant.ask(of_pools.ListWorkers())}

    request = of_work.Heartbeat(worker_id="w2", runs=(of_work.Held(run_id=run, attempt=1),))
    with pytest.raises(errors.NotAllowed, match=run):
        asking.answer(plant.store, request, by=other)
    assert {each.id: each.seen_at for each in plant.ask(of_pools.ListWorkers())} == seen


def test_what_is_not_known_belongs_to_no_worker(plant: Plant):
    mine = principal(plant, new_key(plant, pool="default").key)

    with pytest.raises(errors.NotAllowed):
        asking.answer(plant.store, of_work.PinCommit(run_id="nobody", attempt=1, commit="c"), by=mine)


def test_every_operation_of_workers_names_what_it_is_about():
    for operation in operations.every():
        if operation.permission is Permission.WORK:
            assert {"pool", "worker_id", "run_id"} & set(operation.request.__struct_fields__), operation.name


# ── runs ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_runs_key_is_good_while_its_attempt_is_under_way(plant: Plant):
    run = plant.create()
    (claim,) = plant.claim()

    known = principal(plant, claim.key)
    assert (known.run_id, known.attempt, known.permissions) == (run, 1, frozenset({Permission.RUN}))

    plant.begin(run, 1)
    plant.end(run, 1)
    plant.exit(run, 1)
    assert access.principal_of(plant.store, claim.key) is None


def test_a_runs_key_is_for_that_run_and_for_what_it_has_made(plant: Plant):
    run, stranger = plant.create(name="mine"), plant.create(name="strange")
    claims = {claim.run_id: claim for claim in plant.claim(limit=2)}
    me = principal(plant, claims[run].key)
    ask = asker(plant, me)

    made = ask(of_deployments.RunDeployment(deployment="etl/nightly", parent_flow_run_id=run))
    assert ask(of_runs.GetFlowRun(run=run))["name"] == "mine"
    assert ask(of_runs.GetFlowRun(run=made["id"]))["parent_flow_run_id"] == run
    for request in (
        of_runs.GetFlowRun(run=stranger),
        of_runs.GetFlowRun(run="mine"),
        of_runs.GetFlowRun(run=""),
        of_runs.RetryFlowRun(run=stranger),
        of_runs.CancelFlowRun(run=made["id"]),
        of_deployments.RunDeployment(deployment="etl/nightly", parent_flow_run_id=stranger),
        of_deployments.RunDeployment(deployment="etl/nightly", parent_flow_run_id=made["id"]),
    ):
        with pytest.raises(errors.NotAllowed, match=run):
            ask(request)


def test_a_run_looks_at_what_it_has_made_without_being_its_parent_and_nobody_elses_code_does(plant: Plant):
    run, stranger = plant.create(), plant.create()
    claims = {claim.run_id: claim for claim in plant.claim(limit=2)}
    ask, other = (asker(plant, principal(plant, claims[each].key)) for each in (run, stranger))

    made = ask(of_deployments.RunDeployment(deployment="etl/nightly"))["id"]
    forged = other(of_deployments.RunDeployment(deployment="etl/nightly", asked_by_run_id=run))["id"]

    assert ask(of_runs.GetFlowRun(run=made))["parent_flow_run_id"] is None
    assert other(of_runs.GetFlowRun(run=forged))["id"] == forged
    for ask_one, of_other in ((ask, forged), (other, made)):
        for request in (of_runs.GetFlowRun(run=of_other), of_runs.RetryFlowRun(run=of_other)):
            with pytest.raises(errors.NotAllowed):
                ask_one(request)


def test_a_run_retries_a_child_that_has_failed(plant: Plant):
    run = plant.create()
    (claim,) = plant.claim()
    ask = asker(plant, principal(plant, claim.key))
    child = ask(of_deployments.RunDeployment(deployment="etl/nightly", parent_flow_run_id=run))["id"]
    plant.claim()
    plant.begin(child, 1)
    plant.end(child, 1, "FAILED", "Failed")
    plant.exit(child, 1)

    assert ask(of_runs.RetryFlowRun(run=child))["state_name"] == "AwaitingRetry"


def test_a_key_that_is_for_runs_in_general_retries_none(plant: Plant):
    run = plant.create()
    (claim,) = plant.claim()
    plant.end(run, claim.attempt, "FAILED", "Failed")
    plant.exit(run, claim.attempt)

    for permission, is_allowed in ((Permission.RUN, False), (Permission.OPERATE, True)):
        by = principal(plant, new_key(plant, name=permission.value, permissions=(permission,)).key)
        if is_allowed:
            assert asker(plant, by)(of_runs.RetryFlowRun(run=run))["state_name"] == "AwaitingRetry"
        else:
            with pytest.raises(errors.NotAllowed, match="needs the permission operate"):
                asker(plant, by)(of_runs.RetryFlowRun(run=run))


def test_a_subflow_run_is_its_roots_as_soon_as_it_is_known(plant: Plant):
    run, stranger = plant.create(), plant.create()
    claims = {claim.run_id: claim for claim in plant.claim(limit=2)}
    ask, other = (asker(plant, principal(plant, claims[each].key)) for each in (run, stranger))
    subflow = "00000000-0000-8000-b000-000000000001"
    request = of_deployments.RunDeployment(deployment="etl/nightly", parent_flow_run_id=subflow)

    for early in (ask, other):
        with pytest.raises(errors.StoreBehind, match=subflow):
            early(request)
    plant.begin(run, 1)
    plant.tell(run, 1, records.FlowRunBegan(1, subflow, 1, "sub", "sub", "", "", {}, parent_flow_run_id=run))

    assert ask(request)["parent_flow_run_id"] == subflow
    with pytest.raises(errors.NotAllowed):
        other(request)


def test_every_operation_of_runs_names_the_run():
    for operation in operations.every():
        if operation.permission is Permission.RUN:
            # ``runs`` holds structs with ids, into which the check looks.
            names = {"run", "run_id", "flow_run_id", "parent_flow_run_id", "runs"}
            named = names & set(operation.request.__struct_fields__)
            assert named, operation.name


# ── once ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


RUN = of_deployments.RunDeployment(deployment="etl/nightly", parameters={"month": 1})


def test_the_same_request_with_the_same_key_is_done_once(plant: Plant):
    first = asking.answer(plant.store, RUN, by=OWNER, key="k")
    again = asking.answer(plant.store, RUN, by=OWNER, key="k")

    assert first == again
    assert asking.answer(plant.store, RUN, by=OWNER, key="other") != first
    assert len(plant.ask(of_runs.ListFlowRuns()).items) == 2


def test_another_request_with_the_same_key_is_refused(plant: Plant):
    asking.answer(plant.store, RUN, by=OWNER, key="k")

    with pytest.raises(errors.KeyReused, match="`k`"):
        asking.answer(plant.store, msgspec.structs.replace(RUN, parameters={}), by=OWNER, key="k")
    assert len(plant.ask(of_runs.ListFlowRuns()).items) == 1


def test_keys_of_different_people_are_different_keys(plant: Plant):
    other = Principal(name="key x", permissions=OWNER.permissions)

    assert asking.answer(plant.store, RUN, by=OWNER, key="k") != asking.answer(plant.store, RUN, by=other, key="k")


def test_what_failed_is_not_kept(plant: Plant):
    unknown = of_deployments.RunDeployment(deployment="etl/later")
    with pytest.raises(errors.NotFound):
        asking.answer(plant.store, unknown, by=OWNER, key="k")

    plant.deploy(name="later")
    assert asking.answer(plant.store, unknown, by=OWNER, key="k")


def test_that_there_was_nothing_to_claim_is_not_kept(plant: Plant):
    request = of_work.ClaimFlowRuns(worker_id="w1", pool="default")
    assert asking.answer(plant.store, request, by=OWNER, key="k").body == b"[]"

    plant.create()
    first = asking.answer(plant.store, request, by=OWNER, key="k")
    assert first.body != b"[]"
    again = asking.answer(plant.store, request, by=OWNER, key="k")
    assert again.body == first.body
    assert (first.items, again.items) == (1, 0)  # for the numbers that Prometheus gets: it was claimed once


def test_at_the_same_time_too(plant: Plant):
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(4) as pool:
        answers = set(pool.map(lambda _: asking.answer(plant.store, RUN, by=OWNER, key="k"), range(8)))

    assert len(answers) == 1
    assert len(plant.ask(of_runs.ListFlowRuns()).items) == 1


def test_answers_are_forgotten_after_a_day(timed: Plant, clock: FakeClock):
    timed.deploy()
    asking.answer(timed.store, RUN, by=OWNER, key="k")

    clock.advance(86400 - 9)
    assert asking.forget_answers(timed.store) == 0
    clock.advance(10)
    assert asking.forget_answers(timed.store) == 1
