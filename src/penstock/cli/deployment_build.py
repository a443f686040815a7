"""``penstock deployment build`` and ``apply``: from a flow to a file, and from a file to the server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from cyclopts import Parameter

from penstock import errors
from penstock.cli import arguments, deployment_diff, parameters, schedule_options
from penstock.cli.session import Here, Session
from penstock.core import ignore
from penstock.core.deployment_files import WrittenDeployment
from penstock.core.deployments import DEFAULT_POOL, DEFAULT_QUEUE, DeploymentSpec, LocalFolder
from penstock.core.operations.deployments import Applied
from penstock.core.operations.work_pools import SaveWorkQueue
from penstock.sdk import entrypoints, infrastructure
from penstock.sdk.deployments import Deployment, entrypoint_of, read_file

Infrastructure = Literal["process", "docker-container", "kubernetes-job"]

Name = Annotated[str, Parameter(name=("-n", "--name"), metavar="NAME", help="The deployment's name.")]
Version = Annotated[
    str | None,
    Parameter(name=("-v", "--version"), metavar="VERSION", help="Its version. Without it: the flow's."),
]
Tags = Annotated[tuple[str, ...], Parameter(name=("-t", "--tag"), metavar="TAG", help="A tag of its runs.")]
Queue = Annotated[
    str | None,
    Parameter(name=("-q", "--work-queue"), metavar="QUEUE", help="The work queue of its runs; made if there is none."),
]
Pool = Annotated[
    str | None, Parameter(name=("-p", "--pool"), metavar="POOL", help="The work pool whose workers execute them.")
]
QueueLimit = Annotated[
    int | None,
    Parameter(name=("-l", "--limit"), help="At most so many runs of the work queue at once. It counts when applied."),
]
Block = Annotated[
    str | None, Parameter(name=("-ib", "--infra-block"), metavar="TYPE/NAME", help="Refused: there are no blocks yet.")
]
StorageBlock = Annotated[
    str | None,
    Parameter(name=("-sb", "--storage-block"), metavar="TYPE/NAME", help="Refused: there are no blocks yet."),
]
Overrides = Annotated[
    tuple[str, ...],
    Parameter(name="--override", metavar="NAME=VALUE", help="A value of the infrastructure, as in `env.TZ=UTC`."),
]
OneParameter = Annotated[
    tuple[str, ...],
    Parameter(name="--param", metavar="NAME=VALUE", help="A parameter of its runs; JSON, or else a text."),
]
Upload = Annotated[
    bool, Parameter(help="When applied, pack the folder and send it to the server, for workers that do not have it.")
]


def build(
    *where: Annotated[
        str,
        Parameter(
            metavar="[FOLDER] FILE:FLOW",
            help="The flow: its file and function. A folder before it is the one that runs begin in.",
        ),
    ],
    name: Name,
    version: Version = None,
    tag: Tags = (),
    description: Annotated[str | None, Parameter(help="What it is for. Without it: the flow's docstring.")] = None,
    work_queue: Queue = None,
    pool: Pool = None,
    limit: QueueLimit = None,
    infra: Annotated[
        Infrastructure | None, Parameter(name=("-i", "--infra"), help="What its runs are executed in.")
    ] = None,
    infra_block: Block = None,
    override: Overrides = (),
    storage_block: StorageBlock = None,
    upload: Upload = False,
    skip_upload: Annotated[bool, Parameter(help="Do not say that nothing is uploaded.")] = False,
    cron: schedule_options.OneCron = None,
    interval: schedule_options.OneInterval = None,
    rrule: schedule_options.OneRRule = None,
    anchor_date: schedule_options.AnchorDate = None,
    timezone: schedule_options.Timezone = None,
    path: Annotated[
        str | None, Parameter(metavar="FOLDER", help="The folder of the code on the workers' machines.")
    ] = None,
    output: Annotated[
        str | None,
        Parameter(name=("-o", "--output"), metavar="FILE", help="Write this file, instead of `FLOW-deployment.yaml`."),
    ] = None,
    apply: Annotated[bool, Parameter(name=("-a", "--apply"), help="Let the server know it at once.")] = False,
    param: OneParameter = (),
    params: parameters.All = None,
    here: Here,
) -> None:
    """Write the file of a deployment, to be edited and applied.

    What is not said stays as it is in the file, if there is one, and else as the server has it. Comments in the file
    stay. The flow's file is imported here; no server ever does that.
    """
    _refuse_blocks(infra_block, storage_block)
    schedule = schedule_options.one(cron, interval, rrule, anchor_date, timezone)
    place = _placed(where, path)
    terminal = here.terminal
    with entrypoints.loaded(place.typed) as flow:
        terminal.tell(f"Found flow {flow.name!r}")
        function = place.function or entrypoint_of(flow.spec, ".").rpartition(":")[2]
        deployment = Deployment(
            name,
            flow=flow,
            entrypoint=f"{place.module}:{function}",
            path=place.folder,
            version=version,
            description=description,
            tags=tag or None,
            parameters=parameters.read(terminal, param, params) or None,
            schedules=None if schedule is None else [schedule],
            infrastructure=None if infra is None else {"type": infra},
            infra_overrides=parameters.values(override, one="a value of the infrastructure", option="--override")
            or None,
            upload=upload or None,
            work_queue_name=work_queue,
            work_pool_name=pool,
        )
    _provide_ignore_file(here)
    file = _output(output, function)
    _fill(here, deployment, file)
    deployment.check()
    deployment.to_yaml(file)
    terminal.tell(f"Deployment YAML created at '{file}'.")
    _tell_of_upload(here, deployment, is_silent=skip_upload)
    if apply:
        _tell_of_applied(here, deployment, deployment.apply_to(here.orchestrator), limit)


def apply(
    *files: Annotated[Path, Parameter(metavar="FILE", help="Files that `penstock deployment build` has written.")],
    upload: Upload = False,
    limit: QueueLimit = None,
    dry_run: arguments.DryRun = False,
    here: Here,
) -> None:
    """Let the server know the deployments of files, whatever it knew of them.

    Files that Prefect 2 has written will do; what is not read in them is told.
    """
    if not files:
        raise errors.UsageError("Which files?", hint="`penstock deployment build` writes one")
    for file in files:
        deployment = _read(here, file)
        here.terminal.tell(f"Successfully loaded '{deployment.name}'")
        if upload:
            deployment.upload = True
        prepared = deployment.prepare(here.orchestrator)
        if dry_run:
            prepared.rehearse()
            deployment_diff.show(here.terminal, prepared)
        else:
            _tell_of_applied(here, deployment, prepared.apply(), limit)


# ── build ────────────────────────────────────────────────────────────────────────────────────────────────────────────


class _Place(NamedTuple):
    """Where a flow is: for this process, and for workers."""

    typed: str
    """As it was given: relative to where one is."""
    module: str
    """Its file, relative to the folder; or its module."""
    function: str
    """Empty when none was named, because there is only one."""
    folder: str | None


def _placed(where: tuple[str, ...], path: str | None) -> _Place:
    if len(where) not in (1, 2):
        raise errors.UsageError(
            "Which flow? Give its file and function", hint="as in `penstock deployment build flows/etl.py:etl -n NAME`"
        )
    entrypoint = where[-1]
    file, colon, function = entrypoint.rpartition(":")
    if not colon:
        file = entrypoint
    folder = path
    if len(where) == 2:
        if path is not None:
            raise errors.UsageError("The folder is given twice: before the flow, and by `--path`")
        if not Path(where[0]).is_dir():
            raise errors.UsageError(f"There is no such folder: `{where[0]}`")
        folder = str(Path(where[0]).absolute())
        # As for all else that is typed: relative to where one is, not to the folder.
        if file.endswith(".py"):
            file = _relative(file, folder)
    elif file.startswith("./"):
        file = file.removeprefix("./")
    return _Place(entrypoint, file, function if colon else "", folder)


def _relative(file: str, folder: str) -> str:
    import os  # noqa: PLC0415  for one function

    return Path(os.path.relpath(file, folder)).as_posix()


def _refuse_blocks(infra_block: str | None, storage_block: str | None) -> None:
    for given, option, instead in (
        (infra_block, "-ib", "`-i TYPE`, with `--override NAME=VALUE` for its values"),
        (storage_block, "-sb", "`--upload`, or a folder that all workers have by `--path`"),
    ):
        if given is not None:
            raise errors.UsageError(
                f"There are no blocks yet in this version of Penstock: `{option} {given}`", hint=f"use {instead}"
            )


def _provide_ignore_file(here: Session) -> None:
    file = Path.cwd() / ignore.FILE_NAME
    if not file.exists():
        file.write_text(ignore.DEFAULT, "utf-8")
        here.terminal.tell(f"Default '{ignore.FILE_NAME}' file written to {file}")


def _output(given: str | None, function: str) -> Path:
    file = Path(given or f"{function}-deployment.yaml").absolute()
    if not file.suffix:
        file = file.with_suffix(".yaml")
    if file.suffix not in (".yaml", ".yml"):
        raise errors.UsageError(f"The file of a deployment ends in `.yaml`: `{given}`")
    return file


def _fill(here: Session, deployment: Deployment, file: Path) -> None:
    """What was not said on the line: as the file has it, else as the server does."""
    written = _read_written(here, file) if file.exists() else None
    if written is not None and written.name != deployment.name:
        _set_aside(here, file, written.name)
        written = None
    if written is not None:
        deployment.fill(written)
    try:
        known = deployment.known_to(here.orchestrator)
    except errors.ServerUnreachable as error:
        here.terminal.warn(f"{error.message}. So what it may know of this deployment is not in the file")
        known = None
    if known is not None:
        deployment.fill(known)
        kept = [name for name in _COMPARED if written is not None and _differ(written, known, deployment, name)]
        if kept:
            here.terminal.hint(f"as in the file, and not as on the server: {', '.join(kept)}")
    deployment.work_queue_name = deployment.work_queue_name or DEFAULT_QUEUE


def _set_aside(here: Session, file: Path, name: str) -> None:
    """Keep the file of another deployment, which somebody may have edited: a flow's all have the same default name."""
    aside = file.with_name(f"{file.name}.old")
    file.replace(aside)
    here.terminal.warn(f"`{file.name}` was the file of deployment `{name}`, and is kept as `{aside.name}`")
    here.terminal.hint("`-o FILE` gives each deployment a file of its own")


