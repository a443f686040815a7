"""Parameters of a flow as they are given on a line: ``-p k=json`` and ``--params file``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, cast

import msgspec
from cyclopts import Parameter

from penstock import errors
from penstock.cli.terminal import Terminal
from penstock.core.parameters import parse_cli

One = Annotated[
    tuple[str, ...],
    Parameter(name=("-p", "--param"), metavar="NAME=VALUE", help="A parameter; the value is JSON, or else a text."),
]
All = Annotated[
    str | None,
    Parameter(
        metavar="FILE",
        allow_leading_hyphen=True,
        help="Take parameters from this JSON file, or from stdin (`-`), or from JSON itself.",
    ),
]


def read(terminal: Terminal, singles: Sequence[str], whole: str | None) -> dict[str, Any]:
    """All parameters that were given; a single one wins over the same in ``whole``. Raises `UsageError`."""
    return {**(document(terminal, whole) if whole is not None else {}), **values(singles)}


def values(singles: Sequence[str], *, one: str = "a parameter", option: str = "-p") -> dict[str, Any]:
    """What was given as ``name=value``, to this option. Raises `UsageError`."""
    given: dict[str, Any] = {}
    for text in singles:
        name, equals, value = text.partition("=")
        if not equals or not name:
            hint = f"write `{option} name=value`; the value is JSON or a text"
            raise errors.UsageError(f"Not {one}: `{text}`", hint=hint)
        given[name] = parse_cli(value)
    return given


def document(terminal: Terminal, where: str, *, one: str = "parameter", option: str = "--params") -> dict[str, Any]:
    """The JSON object that a file holds, or stdin (``-``), or the text itself. Raises `UsageError`."""
    if where.lstrip().startswith("{"):
        text, name = where, option
    elif where == "-":
        text, name = terminal.stdin.read() if terminal.stdin else "", "stdin"
    else:
        name = where
        try:
            text = Path(where).read_text("utf-8")
        except FileNotFoundError:
            raise errors.UsageError(f"There is no file of {one}s: `{where}`") from None
        except UnicodeDecodeError:
            raise errors.UsageError(f"Not a text file: `{where}`") from None
    try:
        document = msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise errors.UsageError(f"Not JSON: `{name}`", hint=str(error)) from None
    if not isinstance(document, dict):
        raise errors.UsageError(f"Not a JSON object with a field for each {one}: `{name}`")
    return cast("dict[str, Any]", document)
