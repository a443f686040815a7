"""One attempt of a top-level run in this process: its journal, what it remembers, what it keeps."""

from __future__ import annotations

import os
import platform
import threading
import weakref
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from penstock import clock, errors
from penstock.core import records
from penstock.core.assignments import Assignment
from penstock.core.ports import Past, Slots
from penstock.core.result_records import ResultRecord
from penstock.core.states import Unloaded
from penstock.engine.futures import Future
from penstock.engine.replay import History
from penstock.engine.results import ResultStore
from penstock.journal import folder, reader
from penstock.journal.ballast import Ballast
from penstock.journal.lease import Held
from penstock.journal.writer import JournalWriter
from penstock.settings import Settings
from penstock.version import __version__

REMEMBERED_BYTES = 64 << 20
"""Values of ended task runs are held in memory up to this size; older ones are read back when asked for."""
SMALL = 1024
"""Values below this size are held anyway."""

_NOT_TRACKED = frozenset({int, float, bool, type(None), complex})


class Attempt:
    """What all runs of one attempt share: journal, results, history, clock and settings."""

    def __init__(
        self,
        journal: JournalWriter,
        *,
        settings: Settings,
        time: clock.Clock,
        history: History | None = None,
        source_run_id: str | None = None,
    ) -> None:
        self.journal = journal
        self.run_id = journal.opened.run_id
        self.number = journal.opened.attempt
        self.settings = settings
        self.clock = time
        self.history = history
        self.source_run_id = source_run_id
        self.results = ResultStore(
            settings.results, inline_max_bytes=settings.results_inline_max_bytes, persist=settings.results_persist
        )
        self.values = Values()
        self.running: dict[str, str] = {}
        """The task runs under way here: name by id."""
        self.lock = threading.Lock()
        self.pid = os.getpid()
        self.log: Callable[..., None] = _discard
        """Called with each log line, for whoever shows it; set by the sdk."""
        self.assignment: Assignment | None = None
        """What a worker asked for; None for a run that was simply called."""
        self.lease: Held | None = None
        """Until when new tasks may start; None when nobody supervises the attempt."""
        self.open_slots: Callable[..., Slots] | None = None
        """Who grants slots of concurrency limits; set by the sdk, and called when some are first wanted."""
        self._slots: Slots | None = None
        self.told_to_end = False
        """Whether the process was told to end, and what runs in it is cancelled for that reason."""
        self._complaints: set[str] = set()

    @property
    def slots(self) -> Slots | None:
        """Who grants slots of concurrency limits to what runs here."""
        if self._slots is None and self.open_slots is not None:
            with self.lock:
                if self._slots is None:
                    self._slots = self.open_slots(self.settings, self.clock, run_id=self.run_id, attempt=self.number)
        return self._slots

    def complain_once(self, about: str, message: str) -> bool:
        """Whether this complaint is new in this attempt; the caller then makes it."""
        with self.lock:
            if (about + message) in self._complaints:
                return False
            self._complaints.add(about + message)
            return True

    def close(self) -> None:
        """The process has no more to record for this attempt."""
        if self._slots is not None:
            self._slots.close()
        self.journal.close()


def open_attempt(
    settings: Settings,
    time: clock.Clock,
    past: Past | None,
    run_id: str | None = None,
    *,
    number: int | None = None,
    fork_of: str | None = None,
    edit: Callable[[History], records.ResultsForgotten | None] | None = None,
) -> Attempt:
    """Begin the next attempt of a run (a new run when ``run_id`` is None), with a journal of its own.

    ``past`` knows earlier attempts; ``number`` is the attempt's, where somebody else has counted;
    ``fork_of`` names the run whose results a new run may use; ``edit`` may take results out of the history.
    Raises `AlreadyRunning` when a live process executes the run, and `JournalError` when the home cannot be written.
    """
    is_new = run_id is None or number == 1
    run_id = run_id or time.new_id()
    journals = folder.JournalFolder(settings.journals)
    path = journals.run_path(run_id)
    while True:
        make_home(settings, path)
        with suppress(FileNotFoundError), folder.FolderLock(path):
            if number is not None:
                _refuse_if_running(run_id, journals.journals(run_id), number)
            else:
                number = 1 if is_new else _next_attempt(journals, run_id, past)
            journal = create_journal(settings, time, run_id, number, folder.MAIN)
            break
        # Whoever folded the end of the last attempt has removed the folder in this very moment.
    try:
        history = None
        if past is not None and (not is_new or fork_of is not None):
            history = History(past.records(fork_of or run_id))
        forgotten = edit(history) if edit is not None and history is not None else None
        if forgotten is not None and history is not None:
            journal.append(forgotten)
            history.forget(forgotten.task_run_ids)
    except BaseException:
        journal.close()
        journal.path.unlink(missing_ok=True)
        raise
    return Attempt(journal, settings=settings, time=time, history=history, source_run_id=fork_of)


def create_journal(settings: Settings, time: clock.Clock, run_id: str, attempt: int, writer: str) -> JournalWriter:
    """A new journal in the run's folder, locked by this process."""
    opened = records.JournalOpened(
        format=records.FORMAT,
        run_id=run_id,
        attempt=attempt,
        writer=writer,
        host=platform.node(),
        boot_id=clock.boot_id(),
        pid=os.getpid(),
        at=time.now(),
        penstock_version=__version__,
        python_version=platform.python_version(),
    )
    path = folder.JournalFolder(settings.journals).journal_path(run_id, attempt, writer)
    return JournalWriter(
        path,
        opened,
        sync=settings.journal_sync,
        max_bytes=settings.journal_max_bytes,
        ballast=Ballast(settings.home / "ballast"),
    )


