"""``penstock config view``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

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
