"""Showing what was found: as a table, as tab-separated lines, as JSON, as CSV."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from cyclopts import Parameter

from penstock import errors
from penstock.cli import arguments, table, views
from penstock.cli.session import Session
from penstock.core.operations import Page
from penstock.core.suggestions import did_you_mean

T = TypeVar("T", bound=msgspec.Struct)

Format = Literal["table", "json", "jsonl", "csv"]


@Parameter(name="*")
@dataclass(frozen=True)
class OutputOptions:
    """In which form a command shows what it found."""

    json: Annotated[
        str | None, Parameter(help="As JSON; with a list of fields (`--json id,name`), only these.", metavar="[FIELDS]")
    ] = None
    output: Annotated[
        Format | None,
        Parameter(
            name=("-o", "--output"),
            converter=arguments.any_case,
            help="As this. Without it: a table on a terminal, else lines with tabs.",
        ),
    ] = None

    @property
    def format(self) -> Format | None:
        """The form that was asked for; None leaves it to where the output goes."""
        return self.output or ("json" if self.json is not None else None)

    def only(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The fields that were asked for. Raises `UsageError` for one that does not exist."""
        if not self.json:
            return dict(values)
        names = self.json.split(",")
        for name in names:
            if name not in values:
                near = did_you_mean(name, values)
                known = f"The fields are: {', '.join(values)}"
                raise errors.UsageError(f"There is no field `{name}`", hint=f"{near} {known}" if near else known)
        return {name: values[name] for name in names}


AS_FITS = OutputOptions()
"""No form was asked for."""


def show_list(
    session: Session, options: OutputOptions, found: Sequence[T], view: views.View[T], *, nothing: str, hint: str = ""
) -> None:
    """Show a list; say ``nothing`` to people when it is empty."""
    terminal = session.terminal
    form = options.format
    if form in {"json", "jsonl", "csv"}:
        write_all(session, form, [options.only(view.fields(each)) for each in found])
        return
    if not found:
        if terminal.out_is_tty or form == "table":
            terminal.say(nothing)
            if hint:
                terminal.hint(hint)
        return
    human = terminal.out_is_tty or form == "table"
    rows = view.rows(found, views.Style(human=human, now=session.clock.now()))
    if human:
        terminal.write(table.draw(terminal, view.columns, rows, width=terminal.room))
    else:
        terminal.write(table.plain(rows))


def show_page(
    session: Session,
    options: OutputOptions,
    page: Page[T],
    view: views.View[T],
    *,
    limit: int,
    nothing: str,
    hint: str = "",
    which: str = "first",
) -> None:
    """As `show_list`, for the first ``limit`` items of a list: says so when there are more."""
    show_list(session, options, page.items, view, nothing=nothing, hint=hint)
    if page.next is not None and session.terminal.out_is_tty:
        session.terminal.hint(f"these are the {which} {limit}; `--limit` shows more")


def show_one(session: Session, options: OutputOptions, values: Mapping[str, Any], draw: Callable[[], str]) -> None:
    """Show one thing: its fields to programs, what ``draw`` makes of it to people."""
    form = options.format
    if form == "json":
        session.terminal.write(as_json(options.only(values), indent=2))
    elif form in {"jsonl", "csv"}:
        write_all(session, form, [options.only(values)])
    else:
        session.terminal.write(draw())


def write_all(session: Session, form: Format | None, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows of fields as JSON (one list), JSON lines or CSV."""
    if form == "json":
        session.terminal.write(as_json(list(rows), indent=2))
    elif form == "jsonl":
        for row in rows:
            session.terminal.write(as_json(row))
    else:
        text = as_csv(list(rows))
        if text:
            session.terminal.write(text)


def as_json(value: Any, *, indent: int = 0) -> str:
    """The value as JSON; what JSON cannot say is written as text."""
    encoded = msgspec.json.encode(value, enc_hook=str)
    return (msgspec.json.format(encoded, indent=indent) if indent else encoded).decode()


def as_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows as CSV with a heading; values that are no text or number are written as JSON."""
    import csv  # noqa: PLC0415  only when asked for

    if not rows:
        return ""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _csv_value(value) for name, value in row.items()} for row in rows)
    return text.getvalue().removesuffix("\n")


def _csv_value(value: Any) -> str | int | float:
    if value is None:
        return ""
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        return value
    return as_json(value)
