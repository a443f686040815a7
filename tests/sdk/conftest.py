"""What was recorded, for tests of what the SDK records."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

from penstock.core import records
from penstock.journal import reader
from penstock.sdk import shipping

R = TypeVar("R", bound=records.Record)
Recorded = Callable[[type[R]], list[R]]


@pytest.fixture(autouse=True)
def no_display(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PENSTOCK_PROGRESS", "off")


@pytest.fixture
def nobody_sends_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that keeps another home than the test's gets no journals: see tests/faults/test_runs_elsewhere.py."""
    monkeypatch.setattr(shipping, "begin", lambda _: None)


@pytest.fixture
def recorded(home: Path) -> Callable[[type[records.Record]], list[records.Record]]:
    """All records of a kind that lie in the home's journals, in the order of runs and facts."""

    def find(kind: type[records.Record]) -> list[records.Record]:
        journals = sorted((home / "journals").glob("*/*.journal"))
        return [record for path in journals for record in reader.read_all(path) if isinstance(record, kind)]

    return find
