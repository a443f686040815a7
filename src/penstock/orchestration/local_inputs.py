"""Inputs that somebody has given in this home, for runs that have no server to ask."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from penstock import errors
from penstock.store.sqlite import SqliteStore
from penstock.store.sqlite_connections import UnfinishedStore


def given_here(store_path: Path, run_id: str, key: str, round: int) -> tuple[dict[str, Any], str] | None:  # noqa: A002  as the record calls it
    """What was given at a pause, and by whom; None if nothing was by now."""
    if not store_path.exists():
        return None
    try:
        with SqliteStore.open(store_path, write=False) as store, store.reading() as tx:
            found = tx.run_inputs.rows(run_id, [key])
    except (UnfinishedStore, errors.OutdatedStore, errors.IncompatibleHome, errors.StoreBusy):
        return None  # who writes the store next says so
    for row in found:
        if row.given_at is not None and row.round == round:
            return row.given(), row.given_by or ""
    return None
