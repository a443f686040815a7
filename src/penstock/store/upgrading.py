"""Bring the tables of an older version up to date.

Alembic runs what lies in ``migrations/versions``: for each version a file of SQL in the form of
``queries/schema.sql``, and a module that names it. A store knows its version twice: in ``meta``, for
us, and in ``alembic_version``, for Alembic; the first version had only the former. All that is due
happens in one transaction, so that whoever is interrupted leaves the old tables or the new ones.

A change adds tables, indexes and columns with a default, and takes nothing away: servers of the
version before go on while those of this one start.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from penstock import errors
from penstock.store.interface import SCHEMA_VERSION
from penstock.store.sql import read

if TYPE_CHECKING:
    from sqlalchemy import Connection

MIGRATIONS = Path(__file__).parent / "migrations"


def refuse_unless_current(version: int) -> None:
    """Raise `IncompatibleHome` for a newer version of the tables, `OutdatedStore` for an older one."""
    if version > SCHEMA_VERSION:
        raise errors.IncompatibleHome(
            f"A newer version of Penstock wrote this store: its schema is {version}, known is {SCHEMA_VERSION}",
            hint="upgrade Penstock, or let PENSTOCK_HOME or PENSTOCK_DATABASE_URL name another store",
        )
    if version < SCHEMA_VERSION:
        raise errors.OutdatedStore(
            f"An older version of Penstock made this store: its schema is {version}, needed is {SCHEMA_VERSION}",
            hint="`penstock db upgrade` brings it up to date",
        )


def upgrade_sqlite(connect: Callable[[], Any]) -> None:
    """Upgrade the database that ``connect()`` connects to. Nobody else may be writing it."""
    import sqlalchemy  # noqa: PLC0415  takes long to import, and is needed once in a version
    from sqlalchemy import event  # noqa: PLC0415  as above

    engine = sqlalchemy.create_engine("sqlite://", creator=connect, poolclass=sqlalchemy.NullPool)
    # The driver would begin a transaction with the first row that is changed, and make tables outside of it.
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    _upgrade(engine, lambda _: True)


def upgrade_postgres(connect: Callable[[], Any], lock: str, version: Callable[[Connection], int]) -> None:
    """The same in Postgres. ``lock`` is SQL that waits for others who do this; they may have done it by then."""
    import sqlalchemy  # noqa: PLC0415  takes long to import, and is needed once in a version

    def is_due(connection: Connection) -> bool:
        connection.exec_driver_sql(lock)
        return version(connection) < SCHEMA_VERSION

    _upgrade(sqlalchemy.create_engine("postgresql+psycopg://", creator=connect, poolclass=sqlalchemy.NullPool), is_due)


def run_file(name: str) -> None:
    """Within a migration: execute the statements of a file, in the dialect of the database at hand."""
    from alembic import op  # noqa: PLC0415  is there only while Alembic runs
    from sqlalchemy import text  # noqa: PLC0415  as above

    dialect = "sqlite" if op.get_bind().dialect.name == "sqlite" else "postgres"
    for statement in read(MIGRATIONS / "versions" / name, dialect, is_schema=True).values():
        op.execute(text(statement.text))


def _upgrade(engine: Any, is_due: Callable[[Connection], bool]) -> None:
    from alembic import command  # noqa: PLC0415  takes long to import, and is needed once in a version
    from alembic.config import Config  # noqa: PLC0415  as above
    from sqlalchemy.exc import DBAPIError  # noqa: PLC0415  as above

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    try:
        with engine.begin() as connection:
            if is_due(connection):
                config.attributes["connection"] = connection
                command.upgrade(config, str(SCHEMA_VERSION))
    except DBAPIError as error:
        # The driver's own error, which each store tells in its words.
        raise (error.orig or error) from error
    finally:
        engine.dispose()
