"""Several servers on one Postgres: restarted in turn, racing for schedules, killed at random together with workers."""

from __future__ import annotations

import random  # noqa: TID251  of a seed, so that it can be had again
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.lab.figures import Measured
from tests.lab.lab import Lab, Server, Worker
from tests.lab.load import Load, numbers
from tests.lab.proxy import FlakyProxy
from tests.lab.waiting import Stopwatch, last, until
from tests.postgres import Cluster

from penstock.core.deployments import ScheduleSpec
from penstock.core.operations import deployments as of_deployments
from penstock.core.operations import events as of_events
from penstock.core.schedules import Interval, Once

pytestmark = pytest.mark.slow


def serving(lab: Lab, network: FlakyProxy, count: int = 3) -> list[Server]:
    """Servers of one store, behind one address."""
    servers = [lab.start_server() for _ in range(count)]
    network.servers.extend(("127.0.0.1", server.port) for server in servers)
    return servers


@pytest.mark.fault("R-18")
def test_servers_that_are_restarted_one_after_the_other_under_load_fail_no_call_and_make_no_run_twice(
    tmp_path: Path, postgres_url: str, measured: Measured
):
    rounds = 2
    with Lab(tmp_path, database_url=postgres_url) as lab, FlakyProxy([], seed=18) as network:
        servers = serving(lab, network)
        client = lab.client(network.url)
        lab.start_worker(url=network.url, options=["--limit", "4"])
        clients = [lab.client(network.url) for _ in range(3)]
        watch = Stopwatch()
        with Load(lab, lab.deploy("tiny"), clients, pause_seconds=0.2) as load:
            for server in servers * rounds:
                load.until_more(2)
                assert server.stop(30) == 0
                server.start()
                server.until_ready()
            load.until_more(5)
        lasted = watch.seconds
        client.until_idle(seconds=120)

        assert lab.acks.failures == []
        runs = client.all_runs()
        assert len(set(numbers(runs))) == len(runs) == load.created
        assert {(each.state_name, each.attempt) for each in runs} == {("Completed", 1)}
        lab.check()
        measured(restarts=rounds * len(servers), runs=len(runs), seconds=lasted)


@pytest.mark.fault("R-19")
@pytest.mark.fault("R-20")
def test_servers_that_race_for_a_thousand_scheduled_times_make_one_run_for_each_though_one_of_them_dies(
    tmp_path: Path, postgres_url: str, measured: Measured
):
    deployments, schedules = 20, 50
    with Lab(tmp_path, database_url=postgres_url) as lab, FlakyProxy([], seed=20) as network:
        servers = serving(lab, network)
        client = lab.client(network.url)
        names = [f"lab-{number}" for number in range(deployments)]
        for name in names:
            lab.deploy("scheduled", name, client=client, work_queue="nobody-serves-it")

        def times(at: datetime) -> tuple[ScheduleSpec, ...]:
            due = [at + timedelta(milliseconds=2 * number) for number in range(schedules)]
            return tuple(ScheduleSpec(name=f"s-{n}", schedule=Once((each,))) for n, each in enumerate(due))

        # All are due within the same tenth of a second, once every deployment has its schedules. How long that takes
        # on this machine, one that is due in another century tells.
        watch = Stopwatch()
        lab.deploy("scheduled", "first", client=client, schedules=times(datetime(2100, 1, 1, tzinfo=UTC)))
        lead = timedelta(seconds=10 + 5 * deployments * watch.seconds)
        at = datetime.now(UTC) + lead  # noqa: TID251  a time of day is what it is about
        specs = times(at)
        for name in names:
            lab.deploy("scheduled", name, client=client, work_queue="nobody-serves-it", schedules=specs)
        assert datetime.now(UTC) < at, "this machine is too slow for the test"  # noqa: TID251  as above

        until(lambda: client.all_runs(), "the first run", seconds=lead.total_seconds() + 60, pause_seconds=0.01)
        servers[0].kill()
        until(lambda: len(client.all_runs()) >= deployments * schedules, "all runs", seconds=120, pause_seconds=0.2)
        runs = client.all_runs()

        assert len(runs) == deployments * schedules
        assert len({(each.deployment_id, each.due_at) for each in runs}) == len(runs)
        for name in names:
            found = client.ask(of_deployments.ListSlots(deployment=f"scheduled/{name}", limit=200)).items
            assert sorted(each.schedule for each in found) == sorted(each.name for each in specs)
            assert all(each.run_id is not None for each in found)
        made = {each.run_id: each.at for each in events(lab, network, "flow_run.scheduled")}
        late = max((made[each.id] - (each.due_at or 0)) / 1e6 for each in runs)
        lab.check(may_go_on=[each.id for each in runs])
        measured(runs=len(runs), latest_made_after_seconds=late)


