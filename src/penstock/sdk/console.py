"""What a run started by hand shows on the terminal: its log, and how far it is."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import threading
from typing import Self

from penstock import errors
from penstock.clock import time_of_day
from penstock.core import log_levels
from penstock.core.states import State
from penstock.engine.attempt import Attempt
from penstock.engine.context import RunContext
from penstock.engine.runs import FlowRun

_STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""Characters that would steer the terminal instead of being shown on it."""

INTERVAL_SECONDS = 0.2
TIDY_SECONDS = 2.0
_HARMLESS = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:=@+-]*").fullmatch
_COLOURS = {"WARNING": "33", "ERROR": "31", "CRITICAL": "31"}


def display(run: FlowRun, *, quiet: bool) -> Display:
    """The display that settings and terminal ask for."""
    chosen = run.attempt.settings
    if quiet or chosen.progress == "off":
        return Display()
    is_live = chosen.progress == "auto" and _is_terminal() and threading.current_thread() is threading.main_thread()
    return LiveDisplay(run) if is_live else PlainDisplay(run)


def _is_terminal() -> bool:
    return sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


class Display:
    """Shows nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def end(self, state: State | None) -> None:
        """The run has ended; None: it could not be recorded to its end."""


class PlainDisplay(Display):
    """A line for each line of the log, one for the start and one for the end, on stderr."""

    def __init__(self, run: FlowRun) -> None:
        self._run = run
        self._is_terminal = _is_terminal()
        self._colour = self._is_terminal and "NO_COLOR" not in os.environ
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        run = self._run
        if run.attempt.settings.logging_to_terminal:
            run.attempt.log = self._log
        word = {"resume": "Resuming", "rerun": "Running again", "fork": "Forked"}.get(run.source, "Beginning")
        self._say(run.attempt.clock.now(), 20, f"{word} flow run {run.name!r} of flow {run.spec.name!r}")
        return self

    def end(self, state: State | None) -> None:
        run = self._run
        if state is None:
            return
        took = duration(run.attempt.clock.now() - run.started_at)
        level = 20 if state.is_completed() or state.is_paused() else 40
        now = run.attempt.clock.now()
        self._say(now, level, f"Flow run {run.name!r} - {state.name} in {took}{_told(run)}{_why(state)}")
        if not state.is_completed() and run.spec.entrypoint and not isinstance(state.data, errors.ParameterError):
            self._say(now, 20, f"Go on with it by: penstock flow-run resume {_typed(run)}")

    def _log(self, context: RunContext, at: int, level: int, message: str) -> None:
        kind = "Flow" if context is context.flow else "Task"
        self._say(at, level, f"{kind} run {context.name!r} - {message}")

    def _say(self, at: int, level: int, text: str) -> None:
        name = log_levels.name_of(level)
        colour = _COLOURS.get(name) if self._colour else None
        shown = f"\x1b[{colour}m{name:<7}\x1b[0m" if colour else f"{name:<7}"
        if self._is_terminal:
            text = _STEERING.sub(lambda found: repr(found[0])[1:-1], text)
        self._write(f"{time_of_day(at)} | {shown} | {text}\n")

    def _write(self, text: str) -> None:
        try:
            with self._lock:
                sys.stderr.write(text)
                sys.stderr.flush()
        except (OSError, ValueError):  # nobody reads it any more
            return


def _typed(run: FlowRun) -> str:
    """What to type for a run: its name, unless it was made of data that a shell or a terminal would obey."""
    return run.name if _HARMLESS(run.name) else run.id


class LiveDisplay(PlainDisplay):
    """In addition a last line that tells how far the run is, drawn anew five times a second."""

    def __init__(self, run: FlowRun) -> None:
        super().__init__(run)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._draw_often, name="penstock-display", daemon=True)
        self._drawn = False

    def __enter__(self) -> Self:
        super().__enter__()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        with self._lock:
            self._wipe()

    def _draw_often(self) -> None:
        while not self._stop.wait(INTERVAL_SECONDS):
            with self._lock:
                self._wipe()
                sys.stderr.write(self._line())
                sys.stderr.flush()
                self._drawn = True

    def _wipe(self) -> None:
        if self._drawn:
            sys.stderr.write("\r\x1b[2K")
            self._drawn = False

    def _line(self) -> str:
        run = self._run
        took = duration(run.attempt.clock.now() - run.started_at)
        under_way = list(run.attempt.running.values())
        now = f", now {', '.join(under_way[:3])}{', …' if len(under_way) > 3 else ''}" if under_way else ""
        return f"{run.name}: {took}{_told(run)}{now}"[: max(width() - 1, 10)]

    def _write(self, text: str) -> None:
        with self._lock:
            self._wipe()
        super()._write(text)


def _told(run: FlowRun) -> str:
    counts = run.tally.counts
    parts = [
        f"{number} {word}"
        for word, number in (
            ("completed", counts.completed),
            ("failed", counts.failed),
            ("crashed", counts.crashed),
            ("cancelled", counts.cancelled),
            ("not ready", counts.not_ready),
            ("under way", len(run.attempt.running)),
            ("waiting", max(run.tally.pending - len(run.attempt.running), 0)),
        )
        if number
    ]
    return f" ({', '.join(parts)})" if parts else ""


def _why(state: State) -> str:
    return f": {state.message}" if state.message and not state.is_completed() else ""


def width() -> int:
    """The columns of the terminal; 80 if it is none, or does not know."""
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or 80
    except (OSError, ValueError):
        return 80


def duration(microseconds: int) -> str:
    """A length of time as people say it: 12 ms, 3.4 s, 2 min 5 s, 1 h 3 min."""
    seconds = max(microseconds, 0) / 1_000_000
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def leave_home_tidy(attempt: Attempt) -> None:
    """If many runs wait in the home to be folded and nobody else does it, do it before the process goes on."""
    chosen = attempt.settings
    try:
        waiting = os.stat(chosen.journals).st_nlink - 2
        if waiting < 0:
            waiting = len(os.listdir(chosen.journals))
    except OSError:
        return
    if waiting > chosen.catch_up_after:
        from penstock.orchestration import local  # noqa: PLC0415  seldom needed

        with contextlib.suppress(errors.StoreError, errors.JournalError):
            local.open_home(chosen, attempt.clock, limit_seconds=TIDY_SECONDS).close()
