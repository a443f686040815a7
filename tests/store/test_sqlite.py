from __future__ import annotations

import errno
import os
import re
import sqlite3
import stat
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from penstock import errors
from penstock.clock import SYSTEM
from penstock.store import lock, sqlite, sqlite_connections, sqlite_errors, sqlite_files
from penstock.store.interface import SCHEMA_VERSION
from penstock.store.salvaging import Damaged, Gap
from penstock.store.sqlite import SqliteStore
from penstock.store.sqlite_connections import lock_path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "penstock.db"


def put(store: SqliteStore, name: str, value: str) -> None:
    with store.transaction() as tx:
        tx.meta.put(name, value)


def value(store: SqliteStore, name: str) -> str | None:
    with store.reading() as tx:
        return tx.meta.value(name)


def test_a_store_is_made_for_its_owner_alone_whatever_the_umask(path: Path):
    before = os.umask(0o000)
    try:
        with SqliteStore.open(path, write=True) as store:
            put(store, "a", "1")
            modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()}
    finally:
        os.umask(before)

    assert modes["penstock.db"] == modes["penstock.db-wal"] == modes["penstock.db.lock"] == 0o600


def test_what_is_committed_survives_and_is_synced_before_it_is_acknowledged(path: Path):
    with SqliteStore.open(path, write=True) as store:
        put(store, "a", "1")
        assert store._usable_writer().execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert store._usable_writer().execute("PRAGMA synchronous").fetchone() == (2,)

    with SqliteStore.open(path, write=False) as store:
        assert value(store, "a") == "1"
        assert not store.is_writer


def test_only_one_process_writes_a_store(path: Path):
    with SqliteStore.open(path, write=True, purpose="server") as store:
        assert store.is_writer
        with pytest.raises(errors.StoreBusy, match=rf"process {os.getpid()} \(server\)"):
            SqliteStore.open(path, write=True, wait=False)
        script = f"""
            from pathlib import Path
            from penstock import errors
            from penstock.store.sqlite import SqliteStore
            try:
                SqliteStore.open(Path({str(path)!r}), write=True, wait=False)
            except errors.StoreBusy:
                print("busy")
            with SqliteStore.open(Path({str(path)!r}), write=False) as store, store.reading() as tx:
                print(tx.meta.value("schema_version"))
        """
        ran = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=True
        )
    assert ran.stdout.split() == ["busy", str(SCHEMA_VERSION)]

    SqliteStore.open(path, write=True, wait=False).close()


def test_a_lock_whose_holder_was_forked_is_free_once_the_holder_lets_go(path: Path):
    lock_file = lock.WriterLock(lock_path(path), "test", wait=True)
    copy = os.dup(lock_file._descriptor)
    lock_file.release()
    lock_file.release()

    lock.WriterLock(lock_path(path), "test", wait=False).release()
    os.close(copy)


def test_a_lock_that_tells_nothing_is_held_by_another_process(path: Path):
    assert lock.holder(path) == ("", "")
    assert "by another process" in lock.busy(path).message


def test_a_transaction_that_raises_leaves_nothing(path: Path):
    with SqliteStore.open(path, write=True) as store:
        with pytest.raises(ZeroDivisionError), store.transaction() as tx:
            tx.meta.put("a", "1")
            _ = 1 / 0
        assert value(store, "a") is None


def test_a_transaction_within_a_transaction_is_refused(path: Path):
    with SqliteStore.in_memory() as store, store.transaction() as tx:
        tx.meta.put("a", "1")
        with pytest.raises(errors.StoreError, match="within another"), store.transaction():
            pass


def test_a_reader_sees_the_store_as_it_was_at_its_first_question(path: Path):
    with SqliteStore.open(path, write=True) as store:
        put(store, "a", "1")
        with store.reading() as tx:
            assert tx.meta.value("a") == "1"
            put(store, "a", "2")
            assert tx.meta.value("a") == "1"
            with store.reading() as other:
                assert other.meta.value("a") == "2"
        assert value(store, "a") == "2"


def test_a_store_that_is_only_read_cannot_be_written(path: Path):
    SqliteStore.open(path, write=True).close()

    with SqliteStore.open(path, write=False) as store:
        with pytest.raises(errors.StoreError, match="not open to be written"):
            put(store, "a", "1")
        with pytest.raises(errors.StoreError, match="cannot be opened or written"), store.reading() as tx:
            tx.meta.put("a", "1")


