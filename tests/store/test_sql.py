from __future__ import annotations

from collections.abc import Iterator

import pytest
from msgspec.structs import fields

from penstock.store import sql
from penstock.store.rows import ArtifactRow, CursorRow, EventRow, FlowRow, LogRow, TaskRow
from penstock.store.sql import Statement
from penstock.store.sqlite import SqliteStore


def every_statement() -> Iterator[tuple[str, Statement]]:
    for noun in sql.nouns():
        for name, statement in sql.statements(noun).items():
            yield f"{noun}.{name}", statement


def test_every_query_is_sql_that_sqlite_understands_with_all_conditions_and_with_none():
    with SqliteStore.in_memory() as store:
        for name, statement in every_statement():
            if name.startswith("schema."):
                continue
            for values in (dict.fromkeys(statement.names, 1), dict.fromkeys(statement.names)):
                text, given = statement.given(values)
                store._usable_writer().execute(f"EXPLAIN {text}", given)


def test_every_query_says_what_it_does():
    for noun in sql.nouns():
        text = (sql._FOLDER / f"{noun}.sql").read_text("utf-8")
        for name, body in sql._blocks(text):
            assert noun == "schema" or body.startswith("-- "), f"{noun}.{name}"


@pytest.mark.parametrize(
    ("table", "row", "hidden"),
    [
        ("flow_run", FlowRow, []),
        ("task_run", TaskRow, ["sequence"]),
        ("artifact", ArtifactRow, ["sequence"]),
        ("journal_cursor", CursorRow, []),
        ("log", LogRow, ["sequence"]),
        ("event", EventRow, ["sequence"]),
    ],
)
def test_rows_have_the_columns_of_their_tables_in_their_order(table: str, row: type, hidden: list[str]):
    with SqliteStore.in_memory() as store:
        columns = [each[1] for each in store._usable_writer().execute(f"PRAGMA table_info({table})")]

    names = list(row._fields) if hasattr(row, "_fields") else [each.name for each in fields(row)]
    assert columns == hidden + names


def test_saving_names_the_columns_in_the_order_of_the_rows():
    for noun, row in (("flow_runs", FlowRow), ("task_runs", TaskRow), ("artifacts", ArtifactRow)):
        assert sql.statements(noun)["save"].names == tuple(each.name for each in fields(row))
    assert sql.statements("journals")["save_cursor"].names == tuple(each.name for each in fields(CursorRow))


def test_a_line_with_a_condition_is_there_only_when_its_value_is():
    statement = Statement("x", ["SELECT 1", " WHERE a = :a", "   AND b = :b   -- when :b is given"])

    assert statement.given({"a": 1, "b": None}) == ("SELECT 1\n WHERE a = ?", [1])
    assert statement.given({"a": None, "b": 2}) == ("SELECT 1\n WHERE a = ?\n   AND b = ?", [None, 2])


def test_a_tuple_stands_for_as_many_values():
    statement = Statement("x", ["SELECT 1 WHERE a IN (:ids) AND b = :b"])

    assert statement.given({"ids": ("x", "y"), "b": 3}) == ("SELECT 1 WHERE a IN (?, ?) AND b = ?", ["x", "y", 3])
    assert statement.given({"ids": ("x",), "b": 3}) == ("SELECT 1 WHERE a IN (?) AND b = ?", ["x", 3])


def test_what_differs_in_postgres_is_a_marked_comment():
    body = "SELECT BLOB /*postgres BYTEA */ FROM x\n LIMIT 1 /*postgres 1 FOR UPDATE SKIP LOCKED*/\n"

    assert sql._code(body, "sqlite") == ["SELECT BLOB FROM x", " LIMIT 1"]
    assert sql._code(body, "postgres") == ["SELECT BYTEA  FROM x", " LIMIT 1 FOR UPDATE SKIP LOCKED"]
