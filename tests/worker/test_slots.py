"""Slots of concurrency limits that runs of deployments hold: nothing that befalls a run keeps one from the others."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.api.serving import TOKEN, Served, serving
from tests.worker.factory import Factory, until
from tests.worker.test_supervision import PRELUDE, alive

from penstock import processes
from penstock.core.operations import concurrency_limits as ask
from penstock.core.operations import flow_runs as of_runs
from penstock.core.operations.flow_runs import ExplainFlowRun

HOLDS = PRELUDE + (
    "from penstock import concurrency\n"
    "@task(tags=['db'])\n"
    "def hold(number):\n"
    "    stamp(f'holds {number}')\n"
    "    while not (here / f'end {number}').exists():\n"
    "        time.sleep(0.01)\n"
    "@flow\n"
    "def by_tag(number: int):\n"
    "    hold(number)\n"
    "@flow\n"
    "def by_name(number: int):\n"
    "    with concurrency('tag:db', strict=True):\n"
    "        hold.fn(number)\n"
)


@pytest.fixture
def served(factory: Factory) -> Iterator[Served]:
    with serving(factory.store) as served:
        factory.ask(ask.CreateConcurrencyLimit(name="tag:db", limit=1))
        yield served
        factory.stop_workers()


def in_use(factory: Factory) -> tuple[list[str | None], list[str | None]]:
    """The runs that hold the slot, and those that wait for it."""
    found = factory.ask(ask.GetConcurrencyLimit(name="tag:db"))
    return [each.run_id for each in found.holders], [each.run_id for each in found.waiting]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["by_tag", "by_name"])
@pytest.mark.parametrize("fate", ["ends", "is killed", "is cancelled", "is cancelled while it waits"])
def test_a_slot_is_free_when_its_run_is_gone_however_it_went(factory: Factory, served: Served, kind: str, fate: str):
    factory.deploy(HOLDS, flow=kind, on_crash="fail")
    factory.work(url=served.url, key=TOKEN, limit=3)
    first = factory.create(f"{kind}/d", parameters={"number": 1})
    until(lambda: "holds 1" in factory.stamps())
    second = factory.create(f"{kind}/d", parameters={"number": 2})
    until(lambda: in_use(factory) == ([first], [second]))
    (reason,) = [each for each in factory.ask(ExplainFlowRun(run=second)).reasons if each.kind == "slot"]
    third = factory.create(f"{kind}/d", parameters={"number": 3})
    until(lambda: in_use(factory) == ([first], [second, third]))

    leaves, next_one = (second, third) if fate.endswith("waits") else (first, second)
    if fate == "ends":
        (factory.code / "end 1").touch()
    elif fate == "is killed":
        processes.kill(alive(first))
    else:
        factory.ask(of_runs.CancelFlowRun(run=leaves))
    ended = factory.ended(leaves)
    if fate.endswith("waits"):
        assert until(lambda: in_use(factory) == ([first], [third]))
        (factory.code / "end 1").touch()
    until(lambda: in_use(factory)[0] == [next_one])
    for number in (1, 2, 3):
        (factory.code / f"end {number}").touch()
    for run in {first, second, third} - {leaves}:
        assert factory.ended(run).state_name == "Completed"

    assert ended.state_name == {"ends": "Completed", "is killed": "Crashed"}.get(fate, "Cancelled")
    assert f"held by run `{factory.run(first).name}`" in reason.message
    assert in_use(factory) == ([], [])