def test_a_closed_store_answers_no_more(path: Path):
    with SqliteStore.open(path, write=True) as store, store.reading() as tx:
        assert tx.meta.value("a") is None
        store.close()

    store.close()
    with pytest.raises(errors.StoreError, match="closed"), store.reading():
        pass
    with pytest.raises(errors.StoreError, match="not open"), store.transaction():
        pass


def test_a_store_of_a_newer_version_is_refused(path: Path):
    with SqliteStore.open(path, write=True) as store:
        put(store, "schema_version", str(SCHEMA_VERSION + 1))

    for write in (True, False):
        with pytest.raises(errors.IncompatibleHome, match="newer version"):
            SqliteStore.open(path, write=write)
    lock.WriterLock(lock_path(path), "test", wait=False).release()


def test_there_must_be_a_store_to_read(path: Path):
    with pytest.raises(errors.StoreError, match="There is no store"):
        SqliteStore.open(path, write=False)


def test_a_store_that_is_still_being_made_cannot_be_read(path: Path):
    path.touch()

    with pytest.raises(errors.StoreError, match="still being made"):
        SqliteStore.open(path, write=False)


def test_making_the_tables_leaves_nothing_half_made(path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sqlite_connections, "SCHEMA_VERSION", object())
    known = sqlite_connections.statements("schema")
    broken = {**known, "broken": sqlite.Statement("broken", ["CREATE TABLE meta (x)"])}
    monkeypatch.setattr(sqlite_connections, "statements", lambda _: broken)
    with pytest.raises(errors.StoreError, match="already exists"):
        SqliteStore.open(path, write=True)
    monkeypatch.undo()

    SqliteStore.open(path, write=True).close()


def test_a_full_disk_is_told_and_writing_goes_on_when_there_is_room(path: Path):
    with SqliteStore.open(path, write=True) as store:
        store._usable_writer().execute("PRAGMA max_page_count = 1")  # as large as it is now
        with pytest.raises(errors.StorageFull, match="disk is full"):
            put(store, "a", "x" * 1_000_000)
        store._usable_writer().execute("PRAGMA max_page_count = 100000")

        put(store, "a", "1")
        assert value(store, "a") == "1"


def test_a_damaged_store_is_told_with_what_to_do(path: Path):
    path.write_bytes(b"SQLite format 3\0" + os.urandom(8192))

    for write in (True, False):
        with pytest.raises(errors.StoreError, match="damaged") as caught:
            SqliteStore.open(path, write=write)
        assert "penstock db rebuild" in str(caught.value)


def test_after_a_failed_write_nothing_is_acknowledged_any_more(path: Path):
    class Failed(sqlite3.OperationalError):
        sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC

    with SqliteStore.open(path, write=True) as store:
        with pytest.raises(errors.StoreError, match="disk I/O error"), store.transaction():
            raise Failed("disk I/O error")

        with pytest.raises(errors.StoreError, match="not used any more"):
            put(store, "a", "1")


@pytest.mark.parametrize(
    ("code", "kind", "text"),
    [
        (sqlite3.SQLITE_BUSY_SNAPSHOT, errors.StoreBusy, "Another process is using the store"),
        (sqlite3.SQLITE_LOCKED, errors.StoreBusy, "Another process is using the store"),
        (sqlite3.SQLITE_READONLY_DIRECTORY, errors.StoreError, "cannot be opened or written"),
        (sqlite3.SQLITE_CORRUPT, errors.StoreError, "damaged"),
        (sqlite3.SQLITE_TOOBIG, errors.StoreError, "cannot be used"),
    ],
)
def test_each_fault_of_sqlite_has_its_error(path: Path, code: int, kind: type[errors.PenstockError], text: str):
    error = sqlite3.OperationalError("why")
    error.sqlite_errorcode = code

    with pytest.raises(kind, match=text), sqlite_errors.told(path):
        raise error


def test_faults_within_a_statement_are_told_as_well(path: Path):
    with SqliteStore.in_memory() as store, store.reading() as tx:
        connection = tx.meta._connection
        wrong = sqlite.Statement("wrong", ["SELECT x FROM nowhere"])
        for call in (connection.rows, connection.run, lambda each: connection.run_many(each, [()])):
            with pytest.raises(errors.StoreError, match="no such table"):
                call(wrong)


