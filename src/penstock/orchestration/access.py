"""Who shows a key, and whether they may ask for the very thing that they ask for.

What kind of thing somebody may do, the permissions of their key say, and the API has looked at them. A worker's key and
a run's are narrower: here each id in what they ask is compared with what is theirs.
"""

from __future__ import annotations

import hmac
from collections.abc import Collection, Iterator
from typing import Any

import msgspec
from msgspec.structs import replace

from penstock import errors
from penstock.core.access import Permission, Principal
from penstock.core.operations import Request, operation_of
from penstock.core.operations.deployments import RunDeployment
from penstock.core.operations.flow_runs import RetryFlowRun
from penstock.orchestration import api_keys, run_keys
from penstock.store.api_keys import ApiKeyRow
from penstock.store.interface import Store, Transaction

_MINUTE = 60_000_000


def principal_of(store: Store, key: str) -> Principal | None:
    """Whose key this is; None if it is nobody's."""
    with store.reading() as tx:
        if not key.startswith(f"{api_keys.PREFIX}_"):
            return _of_run_key(tx, key)
        found = _of_api_key(tx, key)
        now = tx.now
    if found is None:
        return None
    row, principal = found
    if now - (row.used_at or 0) > _MINUTE:
        store.run(lambda tx: tx.api_keys.use(row.id, tx.now))
    return principal


def authorize(tx: Transaction, principal: Principal, request: Request[Any]) -> None:
    """Raise `NotAllowed` when anything that the request names is not theirs.

    Raises `StoreBehind` when that cannot be told yet.
    """
    if principal.pool is not None:
        _authorize_worker(tx, principal.pool, request)
    if principal.run_id is not None:
        _authorize_run(tx, principal, request)
    elif isinstance(request, RetryFlowRun) and not principal.may(frozenset({Permission.OPERATE})):
        raise errors.NotAllowed("That needs the permission operate", hint=f"whoever asks is {principal.name}")


def in_their_name(principal: Principal, request: Request[Any]) -> Request[Any]:
    """The request as it is to be carried out: a run that a run's code asks for is kept as asked for by that one."""
    if principal.run_id is None or not isinstance(request, RunDeployment):
        return request
    return replace(request, asked_by_run_id=principal.run_id)


def authorize_run(tx: Transaction, principal: Principal, run_id: str, attempts: Collection[int]) -> None:
    """Raise `NotAllowed` when the journals of these attempts of a run are not theirs; without attempts, of any."""
    if principal.pool is not None:
        work = tx.work.look(run_id)
        if work is None or not _same(work.work_pool, principal.pool):
            raise _not_of(principal.pool, run_id)
    if principal.run_id is not None:
        if not _same(run_id, principal.run_id):
            raise errors.NotAllowed(f"This key is for the run `{principal.run_id}` alone, not for: `{run_id}`")
        if any(attempt != principal.attempt for attempt in attempts):
            raise errors.NotAllowed(f"This key is for attempt {principal.attempt} of its run alone")


def _authorize_worker(tx: Transaction, pool: str, request: Request[Any]) -> None:
    """A worker names its pool, itself, and runs: all of them are of that pool."""
    for name, value in _ids_in(request):
        if name in {"pool", "work_pool"}:
            found: str | None = value
        elif name in {"worker_id", "id"}:
            worker = tx.work_pools.worker(value)
            found = pool if worker is None else worker.work_pool
        elif name == "run_id":
            work = tx.work.look(value)
            found = None if work is None else work.work_pool
        else:
            continue
        if found is None or not _same(found, pool):
            raise _not_of(pool, value)


def _not_of(pool: str, what: str) -> errors.NotAllowed:
    return errors.NotAllowed(f"This key is for workers of the pool `{pool}`, and `{what}` is not of it")


def _authorize_run(tx: Transaction, principal: Principal, request: Request[Any]) -> None:
    """A run names itself, its subflow runs, and runs of deployments that it has made. New ones need no name."""
    named = isinstance(request, RunDeployment)
    is_for_made = isinstance(request, RetryFlowRun) or operation_of(request).permission is Permission.READ
    for name, value in _ids_in(request):
        if name in {"run", "run_id", "flow_run_id", "parent_flow_run_id"}:
            named = True
            if _is_of_run(tx, principal, value) or (
                name == "run" and is_for_made and _is_made_by(tx, principal, value)
            ):
                continue
            if name == "parent_flow_run_id" and tx.flow_runs.row(value) is None:
                # Perhaps a subflow run of it, which has begun just now. Whose it is is not taken on trust.
                raise errors.StoreBehind(f"What was recorded of this run has not come yet: `{value}`")
            raise errors.NotAllowed(f"This key is for the run `{principal.run_id}` alone, not for: `{value}`")
        if name == "attempt" and value != principal.attempt:
            raise errors.NotAllowed(f"This key is for attempt {principal.attempt}, not for: `{value}`")
    if not named:
        raise errors.NotAllowed(f"This key is for what concerns the run `{principal.run_id}` alone")


def _is_of_run(tx: Transaction, principal: Principal, run_id: str) -> bool:
    """Whether it is the run itself, or a subflow run of it."""
    assert principal.run_id is not None
    if _same(run_id, principal.run_id):
        return True
    row = tx.flow_runs.row(run_id)
    return row is not None and _same(row.root_run_id, principal.run_id)


def _is_made_by(tx: Transaction, principal: Principal, run_id: str) -> bool:
    """Whether it is a run of a deployment that the run has asked for, as a subflow or apart from it."""
    assert principal.run_id is not None
    row = tx.flow_runs.row(run_id)
    if row is None:
        return False
    if row.parent_flow_run_id is not None and _is_of_run(tx, principal, row.parent_flow_run_id):
        return True
    work = tx.work.look(run_id)
    asked_by = None if work is None else work.what().asked_by_run_id
    return asked_by is not None and _same(asked_by, principal.run_id)


def _ids_in(value: Any) -> Iterator[tuple[str, Any]]:
    """The fields of a request, and of what lies in it, that hold something."""
    for field in value.__struct_fields__:
        inner = getattr(value, field)
        if isinstance(inner, msgspec.Struct):
            yield from _ids_in(inner)
        elif isinstance(inner, list | tuple):
            for each in inner:
                if isinstance(each, msgspec.Struct):
                    yield from _ids_in(each)
        elif inner is not None:
            yield field, inner


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode())


def _of_api_key(tx: Transaction, key: str) -> tuple[ApiKeyRow, Principal] | None:
    parts = key.split("_", 2)
    row = tx.api_keys.row(parts[1]) if len(parts) == 3 else None
    # Compared also where there is nothing to compare with: how long it takes tells nothing.
    is_good = hmac.compare_digest(api_keys.digest_of(parts[-1]), row.digest if row else bytes(32))
    if row is None or not is_good or (row.expires_at is not None and row.expires_at <= tx.now):
        return None
    view = row.view()
    principal = Principal(name=f"key {row.id}", permissions=frozenset(view.permissions), pool=row.work_pool)
    return row, principal


def _of_run_key(tx: Transaction, key: str) -> Principal | None:
    found = run_keys.check(tx, key)
    if found is None:
        return None
    return Principal(
        name=f"run {found.run_id}",
        permissions=frozenset({Permission.RUN}),
        run_id=found.run_id,
        attempt=found.attempt,
    )
