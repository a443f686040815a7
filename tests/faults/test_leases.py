"""Workers that are lost: they die with all that they have started, freeze, or cannot be reached."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.lab.figures import Measured
from tests.lab.lab import Lab
from tests.lab.networks import elsewhere
from tests.lab.oracle import living
from tests.lab.proxy import FlakyProxy
from tests.lab.waiting import Stopwatch, until

from penstock import clock
from penstock.core.work import LEASE_SECONDS

pytestmark = pytest.mark.slow

NOTICED_SECONDS = 45
"""What is promised: by then a dead worker's runs go on elsewhere."""


@pytest.mark.fault("R-02")
@pytest.mark.fault("R-07")
@pytest.mark.fault("R-10")
def test_runs_of_workers_that_are_dead_frozen_or_cut_off_go_on_elsewhere_and_the_late_ones_record_nothing(
    tmp_path: Path, measured: Measured
):
    with Lab(tmp_path) as lab, FlakyProxy([], seed=2) as network:
        server = lab.start_server()
        network.servers.append(("127.0.0.1", server.port))
        client = lab.client()
        gate = lab.gate()
        fates = {name: lab.make_pool(name) for name in ("dead", "frozen", "cut-off")}
        first = {
            name: lab.start_worker(pool=pool, url=network.url if name == "cut-off" else None)
            for name, pool in fates.items()
        }
        deployments = {name: lab.deploy("waits", name, work_pool=pool) for name, pool in fates.items()}
        runs = {
            name: [client.create(deployment, parameters={"gate": str(gate)}) for _ in range(2)]
            for name, deployment in deployments.items()
        }
        every = [run for of_one in runs.values() for run in of_one]
        lab.effects.until(every)
        others = [lab.start_worker(pool=pool, before=elsewhere()).name for pool in fates.values()]

        lost_at = clock.SYSTEM.now()
        first["dead"].kill_tree()
        first["frozen"].freeze()
        network.blackhole()
        lab.effects.until(every, count=2, seconds=120)
        noticed = {
            name: (max(client.noticed_at(run, "flow_run.resuming") for run in of_one) - lost_at) / 1e6
            for name, of_one in runs.items()
        }
        late = [*runs["frozen"], *runs["cut-off"]]
        # The cut-off ones have found by now that nobody vouches for them: they finish what they are about, no more.
        gate.open()
        ended = client.until_ended(every)
        before = lab.effects.all()
        assert {run_id for _, run_id in living(late)} == set(late)
        # Both come back, and find that their runs are others' by now.
        first["frozen"].thaw()
        network.heal()
        back = Stopwatch()
        until(lambda: not living(late), "the end of the attempts that are over")
        ended_after = back.seconds

        assert max(noticed.values()) < NOTICED_SECONDS
        assert {(each.state_name, each.attempt, each.crashes) for each in ended.values()} == {("Completed", 2, 0)}
        assert {each.worker for each in ended.values()} == set(others)
        # The task in flight may be done twice. Nothing that comes after it was begun by an attempt that is over.
        by_the_late = [each for each in lab.effects.all() if each.attempt == 1 and each.run_id in late]
        assert all(len(lab.effects.of(run, "effect")) <= 6 for run in late)
        assert {each.what for each in by_the_late if each not in before} <= {"effect"}
        found = lab.check()
        measured(
            **{f"{name}_noticed_after": seconds for name, seconds in noticed.items()},
            late_ones_ended_after=ended_after,
            done_again=found.repeated,
        )


@pytest.mark.fault("R-02")
def test_what_becomes_due_when_a_worker_dies_is_taken_by_another_at_once(tmp_path: Path):
    with Lab(tmp_path) as lab:
        lab.start_server()
        worker = lab.start_worker()
        client = lab.client()
        deployment = lab.deploy("tiny")
        client.until_ended([client.create(deployment)])
        worker.kill_tree()  # while its question for work was waiting for an answer
        lab.start_worker()

        runs = [client.create(deployment) for _ in range(5)]
        ended = client.until_ended(runs, seconds=LEASE_SECONDS - 5).values()  # so nobody has waited for a lease
        assert {(each.state_name, each.attempt, each.worker) for each in ended} == {("Completed", 1, "worker-2")}
        lab.check()


@pytest.mark.fault("R-08")
def test_a_task_that_holds_the_interpreters_lock_for_longer_than_a_lease_loses_nothing(tmp_path: Path):
    with Lab(tmp_path) as lab:
        lab.start_server()
        lab.start_worker()
        lab.start_worker()
        client = lab.client()
        run = client.create(lab.deploy("burns"), parameters={"seconds": LEASE_SECONDS + 5})

        ended = client.until_ended([run], seconds=LEASE_SECONDS + 60)[run]
        assert (ended.state_name, ended.attempt) == ("Completed", 1)
        lab.check()
