"""The shipper of a home, in this process, and a server to which it sends without HTTP."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests import shippers
from tests.worker.factory import StoreServer, until

from penstock import clock, errors, settings
from penstock.client import home_shipper, shipper_process
from penstock.client.home_shipper import HomeShipper
from penstock.client.server import Piece, Receipt
from penstock.core import records
from penstock.core.operations.flow_runs import GetFlowRun
from penstock.core.operations.runs_elsewhere import ReportAlive, ReportLost
from penstock.core.runs import FlowRun
from penstock.engine.attempt import create_journal
from penstock.journal.outbox import Entry, Outbox
from penstock.journal.writer import JournalWriter
from penstock.journal.writers import Ends, Look
from penstock.sdk.fake_clock import FakeClock
from penstock.store.sqlite import SqliteStore


class Home:
    """A home with something to send, and the server that is to have it."""

    def __init__(self, root: Path, store: SqliteStore) -> None:
        self.settings = settings.load()
        self.server = StoreServer(store, root / "of-server")
        self.outbox = Outbox(self.settings.outbox)
        self.said = root / "said"

    def begin(self, run_id: str, attempt: int = 1, url: str = StoreServer.url) -> JournalWriter:
        """A process begins an attempt of a run, which is to be sent."""
        (self.settings.journals / run_id).mkdir(parents=True, exist_ok=True)
        journal = create_journal(self.settings, clock.SYSTEM, run_id, attempt, "main")
        at = clock.SYSTEM.now()
        journal.append(records.FlowRunBegan(at, run_id, attempt, "quiet-otter", "etl", "1", "etl.py:etl", {}))
        self.outbox.put(Entry(run_id, attempt, url))
        return journal

    def ship(self) -> None:
        """Send until there is nothing left that can be sent."""
        descriptor = os.open(self.said, os.O_RDWR | os.O_CREAT)
        try:
            HomeShipper(self.settings, self.server, clock.SYSTEM, descriptor).run()
        finally:
            os.close(descriptor)

    def run(self, run_id: str) -> FlowRun:
        return self.server.ask(GetFlowRun(run=run_id))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    monkeypatch.setattr(home_shipper, "IDLE_SECONDS", 0.1)
    monkeypatch.setattr(home_shipper, "AWAY_SECONDS", 0.0)
    monkeypatch.setenv("PENSTOCK_HOME", str(tmp_path / "home"))
    with SqliteStore.in_memory() as store:
        yield Home(tmp_path, store)


def end(journal: JournalWriter) -> None:
    run_id = journal.opened.run_id
    journal.append(records.FlowRunEnded(clock.SYSTEM.now(), run_id, "COMPLETED", "Completed"))
    journal.close()


def new_id() -> str:
    return clock.SYSTEM.new_id()


def test_what_ended_and_what_died_is_sent_and_its_end_is_told(home: Home):
    ended, died = new_id(), new_id()
    end(home.begin(ended))
    home.begin(died).close()
    home.ship()

    assert (home.run(ended).state_name, home.run(died).state_name) == ("Completed", "Crashed")
    assert home.outbox.entries() == []
    assert home.said.read_text() == ""


def test_the_server_hears_of_a_run_before_it_has_anything_of_it(home: Home):
    run = new_id()
    end(home.begin(run))
    home.ship()

    kinds = [type(request) for request in home.server.asked if getattr(request, "run_id", run) == run]
    assert kinds[0] is ReportAlive
    assert ReportLost in kinds


def test_a_later_attempt_is_sent_when_the_server_has_all_of_the_earlier_one(home: Home):
    run = new_id()
    first = home.begin(run)
    for number in range(2000):
        first.append(records.LogLine(number, run, None, 20, "x", "x" * 1000))
    first.close()
    end(home.begin(run, 2))
    home.ship()

    assert (home.run(run).state_name, home.run(run).attempt) == ("Completed", 2)
    assert home.server.refused == []


def test_what_is_meant_for_another_server_is_left_to_others(home: Home):
    run = new_id()
    end(home.begin(run, url="http://other.test/api"))
    home.ship()

    assert [entry.run_id for entry in home.outbox.entries()] == [run]
    with pytest.raises(errors.NotFound):
        home.run(run)


def test_a_server_that_stays_away_is_given_up_when_no_run_is_left_under_way_and_that_is_said(
    home: Home, monkeypatch: pytest.MonkeyPatch
):
    run = new_id()
    end(home.begin(run))
    monkeypatch.setenv("PENSTOCK_OFFLINE_GRACE_SECONDS", "0.1")
    home.settings = settings.load()
    home.server.is_away = True
    home.ship()
    left = home.outbox.entries()
    said = home.said.read_text()
    home.server.is_away = False
    home.ship()

    assert [entry.run_id for entry in left] == [run]
    assert "cannot be reached" in said
    assert home.run(run).state_name == "Completed"


def test_a_journal_that_is_not_taken_is_told_of_and_keeps_no_other_back(home: Home, monkeypatch: pytest.MonkeyPatch):
    bad, good = new_id(), new_id()
    for run in (bad, good):
        end(home.begin(run))
    take: Any = home.server.send_journal

    def refuse(pieces: list[Piece]) -> list[Receipt]:
        if any(piece.run_id == bad for piece in pieces):
            raise errors.CorruptJournal("no record")
        return take(pieces)

    monkeypatch.setattr(home.server, "send_journal", refuse)
    home.ship()

    assert "no record" in home.said.read_text()
    assert [entry.run_id for entry in home.outbox.entries()] == [bad]
    assert home.run(good).state_name == "Completed"


def test_what_a_server_has_refused_it_is_not_asked_again_until_somebody_wants_that(
    home: Home, monkeypatch: pytest.MonkeyPatch
):
    asked: list[str] = []
    take: Any = home.server.send_journal

    def refuse(pieces: list[Piece]) -> list[Receipt]:
        asked.extend(piece.run_id for piece in pieces)
        raise errors.CorruptJournal("no record")

    bad, good = new_id(), new_id()
    end(home.begin(bad))
    monkeypatch.setattr(home.server, "send_journal", refuse)
    home.ship()
    home.ship()
    monkeypatch.setattr(home.server, "send_journal", take)
    end(home.begin(good))
    home.ship()
    left = home.outbox.entries()
    refusal = home.outbox.refusal(left[0])
    home.outbox.ask_again(home.server.url)
    home.ship()

    assert asked == [bad]
    assert [entry.run_id for entry in left] == [bad]
    assert refusal == "The server does not take what was recorded: The server does not take the journal: no record"
    assert [home.run(run).state_name for run in (good, bad)] == ["Completed", "Completed"]
    assert os.listdir(home.outbox.path) == []


def test_runs_that_are_told_to_end_and_take_their_time_are_looked_at_one_by_one_and_with_pauses(
    home: Home, monkeypatch: pytest.MonkeyPatch
):
    time = FakeClock()
    looks: list[Look] = ["told", "waiting", "killed", "gone"]
    coming = iter(looks)

    def look(*_: Any) -> Look:
        time.advance(0.25)
        return next(coming)

    monkeypatch.setattr(Ends, "look", look)
    shipper = HomeShipper(home.settings, home.server, time, -1)
    seen = [shipper.end(new_id()) for _ in looks]
    shipper.shipper.close()

    assert seen == looks
    assert time.sleeps == [2.5, 2.5]


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_the_process_says_in_its_command_line_what_it_is_for(home: Home):
    url = "http://127.0.0.1:9/api"
    home.begin(new_id(), url=url).close()

    assert shipper_process.start(home.settings, url, os.environ)
    try:
        (pid,) = until(lambda: shippers.of(home.settings.home))
        line = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    finally:
        shippers.end(home.settings.home)
    assert f"# sends what runs in {home.settings.home} recorded to {url}" in line
