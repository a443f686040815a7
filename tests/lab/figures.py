"""Figures that tests have measured, told at the end of a test run, whoever has run them.

A test takes the fixture ``measured``, and calls it: ``measured(resumed_after_seconds=33.1)``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

_NAME = "measured"

Measured = Callable[..., None]


@pytest.fixture
def measured(record_property: Callable[[str, object], None]) -> Measured:
    """Tell a figure by its name, or several."""

    def tell(**figures: object) -> None:
        for name, value in figures.items():
            told = f"{value:.1f}" if isinstance(value, float) else str(value)
            record_property(_NAME, f"{name.replace('_', ' ')}: {told}")

    return tell


def pytest_terminal_summary(terminalreporter: Any) -> None:
    reports = (each for found in terminalreporter.stats.values() for each in found if hasattr(each, "user_properties"))
    lines = {
        each.nodeid: [value for name, value in each.user_properties if name == _NAME]
        for each in reports
        if getattr(each, "when", "") == "call"
    }
    if any(lines.values()):
        terminalreporter.section("measured")
    for test, figures in sorted(lines.items()):
        if figures:
            terminalreporter.line(f"{test.rpartition('::')[2]}\n    {', '.join(figures)}")
