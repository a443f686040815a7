"""Which database a store is in, as the settings say: a Postgres server's, or a file of SQLite's in the home."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock import errors
from penstock.clock import Clock
from penstock.settings import Settings
from penstock.store.interface import Store
from penstock.store.sqlite import SqliteStore

if TYPE_CHECKING:
    from penstock.store.postgres import PostgresStore


def open_store(
    settings: Settings,
    clock: Clock,
    *,
    write: bool,
    wait: bool = True,
    upgrade: bool = False,
    purpose: str = "penstock",
    connections: int = 20,
) -> Store:
    """Open the store of the settings; with ``write``, making it when there is none.

    In SQLite, whoever writes is the only one: raises `StoreBusy` when another process is that already
    and ``wait`` is False, and tells others the ``purpose``. Tables of an older version are brought up
    to date, and a copy from before is kept. In Postgres any number write, and ``upgrade`` says
    whether that is to be done.
    Raises `IncompatibleHome` when a newer version wrote it, `OutdatedStore` when it must be upgraded
    first, `StoreUnreachable` when a server does not answer, `StoreError` for all else that is wrong.
    """
    if settings.postgres_url is None:
        return SqliteStore.open(settings.store, write=write, wait=wait, purpose=purpose, clock=clock)
    return open_postgres(settings.postgres_url, clock, write=write, upgrade=upgrade, connections=connections)


def open_postgres(
    url: str, clock: Clock, *, write: bool, upgrade: bool = False, connections: int = 20
) -> PostgresStore:
    """Open the store in a Postgres database. Raises `UsageError` where the driver is not installed."""
    try:
        from penstock.store.postgres import PostgresStore  # noqa: PLC0415  most stores are in SQLite
    except ImportError as error:
        raise errors.UsageError(
            f"The store is in Postgres, whose driver is not installed ({error})",
            hint="pip install 'penstock[postgres]'",
        ) from error
    return PostgresStore.open(url, write=write, upgrade=upgrade, clock=clock, connections=connections)