_COMPARED = ("parameters", "tags", "schedules", "infrastructure", "work_pool_name", "work_queue_name")


def _differ(written: WrittenDeployment, known: WrittenDeployment, deployment: Deployment, name: str) -> bool:
    said, there = getattr(written, name), getattr(known, name)
    return said not in (None, (), {}) and said != there and getattr(deployment, name) == said


def _tell_of_upload(here: Session, deployment: Deployment, *, is_silent: bool) -> None:
    if deployment.upload:
        here.terminal.say("Its code is packed and sent to the server whenever it is applied")
    elif not is_silent:
        # Prefect's line, which scripts look for; what it does not tell, the hint does.
        here.terminal.tell(
            "Deployment storage None does not have upload capabilities; no files uploaded.  "
            "Pass --skip-upload to suppress this warning."
        )
        where = deployment.path or Path.cwd()
        here.terminal.hint(f"workers take the code from where it is, `{where}`; with `--upload`, the server keeps it")


# ── apply ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _read(here: Session, file: Path) -> Deployment:
    return Deployment.of_written(_read_written(here, file))


def _read_written(here: Session, file: Path) -> WrittenDeployment:
    read = read_file(file)
    for note in read.notes:
        here.terminal.warn(note)
    return read.deployment


def _tell_of_applied(here: Session, deployment: Deployment, applied: Applied, limit: int | None) -> None:
    terminal = here.terminal
    made = applied.deployment
    pool, queue = made.spec.work_pool, made.spec.work_queue
    if warning := infrastructure.warning_about(deployment.infrastructure or {}):
        terminal.warn(warning)
    if missing := _missing_code(made.spec):
        terminal.warn(f"There is no `{missing}` on this machine: workers need it in the same place")
    if limit is not None:
        here.ask(SaveWorkQueue(pool=pool, queue=queue, concurrency_limit=limit))
    # Prefect's line, also when it was there already: scripts look for it, and the next line tells.
    terminal.tell(f"Deployment '{made.full_name}' successfully created with id '{made.id}'.")
    if not applied.created:
        changed = f"; changed: {', '.join(applied.changed)}" if applied.changed else ", and is as it was"
        terminal.say(f"It was there already{changed}")
    terminal.tell(f"View Deployment: penstock deployment inspect '{made.full_name}'")
    terminal.tell("\n" + "\n".join(how_to_execute(pool, queue)))


def _missing_code(spec: DeploymentSpec) -> Path | None:
    """The folder or file of a deployment that should be here if workers use this machine's, and is not."""
    if not isinstance(spec.code, LocalFolder) or spec.infrastructure.get("image"):
        return None
    folder = Path(spec.code.path)
    if not folder.is_dir():
        return folder
    file = folder / spec.entrypoint.rpartition(":")[0]
    return file if file.suffix == ".py" and not file.is_file() else None


def how_to_execute(pool: str, queue: str) -> tuple[str, str]:
    """What to start, so that runs of a pool and queue are executed."""
    if pool == DEFAULT_POOL:
        return (
            f"To execute flow runs from this deployment, start an agent that pulls work from the '{queue}' work queue:",
            f"$ penstock agent start -q '{queue}'",
        )
    only = "" if queue == DEFAULT_QUEUE else f" -q '{queue}'"
    return (
        f"To execute flow runs from this deployment, start a worker that pulls work from the '{pool}' work pool:",
        f"$ penstock worker start -p '{pool}'{only}",
    )
