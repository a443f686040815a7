"""Runs that are cancelled, whatever they are doing, and by whoever comes first."""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.lab.figures import Measured
from tests.lab.lab import Client, Lab
from tests.lab.oracle import living
from tests.lab.waiting import Stopwatch, until
from tests.orchestration.plant import Plant
from tests.postgres import Cluster

from penstock import clock, errors, processes
from penstock.core.states import FINAL
from penstock.core.work import ExitReason
from penstock.orchestration.fsck import check_rows
from penstock.store.interface import Store
from penstock.store.opening import open_postgres
from penstock.store.sqlite import SqliteStore

pytestmark = pytest.mark.slow

GRACE_SECONDS = 5
"""30 unless somebody sets it: what does not end by itself is killed after it."""


@pytest.mark.fault("R-39")
def test_a_run_is_cancelled_when_all_its_processes_are_gone_whatever_they_were_doing(
    tmp_path: Path, postgres: Cluster, measured: Measured
):
    database = postgres.new_database().replace("+psycopg", "")
    marks = tmp_path / "marks"
    marks.touch()
    with Lab(tmp_path) as lab:
        lab.start_server()
        gate = lab.gate()
        lab.start_worker(
            environ={"PENSTOCK_WORKER_GRACE_SECONDS": str(GRACE_SECONDS), "IMPORT_GATE": str(gate)},
        )
        client = lab.client()

        def begin(flow: str, *, file: str = "lab_flows.py", **parameters: str) -> str:
            return client.create(lab.deploy(flow, file=file), parameters=parameters)

        cases = {
            "in C code, in a thread": begin("sleeps_in_c", gate=str(gate)),
            "in a tree of shells": begin("runs_a_shell", marks=str(marks)),
            "with a daemon in another session": begin("starts_a_daemon", gate=str(gate), marks=str(marks)),
            "in a question to a database": begin("asks_a_database", url=database),
            "swallowing all that tells it to end": begin("will_not_end", gate=str(gate)),
            "burning in C code": begin("burns_forever"),
        }
        lab.effects.until(list(cases.values()))
        importing = begin("imported", file="slow_to_import.py")
        client.until_state(importing, "Pending")
        until(lambda: importing in {run_id for _, run_id in living([importing])}, "the process of the import")
        cases["in an import"] = importing
        started = {pid for pid, _ in living(list(cases.values()))} | {int(pid) for pid in marks.read_text().split()}

        watch = Stopwatch()
        took: dict[str, float] = {}
        for run in cases.values():
            client.cancel(run)
            client.cancel(run)  # twice is as good as once
        while len(took) < len(cases):
            for what, run in cases.items():
                if what not in took and client.run(run).state_name == "Cancelled":
                    assert living([run]) == [], f"a run {what} is shown as Cancelled, and lives"
                    took[what] = watch.seconds
            assert watch.seconds < GRACE_SECONDS + 30, took

        dead = {each.pid for each in processes.every() if not each.is_dead}
        assert not started & dead
        assert len(marks.read_text().split()) == 2
        lab.check()
        measured(**{re.sub(r"\W+", "_", what): seconds for what, seconds in took.items()})


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    if request.param == "sqlite":
        opened: Store = SqliteStore.open(tmp_path / "penstock.db", write=True)
    else:
        opened = open_postgres(request.getfixturevalue("postgres_url"), clock.SYSTEM, write=True, upgrade=True)
    with opened:
        yield opened


@pytest.mark.fault("R-40")
def test_of_cancelling_and_completing_at_the_same_moment_one_wins_and_that_is_told_once(
    store: Store, measured: Measured
):
    races = 700 if isinstance(store, SqliteStore) else 300
    plant = Plant(store)
    plant.deploy()
    plant.start_worker()
    outcomes: Counter[str] = Counter()
    line = threading.Barrier(4)
    race: list[str] = []
    wrong: list[BaseException] = []

    def run(work: Callable[[str], object]) -> None:
        for _ in range(races):
            line.wait(60)
            try:
                work(race[-1])
            except errors.AlreadyEnded:
                pass
            except BaseException as error:  # noqa: BLE001  told below, where it fails the test
                wrong.append(error)
            line.wait(60)

    def complete(run_id: str) -> None:
        plant.end(run_id, 1)
        plant.exit(run_id, 1)

    def die(run_id: str) -> None:
        plant.exit(run_id, 1, ExitReason.CANCELLED)

    # Two people cancel; the process completes, and its worker says so; or the worker has ended it, and says that.
    threads = [
        threading.Thread(target=run, args=(work,), daemon=True)
        for work in (plant.cancel, plant.cancel, lambda run_id: (complete if len(race) % 2 else die)(run_id))
    ]
    for each in threads:
        each.start()
    for _ in range(races):
        race.append(plant.create())
        assert plant.claim()
        plant.begin(race[-1], 1)
        line.wait(60)
        line.wait(60)
        row = plant.run(race[-1])
        if row.state_name == "Cancelling":  # the process was told, and is gone
            plant.exit(race[-1], 1, ExitReason.CANCELLED)
            row = plant.run(race[-1])
        assert not wrong
        assert row.state_type in FINAL, row
        ends = [each for each in plant.events(row.id) if each in ("flow_run.completed", "flow_run.cancelled")]
        assert ends == [f"flow_run.{row.state_name.lower()}"]
        outcomes[row.state_name] += 1
    for each in threads:
        each.join(60)

    assert outcomes["Completed"]
    assert outcomes["Cancelled"]
    with store.reading() as tx:
        assert check_rows(tx).problems == []
    measured(**outcomes)


@pytest.mark.fault("R-40")
def test_a_run_cancelled_while_it_completes_ends_once_through_server_and_worker(tmp_path: Path, measured: Measured):
    with Lab(tmp_path) as lab:
        lab.start_server()
        lab.start_worker()
        client = lab.client()
        deployment = lab.deploy("waits")
        outcomes: Counter[str] = Counter()
        for number in range(8):
            gate = lab.gate()
            run = client.create(deployment, parameters={"gate": str(gate), "before": 0, "after": 0})
            lab.effects.until([run])
            _together(gate.open, lambda run=run: _cancel(client, run), late=number * 0.05)
            outcomes[client.until_ended([run])[run].state_name] += 1
        assert outcomes.keys() <= {"Completed", "Cancelled"}
        lab.check()
        measured(**outcomes)


def _cancel(client: Client, run: str) -> None:
    try:
        client.cancel(run)
    except errors.AlreadyEnded:
        pass
    finally:
        client.close()  # this thread's connection


def _together(one: Callable[[], object], other: Callable[[], object], *, late: float) -> None:
    """Do both at once, or one of them a little later."""
    line = threading.Barrier(2)

    def do(work: Callable[[], object], wait: float) -> None:
        line.wait(60)
        threading.Event().wait(max(wait, 0))
        work()

    threads = [threading.Thread(target=do, args=given) for given in ((one, late), (other, -late))]
    for each in threads:
        each.start()
    for each in threads:
        each.join(60)
