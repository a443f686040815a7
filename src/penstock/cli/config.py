"""``penstock config``: the settings in force, and where each comes from."""

from __future__ import annotations

from typing import Any, NamedTuple

from penstock import settings
from penstock.cli import output, table, tree
from penstock.cli.output import AS_FITS, OutputOptions
from penstock.cli.session import Here, Session
from penstock.cli.table import Cell, Column

app = tree.group("config", "The settings in force.")


class Effective(NamedTuple):
    """A setting, its value, and what gave it: ``default``, ``profile x`` or ``environment``."""

    name: str
    value: Any
    source: str


@app.command(name="view")
def view(*, out: OutputOptions = AS_FITS, here: Here) -> None:
    """Show every setting, its value, and where the value comes from.

    A setting comes from the environment (`PENSTOCK_…`); otherwise from the active profile of
    `profiles.toml` in the home; otherwise it has its default.
    """
    found = effective(here)
    if out.format in {"json", "jsonl", "csv"}:
        output.write_all(here, out.format, [out.only(each._asdict()) for each in found])
        return
    rows = [
        [Cell(each.name), Cell(_shown(each.value)), Cell(each.source, "" if each.source == "default" else "cyan")]
        for each in found
    ]
    terminal = here.terminal
    if terminal.out_is_tty or out.format == "table":
        columns = (Column("SETTING", shrinks=False), Column("VALUE"), Column("FROM"))
        width = terminal.width if terminal.out_is_tty else None
        terminal.write(table.draw(terminal, columns, rows, width=width))
    else:
        terminal.write(table.plain(rows))


def effective(session: Session) -> list[Effective]:
    """All settings in force, in the order in which they are declared."""
    here = session.settings
    given = session.given
    home = {name: given[name] for name in ("PENSTOCK_HOME", "PENSTOCK_PROFILE") if given.get(name)}
    of_profile = settings.load({**home, "PENSTOCK_HOME": str(here.home)})
    default = settings.from_values({"home": here.home})
    found: list[Effective] = []
    for name in settings.NAMES:
        variable = settings.PREFIX + name.upper()
        value = getattr(here, name)
        if name == "profile" and session.options.profile:
            source = "--profile"
        elif given.get(variable):
            source = "environment"
        elif getattr(of_profile, name) != getattr(default, name):
            source = "profiles.toml" if name == "profile" else f"profile {here.profile}"
        else:
            source = "default"
        found.append(Effective(variable, str(value) if name == "home" else value, source))
    return found


def _shown(value: Any) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)
