"""The home on this machine: what is recorded in it, whoever else is using it.

Nobody needs to be running. Whoever asks takes the store's lock, folds what is new, and lets go. In
Postgres there is no such lock: any number of processes fold, and runs are locked one by one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self, TypeVar

from penstock import errors
from penstock.clock import SYSTEM, Clock
from penstock.core.records import AnyRecord
from penstock.journal import reader
from penstock.journal.folder import MAIN, JournalFile, JournalFolder
from penstock.orchestration.catch_up import CaughtUp, catch_up
from penstock.orchestration.fold import CONTROL, START, as_piece
from penstock.settings import Settings
from penstock.store import lock
from penstock.store.interface import Store, Transaction
from penstock.store.opening import open_store
from penstock.store.sqlite import SqliteStore
from penstock.store.sqlite_connections import UnfinishedStore, lock_path
from penstock.store.sqlite_files import make_anew, move_aside

T = TypeVar("T")

WAIT_SECONDS = 5.0
"""How long to wait for another process that is only catching up."""

PAUSE_SECONDS = 0.004

CONNECTIONS = 4
"""To Postgres at most, for a process that only asks or folds now and then."""

CATCHING_UP = "catching up"
"""The purpose of a writer that lets go soon, so that waiting for it is worth while."""


class Home:
    """The runs of a home, as they were when it was opened or last refreshed.

    ``caught_up`` says what was folded; it is None when another process is keeping the store (a
    server, which folds by itself) or the home cannot be written: then what is there is shown.
    """

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self.settings = settings
        self.clock = clock
        self.caught_up: CaughtUp | None = None
        self.trouble: errors.PenstockError | None = None
        """Why nothing could be folded, although nobody else was doing it: a full disk, a read-only home."""
        self._store: Store | None = None

    def refresh(self, *, wait_seconds: float = WAIT_SECONDS, limit_seconds: float | None = None) -> CaughtUp | None:
        """Fold what is new, unless another process does; says what it came to."""
        self.caught_up = self.trouble = None
        if not self._has_news():
            self.caught_up = CaughtUp()
            return self.caught_up
        try:
            with self._writing(CATCHING_UP, wait_seconds) as store:
                self.caught_up = catch_up(self.settings, store, self.clock, limit_seconds=limit_seconds)
        except errors.StoreBusy:
            pass
        except errors.StorageFull as error:
            self.trouble = error
        except errors.StoreError as error:
            home = self.settings.home
            if isinstance(error, errors.IncompatibleHome) or not home.is_dir() or os.access(home, os.W_OK):
                raise
            self.trouble = error
        return self.caught_up

    @contextmanager
    def reading(self) -> Generator[Transaction]:
        """``with home.reading() as tx:`` for questions; what is written meanwhile is not seen."""
        with self._reader().reading() as tx:
            yield tx

    @contextmanager
    def writing(self, *, wait_seconds: float = WAIT_SECONDS) -> Generator[Store]:
        """``with home.writing() as store:`` for use cases that change something.

        Nobody else writes to SQLite then; raises `StoreBusy` when another process goes on writing for longer.
        """
        with self._writing("changing runs", wait_seconds) as store:
            yield store

    def check(self) -> list[str]:
        """What the database itself finds wrong with its file; nothing if all is well."""
        return self._reader().check()

    def size(self) -> int:
        """How many bytes the store takes."""
        return self._reader().size()

    def backup_to(self, path: Path) -> None:
        """Copy the store as it is now into a new file."""
        self._reader().backup_to(path)

    def set_aside(self, suffix: str) -> Path:
        """Move a damaged database out of the way; says where it lies now. Only a file can be moved."""
        assert self.settings.postgres_url is None
        self.close()
        return move_aside(self.settings.store, suffix, self.clock.now())

    def make_anew(self, suffix: str, fill: Callable[[SqliteStore, Path], T]) -> tuple[T, Path]:
        """Let a new store take the place of a damaged one, once ``fill(new, damaged)`` has put into it what there is.

        Returns what that returned, and where the damaged one lies now. Only a file can be moved.
        """
        assert self.settings.postgres_url is None
        self.close()
        return make_anew(self.settings.store, suffix, self.clock, fill)

    def close(self) -> None:
        """Let go of the store. Closing twice does nothing."""
        if self._store is not None:
            self._store.close()
            self._store = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _has_news(self) -> bool:
        """Whether any run has journals, or there is no store yet."""
        if self.settings.postgres_url is None and not self.settings.store.exists():
            return True
        return next(JournalFolder(self.settings.journals).run_ids(), None) is not None

    @contextmanager
    def _writing(self, purpose: str, wait_seconds: float) -> Generator[Store]:
        if self.settings.postgres_url is not None:
            yield self._shared()
            return
        store = self._open_to_write(purpose, wait_seconds)
        try:
            yield store
        finally:
            store.close()

    def _open_to_write(self, purpose: str, wait_seconds: float) -> SqliteStore:
        path = self.settings.store
        _make_home(self.settings.home)
        deadline = self.clock.elapsed() + wait_seconds
        while True:
            try:
                return SqliteStore.open(path, write=True, wait=False, purpose=purpose, clock=self.clock)
            except errors.StoreBusy:
                if self.clock.elapsed() >= deadline or not _lets_go_soon(path):
                    raise
            # Always as long: were it longer each time, those who wait longest would seldom have their turn.
            self.clock.sleep(PAUSE_SECONDS)

    def _shared(self) -> Store:
        """The store in Postgres, for questions and changes alike."""
        if self._store is None:
            _make_home(self.settings.home)
            self._store = open_store(self.settings, self.clock, write=True, connections=CONNECTIONS)
        return self._store

    def _reader(self) -> Store:
        if self.settings.postgres_url is not None:
            return self._shared()
        if self._store is None:
            try:
                self._store = SqliteStore.open(self.settings.store, write=False, clock=self.clock)
            except (errors.StoreBusy, errors.IncompatibleHome):
                raise
            except UnfinishedStore:
                if self.trouble is None:
                    raise
                self._store = self._without_a_store()
            except errors.StoreError:
                if self.settings.store.exists() and self.settings.store.stat().st_size:
                    raise
                self._store = self._without_a_store()
        return self._store

    def _without_a_store(self) -> SqliteStore:
        """What the journals say, when no store can be made beside them."""
        store = SqliteStore.in_memory(self.clock)
        self.caught_up = catch_up(self.settings, store, self.clock, remove=False)
        return store


def open_home(settings: Settings, clock: Clock, *, write: bool = True, limit_seconds: float | None = None) -> Home:
    """Open the home to answer questions about its runs, with all that is new folded first.

    With ``write=False`` nothing is folded: what is in the store already is shown. Either way the home
    is not kept from others: `Home.writing` takes the store's lock for as long as its block lasts.
    """
    home = Home(settings, clock)
    if write:
        home.refresh(limit_seconds=limit_seconds)
    return home


class LocalPast:
    """`core.ports.Past` of this machine: journals where they are still here, the store for all else."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._folder = JournalFolder(settings.journals)

    def attempts(self, run_id: str) -> int:
        latest = max((journal.attempt for journal in self._folder.journals(run_id)), default=0)
        with self._store() as store:
            if store is None:
                return latest
            with store.reading() as tx:
                return max(latest, tx.journals.latest_attempt(run_id))

    def records(self, run_id: str) -> Iterator[AnyRecord]:
        """All records of the run's attempts: an attempt after the other, in each the main writer's first.

        Raises `CorruptJournal` at damage that the store does not make up for.
        """
        files = {(journal.attempt, journal.writer): journal for journal in self._folder.journals(run_id)}
        with self._store() as store:
            kept = _kept(store, run_id)
        for key in sorted({*files, *kept}, key=_order):
            name = f"{run_id}/{key[0]}.{key[1]}"
            for piece in self._pieces(run_id, key, files.get(key)):
                yield from reader.decoded(piece.frames, name)
                if piece.damaged_at is not None:
                    raise errors.CorruptJournal(
                        f"A record in the middle of a journal is damaged, at byte {piece.damaged_at} of `{name}`",
                        hint="`penstock fsck` tells what is affected",
                    )

    def _pieces(self, run_id: str, key: tuple[int, str], journal: JournalFile | None) -> Iterator[reader.Piece]:
        """What the store has of a journal, then what is only in its file."""
        end = START
        for piece in self._folded(run_id, key, end):
            yield piece
            end = piece.end
        if journal is None:
            return
        try:
            for piece in _rest(journal, end):
                yield piece
                end = piece.end
        except FileNotFoundError:
            # Deleted since it was listed: then the store has all of it by now.
            yield from self._folded(run_id, key, end)

    def _folded(self, run_id: str, key: tuple[int, str], start: int) -> Iterator[reader.Piece]:
        with self._store() as store:
            if store is None:
                return
            with store.reading() as tx:
                segments = tx.journals.segments(run_id, attempt=key[0], writer=key[1])
            for segment in segments:
                if segment.start >= start:
                    with store.reading() as tx:
                        data = tx.journals.frames(segment)
                    yield as_piece(data, segment.start)

    @contextmanager
    def _store(self) -> Generator[Store | None]:
        path = self._settings.store
        try:
            store = open_store(self._settings, SYSTEM, write=False, connections=1)
        except errors.IncompatibleHome:
            raise
        except errors.StoreError:
            if self._settings.postgres_url is not None or (path.exists() and path.stat().st_size):
                raise
            yield None
            return
        with store:
            yield store


def _kept(store: Store | None, run_id: str) -> set[tuple[int, str]]:
    if store is None:
        return set()
    with store.reading() as tx:
        return {(row.attempt, row.writer) for row in tx.journals.cursors(run_id)}


def _order(key: tuple[int, str]) -> tuple[int, int, str]:
    attempt, writer = key
    return attempt, {MAIN: 0, CONTROL: 2}.get(writer, 1), writer


def _rest(journal: JournalFile, end: int) -> Iterator[reader.Piece]:
    """What a journal holds from an offset on."""
    while True:
        piece = reader.read(journal.path, 0 if end == START else end)
        yield piece
        if piece.at_end or piece.damaged_at is not None or piece.end == end:
            return
        end = piece.end


def _lets_go_soon(path: Path) -> bool:
    purpose, _ = lock.holder(lock_path(path))
    return purpose != "server"


def _make_home(path: Path) -> None:
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise errors.StoreError(
            f"The home cannot be made ({error.strerror}): `{path}`",
            hint="check its owner and permissions, or set PENSTOCK_HOME to a folder that can be written",
        ) from error
