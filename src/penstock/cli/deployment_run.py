"""``penstock deployment run``: a run of a deployment, which a worker executes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any

from cyclopts import Parameter

from penstock import errors
from penstock.cli import arguments, exit_codes, flow_run_watch, humanize, output, parameters, views
from penstock.cli.deployment import named
from penstock.cli.output import AS_FITS, OutputOptions
from penstock.cli.session import Here, Session
from penstock.core import parameter_schemas
from penstock.core.deployments import Deployment
from penstock.core.operations.deployments import GetDeployment, RunDeployment
from penstock.core.runs import FlowRun
from penstock.core.suggestions import nearest
from penstock.core.timestamps import as_microseconds

Tags = Annotated[tuple[str, ...], Parameter(name=("-t", "--tag"), metavar="TAG", help="A tag of the run.")]
Variables = Annotated[
    tuple[str, ...],
    Parameter(
        name=("-jv", "--job-variable"),
        metavar="NAME=VALUE",
        help="A value of the infrastructure, for this run, as in `env.TZ=UTC`.",
    ),
]


def run(
    deployment: Annotated[
        str | None,
        Parameter(
            metavar="NAME",
            help="The deployment, as `flow/name` or by its id.",
            completer=arguments.completion.deployments,
        ),
    ] = None,
    /,
    *,
    param: parameters.One = (),
    params: parameters.All = None,
    at: Annotated[
        str | None,
        Parameter(name=("--at", "--start-at"), metavar="TIME", help="Start then, as in `2026-11-26T06:00`."),
    ] = None,
    in_: Annotated[
        str | None,
        Parameter(name=("--in", "--start-in"), metavar="LENGTH", help="Start after this time, as in `10min`."),
    ] = None,
    watch: Annotated[bool, Parameter(help="Print its log until it has ended, and exit as it did.")] = False,
    tag: Tags = (),
    name: Annotated[str | None, Parameter(name="--flow-run-name", metavar="NAME", help="The run's name.")] = None,
    work_queue: Annotated[
        str | None, Parameter(metavar="QUEUE", help="Another queue of the deployment's pool.")
    ] = None,
    priority: Annotated[int, Parameter(help="Within its queue, a lower number comes first.")] = 0,
    job_variable: Variables = (),
    idempotency_key: Annotated[
        str | None, Parameter(metavar="KEY", help="The same key gives the run that it gave before.")
    ] = None,
    id: Annotated[str | None, Parameter(metavar="ID", help="The deployment of this id.")] = None,  # noqa: A002  as Prefect's option
    dry_run: arguments.DryRun = False,
    out: OutputOptions = AS_FITS,
    here: Here,
) -> int:
    """Create a run of a deployment, to start now or later.

    Parameters that are not given are the deployment's, then those of the flow's function. They are checked before
    anything runs. With `--watch`, Ctrl-C ends the watching, and not the run.
    """
    due_at, in_seconds = _start(at, in_)
    found = here.ask(GetDeployment(deployment=named(deployment, id)))
    given = _parameters(here, found, param, params)
    if dry_run:
        return _rehearse(here, found, given)
    if out.format is None:
        here.terminal.tell(f"Creating flow run for deployment '{found.full_name}'...")
    made = here.ask(
        RunDeployment(
            deployment=found.id,
            parameters=given,
            name=name,
            tags=tag,
            due_at=due_at,
            in_seconds=in_seconds,
            idempotency_key=idempotency_key,
            work_queue=work_queue,
            priority=priority,
            job_variables=parameters.values(job_variable, one="a job variable", option="--job-variable"),
        )
    )
    if out.format is not None:
        output.show_one(here, out, views.fields(made), lambda: "")
    elif here.terminal.quiet:
        here.terminal.write(made.id)
    else:
        here.terminal.tell("\n".join(_told(here, made)))
    if watch:
        return flow_run_watch.to_its_end(here, made)
    if flow_run_watch.is_unserved(here, made):
        here.terminal.hint(flow_run_watch.UNSERVED)
    return exit_codes.OK


def _start(at: str | None, in_: str | None) -> tuple[int | None, float | None]:
    if at is not None and in_ is not None:
        raise errors.UsageError("A run starts at a time or after one: `--at` and `--in` exclude each other")
    if in_ is not None:
        return None, humanize.span(in_)
    if at is None:
        return None, None
    try:
        moment = datetime.fromisoformat(at).astimezone()
    except ValueError:
        raise errors.UsageError(
            f"Not a time: `{at}`", hint="write it as in `2026-11-26T06:00` or `2026-11-26T06:00+01:00`"
        ) from None
    return as_microseconds(moment), None


def _parameters(here: Session, found: Deployment, singles: Sequence[str], whole: str | None) -> dict[str, Any]:
    """What is given for the run. Raises `ParameterError` for a name that the flow does not have."""
    given = parameters.read(here.terminal, singles, whole)
    schema = found.spec.parameter_schema
    known = schema.get("properties", {})
    unknown = [name for name in given if name not in known]
    if unknown and schema and not schema.get("additionalProperties"):
        takes = f"its parameters are: {_listed(known)}" if known else "it takes none"
        near = [near for name in unknown if (near := nearest(name, known)) is not None]
        raise errors.ParameterError(
            f"The deployment's flow has no parameter: {_listed(unknown)}",
            hint=f"did you mean {_listed(near)}? {takes[0].upper()}{takes[1:]}" if near else takes,
        )
    return given | {
        name: text for name, text in _texts(singles).items() if _is_meant_as_text(schema, name, given, text)
    }


def _texts(singles: Sequence[str]) -> dict[str, str]:
    parted = (single.partition("=") for single in singles)
    return {name: text for name, _, text in parted}


def _is_meant_as_text(schema: Mapping[str, Any], name: str, given: Mapping[str, Any], text: str) -> bool:
    """Whether ``-p name=2021`` is text that looks like a number, because that is what the flow takes."""
    if given[name] == text or not parameter_schemas.problems(schema, {name: given[name]}, complete=False):
        return False
    return not parameter_schemas.problems(schema, {name: text}, complete=False)


def _rehearse(here: Session, found: Deployment, given: dict[str, Any]) -> int:
    whole = {**found.spec.parameters, **given}
    if found.spec.enforce_parameter_schema and (
        wrong := parameter_schemas.problems(found.spec.parameter_schema, whole)
    ):
        raise errors.ParameterError(f"The parameters do not fit the flow `{found.flow_name}`: {'. '.join(wrong)}")
    shown = ", ".join(f"{name}={value!r}" for name, value in whole.items())
    here.terminal.say(f"Deployment '{found.full_name}' would run with {shown or 'no parameters'}")
    return exit_codes.OK


def _told(here: Session, made: FlowRun) -> list[str]:
    due_at = made.due_at or made.created_at
    wait = due_at - here.clock.now()
    when = "now" if wait < humanize.SECOND else f"in {humanize.duration(wait)}"
    lines = [
        f"Created flow run '{made.name}'.",
        f"└── UUID: {made.id}",
        f"└── Parameters: {made.parameters}",
        f"└── Scheduled start time: {humanize.local(due_at)} ({when})",
    ]
    url = getattr(here.orchestrator, "url", None)
    return lines if url is None else [*lines, f"└── URL: {url}/flow-runs/{made.id}"]


def _listed(names: Sequence[str] | Mapping[str, Any]) -> str:
    return ", ".join(f"`{name}`" for name in names)
