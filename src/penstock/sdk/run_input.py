"""What a flow run waits for, as a type: its JSON Schema for those who give it, and the value for the flow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import msgspec

from penstock import errors


class Form(NamedTuple):
    """What is asked for, and how the flow gets it."""

    schema: dict[str, Any]
    told: str
    parse: Callable[[dict[str, Any]], Any]
    description: str = ""
    """A text for whoever gives it."""


_NOTHING = Form({}, "Waits to be resumed", lambda _: None)


def form_of(wanted: Any) -> Form:
    """The form of a type: a pydantic model has the fields of its object, any other type is its field ``value``.

    Raises `UsageError` for what cannot be written as JSON.
    """
    if wanted is None:
        return _NOTHING
    from pydantic import PydanticUserError, TypeAdapter, ValidationError  # noqa: PLC0415  only with a type

    try:
        adapter: TypeAdapter[Any] = TypeAdapter(wanted)
        schema = adapter.json_schema()
    except PydanticUserError as error:
        raise errors.UsageError(
            f"`wait_for_input` is a pydantic model, or a type that can be written as JSON, not: `{wanted!r}`",
            hint=str(error).partition("\n")[0],
        ) from None
    is_object = schema.get("type") == "object" and "properties" in schema
    if not is_object:
        schema = _wrapped(schema)
    name = getattr(wanted, "__name__", None) or str(wanted)

    def parse(value: dict[str, Any]) -> Any:
        try:
            return adapter.validate_json(msgspec.json.encode(value if is_object else value.get("value")))
        except ValidationError as error:
            raise errors.ParameterError(_sentences(error)) from None

    description = schema.get("description") if is_object else None
    told = f"Waits for an input of `{schema.get('title') or name}` ({', '.join(schema['properties'])})"
    return Form(schema, told, parse, description or "")


def _wrapped(schema: Mapping[str, Any]) -> dict[str, Any]:
    inner = {name: value for name, value in schema.items() if name != "$defs"}
    wrapped = {"type": "object", "properties": {"value": inner}, "required": ["value"]}
    return {**wrapped, "$defs": schema["$defs"]} if "$defs" in schema else wrapped


def _sentences(error: Any) -> str:
    found = error.errors(include_url=False, include_input=False, include_context=False)
    return ". ".join(f"`{'.'.join(map(str, each['loc'])) or 'value'}`: {each['msg']}" for each in found[:5])
