"""What happened, in the order in which it was recorded."""

from __future__ import annotations

from penstock.core.operations import Page, checked_limit
from penstock.core.operations import events as ask
from penstock.core.runs import Event
from penstock.orchestration import overview
from penstock.store.interface import Transaction


def list_events(tx: Transaction, given: ask.ListEvents) -> Page[Event]:
    found = tx.events.page(
        after=overview.place(given.after),
        run_ids=(given.run,) if given.run else None,
        name=given.name,
        since=given.since,
        tail=given.tail,
        limit=checked_limit(given.limit),
    )
    return Page(items=found, next=str(found[-1].sequence) if found else given.after)
