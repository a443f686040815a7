"""Who asks, and what they may."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Permission(StrEnum):
    """What somebody must be allowed, to ask. Every route has one."""

    READ = "read"
    """Look at runs, deployments, pools."""
    OPERATE = "operate"
    """Start, cancel, pause, retry runs."""
    AUTHOR = "author"
    """Say what runs: deployments, schedules, code, pools and their templates."""
    ADMIN = "admin"
    """Keys and the server itself."""
    WORK = "work"
    """Claim runs of a pool, and tell what became of them."""
    RUN = "run"
    """What a run may ask for itself: slots, inputs, runs of other deployments."""


EVERYTHING = frozenset(Permission)


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody whose credential was good."""

    name: str
    """``local``, ``key <id>``, ``run <id>``: for logs, and as the owner of idempotency keys."""
    permissions: frozenset[Permission]
    pool: str | None = None
    """A worker's: it may work for this pool only."""
    run_id: str | None = None
    """A run's: it may ask for itself only."""
    attempt: int = 0

    def may(self, any_of: frozenset[Permission]) -> bool:
        """Whether one of these permissions is theirs."""
        return not any_of.isdisjoint(self.permissions)


OWNER = Principal(name="local", permissions=EVERYTHING)
"""The owner of the home, who could read everything anyway."""


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key to the API, without what is secret of it. Times are microseconds since 1970 UTC."""

    id: str
    name: str
    permissions: tuple[Permission, ...]
    pool: str | None = None
    """It is a worker's, and good for this pool only."""
    created_at: int
    expires_at: int | None = None
    used_at: int | None = None
    """When it was last shown, to the minute."""
