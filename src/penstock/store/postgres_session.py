"""Connections to Postgres, on which nothing is waited for without end."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, TypeVar

import psycopg
from psycopg import RawCursor, conninfo
from psycopg.abc import PQGen
from psycopg.pq import TransactionStatus
from psycopg.types.numeric import Int8Dumper

from penstock import errors, settings

V = TypeVar("V")

APPLICATION = "penstock"
CONNECT_SECONDS = 5

STATEMENT_SECONDS = 10
"""The server gives a statement up after this time."""

ANSWER_SECONDS = 12.0
"""A server that has not even said that much by then is not there any more."""

IDLE_SECONDS = 60
"""The server undoes a transaction whose client says nothing for so long, and with it frees its locks."""

# To compile a question of ours takes longer than to answer it. What is asked often is in memory, or on a disk without
# arms: then an index is the way even to many rows, where the default has Postgres read the whole table.
_SET_UP = f"""
SELECT set_config('statement_timeout', '{STATEMENT_SECONDS}s', FALSE),
       set_config('idle_in_transaction_session_timeout', '{IDLE_SECONDS}s', FALSE),
       set_config('tcp_keepalives_idle', '{IDLE_SECONDS}', FALSE),
       set_config('jit', 'off', FALSE),
       set_config('random_page_cost', '1.1', FALSE),
       set_config('client_min_messages', 'error', FALSE)
"""


class Session(psycopg.Connection[tuple[Any, ...]]):
    """A connection on which nothing is waited for without end, whatever became of the other side."""

    answer_seconds = ANSWER_SECONDS

    def wait(self, gen: PQGen[V], interval: float = 0.1, timeout: float | None = None) -> V:
        try:
            return super().wait(gen, interval, self.answer_seconds if timeout is None else timeout)
        except psycopg.OperationalError:
            if timeout is None and self.pgconn.transaction_status == TransactionStatus.ACTIVE:
                # No answer came, and none that comes later may be taken for that to another question.
                self.pgconn.finish()
            raise


def target(url: str) -> str:
    """The URL as the driver takes it. Raises `UsageError` for one that it does not take."""
    scheme, separator, rest = url.partition("://")
    if scheme not in _SCHEMES or not separator:
        raise errors.UsageError(
            f"This is not the URL of a Postgres database: `{settings.shown('database_url', url)}`",
            hint="it looks like postgresql://user:password@host:5432/name",
        )
    plain = f"postgresql://{rest}"
    try:
        conninfo.conninfo_to_dict(plain)
    except psycopg.ProgrammingError:
        raise errors.UsageError(
            f"This URL of a database cannot be read: `{settings.shown('database_url', url)}`",
            hint="it looks like postgresql://user:password@host:5432/name, with %XX for special characters",
        ) from None  # what the driver says may hold the password
    return plain


_SCHEMES = frozenset({"postgresql", "postgres", "postgresql+psycopg"})


def options(instance: str) -> dict[str, Any]:
    return {
        "autocommit": True,  # transactions begin and end where this module says so
        "cursor_factory": RawCursor,
        "connect_timeout": CONNECT_SECONDS,
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 2,
        "application_name": f"{APPLICATION} {instance}",
    }


def connect(target: str, instance: str) -> Session:
    session = Session.connect(target, **options(instance))
    try:
        set_up(session)
    except BaseException:
        session.close()
        raise
    return session


def set_up(session: Session) -> None:
    # Always as eight bytes: a statement is prepared once for each combination of the types of its values.
    session.adapters.register_dumper(int, Int8Dumper)
    session.adapters.register_dumper(bool, _TruthDumper)
    session.execute(_SET_UP.encode())


class _TruthDumper(Int8Dumper):
    """Truth is 1 or 0, as in SQLite."""

    def dump(self, obj: Any) -> bytes:
        return b"1" if obj else b"0"


def roll_back(session: Session) -> None:
    """Undo what the transaction did. A session in which a statement failed is not used again.

    What was sent together with that statement the driver may take for prepared, and the server does not know it.
    """
    with suppress(psycopg.Error):
        if session.pgconn.transaction_status == TransactionStatus.INERROR:
            session.close()
        elif session.pgconn.transaction_status == TransactionStatus.INTRANS:
            session.execute("ROLLBACK")


def connect_plainly(target: str) -> psycopg.Connection[Any]:
    """A connection as SQLAlchemy wants it."""
    return psycopg.connect(target, connect_timeout=CONNECT_SECONDS, application_name=APPLICATION)
