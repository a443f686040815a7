"""The levels of log lines: the numbers that the standard library's `logging` has, without importing it."""

from __future__ import annotations

INFO, WARNING, ERROR = 20, 30, 40

NAMES = {10: "DEBUG", INFO: "INFO", WARNING: "WARNING", ERROR: "ERROR", 50: "CRITICAL"}


def name_of(level: int) -> str:
    """``INFO`` for 20; a number between the named ones is itself."""
    return NAMES.get(level, str(level))


def number_of(name: str) -> int:
    """20 for ``info``."""
    return next(number for number, each in NAMES.items() if each == name.upper())
