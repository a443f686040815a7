"""Help: what a command does and takes, on stdout, wrapped to the terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from penstock.cli.describe import CommandHelp, OptionHelp
from penstock.cli.options import GLOBAL_OPTIONS
from penstock.cli.terminal import Terminal

MAX_WIDTH = 100


def render(terminal: Terminal, command: CommandHelp) -> str:
    """The help page of a command."""
    width = min(MAX_WIDTH, terminal.width) if terminal.out_is_tty else MAX_WIDTH
    parts = [f"{terminal.paint('Usage:', 'bold')} {command.usage}", _paragraphs(command, width)]
    if command.commands:
        parts.append(_section(terminal, "Commands", command.commands, width))
    if command.arguments:
        rows = [(argument.name, argument.help) for argument in command.arguments]
        parts.append(_section(terminal, "Arguments", rows, width))
    if command.options:
        rows = [(_names(option.names, option.value), option_text(option)) for option in command.options]
        parts.append(_section(terminal, "Options", rows, width))
    own = {name for option in command.options for name in option.names}
    rows = [
        (_names(tuple(name for name in option.names if name not in own), option.value), option.help)
        for option in GLOBAL_OPTIONS
    ]
    parts.append(_section(terminal, "Options of every command", rows, width))
    if command.commands:
        parts.append(f"`{' '.join(['penstock', *command.chain])} COMMAND --help` tells more of one.")
    return "\n\n".join(parts)


def option_text(option: OptionHelp) -> str:
    """What an option does, whether it may come again, and what holds without it."""
    text = option.help
    if option.repeats:
        text += " May be given several times."
    if option.default:
        text += f" [default: {option.default}]"
    return text


def _paragraphs(command: CommandHelp, width: int) -> str:
    blocks = [command.summary, *command.details.split("\n\n")] if command.details else [command.summary]
    return "\n\n".join(
        block if block.startswith(" ") else textwrap.fill(" ".join(block.split()), width) for block in blocks
    )


def _names(names: tuple[str, ...], value: str) -> str:
    text = ", ".join(names)
    if names[0].startswith("--"):
        text = "    " + text  # below the long names of those that have a short one
    return f"{text} {value}" if value else text


def _section(terminal: Terminal, title: str, rows: Sequence[tuple[str, str]], width: int) -> str:
    left = min(36, max(len(name) for name, _ in rows)) + 4
    lines = [terminal.paint(f"{title}:", "bold")]
    for name, text in rows:
        head = "  " + name
        wrapped = textwrap.wrap(text, max(16, width - left)) or [""]
        if len(head) + 2 > left:
            lines.append(terminal.paint(head, "cyan"))
        else:
            lines.append(f"{terminal.paint(head, 'cyan')}{' ' * (left - len(head))}{wrapped.pop(0)}".rstrip())
        lines += [" " * left + line for line in wrapped]
    return "\n".join(lines)
