"""``penstock concurrency-limit``: how many of a kind go on at once, and how many begin in a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from cyclopts import Parameter

from penstock import errors
from penstock.cli import arguments, output, table, tree, views
from penstock.cli.output import AS_FITS, OutputOptions
from penstock.cli.session import Here, Session
from penstock.cli.table import Cell, Column
from penstock.core.concurrency import TAG, ConcurrencyLimit, SlotHolder
from penstock.core.operations.concurrency_limits import (
    CreateConcurrencyLimit,
    DeleteConcurrencyLimit,
    GetConcurrencyLimit,
    LimitInUse,
    ListConcurrencyLimits,
    ResetConcurrencyLimit,
    UpdateConcurrencyLimit,
)

app = tree.group("concurrency-limit", "Limits of what goes on at once: of code that names them, and of tasks by tag.")

Name = Annotated[str, Parameter(metavar="NAME", help="The limit: its name, or the tag that it is for.")]

Slots = Annotated[
    int | None,
    Parameter(name=("-l", "--limit"), metavar="N", help="How many may go on at once.", validator=arguments.between(0)),
]

Decay = Annotated[
    float | None,
    Parameter(
        name="--slot-decay-per-second",
        metavar="N",
        help="Make it a rate limit too: so many slots become free each second.",
        validator=arguments.between(0),
    ),
]


def _concurrency_limit_rows(found: Sequence[ConcurrencyLimit], style: views.Style) -> list[list[Cell]]:  # noqa: ARG001  as above
    return [
        [
            Cell(limit.name),
            Cell(str(limit.limit)),
            Cell(str(limit.held)),
            Cell(str(limit.waiting)),
            Cell(f"{limit.slot_decay_per_second:g}" if limit.slot_decay_per_second else ""),
            Cell("active", "green") if limit.active else Cell("inactive", "yellow"),
        ]
        for limit in found
    ]


CONCURRENCY_LIMITS = views.View[ConcurrencyLimit](
    (
        Column("NAME"),
        Column("LIMIT", right=True, shrinks=False),
        Column("HELD", right=True, shrinks=False),
        Column("WAITING", right=True, shrinks=False),
        Column("PER SECOND", right=True, shrinks=False),
        Column("STATUS", shrinks=False),
    ),
    _concurrency_limit_rows,
)


@app.command
def create(
    name: Annotated[str, Parameter(metavar="NAME", help="Its name; with a number after it, the tag that it is for.")],
    tag_limit: Annotated[
        int | None,
        Parameter(
            metavar="N", help="How many task runs with this tag may go on at once.", validator=arguments.between(0)
        ),
    ] = None,
    /,
    *,
    limit: Slots = None,
    slot_decay_per_second: Decay = None,
    inactive: Annotated[bool, Parameter(help="Let it hold up nobody until it is enabled.")] = False,
    overwrite: Annotated[bool, Parameter(help="Change the limit of that name, if there is one.")] = False,
    here: Here,
) -> None:
    """Make a limit: `create db --limit 2` of code that says `concurrency("db")`, `create etl 2` of tasks with a tag.

    A limit that is named `tag:etl` is that of the tag `etl`, however it was made.
    """
    if (limit is None) == (tag_limit is None):
        raise errors.UsageError(
            "A limit needs a number of slots, once",
            hint=f"`create {name} --limit 2` limits code that names it, `create {name} 2` tasks with that tag",
        )
    if tag_limit is not None and not name.startswith(TAG):
        name = f"{TAG}{name}"
    made = here.ask(
        CreateConcurrencyLimit(
            name=name,
            limit=limit or tag_limit or 0,
            slot_decay_per_second=slot_decay_per_second or 0,
            active=not inactive,
            overwrite=overwrite,
        )
    )
    of = f"task runs with the tag '{made.tag}'" if made.tag else f"what asks for '{made.name}'"
    here.terminal.tell(f"Created concurrency limit '{made.name}': {made.limit} at once, of {of}")


@app.command(name=("ls", "list"))
def ls(*, out: OutputOptions = AS_FITS, here: Here) -> None:
    """List limits, and how much of them is used."""
    output.show_list(
        here,
        out,
        here.ask(ListConcurrencyLimits()),
        CONCURRENCY_LIMITS,
        nothing="There are no concurrency limits",
        hint="make one: `penstock concurrency-limit create NAME --limit 2`",
    )


@app.command(name=("inspect", "read"))
def inspect(name: Name, /, *, out: OutputOptions = AS_FITS, here: Here) -> None:
    """Show a limit, who holds its slots, and who waits for them, in the order of their turn."""
    found = here.ask(GetConcurrencyLimit(name=name))
    values = views.fields(found.limit)
    values["holders"] = [views.fields(each) for each in found.holders]
    values["waiting"] = [views.fields(each) for each in found.waiting]
    output.show_one(here, out, values, lambda: _page(here, found))


@app.command
def update(name: Name, /, *, limit: Slots = None, slot_decay_per_second: Decay = None, here: Here) -> None:
    """Change a limit: what is given. Nobody loses slots; who fits now gets in."""
    if limit is None and slot_decay_per_second is None:
        raise errors.UsageError("There is nothing to change", hint="say `--limit` or `--slot-decay-per-second`")
    changed = here.ask(UpdateConcurrencyLimit(name=name, limit=limit, slot_decay_per_second=slot_decay_per_second))
    here.terminal.tell(f"Updated concurrency limit '{changed.name}'")


@app.command
def enable(name: Name, /, *, here: Here) -> None:
    """Let a limit hold up who exceeds it."""
    changed = here.ask(UpdateConcurrencyLimit(name=name, active=True))
    here.terminal.tell(f"Enabled concurrency limit '{changed.name}'")


@app.command
def disable(name: Name, /, *, here: Here) -> None:
    """Let a limit hold up nobody until it is enabled."""
    changed = here.ask(UpdateConcurrencyLimit(name=name, active=False))
    here.terminal.tell(f"Disabled concurrency limit '{changed.name}'")


@app.command
def reset(name: Name, /, *, yes: arguments.Yes = False, here: Here) -> None:
    """Take all slots from their holders, who go on without, and let in who waits. Slots of the dead need no reset."""
    here.terminal.confirm(f"Take all slots of `{name}` from those who hold them?", yes=yes)
    changed = here.ask(ResetConcurrencyLimit(name=name))
    here.terminal.tell(f"Reset concurrency limit '{changed.name}'")


@app.command
def delete(name: Name, /, *, dry_run: arguments.DryRun = False, yes: arguments.Yes = False, here: Here) -> None:
    """Delete a limit. Who waits for its slots goes on."""
    if dry_run:
        found = here.ask(GetConcurrencyLimit(name=name)).limit
        waiting = f", for which {found.waiting} wait" if found.waiting else ""
        here.terminal.tell(f"Would delete concurrency limit '{found.name}'{waiting}")
        return
    here.terminal.confirm(f"Delete the concurrency limit `{name}`?", yes=yes)
    here.ask(DeleteConcurrencyLimit(name=name))
    here.terminal.tell(f"Deleted concurrency limit '{name}'")


def _page(session: Session, found: LimitInUse) -> str:
    terminal, limit = session.terminal, found.limit
    style = views.Style(human=terminal.out_is_tty, now=session.clock.now())
    rows = [
        ("name", Cell(limit.name)),
        ("limit", Cell(str(limit.limit))),
        ("held", Cell(str(limit.held))),
        ("waiting", Cell(str(limit.waiting))),
        ("active", Cell("yes" if limit.active else "no", "" if limit.active else "yellow")),
        ("created", style.time(limit.created_at)),
    ]
    if limit.tag:
        rows.insert(1, ("tag", Cell(limit.tag)))
    if limit.slot_decay_per_second:
        rows.insert(2, ("rate", Cell(f"{limit.slot_decay_per_second:g} per second")))
    parts = [table.pairs(terminal, rows)]
    for title, holders in (("Holders", found.holders), ("Waiting", found.waiting)):
        if holders:
            cells = [_cells(each, style) for each in holders]
            parts += ["", terminal.paint(title, "bold"), table.draw(terminal, _COLUMNS, cells, width=terminal.room)]
    return "\n".join(parts)


_COLUMNS = (
    Column("RUN"),
    Column("TASK"),
    Column("KEY"),
    Column("SLOTS", right=True, shrinks=False),
    Column("PRIORITY", right=True, shrinks=False),
    Column("SINCE", shrinks=False),
)


def _cells(holder: SlotHolder, style: views.Style) -> list[Cell]:
    return [
        Cell(holder.run_name or holder.run_id or holder.who),
        Cell(holder.task_run_name or holder.task_run_id or ""),
        Cell(holder.key),
        Cell(str(holder.slots)),
        Cell(str(holder.priority)),
        style.time(holder.held_since or holder.arrived_at),
    ]
