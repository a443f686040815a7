"""Flows, by the runs that they have."""

from __future__ import annotations

from penstock import errors
from penstock.core.operations import Page, checked_limit
from penstock.core.operations import flows as ask
from penstock.core.runs import FlowSummary
from penstock.core.suggestions import did_you_mean
from penstock.store.interface import Transaction


def list_flows(tx: Transaction, given: ask.ListFlows) -> Page[FlowSummary]:
    limit = checked_limit(given.limit)
    found = tx.flow_runs.flows(after=given.after or "", name=given.name, limit=limit + 1)
    more = len(found) > limit
    return Page(items=found[:limit], next=found[limit - 1].name if more else None)


def get_flow(tx: Transaction, given: ask.GetFlow) -> FlowSummary:
    found = tx.flow_runs.flow(given.flow)
    if found is None:
        near = did_you_mean(given.flow, tx.flow_runs.run_counts())
        raise errors.NotFound(
            f"No flow has run that is named: `{given.flow}`", hint=near or "`penstock flow ls` lists them"
        )
    return found
