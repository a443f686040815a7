"""A server that dies, stays away, or is not there yet."""

from __future__ import annotations

import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.lab.figures import Measured
from tests.lab.lab import FLOWS, Lab
from tests.lab.load import Load, numbers
from tests.lab.programs import Program
from tests.lab.waiting import Stopwatch, last, until

from penstock.core.operations.concurrency_limits import CreateConcurrencyLimit, GetConcurrencyLimit
from penstock.core.operations.flow_runs import ListFlowRuns
from penstock.core.work import HOLIDAY_SECONDS, LEASE_SECONDS

pytestmark = pytest.mark.slow

PLACES = [
    *(("pwrite64", number) for number in (2, 33, 111, 400)),
    *(("fdatasync", number) for number in (1, 5, 14)),
    *(("write", number) for number in (4, 29, 90)),
]
"""The system calls at which the server is killed: to the file of the database, of its log, and of answers."""


@pytest.mark.fault("R-03")
@pytest.mark.skipif(not shutil.which("strace"), reason="strace, which kills at a given system call, is not installed")
def test_a_server_killed_at_any_system_call_keeps_all_that_it_has_acknowledged_and_does_nothing_twice(
    tmp_path: Path, measured: Measured
):
    with Lab(tmp_path) as lab:
        server = lab.start_server()
        lab.start_worker()
        deployment = lab.deploy("tiny")
        client = lab.client()
        plain = server.line
        killed = 0
        with Load(lab, deployment, [lab.client(patience_seconds=180) for _ in range(4)], pause_seconds=0.2) as load:
            for call, number in PLACES:
                load.until_more(2)
                server.kill()  # wherever it is
                inject = f"inject={call}:signal=SIGKILL:when={number}"
                server.line = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e", inject, *plain]
                server.start()
                watch = Stopwatch()
                until(lambda watch=watch: not server.is_running or watch.seconds > 45, "the death of the server")
                killed += not server.is_running
                server.kill_tree()
                server.line = plain
                server.start()
            load.until_more(6)
        client.until_idle(seconds=120)

        assert lab.acks.failures == []
        assert killed > len(PLACES) // 2
        runs = client.all_runs()
        assert len(set(numbers(runs))) == len(runs) == load.created
        assert {each.state_name for each in runs} == {"Completed"}
        found = lab.check()
        measured(killed=killed, accepted=load.created, resumed=found.attempts - found.runs)


@pytest.mark.fault("R-14")
def test_a_server_that_stays_away_for_longer_than_leases_last_makes_no_run_fail_or_begin_again(
    tmp_path: Path, measured: Measured
):
    # Minutes or days would show no more: every lease is over, and nobody has looked for longer than is normal.
    outage_seconds = LEASE_SECONDS + HOLIDAY_SECONDS + 5
    with Lab(tmp_path) as lab:
        server = lab.start_server()
        lab.start_worker()
        client = lab.client()
        deployment = lab.deploy("waits_often")
        early, late = lab.gate(), lab.gate()
        end_meanwhile = [client.create(deployment, parameters={"gate": str(early)}) for _ in range(5)]
        end_later = [client.create(deployment, parameters={"gate": str(late)}) for _ in range(15)]
        lab.effects.until([*end_meanwhile, *end_later], count=10, seconds=120)  # so 200 tasks are running

        server.kill()
        patient = lab.client(patience_seconds=300)
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(patient.create, deployment, parameters={"gate": str(early)})
            early.open()
            lab.effects.until(end_meanwhile, "effect", count=10)
            last(outage_seconds)
            server.start()
            watch = Stopwatch()
            server.until_ready()
            client.until_ended([*end_meanwhile, asked.result(120)], seconds=60)
            pool.submit(patient.close).result()
        healed = watch.seconds
        late.open()
        ended = client.until_ended([*end_meanwhile, *end_later], seconds=120).values()

        assert {(each.state_name, each.attempt) for each in ended} == {("Completed", 1)}
        found = lab.check()
        assert found.repeated == 0
        measured(outage_seconds=outage_seconds, told_after_seconds=healed)


@pytest.mark.fault("R-36")
def test_eight_programs_that_run_flows_in_the_home_of_a_server_lose_nothing_and_wait_for_nobody(
    tmp_path: Path, measured: Measured
):
    flows = 25
    with Lab(tmp_path) as lab:
        server = lab.start_server()
        client = lab.client()
        code = (
            f"from lab_flows import tiny\nassert [tiny(n) for n in range({flows})] == [n + 2 for n in range({flows})]"
        )
        programs = [
            Program(
                f"program-{n}", [sys.executable, "-c", code], lab.environment(server.home, {}), tmp_path / f"{n}.log"
            )
            for n in range(8)
        ]
        watch = Stopwatch()
        for each in programs:
            each.environ["PYTHONPATH"] = str(FLOWS)
            each.start()
        while any(each.is_running for each in programs):  # and somebody looks all the time
            client.all_runs()
        took = watch.seconds
        for each in programs:
            assert each.wait() == 0, each.said()
            assert "locked" not in each.said()
        until(lambda: len(client.all_runs()) == 8 * flows, "that all runs are known")
        client.until_idle(seconds=60)

        assert {(each.state_name, each.attempt) for each in client.all_runs()} == {("Completed", 1)}
        found = lab.check()
        assert (found.runs, found.effects, found.repeated) == (8 * flows, 16 * flows, 0)
        measured(runs=found.runs, seconds=took)


@pytest.mark.fault("R-15")
def test_a_worker_that_finds_no_server_waits_for_it_and_works(tmp_path: Path):
    with Lab(tmp_path) as lab:
        server = lab.start_server()
        run = lab.client().create(lab.deploy("tiny"))
        server.stop()
        worker = lab.start_worker(wait=False)
        worker.until_it_says("cannot be reached")
        server.start()
        server.until_ready()

        assert lab.client().until_ended([run])[run].state_name == "Completed"
        lab.check()


def test_a_run_finds_the_server_of_its_home_when_it_is_back_at_another_port(tmp_path: Path):
    with Lab(tmp_path) as lab:
        server = lab.start_server()
        lab.start_worker(at_home=True, environ={"PENSTOCK_API_URL": ""})
        client = lab.client()
        client.ask(CreateConcurrencyLimit(name="scarce", limit=1))
        gate = lab.gate()
        given = {"gate": str(gate), "deployment": lab.deploy("tiny")}
        run = client.create(lab.deploy("asks_before_and_after"), parameters=given)
        lab.effects.until([run])
        server.stop()
        again = lab.start_server(server.name)
        gate.open()
        there = lab.client(again.url)

        assert again.url != server.url
        assert there.until_ended([run])[run].state_name == "Completed"
        assert len(there.ask(ListFlowRuns()).items) == 2
        assert there.ask(GetConcurrencyLimit(name="scarce")).holders == []
        lab.check()