def _next_attempt(journals: folder.JournalFolder, run_id: str, past: Past | None) -> int:
    known = journals.journals(run_id)
    if journals.is_supervised(run_id) or any(journal.is_locked for journal in known):
        raise _already_running(run_id)
    latest = max((journal.attempt for journal in known), default=0)
    return 1 + max(latest, past.attempts(run_id) if past is not None else 0)


def _refuse_if_running(run_id: str, known: list[folder.JournalFile], number: int) -> None:
    """An attempt that a worker was given is opened once, and only while no other process executes the run."""
    for journal in known:
        if journal.writer == folder.MAIN and (journal.attempt >= number or journal.is_locked):
            raise _already_running(run_id)


def _already_running(run_id: str) -> errors.AlreadyRunning:
    return errors.AlreadyRunning(
        f"Another process is executing this run: `{run_id}`",
        hint="wait for it to end; `penstock flow-run inspect` shows where it is",
    )


def make_home(settings: Settings, run_path: Path) -> None:
    """Make the home and the folder of a run's journals. Raises `JournalError` when they cannot be written."""
    try:
        if not settings.journals.exists():
            settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
            settings.journals.mkdir(mode=0o700, exist_ok=True)
        Ballast(settings.home / "ballast").ensure()
        run_path.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise errors.JournalError(
            f"Nothing can be recorded in the home ({error.strerror}): `{settings.home}`",
            hint="make it writable, or set PENSTOCK_HOME to a folder that is",
        ) from None


class Values:
    """The values that task runs returned: where an object came from, and which are held in memory.

    An object that can be referred to weakly is known for as long as it lives. Of others (lists,
    dicts, strings) the most recent are held, for the graph of who used what; nothing that must be
    the same in each attempt depends on these.
    """

    def __init__(self, budget: int = REMEMBERED_BYTES) -> None:
        self._budget = budget
        self._weak: dict[int, tuple[weakref.ref[Any], bytes, str]] = {}
        self._strong: dict[int, tuple[Any, str, int]] = {}
        self._strong_bytes = 0
        self._futures: deque[tuple[Future, Unloaded, int]] = deque()
        self._future_bytes = 0
        self._lock = threading.Lock()

    def returned(self, value: Any, address: bytes, task_run_id: str, size: int) -> None:
        """A task run returned this object."""
        if type(value) in _NOT_TRACKED:
            return
        key = id(value)
        try:
            reference = weakref.ref(value, lambda _: self._weak.pop(key, None))
        except TypeError:
            self._hold(value, task_run_id, size)
        else:
            self._weak[key] = (reference, address, task_run_id)

    def _hold(self, value: Any, task_run_id: str, size: int) -> None:
        if isinstance(value, str | bytes) and len(value) < 8:
            return
        with self._lock:
            replaced = self._strong.pop(id(value), None)
            self._strong_bytes += size - (replaced[2] if replaced else 0)
            self._strong[id(value)] = (value, task_run_id, size)
            while self._strong_bytes > self._budget and len(self._strong) > 1:
                oldest = next(iter(self._strong))
                self._strong_bytes -= self._strong.pop(oldest)[2]
            while len(self._strong) > 1000:
                oldest = next(iter(self._strong))
                self._strong_bytes -= self._strong.pop(oldest)[2]

    def origin(self, value: Any) -> tuple[bytes, str] | None:
        """The address and id of the task run that returned this very object; see the class for which."""
        known = self._weak.get(id(value))
        return (known[1], known[2]) if known is not None and known[0]() is value else None

    def holder(self, value: Any) -> str | None:
        """The id of the task run that returned this object, of those that are only held."""
        known = self._strong.get(id(value))
        return known[1] if known is not None and known[0] is value else None

    def hold_for(self, future: Future, kept: Unloaded, size: int) -> None:
        """Hold the value of an ended task run in memory, and let go of the oldest ones past the budget."""
        if size < SMALL:
            return
        released: list[tuple[Future, Unloaded, int]] = []
        with self._lock:
            self._futures.append((future, kept, size))
            self._future_bytes += size
            while self._future_bytes > self._budget and len(self._futures) > 1:
                released.append(self._futures.popleft())
                self._future_bytes -= released[-1][2]
        for oldest, stored, _ in released:
            oldest.release_value(stored)


class JournaledResult(Unloaded):
    """A result that lies in the journal, read again when somebody asks for it."""

    __slots__ = ("_offset", "_options", "_path", "_results")

    def __init__(self, results: ResultStore, path: Path, offset: int, options: Any) -> None:
        self._results = results
        self._path = path
        self._offset = offset
        self._options = options

    def load(self) -> Any:
        try:
            piece = reader.read(self._path, self._offset, limit=1 << 18)
        except OSError as error:
            raise errors.MissingResult(f"The journal of a result cannot be read: {error}") from None
        record = records.decode(piece.frames[0].payload)
        kept = getattr(record, "result", None)
        if not isinstance(kept, ResultRecord):
            raise errors.MissingResult(f"The journal holds no result at byte {self._offset}: `{self._path}`")
        return self._results.load(kept, self._options)


def _discard(*_: Any) -> None:
    return
