"""Ids that are the same in every attempt, because they are derived and not drawn.

The address of a task run is a digest of what is asked for: (task key, inputs fingerprint, n-th
occurrence of that pair in its scope). The id of a task run is a digest of (scope id, address).
Replay looks a call up by it, whatever order the calls come in.
"""

from __future__ import annotations

from hashlib import blake2b


def address(task_key: bytes, fingerprint: bytes, occurrence: int) -> bytes:
    """Digest (16 bytes) of the n-th (from 0) call of a task with these inputs within a scope."""
    if occurrence:
        fingerprint += occurrence.to_bytes(8, "little")
    return blake2b(fingerprint, digest_size=16, key=task_key).digest()


def task_run_id(scope_id: bytes, address: bytes) -> str:
    """The id, in the form of a UUID (version 8: custom), of the task run at ``address``."""
    return as_uuid(blake2b(address, digest_size=16, key=scope_id).hexdigest())


def subflow_run_id(parent_task_run_id: str) -> str:
    """The id of the flow run that the parent's task run stands for."""
    return as_uuid(blake2b(parent_task_run_id.encode(), digest_size=16, key=b"subflow").hexdigest())


def as_uuid(digits: str) -> str:
    """32 hex digits in the form of a UUID of version 8 (RFC 9562 §5.8)."""
    return f"{digits[:8]}-{digits[8:12]}-8{digits[13:16]}-b{digits[17:20]}-{digits[20:]}"
