"""Flows, by the runs that they have."""

from __future__ import annotations

from penstock.core.operations import Page, Permission, Request, operation
from penstock.core.runs import FlowSummary


@operation("GET", "/flows", Permission.READ)
class ListFlows(Request[Page[FlowSummary]], frozen=True, kw_only=True):
    """Flows that have run, by name, each with its newest run."""

    name: str | None = None
    """How names begin."""
    limit: int = 100
    after: str | None = None


@operation("GET", "/flows/{flow}", Permission.READ)
class GetFlow(Request[FlowSummary], frozen=True, kw_only=True):
    """The flow of that name; raises `NotFound` with what may have been meant."""

    flow: str
