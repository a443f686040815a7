"""What a run shows when it asks for something: a key that is good for one attempt, as long as it is under way."""

from __future__ import annotations

import hashlib
import hmac
import os
from typing import NamedTuple

from penstock.store.interface import Transaction

SECRET = "run_key_secret"  # noqa: S105  the name of an entry
"""What the secret is kept under."""

_PREFIX = "prk"


class RunKey(NamedTuple):
    """Whose key it is."""

    run_id: str
    attempt: int


def make(tx: Transaction, run_id: str, attempt: int) -> str:
    """The key of an attempt. The same each time, so that nothing has to be kept."""
    return key(secret(tx), run_id, attempt)


def key(secret: str, run_id: str, attempt: int) -> str:
    """The same, by those who know the secret already."""
    return f"{_PREFIX}_{run_id}_{attempt}_{_signature(secret, run_id, attempt)}"


def check(tx: Transaction, shown: str) -> RunKey | None:
    """Whose key this is; None if it is nobody's, or its attempt is over."""
    parts = shown.split("_")
    if len(parts) != 4 or parts[0] != _PREFIX or not parts[2].isascii() or not parts[2].isdigit():
        return None
    known = tx.meta.value(SECRET)
    if known is None:
        return None
    run_id, attempt = parts[1], int(parts[2])
    if not hmac.compare_digest(_signature(known, run_id, attempt).encode(), parts[3].encode("utf-8", "replace")):
        return None
    work = tx.work.look(run_id)
    if work is None or work.status != "claimed" or work.attempt != attempt:
        return None
    return RunKey(run_id, attempt)


def secret(tx: Transaction) -> str:
    """What keys are signed with; made when it is needed first."""
    found = tx.meta.value(SECRET)
    if found is None:
        tx.lock(SECRET)
        found = tx.meta.value(SECRET)
    if found is None:
        found = os.urandom(32).hex()
        tx.meta.put(SECRET, found)
    return found


def _signature(secret: str, run_id: str, attempt: int) -> str:
    return hmac.new(bytes.fromhex(secret), f"{run_id}/{attempt}".encode(), hashlib.sha256).hexdigest()
