"""``penstock flow-run watch``: a run, live, until it has ended."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from cyclopts import Parameter

from penstock import errors
from penstock.cli import arguments, exit_codes, following, humanize, lifeline, output, run_views, views
from penstock.cli.flow_run_logs import LEVEL_STYLES, Level
from penstock.cli.output import AS_FITS, OutputOptions
from penstock.cli.session import Here, Session, refuse_together
from penstock.cli.terminal import clean, one_line
from penstock.clock import time_of_day
from penstock.core import log_levels
from penstock.core.operations.flow_runs import ExplainFlowRun, FollowFlowRun, GetFlowRun
from penstock.core.operations.work_pools import ListWorkers
from penstock.core.runs import Event, FlowRun, LogEntry
from penstock.core.states import StateType

PATIENCE_SECONDS = 5.0
"""A run that is watched and does not begin in this time may have no worker."""

UNSERVED = "no server runs here, so no worker hears of the run: `penstock server start` starts one"


def watch(
    run: arguments.FlowRun,
    /,
    *,
    level: Annotated[Level | None, Parameter(help="Only lines of this level and above.")] = None,
    out: OutputOptions = AS_FITS,
    here: Here,
) -> int:
    """Watch a run until it has ended: what it says on stdout, what becomes of it on stderr.

    Exits with 0 when it completed, 1 when it did not, 6 when its time was up. Ctrl-C ends the watching, and not the
    run. As JSON, each event and each line of the log is a line.
    """
    refuse_together({"flow-run watch": True, "-o csv": out.format == "csv"})
    found = here.ask(GetFlowRun(run=run))
    return to_its_end(here, found, level=level, options=out, states=True)


def to_its_end(
    here: Session,
    run: FlowRun,
    *,
    level: Level | None = None,
    options: OutputOptions = AS_FITS,
    states: bool = False,
) -> int:
    """Print what a run says as it comes, then how it ended; returns what to exit with. Ctrl-C ends only that."""
    lifeline.end_with_reader(here.terminal.out)
    try:
        return shown_to_its_end(here, run, level=level, options=options, states=states)
    except KeyboardInterrupt:
        here.terminal.hint(f"the run goes on: `penstock flow-run cancel {run.id}` would end it")
        raise


def shown_to_its_end(
    here: Session,
    run: FlowRun,
    *,
    level: Level | None = None,
    options: OutputOptions = AS_FITS,
    states: bool = False,
) -> int:
    """As `to_its_end`, for whoever does not leave the run alone."""
    shown = _Shown(here, options, states=states)
    request = FollowFlowRun(
        run=run.id, root=run.root_run_id, level=None if level is None else log_levels.number_of(level)
    )
    if is_unserved(here, run):
        here.terminal.hint(UNSERVED)
    hints = _Hints(here)
    for progress in following.follow(here, request, first_wait_seconds=PATIENCE_SECONDS):
        run = progress.run
        shown.lines(progress.events, progress.logs)
        hints.look(run)
    return _told(here, run)


def is_unserved(here: Session, run: FlowRun) -> bool:
    """Whether a run waits for a server, and none is there."""
    if run.is_final or run.work_pool is None or getattr(here.orchestrator, "url", None) is not None:
        return False
    return any(reason.kind == "no_server" for reason in here.ask(ExplainFlowRun(run=run.id)).reasons)


def _told(here: Session, run: FlowRun) -> int:
    if run.state_type is StateType.COMPLETED:
        here.terminal.say(f"Flow run '{run.name}' is {run.state_name}")
        return exit_codes.OK
    why = f": {run.state_message}" if run.state_message else ""
    here.terminal.complain(errors.RunError(f"The flow run is {run.state_name}{why}"))
    return errors.TimedOut.exit_code if run.state_name == "TimedOut" else exit_codes.FAILURE


class _Shown:
    """Writes what has happened and what was said, in the order in which it was."""

    def __init__(self, here: Session, options: OutputOptions, *, states: bool) -> None:
        self._here = here
        self._options = options
        self._states = states

    def lines(self, events: Iterable[Event], logs: Iterable[LogEntry]) -> None:
        told = [*(events if self._states or self._options.format else ()), *logs]
        for each in sorted(told, key=lambda one: one.at):
            if self._options.format in {"json", "jsonl"}:
                self._here.terminal.write(output.as_json(self._options.only(views.fields(each))))
            elif isinstance(each, Event):
                self._event(each)
            else:
                self._line(each)
        self._here.terminal.out.flush()

    def _event(self, event: Event) -> None:
        terminal = self._here.terminal
        terminal.say(f"{time_of_day(event.at)} | {run_views.step(event)}")

    def _line(self, line: LogEntry) -> None:
        terminal = self._here.terminal
        level = log_levels.name_of(line.level)
        painted = terminal.paint(f"{level:<7}", *LEVEL_STYLES.get(level, "").split())
        at = terminal.paint(time_of_day(line.at), "dim")
        terminal.write(f"{at} | {painted} | {clean(line.message)}")


class _Hints:
    """Says once, when a run does not begin, that there may be nobody to execute it."""

    def __init__(self, here: Session) -> None:
        self._here = here
        self._since = here.clock.elapsed()
        self._has_hinted = False

    def look(self, run: FlowRun) -> None:
        if self._has_hinted or run.started_at is not None or run.is_final or run.work_pool is None:
            return
        if self._here.clock.elapsed() - self._since < PATIENCE_SECONDS:
            return
        self._has_hinted = True
        if run.due_at is not None and run.due_at > self._here.clock.now():
            self._here.terminal.say(f"It is due {humanize.due(run.due_at, self._here.clock.now())}")
            return
        pool = run.work_pool
        if not any(each.status == "online" for each in self._here.ask(ListWorkers(pool=pool))):
            start = f"`penstock worker start -p '{one_line(pool)}'` starts one"
            self._here.terminal.hint(f"no worker serves the pool `{pool}`: {start}")