def test_a_backup_can_be_made_while_the_store_is_written_and_be_restored(path: Path, tmp_path: Path):
    copy = tmp_path / "copy.db"
    with SqliteStore.open(path, write=True) as store:
        put(store, "a", "1")
        with store.transaction() as tx:
            tx.meta.put("a", "2")
            store.backup_to(copy)
        assert stat.S_IMODE(copy.stat().st_mode) == 0o600
        assert value(store, "a") == "2"
        with store.reading() as tx:
            store.restore_from(copy)
        assert value(store, "a") == "1"
        put(store, "a", "3")
        assert store._usable_writer().execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert store.check() == []


def test_a_store_in_memory_can_be_backed_up_and_checked(tmp_path: Path):
    with SqliteStore.in_memory() as store:
        put(store, "a", "1")
        store.backup_to(tmp_path / "copy.db")
        assert store.check() == []

    with SqliteStore.open(tmp_path / "copy.db", write=False) as found:
        assert value(found, "a") == "1"


def test_a_check_finds_a_damaged_page(path: Path):
    with SqliteStore.open(path, write=True) as store, store.transaction() as tx:
        tx.journals.append("run", 1, "main", 0, os.urandom(1_000_000))
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        file.write(bytes(5000))

    with SqliteStore.open(path, write=False) as store:
        assert store.check() != []


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="the system does not tell which files are open")
def test_a_file_whose_check_fails_is_let_go_of(path: Path):
    with SqliteStore.open(path, write=True) as store:
        (root,) = (
            store._usable_writer().execute("SELECT rootpage FROM sqlite_master WHERE name = 'flow_run'").fetchone()
        )
        (size,) = store._usable_writer().execute("PRAGMA page_size").fetchone()
    with path.open("r+b") as file:
        file.seek((root - 1) * size)
        file.write(b"\xff" * size)

    with SqliteStore.open(path, write=False) as store, pytest.raises(errors.StoreError, match="damaged"):
        store.check()
    assert str(path) not in [os.path.realpath(each) for each in Path("/proc/self/fd").iterdir()]


def test_a_backup_cannot_be_made_where_nothing_can_be_written(tmp_path: Path):
    with SqliteStore.in_memory() as store, pytest.raises(errors.StoreError, match="cannot be made"):
        store.backup_to(tmp_path / "nowhere" / "copy.db")


def test_a_store_cannot_be_made_in_a_folder_that_is_none(tmp_path: Path):
    (tmp_path / "file").touch()

    with pytest.raises(errors.StoreError, match="cannot be written, because its folder cannot be"):
        SqliteStore.open(tmp_path / "file" / "penstock.db", write=True)


def test_a_damaged_store_is_moved_aside_with_all_that_belongs_to_it(path: Path):
    path.write_text("damaged")
    path.with_name("penstock.db-wal").write_text("log")

    first = sqlite_files.move_aside(path, ".damaged", 7)
    path.write_text("damaged again")
    second = sqlite_files.move_aside(path, ".damaged", 8)

    assert (first.name, second.name) == ("penstock.db.damaged", "penstock.db.damaged-8")
    assert first.with_name("penstock.db.damaged-wal").read_text() == "log"
    with SqliteStore.open(path, write=True), pytest.raises(errors.StoreBusy):
        sqlite_files.move_aside(path, ".damaged", 9)


def test_what_is_still_readable_of_a_damaged_store_can_be_salvaged(path: Path, tmp_path: Path):
    with SqliteStore.open(path, write=True) as store, store.transaction() as tx:
        for number in range(3):
            tx.journals.append("run", 1, "main", number * 9000, bytes([number]) * 9000)
    data = path.read_bytes()
    at = data.index(b"\1" * 4000) // 4096 * 4096  # where the bytes of the second go on, as a page has no room for them
    path.write_bytes(data[:at] + b"\xff" * 4096 + data[at + 4096 :])

    with Damaged(path) as damaged:
        assert damaged.columns("journal_segment")[-1] == "frames"
        found = [each if isinstance(each, Gap) else (each[0], each[-1][:1]) for each in damaged.rows("journal_segment")]
        assert damaged.counter("journal_segment") == 3

    assert found == [(1, b"\0"), Gap.ROW, (3, b"\2")]
    nothing = tmp_path / "nothing.db"
    nothing.write_text("not a database at all, nor a part of one")
    with Damaged(nothing) as damaged:
        assert list(damaged.rows("journal_segment")) == [Gap.ROWS]
        assert damaged.counter("journal_segment") == 0


