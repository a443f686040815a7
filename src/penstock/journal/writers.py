"""The processes that write a run's journals: which of them live, and how they are ended where nobody supervises them.

The journals say which processes write them, and their locks that these still live.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterable
from contextlib import suppress
from typing import Literal, NamedTuple

from penstock import errors, processes
from penstock.clock import Clock
from penstock.core import records
from penstock.journal import reader
from penstock.journal.folder import MAIN, JournalFile, JournalFolder
from penstock.processes import Process

Look = Literal["told", "killed", "gone", "waiting"]
"""What one look at a run that is to end has come to: its process was sent SIGTERM, its processes were sent SIGKILL,
none of them is left, or they still have time."""


class Writer(NamedTuple):
    """A process that writes, or wrote, a journal."""

    run_id: str
    attempt: int
    name: str
    pid: int


class Told(NamedTuple):
    """A run whose process was told to end: when, and which processes it had."""

    at: float
    main: frozenset[Process]
    """The one that executed it."""
    others: frozenset[Process]
    """Whatever that has started, as far as it was seen."""


class Ends:
    """Ends the processes of runs, look by look: first by SIGTERM, and after a grace by SIGKILL.

    What it remembers only says how long ago it has told somebody: another one begins with SIGTERM again.
    """

    def __init__(self, journals: JournalFolder, clock: Clock, *, grace_seconds: float) -> None:
        self._journals = journals
        self._clock = clock
        self._grace_seconds = grace_seconds
        self._told: dict[str, Told] = {}

    @property
    def under_way(self) -> frozenset[str]:
        """The runs whose process was told to end, and is not gone, or has left something behind."""
        return frozenset(self._told)

    def look(self, run_id: str, known: Iterable[Writer] = ()) -> Look:
        """Look at a run that is to end once, and do what is due. ``known`` are writers that others have told of."""
        living = self._living(run_id, known)
        main = {each.pid for each in living if each.name == MAIN}
        tree = processes.tree({each.pid for each in living}) if living else []
        others = frozenset(each for each in tree if each.pid not in main)
        before = self._told.get(run_id)
        if before is None and living:
            self._told[run_id] = Told(self._clock.elapsed(), frozenset(tree) - others, others)
            _tell(living)
            return "told"
        if not living:
            return self.look_behind(run_id)
        assert before is not None
        self._told[run_id] = told = before._replace(others=before.others | others)
        if not self._is_time_up(told):
            return "waiting"
        processes.kill(sorted({each.pid for each in (*living, *filter(processes.lives, told.others))} - {os.getpid()}))
        return "killed"

    def look_behind(self, run_id: str) -> Look:
        """Look at what a run has left behind whose process has ended, and do what is due."""
        told = self._told.get(run_id)
        left = [each.pid for each in told.others if processes.lives(each)] if told else []
        if told and left and not self._is_time_up(told):
            return "waiting"
        if told and left and not any(map(processes.lives, told.main)):
            processes.kill(sorted(left))
            return "killed"
        # A process that goes on with something else, as a notebook does, may have started for that what is left.
        self._told.pop(run_id, None)
        return "gone"

    def _is_time_up(self, told: Told) -> bool:
        return self._clock.elapsed() - told.at >= self._grace_seconds

    def _living(self, run_id: str, known: Iterable[Writer]) -> set[Writer]:
        found = set(known)
        here = [journal for journal in self._journals.journals(run_id) if journal.is_locked]
        for journal in here:
            opened = _opened(journal)
            if opened is not None:
                found.add(Writer(run_id, journal.attempt, journal.writer, opened.pid))
        locked = {(journal.attempt, journal.writer) for journal in here}
        return {each for each in found if writes(each, has_lock=(each.attempt, each.name) in locked)}


def writes(writer: Writer, *, has_lock: bool) -> bool:
    """Whether the process of that number writes that journal, and is not a later one of the same number."""
    if not sys.platform.startswith("linux"):
        return has_lock and _lives(writer.pid)
    name = f"/{writer.run_id}/{writer.attempt}.{writer.name}.journal"
    try:
        numbers = os.listdir(f"/proc/{writer.pid}/fd")
    except OSError:
        return False  # it is gone, or not ours
    for number in numbers:
        with suppress(OSError):
            if os.readlink(f"/proc/{writer.pid}/fd/{number}").endswith(name):
                return True
    return False


def _tell(living: Iterable[Writer]) -> None:
    """SIGTERM to the process that executes the run; it ends those that it has started. If it is gone, to these."""
    everybody = {each.pid for each in living}
    for pid in {each.pid for each in living if each.name == MAIN} or everybody:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGTERM)


def _opened(journal: JournalFile) -> records.JournalOpened | None:
    """Who writes a journal, as its first record says."""
    try:
        frames = reader.read(journal.path, limit=4096).frames
        opened = records.decode(frames[0].payload) if frames else None
    except (errors.JournalError, OSError):
        return None
    return opened if isinstance(opened, records.JournalOpened) else None


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return not any(each.pid == pid and each.is_dead for each in processes.every())
