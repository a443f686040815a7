"""Servers that share a database hear of each other."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from penstock.clock import SYSTEM
from penstock.server import app
from penstock.settings import Settings

pytest.importorskip("psycopg")


def test_what_one_server_commits_wakes_the_others(postgres_url: str, home: Path):
    settings = Settings(home=home, database_url=postgres_url)
    woken = threading.Event()
    with app._store(settings, SYSTEM) as here, app._store(settings, SYSTEM) as there:
        there.subscribe(lambda topics: woken.set() if "work:default" in topics else None)
        here.run(lambda tx: tx.wake("work:default"))

        assert woken.wait(20)
