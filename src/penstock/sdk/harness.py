"""An empty home on a fake clock, for as long as a test lasts."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from penstock import settings
from penstock.sdk import runs
from penstock.sdk.fake_clock import FakeClock
from penstock.settings import Settings


class Harness:
    """Where the runs of a test happen: its home, clock and settings."""

    def __init__(self, chosen: Settings, clock: FakeClock) -> None:
        self.settings = chosen
        self.clock = clock

    @property
    def home(self) -> Path:
        """The folder that takes the place of ``~/.penstock``; removed at the end."""
        return self.settings.home


@contextmanager
def harness(*, clock: FakeClock | None = None, seed: int = 0, **given: Any) -> Generator[Harness]:
    """Run the flows of a ``with`` block in an empty home of their own, on a clock that tests control.

    Delays between retries take no time, nothing is shown on the terminal, and neither the user's home
    nor the environment's settings count, also in subprocesses. Further arguments are settings:
    ``harness(results_persist=False)``. Raises `UnknownOption` for one that does not exist.
    """
    for name in given:
        if name not in settings.NAMES or name == "home":
            raise settings.unknown(name)
    folder = tempfile.mkdtemp(prefix="penstock-test-")
    environ = {"PENSTOCK_HOME": folder, "PENSTOCK_PROGRESS": "off", "PENSTOCK_LOGGING_TO_TERMINAL": "false"}
    environ |= {settings.PREFIX + name.upper(): str(value) for name, value in given.items()}
    try:
        clock = clock or FakeClock(seed=seed)
        chosen = settings.load(environ)
        with _environment(environ), _in_force(runs.Environment(chosen, clock)):
            yield Harness(chosen, clock)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _environment(wanted: Mapping[str, str]) -> Generator[None]:
    """These variables, and no others of Penstock's: for threads and processes that the test starts."""
    before = {name: value for name, value in os.environ.items() if name.startswith(settings.PREFIX)}
    for name in before:
        del os.environ[name]
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name in [name for name in os.environ if name.startswith(settings.PREFIX)]:
            del os.environ[name]
        os.environ.update(before)


@contextmanager
def _in_force(environment: runs.Environment) -> Generator[None]:
    used = runs.use_environment(environment)
    hushed = runs.quiet.set(True)
    try:
        yield
    finally:
        try:
            runs.quiet.reset(hushed)
            runs.reset_environment(used)
        except ValueError:  # an async fixture may be torn down in another context, where nothing was set
            pass
