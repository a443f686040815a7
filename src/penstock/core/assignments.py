"""What a worker tells the process that is to execute an attempt of a run."""

from __future__ import annotations

from typing import Any

import msgspec


class Assignment(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An attempt to execute: which, of what flow, with what, and whom to ask."""

    run_id: str
    attempt: int
    name: str
    flow_name: str
    entrypoint: str
    folder: str
    """Where the code lies: what the entrypoint is relative to."""
    parameters: dict[str, Any] = {}
    tags: tuple[str, ...] = ()
    deployment_id: str | None = None
    deployment: str | None = None
    """Its full name, ``flow/name``."""
    parent_flow_run_id: str | None = None
    due_at: int = 0
    api_url: str | None = None
    key: str = ""
    """What the run shows when it asks the API for something."""
    lease: str = ""
    """The file that says until when new tasks may start; see `journal.lease`."""


def encode(assignment: Assignment) -> bytes:
    return msgspec.json.encode(assignment)


def decode(data: bytes) -> Assignment:
    return msgspec.json.decode(data, type=Assignment)
