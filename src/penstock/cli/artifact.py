"""``penstock artifact``: what runs have published."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, cast

from cyclopts import Parameter

from penstock.cli import arguments, output, table, tree, views
from penstock.cli.output import AS_FITS, OutputOptions
from penstock.cli.session import Here, Session
from penstock.cli.table import Cell, Column
from penstock.cli.terminal import clean, one_line
from penstock.core.operations.artifacts import GetArtifact, ListArtifacts
from penstock.core.runs import Artifact

app = tree.group("artifact", "What runs have published: tables, markdown, links.")


def _artifact_rows(found: Sequence[Artifact], style: views.Style) -> list[list[Cell]]:
    identities = style.ids([each.id for each in found])
    return [
        [
            Cell(each.key or ""),
            Cell(each.kind),
            Cell(each.description or ""),
            style.time(each.updated_at),
            identity,
        ]
        for each, identity in zip(found, identities, strict=True)
    ]


ARTIFACTS = views.View[Artifact](
    (
        Column("KEY"),
        Column("KIND", shrinks=False),
        Column("DESCRIPTION"),
        Column("UPDATED", shrinks=False),
        Column("ID"),
    ),
    _artifact_rows,
)


@app.command(name=("ls", "list"))
def ls(
    *,
    run: Annotated[str | None, Parameter(metavar="RUN", help="Only artifacts of this flow run.")] = None,
    key: Annotated[str | None, Parameter(metavar="KEY", help="Only artifacts with this key.")] = None,
    kind: Annotated[
        str | None, Parameter(metavar="KIND", help="Only `table`, `markdown`, `link`, `progress`, `image`.")
    ] = None,
    limit: arguments.Limit = 20,
    out: OutputOptions = AS_FITS,
    here: Here,
) -> None:
    """List artifacts, newest first."""
    page = here.listed(ListArtifacts(run=run, key=key, kind=kind), limit)
    asked = any((run, key, kind))
    output.show_list(
        here, out, page.items, ARTIFACTS, nothing=f"There are no artifacts{' like that' if asked else ' yet'}"
    )


@app.command
def inspect(
    artifact: Annotated[
        str, Parameter(metavar="ARTIFACT", help="Its key (then the newest of it), its id, or a beginning of the id.")
    ],
    /,
    *,
    out: OutputOptions = AS_FITS,
    here: Here,
) -> None:
    """Show an artifact: a table as a table, everything else as the text that it is.

    With `-o csv`, a table is written as CSV.
    """
    found = here.ask(GetArtifact(artifact=artifact))
    rows = _rows(found)
    if rows is not None and out.format in {"csv", "jsonl"}:
        output.write_all(here, out.format, [out.only(row) for row in rows])
        return
    output.show_one(here, out, views.fields(found), lambda: _page(here, found))


def _page(session: Session, artifact: Artifact) -> str:
    terminal = session.terminal
    style = views.Style(human=terminal.out_is_tty, now=session.clock.now())
    facts = [
        ("kind", Cell(artifact.kind)),
        ("id", Cell(artifact.id)),
        ("flow run", Cell(artifact.flow_run_id)),
        ("updated", style.time(artifact.updated_at)),
        ("description", Cell(artifact.description or "")),
    ]
    parts = [
        terminal.paint(one_line(artifact.key or artifact.id), "bold"),
        table.pairs(terminal, facts, indent="  "),
        _body(session, artifact),
    ]
    return "\n\n".join(parts)


def _body(session: Session, artifact: Artifact) -> str:
    terminal = session.terminal
    rows = _rows(artifact)
    if rows:
        names = list(dict.fromkeys(name for row in rows for name in row))
        cells = [[Cell(_text(row.get(name))) for name in names] for row in rows]
        numbers = {name for name in names if all(isinstance(row.get(name, 0), int | float) for row in rows)}
        columns = [Column(name, right=name in numbers) for name in names]
        return table.draw(terminal, columns, cells, width=terminal.room)
    return clean(_text(artifact.data))


def _rows(artifact: Artifact) -> list[dict[str, Any]] | None:
    """The rows of a table: given as rows, or as columns."""
    data = artifact.data
    if artifact.kind != "table":
        return None
    if isinstance(data, dict):
        columns = cast("dict[str, Any]", data)
        if not all(isinstance(values, list) for values in columns.values()):
            return None
        return [dict(zip(columns, row, strict=False)) for row in zip(*columns.values(), strict=False)]
    if isinstance(data, list):
        found = cast("list[Any]", data)
        if all(isinstance(row, dict) for row in found):
            return cast("list[dict[str, Any]]", found)
        if all(isinstance(row, list) for row in found):
            return [{str(number): value for number, value in enumerate(row, 1)} for row in found]
    return None


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else output.as_json(value)
