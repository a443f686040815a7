"""The store on Postgres: any number of processes read and write it.

What may run at the same time as what, the database decides. Where an order matters, a transaction
takes a lock by name (`Transaction.lock`), which ends with it. Nothing waits for longer than 15 s:
a server that does not answer is told from a slow one by deadlines on this side of the connection.
"""

from __future__ import annotations

import logging
import select
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, Self, TypeVar

import psycopg
from psycopg_pool import ConnectionPool, PoolTimeout

from penstock import errors, settings
from penstock.clock import SYSTEM, Clock
from penstock.store import copying, postgres_bulk
from penstock.store.again import until_done
from penstock.store.connection import Question
from penstock.store.gathering import Gathering
from penstock.store.interface import SCHEMA_VERSION, Transaction
from penstock.store.postgres_errors import POOL_SECONDS, as_ours, is_lost
from penstock.store.postgres_session import (
    ANSWER_SECONDS,
    APPLICATION,
    Session,
    connect,
    connect_plainly,
    options,
    roll_back,
    set_up,
    target,
)
from penstock.store.sql import Statement, statements, storable_rows
from penstock.store.sqlite import SqliteStore
from penstock.store.sqlite_files import up_to_date
from penstock.store.upgrading import refuse_unless_current, upgrade_postgres
from penstock.store.wakes import Callback, Listener, Subscribers

if TYPE_CHECKING:
    import sqlalchemy

T = TypeVar("T")
W = TypeVar("W")
A = TypeVar("A")

LONG_SECONDS = 3600.0
"""The same for a transaction that is known to take long."""

OLDEST_SERVER = 150000
CHANNEL = "penstock"
MAX_NOTIFIED = 7000
"""Bytes in one notification, of which Postgres allows 7,999."""

_BEGIN = "BEGIN"
_TAKE_TIME = "SET LOCAL statement_timeout = 0"
_BEGIN_READING = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_NOW = "SELECT CAST(extract(epoch FROM now()) * 1000000 AS BIGINT)"
_LOCK_SCHEMA = "SELECT pg_advisory_xact_lock(hashtextextended('schema', 0))"
_LOCK = """
SELECT pg_advisory_xact_lock(hash)
  FROM (SELECT hashtextextended(key, 0) AS hash
          FROM unnest(CAST($1 AS TEXT[])) WITH ORDINALITY AS wanted (key, place) ORDER BY place OFFSET 0) AS hashes
"""
_NOTIFY = f"SELECT pg_notify('{CHANNEL}', $1)"
_HAS_TABLES = "SELECT to_regclass('meta') IS NOT NULL"
_VERSION = "SELECT value FROM meta WHERE name = 'schema_version'"
_OTHERS = """
SELECT COUNT(*) FROM pg_stat_activity
 WHERE datname = current_database() AND application_name LIKE $1 AND application_name <> $2
"""
_ENCODING = "SELECT pg_encoding_to_char(encoding) FROM pg_database WHERE datname = current_database()"
_CHECKS = {
    "index `{}` is not valid": """
        SELECT indexrelid::regclass::text FROM pg_index JOIN pg_class ON pg_class.oid = indrelid
         WHERE NOT indisvalid AND relnamespace = current_schema()::regnamespace
    """,
    "{} pages failed their checksums": """
        SELECT checksum_failures FROM pg_stat_database WHERE datname = current_database() AND checksum_failures > 0
    """,
}


