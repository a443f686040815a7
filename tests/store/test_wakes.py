"""What processes tell each other; over a real Postgres: see test_postgres.py and tests/faults/test_postgres.py."""

from __future__ import annotations

import pytest

from penstock.store.wakes import Listener, Subscribers


class Refused:
    """A connection that is made, and over which nothing can then be heard."""

    error = ConnectionError

    def __init__(self) -> None:
        self.is_open = False

    def connect(self) -> None:
        self.is_open = True
        raise ConnectionError("the server is going away")

    def fileno(self) -> int:
        raise AssertionError

    def heard(self) -> list[str]:
        raise AssertionError

    def close(self) -> None:
        self.is_open = False


def test_a_listener_that_cannot_hear_at_first_leaves_no_connection_open():
    hearing = Refused()

    with pytest.raises(ConnectionError):
        Listener(hearing, Subscribers(), "me")

    assert not hearing.is_open
