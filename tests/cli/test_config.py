"""``penstock config``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Call = Callable[..., Any]


def sources(ran: Any) -> dict[str, tuple[object, str]]:
    return {each["name"]: (each["value"], each["source"]) for each in json.loads(ran.out)}


def test_every_setting_tells_where_it_comes_from(penstock: Call, home: Path):
    home.mkdir()
    (home / "profiles.toml").write_text('active = "work"\n[profiles.work]\nretention_days = 7\nprogress = "plain"\n')

    found = sources(penstock("config", "view", "--json", PENSTOCK_PROGRESS="off"))

    assert found["PENSTOCK_HOME"] == (str(home), "environment")
    assert found["PENSTOCK_PROFILE"] == ("work", "profiles.toml")
    assert found["PENSTOCK_RETENTION_DAYS"] == (7, "profile work")
    assert found["PENSTOCK_PROGRESS"] == ("off", "environment")
    assert found["PENSTOCK_LOGGING_LEVEL"] == ("INFO", "default")


def test_a_profile_of_the_line_wins(penstock: Call, home: Path):
    home.mkdir()
    (home / "profiles.toml").write_text('active = "work"\n[profiles.work]\n[profiles.home]\nretention_days = 1\n')

    found = sources(penstock("config", "view", "--json", "--profile", "home"))

    assert found["PENSTOCK_PROFILE"] == ("home", "--profile")
    assert found["PENSTOCK_RETENTION_DAYS"] == (1, "profile home")


def test_a_value_of_the_profile_that_is_the_default_still_comes_from_the_profile(penstock: Call, home: Path):
    home.mkdir()
    (home / "profiles.toml").write_text("[profiles.default]\nPENSTOCK_REPLAY = 'recompute'\n")

    assert sources(penstock("config", "view", "--json"))["PENSTOCK_REPLAY"] == ("recompute", "profile default")


def test_sources_and_defaults_can_be_hidden_and_secrets_shown(penstock: Call):
    penstock("config", "set", "PENSTOCK_API_KEY=psk_1", "PENSTOCK_DATABASE_URL=postgresql://me:pw@host/db")

    assert penstock("config", "view", "--hide-defaults", "--hide-sources").out.split("\n")[1:-1] == [
        "PENSTOCK_API_KEY\t********",
        "PENSTOCK_DATABASE_URL\tpostgresql://me:********@host/db",
    ]
    shown = penstock("config", "view", "--hide-defaults", "--show-secrets", "--show-sources").out.split("\n")
    assert shown[1:-1] == [
        "PENSTOCK_API_KEY\tpsk_1\tprofile default",
        "PENSTOCK_DATABASE_URL\tpostgresql://me:pw@host/db\tprofile default",
    ]
    assert "pw" not in penstock("config", "view", "--json").out
    assert set(json.loads(penstock("config", "view", "--json", "--hide-sources").out)[0]) == {"name", "value"}


def test_people_get_a_table_and_programs_lines(penstock: Call):
    assert penstock("config", "view", tty=True).out.split("\n")[2].split() == ["PENSTOCK_PROFILE", "default", "default"]
    assert penstock("config", "view").out.split("\n")[1] == "PENSTOCK_PROFILE\tdefault\tdefault"


def test_a_value_that_does_not_fit_is_named(penstock: Call):
    assert penstock("config", "view", PENSTOCK_RETENTION_DAYS="many") == (
        2,
        "",
        (
            "error: Setting PENSTOCK_RETENTION_DAYS has a value that does not fit: `many`\n"
            "hint: Expected `float`, got `str`\n"
        ),
    )


def test_a_setting_is_written_to_the_active_profile(penstock: Call, home: Path):
    ran = penstock("config", "set", "PENSTOCK_API_URL=http://127.0.0.1:4200/api")

    assert ran == (
        0,
        "Set 'PENSTOCK_API_URL' to 'http://127.0.0.1:4200/api'.\nUpdated profile 'default'.\n",
        "",
    )
    assert sources(penstock("config", "view", "--json"))["PENSTOCK_API_URL"] == (
        "http://127.0.0.1:4200/api",
        "profile default",
    )


def test_several_are_written_and_taken_out_at_once(penstock: Call, home: Path):
    penstock("profile", "create", "work")

    ran = penstock("-p", "work", "config", "set", "PENSTOCK_SERVER_PORT=4300", "PENSTOCK_API_KEY=psk_1")

    assert ran.out == (
        "Set 'PENSTOCK_SERVER_PORT' to '4300'.\nSet 'PENSTOCK_API_KEY' to '********'.\nUpdated profile 'work'.\n"
    )
    ran = penstock("config", "unset", "PENSTOCK_API_KEY", "PENSTOCK_SERVER_PORT", "-p", "work")
    assert ran.out == "Unset 'PENSTOCK_API_KEY'.\nUnset 'PENSTOCK_SERVER_PORT'.\nUpdated profile 'work'.\n"
    assert penstock("profile", "inspect", "work").out == "Profile 'work' is empty.\n"


@pytest.mark.parametrize(("line", "code", "err"), [
    (
        "set PENSTOCK_REPLAY=off PENSTOCK_API_ULR=x", 1,
        "error: Unknown setting name 'PENSTOCK_API_ULR'.\nhint: did you mean `PENSTOCK_API_URL`?\n",
    ),
    (
        "set PENSTOCK_REPLAY=off PENSTOCK_API_URL=http://127.0.0.1:4200/", 1,
        "error: Nothing of the API is at `http://127.0.0.1:4200/`.\nhint: did you mean `http://127.0.0.1:4200/api`?\n",
    ),
    (
        "set PENSTOCK_REPLAY=off X=1", 1,
        "error: Unknown setting name 'X'.\nhint: `penstock config view` lists all\n",
    ),
    (
        "set PENSTOCK_REPLAY=off PENSTOCK_API_URL", 1,
        "error: Failed to parse argument 'PENSTOCK_API_URL'. Use the format 'VAR=VAL'.\n",
    ),
    (
        "set PENSTOCK_REPLAY=off PENSTOCK_SERVER_PORT=many", 1,
        "error: Setting PENSTOCK_SERVER_PORT has a value that does not fit: `many`\nhint: Expected `int`, got `str`\n",
    ),
    (
        "set PENSTOCK_REPLAY=", 1,
        "error: No value for 'PENSTOCK_REPLAY'.\nhint: `penstock config unset PENSTOCK_REPLAY` takes it out\n",
    ),
    ("set PENSTOCK_REPLAY=off PENSTOCK_REPLAY=strict", 1, "error: Two values for 'PENSTOCK_REPLAY'.\n"),
    (
        "set PENSTOCK_HOME=/tmp", 1,
        (
            "error: A profile cannot hold PENSTOCK_HOME\n"
            "hint: it says where `profiles.toml` lies: set it in the environment\n"
        ),
    ),
    ("set", 2, "error: Missing: `NAME=VALUE`\nhint: as in `penstock config set PENSTOCK_SERVER_PORT=4201`\n"),
    ("unset", 2, "error: Missing: `NAME`\nhint: `penstock config view` shows what is set\n"),
    (
        "unset PENSTOCK_REPLAY", 1,
        (
            "error: 'PENSTOCK_REPLAY' is not set in profile 'default'.\n"
            "hint: `penstock profile inspect default` shows what is\n"
        ),
    ),
])  # fmt: skip
def test_what_cannot_be_set_is_refused_and_nothing_is_written(
    penstock: Call, home: Path, line: str, code: int, err: str
):
    assert penstock("config", *line.split()) == (code, "", err)
    assert not (home / "profiles.toml").exists() or "REPLAY" not in (home / "profiles.toml").read_text()


def test_it_is_told_that_the_environment_wins(penstock: Call):
    told = penstock("config", "set", "PENSTOCK_REPLAY=off", PENSTOCK_REPLAY="strict").err

    assert told == (
        "warning: PENSTOCK_REPLAY is also set in the environment, which wins over the profile; "
        "`unset PENSTOCK_REPLAY` clears it\n"
    )
    told = penstock("config", "unset", "PENSTOCK_REPLAY", PENSTOCK_REPLAY="strict").err
    assert told == "warning: PENSTOCK_REPLAY is also set in the environment; `unset PENSTOCK_REPLAY` clears it\n"


def test_a_broken_profile_can_be_mended(penstock: Call, home: Path):
    home.mkdir()
    (home / "profiles.toml").write_text("[profiles.default]\nPENSTOCK_REPLY = 'off'\nPENSTOCK_SERVER_PORT = 'x'\n")

    assert penstock("config", "view").code == 2
    assert penstock("config", "unset", "PENSTOCK_REPLY").code == 0
    assert penstock("config", "set", "PENSTOCK_SERVER_PORT=1").code == 0
    assert penstock("config", "view").code == 0


def test_all_that_is_wrong_is_found_at_once(penstock: Call, home: Path):
    home.mkdir()
    (home / "profiles.toml").write_text(
        'active = "wrok"\n[profiles.work]\nPENSTOCK_REPLY = "off"\nPENSTOCK_SERVER_PORT = 70000\n'
        '[profiles.night]\nPENSTOCK_API_KEY = "psk"\n'
    )
    (home / "profiles.toml").chmod(0o644)

    ran = penstock("config", "validate", PENSTOCK_RETENTION_DAYS="many", PENSTOCK_API_ULR="x", PENSTOCK_TEAM="y")

    assert ran.code == 1
    assert [line.split("\t")[:3] for line in ran.out.split("\n")[:-1]] == [
        ["profile default", "ok", "0 settings"],
        ["profile work", "problem", "Unknown setting name: `PENSTOCK_REPLY`"],
        ["profile work", "problem", "Setting PENSTOCK_SERVER_PORT has a value that does not fit: `70000`"],
        ["profile night", "ok", "1 setting"],
        ["profiles.toml", "warning", f"others may read the keys and passwords in it: {home / 'profiles.toml'}"],
        ["profile in use", "problem", "There is no profile `wrok`"],
        ["environment", "problem", "Setting PENSTOCK_RETENTION_DAYS has a value that does not fit: `many`"],
        ["environment", "warning", "PENSTOCK_API_ULR is not a setting, and changes nothing"],
        ["environment", "warning", "PENSTOCK_TEAM is not a setting, and changes nothing"],
    ]
    assert "hint: did you mean `PENSTOCK_REPLAY`?\n" in ran.err
    assert ran.err.count("PENSTOCK_API_URL") == 1


def test_what_is_in_order_is_said_to_be(penstock: Call):
    penstock("config", "set", "PENSTOCK_API_KEY=psk")

    assert penstock("config", "validate") == (
        0,
        (
            "profile default\tok\t1 setting\t\n"
            "profiles.toml\tok\tonly its owner may read it\t\n"
            "profile in use\tok\tdefault\t\n"
            "environment\tok\t1 setting\t\n"
        ),
        "",
    )


def test_a_file_that_is_not_toml_is_a_problem(penstock: Call, home: Path):
    home.mkdir()
    (home / "profiles.toml").write_text("active =")

    ran = penstock("config", "validate")

    assert (ran.code, ran.out.split("\t")[:2]) == (1, ["profiles", "problem"])


def test_every_command_tells_of_variables_that_were_meant_to_be_settings(penstock: Call):
    given = {"PENSTOCK_API_ULR": "x", "PENSTOCK_TEAM": "y", "PENSTOCK__MINE": "z"}

    told = "warning: PENSTOCK_API_ULR is not a setting, and changes nothing; did you mean `PENSTOCK_API_URL`?\n"
    assert penstock("flow-run", "ls", "-q", **given).err == told
    assert penstock("doctor", **given).err == (
        "hint: did you mean `PENSTOCK_API_URL`?\nhint: `penstock config view` lists the settings\n"
    )
