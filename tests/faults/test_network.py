"""Networks that lose, repeat and reorder what is sent between workers, clients and the server."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.lab.figures import Measured
from tests.lab.lab import Lab
from tests.lab.networks import Network, elsewhere
from tests.lab.oracle import living
from tests.lab.proxy import FlakyProxy
from tests.lab.waiting import Stopwatch, last, until

from penstock import clock, processes
from penstock.client.connection import TIMEOUT_SECONDS as REQUEST_SECONDS

pytestmark = pytest.mark.slow

RUNS = 24


def created_through(lab: Lab, proxy: FlakyProxy, deployment: str) -> list[str]:
    """Runs that four clients have made through a network, each patiently."""
    clients = [lab.client(proxy.url) for _ in range(4)]

    def create(number: int) -> str:
        client = clients[number % len(clients)]
        try:
            return client.create(deployment, parameters={"number": number})
        finally:
            client.close()

    with ThreadPoolExecutor(len(clients)) as pool:
        return list(pool.map(create, range(RUNS)))


def check_each_once(lab: Lab, runs: list[str]) -> None:
    """Each request made one run, each run was executed once, and no worker was thought to be dead."""
    ended = lab.client().until_ended(runs, seconds=120).values()
    assert {(each.state_name, each.attempt) for each in ended} == {("Completed", 1)}
    assert sorted(each.parameters["number"] for each in ended) == list(range(RUNS))
    found = lab.check()
    assert (found.runs, found.effects, found.repeated) == (RUNS, 2 * RUNS, 0)


def attempts_of(run_id: str) -> set[int]:
    """The attempts of a run of which processes live."""
    marks = [processes.marked(pid) for pid, _ in living([run_id])]
    return {mark.attempt for mark in marks if mark is not None}


@pytest.mark.fault("R-11")
def test_answers_that_are_lost_change_nothing_as_all_that_is_asked_again_is_done_once(
    tmp_path: Path, measured: Measured
):
    with Lab(tmp_path) as lab, FlakyProxy([], seed=11) as proxy:
        server = lab.start_server()
        proxy.servers.append(("127.0.0.1", server.port))
        deployment = lab.deploy("tiny")
        proxy.drop_response = 0.3
        proxy.drop_request = 0.05
        lab.start_worker(url=proxy.url)
        watch = Stopwatch()
        runs = created_through(lab, proxy, deployment)
        check_each_once(lab, runs)
        assert proxy.happened["drop_response"] > 10
        measured(**proxy.happened, seconds=watch.seconds)


@pytest.mark.fault("R-12")
def test_requests_that_come_twice_late_or_out_of_order_change_nothing(tmp_path: Path, measured: Measured):
    with Lab(tmp_path) as lab, FlakyProxy([], seed=12) as proxy:
        server = lab.start_server()
        proxy.servers.append(("127.0.0.1", server.port))
        deployment = lab.deploy("tiny")
        proxy.duplicate = 0.5
        proxy.replay = 0.5
        proxy.delay_seconds = 0.05
        lab.start_worker(url=proxy.url)
        runs = created_through(lab, proxy, deployment)
        check_each_once(lab, runs)
        assert proxy.happened["duplicate"] > 10
        assert proxy.happened["replay"] > 10
        measured(**proxy.happened)


@pytest.mark.fault("R-10")
def test_machines_that_are_cut_off_go_on_if_it_is_for_a_short_time_and_give_way_if_it_is_not(
    tmp_path: Path, measured: Measured
):
    with (
        Network(["server", "shortly", "long", "other"]) as network,
        Lab(tmp_path, inside=network.hosts["server"]) as lab,
    ):
        here = network.hosts["server"]
        lab.start_server(host=here.address, options=["--behind-proxy"], before=here.before)
        client = lab.client()
        pools = {name: lab.make_pool(name) for name in ("shortly", "long")}
        for name, pool in pools.items():
            lab.start_worker(name, pool=pool, before=network.hosts[name].before)
        first, second = lab.gate(), lab.gate()
        runs = {
            name: client.create(
                lab.deploy("waits_twice", name, work_pool=pool),
                parameters={"gate": str(first), "second": str(second)},
            )
            for name, pool in pools.items()
        }
        lab.effects.until(list(runs.values()))
        other = lab.start_worker("other", pool=pools["long"], before=[*network.hosts["other"].before, *elsewhere()])

        lost_at = clock.SYSTEM.now()
        for name in pools:
            network.cut(name)
        last(REQUEST_SECONDS + 2)  # so that requests fail, and leases hold
        network.heal("shortly")
        lab.effects.until([runs["long"]], count=2, seconds=120)
        noticed_after = (client.noticed_at(runs["long"], "flow_run.resuming") - lost_at) / 1e6
        first.open()
        lab.effects.until([runs["shortly"]], count=2)  # it is at the second gate
        lab.effects.until([runs["long"]], count=3)  # so is the attempt of the other worker
        late = [each for each in lab.effects.of(runs["long"]) if each.attempt == 1]
        assert {each.task_run_id for each in late} == {late[0].task_run_id}, "an attempt without a lease began a task"
        network.heal("long")
        until(lambda: attempts_of(runs["long"]) == {2}, "the end of the attempt that is over")
        second.open()
        ended = client.until_ended(list(runs.values()))

        assert noticed_after < 45
        assert (ended[runs["shortly"]].attempt, ended[runs["shortly"]].state_name) == (1, "Completed")
        assert (ended[runs["long"]].attempt, ended[runs["long"]].state_name) == (2, "Completed")
        assert ended[runs["long"]].worker == other.name
        found = lab.check()
        measured(noticed_after_seconds=noticed_after, done_again=found.repeated)
