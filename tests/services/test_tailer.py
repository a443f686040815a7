from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock import flow, task
from penstock.clock import SYSTEM
from penstock.core.runs import FlowRun
from penstock.journal.folder import JournalFile, JournalFolder
from penstock.orchestration import overview
from penstock.sdk.fake_clock import FakeClock
from penstock.services.tailer import BUSY_SECONDS, IDLE_SECONDS, Tailer
from penstock.settings import Settings
from penstock.store.sqlite import SqliteStore


@pytest.fixture
def settings(home: Path) -> Settings:
    return Settings(home=home)


@pytest.fixture
def store(settings: Settings) -> Iterator[SqliteStore]:
    settings.home.mkdir(exist_ok=True)
    with SqliteStore.open(settings.store, write=True, purpose="server") as store:
        yield store


def runs(store: SqliteStore) -> list[FlowRun]:
    with store.reading() as tx:
        return overview.flow_runs(tx).items


@task
def double(number: int) -> int:
    return 2 * number


def test_a_run_is_seen_while_it_runs_and_when_it_has_ended(settings: Settings, store: SqliteStore):
    tailer = Tailer(store, settings, SYSTEM)
    seen: list[str] = []

    @flow
    def etl():
        double(1)
        tailer.run_once()
        seen.append(runs(store)[0].state_name)
        double(2)

    etl()
    pause = tailer.run_once()
    seen.append(runs(store)[0].state_name)

    assert seen == ["Running", "Completed"]
    assert BUSY_SECONDS <= pause < 1
    assert list(settings.journals.iterdir()) == []
    assert tailer.run_once() == IDLE_SECONDS


def test_what_has_not_changed_is_not_read_again(
    settings: Settings, store: SqliteStore, monkeypatch: pytest.MonkeyPatch
):
    from penstock.services import tailer as module

    looked_at: list[list[str]] = []
    catch_up = module.catch_up

    def watched(*args: object, only: list[str]) -> object:
        looked_at.append(only)
        return catch_up(*args, only=only)  # pyright: ignore[reportArgumentType]  handed on as they came

    monkeypatch.setattr(module, "catch_up", watched)
    tailer = Tailer(store, settings, SYSTEM)

    @flow
    def etl():
        for _ in range(3):
            tailer.run_once()
        double(1)
        tailer.run_once()

    etl()

    assert len(looked_at) == 2


def test_a_home_without_journals_costs_a_look(settings: Settings, store: SqliteStore):
    assert Tailer(store, settings, SYSTEM).run_once() == IDLE_SECONDS


def test_the_longer_a_look_takes_the_longer_it_is_to_the_next(
    settings: Settings, store: SqliteStore, monkeypatch: pytest.MonkeyPatch
):
    time = FakeClock()
    tailer = Tailer(store, settings, time)
    journals = JournalFolder.journals

    def slowly(folder: JournalFolder, run_id: str) -> list[JournalFile]:
        time.advance(0.25)
        return journals(folder, run_id)

    monkeypatch.setattr(JournalFolder, "journals", slowly)
    pauses: list[float] = []

    @flow
    def etl():
        pauses.append(tailer.run_once())

    etl()

    assert pauses == [2.5]
