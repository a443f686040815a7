"""The API of a store: on SQLite, or on each database for tests that take `either_store` or `plant`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.api.serving import Served, serving
from tests.orchestration.plant import Plant, furnished

from penstock.store.interface import Store
from penstock.store.sqlite import SqliteStore


def _of_sqlite(_: pytest.FixtureRequest, home: Path) -> Store:
    home.mkdir(exist_ok=True)
    return SqliteStore.open(home / "penstock.db", write=True)


def _of_postgres(request: pytest.FixtureRequest, home: Path) -> Store:
    home.mkdir(exist_ok=True)
    url = request.getfixturevalue("postgres_url")
    from penstock.store.postgres import PostgresStore

    return PostgresStore.open(url, write=True)


STORES: dict[str, Callable[[pytest.FixtureRequest, Path], Store]] = {"SQLite": _of_sqlite, "Postgres": _of_postgres}


@pytest.fixture(params=STORES)
def either_store(request: pytest.FixtureRequest, home: Path) -> Iterator[Store]:
    """A store on each database in turn."""
    store = STORES[request.param](request, home)
    yield store
    store.close()


@pytest.fixture
def plant(either_store: Store) -> Plant:
    return furnished(either_store)


@pytest.fixture
def store(request: pytest.FixtureRequest, home: Path) -> Iterator[Store]:
    store = _of_sqlite(request, home)
    yield store
    store.close()


@pytest.fixture
def served(store: Store) -> Iterator[Served]:
    with serving(store) as served:
        yield served
