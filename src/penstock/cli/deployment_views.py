"""How deployments are shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from penstock.cli import humanize, views
from penstock.cli.table import Cell, Column
from penstock.cli.views import Style, View
from penstock.core.deployments import Bundle, Code, Deployment, GitRepository


def fields(row: Deployment) -> dict[str, Any]:
    """Itself, and what it was applied as, on one level."""
    spec: dict[str, Any] = msgspec.to_builtins(row.spec)
    schedules = [views.fields(each) for each in row.schedules]
    own = {"id": row.id, "name": row.name, "flow_name": row.flow_name, "full_name": row.full_name}
    times = {name: humanize.iso(getattr(row, name)) for name in ("created_at", "updated_at")}
    return {**own, **spec, "paused": row.paused, "schedules": schedules, **times}


def _deployment_rows(found: Sequence[Deployment], style: Style) -> list[list[Cell]]:
    return [
        [
            Cell(each.full_name),
            Cell("paused", "yellow") if each.paused else Cell(_schedules(each)),
            style.time(_next_run(each)),
            Cell(f"{each.spec.work_pool}/{each.spec.work_queue}"),
            identity,
        ]
        for each, identity in zip(found, style.ids([each.id for each in found]), strict=True)
    ]


def _next_run(deployment: Deployment) -> int | None:
    if deployment.paused:
        return None
    return min((each.next_at for each in deployment.schedules if each.next_at is not None), default=None)


def _schedules(deployment: Deployment) -> str:
    from penstock.core import schedule_words  # noqa: PLC0415  only for those that have some

    return "; ".join(
        schedule_words.describe(each.spec.schedule) + (" (paused)" if each.paused else "")
        for each in deployment.schedules
    )


DEPLOYMENTS = View[Deployment](
    (
        Column("NAME"),
        Column("SCHEDULE"),
        Column("NEXT RUN", shrinks=False),
        Column("WORK POOL/QUEUE", drops=True),
        Column("ID", drops=True),
    ),
    _deployment_rows,
    fields,
)


def code(given: Code) -> str:
    """Where the code of a deployment lies, for people."""
    if isinstance(given, GitRepository):
        return f"git {given.url} at {given.ref}" + (f", folder {given.folder}" if given.folder else "")
    if isinstance(given, Bundle):
        return f"bundle {given.digest[:12]} ({humanize.size(given.size)})"
    return given.path
