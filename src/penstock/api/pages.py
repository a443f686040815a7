"""The pages that are there without a web UI: what to find where, and the API's reference. They hold no script."""

from __future__ import annotations

from html import escape
from typing import Any

Schema = dict[str, Any]

STYLE = """\
:root { color-scheme: light dark; --line: color-mix(in srgb, currentColor 18%, transparent); }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { margin: 2.5rem 0 .5rem; font-size: 1.2rem; border-bottom: 1px solid var(--line); }
code { font: 13px/1.4 ui-monospace, monospace; }
details { border: 1px solid var(--line); border-radius: 6px; margin: .4rem 0; padding: .3rem .7rem; }
summary { cursor: pointer; }
summary b { display: inline-block; min-width: 4.2em; font: 600 12px ui-monospace, monospace; }
summary span { opacity: .7; margin-left: .8em; }
table { border-collapse: collapse; width: 100%; margin: .5rem 0; }
td, th { text-align: left; padding: .2rem .6rem .2rem 0; border-top: 1px solid var(--line); vertical-align: top; }
th { font-weight: 600; opacity: .7; border: 0; }
"""


def front(version: str) -> str:
    """What ``/`` shows."""
    return _page(
        "Penstock",
        f"""<h1>Penstock {escape(version)}</h1>
<p>This server is running. Its web UI is not part of this installation yet.</p>
<ul>
<li><a href="/docs">The API's reference</a>, and <a href="/api/openapi.json">its description</a> as OpenAPI 3.1</li>
<li><a href="/api/health">Health</a> and <a href="/api/ready">readiness</a>, for whatever watches it</li>
<li>On the command line: <code>penstock flow-run ls</code>, <code>penstock deployment ls</code></li>
</ul>""",
    )


def message(title: str, text: str) -> str:
    """A page that says one thing."""
    return _page(title, f"<h1>{escape(title)}</h1>\n<p>{escape(text)}</p>")


def forward(where: str) -> str:
    """A page that goes on to another one of this server."""
    return _page("Penstock", f'<p><a href="{escape(where)}">On to Penstock</a></p>', f"0; url={escape(where)}")


def reference(document: Schema) -> str:
    """The API's reference, of its OpenAPI description."""
    parts = [f"<h1>{escape(document['info']['title'])} API {escape(document['info']['version'])}</h1>"]
    parts.append(f"<p>{_text(document['info']['description'])}</p>")
    parts.append('<p><a href="/api/openapi.json">The same as OpenAPI 3.1</a></p>')
    schemas: dict[str, Schema] = document["components"]["schemas"]
    for tag in document["tags"]:
        parts.append(f"<h2>{escape(tag['name'].capitalize())}</h2>")
        for path, methods in document["paths"].items():
            for method, operation in methods.items():
                if tag["name"] in operation.get("tags", ()):
                    parts.append(_operation(method.upper(), path, operation))
    parts.append("<h2>Types</h2>")
    parts += [_type(name, schema) for name, schema in sorted(schemas.items())]
    return _page("Penstock API", "\n".join(parts))


def _operation(method: str, path: str, operation: Schema) -> str:
    rows = [
        _row(each["name"], each["schema"], each["in"], required=each["required"]) for each in operation["parameters"]
    ]
    for content in operation.get("requestBody", {}).get("content", {}).values():
        schema: Schema = content["schema"]
        required = schema.get("required", ())
        rows += [
            _row(name, field, "body", required=name in required) for name, field in schema.get("properties", {}).items()
        ]
    answer = next(iter(operation["responses"].items()))
    contents = [_kind(content.get("schema", {})) for content in answer[1].get("content", {}).values()]
    return (
        f'<details id="{escape(operation["operationId"])}"><summary><b>{method}</b> <code>{escape(path)}</code>'
        f"<span>{escape(operation['summary'])}</span></summary>\n<p>{_text(operation['description'])}</p>\n"
        + _table(rows)
        + f"<p>Answers {escape(answer[0])}{': ' + contents[0] if contents else ''}</p></details>"
    )


def _type(name: str, schema: Schema) -> str:
    required = schema.get("required", ())
    rows = [_row(each, field, "", required=each in required) for each, field in schema.get("properties", {}).items()]
    values = " ".join(f"<code>{escape(str(each))}</code>" for each in schema.get("enum", ()))
    return (
        f'<details id="type-{escape(name)}"><summary><code>{escape(name)}</code></summary>\n'
        f"<p>{_text(schema.get('description', ''))}</p>\n<p>{values}</p>{_table(rows)}</details>"
    )


def _table(rows: list[str]) -> str:
    return "<table>\n" + "\n".join(rows) + "\n</table>\n" if rows else ""


def _row(name: str, schema: Schema, where: str, *, required: bool) -> str:
    needed = " (required)" if required else ""
    return (
        f"<tr><td><code>{escape(name)}</code></td><td>{where}{needed}</td><td>{_kind(schema)}</td>"
        f"<td>{_text(schema.get('description', ''))}</td></tr>"
    )


def _kind(schema: Schema) -> str:
    """The type that a schema stands for, in a few words, with links."""
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f'<a href="#type-{name}">{name}</a>'
    for choice in ("anyOf", "allOf", "oneOf"):
        if choice in schema:
            return " or ".join(_kind(each) for each in schema[choice])
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    return escape(str(schema.get("type", "anything")))


def _text(text: str) -> str:
    """Text with its ``code`` marked."""
    parts = escape(text).split("`")
    return "".join(f"<code>{part}</code>" if index % 2 else part for index, part in enumerate(parts)).replace(
        "\n\n", "</p>\n<p>"
    )


def _page(title: str, body: str, refresh: str | None = None) -> str:
    refreshing = f'<meta http-equiv="refresh" content="{refresh}">\n' if refresh else ""
    return (
        f'<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8"><title>{escape(title)}</title>\n'
        '<meta name="viewport" content="width=device-width"><link rel="stylesheet" href="/style.css">\n'
        f"{refreshing}</head>\n"
        f"<body>\n{body}\n</body>\n</html>\n"
    )
