"""The keeper of slots: counts those that runs of this home have taken while there was no server."""

from __future__ import annotations

from penstock.orchestration import local_slots
from penstock.settings import Settings
from penstock.store.interface import Store

BUSY_SECONDS = 1.0
"""Between two looks while there are some …"""
IDLE_SECONDS = 2.0
"""… and while there are none: new ones are asked for at the server."""


class SlotKeeper:
    name = "slot keeper"
    topics: frozenset[str] = frozenset()

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._settings = settings

    def run_once(self) -> float:
        """Have the store know who holds slots here; returns in how many seconds to look again."""
        return BUSY_SECONDS if local_slots.take_over(self._store, self._settings) else IDLE_SECONDS
