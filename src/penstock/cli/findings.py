"""What a check has found: a line for each thing that it looked at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from penstock import settings
from penstock.cli import output, table
from penstock.cli.exit_codes import FAILURE, OK
from penstock.cli.output import OutputOptions
from penstock.cli.session import Session
from penstock.cli.table import Cell, Column

GOOD, WARNING, BAD = "ok", "warning", "problem"
STYLES = {GOOD: "green", WARNING: "yellow", BAD: "red"}


class Finding(NamedTuple):
    """What was looked at, how it is, and what to do about it."""

    subject: str
    verdict: str
    what: str
    hint: str = ""


def show(session: Session, out: OutputOptions, found: Sequence[Finding]) -> int:
    """Show them, then what to do; returns what to exit with: 1 when there is a problem among them."""
    terminal = session.terminal
    if out.format in {"json", "jsonl", "csv"}:
        output.write_all(session, out.format, [out.only(each._asdict()) for each in found])
    elif terminal.out_is_tty or out.format == "table":
        columns = (Column("SUBJECT", shrinks=False), Column("VERDICT", shrinks=False), Column("WHAT"))
        rows = [[Cell(each.subject), Cell(each.verdict, STYLES[each.verdict]), Cell(each.what)] for each in found]
        terminal.write(table.draw(terminal, columns, rows, width=None))
    else:
        terminal.write(table.plain([[Cell(text) for text in each] for each in found]))
    for each in found:
        if each.hint and each.verdict != GOOD:
            terminal.hint(each.hint)
    return FAILURE if any(each.verdict == BAD for each in found) else OK


def strangers(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Variables of the environment that are like settings, and are none."""
    for name, meant in settings.strangers(environ).items():
        hint = f"did you mean `{meant}`?" if meant else "`penstock config view` lists the settings"
        yield Finding("environment", WARNING, f"{name} is not a setting, and changes nothing", hint)
