from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tests.ports import free_port
from tests.postgres import PASSWORD, Cluster

from penstock import errors
from penstock.store import sql
from penstock.store.interface import SCHEMA_VERSION, Transaction
from penstock.store.postgres_bulk import LEAST_ROWS, MAX_ROWS
from penstock.store.rows import CursorRow, EventRow, pack
from penstock.store.sql import Statement
from penstock.store.wakes import EVERYTHING

psycopg = pytest.importorskip("psycopg")
postgres = pytest.importorskip("penstock.store.postgres")
postgres_session = pytest.importorskip("penstock.store.postgres_session")
PostgresStore = postgres.PostgresStore

SOON = 20.0
"""A deadline for what happens at once, on a machine that may stall."""


@pytest.fixture
def store(postgres_url: str) -> Iterator[Any]:
    with PostgresStore.open(postgres_url, write=True) as store:
        yield store


def put(store: Any, name: str, value: str) -> None:
    with store.transaction() as tx:
        tx.meta.put(name, value)


def value(store: Any, name: str) -> str | None:
    with store.reading() as tx:
        return tx.meta.value(name)


def ask(url: str, text: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(postgres_session.target(url), autocommit=True) as connection:
        return connection.execute(text).fetchall()


def event(name: str) -> EventRow:
    return EventRow(1, name, None, None, pack({}), pack({}))


class Topics:
    """What a store's subscriber has heard."""

    def __init__(self, store: Any) -> None:
        self.heard: set[str] = set()
        self._changed = threading.Condition()
        store.subscribe(self._hear)

    def _hear(self, topics: frozenset[str]) -> None:
        with self._changed:
            self.heard |= topics
            self._changed.notify_all()

    def wait_for(self, topic: str) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: topic in self.heard, SOON)


def test_every_query_is_sql_that_postgres_understands_with_all_conditions_and_with_none(store: Any):
    with store._pool.connection() as connection:
        for noun in sql.nouns():
            for name, statement in sql.statements(noun, "postgres").items():
                if noun == "schema":
                    continue
                if statement.text.startswith("LOCK"):  # cannot be prepared
                    with connection.transaction():
                        connection.execute(statement.text)
                    continue
                for values in (dict.fromkeys(statement.names, 1), dict.fromkeys(statement.names)):
                    text, _ = statement.given(values)
                    connection.execute(f"PREPARE tried AS {text}")
                    connection.execute("DEALLOCATE tried")
                assert name


def test_several_servers_may_begin_at_once_and_one_makes_the_tables(postgres_url: str):
    def open_and_close(_: int) -> None:
        PostgresStore.open(postgres_url, write=True).close()

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(open_and_close, range(6)))

    with PostgresStore.open(postgres_url, write=False) as store:
        assert value(store, "schema_version") == str(SCHEMA_VERSION)
        with pytest.raises(errors.StoreError, match="not open to be written"), store.transaction():
            pass


def test_a_database_without_a_store_cannot_be_read(postgres_url: str):
    with pytest.raises(errors.StoreError, match="no store in this database"):
        PostgresStore.open(postgres_url, write=False)


def test_a_newer_store_is_refused_and_an_older_one_is_to_be_upgraded(store: Any, postgres_url: str):
    put(store, "schema_version", str(SCHEMA_VERSION + 1))
    with pytest.raises(errors.IncompatibleHome, match="newer version"):
        PostgresStore.open(postgres_url, write=True)
    put(store, "schema_version", str(SCHEMA_VERSION - 1))
    with pytest.raises(errors.OutdatedStore, match="penstock db upgrade"):
        PostgresStore.open(postgres_url, write=True)


def test_a_database_in_another_encoding_is_refused(postgres: Cluster):
    url = postgres.new_database()
    name = "in_latin1"
    ask(url, "SELECT 1")
    with psycopg.connect(postgres_target(url), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} ENCODING 'LATIN1' TEMPLATE template0")

    with pytest.raises(errors.StoreError, match="UTF8"):
        PostgresStore.open(postgres.url(name), write=True)


def postgres_target(url: str) -> str:
    return url.replace("+psycopg", "")


@pytest.mark.parametrize(
    ("change", "kind", "text"),
    [
        (lambda url: url.replace(PASSWORD, "wrong"), errors.StoreError, "does not let us in"),
        (lambda url: url.rpartition("/")[0] + "/nowhere", errors.StoreError, "does not exist"),
        (lambda url: url.replace("tests:", "nobody:"), errors.StoreError, "password authentication failed"),
    ],
)
def test_a_refusal_is_told_at_once_and_without_the_password(postgres_url: str, change: Any, kind: Any, text: str):
    with pytest.raises(kind, match=text) as caught:
        PostgresStore.open(change(postgres_url), write=True)

    assert not isinstance(caught.value, errors.StoreUnreachable)
    assert PASSWORD not in str(caught.value)
    assert "wrong" not in str(caught.value)


