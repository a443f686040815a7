"""The base of models for inputs. A module of its own, as it loads pydantic."""

from __future__ import annotations

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, create_model


class RunInput(BaseModel):
    """The base of models that `pause_flow_run` and `suspend_flow_run` wait for. Other pydantic models do as well."""

    model_config = ConfigDict(extra="forbid")

    @classmethod
    def with_initial_data(cls, description: str | None = None, **initial: Any) -> type[Self]:
        """The same model, with these values unless others are given, and a text for whoever gives them."""
        unknown = [name for name in initial if name not in cls.model_fields]
        if unknown:
            raise TypeError(f"{cls.__name__} has no field `{unknown[0]}`")
        fields: dict[str, Any] = {name: (cls.model_fields[name].annotation, value) for name, value in initial.items()}
        told = cls.__doc__ if description is None else description
        return create_model(cls.__name__, __base__=cls, __doc__=told, __module__=cls.__module__, **fields)
