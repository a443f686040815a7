"""The reference page of the command line: ``python -m penstock.cli.reference > docs/reference/cli.md``."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

from penstock.cli import describe, exit_codes, help, tree  # noqa: A004  the module is named for what it does
from penstock.cli.options import GLOBAL_OPTIONS

INTRODUCTION = """\
<!-- Made by `python -m penstock.cli.reference`; change the commands, not this page. -->

# Command line

Data goes to stdout, messages to stderr. A table on a terminal is a line with tabs behind a pipe; `--json` and `-o` say
otherwise. Times are those of your zone on a terminal, and UTC everywhere else. A run is named by its name, its id, or a
beginning of the id that no other run has. `ls` may be written `list`.
"""

ANYWHERE = """\
They may stand anywhere on the line. Where a command has a `-p`, `-q` or `-v` of its own, that is meant behind the
command; before the command, it is always one of these."""


def page() -> str:
    """The whole page, in Markdown."""
    app = tree.build()
    parts = [INTRODUCTION, _exit_codes(), _global_options()]
    parts += [_command(command) for command in describe.describe_all(app)]
    return "\n".join(parts)


def _exit_codes() -> str:
    rows = [f"| {code} | {meaning} |" for code, meaning in exit_codes.MEANINGS.items()]
    return "\n".join(["## Exit codes", "", "| code | meaning |", "|---|---|", *rows, ""])


def _global_options() -> str:
    rows = [(_code(option.names, option.value), option.help) for option in GLOBAL_OPTIONS]
    return "\n".join(["## Options of every command", "", ANYWHERE, "", *_table("option", rows)])


def _command(command: describe.CommandHelp) -> str:
    lines = [f"{'#' * (1 + len(command.chain))} `penstock {' '.join(command.chain)}`", ""]
    lines += [command.summary, ""]
    if command.details:
        lines += [command.details, ""]
    if command.commands:
        return "\n".join(lines)
    lines += ["```text", command.usage, "```", ""]
    if command.aliases:
        aliases = ", ".join(f"`penstock {' '.join([*command.chain[:-1], alias])}`" for alias in command.aliases)
        lines += [f"Also: {aliases}", ""]
    if command.arguments:
        lines += _table("argument", [(f"`{argument.name}`", argument.help) for argument in command.arguments])
    if command.options:
        rows = [(_code(option.names, option.value), help.option_text(option)) for option in command.options]
        lines += _table("option", rows)
    return "\n".join(lines)


def _table(title: str, rows: Sequence[tuple[str, str]]) -> Iterator[str]:
    yield from (f"| {title} | |", "|---|---|")
    for name, text in rows:
        yield f"| {name} | {text.replace('|', chr(92) + '|')} |"
    yield ""


def _code(names: Sequence[str], value: str) -> str:
    text = ", ".join(f"`{name}`" for name in names)
    return f"{text} `{value}`".replace("|", "\\|") if value else text


if __name__ == "__main__":
    sys.stdout.write(page())
