"""Whether values fit the JSON Schema of a flow's parameters, without the flow's code.

The schema is what `core.parameters.schema` makes of a signature, or what Prefect 2 has written into a file. Nothing
that a schema refers to elsewhere is ever fetched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime, time
from typing import Any

import msgspec

from penstock.core.suggestions import did_you_mean

MAX_SHOWN = 60
"""Of a value that does not fit, so many characters are shown."""
MAX_PROBLEMS = 20
MAX_STEPS = 100_000
"""Of a pattern with a value; a schema is somebody's text, and must not keep a server busy."""


def problems(schema: Mapping[str, Any], parameters: Mapping[str, Any], *, complete: bool = True) -> list[str]:
    """What is wrong with the parameters, a sentence each; nothing if they fit, or the schema says nothing.

    ``parameters`` are plain JSON values. With ``complete=False`` some may still be missing: those that a deployment
    stores are completed when a run is created.
    """
    if "properties" not in schema:
        return []
    if misshapen := _misshapen(schema):
        return misshapen
    properties: Mapping[str, Any] = schema["properties"]
    found: list[str] = []
    if not schema.get("additionalProperties"):
        found += [_unknown(name, properties) for name in parameters if name not in properties]
    if complete:
        missing = [name for name in schema.get("required", ()) if name not in parameters]
        found += [f"It needs a value for `{name}`" for name in missing]
    for name, value in parameters.items():
        if name in properties and not _is_its_default(name, value, schema):
            found += _misfits(name, value, schema)
    if len(found) > MAX_PROBLEMS:
        found[MAX_PROBLEMS:] = [f"… and {len(found) - MAX_PROBLEMS} more"]
    return found


def check_schema(schema: Mapping[str, Any]) -> list[str]:
    """What is wrong with the schema itself: it is none, or it refers to something outside of itself."""
    found = _misshapen(schema)
    for name in () if found else schema.get("properties", ()):
        try:
            _validator(name, schema)
        except ValueError as error:
            found.append(f"The schema of parameter `{name}` cannot be used: {_first_line(error)}")
    return found


def _misshapen(schema: Mapping[str, Any]) -> list[str]:
    """What keeps it from being a schema of parameters at all; the API takes any JSON object for one."""
    properties, required = schema.get("properties", {}), schema.get("required", [])
    if not isinstance(properties, Mapping) or not all(isinstance(each, Mapping) for each in properties.values()):
        return ["The schema of the parameters has no object of properties, with an object for each"]
    if not isinstance(required, list | tuple) or not all(isinstance(each, str) for each in required):
        return ["The schema of the parameters has no list of names as `required`"]
    return []


def _unknown(name: str, known: Iterable[str]) -> str:
    names = list(known)
    takes = f"its parameters are: `{'`, `'.join(names)}`" if names else "it takes none"
    return f"It has no parameter `{name}`; {did_you_mean(name, names) or takes}"


def _is_its_default(name: str, value: Any, schema: Mapping[str, Any]) -> bool:
    """Whether the value is what the function has anyhow, fitting or not (``x: int = None``)."""
    described = schema["properties"][name]
    if "default" in described:
        return type(value) is type(described["default"]) and bool(value == described["default"])
    # pydantic 1 wrote `Optional[int] = None` as an integer that is not required.
    return value is None and name not in schema.get("required", ())


def _misfits(name: str, value: Any, schema: Mapping[str, Any]) -> list[str]:
    try:
        validator = _validator(name, schema)
    except ValueError as error:
        return [f"The schema of parameter `{name}` cannot be used: {_first_line(error)}"]
    try:
        # Also refuses what is nested without end, on which the validator would run out of stack.
        plain = msgspec.json.decode(msgspec.json.encode(value))
    except (TypeError, ValueError, RecursionError) as error:
        return [f"`{name}` is no JSON value: {_first_line(error)}"]
    hidden = _holds_secret(schema["properties"][name], schema)
    return [_sentence(name, error, schema, hidden=hidden) for error in validator.iter_errors(plain)]


def _validator(name: str, schema: Mapping[str, Any]) -> Any:
    """Checks one parameter. Raises `ValueError` when its schema is none, or refers to something elsewhere."""
    import jsonschema_rs  # noqa: PLC0415  only where parameters are checked

    whole = {key: schema[key] for key in ("definitions", "$defs") if key in schema} | dict(schema["properties"][name])
    whole.pop("default", None)
    trouble: Exception | None = None
    # As pydantic 2 writes it, and as pydantic 1 did: a list of schemas for the items of a tuple.
    for draft in (jsonschema_rs.Draft202012Validator, jsonschema_rs.Draft7Validator):
        try:
            return draft(
                whole,
                formats=FORMATS,
                validate_formats=True,
                pattern_options=jsonschema_rs.FancyRegexOptions(backtrack_limit=MAX_STEPS),
                offline=True,
            )
        except (ValueError, jsonschema_rs.ReferencingError) as error:
            trouble = trouble or error
    raise ValueError(_first_line(trouble))


