from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from penstock import flow, runtime, task
from penstock.errors import UnknownOption, UsageError
from penstock.testing import FakeClock, harness, penstock_test_harness
from penstock.testing.utilities import prefect_test_harness


@flow
def where() -> Any:
    return runtime.flow_run.name


def flaky(failures: int) -> Any:
    tries: list[int] = []

    @task(retries=failures, retry_delay_seconds=[60, 3600])
    def attempt() -> int:
        tries.append(1)
        if len(tries) <= failures:
            raise ValueError
        return len(tries)

    return attempt


def test_delays_between_retries_take_no_time():
    attempt = flaky(2)

    @flow
    def etl() -> int:
        return attempt()

    with harness() as harnessed:
        assert etl() == 3

    assert harnessed.clock.sleeps == [60, 3600]
    assert harnessed.clock.elapsed() == pytest.approx(3660, abs=1)


def test_threads_wait_on_the_same_clock():
    attempts = [flaky(2) for _ in range(3)]

    @flow
    def etl() -> list[int]:
        return [future.result() for future in [attempt.submit() for attempt in attempts]]

    with harness() as harnessed:
        assert etl() == [3, 3, 3]

    assert sorted(harnessed.clock.sleeps) == [60, 60, 60, 3600, 3600, 3600]


def test_coroutines_wait_on_the_same_clock():
    tries: list[int] = []

    @task(retries=1, retry_delay_seconds=60)
    async def attempt() -> int:
        tries.append(1)
        if len(tries) == 1:
            raise ValueError
        return len(tries)

    @flow(retries=1, retry_delay_seconds=600)
    async def etl() -> int:
        tried = await attempt()
        if runtime.flow_run.run_count == 1:
            raise ValueError
        return tried

    with harness() as harnessed:
        assert asyncio.run(etl()) == 2

    assert harnessed.clock.sleeps == [60, 600]


def test_runs_go_to_an_empty_home_that_is_removed_at_the_end(home: Path):
    with harness() as harnessed:
        assert list(harnessed.home.iterdir()) == []
        where()
        assert (harnessed.home / "journals").is_dir()

    assert not harnessed.home.exists()
    assert not home.exists()


def test_nothing_is_shown_on_the_terminal(capfd: pytest.CaptureFixture[str]):
    with harness():
        where()

    assert capfd.readouterr() == ("", "")


def test_the_users_settings_do_not_count_and_come_back(monkeypatch: pytest.MonkeyPatch, home: Path):
    monkeypatch.setenv("PENSTOCK_RESULTS_INLINE_MAX_BYTES", "7")

    with harness(results_persist=False) as harnessed:
        assert harnessed.settings.results_inline_max_bytes == 64 * 1024
        assert harnessed.settings.results_persist is False
        assert "PENSTOCK_RESULTS_INLINE_MAX_BYTES" not in os.environ

    assert os.environ["PENSTOCK_RESULTS_INLINE_MAX_BYTES"] == "7"
    assert os.environ["PENSTOCK_HOME"] == str(home)
    assert "PENSTOCK_PROGRESS" not in os.environ


def test_threads_and_subprocesses_of_the_test_are_kept_from_the_users_home(home: Path):
    with harness() as harnessed:
        thread = threading.Thread(target=where)
        thread.start()
        thread.join()
        seen = subprocess.run(
            [sys.executable, "-c", "import os; print(os.environ['PENSTOCK_HOME'])"],
            capture_output=True,
            text=True,
            check=True,
        )
        assert len(list((harnessed.home / "journals").iterdir())) == 1

    assert seen.stdout.strip() == str(harnessed.home)
    assert not home.exists()


def test_a_seed_gives_the_same_names_every_time():
    def names(seed: int) -> list[str]:
        with harness(seed=seed):
            return [where(), where()]

    assert names(1) == names(1)
    assert names(1) != names(2)


def test_harnesses_nest_and_may_share_a_clock():
    clock = FakeClock()

    with harness(clock=clock) as outer, harness(clock=clock) as inner:
        where()

        assert outer.clock is inner.clock is clock
        assert not (outer.home / "journals").exists()
        assert (inner.home / "journals").exists()


def test_settings_that_do_not_exist_are_refused():
    with pytest.raises(UnknownOption, match="did you mean `PENSTOCK_RESULTS_PERSIST`"), harness(result_persist=False):
        pass
    with pytest.raises(UnknownOption), harness(home="/elsewhere"):
        pass
    with pytest.raises(UsageError), harness(results_persist="perhaps"):
        pass


def test_the_names_of_prefect_give_the_same():
    assert prefect_test_harness is penstock_test_harness
    with penstock_test_harness(server_startup_timeout=60):
        assert where()


def test_a_flow_tests_itself(home: Path):
    attempt = flaky(2)

    @flow
    def etl(month: int) -> Any:
        return month, attempt()

    state = etl.test("3")

    assert state.result() == (3, 3)
    assert not home.exists()


def test_an_async_flow_tests_itself(home: Path):
    attempt = flaky(1)

    @flow
    async def etl() -> int:
        return attempt()

    state = asyncio.run(etl.test())

    assert state.result() == 2
    assert not home.exists()


def test_a_failing_flow_gives_its_state():
    @flow
    def etl():
        raise ValueError("no trips")

    state = etl.test()

    assert state.is_failed()
    assert "no trips" in (state.message or "")


def test_a_harness_torn_down_in_another_context_is_no_error():
    async def fixture():
        with harness() as harnessed:
            yield harnessed

    async def use() -> Path:
        generator = fixture()
        harnessed = await asyncio.create_task(anext(generator))
        await asyncio.create_task(generator.aclose())
        return harnessed.home

    assert not asyncio.run(use()).exists()
