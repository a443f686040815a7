"""The API's description of itself: OpenAPI 3.1, made of the requests, their types and what their docstrings say."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterable
from functools import cache
from typing import Any

import msgspec

from penstock.api.described import Raw
from penstock.api.problems import MEDIA_TYPE, Problem
from penstock.core import operations, wire
from penstock.core.operations import Operation
from penstock.version import __version__

Schema = dict[str, Any]

_REF = "#/components/schemas/"

INTRODUCTION = """\
Everything that Penstock can be asked. Send `Authorization: Bearer KEY` with each request; `penstock token` prints the
key of the owner of this machine's home. Times are microseconds since 1970 UTC. In a path, `/` within a value is
written `~1`, and `~` is `~0`. What fails is told as problem details (RFC 9457), with a `hint` where there is one.
A request that must not be carried out twice takes an `Idempotency-Key`: sent again with it, it gets the same answer.
"""

PROBLEMS = {
    "401": "No key came with the request, or one that is not good.",
    "403": "The key does not allow that.",
    "404": "Nothing has that name or id.",
    "409": "Things are not as the request needs them.",
    "413": "The body is too large.",
    "415": "The body is of another type.",
    "421": "The server does not go by the name in `Host`.",
    "422": "Something in the request does not fit.",
    "500": "The server failed.",
    "503": "The store does not answer now; ask again.",
    "507": "The disk is full.",
}


def document(raw: Iterable[Raw]) -> Schema:
    """The whole description. ``raw`` are the routes that are no operations."""
    described = operations.every()
    types = [kind for each in described for kind in (each.request, each.response) if kind not in (None, type(None))]
    _, components = msgspec.json.schema_components([*types, Problem], ref_template=f"{_REF}{{name}}")
    schemas = _with_sentences({name: _within_bounds(schema) for name, schema in components.items()}, [*types, Problem])
    paths: dict[str, dict[str, Schema]] = {}
    for each in raw:
        paths.setdefault(each.path, {})[each.method] = _raw(each)
    for operation in described:
        path = paths.setdefault(f"/api{operation.path}", {})
        path[operation.method.lower()] = _operation(operation, schemas)
    for operation in described:
        schemas.pop(operation.request.__name__, None)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Penstock", "version": __version__, "description": INTRODUCTION},
        "security": [{"key": []}],
        "tags": [{"name": name} for name in sorted({tag for each in _all(paths) for tag in each.get("tags", ())})],
        "paths": dict(sorted(paths.items())),
        "components": {
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
            "responses": {"Problem": {"description": "What went wrong.", "content": problem_content()}},
            "schemas": schemas,
        },
    }


def problem_content() -> Schema:
    """The content of an answer that tells a problem."""
    return {MEDIA_TYPE: {"schema": {"$ref": f"{_REF}Problem"}}}


def problems() -> Schema:
    """The answers that every route may give."""
    return {status: {"description": said, "content": problem_content()} for status, said in PROBLEMS.items()}


def _all(paths: dict[str, dict[str, Schema]]) -> list[Schema]:
    return [operation for methods in paths.values() for operation in methods.values()]


def _raw(raw: Raw) -> Schema:
    needed = " or ".join(f"`{each.value}`" for each in raw.permissions)
    made: Schema = {
        "operationId": raw.operation_id,
        "summary": raw.operation_id.replace("_", " ").capitalize(),
        "description": f"{raw.description}\n\nNeeds the permission {needed}." if needed else raw.description,
        "tags": [raw.tag],
        "x-permission": [each.value for each in raw.permissions],
        "parameters": list(raw.parameters),
    }
    if not raw.permissions:
        made["security"] = []
    if raw.body is not None:
        made["requestBody"] = {"required": True, "content": raw.body}
    answer = {"204": {"description": "Done."}}
    if raw.answer is not None:
        answer = {"200": {"description": "The answer.", "content": raw.answer}}
    made["responses"] = {**answer, **problems()}
    return made


def _operation(operation: Operation, schemas: dict[str, Schema]) -> Schema:
    fields = schemas[operation.request.__name__]
    properties: dict[str, Schema] = fields.get("properties", {})
    rest = {name: schema for name, schema in properties.items() if name not in operation.path_fields}
    required = [name for name in fields.get("required", ()) if name in rest]
    text = " ".join((inspect.getdoc(operation.request) or "").replace("``", "`").split("\n\n")[0].split())
    parameters: list[Schema] = [
        {"name": name, "in": "path", "required": True, "schema": {**properties[name], "minLength": 1}}
        for name in operation.path_fields
    ]
    made: Schema = {
        "operationId": operation.name,
        "summary": operation.name.replace("_", " ").capitalize(),
        "description": f"{text}\n\nNeeds the permission `{operation.permission.value}`.".strip(),
        "tags": [operation.noun.replace("_", " ")],
        "x-permission": [operation.permission.value],
    }
    if wire.has_body(operation):
        body = {**fields, "properties": rest, "required": required}
        body.pop("description", None)
        content = {"application/json": {"schema": body}}
        made["requestBody"] = {"required": bool(required), "content": content}
    else:
        parameters += [
            {"name": name, "in": "query", "required": name in required, "schema": _in_query(schema)}
            for name, schema in rest.items()
        ]
    if not operation.is_idempotent:
        parameters.append(
            {
                "name": "Idempotency-Key",
                "in": "header",
                "required": False,
                "schema": {"type": "string", "minLength": 1, "maxLength": 200},
            }
        )
    made["parameters"] = parameters
    made["responses"] = {**_answers(operation), **problems()}
    return made


def _answers(operation: Operation) -> Schema:
    if operation.response in (None, type(None)):
        return {"204": {"description": "Done."}}
    (schema,), _ = msgspec.json.schema_components([operation.response], ref_template=f"{_REF}{{name}}")
    return {"200": {"description": "The answer.", "content": {"application/json": {"schema": schema}}}}


def _in_query(schema: Schema) -> Schema:
    """A query has no null: what is not there is not given."""
    choices = [each for each in schema.get("anyOf", ()) if each != {"type": "null"}]
    if len(choices) == 1:
        return {**{name: value for name, value in schema.items() if name not in ("anyOf", "default")}, **choices[0]}
    return schema


def _within_bounds(schema: Any) -> Any:
    """Whole numbers have 64 bits, here as in databases."""
    if isinstance(schema, list):
        return [_within_bounds(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    made = {name: _within_bounds(value) for name, value in schema.items()}
    if made.get("type") == "integer":
        made = {"format": "int64", "minimum": -(1 << 63), "maximum": (1 << 63) - 1, **made}
    return made


def _with_sentences(schemas: dict[str, Schema], types: list[Any]) -> dict[str, Schema]:
    """The schemas, with what the source says of each field."""
    known = {kind.__name__: sentences(kind) for kind in _structs(types)}
    for schema in schemas.values():
        said = known.get(str(schema.get("title", "")).partition("[")[0], {})
        for name, field in schema.get("properties", {}).items():
            if name in said:
                # Beside a reference nothing else counts for many readers, so it goes into a list of one.
                reference = {"allOf": [{"$ref": field.pop("$ref")}]} if "$ref" in field else {}
                field.update(reference, description=said[name])
    return schemas


def _structs(types: list[Any]) -> set[type]:
    """The structs that values of these types may hold."""
    found: set[type] = set()
    waiting: list[Any] = list(msgspec.inspect.multi_type_info(types))
    while waiting:
        each = waiting.pop()
        if isinstance(each, msgspec.inspect.StructType):
            if each.cls in found:
                continue
            found.add(each.cls)
            waiting += [field.type for field in each.fields]
        else:
            for name in ("item_type", "value_type", "types", "item_types", "type"):
                inner = getattr(each, name, ())
                waiting += inner if isinstance(inner, tuple) else (inner,)
    return found


@cache
def sentences(kind: type) -> dict[str, str]:
    """What the source says below each field of a class, where there is source."""
    try:
        (definition,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    except (OSError, TypeError, SyntaxError):
        return {}
    assert isinstance(definition, ast.ClassDef)
    found: dict[str, str] = {}
    for field, after in zip(definition.body, definition.body[1:], strict=False):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(after, ast.Expr)
            and isinstance(after.value, ast.Constant)
        ):
            found[field.target.id] = " ".join(str(after.value.value).replace("``", "`").split())
    return found
