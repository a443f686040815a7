"""``penstock api-key``: let others ask the server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from cyclopts import Parameter

from penstock.cli import arguments, humanize, output, tree, views
from penstock.cli.output import AS_FITS, OutputOptions
from penstock.cli.session import Here
from penstock.cli.table import Cell, Column
from penstock.core.access import ApiKey, Permission
from penstock.core.operations.api_keys import CreateApiKey, DeleteApiKey, ListApiKeys

app = tree.group("api-key", "Keys with which others than the owner of this home ask the server.")

May = Literal["read", "operate", "author", "admin", "work", "run"]


def _api_key_rows(found: Sequence[ApiKey], style: views.Style) -> list[list[Cell]]:
    return [
        [
            Cell(key.name),
            Cell(key.id),
            Cell(", ".join(key.permissions)),
            Cell(key.pool or ""),
            style.time(key.created_at),
            Cell("never") if key.expires_at is None else style.time(key.expires_at),
            Cell("never") if key.used_at is None else style.time(key.used_at),
        ]
        for key in found
    ]


API_KEYS = views.View[ApiKey](
    (
        Column("NAME"),
        Column("ID", shrinks=False),
        Column("ALLOWS"),
        Column("POOL"),
        Column("CREATED", shrinks=False, drops=True),
        Column("EXPIRES", shrinks=False),
        Column("USED", shrinks=False),
    ),
    _api_key_rows,
)


@app.command
def create(
    name: Annotated[str, Parameter(metavar="NAME", help="How it is called: who has it, or for what.")],
    /,
    *,
    permission: Annotated[
        tuple[May, ...],
        Parameter(
            name=("-p", "--permission"),
            negative=(),
            help="Allow: `read` (look), `operate` (start, cancel runs), `author` (deploy), `admin`, `work`, `run`.",
        ),
    ] = (),
    worker: Annotated[
        str | None, Parameter(metavar="POOL", help="Make it a worker's: it allows to work for this pool, and no more.")
    ] = None,
    expires: Annotated[
        str | None, Parameter(metavar="SPAN", help="It is good for so long, as in `90d`; without this, until deleted.")
    ] = None,
    here: Here,
) -> None:
    """Make a key, and print it: it is shown this once, and kept nowhere."""
    days = None if expires is None else humanize.span(expires) / 86400
    permissions = tuple(Permission(each) for each in permission)
    made = here.ask(CreateApiKey(name=name, permissions=permissions, pool=worker, days=days))
    here.terminal.write(made.key)
    here.terminal.say(f"Whoever asks sets it as PENSTOCK_API_KEY. `penstock api-key delete {made.details.id}` voids it")


@app.command(name=("ls", "list"))
def ls(*, out: OutputOptions = AS_FITS, here: Here) -> None:
    """List keys, without what is secret of them."""
    found = here.ask(ListApiKeys())
    output.show_list(
        here,
        out,
        found,
        API_KEYS,
        nothing="There are no keys but that of this home's owner",
        hint="make one: `penstock api-key create NAME -p read`",
    )


@app.command
def delete(
    key: Annotated[str, Parameter(metavar="KEY", help="Its name or id.")],
    /,
    *,
    yes: arguments.Yes = False,
    dry_run: arguments.DryRun = False,
    here: Here,
) -> None:
    """Void a key: whoever has it comes in no more."""
    if dry_run:
        found = [each for each in here.ask(ListApiKeys()) if key in (each.name, each.id)]
        here.terminal.say(f"The key '{found[0].name}' would be void" if found else f"There is no key: '{key}'")
        return
    here.terminal.confirm(f"Void the key `{key}`?", yes=yes)
    gone = here.ask(DeleteApiKey(key=key))
    here.terminal.say(f"The key '{gone.name}' is void")
