"""``penstock doctor``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from penstock import settings
from penstock.cli import doctor
from penstock.client import shipper_process
from penstock.journal import folder
from penstock.journal.outbox import Entry, Outbox

Call = Callable[..., Any]


class Usage(NamedTuple):
    """What shutil.disk_usage returns."""

    total: int
    used: int
    free: int


@pytest.fixture
def verdicts(penstock: Call):
    def ask(**environ: str):
        ran = penstock("doctor", "--json", **environ)
        return ran.code, {each["subject"]: each["verdict"] for each in json.loads(ran.out)}, ran.err

    return ask


@pytest.fixture
def private_home(home: Path):
    home.mkdir(mode=0o700)
    return home


def test_before_the_first_run_there_is_little_to_look_at(penstock: Call, home: Path):
    ran = penstock("doctor")

    assert (ran.code, ran.err) == (0, "")
    assert ran.out.split("\n")[1:4] == [
        "settings\tok\tprofile default\t",
        "clock\tok\t2025-11-23 13:00:00 CET\t",
        f"home\tok\t{home} is made with the first run\t",
    ]


def test_settings_that_cannot_be_read_are_a_problem(verdicts: Any):
    assert verdicts(PENSTOCK_RETENTION_DAYS="many") == (
        1,
        {"version": "ok", "settings": "problem"},
        "hint: Expected `float`, got `str`\n",
    )


def test_a_clock_that_was_never_set_is_a_problem(verdicts: Any, still: Any):
    still.at = 0

    code, found, err = verdicts()

    assert (code, found["clock"], err) == (1, "problem", "hint: set this machine's clock\n")


def test_a_home_that_others_may_read_is_worth_a_warning(penstock: Call, home: Path, verdicts: Any):
    home.mkdir(mode=0o755)

    code, found, err = verdicts()

    assert (code, found["home"]) == (0, "warning")
    assert f"hint: `chmod 700 {home}` keeps it private\n" in err


def test_a_home_that_is_a_file_is_a_problem(home: Path, verdicts: Any):
    home.write_text("")

    assert verdicts()[:2] == (1, {"version": "ok", "settings": "ok", "clock": "ok", "home": "problem"})


@pytest.mark.parametrize(("free", "verdict"), [(1 << 20, "problem"), (1 << 30, "warning"), (1 << 40, "ok")])
def test_a_disk_without_room_is_a_problem(
    private_home: Path, verdicts: Any, monkeypatch: pytest.MonkeyPatch, free: Any, verdict: Any
):
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: Usage(1 << 40, 0, free))

    assert verdicts()[1]["disk"] == verdict


def test_a_network_file_system_is_a_problem(private_home: Path, verdicts: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(doctor, "_kind_of_file_system", lambda path: "nfs4")

    assert verdicts()[1]["file system"] == "problem"


def test_files_that_cannot_be_locked_are_a_problem(private_home: Path, verdicts: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(doctor, "lock", lambda descriptor, wait: True)

    assert verdicts()[1]["locks"] == "problem"


def test_people_get_a_table(penstock: Call, private_home: Path):
    lines = penstock("doctor", tty=True).out.split("\n")

    assert lines[0].split() == ["SUBJECT", "VERDICT", "WHAT"]
    assert [line.split()[0] for line in lines[1:-1]] == [
        "version", "settings", "clock", "home", "disk", "file", "locks", "journals", "database"
    ]  # fmt: skip


def test_a_server_that_answers_is_in_order_and_one_that_does_not_is_a_problem(penstock: Call, remote: Call):
    def looked_at(ran: Any) -> tuple[int, list[str]]:
        found = {each["subject"]: each for each in json.loads(ran.out)}
        return ran.code, [found["server"][name] for name in ("verdict", "what")]

    code, (verdict, message) = looked_at(remote("doctor", "--json"))
    away = looked_at(penstock("doctor", "--json", PENSTOCK_API_URL="http://127.0.0.1:9/api"))

    assert (code, verdict) == (0, "ok")
    assert message.endswith("/api, with 1 work pool")
    assert away[0] == 1
    assert away[1][0] == "problem"


def test_what_is_in_order_needs_no_advice(penstock: Call, private_home: Path):
    found = json.loads(penstock("doctor", "--json").out)

    assert [each for each in found if each["verdict"] == "ok" and each["hint"]] == []


def test_what_is_not_sent_yet_is_told_with_who_tries_to_and_what_keeps_it(penstock: Call, private_home: Path):
    chosen = settings.load()
    url = "http://127.0.0.1:9/api"
    Outbox(chosen.outbox).put(Entry("01920001-0000-7000-8000-000000000001", 1, url))

    idle = told(penstock, "outbox")
    with open(shipper_process.path_of(chosen, url), "w") as held:
        held.write("The server cannot be reached")
        held.flush()
        assert folder.lock(held.fileno(), wait=False)
        trying = told(penstock, "outbox")

    what = f"what 1 attempt of runs recorded is not sent yet to {url}"
    assert idle == what
    tries = "a process tries to, for PENSTOCK_OFFLINE_GRACE_SECONDS (900) at most"
    assert trying == f"{what}; {tries}: The server cannot be reached"


def told(penstock: Call, subject: str) -> str:
    """What is found of a subject."""
    (found,) = [each for each in json.loads(penstock("doctor", "--json").out) if each["subject"] == subject]
    return found["what"]
