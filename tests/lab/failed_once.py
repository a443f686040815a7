"""Tells of each test that failed, and passed when it was tried again, how it failed.

Why: docs/decisions/0019-what-fails-once-is-tried-again-in-ci.md
"""

from __future__ import annotations

from typing import Any


def pytest_terminal_summary(terminalreporter: Any) -> None:
    failed = {report.nodeid for report in terminalreporter.getreports("failed")}
    once = [report for report in terminalreporter.getreports("rerun") if report.nodeid not in failed]
    if once:
        terminalreporter.section("failed once")
    for report in once:
        terminalreporter.line(f"{report.nodeid} ({report.when})")
        terminalreporter.line(report.longreprtext)
