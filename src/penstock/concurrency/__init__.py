"""Limits of what goes on at once: ``with penstock.concurrency("db"):``.

The package is what code coming from Prefect imports from (``penstock.concurrency.sync``, ``.asyncio``); and, as
``from penstock import concurrency`` may find it under this name, it can be called as well.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from penstock.sdk.concurrency import concurrency, rate_limit

__all__ = ["concurrency", "rate_limit"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'penstock.concurrency' has no attribute {name!r}")
    from penstock.sdk import concurrency as found  # noqa: PLC0415  when it is used

    return getattr(found, name)


class _Callable(ModuleType):
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.concurrency(*args, **kwargs)


sys.modules[__name__].__class__ = _Callable
