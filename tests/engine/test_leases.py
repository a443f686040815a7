"""Attempts that are supervised: no new task starts while their lease does not hold, and everything else goes on."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from penstock import Flow, clock, flow, settings, task
from penstock.core.assignments import Assignment
from penstock.engine.attempt import Attempt
from penstock.journal.folder import JournalFolder
from penstock.journal.lease import Lease
from penstock.sdk import runs

RUN = "01a214e0-08b2-7a15-b3f0-1ce70ba9eed9"


class NoPast:
    def attempts(self, run_id: str) -> int:
        return 0

    def records(self, run_id: str) -> list[Any]:
        return []


@pytest.fixture
def lease(home: Path) -> Lease:
    """The lease of an attempt, which does not hold yet."""
    path = JournalFolder(home / "journals").lease_path(RUN, 1)
    path.parent.mkdir(parents=True)
    return Lease.begin(path, {})


def executed(wanted: Flow[..., Any], lease: Lease) -> Any:
    assignment = Assignment(
        run_id=RUN, attempt=1, name="r", flow_name="f", entrypoint="", folder="", lease=str(lease.path)
    )
    return runs.execute(wanted.spec, assignment, NoPast())


def hold(lease: Lease) -> None:
    lease.extend(clock.boottime() + 1000)


def after_the_first_look(lease: Lease, monkeypatch: pytest.MonkeyPatch, then: Callable[[], None]) -> None:
    """Call ``then`` when somebody has found that the lease does not hold, and waits."""
    from penstock.engine import leases

    wait = leases.wait

    def noted(*given: Any):
        then()
        return wait(*given)

    monkeypatch.setattr(leases, "wait", noted)


def test_a_task_waits_until_the_lease_holds(lease: Lease, monkeypatch: pytest.MonkeyPatch):
    ran: list[str] = []

    @task
    def step():
        ran.append("task")

    @flow
    def main():
        ran.append("flow")
        step()

    def extend() -> None:
        ran.append("waits")
        hold(lease)

    after_the_first_look(lease, monkeypatch, extend)
    assert executed(main, lease).is_completed()
    assert ran == ["flow", "waits", "task"]


def test_a_task_that_waits_does_not_hold_up_other_coroutines(lease: Lease):
    ran: list[str] = []

    @task
    async def step():
        ran.append("task")

    @flow
    async def main():
        async def beside():
            for _ in range(3):
                await asyncio.sleep(0)
            ran.append("beside")
            hold(lease)

        await asyncio.gather(step(), beside())

    assert asyncio.run(executed(main, lease)).is_completed()
    assert ran == ["beside", "task"]


def test_a_subflow_waits_as_well(lease: Lease, monkeypatch: pytest.MonkeyPatch):
    ran: list[str] = []

    @flow
    def inner():
        ran.append("inner")

    @flow
    def main():
        inner()

    def extend() -> None:
        ran.append("waits")
        hold(lease)

    after_the_first_look(lease, monkeypatch, extend)
    assert executed(main, lease).is_completed()
    assert ran == ["waits", "inner"]


def test_a_retry_is_a_task_that_starts_too(lease: Lease, monkeypatch: pytest.MonkeyPatch):
    hold(lease)
    ran: list[str] = []

    @task(retries=1)
    def step():
        ran.append("try")
        if len(ran) == 1:
            lease.deadline = 0  # as if time had passed
            lease.extend(clock.boottime())
            raise ValueError("again")

    @flow
    def main():
        step()

    def extend() -> None:
        ran.append("waits")
        hold(lease)

    after_the_first_look(lease, monkeypatch, extend)
    assert executed(main, lease).is_completed()
    assert ran == ["try", "waits", "try"]


def test_submitted_tasks_wait_and_a_run_that_is_over_them_says_so_once(lease: Lease, monkeypatch: pytest.MonkeyPatch):
    hold(lease)
    lease.deadline = 0
    lease.extend(clock.boottime())
    ran: list[int] = []
    complaints = threading.Semaphore(0)
    complain_once = Attempt.complain_once

    def noted(*given: Any) -> bool:
        complaints.release()
        return complain_once(*given)

    monkeypatch.setattr(Attempt, "complain_once", noted)

    @task
    def step(number: int):
        ran.append(number)

    @flow
    def main():
        futures = step.map(range(8))
        for _ in range(2):
            assert complaints.acquire(timeout=20)
        hold(lease)
        futures.wait()

    assert executed(main, lease).is_completed()
    journal = (settings.load().journals / RUN / "1.main.journal").read_bytes()
    assert sorted(ran) == list(range(8))
    assert journal.count(b"no new task starts") == 1


def test_a_run_that_nobody_supervises_does_as_it_likes():
    @task
    def step():
        return 1

    @flow
    def main():
        return step()

    assert main() == 1
