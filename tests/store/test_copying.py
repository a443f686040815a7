from __future__ import annotations

import pytest

from penstock import errors
from penstock.store import copying, tables
from penstock.store.sqlite import SqliteStore


def test_every_table_is_known_and_numbered_ones_have_a_sequence():
    assert {"meta", "journal_segment", "flow_run", "work"} <= set(tables.names())
    assert set(tables.counted()) == {"journal_segment", "task_run", "log", "artifact", "event"}


def test_what_is_there_already_makes_place_for_what_is_copied():
    with SqliteStore.in_memory() as source, SqliteStore.in_memory() as target:
        source.run(lambda tx: tx.meta.put("a", "1"))
        target.run(lambda tx: tx.meta.put("b", "1"))
        with source.reading() as tx, target.transaction() as into:
            assert copying.copy(tx, into)["meta"] == 2

        assert target.ask(lambda tx: (tx.meta.value("a"), tx.meta.value("b"))) == ("1", None)


def test_stores_of_different_versions_are_not_copied_into_each_other():
    with SqliteStore.in_memory() as source, SqliteStore.in_memory() as target:
        source.run(lambda tx: tx.meta.put("schema_version", "1"))
        with pytest.raises(errors.StoreError, match="schema 1 cannot"), source.reading() as tx:
            target.run(lambda into: copying.copy(tx, into))


def test_a_copy_that_lacks_rows_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tables.Tables, "load", lambda *_: None)
    with SqliteStore.in_memory() as source, SqliteStore.in_memory() as target, source.reading() as tx:
        with pytest.raises(errors.StoreError, match=r"rows of `meta` were copied, but 0 are there"):
            target.run(lambda into: copying.copy(tx, into))
        assert target.ask(lambda into: into.meta.value("schema_version")) is not None
