"""The server of a home, as others on this machine find it."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from penstock import errors
from penstock.client import home_server
from penstock.client.home_server import HomeServer, Keeping
from penstock.testing import FakeClock


def told(port: int = 4200) -> HomeServer:
    return HomeServer(
        api_url=f"http://127.0.0.1:{port}/api", pid=42, started_at=1, home_id="h", store="sqlite", version="0"
    )


def test_a_server_is_running_while_it_holds_its_home(home: Path):
    assert (home_server.last(home), home_server.running(home)) == (None, None)
    with Keeping(home, FakeClock()) as keeping:
        keeping.announce(told())
        assert home_server.running(home) == told()
    assert (home_server.last(home), home_server.running(home)) == (told(), None)


def test_a_server_that_has_not_said_yet_where_it_listens_is_starting(home: Path):
    with Keeping(home, FakeClock()) as before:
        before.announce(told())
    assert not home_server.is_starting(home)

    with Keeping(home, FakeClock()) as keeping:
        assert home_server.is_starting(home)
        keeping.announce(told(4300))
        assert not home_server.is_starting(home)


def test_a_home_has_one(home: Path):
    with Keeping(home, FakeClock()) as keeping:
        keeping.announce(told())
        with pytest.raises(errors.StoreBusy, match=r"process 42, at http://127.0.0.1:4200/api"):
            Keeping(home, FakeClock())
    Keeping(home, FakeClock()).close()


def test_what_it_told_may_be_unreadable(home: Path):
    with Keeping(home, FakeClock()):
        for text in ("", "{", '{"pid": "x"}'):
            (home / "server.json").write_text(text)
            assert home_server.running(home) is None


def test_this_machine_has_several_names():
    assert home_server.is_at(told(), "http://localhost:4200/api")
    assert home_server.is_at(told(), "http://[::1]:4200/api/")
    assert not home_server.is_at(told(), "http://127.0.0.1:4201/api")
    assert not home_server.is_at(told(), "https://127.0.0.1:4200/api")
    assert not home_server.is_at(told(), "http://elsewhere:4200/api")


def test_the_key_is_made_once_and_for_the_owner_alone(home: Path):
    home.mkdir()
    assert home_server.token(home) is None

    token = home_server.provided_token(home)
    assert len(token) >= 43
    assert home_server.provided_token(home) == home_server.token(home) == token
    assert stat.S_IMODE((home / "token").stat().st_mode) == 0o600


def test_a_key_that_others_could_read_is_none_any_more(home: Path):
    home.mkdir()
    token = home_server.provided_token(home)
    (home / "token").chmod(0o644)

    assert home_server.provided_token(home) != token
    assert stat.S_IMODE((home / "token").stat().st_mode) == 0o600
