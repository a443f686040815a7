"""Slots that runs of this home have taken without a server: its store knows the limits, its files who holds slots.

A server that begins takes over what it finds: from then on it counts these slots as taken, as long as their files are
locked. Whoever wants a slot from now on asks the server.
"""

from __future__ import annotations

import platform
from collections import Counter
from typing import Any

from msgspec.structs import replace

from penstock.core.operations import Request
from penstock.core.operations.concurrency_limits import LimitInUse, ListConcurrencyLimits, ResetConcurrencyLimit
from penstock.files.slots import SlotFolder
from penstock.orchestration import concurrency_limits
from penstock.settings import Settings
from penstock.store.interface import Store


def take_over(store: Store, settings: Settings) -> int:
    """Have the store know who holds slots of files in the home now; says how many do."""
    holders = SlotFolder(settings.home / "slots").holders()
    owner = f"{platform.node()}:{settings.home}"
    with store.reading() as tx:
        known = tx.concurrency_limits.of_owner(owner, None)
    if holders or known:
        store.run(lambda tx: concurrency_limits.hold_elsewhere(tx, owner, holders))
    return len(holders)


def completed(settings: Settings, request: Request[Any], answer: Any) -> Any:
    """The store's answer, with what the files of the home add to it."""
    slots = SlotFolder(settings.home / "slots")
    if isinstance(request, ResetConcurrencyLimit):
        slots.forget(answer.name)
        return answer
    if isinstance(answer, LimitInUse):
        holders = [each for each in slots.holders() if each.limit == answer.limit.name]
        limit = replace(answer.limit, held=answer.limit.held + len(holders))
        return replace(answer, limit=limit, holders=answer.holders + holders)
    if isinstance(request, ListConcurrencyLimits):
        held = Counter(each.limit for each in slots.holders())
        return [replace(each, held=each.held + held[each.name]) for each in answer]
    return answer
