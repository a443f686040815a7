"""Lines that are understood, and lines that are not: what they print, and what they exit with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Call = Callable[..., Any]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (
            "flow-rnu ls",
            (
                "error: There is no command `penstock flow-rnu`\n"
                "hint: did you mean `flow-run`? `penstock --help` lists all\n"
            ),
        ),
        (
            "flow-run lst",
            (
                "error: There is no command `penstock flow-run lst`\n"
                "hint: did you mean `list`? `penstock flow-run --help` lists all\n"
            ),
        ),
        (
            "xyz --help",
            "error: There is no command `penstock xyz`\nhint: `penstock --help` lists what there is\n",
        ),
        (
            "--profle x version",
            "error: Unknown option: `--profle`\nhint: did you mean `--profile`? `penstock --help` lists all\n",
        ),
        (
            "version --jsn",
            "error: Unknown option: `--jsn`\nhint: did you mean `--json`? `penstock version --help` lists all\n",
        ),
        (
            "version -o yaml",
            "error: `-o` does not take the value `yaml`\nhint: there is no YAML; `-o json` is valid YAML too\n",
        ),
        (
            "version --output jsn",
            "error: `--output` does not take the value `jsn`\nhint: did you mean `json`?\n",
        ),
        (
            "init --template x",
            "error: `--template` does not take the value `x`\nhint: it takes one of: hello, etl, ml\n",
        ),
        ("version -o", "error: Missing value: `-o`\nhint: `penstock version --help` shows what it takes\n"),
        ("version --profile", "error: Missing value: `--profile NAME`\n"),
        ("version --profile --json", "error: Missing value: `--profile NAME`\n"),
        (
            "version more",
            "error: Unexpected argument: `more`\nhint: `penstock version --help` shows what it takes\n",
        ),
        (
            "version --json verson",
            "error: Unexpected argument: `verson`\nhint: `penstock version --help` shows what it takes\n",
        ),
        (
            "version --json verson,python",
            (
                "error: There is no field `verson`\n"
                "hint: did you mean `version`? The fields are: version, python, platform\n"
            ),
        ),
        (
            "version -o json -o csv",
            "error: May be given only once: `-o`\n",
        ),
    ],
)
def test_a_line_that_cannot_be_understood_exits_with_2_and_says_what_was_meant(penstock: Call, line: Any, told: Any):
    assert penstock(*line.split()) == (2, "", told)


def test_options_of_every_command_may_stand_anywhere(penstock: Call):
    lines = ["-q version", "version -q", "version -qv", "--profile default version", "version --profile=default"]

    assert {penstock(*line.split()).code for line in lines} == {0}


def test_after_two_dashes_nothing_is_an_option_of_every_command(penstock: Call):
    assert penstock("init", "--", "--quiet", "x").err.startswith("error: Unexpected argument: `x`")


def test_a_profile_that_does_not_exist_is_not_found(penstock: Call, home: Path):
    home.mkdir()
    (home / "profiles.toml").write_text("[profiles.work]\n")

    assert penstock("config", "view", "--profile", "wrok") == (
        3,
        "",
        "error: There is no profile `wrok`\nhint: did you mean `work`?\n",
    )


def test_a_noun_alone_lists_its_commands(penstock: Call):
    ran = penstock("config")

    assert ran.code == 0
    assert ran.out.startswith(
        "Usage: penstock config COMMAND\n"
        "\n"
        "The settings in force.\n"
        "\n"
        "Commands:\n"
        "  view  Show every setting, its value, and where the value comes from.\n"
    )


def test_nothing_at_all_lists_everything(penstock: Call):
    assert penstock() == penstock("--help")


def test_an_error_that_is_not_expected_has_no_traceback(penstock: Call, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("penstock.cli.version.facts", lambda: 1 // 0)

    assert penstock("version", "--json") == (
        1,
        "",
        (
            "error: Penstock itself failed, with ZeroDivisionError: integer division or modulo by zero\n"
            "hint: `--debug` shows where; please report it\n"
        ),
    )


def test_with_debug_it_has_one(penstock: Call, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("penstock.cli.version.facts", lambda: 1 // 0)

    assert "Traceback (most recent call last)" in penstock("version", "--json", "--debug").err


def test_an_error_of_the_system_names_the_file(penstock: Call, tmp_path: Path):
    (tmp_path / "file").write_text("")

    ran = penstock("init", tmp_path / "file" / "below")

    assert (ran.code, ran.err) == (1, f"error: Not a directory: `{tmp_path}/file/below/hello.py`\n") or (
        ran.code == 1 and "Not a directory" in ran.err
    )


@pytest.mark.parametrize(
    ("raised", "code", "told"), [(KeyboardInterrupt, 130, "Interrupted\n"), (BrokenPipeError, 141, "")]
)
def test_being_interrupted_or_not_read_is_no_error(
    penstock: Call, monkeypatch: pytest.MonkeyPatch, raised: Any, code: Any, told: Any
):
    def fail() -> str:
        raise raised

    monkeypatch.setattr("penstock.cli.version.facts", fail)

    assert penstock("version", "--json") == (code, "", told)
