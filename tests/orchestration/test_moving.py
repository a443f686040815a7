"""Stores move between databases with everything that is in them."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.orchestration.written import SteppingClock, WrittenRun

from penstock import errors
from penstock.orchestration import fsck, moving
from penstock.orchestration.local import Home, open_home
from penstock.orchestration.moving import Upgrade
from penstock.settings import Settings
from penstock.store import copying, tables
from penstock.store.opening import open_store
from penstock.store.rows import EventRow, pack
from penstock.store.sqlite import SqliteStore

pytest.importorskip("psycopg")

Complete = Callable[..., WrittenRun]


def contents(settings: Settings, time: SteppingClock) -> dict[str, Any]:
    with open_store(settings, time, write=False) as store, store.reading() as tx:
        found: dict[str, Any] = {
            table: sorted(repr(row) for _, rows in tx.tables.rows(table) for row in rows) for table in tables.names()
        }
        return found | {"counters": {table: tx.tables.counter(table) for table in tables.counted()}}


def fill(settings: Settings, time: SteppingClock, complete: Complete) -> None:
    for number in range(3):
        complete(name=f"run-{number}", tasks=40, tags=("nightly",))
    with open_home(settings, time) as home, home.writing() as store, store.transaction() as tx:
        tx.meta.put("home_id", "x")
        # The last event is gone, and its number must not be given again.
        tx.events.append([EventRow(1, "e", "gone", None, pack({}), pack({}))])
        tx.events.forget(["gone"])


def at(settings: Settings, url: str) -> Settings:
    return msgspec.structs.replace(settings, database_url=url)


def test_a_store_moves_to_postgres_and_back_and_nothing_is_lost(
    settings: Settings, time: SteppingClock, complete: Complete, postgres_url: str, tmp_path: Path
):
    fill(settings, time, complete)
    before = contents(settings, time)
    told: list[tuple[str, int]] = []

    with open_home(settings, time) as home:
        moved = moving.move(home, postgres_url, tell=lambda table, rows: told.append((table, rows)))
    there = at(settings, postgres_url)
    assert moved.report.problems == ()
    assert moved.rows["task_run"] == 120
    assert ("task_run", 120) in told
    assert contents(there, time) == before
    assert contents(settings, time) == before

    back = f"sqlite:///{tmp_path / 'back.db'}"
    with open_home(there, time) as home:
        assert moving.move(home, back).report.problems == ()
    assert contents(at(settings, back), time) == before


def test_runs_go_on_being_folded_at_the_new_place(
    settings: Settings, time: SteppingClock, complete: Complete, postgres_url: str
):
    fill(settings, time, complete)
    complete(name="not folded yet")
    with open_home(settings, time, write=False) as home:
        moving.move(home, postgres_url)
    complete(name="later")

    with open_home(at(settings, postgres_url), time) as home:
        with home.reading() as tx:
            assert [row.name for row in tx.flow_runs.page(limit=2)] == ["later", "not folded yet"]
        assert fsck.fsck(home).problems == ()


def test_a_database_with_something_in_it_and_the_same_one_are_refused(
    settings: Settings, time: SteppingClock, complete: Complete, postgres_url: str
):
    fill(settings, time, complete)
    with open_home(settings, time) as home:
        moving.move(home, postgres_url)
        with pytest.raises(errors.UsageError, match="with something in it"):
            moving.move(home, postgres_url)
        with pytest.raises(errors.UsageError, match="there already"):
            moving.move(home, f"sqlite:///{settings.store}")
        with pytest.raises(errors.UsageError, match="does not fit"):
            moving.move(home, "mysql://me:geheim@here/x")


def test_a_store_that_others_are_using_is_not_moved(
    settings: Settings, time: SteppingClock, complete: Complete, postgres_url: str, tmp_path: Path
):
    fill(settings, time, complete)
    with open_home(settings, time) as home:
        with SqliteStore.open(settings.store, write=True, purpose="server"), pytest.raises(errors.StoreBusy):
            moving.move(home, postgres_url)
        moving.move(home, postgres_url)
    there = at(settings, postgres_url)
    with (
        open_home(there, time) as home,
        open_store(there, time, write=True),
        pytest.raises(errors.StoreBusy, match="Other processes"),
    ):
        moving.move(home, f"sqlite:///{tmp_path / 'back.db'}")


def test_a_move_that_fails_on_the_way_leaves_nothing_there_and_can_be_made_again(
    settings: Settings, time: SteppingClock, complete: Complete, postgres_url: str
):
    fill(settings, time, complete)

    def fail(table: str, rows: int) -> None:
        if table == "event":
            raise KeyboardInterrupt

    with open_home(settings, time) as home:
        with pytest.raises(KeyboardInterrupt):
            moving.move(home, postgres_url, tell=fail)
        with open_store(at(settings, postgres_url), time, write=False) as store, store.reading() as tx:
            assert copying.is_empty(tx)
        assert moving.move(home, postgres_url).report.problems == ()


@pytest.mark.slow
@pytest.mark.parametrize("to_postgres", [True, False])
def test_who_is_killed_while_moving_leaves_nothing_there(
    settings: Settings, time: SteppingClock, complete: Complete, postgres_url: str, tmp_path: Path, to_postgres: bool
):
    fill(settings, time, complete)
    script = """
        import os, signal, sys
        from pathlib import Path
        from penstock import clock, settings
        from penstock.orchestration import moving
        from penstock.orchestration.local import open_home
        def tell(table, rows):
            if table == "event":
                os.kill(os.getpid(), signal.SIGKILL)
        with open_home(settings.load(), clock.SYSTEM) as home:
            moving.move(home, sys.argv[1], tell=tell)
    """
    url = postgres_url if to_postgres else f"sqlite:///{tmp_path / 'copy.db'}"
    ran = subprocess.run([sys.executable, "-c", textwrap.dedent(script), url], check=False)

    assert ran.returncode == -signal.SIGKILL
    with open_store(at(settings, url), time, write=True) as store, store.reading() as tx:
        assert copying.is_empty(tx)
    with open_home(settings, time) as home:
        assert moving.move(home, url).report.problems == ()


def test_tables_are_made_where_there_are_none(settings: Settings, time: SteppingClock, postgres_url: str):
    for chosen in (settings, at(settings, postgres_url)):
        assert moving.upgrade(chosen, time, dry_run=True) is Upgrade.MADE
        assert moving.upgrade(chosen, time) is Upgrade.MADE
        assert moving.upgrade(chosen, time) is Upgrade.NOTHING
        with Home(chosen, time) as home, home.reading() as tx:
            assert copying.is_empty(tx)


def test_tables_of_an_older_version_are_brought_up_to_date(settings: Settings, time: SteppingClock, postgres_url: str):
    from tests.store.test_upgrading import make_first_postgres, make_first_sqlite

    settings.home.mkdir()
    make_first_sqlite(settings.store)
    make_first_postgres(postgres_url)
    for chosen in (settings, at(settings, postgres_url)):
        assert moving.upgrade(chosen, time, dry_run=True) is Upgrade.UPGRADED
        assert moving.upgrade(chosen, time) is Upgrade.UPGRADED
        assert moving.upgrade(chosen, time) is Upgrade.NOTHING


def test_what_is_no_store_is_not_upgraded(settings: Settings, time: SteppingClock):
    settings.home.mkdir()
    settings.store.write_text("no database, but long enough to have been one" * 100)

    with pytest.raises(errors.StoreError, match="damaged"):
        moving.upgrade(settings, time)
    with pytest.raises(errors.StoreUnreachable):
        moving.upgrade(at(settings, "postgresql://127.0.0.1:1/x"), time)
