"""Keys to the API: made, listed, taken away."""

from __future__ import annotations

import re
import secrets
from hashlib import sha256

from penstock import errors
from penstock.core.access import ApiKey, Permission
from penstock.core.deployments import SHORT_NAME
from penstock.core.operations import api_keys as ask
from penstock.orchestration.work_pools import pool_of
from penstock.store.api_keys import ApiKeyRow
from penstock.store.interface import Transaction
from penstock.store.rows import texts

PREFIX = "psk"
LONGEST_DAYS = 36_500.0


def create_api_key(tx: Transaction, given: ask.CreateApiKey) -> ask.CreatedApiKey:
    """Raises `AlreadyExists` for a name that is taken."""
    if not re.match(SHORT_NAME, given.name):
        raise errors.UsageError(f"Not the name of a key: `{given.name}`", hint="letters, digits, blanks, and `._-`")
    if bool(given.permissions) == bool(given.pool):
        raise errors.UsageError(
            "A key has permissions, or is a worker's for one pool",
            hint=f"permissions are: {', '.join(Permission)}",
        )
    if given.days is not None and not 0 < given.days <= LONGEST_DAYS:
        raise errors.UsageError(f"A key is good for some days, not for: `{given.days:g}`")
    if any(row.name == given.name for row in tx.api_keys.all()):
        raise errors.AlreadyExists(f"There is a key of that name already: `{given.name}`")
    permissions = (Permission.WORK,) if given.pool else tuple(sorted(set(given.permissions)))
    key_id, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
    row = ApiKeyRow(
        id=key_id,
        name=given.name,
        digest=digest_of(secret),
        permissions=texts(tuple(each.value for each in permissions)),
        work_pool=pool_of(tx, given.pool).name if given.pool else None,
        created_at=tx.now,
        expires_at=None if given.days is None else tx.now + int(given.days * 86_400e6),
        used_at=None,
    )
    tx.api_keys.add(row)
    return ask.CreatedApiKey(key=f"{PREFIX}_{key_id}_{secret}", details=row.view())


def list_api_keys(tx: Transaction, given: ask.ListApiKeys) -> list[ApiKey]:  # noqa: ARG001  there is nothing to say
    return [row.view() for row in tx.api_keys.all()]


def delete_api_key(tx: Transaction, given: ask.DeleteApiKey) -> ApiKey:
    rows = tx.api_keys.all()
    found = next((row for row in rows if given.key in (row.id, row.name)), None)
    if found is None:
        names = ", ".join(f"`{row.name}`" for row in rows) or "there are none"
        raise errors.NotFound(f"No key has that name or id: `{given.key}`", hint=f"known ones: {names}")
    tx.api_keys.forget(found.id)
    return found.view()


def digest_of(secret: str) -> bytes:
    """What is kept of a key. The secret is random enough that nobody can try them all."""
    return sha256(secret.encode()).digest()
