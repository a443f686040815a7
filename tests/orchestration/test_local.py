from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.orchestration.written import SteppingClock, WrittenRun

from penstock import errors
from penstock.core import records
from penstock.core.operations.flow_runs import SetFlowRunState
from penstock.core.operations.pauses import AwaitRunInput
from penstock.core.states import StateType
from penstock.journal import frames
from penstock.orchestration import local, overview
from penstock.orchestration.catch_up import CaughtUp
from penstock.orchestration.local import LocalPast, open_home
from penstock.orchestration.local_orchestrator import LocalOrchestrator
from penstock.sdk.fake_clock import FakeClock
from penstock.settings import Settings
from penstock.store.sqlite import SqliteStore

Complete = Callable[..., WrittenRun]


def names(home: local.Home) -> list[str]:
    with home.reading() as tx:
        return [run.name for run in overview.flow_runs(tx).items]


def test_opening_a_home_folds_what_is_new_and_lets_go(settings: Settings, time: SteppingClock, complete: Complete):
    complete(name="otter")

    with open_home(settings, time) as home:
        assert home.caught_up is not None
        assert (home.caught_up.runs, names(home)) == (1, ["otter"])
        with SqliteStore.open(settings.store, write=True, wait=False) as store:
            assert store.is_writer
    home.close()


def test_an_empty_home_has_no_runs(settings: Settings, time: SteppingClock):
    with open_home(settings, time) as home:
        assert names(home) == []
        assert home.caught_up == CaughtUp()


def test_nothing_is_locked_when_nothing_is_new(settings: Settings, time: SteppingClock, complete: Complete):
    complete(name="otter")
    open_home(settings, time).close()

    with SqliteStore.open(settings.store, write=True, purpose="server"), open_home(settings, time) as home:
        assert (home.caught_up, names(home)) == (CaughtUp(), ["otter"])


def test_a_home_that_a_server_keeps_is_read_as_it_is(settings: Settings, time: SteppingClock, complete: Complete):
    complete(name="otter")
    open_home(settings, time).close()
    complete(name="late")
    before = time.now()

    with SqliteStore.open(settings.store, write=True, purpose="server"), open_home(settings, time) as home:
        assert (home.caught_up, names(home), time.now()) == (None, ["otter"], before)
        with pytest.raises(errors.StoreBusy), home.writing():
            pass
    with open_home(settings, time) as home:
        assert names(home) == ["late", "otter"]


def test_another_process_that_catches_up_is_waited_for(settings: Settings, time: SteppingClock, complete: Complete):
    complete(name="otter")
    settings.home.mkdir(exist_ok=True)
    other = SqliteStore.open(settings.store, write=True, purpose=local.CATCHING_UP)
    time.meanwhile.append(lambda: None)
    time.meanwhile.append(other.close)

    with open_home(settings, time) as home:
        assert (home.caught_up is not None, names(home)) == (True, ["otter"])


def test_a_process_that_catches_up_for_long_is_not_waited_for_any_longer(
    settings: Settings, time: SteppingClock, complete: Complete
):
    complete(name="otter")
    settings.home.mkdir(exist_ok=True)
    before = time.elapsed()

    with (
        SqliteStore.open(settings.store, write=True, purpose=local.CATCHING_UP),
        open_home(settings, time) as home,
    ):
        assert (home.caught_up, names(home)) == (None, [])
    assert local.WAIT_SECONDS <= time.elapsed() - before < local.WAIT_SECONDS + 1


def test_a_home_can_be_opened_without_folding(settings: Settings, time: SteppingClock, complete: Complete):
    complete(name="otter")
    open_home(settings, time).close()
    complete(name="late")

    with open_home(settings, time, write=False) as home:
        assert (home.caught_up, names(home)) == (None, ["otter"])
        assert home.refresh() is not None
        assert names(home) == ["late", "otter"]


def test_without_a_store_the_journals_are_asked(settings: Settings, time: SteppingClock, complete: Complete):
    run = complete(name="otter")

    with open_home(settings, time, write=False) as home:
        assert names(home) == ["otter"]
    assert not settings.store.exists()
    assert (settings.journals / run.id).exists()


