"""`Deployment`: a flow that the server is to know, and when and where it runs."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Generator, Iterable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple, Protocol, cast

import msgspec

from penstock import errors
from penstock.core import deployment_files, ignore, parameter_schemas
from penstock.core import deployments as core
from penstock.core import parameters as of_parameters
from penstock.core.deployment_files import WrittenDeployment
from penstock.core.deployments import Bundle, Code, DeploymentSpec, GitRepository, LocalFolder, OnCrash
from penstock.core.infrastructure import overridden, process_job
from penstock.core.operations.deployments import Applied, ApplyDeployment, GetDeployment
from penstock.core.operations.work_pools import SaveWorkQueue
from penstock.core.ports import Orchestrator
from penstock.core.specs import FlowSpec
from penstock.sdk import bundles, code_sources, loading, plain_json, schedule_choices
from penstock.sdk import infrastructure as kinds
from penstock.sdk.code_sources import LocalFileSystem
from penstock.sdk.runs import environment

MAX_BYTES = 8 << 20
"""Parameters of a deployment may be that long, as JSON."""
IN_IMAGES = "/opt/penstock/flows"
"""Where the code of a deployment lies in an image, when nothing else is said."""


class DescribedFlow(Protocol):
    """A `Flow`, as far as a deployment needs it."""

    @property
    def spec(self) -> FlowSpec: ...


class DeploymentId(str):  # noqa: SLOT000  a str cannot have slots
    """The id of a deployment. It may be awaited, as in async code written for Prefect."""

    def __await__(self) -> Generator[Any, None, DeploymentId]:
        return self
        yield  # a generator that awaits nothing


class Prepared(NamedTuple):
    """A deployment that is ready to be applied."""

    orchestrator: Orchestrator
    spec: DeploymentSpec
    before: DeploymentSpec | None
    """As it is known now, if it is."""
    packed: bundles.Packed | None

    def apply(self) -> Applied:
        """Send its code, if that is to be uploaded, and have it made."""
        if self.packed is not None:
            self.orchestrator.keep_bundle(self.packed.bundle.digest, self.packed.archive)
        return self.orchestrator.ask(ApplyDeployment(spec=self.spec))

    def rehearse(self) -> Applied:
        """Have it checked, and say what applying it would come to."""
        return self.orchestrator.ask(ApplyDeployment(spec=self.spec, dry_run=True))


class Deployment:
    """A flow that the server is to know: ``Deployment.build_from_flow(flow=etl, name="nightly").apply()``.

    What is left out is None, until `load` takes it from the deployment of that name, if the server has one.
    """

    def __init__(
        self,
        name: str,
        *,
        flow: DescribedFlow | None = None,
        flow_name: str | None = None,
        description: str | None = None,
        version: str | None = None,
        tags: Iterable[str] | None = None,
        parameters: Mapping[str, Any] | None = None,
        schedule: Any = None,
        schedules: Iterable[Any] | None = None,
        is_schedule_active: bool | None = None,
        infrastructure: Any = None,
        infra_overrides: Mapping[str, Any] | None = None,
        storage: Any = None,
        upload: bool | None = None,
        path: str | os.PathLike[str] | None = None,
        entrypoint: str | None = None,
        work_pool_name: str | None = None,
        work_queue_name: str | None = None,
        parameter_openapi_schema: Mapping[str, Any] | None = None,
        enforce_parameter_schema: bool | None = None,
        concurrency_limit: int | None = None,
        on_crash: OnCrash | None = None,
        timeout_seconds: float | None = None,
    ) -> None:
        self.name = name
        self.flow_name = flow_name
        self.description = description
        self.version = version
        self.tags = None if tags is None else _texts(tags)
        self.parameters = None if parameters is None else dict(parameters)
        self.schedules = schedule_choices.chosen(schedule=schedule, schedules=schedules)
        """When it runs, each with a name."""
        self.is_schedule_active = is_schedule_active
        """Whether its schedules make runs."""
        self.infrastructure = None if infrastructure is None else kinds.as_mapping(infrastructure)
        self.infra_overrides = None if infra_overrides is None else dict(infra_overrides)
        self.storage = storage
        self.upload = upload
        """Whether applying packs the folder of the code and sends it to the server, for workers that do not have it."""
        self.path = None if path is None else os.fspath(path)
        self.entrypoint = entrypoint
        self.work_pool_name = work_pool_name
        self.work_queue_name = work_queue_name
        self.parameter_openapi_schema = None if parameter_openapi_schema is None else dict(parameter_openapi_schema)
        self.enforce_parameter_schema = enforce_parameter_schema
        self.concurrency_limit = concurrency_limit
        self.on_crash: OnCrash | None = on_crash
        self.timeout_seconds = timeout_seconds
        if flow is not None:
            self._describe(_spec_of(flow))

    # ── building ────────────────────────────────────────────────────────────────────────────────────────────────────

    @classmethod
    def build_from_flow(
        cls,
        flow: DescribedFlow,
        name: str,
        *,
        output: str | os.PathLike[str] | None = None,
        skip_upload: bool = False,
        ignore_file: str = ignore.FILE_NAME,
        apply: bool = False,
        load_existing: bool = True,
        **fields: Any,
    ) -> Deployment:
        """The deployment of a flow. What is not given stays as the server has it, if it knows one of that name.

        ``fields`` are those of `Deployment`. ``output`` writes a file for ``penstock deployment apply``; ``apply``
        applies it at once. A storage that is another folder gets a copy of this one, unless ``skip_upload``, without
        what ``ignore_file`` names.
        """
        deployment = cls(name, flow=flow, **fields)
        if load_existing:
            deployment.load()
        deployment.check()
        if not skip_upload:
            deployment.upload_to_storage(ignore_file=ignore_file)
        if output is not None:
            deployment.to_yaml(output)
        if apply:
            deployment.apply()
        return deployment

    @classmethod
    def load_from_yaml(cls, path: str | os.PathLike[str]) -> Deployment:
        """The deployment that a file describes. Raises `DeploymentFileError`; warns of what is not read."""
        read = read_file(path)
        for note in read.notes:
            warnings.warn(note, stacklevel=2)
        return cls.of_written(read.deployment)

    @classmethod
    def of_written(cls, written: WrittenDeployment) -> Deployment:
        """The deployment that was read from a file."""
        deployment = cls(written.name, flow_name=written.flow_name, entrypoint=written.entrypoint)
        deployment.description, deployment.version = written.description, written.version
        deployment.parameter_openapi_schema = written.parameter_openapi_schema
        deployment.storage, deployment.path = code_sources.storage_of(written.code)
        deployment.fill(written)
        return deployment

    def update(self, *, ignore_none: bool = False, **fields: Any) -> None:
        """Set some fields, by the names that `Deployment` takes. With ``ignore_none``, those that are None stay."""
        given: dict[str, Any] = {k: value for k, value in fields.items() if value is not None or not ignore_none}
        changed = type(self)(**cast("Any", {"name": self.name, **given}))
        for name in given:
            target = "schedules" if name == "schedule" else name
            setattr(self, target, getattr(changed, target))

    def load(self) -> bool:
        """Take what is not said here from the deployment of that name; says whether the server knows one.

        Nobody is asked while a worker imports the file in which this stands.
        """
        if loading.is_under_way():
            return False
        with _asking() as orchestrator:
            known = self.known_to(orchestrator)
        if known is not None:
            self.fill(known)
        return known is not None

    def known_to(self, orchestrator: Orchestrator) -> WrittenDeployment | None:
        """The deployment of that name, as a file would say it; None if there is none."""
        known = self._kept_by(orchestrator)
        if known is None:
            return None
        spec = known.spec
        return WrittenDeployment(
            name=spec.name,
            entrypoint=spec.entrypoint,
            code=spec.code,
            tags=spec.tags,
            parameters=spec.parameters,
            schedules=spec.schedules,
            is_schedule_active=not known.paused,
            infrastructure=spec.infrastructure,
            work_pool_name=spec.work_pool,
            work_queue_name=spec.work_queue,
            enforce_parameter_schema=None if spec.enforce_parameter_schema else False,
            concurrency_limit=spec.concurrency_limit,
            on_crash=None if spec.on_crash == "resume" else spec.on_crash,
            timeout_seconds=spec.timeout_seconds,
            upload=True if isinstance(spec.code, Bundle) else None,
        )

    def _kept_by(self, orchestrator: Orchestrator) -> core.Deployment | None:
        try:
            return orchestrator.ask(GetDeployment(deployment=f"{self._flow_name()}/{self.name}"))
        except errors.NotFound:
            return None

    def fill(self, known: WrittenDeployment) -> None:
        """Take what is not said here from there, as far as it is said there. What describes the flow's code stays."""
        for field in _KEPT:
            value = getattr(known, field)
            if getattr(self, field) is None and value not in (None, (), {}):
                setattr(self, field, value)
        if self.storage is None and self.path is None and isinstance(known.code, GitRepository):
            self.storage, self.path = code_sources.storage_of(known.code)

    def upload_to_storage(self, *, ignore_file: str = ignore.FILE_NAME) -> int:
        """Copy this folder to a storage that is another one, without what ``ignore_file`` names.

        Returns how many files were copied; 0 for storages that take no copies.
        """
        if not isinstance(self.storage, LocalFileSystem):
            return 0
        return self.storage.put_directory(".", self.path, ignore_file)

    # ── what it comes to ────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def code(self) -> Code:
        """Where its code lies. Raises `UsageError` for a storage that is none."""
        if self.storage is not None:
            return code_sources.code_of(self.storage, self.path or "")
        if self.path is None:
            return LocalFolder(IN_IMAGES if (self.infrastructure or {}).get("image") else str(Path.cwd()))
        return LocalFolder(os.path.abspath(os.path.expanduser(self.path)))

    def written(self) -> WrittenDeployment:
        """What a file says of it. Raises `UsageError` when something is missing that nobody can guess."""
        if self.entrypoint is None:
            raise errors.UsageError(
                f"It is not said which flow deployment `{self.name}` is of", hint="give `flow=`, or `entrypoint=`"
            )
        return WrittenDeployment(
            name=self.name,
            flow_name=self._flow_name(),
            entrypoint=self.entrypoint,
            code=self.code,
            description=self.description,
            version=self.version,
            tags=self.tags or (),
            parameters=plain_json.of(self.parameters or {}, f"The parameters of deployment `{self.name}`", MAX_BYTES),
            parameter_openapi_schema=self.parameter_openapi_schema or {},
            enforce_parameter_schema=self.enforce_parameter_schema,
            schedules=self.schedules or (),
            is_schedule_active=self.is_schedule_active,
            work_pool_name=self.work_pool_name,
            work_queue_name=self.work_queue_name,
            infrastructure=self.infrastructure or {},
            infra_overrides=self.infra_overrides or {},
            concurrency_limit=self.concurrency_limit,
            on_crash=self.on_crash,
            timeout_seconds=self.timeout_seconds,
            upload=self.upload,
        )

    def spec(self) -> DeploymentSpec:
        """What the server is asked to make it. With `upload`, its code is the folder, before it is packed."""
        return self.written().spec()

    def check(self) -> None:
        """Raise `ParameterError` when its parameters, or those of a schedule, do not fit the flow.

        Raises `UsageError` when a process has no use for what is said of it.
        """
        if (self.infrastructure or {}).get("type", "process") == "process":
            process_job({}, overridden(self.infrastructure or {}, self.infra_overrides or {}))
        if self.enforce_parameter_schema is False or not self.parameter_openapi_schema:
            return
        spec = self.spec()
        for given in (spec.parameters, *(each.parameters for each in spec.schedules)):
            if wrong := parameter_schemas.problems(spec.parameter_schema, given, complete=False):
                raise errors.ParameterError(
                    f"The parameters of deployment `{self.name}` do not fit its flow: {'. '.join(wrong)}",
                    hint=f"its parameters are: {', '.join(spec.parameter_schema.get('properties', {})) or 'none'}",
                )

    def to_yaml(self, path: str | os.PathLike[str]) -> None:
        """Write the file of the deployment. One that is there keeps its comments, and all that still holds."""
        file = Path(path).absolute()
        existing = _text_of(file) if file.exists() else None
        text = deployment_files.write(self.written(), existing, where=str(path), folder=str(file.parent))
        file.write_text(text, "utf-8")

    # ── applying ────────────────────────────────────────────────────────────────────────────────────────────────────

    def apply(self, upload: bool | None = None, work_queue_concurrency: int | None = None) -> DeploymentId:  # noqa: FBT001  as Prefect's
        """Let the server know it, whatever it knew; returns its id.

        ``upload`` packs the folder of the code and sends it to the server. Raises what the server has against it.
        While a worker or a command imports the file in which this stands, nothing is applied, and the id is empty.
        """
        applied = self.applied(upload, work_queue_concurrency)
        return DeploymentId("" if applied is None else applied.deployment.id)

    def applied(self, upload: bool | None = None, work_queue_concurrency: int | None = None) -> Applied | None:  # noqa: FBT001  as that of `apply`
        """`apply`, and say what that came to; None if nothing was applied."""
        if loading.is_under_way():
            warnings.warn(
                f"Deployment `{self.name}` is not applied while the file in which that stands is imported by others",
                stacklevel=3,
            )
            return None
        if upload is not None:
            self.upload = upload
        if warning := kinds.warning_about(self.infrastructure or {}):
            warnings.warn(warning, stacklevel=3)
        with _asking() as orchestrator:
            applied = self.apply_to(orchestrator)
            if work_queue_concurrency is not None:
                pool, queue = applied.deployment.spec.work_pool, applied.deployment.spec.work_queue
                orchestrator.ask(SaveWorkQueue(pool=pool, queue=queue, concurrency_limit=work_queue_concurrency))
        return applied

    def apply_to(self, orchestrator: Orchestrator) -> Applied:
        """Ask to have it made, and say what that came to."""
        return self.prepare(orchestrator).apply()

    def prepare(self, orchestrator: Orchestrator) -> Prepared:
        """What applying it would ask for: nothing is changed, and nothing sent, before that is applied.

        What somebody has paused stays paused, unless it is said here that it is not.
        """
        self.check()
        known = self._kept_by(orchestrator)
        spec = self.spec()
        packed = self.packed() if self.upload else None
        if packed is not None:
            spec = msgspec.structs.replace(spec, code=packed.bundle)
        if known is not None:
            held = {each.name for each in known.schedules if each.paused}
            schedules = [
                msgspec.structs.replace(each, paused=each.paused or each.name in held) for each in spec.schedules
            ]
            paused = spec.paused if self.is_schedule_active is not None else known.paused
            spec = msgspec.structs.replace(spec, paused=paused, schedules=tuple(schedules))
        return Prepared(orchestrator, spec, known.spec if known is not None else None, packed)

    def packed(self) -> bundles.Packed:
        """Its code as an archive. Raises `FlowFileError` when that cannot be made, or would not hold the flow."""
        code = self.code
        if not isinstance(code, LocalFolder):
            raise errors.UsageError(
                f"Only a folder can be packed, and the code of deployment `{self.name}` is in a repository"
            )
        entrypoint = self.entrypoint or ""
        if os.path.normpath(entrypoint).startswith(os.pardir) or os.path.isabs(entrypoint):
            raise errors.FlowFileError(
                f"The flow's file is not in the folder that is to be packed, `{code.path}`: `{entrypoint}`",
                hint="`path` names another folder: one that holds it",
            )
        return bundles.pack(Path(code.path), bundles.ignores_of(Path(code.path)))

    # ── details ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _flow_name(self) -> str:
        if self.flow_name is None:
            raise errors.UsageError(
                f"It is not said which flow deployment `{self.name}` is of", hint="give `flow=`, or `flow_name=`"
            )
        return self.flow_name

    def _describe(self, flow: FlowSpec) -> None:
        """Say of the flow what is not said yet."""
        self.flow_name = self.flow_name or flow.name
        self.version = flow.version if self.version is None else self.version
        self.description = flow.description if self.description is None else self.description
        if self.parameter_openapi_schema is None:
            self.parameter_openapi_schema = of_parameters.schema(flow.signature)
        if self.entrypoint is None:
            is_elsewhere = self.storage is not None and not isinstance(self.storage, LocalFileSystem)
            base = self.path if self.path is not None and not is_elsewhere else str(Path.cwd())
            self.entrypoint = entrypoint_of(flow, base)

    def __repr__(self) -> str:
        return f"Deployment(name={self.name!r}, flow_name={self.flow_name!r}, entrypoint={self.entrypoint!r})"


