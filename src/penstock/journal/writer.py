"""Writing a journal: append a record, and be sure that it is kept."""

from __future__ import annotations

import errno
import os
import threading
import weakref
from pathlib import Path

from penstock import errors
from penstock.core import records
from penstock.journal import folder, frames
from penstock.journal.ballast import Ballast

SYNC_INTERVAL_SECONDS = 0.01
"""What is recorded reaches the disk within this time of a power failure (kill -9 loses nothing)."""

_STDERR = 2
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class JournalWriter:
    """Appends records to one journal. Safe to use from any thread of the process that made it.

    When `append` returns, the record survives the death of the process; with ``sync="always"``,
    or after `sync`, that of the machine as well.
    """

    def __init__(
        self,
        path: Path,
        opened: records.JournalOpened,
        *,
        sync: str = "interval",
        max_bytes: int = 1 << 30,
        ballast: Ballast | None = None,
    ) -> None:
        self.path = path
        self.opened = opened
        self.size = 0
        self._sync_always = sync == "always"
        self._max_bytes = max_bytes
        self._ballast = ballast
        self._lost: BaseException | None = None
        self._is_told = False
        self._is_named = False
        self._lock = threading.Lock()
        self._define_lock = threading.Lock()
        self._pending: list[bytes] = []
        self._defined: dict[str, int] = {}
        self._is_forked = False
        self._in_doubt = False
        self._dirty = threading.Event()
        self._syncer: threading.Thread | None = None
        self._closing = False
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | getattr(os, "O_CLOEXEC", 0)
        self._descriptor = _above_the_standard_ones(os.open(path, flags, 0o600))
        folder.lock(self._descriptor, wait=True)
        try:
            self._write(frames.MAGIC + frames.frame(records.encode(opened)))
        except errors.JournalError:
            path.unlink(missing_ok=True)  # nobody has been told of it
            os.close(self._descriptor)
            raise
        _open_writers.add(self)

    def append(self, record: records.Record) -> int:
        """Write the record at the end; returns the offset of its frame.

        Raises `StorageFull` if the disk has no room even after the ballast was released, and
        `JournalLost` if a write or sync failed now or earlier: then nothing more is recorded.
        """
        return self._write(frames.frame(records.encode(record)))

    def append_soon(self, record: records.Record) -> None:
        """Write the record together with the next one, or within the sync interval.

        For records whose loss with the process would change nothing, such as the start of a task
        run that has not ended. Order is kept. Raises as `append` does.
        """
        if self._lost is not None or self._is_forked:
            self._refuse_if_unusable()
        with self._lock:
            self._refuse_if_closed()
            self._pending.append(frames.frame(records.encode(record)))
        self._wake_syncer()

    def defined(self, key: str) -> int | None:
        """The index that stands for a task in this journal, if it has one already."""
        return self._defined.get(key)

    def define(self, task: records.TaskDefined) -> int:
        """Give a task an index of its own in this journal, and write what the index stands for."""
        with self._define_lock:
            index = self._defined.get(task.key)
            if index is None:
                index = len(self._defined)
                self.append(records.TaskDefined(index, *records.fields(task)[1:]))
                self._defined[task.key] = index
        return index

    @property
    def is_full(self) -> bool:
        """Whether the journal has reached its size cap, past which no new task may start."""
        return self.size >= self._max_bytes

    def sync(self) -> None:
        """Return when all that was appended so far is on the disk. Raises `JournalLost`."""
        self._refuse_if_unusable()
        self._write(b"")
        self._sync_now()

    def _sync_now(self) -> None:
        try:
            self._sync_to_disk()
        except OSError as error:
            self._lose(error)

    def _sync_to_disk(self) -> None:
        """Sync what was written; the first time also the names of the file and its folder, which are new."""
        if not self._is_named:
            _sync_folder(self.path.parent)
            _sync_folder(self.path.parent.parent)
            self._is_named = True
        _datasync(self._descriptor)

    def close(self) -> None:
        """Sync, and let go of the lock. Closing twice does nothing.

        Raises `JournalLost` if that fails, or a sync has failed of which no caller knows yet.
        """
        with self._lock:
            if self._closing:
                return
            self._closing = True
        self._dirty.set()
        if self._syncer is not None and self._syncer is not threading.current_thread():
            self._syncer.join()
        try:
            if not self._is_forked and not self._is_told:
                self.sync()
        finally:
            with self._lock:
                # A thread that was left behind may still append: not into whatever gets this number next.
                descriptor, self._descriptor = self._descriptor, -1
            if descriptor >= 0:  # a forked child has let go already
                os.close(descriptor)

    def let_go_after_fork(self) -> None:
        """In a forked child: the parent's lock is not to outlive the parent."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        self._lock = threading.Lock()  # a thread of the parent's may have held it
        self._is_forked = self._closing = True

    def _write(self, data: bytes) -> int:
        if self._lost is not None or self._is_forked:
            self._refuse_if_unusable()
        with self._lock:
            self._refuse_if_closed()
            if self._in_doubt:
                # A thread whose time was up was interrupted between writing and telling so.
                self.size = os.fstat(self._descriptor).st_size
            offset = self.size
            if self._pending:
                before = b"".join(self._pending)
                offset += len(before)
                data = before + data
            if not data:
                return offset
            self._in_doubt = True
            try:
                written = os.write(self._descriptor, data)
            except OSError as error:
                written = self._recover(error, data)
            if written != len(data):
                self._recover_partial(data, written)
            self._pending.clear()
            self.size += len(data)
            self._in_doubt = False
        if self._sync_always:
            self._sync_now()
        else:
            self._wake_syncer()
        return offset

    def _wake_syncer(self) -> None:
        if not self._dirty.is_set():
            if self._syncer is None:
                self._start_syncer()
            self._dirty.set()

    def _recover(self, error: OSError, data: bytes) -> int:
        """After a write that failed as a whole: give room once, or give up."""
        if error.errno in _FULL:
            if self._ballast is not None and self._ballast.release():
                try:
                    return os.write(self._descriptor, data)
                except OSError as again:
                    error = again
            if error.errno in _FULL:
                raise _full(self.path) from error
        self._lose(error)
        raise AssertionError  # pragma: no cover  _lose raises

    def _recover_partial(self, data: bytes, written: int) -> None:
        """After a write that stored only a part: the part must not stay before later records."""
        rest = data[written:]
        if self._ballast is not None and self._ballast.release():
            try:
                if os.write(self._descriptor, rest) == len(rest):
                    return
            except OSError as error:
                if error.errno not in _FULL:
                    self._lose(error)
        try:
            os.ftruncate(self._descriptor, self.size)
        except OSError as error:
            self._lose(error)
        raise _full(self.path)

    def _lose(self, error: OSError) -> None:
        self._lost = error
        self._refuse_if_unusable()

    def _refuse_if_closed(self) -> None:
        if self._descriptor < 0:
            raise errors.JournalError(f"The run has ended, so nothing more is recorded in `{self.path}`")

    def _refuse_if_unusable(self) -> None:
        if self._is_forked:
            raise errors.JournalError(
                "A forked process cannot record under its parent's journal",
                hint="start processes with the ProcessPoolTaskRunner, or call a flow there: it gets its own journal",
            )
        if self._lost is not None:
            self._is_told = True
            raise errors.JournalLost(
                f"Recording failed ({self._lost}), so this run stops: `{self.path}`",
                hint="mend the disk, then continue with `penstock flow-run resume`",
            ) from self._lost

    def _start_syncer(self) -> None:
        with self._lock:
            if self._syncer is None and not self._closing:
                self._syncer = threading.Thread(target=self._sync_often, name="penstock-journal-sync", daemon=True)
                self._syncer.start()

    def _sync_often(self) -> None:
        pause = threading.Event()
        while True:
            self._dirty.wait()
            if self._closing:
                return
            pause.wait(SYNC_INTERVAL_SECONDS)
            self._dirty.clear()
            if self._closing:  # it may have been set for this
                return
            try:
                self._flush()
                self._sync_to_disk()
            except (OSError, errors.JournalError) as error:
                # While closing too: the system tells of a failed sync once, and the next one succeeds.
                self._lost = self._lost or error
                return

    def _flush(self) -> None:
        """Write what waits for company. A full disk is for the next `append` to tell."""
        try:
            if self._pending:
                self._write(b"")
        except errors.StorageFull:
            return


_open_writers: weakref.WeakSet[JournalWriter] = weakref.WeakSet()


def _let_go_after_fork() -> None:
    for writer in list(_open_writers):
        writer.let_go_after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go_after_fork)


def _above_the_standard_ones(descriptor: int) -> int:
    """Where stderr is closed, a file gets its number, and whatever a library complains about would land in it."""
    lower: list[int] = []
    while descriptor <= _STDERR:
        lower.append(descriptor)
        descriptor = os.dup(descriptor)
    for each in lower:
        os.close(each)
    return descriptor


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _datasync(descriptor: int) -> None:
    getattr(os, "fdatasync", os.fsync)(descriptor)


def _full(path: Path) -> errors.StorageFull:
    return errors.StorageFull(
        f"The disk is full, so nothing more can be recorded in `{path}`",
        hint="free some space, then continue with `penstock flow-run resume`",
    )
