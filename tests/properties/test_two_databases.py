"""The same commands leave the same rows, in SQLite and in Postgres."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import run_state_machine_as_test
from tests.orchestration.plant import Plant
from tests.orchestration.test_fold import ROOT, attempts, contents, cut
from tests.properties.test_plant import TheWholePlant

from penstock import errors
from penstock.core import records
from penstock.orchestration import run_keys
from penstock.orchestration.fold import as_piece, fold, record
from penstock.store import copying, tables
from penstock.store.interface import Store, Transaction
from penstock.store.sqlite import SqliteStore
from penstock.testing import FakeClock

pytest.importorskip("psycopg")


@pytest.fixture
def in_postgres(postgres_url: str) -> Iterator[Any]:
    from penstock.store.postgres import PostgresStore

    with PostgresStore.open(postgres_url, write=True, connections=1) as store:
        # Whoever makes a connection draws by chance for how long to keep it, in a thread: not while examples are drawn.
        store._pool.wait()
        yield store


def empty(store: Store) -> None:
    """Make it as a new store is."""
    with SqliteStore.in_memory() as new, new.reading() as tx, store.transaction() as into:
        copying.copy(tx, into)


def rows(store: Store) -> dict[str, list[str]]:
    """All rows, in one order, and without their numbers: what is done to several runs at once has no order."""
    found: dict[str, list[str]] = {}
    with store.reading() as tx:
        for table in tables.names():
            every: list[str] = []
            for columns, portion in tx.tables.rows(table):
                start = int(columns[0] == "sequence")
                every += [repr(row[start:]) for row in portion]
            found[table] = sorted(every)
    return found


class BothStores:
    """Does everything twice, and finds that it comes to the same. Time and chance are the same for both."""

    def __init__(self, clock: FakeClock, other: Any) -> None:
        self.clock = clock
        self.sqlite = SqliteStore.in_memory(clock)
        self.postgres = other
        other._clock = clock

    def run(self, work: Callable[[Transaction], Any]) -> Any:
        return self._twice(self.sqlite.run, self.postgres.run, work)

    def ask(self, work: Callable[[Transaction], Any]) -> Any:
        return self._twice(self.sqlite.ask, self.postgres.ask, work)

    @contextmanager
    def reading(self) -> Generator[Transaction]:
        with self.sqlite.reading() as tx:
            yield tx

    def close(self) -> None:
        here, there = rows(self.sqlite), rows(self.postgres)
        for table in tables.names():
            assert there[table] == here[table], table
        self.sqlite.close()

    def _twice(self, here: Callable[..., Any], there: Callable[..., Any], work: Callable[[Transaction], Any]) -> Any:
        before = self._time_and_chance()
        found, raised = told(here, work)
        after = self._time_and_chance()
        self.clock._now, state = before
        self.clock._random.setstate(state)
        other, also_raised = told(there, work)
        assert (other, repr(also_raised)) == (found, repr(raised))
        assert self._time_and_chance() == after
        if raised is not None:
            raise raised
        return found

    def _time_and_chance(self) -> tuple[int, Any]:
        return self.clock._now, self.clock._random.getstate()


def told(run: Callable[..., Any], work: Callable[[Transaction], Any]) -> tuple[Any, errors.PenstockError | None]:
    try:
        return run(work), None
    except errors.PenstockError as error:
        return None, error


@pytest.mark.slow
def test_a_plant_under_random_commands_leaves_the_same_rows_in_both(in_postgres: Any, monkeypatch: pytest.MonkeyPatch):
    from penstock.store import postgres

    clocks: list[FakeClock] = []
    monkeypatch.setattr(postgres._Connection, "now", lambda _: clocks[-1].now())
    monkeypatch.setattr(run_keys, "secret", lambda _: "5e" * 32)

    class OnBoth(TheWholePlant):
        def __init__(self) -> None:
            super().__init__()
            self.store.close()
            empty(in_postgres)
            clocks.append(self.clock)
            self.store: Any = BothStores(self.clock, in_postgres)
            self.plant = Plant(self.store)

    run_state_machine_as_test(
        OnBoth, settings=settings(max_examples=12, stateful_step_count=25, deadline=None, phases=[Phase.generate])
    )


@pytest.mark.slow
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(attempts(), st.data())
def test_any_journals_leave_the_same_rows_in_both(in_postgres: Any, said: Any, data: st.DataObject):
    empty(in_postgres)
    with SqliteStore.in_memory() as in_sqlite:
        for key, piece, start in cut(data, said, shuffled=True):
            lost = data.draw(st.booleans())
            for store in (in_sqlite, in_postgres):
                with store.transaction() as tx:
                    fold(tx, key, as_piece(piece, start))
                    if lost:
                        record(tx, ROOT, records.ProcessLost(40, ROOT, key.attempt, "died"), attempt=key.attempt)

        assert contents(in_postgres) == contents(in_sqlite)
        assert rows(in_postgres) == rows(in_sqlite)
