"""Where the runs of a deployment execute: in a process, a container, a pod. A deployment is given one of these.

Workers of type `process` are those that there are; what the others need is kept with the deployment, and a run of it
tells that no worker can give it a container yet.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, NoReturn, Self, cast

import msgspec

from penstock import errors

Text = str | int | float | bool | None
PullPolicy = Literal["ALWAYS", "IF_NOT_PRESENT", "NEVER"]


class Infrastructure(msgspec.Struct, frozen=True, kw_only=True):
    """What all kinds have. Values that do not fit raise `UsageError`."""

    type: ClassVar[str] = ""
    """The word for it in files."""

    env: dict[str, Text] = {}
    """Environment variables of the run; None takes one away."""
    labels: dict[str, str] = {}
    """Words for whoever looks after the infrastructure."""
    name: str | None = None
    command: str | list[str] | None = None
    """Executed instead of Penstock's own entrypoint."""
    stream_output: bool = True
    """Whether the worker shows what the run says."""

    def __post_init__(self) -> None:
        given = {name: getattr(self, name) for name in self.__struct_fields__}
        try:
            msgspec.convert(msgspec.to_builtins(given), _Fields[self.type], strict=True)
        except (msgspec.ValidationError, TypeError) as error:
            raise errors.UsageError(f"{type(self).__name__} does not fit: {error}") from None

    def given(self) -> dict[str, Any]:
        """What differs from the defaults, with its ``type``: what a deployment keeps of it."""
        values: dict[str, Any] = {"type": self.type}
        for field in msgspec.structs.fields(type(self)):
            value = getattr(self, field.name)
            if value not in (None, {}, [], field.default):
                values[field.name] = value
        return values

    def save(self, name: str, *, overwrite: bool = False) -> NoReturn:  # noqa: ARG002  as Prefect's
        """Not there yet: raises `UsageError`."""
        raise _no_blocks(f"{type(self).__name__}.save({name!r})", f"`infrastructure={type(self).__name__}(…)`")

    @classmethod
    def load(cls, name: str) -> Self:
        """Not there yet: raises `UsageError`."""
        raise _no_blocks(f"{cls.__name__}.load({name!r})", f"`infrastructure={cls.__name__}(…)`")


class Process(Infrastructure, frozen=True, kw_only=True):
    """A process that the worker starts on its own machine."""

    type: ClassVar[str] = "process"

    working_dir: str | None = None
    """Where it is started; otherwise where the code lies."""
    python: str | None = None
    """Another interpreter, which has Penstock and what the flow needs."""


class DockerContainer(Infrastructure, frozen=True, kw_only=True):
    """A container of Docker. There is no worker for it yet."""

    type: ClassVar[str] = "docker-container"

    image: str | None = None
    image_pull_policy: PullPolicy | None = None
    image_registry: str | None = None
    networks: list[str] = []
    network_mode: str | None = None
    auto_remove: bool = False
    volumes: list[str] = []
    memswap_limit: str | int | None = None
    mem_limit: str | int | None = None
    privileged: bool = False


class KubernetesJob(Infrastructure, frozen=True, kw_only=True):
    """A job of Kubernetes. There is no worker for it yet."""

    type: ClassVar[str] = "kubernetes-job"

    image: str | None = None
    namespace: str = "default"
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] | None = None
    service_account_name: str | None = None
    restart_policy: Literal["Never", "OnFailure", "Always"] | None = None
    finished_job_ttl: int | None = None
    job_watch_timeout_seconds: int | None = None
    pod_watch_timeout_seconds: int = 60
    cluster_config: dict[str, Any] | None = None
    customizations: list[Any] | dict[str, Any] = []
    job: dict[str, Any] | None = None


KINDS: dict[str, type[Infrastructure]] = {kind.type: kind for kind in (Process, DockerContainer, KubernetesJob)}


def _fields_of(kind: type[Infrastructure]) -> type:
    """The fields of a kind as a type of their own, to check values against."""
    fields = [(each.name, each.type) for each in msgspec.structs.fields(kind)]
    return msgspec.defstruct(f"{kind.__name__}Fields", fields)


_Fields = {name: _fields_of(kind) for name, kind in KINDS.items()}


def as_mapping(given: Any) -> dict[str, Any]:
    """What a deployment keeps of an infrastructure; of a process, only what it says. Raises `UsageError`."""
    if given is None:
        return {}
    if isinstance(given, Infrastructure):
        values = given.given()
    elif isinstance(given, Mapping):
        values = dict(cast("Mapping[str, Any]", given))
    else:
        raise errors.UsageError(
            f"Not an infrastructure: `{given!r}`", hint="give one of `penstock.infrastructure`: Process(…)"
        )
    if values.get("type") == Process.type:
        del values["type"]
    return values


def warning_about(infrastructure: Mapping[str, Any]) -> str | None:
    """What somebody who deploys should know: that no worker can start this kind yet."""
    kind = infrastructure.get("type", Process.type)
    if kind == Process.type:
        return None
    return (
        f"There are only workers of type `process` so far: none can start a run in `{kind}`, and each such run ends "
        "with a message that says so"
    )


def _no_blocks(what: str, instead: str) -> errors.UsageError:
    return errors.UsageError(
        f"Blocks cannot be stored in this version of Penstock, so there is no: `{what}`",
        hint=f"write it where it is used: {instead}",
    )
