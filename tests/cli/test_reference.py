"""What commands say of themselves: their help, and the reference page."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cyclopts import App

from penstock.cli import describe, options, reference, tree

Call = Callable[..., Any]

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "cli.md"


def nouns(app: App) -> Iterator[App]:
    yield app
    for command in tree.BELOW["penstock"]:
        below = app[command.name]
        if below.default_command is None:
            yield below


APP = tree.build()
COMMANDS = list(describe.describe_all(APP))
CALLED = [command for command in COMMANDS if not command.commands]


def test_the_reference_page_is_current():
    assert PAGE.read_text() == reference.page(), "run `python -m penstock.cli.reference > docs/reference/cli.md`"


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(command.chain))
def test_every_command_has_help(penstock: Call, command: describe.CommandHelp):
    ran = penstock(*command.chain, "--help")

    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith(f"Usage: {command.usage}\n\n{command.summary[:20]}")
    assert max(map(len, ran.out.splitlines())) <= 100
    assert penstock(*command.chain, "-h", "--no-such-option", columns=40, tty=True).code == 0


@pytest.mark.parametrize("command", CALLED, ids=lambda command: " ".join(command.chain))
def test_every_command_and_option_says_what_it_is_for(command: describe.CommandHelp):
    texts = [command.summary, *(each.help for each in command.arguments), *(each.help for each in command.options)]

    assert [text for text in texts if not text or not text.endswith(".")] == []


def test_what_is_listed_without_being_imported_says_what_its_docstring_says():
    wrong: list[str] = []
    for app in nouns(APP):
        for command in tree.BELOW.get(app.name[0], ()):
            function = app[command.name].default_command
            said = inspect.cleandoc((app[command.name].help if function is None else function.__doc__) or "")
            if command.help != " ".join(said.partition("\n\n")[0].split()):
                wrong.append(f"{command.name}: {command.help}")

    assert wrong == []


def test_no_command_has_an_option_that_every_command_has():
    of_every = {name for option in options.GLOBAL_OPTIONS for name in option.names} - {"-p", "-q", "-v", "-h"}

    assert [(c.chain, o.names) for c in CALLED for o in c.options if of_every & set(o.names)] == []


def test_every_command_that_reads_can_be_read_by_programs():
    reads = {"ls", "inspect", "why", "logs", "view", "doctor", "version", "fsck", "status"}
    without = [c.chain for c in CALLED if c.chain[-1] in reads and not any("--json" in o.names for o in c.options)]

    assert without == []


def test_every_command_that_changes_something_can_be_rehearsed():
    changes = {
        "init",
        "run",
        "resume",
        "rerun",
        "fork",
        "delete",
        "prune",
        "restore",
        "rebuild",
        "--install-completion",
    }
    chains = {command.chain for command in CALLED}
    without = [
        c.chain
        for c in CALLED
        if c.chain[-1] in changes
        and not any("--dry-run" in o.names for o in c.options)
        and not (c.chain[-1] == "resume" and (*c.chain[:-1], "pause") in chains)  # it only undoes that
    ]

    assert without == []
