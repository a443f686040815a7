"""What the Postgres driver raises, told as Penstock's errors."""

from __future__ import annotations

import psycopg
from psycopg import errors as faults
from psycopg_pool import PoolClosed, PoolTimeout

from penstock import errors
from penstock.store.postgres_session import STATEMENT_SECONDS

POOL_SECONDS = 6.0
"""How long to wait for a free connection, or for a new one."""


def as_ours(error: psycopg.Error, url: str) -> errors.PenstockError:
    why = _reason(error)
    if isinstance(error, PoolClosed):
        return errors.StoreError(f"The store is closed: `{url}`")
    if isinstance(error, _CONFLICTS):
        is_unprepared = isinstance(error, faults.InvalidSqlStatementName)
        what = (
            "The connection has lost what was prepared on it" if is_unprepared else "Another transaction was in the way"
        )
        return errors.TransactionConflict(f"{what} ({why}): `{url}`")
    if isinstance(error, faults.QueryCanceled):
        return errors.StoreBusy(
            f"The database has not answered within {STATEMENT_SECONDS} s ({why}): `{url}`",
            hint="it is overloaded, or another transaction holds what was asked for; try again",
        )
    if isinstance(error, faults.DiskFull):
        return errors.StorageFull(
            f"The database's disk is full, so the store cannot be written: `{url}`",
            hint="free some space; runs go on, and nothing that is in their journals is lost",
        )
    if isinstance(error, PoolTimeout):
        why = f"no connection to it was free, or could be made, within {POOL_SECONDS:g} s"
    if isinstance(error, _REFUSED) or (error.sqlstate is None and any(each in why for each in _REFUSALS)):
        return errors.StoreError(
            f"The database does not let us in, or not do this ({why}): `{url}`",
            hint="check the user, the password and the database's name, and what that user may do there",
        )
    if isinstance(error, psycopg.IntegrityError | psycopg.DataError):
        return errors.ImpossibleValue(f"The database does not take this ({why}): `{url}`")
    if is_lost(error):
        return errors.StoreUnreachable(
            f"The database does not answer ({why}): `{url}`",
            hint="check that it is running and can be reached from here; runs go on meanwhile",
        )
    return errors.StoreError(f"The store cannot be used ({why}): `{url}`")


_CONFLICTS = (
    faults.SerializationFailure,
    faults.DeadlockDetected,
    faults.LockNotAvailable,
    faults.InvalidSqlStatementName,
)
_REFUSED = (
    faults.InvalidPassword,
    faults.InvalidAuthorizationSpecification,
    faults.InvalidCatalogName,
    faults.InsufficientPrivilege,
)
_REFUSALS = ("password authentication failed", "no password supplied", "no pg_hba.conf entry", "does not exist")
"""What the driver says, without a code, of a connection that the server has refused."""

_LOST: frozenset[str] = frozenset({"57P01", "57P02", "57P03", "57P05", "53300", "25006", "25P03"})
"""The server is told to stop, starts, has no connection left, takes no writes, or gave us up."""


def is_lost(error: psycopg.Error) -> bool:
    if not isinstance(error, psycopg.OperationalError | psycopg.InternalError | psycopg.InterfaceError):
        return False
    code = error.sqlstate
    return code is None or code.startswith("08") or code in _LOST


def _reason(error: psycopg.Error) -> str:
    """The first line of what the driver says, which does not name the password."""
    said = error.diag.message_primary or str(error)
    return next((line.strip() for line in said.splitlines() if line.strip()), type(error).__name__)
