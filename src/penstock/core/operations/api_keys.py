"""Keys to the API, for others than the owner of the home."""

from __future__ import annotations

import msgspec

from penstock.core.access import ApiKey, Permission
from penstock.core.operations import Request, operation


class CreatedApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """A new key, with what is secret of it, which is told this once."""

    key: str
    details: ApiKey


# Its answer is kept nowhere, for it is secret: who asks again, because the answer was lost, is told that the name is
# taken.
@operation("POST", "/api-keys", Permission.ADMIN, is_idempotent=True)
class CreateApiKey(Request[CreatedApiKey], frozen=True, kw_only=True):
    """Make a key with these permissions, or one that a worker of a pool needs, and nothing more."""

    name: str
    permissions: tuple[Permission, ...] = ()
    pool: str | None = None
    """A worker's key, for this pool. It has no other permissions."""
    days: float | None = None
    """After so many days it is good no more; None: it stays good until it is deleted."""


@operation("GET", "/api-keys", Permission.ADMIN)
class ListApiKeys(Request[list[ApiKey]], frozen=True, kw_only=True):
    """All keys, by name."""


@operation("DELETE", "/api-keys/{key}", Permission.ADMIN)
class DeleteApiKey(Request[ApiKey], frozen=True, kw_only=True):
    """Let nobody in with the key of this name or id any more."""

    key: str
