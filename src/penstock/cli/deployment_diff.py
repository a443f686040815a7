"""What applying a deployment changes, line by line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

import msgspec

from penstock.cli import output
from penstock.cli.terminal import Terminal, one_line
from penstock.core import schedule_words
from penstock.core.deployments import DeploymentSpec, ScheduleSpec
from penstock.sdk.deployments import Prepared

MAX_SHOWN = 120
"""A longer value is cut off."""


def show(terminal: Terminal, prepared: Prepared) -> None:
    """Print what would become of the deployment, and each value that would change."""
    name = terminal.paint(one_line(prepared.spec.full_name), "bold")
    if prepared.before is None:
        terminal.write(f"{name}: created")
        return
    changes = list(_changes(_values(prepared.before), _values(prepared.spec)))
    terminal.write(f"{name}: {'changed' if changes else 'as it is'}")
    for path, before, after in changes:
        for sign, style, value in (("-", "red", before), ("+", "green", after)):
            if value is not None:
                terminal.write(terminal.paint(f"  {sign} {one_line(path)}: {_shown(value)}", style))


def _values(spec: DeploymentSpec) -> dict[str, Any]:
    """All that a deployment is, as plain values."""
    values: dict[str, Any] = msgspec.to_builtins(spec)
    values["schedules"] = {each.name: _schedule(each) for each in spec.schedules}
    return values


def _schedule(spec: ScheduleSpec) -> dict[str, Any]:
    """When it comes, and what is unusual about it."""
    said: dict[str, Any] = msgspec.to_builtins(spec)
    usual: dict[str, Any] = msgspec.to_builtins(ScheduleSpec(name=spec.name, schedule=spec.schedule))
    unusual = {name: value for name, value in said.items() if value != usual[name]}
    return {"when": schedule_words.describe(spec.schedule), **unusual}


def _changes(before: Any, after: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Where they differ, with both values; None for one that is not there."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        old, new = cast("Mapping[str, Any]", before), cast("Mapping[str, Any]", after)
        for key in dict.fromkeys([*old, *new]):
            yield from _changes(old.get(key), new.get(key), f"{path}.{key}" if path else str(key))
    elif before != after:
        yield path, before, after


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else output.as_json(value)
    text = one_line(text)
    return text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "…"
