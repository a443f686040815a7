"""Stores of older versions are brought up to date: with all that is in them, and to the tables of a new store."""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from penstock import errors
from penstock.store import sql, upgrading
from penstock.store.interface import SCHEMA_VERSION, Store
from penstock.store.rows import pack
from penstock.store.sqlite import SqliteStore

FIRST = Path(__file__).with_name("schema_1.sql")
"""The tables of the first version, which no later one changes."""

FORGOTTEN = (
    "A change of queries/schema.sql must also be made in the newest file of store/migrations/versions"
    " (or in a new one, once that version was released, with SCHEMA_VERSION raised)"
)

ROWS = [
    ("meta", {"name": "schema_version", "value": "1"}),
    ("meta", {"name": "checked_at", "value": "7"}),
    ("flow", {"name": "etl", "runs": 1}),
    (
        "flow_run",
        dict.fromkeys("name flow_version entrypoint code_version source description".split(), "x")
        | {"id": "run-1", "root_run_id": "run-1", "flow_name": "etl", "state_type": "COMPLETED", "state_name": "Done"}
        | {"created_at": 1, "ended_at": 2, "attempt": 1, "run_count": 1, "tags": "[]", "crashes": 0, "clock": 2}
        | dict.fromkeys("began_attempt began_clock lost_attempt progress_attempt".split(), 0)
        | {"parameters": pack({"day": 1})},
    ),
    ("log", {"at": 1, "flow_run_id": "run-1", "level": 20, "logger": "log", "message": "hello"}),
    ("event", {"at": 1, "event": "e", "run_id": "run-1", "resource": pack({}), "payload": pack({"n": 1})}),
    (
        "journal_segment",
        {"run_id": "run-1", "attempt": 1, "writer": "main", "start_offset": 0, "end_offset": 3, "frames": b"abc"},
    ),
]


def make_first(execute: Callable[[str, list[Any]], object], dialect: str) -> None:
    """A store as the first version left it."""
    for statement in sql.read(FIRST, dialect, is_schema=True).values():
        execute(statement.text, [])
    for table, row in ROWS:
        marks = ["?" if dialect == "sqlite" else f"${number}" for number in range(1, len(row) + 1)]
        execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({', '.join(marks)})", list(row.values()))


def make_first_sqlite(path: Path) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    make_first(connection.execute, "sqlite")
    connection.close()


def make_first_postgres(url: str) -> None:
    import psycopg

    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        cursor = psycopg.RawCursor(connection)
        make_first(lambda text, values: cursor.execute(text.encode(), values or None), "postgres")


def check_contents(store: Store) -> None:
    with store.transaction() as tx:
        assert (tx.meta.value("schema_version"), tx.meta.value("checked_at")) == (str(SCHEMA_VERSION), "7")
        run = tx.flow_runs.row("run-1")
        assert run is not None
        assert (run.view().parameters, run.ended_at, run.fence, run.due_at) == ({"day": 1}, 2, 0, None)
        assert [entry.message for entry in tx.logs.page(["run-1"], limit=9)] == ["hello"]
        assert [event.payload for event in tx.events.page(limit=9)] == [{"n": 1}]
        assert [tx.journals.frames(each) for each in tx.journals.segments("run-1")] == [b"abc"]
        assert tx.flow_runs.run_counts() == {"etl": 1}
        tx.flow_runs.save([run])


def sqlite_tables(path: Path) -> dict[str, Any]:
    """What SQLite knows of a store's tables, whatever the order in which it came to be."""
    connection = sqlite3.connect(path)
    found: dict[str, Any] = {}
    for kind, name, text in connection.execute("SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL"):
        if kind == "index":
            found[name] = " ".join(text.split())
        elif name != "alembic_version":  # which is Alembic's, in its words
            columns = connection.execute(f"PRAGMA table_xinfo({name})").fetchall()
            found[name] = (columns, sorted(parts_of(text)))
    connection.close()
    return found


def parts_of(text: str) -> list[str]:
    """Columns and constraints out of a CREATE TABLE."""
    parts, depth = [""], 0
    for character in text[text.index("(") + 1 : text.rindex(")")]:
        depth += {"(": 1, ")": -1}.get(character, 0)
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [re.sub(r"\s+", " ", part).strip() for part in parts]


def postgres_tables(url: str) -> list[Any]:
    import psycopg

    questions = (
        """
        SELECT table_name, ordinal_position, column_name, data_type, collation_name, is_nullable, column_default,
               is_identity
          FROM information_schema.columns
         WHERE table_schema = 'public' AND table_name <> 'alembic_version'
        """,
        """
        SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid)
          FROM pg_constraint
         WHERE connamespace = 'public'::regnamespace
        """,
        "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'",
    )
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        return [sorted(map(repr, connection.execute(question).fetchall())) for question in questions]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "penstock.db"
    make_first_sqlite(path)
    return path


@pytest.fixture
def first_url(postgres_url: str) -> str:
    make_first_postgres(postgres_url)
    return postgres_url


def test_a_store_in_sqlite_is_upgraded_by_whoever_writes_it_and_the_old_one_is_kept_beside(path: Path):
    with SqliteStore.open(path, write=True) as store:
        check_contents(store)

    kept = sqlite3.connect(path.with_name("penstock.db.schema-1"))
    assert kept.execute("SELECT value FROM meta WHERE name = 'schema_version'").fetchone() == ("1",)
    assert kept.execute("SELECT message FROM log").fetchone() == ("hello",)
    kept.close()
    assert sorted(each.name for each in path.parent.iterdir()) == [
        "penstock.db",
        "penstock.db.lock",
        "penstock.db.schema-1",
    ]