def test_a_store_is_made_anew_in_the_place_of_a_damaged_one_or_not_at_all(path: Path):
    path.write_text("damaged")

    def fail(store: SqliteStore, _: Path) -> None:
        put(store, "a", "1")
        raise errors.StorageFull("no room")

    with pytest.raises(errors.StorageFull):
        sqlite_files.make_anew(path, ".damaged", SYSTEM, fail)
    assert path.read_text() == "damaged"
    done = sqlite_files.make_anew(path, ".damaged", SYSTEM, lambda store, _: put(store, "a", "1"))

    assert done == (None, path.with_name("penstock.db.damaged"))
    assert done[1].read_text() == "damaged"
    assert sorted(each.name for each in path.parent.iterdir()) == [
        "penstock.db",
        "penstock.db.damaged",
        "penstock.db.lock",
    ]
    with SqliteStore.open(path, write=False) as store, store.reading() as tx:
        assert tx.meta.value("a") == "1"


def test_a_store_that_is_being_replaced_is_in_its_place_until_the_new_one_is(
    path: Path, monkeypatch: pytest.MonkeyPatch
):
    path.write_text("damaged")
    path.with_name("penstock.db-wal").write_text("log")

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", raising(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            sqlite_files.make_anew(path, ".damaged", SYSTEM, lambda store, _: put(store, "a", "1"))
    assert path.read_text() == "damaged"
    assert path.with_name("penstock.db.damaged-wal").read_text() == "log"

    with monkeypatch.context() as patched:
        patched.setattr(os, "link", raising(OSError(errno.EPERM, "no links here")))
        _, target = sqlite_files.make_anew(path, ".damaged", SYSTEM, lambda store, _: put(store, "a", "1"))
    assert target.read_text() == "damaged"
    with SqliteStore.open(path, write=False) as store, store.reading() as tx:
        assert tx.meta.value("a") == "1"


def raising(error: BaseException) -> Callable[..., None]:
    def fail(*_: object) -> None:
        raise error

    return fail


@pytest.mark.skipif(not hasattr(os, "setuid") or os.geteuid() != 0, reason="only root can become somebody else")
@pytest.mark.parametrize("leftover_log", [False, True])
def test_a_folder_that_cannot_be_written_still_answers(tmp_path: Path, leftover_log: bool):
    folder = tmp_path / "home"
    folder.mkdir()
    path = folder / "penstock.db"
    with SqliteStore.open(path, write=True) as store:
        put(store, "a", "1")
        reader = SqliteStore.open(path, write=False) if leftover_log else None
    if reader is not None:
        reader.close()  # a reader that was last leaves the log and the shared memory behind
    for each in (folder, *folder.iterdir()):
        each.chmod(0o755 if each.is_dir() else 0o644)
    for each in tmp_path.parents[:3]:
        each.chmod(0o755)
    tmp_path.chmod(0o755)
    script = f"""
        import os
        import urllib.parse  # by which paths become addresses: Python's own files may be out of nobody's reach
        from pathlib import Path
        from penstock import errors
        from penstock.store.sqlite import SqliteStore
        os.setgroups([]), os.setgid(65534), os.setuid(65534)
        path = Path({str(path)!r})
        with SqliteStore.open(path, write=False) as store:
            for _ in range(2):
                with store.reading() as tx, store.reading() as other:
                    print(tx.meta.value("a"), other.meta.value("a"))
        try:
            SqliteStore.open(path, write=True)
        except errors.StoreError as error:
            print(error.message[:40])
    """
    # Nobody may not write coverage's files here either.
    environ = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    program = [sys.executable, "-c", textwrap.dedent(script)]
    ran = subprocess.run(program, capture_output=True, text=True, check=False, env=environ)

    assert (ran.stdout, ran.stderr) == ("1 1\n1 1\nThe store cannot be written, because its\n", "")


def test_no_code_but_sqlite_opens_the_files_of_the_database():
    text = "".join(path.read_text("utf-8") for path in Path(sqlite.__file__).parent.glob("sqlite*.py"))

    assert text.count("os.open(") == 1  # makes the file, exclusively, before there is a database
    assert not re.search(r"(?<!def )(?<![.\w])open\(", text)
