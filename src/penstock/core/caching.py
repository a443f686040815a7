"""When the result of an earlier task run may be used again: cache keys and what they are made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from hashlib import blake2b
from typing import Any

import msgspec

MAX_KEY_LENGTH = 2000
"""A longer key is refused: it would be a value, not a key."""


class CacheContext(msgspec.Struct, frozen=True, kw_only=True):
    """What a cache key may depend on, besides the arguments."""

    task: Any
    """The `Task`; its ``fn``, ``name`` and ``task_key``."""
    task_key: str
    task_run: Any = None
    flow_run_id: str = ""
    flow_parameters: Mapping[str, Any] = {}
    source: Callable[[], str] = str
    """The source text of the task's function, or its bytecode's digest where there is none."""
    digest: Callable[[Any], str | None] = lambda _: None
    """The digest of a value; None if it cannot be hashed."""


CacheKeyFn = Callable[[CacheContext, dict[str, Any]], str | None]


class Component(msgspec.Struct, frozen=True):
    """One part of a cache key: its name, and its digest (None: it cannot be had, hence no key)."""

    name: str
    digest: str | None


class CachePolicy:
    """What makes up a cache key. Policies are added with ``+``; ``policy - "x"`` ignores argument x."""

    __slots__ = ("ignored", "parts")

    def __init__(self, parts: tuple[str, ...], ignored: frozenset[str] = frozenset()) -> None:
        self.parts = parts
        self.ignored = ignored

    def __add__(self, other: CachePolicy) -> CachePolicy:
        parts = self.parts + tuple(part for part in other.parts if part not in self.parts)
        return CachePolicy(parts, self.ignored | other.ignored)

    def __sub__(self, argument: str) -> CachePolicy:
        if "INPUTS" not in self.parts:
            return self
        return CachePolicy(self.parts, self.ignored | {argument})

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CachePolicy) and (self.parts, self.ignored) == (other.parts, other.ignored)

    def __hash__(self) -> int:
        return hash((self.parts, self.ignored))

    def __repr__(self) -> str:
        return " + ".join(self.parts) + "".join(f" - {name!r}" for name in sorted(self.ignored)) or "NO_CACHE"

    def components(self, context: CacheContext, arguments: Mapping[str, Any]) -> list[Component]:
        """The parts of the key, one after the other; for INPUTS one for each argument."""
        found: list[Component] = [Component("task", context.task_key)]
        for part in self.parts:
            if part == "INPUTS":
                found += [
                    Component(name, context.digest(value))
                    for name, value in sorted(arguments.items())
                    if name not in self.ignored
                ]
            elif part == "FLOW_PARAMETERS":
                found += [
                    Component(f"flow parameter {name}", context.digest(value))
                    for name, value in sorted(context.flow_parameters.items())
                ]
            elif part == "TASK_SOURCE":
                found.append(Component("source", _digest(context.source())))
            else:
                found.append(Component("run", context.flow_run_id))
        return found


INPUTS = CachePolicy(("INPUTS",))
"""The task's arguments."""
TASK_SOURCE = CachePolicy(("TASK_SOURCE",))
"""The task's source code."""
RUN_ID = CachePolicy(("RUN_ID",))
"""The flow run: results are shared within one run only."""
FLOW_PARAMETERS = CachePolicy(("FLOW_PARAMETERS",))
"""The flow run's parameters."""
NO_CACHE = CachePolicy(())
"""Never use a cached result."""
DEFAULT = INPUTS + TASK_SOURCE + RUN_ID
"""The same task with the same code and arguments, within one run."""


def key_of(components: list[Component]) -> str | None:
    """The cache key made of the components; None if one of them cannot be had."""
    digest = blake2b(digest_size=16)
    for component in components:
        if component.digest is None:
            return None
        digest.update(f"{component.name}={component.digest}\n".encode())
    return digest.hexdigest()


def task_input_hash(context: CacheContext, arguments: dict[str, Any]) -> str | None:
    """A cache key of the task and all its arguments, for ``cache_key_fn``.

    Returns None (no caching) when an argument cannot be hashed.
    """
    return key_of((INPUTS + TASK_SOURCE).components(context, arguments))


def _digest(text: str) -> str:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
