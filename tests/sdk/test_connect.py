"""Whom a program asks, by its settings and by what is running."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock import errors
from penstock.client import home_server
from penstock.client.home_server import HomeServer, Keeping
from penstock.client.orchestrator import HttpOrchestrator
from penstock.core.operations.deployments import ListDeployments
from penstock.core.operations.work_pools import CreateWorkPool, ListWorkPools
from penstock.orchestration.local_orchestrator import LocalOrchestrator
from penstock.sdk import connect
from penstock.settings import Settings
from penstock.testing import FakeClock

URL = "http://127.0.0.1:4200/api"


def tell(keeping: Keeping, url: str = URL) -> None:
    keeping.announce(HomeServer(api_url=url, pid=1, started_at=1, home_id="h", store="sqlite", version="0"))


@pytest.fixture
def running(home: Path) -> Iterator[Keeping]:
    with Keeping(home, FakeClock()) as keeping:
        tell(keeping)
        yield keeping


def chosen(home: Path, url: str | None = None, key: str | None = None) -> tuple[str, str | None] | None:
    """Where it would ask, and with which key; None: nobody but itself."""
    found = connect.orchestrator(Settings(home=home, api_url=url, api_key=key), FakeClock())
    if isinstance(found, LocalOrchestrator):
        return None
    assert isinstance(found, HttpOrchestrator)
    header = found.http._headers.get("Authorization")
    return found.url, header.removeprefix("Bearer ") if header else None


def test_without_a_server_a_program_is_its_own(home: Path):
    assert chosen(home) is None


def test_the_server_of_the_home_is_found_with_its_key(home: Path, running: Keeping):
    token = home_server.provided_token(home)

    assert chosen(home) == (URL, token)
    assert chosen(home, "http://localhost:4200/api") == ("http://localhost:4200/api", token)
    assert chosen(home, key="mine") == (URL, "mine")


@pytest.mark.parametrize("before", [None, "http://127.0.0.1:4300/api"], ids=["first", "elsewhere"])
def test_a_server_that_is_about_to_listen_is_waited_for(home: Path, before: str | None):
    class Waited(FakeClock):
        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            tell(keeping)

    if before is not None:
        with Keeping(home, FakeClock()) as keeping:
            tell(keeping, before)
    with Keeping(home, FakeClock()) as keeping:
        found = connect.orchestrator(Settings(home=home), Waited())

    assert isinstance(found, HttpOrchestrator)
    assert found.url == URL


def test_a_server_that_does_not_get_so_far_is_not_waited_for_without_an_end(home: Path):
    time = FakeClock()
    began_at = time.elapsed()
    with Keeping(home, time):
        found = connect.orchestrator(Settings(home=home), time)

    assert isinstance(found, LocalOrchestrator)
    assert time.elapsed() - began_at == pytest.approx(connect.STARTING_SECONDS, abs=connect.POLL_SECONDS)


def test_the_owners_key_goes_to_no_other_server(home: Path, running: Keeping):
    home_server.provided_token(home)

    assert chosen(home, "http://127.0.0.1:4201/api") == ("http://127.0.0.1:4201/api", None)
    assert chosen(home, "https://flows.example/api") == ("https://flows.example/api", None)
    assert chosen(home, "https://flows.example/api", "theirs") == ("https://flows.example/api", "theirs")


def test_the_homes_own_server_need_not_be_running(home: Path):
    with Keeping(home, FakeClock()) as keeping:
        tell(keeping)

    assert chosen(home, "http://localhost:4200/api") is None
    assert chosen(home, "http://localhost:4201/api") == ("http://localhost:4201/api", None)
    assert chosen(home) is None


def test_another_machines_server_must_be(home: Path):
    with Keeping(home, FakeClock()) as keeping:
        tell(keeping, "https://flows.example/api")

    assert chosen(home, "https://flows.example/api") == ("https://flows.example/api", None)


def test_alone_a_program_asks_and_writes_its_own_store(home: Path):
    orchestrator = connect.orchestrator(Settings(home=home), FakeClock())

    assert orchestrator.ask(ListDeployments()).items == []
    orchestrator.ask(CreateWorkPool(name="big"))
    assert {pool.name for pool in orchestrator.ask(ListWorkPools())} >= {"big"}
    with pytest.raises(errors.AlreadyExists):
        orchestrator.ask(CreateWorkPool(name="big"))


def test_waiting_for_a_server_has_an_end(home: Path):
    with pytest.raises(errors.ServerUnreachable, match=r"within 3 s for the home"):
        connect.wait_for_server(Settings(home=home), FakeClock(), timeout_seconds=3)


def test_who_was_not_answered_asks_the_server_of_the_home_where_it_is_now(home: Path, running: Keeping):
    here, clock = Settings(home=home), FakeClock()
    before = connect.orchestrator(here, clock)
    same = connect.again(here, clock, before)
    tell(running, URL.replace("4200", "4300"))
    after = connect.again(here, clock, before)
    running.close()
    while_none_runs = connect.again(here, clock, after)

    assert same is before
    assert isinstance(after, HttpOrchestrator)
    assert after.url == "http://127.0.0.1:4300/api"
    assert while_none_runs is after
