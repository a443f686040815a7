"""Copy everything that a store holds into another one, whatever databases they are in."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from penstock import errors
from penstock.store import tables
from penstock.store.interface import Transaction

Tell = Callable[[str, int], object]
"""Called with a table and how many of its rows are copied by now."""


def copy(source: Transaction, target: Transaction, tell: Tell = lambda *_: None) -> dict[str, int]:
    """Put all rows of ``source`` into the place of those of ``target``; says how many, by table.

    Both must be of the same version. Nothing is kept unless all of it is, and is there in full.
    """
    _refuse_other_version(source, target)
    copied: dict[str, int] = {}
    for table in tables.names():
        target.tables.empty(table)
        copied[table] = 0
        for columns, rows in source.tables.rows(table):
            target.tables.load(table, columns, rows)
            copied[table] += len(rows)
            tell(table, copied[table])
    for table in tables.counted():
        target.tables.count_on_from(table, source.tables.counter(table))
    _refuse_losses(copied, target)
    return copied


def is_empty(tx: Transaction) -> bool:
    """Whether nothing has ever been put into a store."""
    at_first = tables.at_first()
    asked = (table for table in tables.names() if table not in tables.OF_THE_STORE)
    return not any(tx.tables.has_more_than(table, at_first[table]) for table in asked)


def _refuse_other_version(source: Transaction, target: Transaction) -> None:
    theirs, ours = source.meta.value("schema_version"), target.meta.value("schema_version")
    if theirs != ours:
        raise errors.StoreError(f"A store of schema {theirs} cannot be copied into one of schema {ours}")


def _refuse_losses(copied: Mapping[str, int], target: Transaction) -> None:
    for table, count in copied.items():
        there = target.tables.count(table)
        if there != count:
            raise errors.StoreError(f"{count} rows of `{table}` were copied, but {there} are there")
