"""``penstock flow-run logs``: what a run has said, and what it goes on saying."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

import msgspec
from cyclopts import Parameter

from penstock.cli import arguments, following, humanize, lifeline, output, views
from penstock.cli.output import AS_FITS, OutputOptions
from penstock.cli.session import Here, Session, refuse_together
from penstock.cli.terminal import clean, one_line
from penstock.clock import time_of_day
from penstock.core import log_levels
from penstock.core.operations.flow_runs import FollowFlowRun, GetFlowRun, ListLogs, Logs
from penstock.core.runs import LogEntry

PAGE = 1000

LEVEL_STYLES = {"DEBUG": "dim", "WARNING": "yellow", "ERROR": "red", "CRITICAL": "bold red"}

Level = Annotated[Literal["debug", "info", "warning", "error", "critical"], Parameter(converter=arguments.any_case)]
Count = Annotated[int | None, Parameter(validator=arguments.between(1))]


def logs(
    run: arguments.FlowRun,
    /,
    *,
    follow: Annotated[bool, Parameter(name=("-f", "--follow"), help="Go on until the run has ended.")] = False,
    level: Annotated[Level | None, Parameter(help="Only lines of this level and above.")] = None,
    task: Annotated[str | None, Parameter(metavar="TASK", help="Only lines of this task run, or of this task.")] = None,
    head: Annotated[Count, Parameter(help="Only the first lines, so many.")] = None,
    tail: Annotated[Count, Parameter(help="Only the last lines, so many.")] = None,
    since: arguments.Since = None,
    out: OutputOptions = AS_FITS,
    here: Here,
) -> None:
    """Print the log of a run and of its subflow runs.

    With `--follow`, JSON is written as lines, one for each line of the log.
    """
    refuse_together({"--head": head, "--tail": tail})
    refuse_together({"--head": head, "--follow": follow})
    refuse_together({"--follow": follow, "-o csv": out.format == "csv"})
    printer = Printer(here, out, streams=follow)
    found = here.ask(GetFlowRun(run=run))
    wanted = ListLogs(
        run=found.id,
        level=None if level is None else log_levels.number_of(level),
        task=task,
        since=humanize.moment(since, here.clock.now()) if since else None,
    )
    for page in _pages(here, wanted, head=head, tail=tail):
        printer.show(page.items, page.names)
    if follow and not found.is_final:
        request = FollowFlowRun(
            run=found.id,
            root=found.root_run_id,
            level=wanted.level,
            task=wanted.task,
            since=wanted.since,
            after=f"0.{printer.last}",
        )
        here.terminal.out.flush()
        lifeline.end_with_reader(here.terminal.out)
        for progress in following.follow(here, request):
            printer.show(progress.logs, progress.names)
            here.terminal.out.flush()
    printer.finish()


def _pages(here: Session, wanted: ListLogs, *, head: int | None, tail: int | None) -> Iterator[Logs]:
    """The lines that there are: all, the first, or the last."""
    if tail is not None and tail <= PAGE:
        yield here.ask(msgspec.structs.replace(wanted, tail=True, limit=tail))
        return
    pages = _every_page(here, wanted, head)
    if tail is None:
        yield from pages
        return
    lines: list[LogEntry] = []
    names: dict[str, str] = {}
    for page in pages:
        lines = (lines + page.items)[-tail:]
        names |= page.names
    yield Logs(items=lines, names=names)


def _every_page(here: Session, wanted: ListLogs, limit: int | None) -> Iterator[Logs]:
    left = limit
    while left is None or left > 0:
        page = here.ask(msgspec.structs.replace(wanted, limit=PAGE if left is None else min(left, PAGE)))
        yield page
        if page.next is None:
            return
        wanted = msgspec.structs.replace(wanted, after=page.next)
        left = None if left is None else left - len(page.items)


class Printer:
    """Writes lines as they come, or at the end where the form needs all of them."""

    def __init__(self, session: Session, options: OutputOptions, *, streams: bool) -> None:
        self.last = 0
        """The sequence of the last line."""
        self._session = session
        self._options = options
        self._form = "jsonl" if streams and options.format == "json" else options.format
        self._kept: list[LogEntry] = []

    def show(self, lines: list[LogEntry], names: Mapping[str, str]) -> None:
        """Write these. ``names`` are those of who says them, by id."""
        terminal = self._session.terminal
        for line in lines:
            self.last = line.sequence
            if self._form == "jsonl":
                terminal.write(output.as_json(self._options.only(views.fields(line))))
            elif self._form in {"json", "csv"}:
                self._kept.append(line)
            else:
                terminal.write(self._text(line, names.get(line.task_run_id or line.flow_run_id, "")))

    def finish(self) -> None:
        """Write what had to wait for the end."""
        if self._form == "json" or self._form == "csv":  # noqa: PLR1714  narrows the type
            rows = [self._options.only(views.fields(line)) for line in self._kept]
            output.write_all(self._session, self._form, rows)

    def _text(self, line: LogEntry, name: str) -> str:
        terminal = self._session.terminal
        level = log_levels.name_of(line.level)
        if not terminal.out_is_tty and self._form is None:
            return "\t".join((humanize.iso(line.at), level, one_line(name), line.message))
        style = LEVEL_STYLES.get(level, "")
        at = terminal.paint(time_of_day(line.at), "dim")
        who = terminal.paint(one_line(name), "cyan")
        return f"{at} {terminal.paint(f'{level:<8}', *style.split())} {who} {clean(line.message)}"
