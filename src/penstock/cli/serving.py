"""Being the server, in the foreground, until a signal says that it is enough."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any, TextIO

from penstock import settings, telemetry
from penstock.cli.banner import BANNER
from penstock.cli.session import Session
from penstock.clock import Clock, time_of_day
from penstock.server import app
from penstock.server.app import Options, Started

_TROUBLE = frozenset(
    {
        "journal.problem",
        "run.not_rescued",
        "schedule.failed",
        "store.listener_lost",
        "store.subscriber_failed",
        "store.tried_again",
    }
)
"""What is told that should not be."""


def serve(session: Session, options: Options, *, database_url: str | None, log_level: str, stopped: str) -> None:
    """Serve, and say so; ``stopped`` is said at the end."""
    chosen = session.settings
    if database_url is not None:
        given = {**session.given, "PENSTOCK_DATABASE_URL": database_url}
        chosen = settings.load(given)
    stop_logging = _log_to(session.terminal.err, log_level, session.clock)
    try:
        app.serve(chosen, session.clock, options, started=lambda started: _welcome(session, started, options))
    finally:
        stop_logging()
    session.terminal.say(stopped)


def _welcome(session: Session, started: Started, options: Options) -> None:
    terminal = session.terminal
    if not terminal.quiet:
        terminal.write("\n".join(welcome(started, options, is_terminal=terminal.out_is_tty)))
        terminal.out.flush()


def welcome(started: Started, options: Options, *, is_terminal: bool) -> list[str]:
    """Where the server is found, and what it does not do that others do."""
    where = "elsewhere" if started.elsewhere else "elsewhere on this machine"
    lines = [
        BANNER,
        f"Commands in this home find this server by themselves; {where}:",
        "Configure Penstock to communicate with the server with:",
        "",
        f"    penstock config set PENSTOCK_API_URL={started.elsewhere or started.api_url}",
        "",
        f"View the API reference documentation at {started.url}/docs",
        "",
    ]
    if started.link:
        lines += [f"Check out the dashboard at {started.url}", ""]
    if started.link and is_terminal:
        # Not where it would stay in a log: for a minute, whoever reads it could come in.
        lines += [f"In this browser, within a minute: {started.link}", ""]
    elif started.link:
        lines += ["`penstock ui` makes a link that lets a browser in", ""]
    lines += [f"Store: {started.store}, {started.where}", f"Home:  {started.home}", ""]
    if notes := list(_not_done(started, options)):
        lines += [*notes, ""]
    return lines


def _not_done(started: Started, options: Options) -> Iterator[str]:
    if not started.elsewhere and (options.behind_proxy or options.tls_cert is not None):
        yield "Other machines are refused: `--allowed-host NAME` lets them in by that name"
    if not options.has_pages:
        yield "No browser is let in (`--no-ui`)"
    if not options.services:
        others = "other servers of this database fold, schedule and rescue"
        if started.store == "SQLite":
            others = "on SQLite, nobody else folds, schedules and rescues"
        yield f"It only answers (`--no-services`): {others}"
        return
    if "scheduler" not in options.services:
        yield "It makes no runs of schedules (`--no-scheduler`)"
    if not options.marks_late:
        yield "It marks no run as Late (`--no-late-runs`)"


def _log_to(stream: TextIO, level: str, clock: Clock) -> Callable[[], None]:
    """Show log lines of this level and above, and what Penstock tells of its doing; returns the way to stop that."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_Lines(clock))
    logger = logging.getLogger("penstock")
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(level)
    # What goes wrong in the sockets is told; that they work is not.
    sockets = logging.getLogger("uvicorn.error")
    sockets.addHandler(handler)
    sockets.setLevel(max(logging.getLevelNamesMapping()[level], logging.WARNING))
    unsubscribe = telemetry.subscribe(_tell)

    def stop() -> None:
        unsubscribe()
        logger.removeHandler(handler)
        logger.setLevel(before)
        sockets.removeHandler(handler)

    return stop


class _Lines(logging.Formatter):
    """A line as those of runs are."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock

    def format(self, record: logging.LogRecord) -> str:
        record.asctime = time_of_day(self._clock.now())
        text = f"{record.asctime} | {record.levelname:<7} | {record.name} - {record.getMessage()}"
        return f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text


def _tell(event: str, details: dict[str, Any]) -> None:
    level = logging.WARNING if event in _TROUBLE else logging.DEBUG
    log = logging.getLogger("penstock.server")
    if log.isEnabledFor(level):
        log.log(level, "%s", " ".join([event, *(f"{key}={value}" for key, value in details.items())]))