def test_a_full_disk_does_not_keep_questions_from_being_answered(
    settings: Settings, time: SteppingClock, complete: Complete, monkeypatch: pytest.MonkeyPatch
):
    complete(name="otter")
    open_home(settings, time).close()
    complete(name="late")

    def full(*_: Any, **__: Any) -> CaughtUp:
        raise errors.StorageFull("The disk is full")

    monkeypatch.setattr(local, "catch_up", full)
    with open_home(settings, time) as home:
        assert (home.caught_up, names(home), str(home.trouble)) == (None, ["otter"], "The disk is full")


def test_a_disk_too_full_to_make_the_store_does_not_keep_questions_from_being_answered(
    settings: Settings, time: SteppingClock, complete: Complete, monkeypatch: pytest.MonkeyPatch
):
    complete(name="otter")
    sqlite3.connect(settings.store).execute("PRAGMA user_version = 1").connection.close()  # a file without tables

    def full(*_: Any, write: bool, **__: Any) -> SqliteStore:
        if write:
            raise errors.StorageFull("The disk is full")
        return opened(settings.store, write=False)

    opened = SqliteStore.open
    monkeypatch.setattr(local.SqliteStore, "open", full)
    with open_home(settings, time) as home:
        assert (names(home), str(home.trouble)) == (["otter"], "The disk is full")


def test_a_home_that_cannot_be_written_answers_from_what_is_there(
    settings: Settings, time: SteppingClock, complete: Complete, monkeypatch: pytest.MonkeyPatch
):
    complete(name="otter")

    def unwritable(*_: Any, write: bool, **__: Any) -> SqliteStore:
        raise errors.StoreError("The store cannot be written" if write else "There is no store")

    monkeypatch.setattr(local.SqliteStore, "open", unwritable)
    monkeypatch.setattr(local.os, "access", lambda *_: False)
    with open_home(settings, time) as home:
        assert (names(home), str(home.trouble)) == (["otter"], "The store cannot be written")

    monkeypatch.setattr(local.os, "access", lambda *_: True)
    with pytest.raises(errors.StoreError, match="cannot be written"):
        open_home(settings, time)


def test_a_home_that_cannot_be_made_is_told(settings: Settings, time: SteppingClock, tmp_path: Path):
    (tmp_path / "file").touch()

    with pytest.raises(errors.StoreError, match="The home cannot be made"):
        open_home(Settings(home=tmp_path / "file" / "home"), time)


def test_a_home_of_a_newer_version_is_refused(settings: Settings, time: SteppingClock, complete: Complete):
    open_home(settings, time).close()
    with SqliteStore.open(settings.store, write=True) as store, store.transaction() as tx:
        tx.meta.put("schema_version", "999")

    with pytest.raises(errors.IncompatibleHome), open_home(settings, time) as home:
        names(home)
    complete()
    with pytest.raises(errors.IncompatibleHome):
        open_home(settings, time)
    with pytest.raises(errors.IncompatibleHome):
        LocalPast(settings).attempts("x")


def test_a_damaged_store_is_told(settings: Settings, time: SteppingClock, complete: Complete):
    complete()
    settings.store.write_bytes(os.urandom(9000))

    with pytest.raises(errors.StoreError, match="damaged"):
        open_home(settings, time)
    with pytest.raises(errors.StoreError, match="damaged"), open_home(settings, time, write=False) as home:
        names(home)
    with pytest.raises(errors.StoreError, match="damaged"):
        list(LocalPast(settings).records("x"))


def said(settings: Settings, run: WrittenRun) -> list[str]:
    return [type(record).__name__ for record in LocalPast(settings).records(run.id)]