def test_a_server_that_is_not_there_is_told_with_where_it_should_be(unused_port: int):
    with pytest.raises(errors.StoreUnreachable, match=rf"127.0.0.1:{unused_port}/x") as caught:
        PostgresStore.open(f"postgresql://me:{PASSWORD}@127.0.0.1:{unused_port}/x", write=True)

    assert PASSWORD not in str(caught.value)


@pytest.fixture
def unused_port() -> int:
    return free_port()


@pytest.mark.parametrize("url", ["mysql://a:geheim@b/c", "postgresql://a:geheim@b/c?nonsense=1", "postgresql"])
def test_a_url_that_is_none_is_told_without_the_password(url: str):
    with pytest.raises(errors.UsageError, match="postgresql://user:password@host") as caught:
        postgres_session.target(url)

    assert "geheim" not in str(caught.value)


def test_the_store_names_its_database_without_the_password(store: Any):
    assert PASSWORD not in store.url
    assert "tests:********@127.0.0.1" in store.url


def test_a_transaction_within_a_transaction_is_refused(store: Any):
    with store.transaction() as tx:
        tx.meta.put("a", "1")
        with pytest.raises(errors.StoreError, match="within another"), store.transaction():
            pass
        assert value(store, "a") is None


def test_a_reader_sees_the_store_as_it_was_at_its_first_question_and_writes_nothing(store: Any):
    put(store, "a", "1")
    with store.reading() as tx:
        assert tx.meta.value("a") == "1"
        put(store, "a", "2")
        assert tx.meta.value("a") == "1"
    with pytest.raises(errors.StoreError, match="read-only"), store.reading() as tx:
        tx.meta.put("a", "3")
    assert value(store, "a") == "2"


def test_a_closed_store_answers_no_more(store: Any):
    store.listen()
    store.close()
    store.close()

    with pytest.raises(errors.StoreError, match="closed"), store.reading():
        pass


def test_who_names_the_same_key_waits_for_the_other_to_end(store: Any):
    order: list[str] = []
    has_lock, may_end = threading.Event(), threading.Event()

    def first() -> None:
        with store.transaction() as tx:
            tx.lock("run")
            has_lock.set()
            assert may_end.wait(SOON)
            order.append("first")

    def second() -> None:
        with store.transaction() as tx:
            tx.lock("other")
            may_end.set()
            tx.lock("run")
            order.append("second")

    with ThreadPoolExecutor(2) as pool:
        one = pool.submit(first)
        assert has_lock.wait(SOON)
        two = pool.submit(second)
        for each in (one, two):
            each.result(SOON)
    assert order == ["first", "second"]


def test_events_become_visible_in_the_order_of_their_sequences(store: Any):
    """A follower who has seen the last event would otherwise miss one whose transaction ended later."""
    with store.transaction() as tx:
        tx.events.append([event("slow")])
        with ThreadPoolExecutor(1) as pool:
            pool.submit(append, store, "quick").result(SOON)
        with store.reading() as other:
            seen = other.events.page(limit=9)
    with store.reading() as tx:
        later = tx.events.page(limit=9, after=seen[-1].sequence)

    assert [each.event for each in seen] == ["quick"]
    assert [each.event for each in later] == ["slow"]


def append(store: Any, name: str) -> None:
    with store.transaction() as tx:
        tx.events.append([event(name)])


def test_servers_wake_each_other(store: Any, postgres_url: str):
    with PostgresStore.open(postgres_url, write=True) as other:
        here, there = Topics(store), Topics(other)
        store.listen()
        other.listen()
        other.listen()
        many = [f"run:{number:036}" for number in range(500)]
        with store.transaction() as tx:
            for topic in ("events", *many):
                tx.wake(topic)
        assert there.wait_for(many[-1])
        with other.transaction() as tx:
            tx.wake("work:pool")
        assert here.wait_for("work:pool")

    assert there.heard == {"events", "work:pool", *many}


def test_what_was_undone_wakes_nobody(store: Any, postgres_url: str):
    with PostgresStore.open(postgres_url, write=True) as other:
        there = Topics(other)
        other.listen()
        with pytest.raises(ZeroDivisionError), store.transaction() as tx:
            tx.wake("undone")
            _ = 1 / 0
        with store.transaction() as tx:
            tx.wake("done")
        assert there.wait_for("done")

    assert there.heard == {"done"}


