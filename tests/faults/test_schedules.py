"""Schedules while clocks are set, servers are away, and deployments change: one run for each time, and no time lost."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.lab.figures import Measured
from tests.lab.lab import Client, Lab
from tests.lab.waiting import last, until
from tests.lab.wall_clock import WallClock

from penstock import errors
from penstock.core.deployments import ScheduleSpec
from penstock.core.operations import deployments as of_deployments
from penstock.core.operations.deployments import Slot
from penstock.core.schedules import Cron, Interval, Once
from penstock.core.slots import Policy
from penstock.services import scheduler

pytestmark = pytest.mark.slow

MINUTE = 60_000_000
UNSERVED: dict[str, Any] = {"work_queue": "nobody-serves-it"}


def slots(client: Client, deployment: str) -> list[Slot]:
    """What became of all scheduled times, earliest first."""
    found: list[Slot] = []
    after: str | None = None
    while True:
        page = client.ask(of_deployments.ListSlots(deployment=deployment, limit=200, after=after))
        found += page.items
        after = page.next
        if after is None:
            return sorted(found, key=lambda each: each.slot)


def runs_of(found: list[Slot]) -> list[Slot]:
    return [each for each in found if each.run_id is not None]


@pytest.mark.fault("R-25")
def test_after_a_day_without_a_server_each_minute_has_run_or_says_why_not(tmp_path: Path, measured: Measured):
    with Lab(tmp_path) as lab:
        wall = WallClock(tmp_path)
        server = lab.start_server(environ=wall.environ)
        client = lab.client()
        # A slot is 20 seconds ago, so that none is due just as the server comes back.
        anchor = wall.now().replace(microsecond=0) - timedelta(seconds=20)
        deployments = {
            catchup: lab.deploy(
                "scheduled",
                catchup,
                schedules=(
                    ScheduleSpec(
                        schedule=Interval(timedelta(minutes=1), anchor),
                        policy=Policy(catchup=catchup, window=timedelta(days=2)),
                    ),
                ),
                **UNSERVED,
            )
            for catchup in ("latest", "all", "skip")
        }
        server.stop()
        gone_at = int(wall.now().timestamp() * 1e6)
        wall.turn(timedelta(days=1))
        back_at = int(wall.now().timestamp() * 1e6)
        server.start()
        server.until_ready()
        until(lambda: len(runs_of(slots(client, deployments["all"]))) >= 100, "the runs of the last 100 minutes")
        found = {
            catchup: [each for each in slots(client, name) if gone_at < each.slot < back_at]
            for catchup, name in deployments.items()
        }

        assert {catchup: len(runs_of(each)) for catchup, each in found.items()} == {"latest": 1, "all": 100, "skip": 0}
        for catchup, each in found.items():
            covered = sum((one.last - one.slot) // MINUTE + 1 for one in each if one.last < back_at)
            assert covered == 24 * 60, catchup
            assert all(one.run_id or one.reason for one in each)
        paced = [client.run(each.run_id or "") for each in runs_of(found["all"])]
        assert len({each.due_at for each in paced}) == 100
        lab.check(may_go_on=[each.id for each in client.all_runs()])
        measured(records={catchup: len(each) for catchup, each in found.items()})


@pytest.mark.fault("R-22")
@pytest.mark.fault("R-23")
def test_clocks_that_are_put_forward_and_back_repeat_no_run_and_stop_neither_schedules_nor_runs(
    tmp_path: Path, measured: Measured
):
    with Lab(tmp_path) as lab:
        of_server, of_worker = (WallClock(_made(tmp_path / name)) for name in ("server", "worker"))
        of_worker.turn(timedelta(hours=1))
        lab.start_server("server", environ=of_server.environ)
        lab.start_worker("worker", environ=of_worker.environ)
        client = lab.client()
        gate = lab.gate()
        held = client.create(lab.deploy("waits"), parameters={"gate": str(gate)})
        lab.effects.until([held])
        every_second = ScheduleSpec(schedule=Interval(timedelta(seconds=1)))
        deployment = lab.deploy("scheduled", schedules=(every_second,))

        jumps = [timedelta(hours=2), timedelta(days=-3), timedelta(days=365), timedelta(days=-362, hours=-2)]
        made: list[int] = []
        for jump in jumps:
            _some_more(client, deployment)
            before = len(runs_of(slots(client, deployment)))
            of_server.turn(jump)
            of_worker.turn(-jump)
            # It may sleep until a time of before; then it looks again, and goes on as before.
            _some_more(client, deployment, seconds=scheduler.LONGEST_SECONDS + 20)
            made.append(len(runs_of(slots(client, deployment))) - before)
        client.ask(of_deployments.PauseDeployment(deployment=deployment))
        gate.open()
        client.until_idle(seconds=60)

        found = runs_of(slots(client, deployment))
        assert max(Counter(each.slot for each in found).values()) == 1
        assert len({each.run_id for each in found}) == len(found)
        run = client.run(held)
        assert (run.state_name, run.attempt) == ("Completed", 1)
        assert {(each.state_name, each.attempt) for each in client.all_runs()} == {("Completed", 1)}
        lab.check()
        measured(runs=len(found), made_after_each_jump=made)


def _made(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    return folder


def _some_more(client: Client, deployment: str, *, seconds: float = 30) -> None:
    """Wait for three more runs of its schedule."""
    before = len(runs_of(slots(client, deployment)))
    until(lambda: len(runs_of(slots(client, deployment))) >= before + 3, "three more scheduled runs", seconds=seconds)


@pytest.mark.fault("R-24")
def test_a_server_that_lives_through_changes_of_summer_time_runs_each_day_once(tmp_path: Path):
    changes = [
        # Half past two does not exist: it runs at the first moment that does.
        (
            "Europe/Berlin",
            "30 2 * * *",
            datetime(2027, 3, 28, 1, 0, tzinfo=UTC),
            datetime(2027, 3, 28, 1, 30, tzinfo=UTC),
        ),
        # The hand moves by half an hour only: a quarter past two does not exist.
        ("Australia/Lord_Howe", "15 2 * * *", datetime(2027, 10, 2, 15, 30, tzinfo=UTC), None),
        # Half past two comes twice: it runs at the first, and not an hour later.
        (
            "Europe/Berlin",
            "30 2 * * *",
            datetime(2027, 10, 31, 0, 30, tzinfo=UTC),
            datetime(2027, 10, 31, 1, 30, tzinfo=UTC),
        ),
    ]
    with Lab(tmp_path) as lab:
        wall = WallClock(tmp_path)
        lab.start_server(environ=wall.environ)
        client = lab.client()
        policy = Policy(catchup="skip")
        deployments = {
            (zone, cron): lab.deploy(
                "scheduled",
                zone.replace("/", "-"),
                schedules=(ScheduleSpec(schedule=Cron(cron, zone), policy=policy),),
                **UNSERVED,
            )
            for zone, cron, _, _ in changes
        }
        expected: list[tuple[str, int]] = []
        for zone, cron, at, not_at in changes:
            expected.append((deployments[zone, cron], int(at.timestamp() * 1e6)))
            _live_through(lab, wall, at)
            until(
                lambda: all(slot in [each.slot for each in runs_of(slots(client, name))] for name, slot in expected),
                f"the run at {at}",
            )
            if not_at is not None:
                _live_through(lab, wall, not_at)

        found = [(name, each.slot) for name in set(deployments.values()) for each in runs_of(slots(client, name))]
        assert sorted(found) == sorted(expected)
        lab.check(may_go_on=[each.id for each in client.all_runs()])


def _live_through(lab: Lab, wall: WallClock, at: datetime) -> None:
    """Have it be so late in the server's day, a little before and a little after."""
    wall.set_to(at - timedelta(seconds=3))
    _have_the_scheduler_look(lab, "before")
    until(lambda: wall.now() > at + timedelta(seconds=1), f"{at} to be over", pause_seconds=0.1)
    _have_the_scheduler_look(lab, "after")