_KEPT = (
    "tags",
    "parameters",
    "schedules",
    "is_schedule_active",
    "infrastructure",
    "infra_overrides",
    "work_pool_name",
    "work_queue_name",
    "enforce_parameter_schema",
    "concurrency_limit",
    "on_crash",
    "timeout_seconds",
    "upload",
)
"""What a deployment keeps when it is built again without a word about it."""


def entrypoint_of(flow: FlowSpec, folder: str) -> str:
    """``path/to/file.py:name`` of a flow, from this folder. Raises `UsageError` for one that no worker could load."""
    where, _, name = flow.entrypoint.rpartition(":")
    if not where:
        raise errors.UsageError(
            f"Flow `{flow.name}` is in no file, so a worker could not load it",
            hint="write it into a file, at the top level of a module",
        )
    module = sys.modules.get(flow.fn.__module__)
    names = {} if module is None else vars(module)
    held = next((key for key, value in names.items() if value is flow.owner), name)
    return f"{Path(os.path.relpath(where, folder)).as_posix()}:{held}"


def _spec_of(given: Any) -> FlowSpec:
    spec = getattr(given, "spec", None)
    if not isinstance(spec, FlowSpec):
        raise errors.UsageError(f"Not a flow: `{given!r}`", hint="put `@flow` above the function")
    return spec


def _texts(given: Iterable[str]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(dict.fromkeys(given))


def read_file(path: str | os.PathLike[str]) -> deployment_files.FileRead:
    """What the file of a deployment says, with notes about what is not read. Raises `DeploymentFileError`."""
    file = Path(path).absolute()
    return deployment_files.read(_text_of(file), where=str(path), folder=str(file.parent))


def _text_of(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except (FileNotFoundError, IsADirectoryError):
        raise errors.DeploymentFileError(f"There is no file of a deployment: `{file}`") from None
    except UnicodeDecodeError:
        raise errors.DeploymentFileError(f"Not a text file: `{file}`") from None


def _asking() -> AbstractContextManager[Orchestrator]:
    from penstock.sdk import connect  # noqa: PLC0415  who only builds asks nobody

    here = environment()
    return connect.asking(here.settings, here.clock)
