"""Runs that are paused, and what lets them go on."""

from __future__ import annotations

from typing import Any

import msgspec

from penstock.core.operations import Permission, Request, operation
from penstock.core.runs import FlowRun


class RunInput(msgspec.Struct, frozen=True, kw_only=True):
    """What a run waits for."""

    key: str
    """The id of the task run that stands for the pause."""
    flow_run_id: str
    """The run itself, or the subflow run that waits."""
    round: int = 1
    asked_at: int
    deadline: int | None = None
    """When it fails, if nobody has resumed it by then."""
    suspends: bool = False
    """Whether it waits without a process."""
    message: str | None = None
    schema: dict[str, Any] = {}
    """The JSON Schema of the input, an object; empty if it only waits to be resumed."""


@operation("GET", "/flow-runs/{run}/inputs", Permission.READ)
class ListRunInputs(Request[list[RunInput]], frozen=True, kw_only=True):
    """What a run, and the subflow runs in it, wait for now: what has to be given to ``resume`` them."""

    run: str


@operation("POST", "/flow-runs/{run}/resume", Permission.OPERATE, is_idempotent=True)
class ResumeFlowRun(Request[FlowRun], frozen=True, kw_only=True):
    """Let a run go on that is paused or suspended, with the input that it waits for.

    Raises `ParameterError` for an input that does not fit. The same input again changes nothing.
    """

    run: str
    input: dict[str, Any] | None = None
    key: str | None = None
    """Which pause is meant, when the run waits at several."""
    by: str = ""


@operation("POST", "/flow-runs/{run}/pause", Permission.OPERATE, is_idempotent=True)
class PauseFlowRun(Request[FlowRun], frozen=True, kw_only=True):
    """Let no new task of a run start until it is resumed. Tasks under way end; its process waits."""

    run: str
    by: str = ""


@operation("POST", "/flow-runs/{run}/suspend", Permission.OPERATE, is_idempotent=True)
class SuspendFlowRun(Request[FlowRun], frozen=True, kw_only=True):
    """End the process of a run, which goes on where it stopped, on any worker, when it is resumed."""

    run: str
    by: str = ""


class GivenInput(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody gave a run that waited."""

    value: dict[str, Any]
    by: str = ""


@operation("GET", "/flow-runs/{run_id}/inputs/{key}", Permission.RUN)
class AwaitRunInput(Request[list[GivenInput]], frozen=True, kw_only=True):
    """What was given at a pause of a run. Without that, the answer waits for up to ``wait_seconds``."""

    run_id: str
    key: str
    round: int = 1
    wait_seconds: float = 0

    def topic(self) -> str:
        return f"input:{self.run_id}"
