"""``penstock flow-run logs``: what a run has said, and what it goes on saying."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated, Literal

from cyclopts import Parameter, validators

from penstock.cli import arguments, humanize, output, views
from penstock.cli.output import AS_FITS, OutputOptions
from penstock.cli.session import Here, Session, refuse_together
from penstock.cli.terminal import clean, one_line
from penstock.core.runs import LogEntry
from penstock.orchestration import overview
from penstock.store.interface import Transaction

POLL_SECONDS = 0.25
PAGE = 1000

LEVEL_STYLES = {"DEBUG": "dim", "WARNING": "yellow", "ERROR": "red", "CRITICAL": "bold red"}

Level = Literal["debug", "info", "warning", "error", "critical"]
Count = Annotated[int | None, Parameter(validator=validators.Number(gte=1))]


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
    wanted = Wanted(
        here,
        level=None if level is None else views.level_number(level),
        task=task,
        since=humanize.moment(since, here.clock.now()) if since else None,
    )
    printer = Printer(here, out, streams=follow)
    with here.asking() as tx:
        found = overview.flow_run(tx, run)
        lines = wanted.lines(tx, found.id)
        if head is not None:
            lines = (line for line, _ in zip(lines, range(head), strict=False))
        printer.show(tx, list(lines)[-tail:] if tail is not None else lines)
    while follow and not found.is_final:
        here.terminal.out.flush()
        here.clock.sleep(POLL_SECONDS)
        with here.asking() as tx:
            found = overview.flow_run(tx, found.id)
            printer.show(tx, wanted.lines(tx, found.id))
    printer.finish()


class Wanted:
    """Which lines are wanted, and how far they have been read."""

    def __init__(self, session: Session, *, level: int | None, task: str | None, since: int | None) -> None:
        self._session = session
        self._level = level
        self._task = task
        self._since = since
        self._after = 0

    def lines(self, tx: Transaction, run_id: str) -> Iterator[LogEntry]:
        """The lines that were not read yet, oldest first."""
        while page := overview.logs(tx, run_id, after=self._after, level=self._level, limit=PAGE, subflows=True):
            for line in page:
                self._after = line.sequence
                if self._is_wanted(tx, line):
                    yield line

    def _is_wanted(self, tx: Transaction, line: LogEntry) -> bool:
        if self._since is not None and line.at < self._since:
            return False
        if self._task is None:
            return True
        if line.task_run_id is None:
            return False
        if line.task_run_id.startswith(self._task):
            return True
        run = overview.task_run(tx, line.task_run_id)
        return self._task in {run.name, run.task_name}


class Printer:
    """Writes lines as they come, or at the end where the form needs all of them."""

    def __init__(self, session: Session, options: OutputOptions, *, streams: bool) -> None:
        self._session = session
        self._options = options
        self._form = "jsonl" if streams and options.format == "json" else options.format
        self._kept: list[LogEntry] = []
        self._names: dict[str, str] = {}

    def show(self, tx: Transaction, lines: Iterable[LogEntry]) -> None:
        terminal = self._session.terminal
        for line in lines:
            if self._form == "jsonl":
                terminal.write(output.as_json(self._options.only(views.fields(line))))
            elif self._form in {"json", "csv"}:
                self._kept.append(line)
            else:
                terminal.write(self._text(line, self._name(tx, line)))

    def finish(self) -> None:
        """Write what had to wait for the end."""
        if self._form == "json" or self._form == "csv":  # noqa: PLR1714  narrows the type
            rows = [self._options.only(views.fields(line)) for line in self._kept]
            output.write_all(self._session, self._form, rows)

    def _text(self, line: LogEntry, name: str) -> str:
        terminal = self._session.terminal
        level = views.level_name(line.level)
        if not terminal.out_is_tty and self._form is None:
            return "\t".join((humanize.iso(line.at), level, one_line(name), line.message))
        style = LEVEL_STYLES.get(level, "")
        at = terminal.paint(humanize.local_clock(line.at), "dim")
        who = terminal.paint(one_line(name), "cyan")
        return f"{at} {terminal.paint(f'{level:<8}', *style.split())} {who} {clean(line.message)}"

    def _name(self, tx: Transaction, line: LogEntry) -> str:
        """Who says it: the task run, or the flow run."""
        key = line.task_run_id or line.flow_run_id
        if key not in self._names:
            run = overview.task_run(tx, key) if line.task_run_id else overview.flow_run(tx, key)
            self._names[key] = run.name
        return self._names[key]
