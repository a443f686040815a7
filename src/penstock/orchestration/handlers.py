"""Who answers which request: the function of its name, in the module of its noun.

A function takes a transaction and the request, and returns the answer. It is called again from the beginning when the
database asks for that, so it keeps nothing outside of the transaction.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

from penstock.core.operations import Operation, Request, operation_of
from penstock.store.interface import Store, Transaction

if TYPE_CHECKING:
    from penstock.orchestration.local import Home

ANSWERED_IN = {
    "api_keys": "api_keys",
    "artifacts": "artifacts",
    "concurrency_limits": "concurrency_limits",
    "deployments": "deployments",
    "events": "events",
    "flow_runs": "flow_runs",
    "flows": "flows",
    "pauses": "pauses",
    "runs_elsewhere": "runs_elsewhere",
    "task_runs": "task_runs",
    "work": "work",
    "work_pools": "work_pools",
}
"""The module of `penstock.orchestration` for each noun of `core.operations`, imported when it is asked."""


def handler_of(operation: Operation) -> Callable[[Transaction, Any], Any]:
    """The function that answers."""
    return getattr(import_module(f"penstock.orchestration.{ANSWERED_IN[operation.noun]}"), operation.name)


NEEDS_HOME = frozenset({"delete_flow_run", "prune_flow_runs"})
"""What is about files of the home as well: these functions take the home, the store and the request, and are called
once. They do nothing that could not be done again."""


def answer(store: Store, request: Request[Any], home: Home | None = None) -> Any:
    """Ask this store, in one transaction, unless the answer `NEEDS_HOME`."""
    operation = operation_of(request)
    handler: Callable[..., Any] = handler_of(operation)
    if operation.name in NEEDS_HOME:
        assert home is not None, "there is no home without a store"
        return handler(home, store, request)
    if operation.writes:
        return store.run(lambda tx: handler(tx, request))
    return store.ask(lambda tx: handler(tx, request))