def test_an_upgraded_store_in_sqlite_has_the_tables_of_a_new_one(path: Path, tmp_path: Path):
    SqliteStore.open(path, write=True).close()
    SqliteStore.open(tmp_path / "new.db", write=True).close()

    assert sqlite_tables(path) == sqlite_tables(tmp_path / "new.db"), FORGOTTEN


def test_who_only_reads_an_old_store_is_told_what_to_do(path: Path):
    with pytest.raises(errors.OutdatedStore, match="penstock db upgrade"):
        SqliteStore.open(path, write=False)


def test_an_upgrade_that_fails_leaves_the_store_as_it_was(path: Path, monkeypatch: pytest.MonkeyPatch):
    read = upgrading.read

    def with_a_fault(*arguments: Any, **options: Any) -> dict[str, sql.Statement]:
        found = read(*arguments, **options)
        return {**found, "fault": sql.Statement("fault", ["CREATE TABLE meta (x TEXT)"])}

    monkeypatch.setattr(upgrading, "read", with_a_fault)
    before = sqlite_tables(path)
    with pytest.raises(errors.StoreError, match="already exists"):
        SqliteStore.open(path, write=True)
    assert sqlite_tables(path) == before
    monkeypatch.undo()

    with SqliteStore.open(path, write=True) as store:
        check_contents(store)


KILLED = """
    import os, signal, sys
    from pathlib import Path
    from penstock.store import upgrading
    left = int(sys.argv[2])

    class Counted(dict):
        def values(self):
            global left
            for value in super().values():
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                left -= 1
                yield value

    read = upgrading.read
    upgrading.read = lambda *arguments, **options: Counted(read(*arguments, **options))
    if sys.argv[1].startswith("postgres"):
        from penstock.store.postgres import PostgresStore
        PostgresStore.open(sys.argv[1], write=True, upgrade=True).close()
    else:
        from penstock.store.sqlite import SqliteStore
        SqliteStore.open(Path(sys.argv[1]), write=True).close()
"""


def killed_after(target: str, statements: int) -> None:
    line = [sys.executable, "-c", textwrap.dedent(KILLED), target, str(statements)]
    assert subprocess.run(line, check=False).returncode == -signal.SIGKILL


@pytest.mark.slow
@pytest.mark.parametrize("statements", [0, 1, 7, 20])
def test_who_is_killed_while_upgrading_sqlite_leaves_the_old_store(path: Path, statements: int):
    before = sqlite_tables(path)
    killed_after(str(path), statements)

    assert sqlite_tables(path) == before
    with SqliteStore.open(path, write=True) as store:
        check_contents(store)


@pytest.mark.slow
@pytest.mark.parametrize("statements", [0, 1, 20])
def test_who_is_killed_while_upgrading_postgres_leaves_the_old_store(first_url: str, statements: int):
    before = postgres_tables(first_url)
    killed_after(first_url, statements)

    assert postgres_tables(first_url) == before
    with open_postgres(first_url, upgrade=True) as store:
        check_contents(store)


def open_postgres(url: str, *, upgrade: bool = False) -> Store:
    from penstock.store.postgres import PostgresStore

    return PostgresStore.open(url, write=True, upgrade=upgrade)


def test_a_store_in_postgres_is_upgraded_only_when_that_is_asked_for(first_url: str):
    with pytest.raises(errors.OutdatedStore, match="penstock db upgrade"):
        open_postgres(first_url)
    with open_postgres(first_url, upgrade=True) as store:
        check_contents(store)
    open_postgres(first_url).close()


def test_an_upgraded_store_in_postgres_has_the_tables_of_a_new_one(first_url: str, postgres: Any):
    new = postgres.new_database()
    open_postgres(new).close()
    open_postgres(first_url, upgrade=True).close()

    assert postgres_tables(first_url) == postgres_tables(new), FORGOTTEN


def test_of_several_servers_that_begin_at_once_one_upgrades(first_url: str):
    def begin(_: int) -> None:
        open_postgres(first_url, upgrade=True).close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(begin, range(4)))
    with open_postgres(first_url) as store:
        check_contents(store)


def test_a_backup_of_an_older_version_can_be_restored(tmp_path: Path, path: Path, postgres_url: str):
    before = path.read_bytes()
    with SqliteStore.open(tmp_path / "other.db", write=True) as store:
        store.restore_from(path)
        check_contents(store)
    with open_postgres(postgres_url) as store:
        store.restore_from(path)
        check_contents(store)

    assert path.read_bytes() == before
    assert not [each for each in os.listdir(tmp_path) if each.startswith(".penstock")]


def test_what_upgrades_is_imported_only_when_an_upgrade_is_due(tmp_path: Path):
    script = """
        import sys
        from pathlib import Path
        from penstock.store.sqlite import SqliteStore
        SqliteStore.open(Path(sys.argv[1]), write=True).close()
        SqliteStore.open(Path(sys.argv[1]), write=True).close()
        print("alembic" in sys.modules, "sqlalchemy" in sys.modules)
    """
    line = [sys.executable, "-c", textwrap.dedent(script), str(tmp_path / "new.db")]
    assert subprocess.run(line, capture_output=True, text=True, check=True).stdout == "False False\n"