class PostgresStore:
    """A store in a Postgres database. Safe to use from any thread; see `interface.Store`."""

    def __init__(self, url: str, clock: Clock, *, is_writer: bool, connections: int) -> None:
        self.url = settings.shown("database_url", url)
        """Where the database is, without the password."""
        self.is_writer = is_writer
        self._clock = clock
        self._target = target(url)
        self._subscribers = Subscribers()
        self._gathering = Gathering()
        self._listener: Listener | None = None
        self._instance = clock.new_id()
        self._busy = threading.local()
        self._mutex = threading.Lock()
        # What the pool has to say is raised to whoever waits for it, and need not be on the terminal as well.
        logging.getLogger("psycopg").addHandler(logging.NullHandler())
        self._pool: ConnectionPool[Session] = ConnectionPool(
            self._target,
            connection_class=Session,
            kwargs=options(self._instance),
            configure=set_up,
            check=self._check,
            min_size=1,
            max_size=connections,
            timeout=POOL_SECONDS,
            # A pool that has given up connects when somebody asks next, which is sooner than after long pauses.
            reconnect_timeout=POOL_SECONDS,
            num_workers=2,
            name=f"penstock-{self._instance}",
            open=False,
        )

    @classmethod
    def open(
        cls, url: str, *, write: bool, upgrade: bool = False, clock: Clock = SYSTEM, connections: int = 10
    ) -> PostgresStore:
        """Open the store in the database of the URL; with ``write``, making its tables when there are none.

        With ``upgrade``, tables of an older version are brought up to date, which servers of that
        version go on with.
        Raises `StoreUnreachable` when the server does not answer, `IncompatibleHome` when a newer
        version wrote the store, `OutdatedStore` when it must be upgraded first.
        """
        store = cls(url, clock, is_writer=write, connections=connections)
        with (
            store._told(),
            connect(store._target, store._instance) as connection,
        ):  # says why not, where a pool only says that not
            _refuse_unfit(connection)
            if write:
                _prepare(connection)
            if upgrade and (_version(connection) or SCHEMA_VERSION) < SCHEMA_VERSION:
                upgrade_postgres(lambda: connect_plainly(store._target), _LOCK_SCHEMA, _version_now)
            _check_version(connection)
        store._pool.open()
        return store

    def is_alone(self) -> bool:
        with self._told(), self._pool.connection() as connection:
            return (
                connection.execute(_OTHERS, [f"{APPLICATION} %", f"{APPLICATION} {self._instance}"]).fetchall()[0][0]
                == 0
            )

    @contextmanager
    def transaction(self, *, long: bool = False) -> Generator[Transaction]:
        if not self.is_writer:
            raise errors.StoreError(f"The store is not open to be written: `{self.url}`")
        if getattr(self._busy, "is_in_transaction", False):
            raise errors.StoreError("A transaction cannot begin within another one")
        with self._told(), self._pool.connection() as connection:
            connection.answer_seconds = LONG_SECONDS if long else ANSWER_SECONDS
            statements = _Connection(connection, self._raise, _BEGIN)
            if long:
                statements.hold(_TAKE_TIME)
            tx = Transaction(statements, self._clock)
            self._busy.is_in_transaction = True
            try:
                yield tx
                tx.finish()
                for text in _portions(tx.topics):
                    # With the commit, and only with it. Ours are told without the detour.
                    statements.hold(_NOTIFY, [f"{self._instance} {text}"])
            except BaseException:
                roll_back(connection)
                raise
            finally:
                self._busy.is_in_transaction = False
            self._commit(connection, statements)
        self._subscribers.tell(tx.topics)

    def run(self, work: Callable[[Transaction], T]) -> T:
        def once() -> T:
            with self.transaction() as tx:
                return work(tx)

        return until_done(once, self._clock)

    def run_together(
        self,
        about: str,
        wish: W,
        work: Callable[[Transaction, Sequence[W]], Sequence[A | Exception]],
        *,
        weight: int = 1,
    ) -> A:
        return self._gathering.do(about, wish, lambda wishes: self.run(lambda tx: work(tx, wishes)), weight=weight)

    def ask(self, work: Callable[[Transaction], T]) -> T:
        def once() -> T:
            with self.reading() as tx:
                return work(tx)

        return until_done(once, self._clock)

    @contextmanager
    def reading(self) -> Generator[Transaction]:
        with self._told(), self._pool.connection() as connection:
            connection.answer_seconds = ANSWER_SECONDS
            try:
                yield Transaction(_Connection(connection, self._raise, _BEGIN_READING), self._clock)
            finally:
                roll_back(connection)

    def subscribe(self, callback: Callback) -> Callable[[], None]:
        return self._subscribers.add(callback)

    def listen(self) -> None:
        with self._mutex:
            if self._listener is None:
                with self._told():
                    self._listener = Listener(_Hearing(self._target, self._instance), self._subscribers, self._instance)

    def check(self) -> list[str]:
        """What Postgres itself knows to be wrong with the database; nothing if all is well."""
        with self._told(), self._pool.connection() as connection:
            found = [(message, connection.execute(text.encode()).fetchall()) for message, text in _CHECKS.items()]
            return [message.format(row[0]) for message, rows in found for row in rows]

    def size(self) -> int:
        with self.reading() as tx:
            return tx.tables.size()

    def backup_to(self, path: Path) -> None:
        with SqliteStore.new_file(path, self._clock) as target:
            try:
                with target.transaction() as into, self.reading() as tx:
                    copying.copy(tx, into)
            except BaseException:
                path.unlink()
                raise

    def restore_from(self, path: Path) -> None:
        with up_to_date(path) as source, source.reading() as tx, self.transaction(long=True) as into:
            copying.copy(tx, into)

    def close(self) -> None:
        with self._mutex:
            listener, self._listener = self._listener, None
        if listener is not None:
            listener.stop()
        self._pool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _commit(self, connection: Session, statements: _Connection) -> None:
        try:
            done = statements.commit()
        except psycopg.Error as error:
            if error.sqlstate is not None and not is_lost(error):
                roll_back(connection)
                raise
            connection.close()
            raise errors.UnknownOutcome(
                f"The connection was lost while committing, so the change may be kept or not: `{self.url}`",
                hint="send it again: what has a key of its own is done once",
            ) from error
        if done != "COMMIT":
            raise errors.StoreError("A transaction in which a statement failed cannot be kept")

    @contextmanager
    def _told(self) -> Generator[None]:
        """Raise the driver's errors as Penstock's."""
        try:
            yield
        except psycopg.Error as error:
            self._raise(error)

    def _raise(self, error: psycopg.Error) -> NoReturn:
        ours = as_ours(error, self.url)
        if isinstance(ours, errors.StoreUnreachable) and not isinstance(error, PoolTimeout):
            # Where one connection is lost, the others most often are, and waiting for each would take long.
            self._pool.drain()
        raise ours from error

    def _check(self, session: Session) -> None:
        """Whether a connection that lay idle still is one: if the server has closed it, there is something to read."""
        poll = select.poll()
        poll.register(session.fileno(), select.POLLIN)
        if poll.poll(0):
            try:
                session.execute("SELECT 1")
            except psycopg.Error:
                self._pool.drain()
                raise


