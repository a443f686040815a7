"""The orchestrator that this process is itself, when no server keeps the home."""

from __future__ import annotations

from typing import TypeVar

from penstock.clock import Clock
from penstock.core import wire
from penstock.core.operations import Request, operation_of
from penstock.core.operations.flow_runs import ExplainFlowRun
from penstock.core.runs import Explanation
from penstock.orchestration import handlers, kept_files, local_slots, rescue, why
from penstock.orchestration.local import Home
from penstock.settings import Settings
from penstock.store.interface import Transaction

R = TypeVar("R")

PAUSE_SECONDS = 0.2
"""Between two looks at whether there is an answer by now …"""
LOOKS_TO_PAUSES = 10
"""… but so many times as long as a look takes, at least: with many runs it is not to take a processor."""


class LocalOrchestrator:
    """The home on this machine, opened for each request; see `core.ports.Orchestrator`.

    Raises `StoreBusy` when another process goes on writing the store. Nothing happens by itself in such a home: no
    schedule makes runs, and no dead worker is noticed, until a server is started. With ``fold=False``, what journals
    say is not looked at first.
    """

    def __init__(self, settings: Settings, clock: Clock, *, fold: bool = True) -> None:
        self._settings = settings
        self._clock = clock
        self._fold = fold

    def ask(self, request: Request[R]) -> R:
        wire.check(request)
        deadline = self._clock.elapsed() + getattr(request, "wait_seconds", 0.0)
        while True:
            began = self._clock.elapsed()
            answer = self._ask(request)
            if operation_of(request).noun == "concurrency_limits":
                answer = local_slots.completed(self._settings, request, answer)
            now = self._clock.elapsed()
            left = deadline - now
            if answer or request.topic() is None or left <= 0:
                return answer
            self._clock.sleep(min(max(PAUSE_SECONDS, LOOKS_TO_PAUSES * (now - began)), left))

    def keep_bundle(self, digest: str, archive: bytes) -> None:
        with Home(self._settings, self._clock) as home, home.writing() as store:
            kept_files.keep_bundle(store, digest, archive)

    def close(self) -> None:
        """Nothing is held open between requests."""

    def _ask(self, request: Request[R]) -> R:
        with Home(self._settings, self._clock) as home:
            if self._fold:
                home.refresh()
            if operation_of(request).writes:
                with home.writing() as store:
                    return handlers.answer(store, request, home)
            with home.reading() as tx:
                if isinstance(request, ExplainFlowRun):
                    return self._explained(tx, request)  # pyright: ignore[reportReturnType]  so the operation says
                return handlers.handler_of(operation_of(request))(tx, request)

    def _explained(self, tx: Transaction, request: ExplainFlowRun) -> Explanation:
        """No server keeps this home. Those of other homes may keep the same store, in Postgres."""
        is_served = self._settings.postgres_url is not None and rescue.is_under_way(tx)
        return why.explain_flow_run(tx, request.run, is_served=is_served)
