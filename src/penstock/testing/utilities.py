"""The harness under the names that people coming from Prefect know."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from penstock.sdk.harness import harness


@contextmanager
def penstock_test_harness(server_startup_timeout: int | None = 30) -> Generator[None]:  # noqa: ARG001  there is no server to wait for
    """As `penstock.testing.harness`, which has more to offer: its clock, its home, settings.

    There is no server to be started, so that ``server_startup_timeout`` is not needed: it is taken for the sake of
    tests that were written for Prefect.
    """
    with harness():
        yield


prefect_test_harness = penstock_test_harness
