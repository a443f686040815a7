"""Arguments and options that several commands share, so that they look alike everywhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from math import inf
from typing import Annotated, Any, get_args

from cyclopts import Parameter, Token, convert

from penstock.cli import completion
from penstock.core.states import StateType, meant


def between(least: float, most: float = inf) -> Callable[[Any, float | None], None]:
    """A validator of numbers. It is here because those of cyclopts name no option, and cost each command 3 ms."""
    wanted = f"{least:,} or more" if most == inf else f"{least:,} to {most:,}"

    def check(_: Any, value: float | None) -> None:
        if value is not None and not least <= value <= most:
            raise ValueError(wanted)

    return check


def any_case(kind: Any, tokens: Sequence[Token]) -> Any:
    """A converter: a word of a ``Literal``, in capitals or in small letters."""
    words = {each.lower(): each for each in get_args(kind)}
    return convert(kind, [token.evolve(value=words.get(token.value.lower(), token.value)) for token in tokens])


def _states(_: Any, tokens: Sequence[Token]) -> tuple[StateType | str, ...]:
    return tuple(meant(token.value) for token in tokens)


States = Annotated[
    tuple[str, ...],
    Parameter(
        metavar="STATE",
        converter=_states,
        completer=completion.states,
        help="Only those in this state: a type, as `failed`, or a name, as `Late` or `TimedOut`.",
    ),
]
"""`StateType`, or one of the names of `core.states.NAMES`: `parted` tells them apart."""


def parted(states: Iterable[StateType | str]) -> tuple[tuple[StateType, ...], tuple[str, ...]]:
    """The types among them, and the names."""
    types = tuple(each for each in states if isinstance(each, StateType))
    return types, tuple(each for each in states if not isinstance(each, StateType))


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

Deployment = Annotated[
    str,
    Parameter(
        metavar="NAME",
        help="The deployment, as `flow/name` or by its id.",
        completer=completion.deployments,
    ),
]

Since = Annotated[
    str | None,
    Parameter(metavar="TIME", help="Only since then: how long ago, as in `2h`, or a date, as in `2026-11-23T08:00`."),
]

Limit = Annotated[
    int,
    Parameter(name=("-n", "--limit"), help="At most this many.", validator=between(1, 100_000)),
]

DryRun = Annotated[bool, Parameter(help="Say what would be done, and do nothing.")]

Yes = Annotated[bool, Parameter(name=("-y", "--yes"), help="Do not ask.")]

WorkPool = Annotated[str, Parameter(metavar="POOL", help="The work pool.", completer=completion.work_pools)]

WorkQueue = Annotated[str, Parameter(metavar="QUEUE", help="The work queue.", completer=completion.work_queues)]

Slots = Annotated[int, Parameter(metavar="N", help="So many, 0 for none.", validator=between(0, 1_000_000))]

Hours = Annotated[
    float,
    Parameter(
        name=("-h", "--hours"),
        metavar="N",
        help="Also those that are due within so many hours.",
        validator=between(0, 24 * 366),
    ),
]

PreviewLimit = Annotated[int, Parameter(name=("-n", "--limit"), help="At most this many.", validator=between(1, 200))]