def _first_line(error: object) -> str:
    return str(error).partition("\n")[0]


# ── formats, as pydantic reads them: more than RFC 3339 allows ───────────────────────────────────────────────────────


def _reads(*readers: Callable[[str], Any]) -> Callable[[str], bool]:
    def fits(text: str) -> bool:
        for reader in readers:
            try:
                reader(text)
            except ValueError:
                continue
            return True
        return False

    return fits


FORMATS = {
    "date": _reads(date.fromisoformat, datetime.fromisoformat, float),
    "date-time": _reads(datetime.fromisoformat, float),
    "time": _reads(time.fromisoformat, float),
    "duration": lambda _: True,
}


# ── words ────────────────────────────────────────────────────────────────────────────────────────────────────────────

TYPES = {
    "integer": "a whole number",
    "number": "a number",
    "string": "a text",
    "boolean": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
}
FORMAT_WORDS = {
    "date": "a date like `2026-11-25`",
    "date-time": "a time like `2026-11-25T06:00:00Z`",
    "time": "a time of day like `06:00`",
    "uuid": "a UUID",
    "email": "an e-mail address",
    "uri": "a URL",
}


def _sentence(name: str, error: Any, schema: Mapping[str, Any], *, hidden: bool) -> str:
    where = name + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in error.instance_path)
    kind = error.kind.name
    if kind == "required":
        return f"`{where}` needs a value for `{error.kind.property}`"
    if kind == "additionalProperties":
        return f"`{where}` has no field `{'`, `'.join(error.kind.unexpected)}`"
    shown = "its value is not shown here" if hidden else f"not: `{_shown(error.instance)}`"
    expected = _expected(kind, error, schema, name)
    if expected:
        return f"`{where}` should be {expected}; {shown}" if hidden else f"`{where}` should be {expected}, {shown}"
    return f"`{where}` does not fit; {shown}" if hidden else f"`{where}` does not fit: {error.message}"


def _expected(kind: str, error: Any, schema: Mapping[str, Any], name: str) -> str | None:
    """What the schema wants there, for the usual kinds of misfit."""
    if kind == "type":
        return _either([TYPES[each] for each in error.kind.types])
    if kind == "format":
        return FORMAT_WORDS.get(error.kind.format)
    if kind == "enum":
        return "one of " + ", ".join(f"`{_shown(each)}`" for each in error.kind.options)
    if kind == "const":
        return f"`{_shown(error.kind.expected_value)}`"
    if kind in ("anyOf", "oneOf"):
        found = _at({**schema, **schema["properties"][name]}, error.schema_path)
        words = [_words(each, schema) for each in found] if isinstance(found, list) else []
        return _either(words) if words and all(words) else None
    return None


def _words(described: Any, schema: Mapping[str, Any], depth: int = 0) -> str:
    """A schema in a few words; nothing if there are none."""
    if not isinstance(described, Mapping) or depth > 5:
        return ""
    if "$ref" in described:
        path = str(described["$ref"]).removeprefix("#/").split("/")
        return _words(_at(schema, path), schema, depth + 1)
    if "const" in described:
        return f"`{_shown(described['const'])}`"
    if "enum" in described:
        return _either([f"`{_shown(each)}`" for each in described["enum"]])
    if described.get("format") in FORMAT_WORDS:
        return FORMAT_WORDS[described["format"]]
    kind = described.get("type")
    if kind == "object" and described.get("title"):
        return f"an object (`{described['title']}`)"
    return TYPES.get(kind, "") if isinstance(kind, str) else ""


def _either(words: list[str]) -> str:
    unique = list(dict.fromkeys(words))
    return " or ".join(filter(None, (", ".join(unique[:-1]), unique[-1]))) if unique else ""


def _at(document: Any, path: Iterable[Any]) -> Any:
    for step in path:
        try:
            document = document[step]
        except (KeyError, IndexError, TypeError):
            return None
    return document


def _shown(value: Any) -> str:
    text = msgspec.json.encode(value, enc_hook=str).decode()
    return text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "…"


def _holds_secret(described: Any, schema: Mapping[str, Any]) -> bool:
    """Whether it is, or may hold, something that must not be shown."""
    text = msgspec.json.encode(described, enc_hook=str)
    if b'"$ref"' in text:
        text += msgspec.json.encode([schema.get("definitions"), schema.get("$defs")], enc_hook=str)
    return b'"writeOnly"' in text or b'"password"' in text