def events(lab: Lab, network: FlakyProxy, name: str) -> list[of_events.Event]:
    client = lab.client(network.url)
    found: list[of_events.Event] = []
    after: str | None = None
    while page := client.ask(of_events.ListEvents(name=name, limit=200, after=after)).items:
        found += page
        after = str(page[-1].sequence)
    return found


@pytest.mark.fault("R-26")
def test_a_database_that_crashes_every_few_seconds_loses_nothing_and_nobody_has_to_be_started_again(
    tmp_path: Path, own_postgres: Cluster, measured: Measured
):
    crashes = 9
    with Lab(tmp_path, database_url=own_postgres.new_database()) as lab, FlakyProxy([], seed=26) as network:
        servers = serving(lab, network, 2)
        client = lab.client(network.url)
        worker = lab.start_worker(url=network.url, options=["--limit", "4"])
        pids = [each.pid for each in (*servers, worker)]
        clients = [lab.client(network.url, patience_seconds=180) for _ in range(3)]
        with Load(lab, lab.deploy("tiny"), clients, pause_seconds=0.1) as load:
            for number in range(crashes):
                load.until_more(15)
                own_postgres.restart("fast" if number % 3 == 2 else "immediate")
            load.until_more(5)
        # The loops of the servers live as well: a schedule makes runs, and they are executed.
        often = ScheduleSpec(schedule=Interval(timedelta(seconds=1)))
        deployment = lab.deploy("scheduled", client=client, schedules=(often,))
        until(lambda: len(client.all_runs(deployment)) >= 2, "two runs of a schedule")
        client.ask(of_deployments.PauseDeployment(deployment=deployment))
        client.until_idle(seconds=120)

        assert lab.acks.failures == []
        assert [each.pid for each in (*servers, worker) if each.is_running] == pids
        runs = client.all_runs("tiny/lab")
        assert len(set(numbers(runs))) == len(runs) == load.created
        assert {each.state_name for each in client.all_runs()} == {"Completed"}
        found = lab.check()
        measured(crashes=crashes, runs=found.runs, attempts=found.attempts)


@pytest.mark.fault("R-45")
def test_two_thousand_runs_under_random_deaths_of_servers_and_workers_end_once_each(
    tmp_path: Path, own_postgres: Cluster, measured: Measured
):
    seed, count = 20261125, 2000
    chance = random.Random(seed)
    with Lab(tmp_path, database_url=own_postgres.new_database()) as lab, FlakyProxy([], seed=seed) as network:
        servers = serving(lab, network)
        client = lab.client(network.url, patience_seconds=300)
        workers = [lab.start_worker(url=network.url, options=["--limit", "4"]) for _ in range(4)]
        clients = [lab.client(network.url, patience_seconds=300) for _ in range(4)]
        deaths: Counter[str] = Counter()
        watch = Stopwatch()
        with Load(lab, lab.deploy("chores"), clients, most=count) as load:
            while load.is_busy or (watch.seconds < 150 and not client.is_idle()):
                last(chance.uniform(2, 5))
                victim: Server | Worker = chance.choice([*servers, *workers])
                how = "server" if isinstance(victim, Server) else chance.choice(["worker", "worker with all runs"])
                if chance.random() < 0.1:
                    how = "database"
                    own_postgres.restart("immediate")
                elif how == "worker with all runs":
                    victim.kill_tree()
                    victim.start()
                else:
                    victim.kill()
                    victim.start()
                deaths[how] += 1
        client.until_idle(seconds=400)
        took = watch.seconds

        assert lab.acks.failures == []
        runs = client.all_runs()
        assert numbers(runs) == list(range(count))
        assert {each.state_name for each in runs} <= {"Completed", "Poison"}
        found = lab.check()
        measured(
            seed=seed,
            seconds=took,
            attempts=found.attempts,
            effects_done_again=found.repeated,
            **{f"deaths_of_{each.replace(' ', '_')}": n for each, n in deaths.items()},
            **found.states,
        )
