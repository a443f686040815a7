"""What the command line offers, as values: help and reference are two renderings of them."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple, get_args, get_origin

from cyclopts import App, Argument

from penstock.cli import tree

_VALUES = {int: "NUMBER", float: "NUMBER"}


class ArgumentHelp(NamedTuple):
    """A positional argument."""

    name: str
    help: str
    required: bool

    @property
    def usage(self) -> str:
        return self.name if self.required else f"[{self.name}]"


class OptionHelp(NamedTuple):
    """An option: its names, the shape of its value (empty for a flag), and what it is without being given."""

    names: tuple[str, ...]
    value: str
    help: str
    default: str
    required: bool
    repeats: bool


class CommandHelp(NamedTuple):
    """A command, or a noun with commands."""

    chain: tuple[str, ...]
    aliases: tuple[str, ...]
    summary: str
    details: str
    arguments: tuple[ArgumentHelp, ...]
    options: tuple[OptionHelp, ...]
    commands: tuple[tuple[str, str], ...]
    """Names and summaries of what is below."""

    @property
    def usage(self) -> str:
        words = ["penstock", *self.chain]
        if self.commands:
            return " ".join([*words, "COMMAND"])
        words += [argument.usage for argument in self.arguments]
        for option in self.options:
            if option.required:
                words.append(f"{option.names[0]} {option.value}")
        return " ".join([*words, "[OPTIONS]"])


def describe(app: App, chain: tuple[str, ...] = (), aliases: tuple[str, ...] = ()) -> CommandHelp:
    """A command and what it takes; of the commands below it, only their names."""
    summary, details = _told(app)
    arguments = list(_shown_arguments(app))
    return CommandHelp(
        chain,
        aliases,
        summary,
        details,
        tuple(_positional(each) for each in arguments if each.is_positional_only()),
        tuple(_option(each) for each in arguments if not each.is_positional_only()),
        tuple((name, command_summary) for name, _, command_summary in _below(app)),
    )


def describe_all(app: App, chain: tuple[str, ...] = ()) -> Iterator[CommandHelp]:
    """Every command with all below it, in the order in which they were declared. Imports them all."""
    for name, aliases, _ in _below(app):
        below = app[name]
        yield describe(below, (*chain, name), aliases)
        yield from describe_all(below, (*chain, name))


def names_below(app: App) -> list[str]:
    """The names of the commands that ``app`` has, aliases included."""
    flags = set(app.help_flags)
    return [name for name in app if name not in flags]


def _below(app: App) -> list[tuple[str, tuple[str, ...], str]]:
    """Name, aliases and summary of each command. Those that have modules of their own are not imported for it."""
    listed = {name: command for command in tree.BELOW.get(app.name[0], ()) for name in (command.name, *command.aliases)}
    found: dict[object, tuple[str, list[str], str]] = {}
    for name in names_below(app):
        known = listed.get(name)
        command = known.name if known is not None else id(app[name])
        found.setdefault(command, (name, [], known.help if known else _told(app[name])[0]))[1].append(name)
    return [(name, tuple(names[1:]), summary) for name, names, summary in found.values()]


def _told(app: App) -> tuple[str, str]:
    """What a command's docstring says first, and the rest of it."""
    text = app.help if app.default_command is None else app.default_command.__doc__
    summary, _, details = inspect.cleandoc(text or "").partition("\n\n")
    return " ".join(summary.split()), details


def _shown_arguments(app: App) -> Iterator[Argument]:
    if app.default_command is None:
        return
    for argument in app.assemble_argument_collection(default_parameter=tree.DEFAULTS):
        if argument.parse and argument.show and not argument.children:
            yield argument


def _positional(argument: Argument) -> ArgumentHelp:
    name = argument.parameter.metavar or argument.name.lstrip("-").upper()
    return ArgumentHelp(name, argument.parameter.help or "", argument.required)


def _option(argument: Argument) -> OptionHelp:
    default = argument.field_info.default
    kind = argument.resolved_hint
    repeats = get_origin(kind) is tuple
    if default is inspect.Parameter.empty or default is None or default in (False, ()):
        default = ""
    return OptionHelp(
        tuple(sorted(argument.names, key=len)),
        _value(argument, get_args(kind)[0] if repeats else kind),
        argument.parameter.help or "",
        str(default),
        argument.required,
        repeats,
    )


def _value(argument: Argument, kind: Any) -> str:
    if kind is bool:
        return ""
    if argument.parameter.metavar:
        return argument.parameter.metavar
    if get_origin(kind) is Literal:
        return "|".join(get_args(kind))
    return _VALUES.get(kind, "TEXT")
