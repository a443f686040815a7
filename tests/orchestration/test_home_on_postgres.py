"""The embedded use, with the store in Postgres: nobody holds a lock, and any number of homes share it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest
from tests.orchestration.test_ending import RUN
from tests.orchestration.test_runs_elsewhere import beginning
from tests.orchestration.written import SteppingClock, WrittenRun
from tests.worker.factory import until

from penstock import errors
from penstock.core.access import Permission, Principal
from penstock.core.operations.flow_runs import DeleteFlowRun, PruneFlowRuns, SetFlowRunState
from penstock.core.states import StateType
from penstock.orchestration import backup, deletion, fsck, ingest, overview
from penstock.orchestration.local import Home, LocalPast, open_home
from penstock.orchestration.local_orchestrator import LocalOrchestrator
from penstock.settings import Settings
from penstock.store.opening import open_store
from penstock.store.sqlite import SqliteStore

psycopg = pytest.importorskip("psycopg")

Complete = Callable[..., WrittenRun]


@pytest.fixture
def settings(home: Path, postgres_url: str) -> Settings:
    return Settings(home=home, database_url=postgres_url)


def names(home: Home) -> list[str]:
    with home.reading() as tx:
        return [run.name for run in overview.flow_runs(tx).items]


def test_opening_a_home_folds_into_postgres_and_makes_no_file(
    settings: Settings, time: SteppingClock, complete: Complete
):
    complete(name="otter")
    with open_home(settings, time) as home:
        assert home.caught_up is not None
        assert (home.caught_up.runs, home.caught_up.removed, names(home)) == (1, 1, ["otter"])
        with home.writing() as store, home.writing() as other:
            assert store is other
    assert not settings.store.exists()


def test_several_processes_fold_the_same_home_at_once(settings: Settings, time: SteppingClock, complete: Complete):
    for number in range(20):
        complete(name=f"otter-{number:02}")

    def fold(_: int) -> int:
        with open_home(settings, time) as home:
            assert home.caught_up is not None
            assert home.caught_up.problems == ()
            return home.caught_up.runs

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(fold, range(4))) >= 20
    with open_home(settings, time) as home:
        assert len(names(home)) == 20
        assert fsck.fsck(home).problems == ()


def test_runs_are_checked_rebuilt_cancelled_deleted_and_pruned(
    settings: Settings, time: SteppingClock, complete: Complete, new_run: Callable[[], WrittenRun]
):
    first, second = complete(name="first"), complete(name="second")
    third = new_run()
    third.journal().append(third.began(name="third"))
    third.die()
    orchestrator = LocalOrchestrator(settings, time)
    with open_home(settings, time) as home:
        assert sorted(names(home)) == ["first", "second", "third"]
        orchestrator.ask(DeleteFlowRun(run=first.id))
        rebuilt = fsck.rebuild(home)
        assert (rebuilt.runs, rebuilt.set_aside) == (2, None)
        assert fsck.fsck(home).problems == ()
        ended = orchestrator.ask(SetFlowRunState(run=third.id, type=StateType.CANCELLED))
        assert ended.state_name == "Cancelled"
        assert orchestrator.ask(PruneFlowRuns(keep=0)).runs == 2
        assert names(home) == []
    assert second.id != third.id


def test_a_backup_is_a_file_of_sqlite_and_comes_back(
    settings: Settings, time: SteppingClock, complete: Complete, tmp_path: Path
):
    complete(name="first")
    copy = tmp_path / "copy.db"
    with open_home(settings, time) as home:
        backup.backup(home, copy)
        with SqliteStore.open(copy, write=False) as found, found.reading() as tx:
            assert [row.name for row in tx.flow_runs.page(limit=9)] == ["first"]
    complete(name="second")
    with open_home(settings, time) as home:
        assert sorted(names(home)) == ["first", "second"]
        restored = backup.restore(home, copy)
        assert names(home) == ["first"]
        assert restored.before is not None
        time.advance(1)
        backup.restore(home, restored.before)
        assert sorted(names(home)) == ["first", "second"]
        assert fsck.fsck(home).problems == ()
    complete(name="third")
    with open_home(settings, time) as home:
        assert sorted(names(home)) == ["first", "second", "third"]  # numbered on from where the backup was


def test_what_earlier_attempts_said_is_found_in_postgres(settings: Settings, time: SteppingClock, complete: Complete):
    run = complete(name="first")
    open_home(settings, time).close()

    past = LocalPast(settings)
    assert past.attempts(run.id) == 1
    assert len(list(past.records(run.id))) == 6
    assert past.attempts("0192ffff-0000-7000-8000-000000000000") == 0


def test_a_database_that_does_not_answer_is_told(settings: Settings, time: SteppingClock, complete: Complete):
    complete(name="first")
    nowhere = msgspec.structs.replace(settings, database_url="postgresql://me:geheim@127.0.0.1:1/x")

    with pytest.raises(errors.StoreUnreachable) as caught:
        open_home(nowhere, time)
    assert "geheim" not in str(caught.value)
    with pytest.raises(errors.StoreUnreachable):
        LocalPast(nowhere).attempts("0192ffff-0000-7000-8000-000000000000")


def test_a_run_of_which_something_comes_while_it_is_deleted_does_not_come_back(settings: Settings, time: SteppingClock):
    piece = beginning(RUN)
    assert settings.database_url is not None
    owner = Principal(name="owner", permissions=frozenset(Permission))
    waiting = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    with (
        open_store(settings, time, write=True) as store,
        psycopg.connect(settings.database_url.replace("+psycopg", ""), autocommit=True) as watch,
        ThreadPoolExecutor() as threads,
    ):
        ingest.ingest(store, [piece], by=owner)
        with store.transaction() as tx:
            deletion.forget_in_store(tx, RUN)
            late = threads.submit(ingest.ingest, store, [piece], by=owner)
            until(lambda: watch.execute(waiting).fetchone() is not None)

        assert [receipt.outcome for receipt in late.result()] == ["gone"]
        with store.reading() as reading:
            assert reading.flow_runs.row(RUN) is None
