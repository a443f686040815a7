"""``penstock profile``."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

Call = Callable[..., Any]


@pytest.fixture
def work(penstock: Call) -> Call:
    penstock("profile", "create", "work")
    return penstock


class Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/api/health" else 404)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  as above
        """Nothing."""


@pytest.fixture
def port() -> Iterator[int]:
    """Where something answers as an API does."""
    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def test_before_there_is_any_there_is_the_default(penstock: Call):
    assert penstock("profile", "ls") == (0, "Available Profiles:\n* default\n* active profile\n", "")


def test_a_star_marks_the_active_one(work: Call):
    work("profile", "use", "work")

    assert work("profile", "ls").out == "Available Profiles:\n  default\n* work\n* active profile\n"
    assert work("-p", "default", "profile", "ls").out.split("\n")[1:3] == ["* default", "  work"]
    assert json.loads(work("profile", "list", "--json").out)[1] == {"name": "work", "active": True, "settings": 0}


def test_the_list_is_of_use_also_when_the_one_in_use_does_not_exist(work: Call):
    assert work("profile", "ls", "-p", "wrok").err == (
        "warning: There is no profile `wrok`, which is named as the one to use\n"
    )


def test_a_profile_is_made_and_it_is_said_how_to_use_it(penstock: Call):
    penstock("config", "set", "PENSTOCK_REPLAY=off")

    assert penstock("profile", "create", "work", "--from", "default").out == (
        "Created profile with properties:\n"
        "    name - 'work'\n"
        "    from name - default\n"
        "Use created profile for future, subsequent commands:\n"
        "    penstock profile use 'work'\n"
        "Use created profile temporarily for a single command:\n"
        "    penstock -p 'work' config view\n"
    )
    assert penstock("profile", "inspect", "work").out == "PENSTOCK_REPLAY='off'\n"


def test_what_is_secret_in_a_profile_is_masked(work: Call):
    work("-p", "work", "config", "set", "PENSTOCK_API_KEY=psk", "PENSTOCK_RESULTS_PERSIST=false")

    assert work("profile", "inspect", "work").out == "PENSTOCK_API_KEY='********'\nPENSTOCK_RESULTS_PERSIST='false'\n"
    assert "psk" not in work("profile", "inspect", "work", "--json").out
    assert "psk" in work("profile", "inspect", "work", "--show-secrets").out


@pytest.mark.parametrize(("line", "code", "err"), [
    (
        "create Work", 1,
        "error: Not a name for a profile: `Work`\nhint: it may have small letters, digits, `-` and `_`\n",
    ),
    (
        "create work", 1,
        "error: Profile 'work' already exists.\nhint: `penstock profile delete work` deletes it\n",
    ),
    ("use wrok", 3, "error: There is no profile `wrok`\nhint: did you mean `work`?\n"),
    ("inspect wrok", 3, "error: There is no profile `wrok`\nhint: did you mean `work`?\n"),
    (
        "delete default", 1,
        (
            "error: Profile 'default' is the active profile. You must switch profiles before it can be deleted.\n"
            "hint: `penstock profile use NAME` switches\n"
        ),
    ),
    (
        "delete work -p work", 1,
        (
            "error: Profile 'work' is the one that PENSTOCK_PROFILE or `-p` names.\n"
            "hint: name another, then delete it\n"
        ),
    ),
])  # fmt: skip
def test_what_cannot_be_is_refused(work: Call, line: str, code: int, err: str):
    assert work("profile", *line.split()) == (code, "", err)


def test_a_profile_without_a_server_needs_none(work: Call, home: Path):
    assert work("profile", "use", "work") == (
        0,
        f"No server is named in profile 'work': everything happens in {home}.\n",
        "",
    )


def test_a_profile_whose_api_answers_is_connected(work: Call, port: int):
    work("-p", "work", "config", "set", f"PENSTOCK_API_URL=http://127.0.0.1:{port}/api")

    assert work("profile", "use", "work") == (
        0,
        f"Connected to Penstock at http://127.0.0.1:{port}/api using profile 'work'.\n",
        "",
    )


@pytest.mark.parametrize(("url", "why"), [
    ("http://127.0.0.1:1/api", "Connection refused"),
    ("http://127.0.0.1:{port}/elsewhere", "it answers with 404"),
])  # fmt: skip
def test_a_profile_whose_api_does_not_answer_is_used_all_the_same(work: Call, port: int, url: str, why: str):
    url = url.replace("{port}", str(port))
    work("-p", "work", "config", "set", f"PENSTOCK_API_URL={url}")

    ran = work("profile", "use", "work")

    assert (ran.code, ran.out) == (0, "Profile 'work' is active now.\n")
    assert ran.err == (
        f"warning: Its API cannot be reached ({why}): {url}\n"
        "hint: `penstock server start` starts one here; `penstock config set` names another\n"
    )
    assert "* work" in work("profile", "ls").out


def test_a_profile_with_which_no_command_would_work_is_not_used(work: Call, home: Path):
    with (home / "profiles.toml").open("a") as file:
        file.write("PENSTOCK_REPLY = 'off'\n")

    assert work("profile", "use", "work").code == 2
    assert "* default" in work("profile", "ls").out


def test_it_is_told_that_the_environment_names_another(work: Call):
    assert work("profile", "use", "work", PENSTOCK_PROFILE="default").err == (
        "warning: PENSTOCK_PROFILE names 'default', and wins over it; `unset PENSTOCK_PROFILE` clears it\n"
    )


def test_the_active_profile_stays_active_when_it_is_renamed(work: Call):
    work("profile", "use", "work")

    assert work("profile", "rename", "work", "office").out == "Renamed profile 'work' to 'office'.\n"
    assert "* office" in work("profile", "ls").out
    assert work("profile", "rename", "office", "work", PENSTOCK_PROFILE="office").err == (
        "warning: PENSTOCK_PROFILE still says 'office': change it to 'work'\n"
    )


def test_a_profile_is_deleted_when_nobody_can_be_asked_or_the_answer_is_yes(work: Call):
    assert work("profile", "delete", "work", "--dry-run").out == "Would remove profile 'work'.\n"
    assert work("profile", "delete", "work", tty=True, stdin="n\n").code == 1
    assert "work" in work("profile", "ls").out
    assert work("profile", "delete", "work") == (0, "Removed profile 'work'.\n", "")
    assert "work" not in work("profile", "ls").out
