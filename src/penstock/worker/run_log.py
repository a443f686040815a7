"""The log of a run as its supervisor has it: adds to it what the process itself did not record, and shows it."""

from __future__ import annotations

import threading
from collections.abc import Callable

from penstock import errors
from penstock.clock import Clock, time_of_day
from penstock.core import log_levels, records
from penstock.core.log_levels import ERROR, INFO, WARNING
from penstock.core.records import AnyRecord
from penstock.core.work import Claim
from penstock.engine.attempt import create_journal
from penstock.journal.writer import JournalWriter
from penstock.settings import Settings
from penstock.worker.output import STDERR, STDOUT

WRITER = "supervisor"
"""Who writes the journal, beside those of the run's own processes."""
LOGGER = "penstock.worker"


class RunLog:
    """What is said about one attempt. Safe to use from any thread."""

    def __init__(self, settings: Settings, clock: Clock, claim: Claim, show: Callable[[str], None]) -> None:
        self.shows = True
        """Whether whoever watches the worker is shown it."""
        self._settings = settings
        self._clock = clock
        self._claim = claim
        self._show = show
        self._lock = threading.Lock()
        self._journal: JournalWriter | None = None
        self._is_closed = False
        self._lost = 0
        self._flow_run = f"Flow run {claim.name!r}"
        self._tasks: dict[str, str] = {}
        """The names of the task runs under way."""

    def say(self, message: str, *, is_trouble: bool = False) -> None:
        """Something that the supervisor has to say about the run."""
        self._append(LOGGER, [message], ERROR if is_trouble else INFO)

    def complain(self, error: errors.PenstockError) -> None:
        """The attempt cannot be executed, or not to its end."""
        self.say(error.sentence, is_trouble=True)
        if self.shows:
            self._show(self._line(self._clock.now(), ERROR, self._flow_run, error.sentence))

    def take(self, logger: str, lines: list[str]) -> None:
        """Lines that processes of the run wrote; see `output.Sink`."""
        self._append(logger, lines, INFO)
        if self.shows:
            at = self._clock.now()
            # Each of them says whose it is: other runs write between them.
            self._show("\n".join([self._line(at, INFO, self._flow_run, line) for line in lines]))

    def seen(self, record: AnyRecord) -> None:
        """A record of the run, on its way to the server."""
        if isinstance(record, records.LogLine):
            if self.shows and record.logger not in (STDOUT, STDERR, LOGGER):
                self._show(self._line(record.at, record.level, self._about(record), record.message))
        elif isinstance(record, records.TaskRunBegan):
            self._tasks[record.task_run_id] = record.name
        elif isinstance(record, records.TaskRunEnded):
            self._tasks.pop(record.task_run_id, None)

    def close(self) -> None:
        """There is no more to say."""
        with self._lock:
            self._is_closed = True
            journal = self._journal
        if journal is not None:
            try:
                journal.close()
            except errors.JournalError:
                return

    def _append(self, logger: str, lines: list[str], level: int) -> None:
        at, run_id = self._clock.now(), self._claim.run_id
        with self._lock:
            if self._is_closed:
                return
            try:
                if self._journal is None:
                    self._journal = create_journal(self._settings, self._clock, run_id, self._claim.attempt, WRITER)
                if self._lost:
                    told = f"({self._lost} lines could not be kept)"
                    self._journal.append_soon(records.LogLine(at, run_id, None, WARNING, LOGGER, told))
                    self._lost = 0
                for line in lines:
                    self._journal.append_soon(records.LogLine(at, run_id, None, level, logger, line))
            except (errors.JournalError, OSError):
                self._lost += len(lines)  # a full disk: output never ends a run

    def _about(self, record: records.LogLine) -> str:
        if record.task_run_id is None:
            return self._flow_run
        return f"Task run {self._tasks.get(record.task_run_id, record.task_run_id)!r}"

    @staticmethod
    def _line(at: int, level: int, about: str, message: str) -> str:
        return f"{time_of_day(at)} | {log_levels.name_of(level):<7} | {about} - {message}"