class _Connection:
    """One transaction's statements, run by Postgres.

    What has no answer is held back until something is asked, or the transaction ends, and then sent together with that:
    one journey there and back instead of many. So an error may be raised by what comes after the statement it is about.
    """

    __slots__ = ("_began", "_held", "_now", "_raise", "_session")

    dialect = "postgres"

    def __init__(self, session: Session, on_error: Callable[[psycopg.Error], NoReturn], begin: str) -> None:
        self._session = session
        self._raise = on_error
        self._held: list[tuple[bytes, Sequence[Sequence[Any]]]] = [(begin.encode(), ())]
        """Statements, and the rows of values for which each is executed; none for once without values."""
        self._began = False
        self._now: psycopg.Cursor[tuple[Any, ...]] | None = None

    def hold(self, text: str, *values: Sequence[Any]) -> None:
        """Execute this before whatever is asked next."""
        self._held.append((text.encode(), values))

    def rows(self, statement: Statement, **values: Any) -> list[tuple[Any, ...]]:
        return self._ask(*statement.given(values)).fetchall()

    def rows_of_each(self, *questions: Question) -> list[list[tuple[Any, ...]]]:
        try:
            with self._session.pipeline():
                self._send_held()
                cursors = [
                    self._session.execute(text.encode(), given)
                    for text, given in (statement.given(values) for statement, values in questions)
                ]
        except psycopg.Error as error:
            self._raise(error)
        return [cursor.fetchall() for cursor in cursors]

    def run(self, statement: Statement, **values: Any) -> int:
        return self._ask(*statement.given(values)).rowcount

    def run_many(self, statement: Statement, rows: Sequence[tuple[Any, ...]]) -> None:
        if rows:
            for text, values in postgres_bulk.portions(statement, storable_rows(rows)):
                self._held.append(((text or statement.text).encode(), values))

    def stream(self, statement: Statement, portion: int) -> Iterator[tuple[tuple[str, ...], list[tuple[Any, ...]]]]:
        self._ask(f"DECLARE streamed NO SCROLL CURSOR FOR {statement.text}")
        while True:
            found = self._ask(f"FETCH FORWARD {portion} FROM streamed")
            rows = found.fetchall()
            if not rows:
                break
            yield tuple(each.name for each in found.description or ()), rows
        self._ask("CLOSE streamed")

    def load(self, table: str, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
        text = f"COPY {table} ({', '.join(columns)}) FROM STDIN"
        try:
            self._send_held()
            with self._session.cursor().copy(text.encode()) as copy:
                for row in storable_rows(rows):
                    copy.write_row(row)
        except psycopg.Error as error:
            self._raise(error)

    def now(self) -> int:
        if self._now is None:
            self.rows_of_each()
        assert self._now is not None
        return self._now.fetchall()[0][0]

    def lock(self, keys: Sequence[str], *, at_once: bool) -> None:
        if at_once:
            self._ask(_LOCK, [list(keys)])
        else:
            self.hold(_LOCK, [list(keys)])

    def commit(self) -> str | None:
        """What the server says to it. Raises the driver's errors."""
        if not self._began and len(self._held) == 1:
            return "COMMIT"  # of nothing: the transaction has not begun yet
        return self._send("COMMIT").statusmessage

    def _ask(self, text: str, values: Sequence[Any] | None = None) -> psycopg.Cursor[tuple[Any, ...]]:
        try:
            return self._send(text, values)
        except psycopg.Error as error:
            self._raise(error)

    def _send(self, text: str, values: Sequence[Any] | None = None) -> psycopg.Cursor[tuple[Any, ...]]:
        if not self._held:
            return self._session.execute(text.encode(), values)
        with self._session.pipeline():
            self._send_held()
            return self._session.execute(text.encode(), values)

    def _send_held(self) -> None:
        held, self._held = self._held, []
        for text, rows in held:
            if len(rows) > 1:
                self._session.cursor().executemany(text, rows)
            else:
                self._session.execute(text, rows[0] if rows else None)
        if not self._began:
            self._began = True
            self._now = self._session.execute(_NOW)  # most want to know it, and now it costs no journey of its own


class _Hearing:
    """The connection on which a `wakes.Listener` hears of other processes' commits."""

    error = psycopg.Error

    def __init__(self, target: str, instance: str) -> None:
        self._target = target
        self._instance = instance
        self._session: Session | None = None
        self._payloads: list[str] = []

    def connect(self) -> None:
        self._session = connect(self._target, self._instance)
        self._session.add_notify_handler(lambda notify: self._payloads.append(notify.payload))
        self._session.execute(f"LISTEN {CHANNEL}")

    def fileno(self) -> int:
        assert self._session is not None
        return self._session.fileno()

    def heard(self) -> list[str]:
        """What has come since it was asked last. Raises when the server is not there any more."""
        assert self._session is not None
        self._session.execute("SELECT 1")
        payloads, self._payloads = self._payloads, []
        return payloads

    def close(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None


def _refuse_unfit(session: Session) -> None:
    version = session.info.server_version
    if version < OLDEST_SERVER:
        raise errors.StoreError(
            f"The store needs Postgres {OLDEST_SERVER // 10000} or newer, and this server is of version: "
            f"{version // 10000}"
        )
    encoding = session.execute(_ENCODING).fetchall()[0][0]
    if encoding != "UTF8":
        raise errors.StoreError(
            f"The store needs a database in UTF8, and this one is in: {encoding}",
            hint="make one with CREATE DATABASE penstock ENCODING 'UTF8' TEMPLATE template0",
        )


def _prepare(session: Session) -> None:
    """Make the tables of a new store. Of several processes that begin at once, one does."""
    if _has_tables(session):
        return
    with session.transaction():
        session.execute(_LOCK_SCHEMA)
        if _has_tables(session):
            return
        for statement in statements("schema", "postgres").values():
            session.execute(statement.text.encode())
        session.execute("INSERT INTO meta (name, value) VALUES ('schema_version', $1)", [str(SCHEMA_VERSION)])
        session.execute("INSERT INTO alembic_version (version_num) VALUES ($1)", [str(SCHEMA_VERSION)])


def _has_tables(session: Session) -> bool:
    return session.execute(_HAS_TABLES).fetchall()[0][0]


def _check_version(session: Session) -> None:
    version = _version(session)
    if version is None:
        raise errors.StoreError("There is no store in this database", hint="`penstock db upgrade` makes one")
    refuse_unless_current(version)


def _version(session: Session) -> int | None:
    """The version of the tables; None where there are none of ours."""
    found = session.execute(_VERSION).fetchall() if _has_tables(session) else []
    return int(found[0][0]) if found else None


def _version_now(connection: sqlalchemy.Connection) -> int:
    return int(connection.exec_driver_sql(_VERSION).scalar_one())


def _portions(topics: set[str]) -> list[str]:
    """Topics in texts that fit a notification each."""
    portions: list[str] = []
    text = ""
    for topic in sorted(topics):
        if len(text) + len(topic) >= MAX_NOTIFIED:
            portions.append(text)
            text = ""
        text = f"{text} {topic}" if text else topic
    return [*portions, text] if text else portions
