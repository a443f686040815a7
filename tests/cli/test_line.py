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
        (
            "flow-run logs x --level warn",
            "error: `--level` does not take the value `warn`\nhint: did you mean `warning`?\n",
        ),
        (
            "server start --log-level warn",
            "error: `--log-level` does not take the value `warn`\nhint: did you mean `WARNING`?\n",
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


def test_a_short_option_means_what_the_command_says_behind_it_and_what_every_command_says_before(
    penstock: Call, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    home.mkdir()
    (home / "profiles.toml").write_text("[profiles.work]\nPENSTOCK_PROGRESS = 'off'\n")
    (tmp_path / "flows.py").write_text("from penstock import flow\n@flow\ndef echo(n: int):\n    print(n)\n")

    penstock("-p", "work", "-q", "run", tmp_path / "flows.py", "-p", "n=3", "-q")

    assert capsys.readouterr().out == "3\n"
    assert penstock("config", "view", "-p=work").out.split("\n")[1] == "PENSTOCK_PROFILE\twork\t--profile"
    assert penstock("version", "-p", "wrok").code == 0
    assert "  -p, --param" in penstock("run", "--help").out
    assert "  -p, --profile" in penstock("version", "--help").out


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
    ran = penstock("flow")

    assert ran.code == 0
    assert ran.out.startswith(
        "Usage: penstock flow COMMAND\n"
        "\n"
        "Flows that have run.\n"
        "\n"
        "Commands:\n"
        "  ls       List the flows that have run, each with its latest run.\n"
        "  inspect  Show a flow: what it does, its deployments and its latest runs.\n"
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


def test_what_is_no_text_on_the_line_is_named(penstock: Call, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("penstock.cli.version.facts", lambda: "für \udcff".encode())  # as JSON and URLs do

    assert penstock("version", "--json") == (2, "", "error: Not text in UTF-8: `f\\xfcr \\udcff`\n")


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
