"""The options that every command takes, wherever they stand on the line.

Except for one thing: behind the command, a short one belongs to the command if that has such an option
itself. ``penstock -p work run flow.py -p year=2021`` is a profile and a parameter.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import NamedTuple

from penstock import errors


class GlobalOptions:
    """What was asked for on the line, whatever the command; ``rest`` is the line without these options."""

    def __init__(self) -> None:
        self.profile: str | None = None
        self.quiet = False
        self.verbose = False
        self.no_color = False
        self.debug = False
        self.no_input = False
        self.help = False
        self.rest: list[str] = []


class GlobalOption(NamedTuple):
    """One of them, for help and reference."""

    names: tuple[str, ...]
    attribute: str
    help: str
    value: str = ""


GLOBAL_OPTIONS = (
    GlobalOption(("-p", "--profile"), "profile", "Take the settings from this profile of `profiles.toml`.", "NAME"),
    GlobalOption(("-q", "--quiet"), "quiet", "Print data, errors and nothing else."),
    GlobalOption(("-v", "--verbose"), "verbose", "Say on stderr what is being done."),
    GlobalOption(("--no-color",), "no_color", "No colours, as with `NO_COLOR=1`; `FORCE_COLOR=1` is the opposite."),
    GlobalOption(("--no-input",), "no_input", "Never ask; fail where a question would be."),
    GlobalOption(("--debug",), "debug", "Show the traceback of an error."),
    GlobalOption(("-h", "--help"), "help", "Show what a command does, its arguments and options."),
)

_BY_NAME = {name: option for option in GLOBAL_OPTIONS for name in option.names}
_SHORT = re.compile(r"-[qv]+|-h|-p(=.*)?")
"""What may be an option of the command."""
_NUMBER = r"\d+(\.\d+)?"
_FLAGS = re.compile(r"-[qvh]+")
_FIELDS = r"[a-z_]+(,[a-z_]+)*"


def take(line: list[str]) -> GlobalOptions:
    """Take the global options out of the line, up to a ``--``; short ones only where they precede the command.

    Raises `UsageError` for a missing value.
    """
    found = GlobalOptions()
    words = iter(line)
    for word in words:
        if word == "--":
            found.rest += [word, *words]
            break
        if found.rest and _SHORT.fullmatch(word):
            found.rest.append(word)
        else:
            _take(found, word, words)
    found.rest = _with_json_fields(found.rest)
    return found


def has_short(line: list[str]) -> bool:
    """Whether there is anything for `take_short` to decide."""
    return any(_SHORT.fullmatch(word) for word in line)


def take_short(found: GlobalOptions, owned: Collection[str]) -> None:
    """Take the short options out of the rest of the line too, but for those of which the command has its own.

    ``-h`` is help even then, unless a number follows: Prefect's ``work-queue preview NAME -h 24``.
    """
    line, found.rest = found.rest, []
    is_count = [re.fullmatch(_NUMBER, word) is not None for word in (*line[1:], "")]
    words = iter(zip(line, is_count, strict=True))
    rest = (word for word, _ in words)
    for word, has_count in words:
        if word == "--":
            found.rest += [word, *rest]
        elif word == "-h" and not has_count:
            found.help = True
        elif not _SHORT.fullmatch(word) or any(f"-{letter}" in owned for letter in word.partition("=")[0][1:]):
            found.rest.append(word)
        else:
            _take(found, word, rest)


def _take(found: GlobalOptions, word: str, words: Iterator[str]) -> None:
    name, equals, value = word.partition("=")
    option = _BY_NAME.get(name)
    if _FLAGS.fullmatch(word):
        for letter in word[1:]:
            setattr(found, _BY_NAME[f"-{letter}"].attribute, True)
    elif option is None or (equals and not option.value):
        found.rest.append(word)
    elif not option.value:
        setattr(found, option.attribute, True)
    else:
        value = value if equals else next(words, "")
        if not value or value.startswith("-"):
            raise errors.UsageError(f"Missing value: `{name} {option.value}`")
        setattr(found, option.attribute, value)


def _with_json_fields(line: list[str]) -> list[str]:
    """Let ``--json`` stand alone or before a list of fields: ``--json id,name`` becomes ``--json=id,name``."""
    if "--json" not in line:
        return line
    result: list[str] = []
    words = iter(line)
    for word in words:
        if word == "--":
            return [*result, word, *words]
        if word != "--json":
            result.append(word)
            continue
        following = next(words, None)
        if following is None:
            result.append("--json=")
        elif re.fullmatch(_FIELDS, following) and ("," in following or following in _field_names()):
            result.append(f"--json={following}")
        else:
            result.append("--json=")
            return result + _with_json_fields([following, *words])
    return result


def _field_names() -> set[str]:
    from penstock.cli import field_names  # noqa: PLC0415  only when --json is on the line

    return field_names.every()
