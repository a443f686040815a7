"""``penstock event``: what happened."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated

import msgspec
from cyclopts import Parameter

from penstock import errors
from penstock.cli import arguments, completion, humanize, lifeline, output, run_views, table, tree, views
from penstock.cli.following import PATIENCE_SECONDS, PAUSE_SECONDS, WAIT_SECONDS
from penstock.cli.output import AS_FITS, OutputOptions
from penstock.cli.session import Here, Session, refuse_together
from penstock.cli.table import Cell, Column
from penstock.cli.terminal import one_line
from penstock.core.operations import MAX_ITEMS, Page
from penstock.core.operations.events import ListEvents
from penstock.core.operations.flow_runs import GetFlowRun
from penstock.core.runs import Event

app = tree.group("event", "What happened to runs, and what their code has told.")


def _event_rows(found: Sequence[Event], style: views.Style) -> list[list[Cell]]:
    return [
        [
            style.time(event.at),
            Cell(event.event),
            run,
            Cell(run_views.details(event) or one_line(_told(event, style))),
        ]
        for event, run in zip(found, style.ids([event.run_id or "" for event in found]), strict=True)
    ]


EVENTS = views.View[Event](
    (Column("AT", shrinks=False), Column("EVENT", shrinks=False), Column("RUN"), Column("DETAILS")), _event_rows
)


def _told(event: Event, style: views.Style) -> str:
    told = event.payload
    due = told.get("due_at")
    if event.event == "flow_run.scheduled" and isinstance(due, int):
        told = {**told, "due_at": style.time(due).text}
    return ", ".join(f"{name}={value}" for name, value in told.items())


@app.command(name=("ls", "list"))
def ls(
    *,
    run: Annotated[
        str | None,
        Parameter(metavar="RUN", help="Only what happened to this flow run.", completer=completion.flow_runs),
    ] = None,
    name: Annotated[
        str | None, Parameter(metavar="EVENT", help="Only events of this name, as `flow_run.failed`.")
    ] = None,
    since: arguments.Since = None,
    follow: Annotated[bool, Parameter(name=("-f", "--follow"), help="Go on with what happens, until Ctrl-C.")] = False,
    limit: arguments.Limit = 20,
    out: OutputOptions = AS_FITS,
    here: Here,
) -> None:
    """List the last events, oldest first.

    With `--follow`, JSON is written as lines, one for each event.
    """
    refuse_together({"--follow": follow, "-o csv": out.format == "csv"})
    wanted = ListEvents(
        run=None if run is None else here.ask(GetFlowRun(run=run)).id,
        name=name,
        since=humanize.moment(since, here.clock.now()) if since else None,
    )
    last = _last(here, wanted, limit)
    if not follow:
        asked = wanted != ListEvents()
        nothing = f"Nothing has happened{' like that' if asked else ' yet'}"
        output.show_list(here, out, last, EVENTS, nothing=nothing)
        return
    _show(here, out, last)
    lifeline.end_with_reader(here.terminal.out)
    after = str(last[-1].sequence) if last else None
    for page in _coming(here, msgspec.structs.replace(wanted, after=after)):
        _show(here, out, page.items)


def _last(here: Session, wanted: ListEvents, limit: int) -> Sequence[Event]:
    if limit <= MAX_ITEMS:
        return here.ask(msgspec.structs.replace(wanted, tail=True, limit=limit)).items
    # There is no way to go back by pages: all of them, of which the last stay.
    found: list[Event] = []
    after: str | None = None
    while page := here.ask(msgspec.structs.replace(wanted, limit=MAX_ITEMS, after=after)):
        found = (found + page.items)[-limit:]
        after = page.next
    return found


def _coming(here: Session, wanted: ListEvents) -> Iterator[Page[Event]]:
    """What happens from now on. A server that is away is waited for."""
    wanted = msgspec.structs.replace(wanted, wait_seconds=WAIT_SECONDS)
    away_since: float | None = None
    while True:
        try:
            page = here.ask(wanted)
        except (errors.ServerUnreachable, errors.StoreBusy) as error:
            if away_since is None:
                away_since = here.clock.elapsed()
                here.terminal.warn(f"{error.message}. Waiting for it to come back")
            if here.clock.elapsed() - away_since > PATIENCE_SECONDS:
                raise
            here.clock.sleep(PAUSE_SECONDS)
            continue
        away_since = None
        yield page
        wanted = msgspec.structs.replace(wanted, after=page.next)


def _show(here: Session, options: OutputOptions, found: Sequence[Event]) -> None:
    if options.format in {"json", "jsonl"}:
        for each in found:
            here.terminal.write(output.as_json(options.only(views.fields(each))))
    elif found:
        style = views.Style(human=here.terminal.out_is_tty, now=here.clock.now())
        here.terminal.write(table.plain(EVENTS.rows(found, style)))
    here.terminal.out.flush()