def test_the_past_of_a_run_is_the_same_before_during_and_after_its_fold(
    settings: Settings, time: SteppingClock, run: WrittenRun
):
    past = LocalPast(settings)
    assert (past.attempts(run.id), list(past.records(run.id))) == (0, [])
    journal = run.journal()
    journal.append(run.began())
    child = run.journal(writer="w1")
    child.append(run.log("from a child process"))
    expected = ["JournalOpened", "FlowRunBegan", "JournalOpened", "LogLine"]
    assert (past.attempts(run.id), said(settings, run)) == (1, expected)

    open_home(settings, time).close()
    journal.append(run.task_began("a"))
    assert said(settings, run) == ["JournalOpened", "FlowRunBegan", "TaskRunBegan", "JournalOpened", "LogLine"]

    run.die()
    open_home(settings, time).close()
    assert not (settings.journals / run.id).exists()
    dead = ["JournalOpened", "FlowRunBegan", "TaskRunBegan", "JournalOpened", "LogLine", "ProcessLost"]
    assert (past.attempts(run.id), said(settings, run)) == (1, dead)

    run.journal(attempt=2).append(run.began(attempt=2))
    assert (past.attempts(run.id), said(settings, run)) == (2, [*dead, "JournalOpened", "FlowRunBegan"])


def test_the_past_is_whole_when_a_journal_is_deleted_while_it_is_read(
    settings: Settings, time: SteppingClock, complete: Complete, monkeypatch: pytest.MonkeyPatch
):
    run = complete(tasks=2)
    rest = local._rest

    def fold_first(*arguments: Any) -> Any:
        monkeypatch.undo()
        open_home(settings, time).close()
        return rest(*arguments)

    monkeypatch.setattr(local, "_rest", fold_first)
    assert len(said(settings, run)) == 8


def test_the_past_of_long_journals_comes_in_pieces(
    settings: Settings, complete: Complete, monkeypatch: pytest.MonkeyPatch
):
    run = complete(tasks=20)
    read = local.reader.read
    monkeypatch.setattr(local.reader, "read", lambda path, start: read(path, start, limit=500))

    assert len(said(settings, run)) == 44


def test_damage_that_the_store_does_not_make_up_for_is_told(settings: Settings, time: SteppingClock, run: WrittenRun):
    journal = run.journal()
    journal.append(run.began())
    offset = journal.size
    journal.append(run.log("one"))
    journal.append(run.log("two"))
    run.die()
    whole = journal.path.read_bytes()
    journal.path.write_bytes(whole[: offset + frames.HEAD_SIZE] + b"\xff" + whole[offset + frames.HEAD_SIZE + 1 :])
    with pytest.raises(errors.CorruptJournal, match=f"at byte {offset}"):
        said(settings, run)

    journal.path.write_bytes(whole)
    with SqliteStore.open(settings.store, write=True) as store:
        local.catch_up(settings, store, time, remove=False)
    journal.path.write_bytes(whole[: offset + frames.HEAD_SIZE] + b"\xff" + whole[offset + frames.HEAD_SIZE + 1 :])
    assert said(settings, run) == ["JournalOpened", "FlowRunBegan", "LogLine", "LogLine", "ProcessLost"]


def test_what_users_said_about_a_run_is_a_part_of_its_past(settings: Settings, time: SteppingClock, complete: Complete):
    run = complete()
    request = SetFlowRunState(run=run.id, type=StateType.CANCELLED, message="No", by="me")
    assert LocalOrchestrator(settings, time).ask(request).state_type is StateType.CANCELLED

    (said,) = (each for each in LocalPast(settings).records(run.id) if isinstance(each, records.CommandIssued))
    assert said.details == {"type": "CANCELLED", "name": "Cancelled", "message": "No"}
    assert (said.command, said.by, said.run_id) == ("set_state", "me", run.id)


def test_who_waits_for_an_answer_looks_the_more_seldom_the_longer_a_look_takes(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
):
    time = FakeClock()
    refresh = local.Home.refresh

    def slowly(home: local.Home) -> CaughtUp | None:
        time.advance(0.125)
        return refresh(home)

    monkeypatch.setattr(local.Home, "refresh", slowly)

    assert LocalOrchestrator(settings, time).ask(AwaitRunInput(run_id="r", key="k", wait_seconds=3)) == []
    assert time.sleeps == [1.25, 1.25, 0.125]
