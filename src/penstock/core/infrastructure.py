"""What a pool's job template and a deployment's ``infrastructure`` say about the process of a run."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

import msgspec

from penstock import errors

_NEW_INTERPRETER = ("PYTHON", "LD_", "DYLD_", "MALLOC_", "GLIBC_")
"""Variables that begin so are read when an interpreter starts, and never again."""


class ProcessJob(msgspec.Struct, frozen=True, kw_only=True):
    """How the process of a run is to be started."""

    env: dict[str, str | int | float | bool | None] = {}
    """Added to the worker's environment; None takes a variable away."""
    working_dir: str | None = None
    """Where it is started; otherwise where the code lies."""
    command: str | list[str] | None = None
    """Executed instead of Penstock's own entrypoint, which it is to call: ``python -m penstock.worker.entrypoint``."""
    python: str | None = None
    """Another interpreter, which has Penstock and what the flow needs."""
    stream_output: bool = True
    """Whether the worker shows the log and the output of the run."""
    preload: list[str] = []
    """Modules that the worker imports once, for all its runs; of the pool only."""

    @property
    def argv(self) -> list[str] | None:
        """What to execute; None: a process that has everything imported already."""
        command = shlex.split(self.command) if isinstance(self.command, str) else self.command
        if command:
            return command
        if self.python or any(name.startswith(_NEW_INTERPRETER) for name in self.env):
            return [self.python or "", "-m", "penstock.worker.entrypoint"]
        return None

    @property
    def variables(self) -> dict[str, str | None]:
        """``env``, as text."""
        return {name: None if value is None else _text(value) for name, value in self.env.items()}


IGNORED = frozenset({"type", "name", "labels", "block_type_slug", "_block_type_slug"})
"""Said by files of Prefect 2 about every infrastructure; a process has no use for them."""


def process_job(template: Mapping[str, Any], infrastructure: Mapping[str, Any]) -> ProcessJob:
    """What holds for a run: the pool's template, with the deployment's values laid over it; ``env`` name by name.

    Raises `UsageError` for another type, for values that do not fit, and for names that a process knows nothing of.
    """
    merged = {**template, **infrastructure}
    if isinstance(template.get("env"), dict) and isinstance(infrastructure.get("env"), dict):
        merged["env"] = {**template["env"], **infrastructure["env"]}
    if (kind := infrastructure.get("type") or "process") != "process":
        raise errors.UsageError(
            f"The run is to be executed in `{kind}`, and there are only workers of type `process` yet",
            hint="deploy it without `infrastructure`, or with one of type `process`",
        )
    if infrastructure.get("preload"):
        raise errors.UsageError("What is imported once for all runs is for the work pool to say: `preload`")
    given = {name: value for name, value in merged.items() if name not in IGNORED and value is not None}
    unknown = sorted(given.keys() - set(ProcessJob.__struct_fields__))
    if unknown:
        raise errors.UsageError(
            f"Infrastructure of type `process` has no field: `{'`, `'.join(unknown)}`",
            hint=f"it has: {', '.join(ProcessJob.__struct_fields__)}",
        )
    try:
        return msgspec.convert(given, ProcessJob)
    except msgspec.ValidationError as error:
        raise errors.UsageError(f"Infrastructure of type `process` does not fit: {error}") from None


def _text(value: str | float | bool) -> str:  # noqa: FBT001  what YAML makes of yes and 1
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


def overridden(infrastructure: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """The infrastructure with single values laid over it: ``{"env.TZ": "UTC"}`` or ``{"env": {"TZ": "UTC"}}``."""
    result = dict(infrastructure)
    for path, given in overrides.items():
        name, *rest = path.split(".", 1)
        value = {rest[0]: given} if rest else given
        before = result.get(name)
        nested = isinstance(value, Mapping) and (rest or isinstance(before, Mapping))
        result[name] = overridden(before or {}, value) if nested else value
    return result
