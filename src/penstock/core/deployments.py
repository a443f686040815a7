"""Deployments: a flow that the server knows, where its code lies, and when and where it runs.

All times are microseconds since 1970 UTC.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal, Self, TypeAlias

import msgspec

from penstock import errors
from penstock.core.infrastructure import overridden
from penstock.core.schedules import Schedule
from penstock.core.slots import Policy

DEFAULT_POOL = "default"
"""The work pool that is always there, of type `process`."""
DEFAULT_QUEUE = "default"
"""The work queue that every pool has."""

DEFAULT_SCHEDULE = "default"
"""The name of a schedule to which nobody gave one."""

LARGEST_BUNDLE = 64 << 20
"""An archive of code has at most so many bytes: it is for code, not data."""

OnCrash: TypeAlias = Literal["resume", "fail"]

NAME = r"^[^/\x00-\x1f\x7f]{1,200}$"
"""Names of deployments: what fits a line; ``/`` parts the flow's name from the deployment's."""
SHORT_NAME = r"^[A-Za-z0-9][A-Za-z0-9 ._-]{0,99}$"
"""Names of pools, queues, schedules, limits."""


class LocalFolder(msgspec.Struct, frozen=True, tag="folder", tag_field="type"):
    """Code that lies in a folder which every worker of the pool has, at the same path."""

    path: str


class GitRepository(msgspec.Struct, frozen=True, tag="git", tag_field="type"):
    """Code in a git repository. At the claim of a run, ``ref`` becomes the commit that the run uses ever after."""

    url: str
    ref: str = "HEAD"
    """A branch, a tag, or a commit."""
    folder: str = ""
    """The folder in it where the entrypoint begins."""


class Bundle(msgspec.Struct, frozen=True, tag="bundle", tag_field="type"):
    """Code in an archive that is named by what it holds, kept by the server."""

    digest: str
    """BLAKE2b-256 of the archive, in hex."""
    size: int = 0


Code: TypeAlias = LocalFolder | GitRepository | Bundle


class ScheduleSpec(msgspec.Struct, frozen=True, kw_only=True):
    """When a deployment runs by itself. ``name`` stays the same through redeployments, and so does what has run."""

    name: str = DEFAULT_SCHEDULE
    schedule: Schedule
    parameters: dict[str, Any] = {}
    """Instead of the deployment's, one by one."""
    paused: bool = False
    policy: Policy = Policy()


def named_schedules(specs: Iterable[ScheduleSpec]) -> tuple[ScheduleSpec, ...]:
    """The same, where those that nobody named have names that nobody else has: ``default``, ``default-2``.

    Raises `UsageError` for a name that was given twice.
    """
    specs = list(specs)
    given = [spec.name for spec in specs if spec.name != DEFAULT_SCHEDULE]
    if twice := next((name for name in given if given.count(name) > 1), None):
        raise errors.UsageError(f"Two schedules have the name `{twice}`")
    free = (name for number in range(1, 2 * len(specs) + 1) if (name := _numbered(number)) not in given)
    return tuple(
        msgspec.structs.replace(spec, name=next(free)) if spec.name == DEFAULT_SCHEDULE else spec for spec in specs
    )


def _numbered(number: int) -> str:
    return DEFAULT_SCHEDULE if number == 1 else f"{DEFAULT_SCHEDULE}-{number}"


class DeploymentSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A deployment as somebody wants it: what all ways to deploy lead to."""

    name: str
    flow_name: str
    entrypoint: str
    """``path/in/the/code.py:flow`` or ``package.module:flow``."""
    code: Code
    description: str = ""
    version: str = ""
    tags: tuple[str, ...] = ()
    parameters: dict[str, Any] = {}
    parameter_schema: dict[str, Any] = {}
    """JSON Schema of the flow's parameters (``parameter_openapi_schema`` in files)."""
    enforce_parameter_schema: bool = True
    schedules: tuple[ScheduleSpec, ...] = ()
    work_pool: str = DEFAULT_POOL
    work_queue: str = DEFAULT_QUEUE
    infrastructure: dict[str, Any] = {}
    """For the pool's job template: ``env``, ``working_dir``, ``command``, ``stream_output``, ``image`` …"""
    concurrency_limit: int | None = None
    """How many of its runs may be under way at once; None for any number."""
    on_crash: OnCrash = "resume"
    """What happens to a run whose process or worker died: it goes on elsewhere, or it is Crashed."""
    timeout_seconds: float | None = None
    """A run is ended from outside after this time, whatever its code does."""
    paused: bool = False
    """No schedule of it makes runs."""

    def __post_init__(self) -> None:
        for what, given in (("deployment", self.name), ("flow", self.flow_name)):
            if not re.match(NAME, given):
                raise errors.UsageError(f"A {what}'s name is 1 to 200 characters without `/`: `{given}`")
        names = [each.name for each in self.schedules]
        if len(set(names)) < len(names):
            raise errors.UsageError(f"Each schedule needs a name of its own: `{', '.join(names)}`")

    @property
    def full_name(self) -> str:
        return f"{self.flow_name}/{self.name}"


class Deployment(msgspec.Struct, frozen=True, kw_only=True):
    """A deployment as it is kept."""

    id: str
    name: str
    flow_name: str
    created_at: int
    updated_at: int
    paused: bool = False
    spec: DeploymentSpec
    """As it was applied last; ``paused`` and schedules here are those in force."""
    schedules: tuple[ScheduleState, ...] = ()

    @property
    def full_name(self) -> str:
        return f"{self.flow_name}/{self.name}"


class ScheduleState(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule and how far it is."""

    name: str
    spec: ScheduleSpec
    paused: bool = False
    cursor: int
    """Every slot up to this time has been decided."""
    next_at: int | None = None
    """When its next slot is due; None: never."""
    trouble: str | None = None
    """Why its last slots could not become runs, as far as that is its own fault: parameters that do not fit."""


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """All that a worker needs to execute a run: kept with the run, so that a redeployment does not change it."""

    flow_name: str
    entrypoint: str
    code: Code
    parameters: dict[str, Any] = {}
    infrastructure: dict[str, Any] = {}
    timeout_seconds: float | None = None
    code_commit: str | None = None
    """The commit that the first claim has pinned."""
    asked_by_run_id: str | None = None
    """The run whose code has asked for this one: its key is good for this one too."""

    @classmethod
    def of(
        cls,
        spec: DeploymentSpec,
        parameters: Mapping[str, Any],
        variables: Mapping[str, Any],
        *,
        asked_by_run_id: str | None = None,
    ) -> Self:
        """What a run of a deployment executes, with ``variables`` of its own for the infrastructure."""
        return cls(
            flow_name=spec.flow_name,
            entrypoint=spec.entrypoint,
            code=spec.code,
            parameters=dict(parameters),
            infrastructure=overridden(spec.infrastructure, variables),
            timeout_seconds=spec.timeout_seconds,
            asked_by_run_id=asked_by_run_id,
        )
