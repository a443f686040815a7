"""What is wrong with a line that cannot be understood, in the words of all other errors."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, get_args, get_origin

from cyclopts import (
    App,
    Argument,
    CoercionError,
    CycloptsError,
    MissingArgumentError,
    RepeatArgumentError,
    UnknownCommandError,
    UnknownOptionError,
    UnusedCliTokensError,
    ValidationError,
)

from penstock import errors
from penstock.cli import describe
from penstock.cli.options import GLOBAL_OPTIONS
from penstock.core.suggestions import did_you_mean, nearest


def explain(error: CycloptsError, app: App) -> errors.UsageError:
    """The error as one of ours: a sentence, and what was probably meant."""
    words = " ".join(["penstock", *(error.command_chain or ())])
    if isinstance(error, UnknownCommandError):
        return _unknown_command(error, app)
    if isinstance(error, UnknownOptionError):
        known = [name for argument in error.argument_collection for name in argument.names if name.startswith("-")]
        known += [name for option in GLOBAL_OPTIONS for name in option.names]
        given = (error.token.keyword or error.token.value).partition("=")[0]
        return errors.UsageError(f"Unknown option: `{given}`", hint=_meant(given, known, f"`{words} --help`"))
    if isinstance(error, UnusedCliTokensError):
        given = (error.unused_tokens or [""])[0]
        return errors.UsageError(f"Unexpected argument: `{given}`", hint=f"`{words} --help` shows what it takes")
    if isinstance(error, MissingArgumentError) and error.argument is not None:
        name = _name(error.argument, error.keyword)
        what = f"Missing value: `{name}`" if error.keyword else f"Missing: `{name}`"
        return errors.UsageError(what, hint=f"`{words} --help` shows what it takes")
    if isinstance(error, CoercionError) and error.argument is not None and error.token is not None:
        return _does_not_fit(error.argument, error.token.keyword, error.token.value)
    if isinstance(error, RepeatArgumentError):
        return errors.UsageError(f"May be given only once: `{error.token.keyword}`")
    if isinstance(error, ValidationError) and error.argument is not None:
        token = error.argument.tokens[0]
        name = _name(error.argument, token.keyword)
        return errors.UsageError(f"`{name}` takes {error.exception_message}, not: `{token.value}`")
    return errors.UsageError(str(error), hint=f"`{words} --help` shows what it takes")


def _unknown_command(error: UnknownCommandError, app: App) -> errors.UsageError:
    given = (error.unused_tokens or [""])[0]
    chain = tuple(error.command_chain or ())
    for name in chain:
        app = app[name]
    words = " ".join(["penstock", *chain])
    if given.startswith("-"):
        known = [name for option in GLOBAL_OPTIONS for name in option.names] + describe.names_below(app)
        return errors.UsageError(f"Unknown option: `{given}`", hint=_meant(given, known, f"`{words} --help`"))
    return errors.UsageError(
        f"There is no command `{' '.join([*words.split(), given])}`",
        hint=_meant(given, describe.names_below(app), f"`{words} --help`"),
    )


def _does_not_fit(argument: Argument, keyword: str | None, value: str) -> errors.UsageError:
    name = _name(argument, keyword)
    kind = argument.resolved_hint
    if get_origin(kind) is tuple:  # it may be given several times
        kind = get_args(kind)[0]
    if get_origin(kind) is Literal:
        choices: Sequence[str] = get_args(kind)
        if value == "yaml" and "json" in choices:
            hint = "there is no YAML; `-o json` is valid YAML too"
        else:
            words = {choice.lower(): choice for choice in choices}
            near = nearest(value.lower(), words)
            hint = f"did you mean `{words[near]}`?" if near else f"it takes one of: {', '.join(choices)}"
        return errors.UsageError(f"`{name}` does not take the value `{value}`", hint=hint)
    expected = {int: "a whole number", float: "a number"}.get(kind, "another kind of value")
    return errors.UsageError(f"`{name}` takes {expected}, not: `{value}`")


def _name(argument: Argument, keyword: str | None) -> str:
    if keyword or not argument.is_positional_only():
        return keyword or argument.name
    return argument.parameter.metavar or argument.name.lstrip("-").upper()


def _meant(name: str, known: Iterable[str], help_command: str) -> str:
    near = did_you_mean(name, known)
    return f"{near} {help_command} lists all" if near else f"{help_command} lists what there is"
