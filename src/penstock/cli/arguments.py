"""Arguments and options that several commands share, so that they look alike everywhere."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import Parameter, validators

from penstock.cli import completion

StateName = Literal[
    "scheduled", "pending", "running", "paused", "cancelling", "completed", "failed", "crashed", "cancelled"
]

States = Annotated[tuple[StateName, ...], Parameter(help="Only those in a state of this type.")]

FlowRun = Annotated[
    str,
    Parameter(
        metavar="RUN",
        help="The run: its name (of several, the newest), its id, or a beginning of the id that no other has.",
        completer=completion.flow_runs,
    ),
]

TaskRun = Annotated[
    str, Parameter(metavar="TASK-RUN", help="The task run: its id, or a beginning of it that no other has.")
]

Since = Annotated[
    str | None,
    Parameter(metavar="TIME", help="Only since then: how long ago, as in `2h`, or a date, as in `2026-11-23T08:00`."),
]

Limit = Annotated[
    int,
    Parameter(name=("-n", "--limit"), help="At most this many.", validator=validators.Number(gte=1, lte=100_000)),
]

DryRun = Annotated[bool, Parameter(help="Say what would be done, and do nothing.")]

Yes = Annotated[bool, Parameter(name=("-y", "--yes"), help="Do not ask.")]
