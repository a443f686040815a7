"""Inputs of flow runs that wait for them: ``class Approval(RunInput): …``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from penstock.sdk.run_input_model import RunInput

__all__ = ["RunInput"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'penstock.input' has no attribute {name!r}")
    from penstock.sdk.run_input_model import RunInput as found  # noqa: N813, PLC0415  loads pydantic

    return found
