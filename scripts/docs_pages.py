"""Writes the tables of the documentation that follow from the code: ``python scripts/docs_pages.py``.

A page holds ``<!-- made: NAME -->`` and ``<!-- end of NAME -->``; what stands between them is made here. With
``--check`` nothing is written, and the exit code says whether all is current. `tests/project/test_docs_tables.py` does
the same.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

import msgspec

from penstock import errors, settings
from penstock.api import app, description
from penstock.core import records, transitions
from penstock.core.specs import FlowOptions, TaskOptions
from penstock.core.states import StateType
from penstock.sdk.deploying import DeploymentOptions

ROOT = Path(__file__).parents[1]
PAGES = {
    "concepts/lifecycle.md": ("states", "arrows", "reopening"),
    "reference/api.md": ("flow options", "task options", "deployment options"),
    "reference/api-http.md": ("operations",),
    "reference/errors.md": ("errors",),
    "reference/journal-format.md": ("records",),
    "reference/settings.md": ("settings",),
}

S = StateType
MEANS = {
    S.SCHEDULED: "It is to run later: at a time, or after a delay before its next try.",
    S.PENDING: "It was asked for and has not started: its inputs are not there yet, or no worker is free.",
    S.RUNNING: "Its code is being executed.",
    S.PAUSED: "It waits for somebody to let it go on.",
    S.CANCELLING: "It was told to stop, and has not stopped yet.",
    S.COMPLETED: "It ended as it should, and has a result.",
    S.FAILED: "Its code raised, returned a failed state, took too long, or could not start for want of an input.",
    S.CRASHED: "Its process or machine went away, or the keyboard interrupted it: nothing is said about its code.",
    S.CANCELLED: "It was stopped because somebody wanted that.",
}

ARROWS: dict[tuple[StateType | None, StateType], str] = {
    (None, S.SCHEDULED): "It is created to run later.",
    (None, S.PENDING): "It is submitted, and waits for its inputs or for a worker.",
    (None, S.RUNNING): "It is called, and begins at once: the usual beginning of a run started by hand.",
    (None, S.FAILED): "It could not even begin: parameters that do not fit, an input that failed.",
    (None, S.COMPLETED): "It need not run: its result was recorded, or is in the cache.",
    (S.SCHEDULED, S.RUNNING): "The delay before a retry is over (name `Retrying`), or the scheduled time has come.",
    (S.RUNNING, S.SCHEDULED): "A try failed, and there will be another one after a delay (name `AwaitingRetry`).",
    (S.RUNNING, S.RUNNING): "It is tried again at once, because its worker process died (name `Retrying`).",
    (S.PAUSED, S.RUNNING): "Somebody let it go on.",
    (S.PENDING, S.COMPLETED): "Its result was recorded or cached meanwhile.",
    (S.PENDING, S.FAILED): "An input that it waited for failed (name `NotReady`).",
    (S.CANCELLING, S.COMPLETED): "It was faster than the wish to stop it.",
    (S.CANCELLING, S.FAILED): "Its code raised while it was being stopped.",
    (S.CANCELLING, S.CRASHED): "Its process died while it was being stopped.",
}
"""Arrows of which more can be said than what every arrow to that state says."""

TOWARDS = {
    S.SCHEDULED: "It is put off until later.",
    S.PENDING: "A worker has taken it, or it waits for one.",
    S.RUNNING: "It begins.",
    S.PAUSED: "It is told to wait.",
    S.CANCELLING: "It is told to stop.",
    S.COMPLETED: "Its code returned.",
    S.FAILED: "Its code raised, or returned a failed state.",
    S.CRASHED: "Its process is gone.",
    S.CANCELLED: "It has been stopped.",
}


def states() -> Iterator[str]:
    yield "| state | | meaning |"
    yield "|---|---|---|"
    for state in StateType:
        yield f"| `{state.value}` | {'final' if state.is_final else ''} | {MEANS[state]} |"


def arrows() -> Iterator[str]:
    yield "| from | to | when |"
    yield "|---|---|---|"
    for before, followers in transitions.FOLLOWS.items():
        for after in StateType:
            if after in followers:
                when = ARROWS.get((before, after), TOWARDS[after])
                yield f"| {f'`{before.value}`' if before else '(new)'} | `{after.value}` | {when} |"


def reopening() -> Iterator[str]:
    yield "| from | to |"
    yield "|---|---|"
    for before in StateType:
        if followers := transitions.REOPENS.get(before):
            yield f"| `{before.value}` | {', '.join(f'`{after.value}`' for after in StateType if after in followers)} |"


def options(kind: type) -> Iterator[str]:
    yield "| option | |"
    yield "|---|---|"
    for name, said in _sentences(kind).items():
        yield f"| `{name}` | {said} |"


def settings_() -> Iterator[str]:
    said = _sentences(settings.Settings)
    fields = {field.name: field for field in msgspec.structs.fields(settings.Settings)}
    for name in settings.NAMES:
        field = fields[name]
        yield f"## `{settings.PREFIX}{name.upper()}`"
        yield ""
        yield _capital(said[name])
        yield ""
        default = "`~/.penstock`" if name == "home" else _default(field.default)
        yield f"{_capital(_type(field.type))}; default: {default}"
        yield ""


def errors_() -> Iterator[str]:
    yield "| exception | also a | exit code | |"
    yield "|---|---|---|---|"
    for depth, kind in _tree(errors.PenstockError, 0):
        others = [base.__name__ for base in kind.__bases__ if not issubclass(base, errors.PenstockError)]
        also = ", ".join(f"`{name}`" for name in others if name != "Exception")
        name = f"{'· ' * depth}<a id='{kind.__name__}'></a>`{kind.__name__}`"
        yield f"| {name} | {also} | {kind.exit_code} | {_doc(kind).splitlines()[0]} |"


def operations_() -> Iterator[str]:
    described = description.document(app.RAW)
    for tag in described["tags"]:
        yield f"### {tag['name'].capitalize()}"
        yield ""
        yield "| | request | needs | |"
        yield "|---|---|---|---|"
        for path, methods in described["paths"].items():
            for method, each in methods.items():
                if tag["name"] in each["tags"]:
                    needs = ", ".join(f"`{name}`" for name in each["x-permission"]) or "nothing"
                    name = "".join(word.capitalize() for word in each["operationId"].split("_"))
                    said = each["description"].partition("\n\n")[0].replace("|", "\\|")
                    yield f"| `{method.upper()} {path}` | `{name}` | {needs} | {said} |"
        yield ""


def records_() -> Iterator[str]:
    for kind in (*get_args(records.AnyRecord), records.ResultRecord):
        tag = kind.__struct_config__.tag
        yield f"### `{kind.__name__}`{f', tag `{tag}`' if tag else ''}"
        yield ""
        yield " ".join(_doc(kind).split())
        yield ""
        yield "| | field | type | default |"
        yield "|---|---|---|---|"
        for position, field in enumerate(msgspec.structs.fields(kind), 1 if tag else 0):
            given = "" if field.required else _default(_default_of(field))
            yield f"| {position} | `{field.name}` | {_type(field.type)} | {given} |"
        yield ""


def _default_of(field: Any) -> Any:
    return field.default_factory() if field.default is msgspec.NODEFAULT else field.default


def _default(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value!r}`" if not isinstance(value, str) or not value else f"`{value}`"


def _type(kind: Any) -> str:
    if isinstance(kind, types.UnionType) or get_origin(kind) is Union:
        return " or ".join("none" if each is type(None) else _type(each) for each in kind.__args__)
    words = {
        bool: "true or false",
        int: "whole number",
        float: "number",
        str: "text",
        Path: "path",
        bytes: "bytes",
        Any: "anything",
    }
    if kind in words:
        return words[kind]
    if hasattr(kind, "__metadata__"):
        note = kind.__metadata__[0]
        if note.description:
            return note.description
        limits = f"{note.ge} or more" if note.le is None else f"from {note.ge} to {note.le}"
        return f"{_type(kind.__origin__)}, {limits}"
    origin = getattr(kind, "__origin__", None)
    if origin is Literal:
        return "one of " + ", ".join(f"`{word}`" for word in get_args(kind))
    if origin is not None:
        inner = [_type(each) for each in kind.__args__ if each is not ...]
        return {tuple: "array of {}", dict: "map of {} to {}"}[origin].format(*inner)
    return f"[`{kind.__name__}`](#{kind.__name__.lower()})"


def _sentences(kind: type) -> dict[str, str]:
    """The docstring below each field of a class."""
    (definition,) = ast.parse(inspect.getsource(kind)).body
    assert isinstance(definition, ast.ClassDef)
    found: dict[str, str] = {}
    for field, after in zip(definition.body, definition.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            assert isinstance(after, ast.Expr), f"{field.target.id} says nothing of itself"
            assert isinstance(after.value, ast.Constant)
            found[field.target.id] = " ".join(str(after.value.value).replace("``", "`").split())
    return found


def _doc(kind: type) -> str:
    return inspect.cleandoc(kind.__doc__ or "").replace("``", "`")


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def _tree(kind: type[errors.PenstockError], depth: int) -> Iterator[tuple[int, type[errors.PenstockError]]]:
    yield depth, kind
    for child in kind.__subclasses__():
        if child.__module__ == errors.__name__:  # others may have made some of their own
            yield from _tree(child, depth + 1)


MAKERS: dict[str, Callable[[], Iterator[str]]] = {
    "states": states,
    "arrows": arrows,
    "reopening": reopening,
    "flow options": lambda: options(FlowOptions),
    "task options": lambda: options(TaskOptions),
    "deployment options": lambda: options(DeploymentOptions),
    "settings": settings_,
    "errors": errors_,
    "operations": operations_,
    "records": records_,
}


def current(page: str, text: str) -> str:
    """The text of a page with its tables made anew."""
    for name in PAGES[page]:
        made = "\n".join(MAKERS[name]()).strip()
        pattern = rf"(<!-- made: {name} .*?-->\n).*?(<!-- end of {name} -->)"
        text, count = re.subn(
            pattern, lambda found, made=made: f"{found[1]}\n{made}\n\n{found[2]}", text, flags=re.DOTALL
        )
        if count != 1:
            raise SystemExit(f"docs/{page} has no place for `{name}`")
    return text


def main() -> None:
    stale: list[str] = []
    for page in PAGES:
        path = ROOT / "docs" / page
        before = path.read_text()
        after = current(page, before)
        if after != before:
            stale.append(page)
            if "--check" not in sys.argv:
                path.write_text(after)
    if stale:
        print(f"{'stale' if '--check' in sys.argv else 'written'}: {', '.join(stale)}")
    raise SystemExit(1 if stale and "--check" in sys.argv else 0)


if __name__ == "__main__":
    main()