def _have_the_scheduler_look(lab: Lab, version: str) -> None:
    """It looks at its clock when schedules change, and need not wake by itself."""
    never = ScheduleSpec(schedule=Once((datetime(2100, 1, 1, tzinfo=UTC),)))
    lab.deploy("scheduled", "bystander", version=version, schedules=(never,), **UNSERVED)


@pytest.mark.fault("R-21")
def test_deployments_that_are_applied_renamed_paused_and_deleted_as_they_are_due_repeat_nothing(
    tmp_path: Path, measured: Measured
):
    every_second = ScheduleSpec(name="often", schedule=Interval(timedelta(seconds=1)))
    with Lab(tmp_path) as lab, ThreadPoolExecutor(3) as pool:
        lab.start_server()
        stays = lab.deploy("scheduled", "stays", schedules=(every_second,), **UNSERVED)
        rounds = 12

        def apply_again(client: Client) -> None:
            for number in range(rounds):
                other = ScheduleSpec(name="often", schedule=every_second.schedule, parameters={}, paused=False)
                lab.deploy("scheduled", "stays", client=client, version=str(number), schedules=(other,), **UNSERVED)
                last(0.31)

        def pause_and_resume(client: Client) -> None:
            for _ in range(rounds):
                client.ask(of_deployments.PauseSchedule(deployment=stays, schedule="often"))
                last(0.13)
                client.ask(of_deployments.ResumeSchedule(deployment=stays, schedule="often"))
                last(0.23)

        def rename(client: Client) -> None:
            for number in range(rounds):
                name = lab.deploy("scheduled", f"was-{number}", client=client, schedules=(every_second,), **UNSERVED)
                last(0.41)
                try:
                    client.ask(of_deployments.DeleteDeployment(deployment=name))
                except errors.NotFound:
                    raise AssertionError(f"{name} is gone already") from None

        asked = [pool.submit(_closing, lab.client(), each) for each in (apply_again, pause_and_resume, rename)]
        for each in asked:
            each.result(120)
        client = lab.client()
        client.ask(of_deployments.ResumeSchedule(deployment=stays, schedule="often"))
        _some_more(client, stays)
        client.ask(of_deployments.PauseDeployment(deployment=stays))

        found = runs_of(slots(client, stays))
        assert len({each.slot for each in found}) == len({each.run_id for each in found}) == len(found)
        left = client.all_runs(stays)
        assert {each.id for each in left} == {each.run_id for each in found}
        orphans = [each for each in client.all_runs() if each.id not in {one.id for one in left}]
        assert {each.state_name for each in orphans} <= {"Cancelled"}, "runs of deployments that are gone"
        lab.check(may_go_on=[each.id for each in left])
        measured(runs=len(found), of_deleted_deployments=len(orphans))


def _closing(client: Client, work: object) -> None:
    assert callable(work)
    try:
        work(client)
    finally:
        client.close()