def test_a_listener_whose_connection_was_lost_connects_again_and_tells_that_something_may_be_missing(
    store: Any, postgres_url: str
):
    topics = Topics(store)
    store.listen()
    found = ask(
        postgres_url, "SELECT count(pg_terminate_backend(pid, 9000)) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'"
    )

    assert found == [(1,)]
    assert topics.wait_for(EVERYTHING)
    with PostgresStore.open(postgres_url, write=True) as other, other.transaction() as tx:
        tx.wake("again")
    assert topics.wait_for("again")


def kill_backends(url: str) -> None:
    ask(
        url,
        "SELECT count(pg_terminate_backend(pid, 9000)) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )


def test_use_cases_run_again_when_their_connection_was_lost_before_the_commit(store: Any, postgres_url: str):
    tries: list[int] = []

    def work(tx: Transaction) -> str:
        tx.meta.put("a", str(len(tries)))
        tries.append(1)
        if len(tries) == 1:
            kill_backends(postgres_url)
        return str(tx.meta.value("a"))

    assert store.run(work) == "1"
    assert value(store, "a") == "1"


def test_connections_that_died_while_idle_are_replaced_unnoticed(store: Any, postgres_url: str):
    with store.reading(), store.reading(), store.reading():
        pass  # there are three now
    kill_backends(postgres_url)

    for _ in range(3):
        put(store, "a", "1")
    assert value(store, "a") == "1"


def test_use_cases_run_again_after_a_deadlock(store: Any):
    both = threading.Barrier(2, timeout=SOON)
    tries: list[str] = []

    def work(first: str, second: str) -> Any:
        def move(tx: Transaction) -> None:
            tries.append(first)
            tx.lock(first)
            if len(tries) <= 2:
                both.wait()
            tx.lock(second)
            tx.meta.put(first, "done")

        return move

    with ThreadPoolExecutor(2) as pool:
        for each in [pool.submit(store.run, work("a", "b")), pool.submit(store.run, work("b", "a"))]:
            each.result(SOON)
    assert len(tries) == 3
    assert (value(store, "a"), value(store, "b")) == ("done", "done")


def test_an_outcome_that_is_unknown_is_told_as_such_and_not_tried_again(
    store: Any, postgres_url: str, monkeypatch: pytest.MonkeyPatch
):
    tries: list[int] = []

    class Killed(Transaction):
        def finish(self) -> None:
            super().finish()
            kill_backends(postgres_url)

    monkeypatch.setattr(postgres, "Transaction", Killed)

    def put_a(tx: Transaction) -> None:
        tries.append(1)
        tx.meta.put("a", "1")

    with pytest.raises(errors.UnknownOutcome, match="may be kept or not"):
        store.run(put_a)
    assert tries == [1]


def test_a_statement_that_takes_too_long_is_given_up(store: Any, postgres_url: str, monkeypatch: pytest.MonkeyPatch):
    slow = Statement("slow", ["SELECT pg_sleep(30)"], "postgres")
    with pytest.raises(errors.StoreBusy, match="not answered within"), store.transaction() as tx:
        tx._connection.run(Statement("x", ["SET LOCAL statement_timeout = '50ms'"], "postgres"))
        tx._connection.run(slow)


def test_a_server_that_says_nothing_is_given_up_as_well(store: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(postgres, "ANSWER_SECONDS", 0.2)
    slow = Statement("slow", ["SELECT pg_sleep(5)"], "postgres")
    with pytest.raises(errors.StoreUnreachable, match="does not answer"), store.transaction() as tx:
        tx._connection.run(slow)
    monkeypatch.undo()
    put(store, "a", "1")

    assert value(store, "a") == "1"


def test_no_transaction_of_a_client_that_fell_silent_keeps_its_locks(store: Any):
    with store.reading() as tx:
        kept = {
            name: tx._connection.rows(Statement(name, [f"SELECT current_setting('{name}')"], "postgres"))[0][0]
            for name in ("idle_in_transaction_session_timeout", "statement_timeout", "tcp_keepalives_idle")
        }

    assert kept == {
        "idle_in_transaction_session_timeout": "1min",
        "statement_timeout": "10s",
        "tcp_keepalives_idle": "60",
    }


@pytest.mark.parametrize(
    ("code", "kind", "text"),
    [
        ("53100", errors.StorageFull, "disk is full"),
        ("53300", errors.StoreUnreachable, "does not answer"),
        ("57P03", errors.StoreUnreachable, "does not answer"),
        ("25006", errors.StoreUnreachable, "does not answer"),
        ("42501", errors.StoreError, "not do this"),
        ("55P03", errors.TransactionConflict, "in the way"),
        ("26000", errors.TransactionConflict, "lost what was prepared"),
        ("22012", errors.ImpossibleValue, "does not take"),
        ("XX000", errors.StoreError, "cannot be used"),
    ],
)
def test_each_fault_of_postgres_has_its_error(store: Any, code: str, kind: type[Exception], text: str):
    with pytest.raises(kind, match=text), store.transaction() as tx:
        raised = f"DO $$ BEGIN RAISE EXCEPTION 'why' USING ERRCODE = '{code}'; END $$"
        tx._connection.run(Statement("raise", [raised], "postgres"))


def test_what_was_sent_behind_a_statement_that_failed_is_not_taken_for_prepared(postgres_url: str):
    """The driver prepares what comes for the sixth time. A ROLLBACK makes it forget that, but not each one does."""
    one, wrong = Statement("one", ["SELECT 1"], "postgres"), Statement("wrong", ["SELECT 1 / 0"], "postgres")
    with postgres.PostgresStore.open(postgres_url, write=True, connections=1) as store:
        store.ask(lambda tx: tx.now)
        for _ in range(5):
            with store.transaction() as tx:
                tx._connection.rows(one)
        with pytest.raises(errors.ImpossibleValue), store.transaction() as tx:
            tx._connection.rows_of_each((wrong, {}), (one, {}))

        with store.transaction() as tx:
            assert tx._connection.rows(one) == [(1,)]


def test_a_sound_database_has_nothing_wrong_and_an_index_that_is_none_is_told(store: Any, postgres_url: str):
    assert store.check() == []

    with psycopg.connect(postgres_session.target(postgres_url), autocommit=True) as connection:
        connection.execute("UPDATE pg_index SET indisvalid = FALSE WHERE indexrelid = 'log_by_flow_run'::regclass")
    assert store.check() == ["index `log_by_flow_run` is not valid"]


def test_the_module_is_only_loaded_by_those_who_use_postgres():
    import subprocess

    script = "import sys, penstock.store.sqlite; print('psycopg' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout == "False\n"


def test_a_backup_that_cannot_be_finished_leaves_no_file(store: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def fail(*_: object) -> None:
        raise errors.StoreUnreachable("no")

    monkeypatch.setattr(postgres.copying, "copy", fail)
    with pytest.raises(errors.StoreUnreachable):
        store.backup_to(tmp_path / "copy.db")
    assert list(tmp_path.iterdir()) == []


def test_an_older_server_is_refused(postgres_url: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(postgres, "OLDEST_SERVER", 990000)
    with pytest.raises(errors.StoreError, match="needs Postgres 99 or newer"):
        PostgresStore.open(postgres_url, write=True)


@pytest.mark.parametrize("count", [1, LEAST_ROWS - 1, LEAST_ROWS, MAX_ROWS + 1])
def test_many_rows_are_kept_as_one_by_one(store: Any, count: int):
    data = [bytes([number % 256, 0, 255]) for number in range(count)]
    with store.transaction() as tx:
        tx.journals.append_all(("run", 1, f"größer {number} \N{SNOWMAN}", 8, each) for number, each in enumerate(data))

    with store.reading() as tx:
        segments = tx.journals.segments("run")
        kept = [tx.journals.frames(each) for each in segments]
    assert kept == data
    assert [each.writer for each in segments] == [f"größer {number} \N{SNOWMAN}" for number in range(count)]


def test_of_a_row_that_comes_twice_among_many_the_last_is_kept(store: Any):
    rows = [CursorRow("run", 1, "main", number, 0, "host", "boot", 1, 0, b"\x90") for number in range(LEAST_ROWS)]
    with store.transaction() as tx:
        tx.journals.save_cursors(rows)

    with store.reading() as tx:
        cursor = tx.journals.cursor("run", 1, "main")
    assert cursor is not None
    assert cursor.end_offset == LEAST_ROWS - 1


def test_rows_of_megabytes_go_one_by_one(store: Any):
    data = b"\xff" * (1 << 20)
    with store.transaction() as tx:
        tx.journals.append_all(("run", 1, f"{number}", 8, data) for number in range(LEAST_ROWS))

    with store.reading() as tx:
        assert [len(tx.journals.frames(each)) for each in tx.journals.segments("run")] == [1 << 20] * LEAST_ROWS


def test_what_the_database_does_not_take_is_told_at_the_latest_at_the_end(store: Any):
    with pytest.raises(errors.ImpossibleValue), store.transaction() as tx:
        tx.meta.put("before", "1")
        tx.journals.append("run", 0, "main", 8, b"x")

    with store.reading() as tx:
        assert tx.meta.value("before") is None


def test_what_the_database_does_not_take_is_told_by_the_next_question(store: Any):
    with pytest.raises(errors.ImpossibleValue), store.transaction() as tx:
        tx.journals.append("run", 0, "main", 8, b"x")
        tx.meta.value("any")
        pytest.fail("it went on")
