"""Workers and processes of runs that die, freeze or are told to go."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tests.lab import killed_at
from tests.lab.figures import Measured
from tests.lab.lab import Lab
from tests.lab.waiting import Stopwatch

from penstock.core.work import HEARTBEAT_SECONDS, LEASE_SECONDS

pytestmark = pytest.mark.slow


@pytest.mark.fault("R-01")
@pytest.mark.skipif(not shutil.which("strace"), reason="strace, which kills at a given system call, is not installed")
def test_a_process_killed_at_any_system_call_is_resumed_by_its_worker_and_repeats_nothing(
    tmp_path: Path, measured: Measured
):
    with Lab(tmp_path) as lab:
        lab.start_server()
        lab.start_worker(options=["--limit", "4"])
        client = lab.client()
        deployment = lab.deploy("steps")
        calls = tmp_path / "calls"
        whole = client.create(deployment, job_variables={"command": killed_at.counting(calls)})
        client.until_ended([whole])
        places = [(call, at) for call, most in killed_at.counted(calls).items() for at in range(1, most + 1)]

        runs = {
            place: client.create(deployment, job_variables={"command": killed_at.command(*place)}) for place in places
        }
        ended = client.until_ended(list(runs.values()), seconds=180)

        assert {each.state_name for each in ended.values()} == {"Completed"}
        assert {each.attempt for each in ended.values()} <= {1, 2}  # 1: it was killed when all had been said
        resumed = [place for place, run in runs.items() if ended[run].attempt == 2]
        assert len(resumed) > 20
        found = lab.check()
        measured(killed_at=len(places), resumed=len(resumed), done_again=found.repeated)


@pytest.mark.fault("R-06")
def test_a_run_that_kills_its_process_each_time_is_set_aside_and_others_are_served_meanwhile(tmp_path: Path):
    with Lab(tmp_path) as lab:
        lab.start_server()
        lab.start_worker()
        client = lab.client()
        deadly = client.create(lab.deploy("deadly"))
        unloadable = client.create(lab.deploy("never", file="deadly_to_import.py"))
        tiny = lab.deploy("tiny")
        others: list[str] = []
        while not all(client.run(each).is_final for each in (deadly, unloadable)):
            run = client.create(tiny)
            assert client.until_ended([run])[run].state_name == "Completed"
            others.append(run)

        for each in (deadly, unloadable):
            run = client.run(each)
            assert (run.state_name, run.attempt) == ("Poison", 3)
            assert "Set aside after 3 crashes without progress" in (run.state_message or "")
            assert "SIGKILL" in (run.state_message or "")
        assert [each.attempt for each in lab.effects.of(deadly)] == [1, 2, 3]
        assert len(others) > 2
        lab.check()


@pytest.mark.fault("R-38")
def test_a_worker_that_is_told_to_end_hands_its_runs_over_at_once(tmp_path: Path, measured: Measured):
    with Lab(tmp_path) as lab:
        lab.start_server()
        first = lab.start_worker()
        client = lab.client()
        gate = lab.gate()
        deployment = lab.deploy("waits")
        runs = [client.create(deployment, parameters={"gate": str(gate)}) for _ in range(10)]
        lab.effects.until(runs)
        lab.start_worker()

        watch = Stopwatch()
        assert first.stop(30) == 0
        stopped = watch.seconds
        lab.effects.until(runs, count=2)
        resumed = watch.seconds
        gate.open()
        ended = client.until_ended(runs).values()

        assert {(each.state_name, each.attempt, each.crashes, each.worker) for each in ended} == {
            ("Completed", 2, 0, "worker-2")
        }
        assert all("flow_run.crashed" not in client.events(run) for run in runs)
        measured(stopped_after_seconds=stopped, resumed_after_seconds=resumed)
        # So nobody has waited for a lease: each was granted anew with the last heartbeat, at the latest.
        assert resumed < stopped + LEASE_SECONDS - 2 * HEARTBEAT_SECONDS
        lab.check()
