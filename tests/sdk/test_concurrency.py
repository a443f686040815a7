from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.api.serving import TOKEN, serving
from tests.sdk.conftest import Recorded

import penstock
from penstock import ProcessPoolTaskRunner, concurrency, errors, flow, rate_limit, settings, task
from penstock.client.home_server import HomeServer, Keeping
from penstock.clock import SYSTEM
from penstock.concurrency.asyncio import concurrency as concurrency_async
from penstock.concurrency.asyncio import rate_limit as rate_limit_async
from penstock.core import records
from penstock.core.concurrency import SlotHolder
from penstock.core.operations.concurrency_limits import (
    BookSlots,
    CreateConcurrencyLimit,
    DeleteConcurrencyLimit,
    GetConcurrencyLimit,
    ReleaseSlots,
    RenewSlots,
    ResetConcurrencyLimit,
    UpdateConcurrencyLimit,
)
from penstock.core.records import FlowRunMoved, TaskRunBegan, TaskRunMoved
from penstock.sdk import connect, server_bookings
from penstock.services.slot_keeper import SlotKeeper
from penstock.store.sqlite import SqliteStore

pytestmark = pytest.mark.usefixtures("nobody_sends_runs")

SECONDS = 30

Limit = Callable[..., None]


@pytest.fixture(params=["home", "server"])
def keeper(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """Who grants slots: this home, or a server."""
    if request.param == "home":
        yield "home"
        return
    with SqliteStore.open(tmp_path / "server.db", write=True) as store, serving(store) as served:
        monkeypatch.setenv("PENSTOCK_API_URL", served.url)
        monkeypatch.setenv("PENSTOCK_API_KEY", TOKEN)
        yield "server"


def ask(request: Any) -> Any:
    with connect.asking(settings.load(), SYSTEM) as orchestrator:
        return orchestrator.ask(request)


@pytest.fixture
def limit(keeper: str) -> Limit:
    """``limit("db", 2)`` makes a limit."""

    def limit(name: str, number: int, per_second: float = 0) -> None:
        ask(CreateConcurrencyLimit(name=name, limit=number, slot_decay_per_second=per_second, overwrite=True))

    return limit


def held(name: str) -> list[SlotHolder]:
    """Who holds slots of a limit now."""
    return ask(GetConcurrencyLimit(name=name)).holders


def waiting(name: str) -> list[SlotHolder]:
    """Who waits for slots of a limit now."""
    return ask(GetConcurrencyLimit(name=name)).waiting


def somebody_waits(keeper: str, name: str) -> bool:
    if keeper == "home":
        return bool(list((settings.load().home / "slots" / "waiting").iterdir()))
    return bool(waiting(name))


def wait_until(condition: Callable[[], Any]) -> None:
    deadline = SYSTEM.elapsed() + SECONDS
    while not condition():
        assert SYSTEM.elapsed() < deadline
        SYSTEM.sleep(0.01)


class Gauge:
    """How many are at work at once, at most."""

    def __init__(self) -> None:
        self.most = self._now = 0
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._now -= 1


# ── in code ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_block_is_executed_by_as_many_as_there_are_slots(limit: Limit):
    limit("db", 2)
    gauge = Gauge()
    pair = threading.Barrier(2)

    @task
    def work(number: int) -> int:
        with concurrency("db"), gauge:
            pair.wait(SECONDS)
            return number

    @flow
    def all_at_once() -> list[int]:
        return work.map(range(10)).result()

    assert all_at_once() == list(range(10))
    assert gauge.most == 2


def test_coroutines_take_turns_too(limit: Limit):
    limit("db", 2)
    gauge = Gauge()

    @task
    async def work(number: int) -> int:
        async with concurrency_async("db"):
            with gauge:
                await asyncio.sleep(0.01)
                return number

    @flow
    async def all_at_once() -> list[int]:
        return list(await asyncio.gather(*[work(number) for number in range(10)]))

    assert asyncio.run(all_at_once()) == list(range(10))
    assert gauge.most == 2


def test_code_outside_of_any_run_takes_turns_as_well(limit: Limit, keeper: str):
    limit("db", 1)
    with concurrency("db"):
        (holder,) = held("db")
        with pytest.raises(errors.TimedOut, match=r"No slot was free within 0\.05 seconds\. Waits for a slot of `db`"):
            concurrency("db", timeout_seconds=0.05).__enter__()

    assert holder.run_id is None
    assert holder.who.startswith("process ")
    assert held("db") == []


def test_the_package_of_that_name_can_be_called_too(limit: Limit):
    limit("db", 1)
    with penstock.concurrency("db"), pytest.raises(errors.TimedOut), penstock.concurrency("db", timeout_seconds=0):
        pass


def test_several_limits_are_had_at_once_and_keys_apart(limit: Limit, keeper: str):
    limit("db", 1)
    limit("api", 2)
    with concurrency(["db", "api"], key="ada"), concurrency(["db", "api"], occupy=1, key="bob"):
        assert len(held("db")) == 2
        with pytest.raises(errors.TimedOut):
            concurrency(["api", "db"], key="ada", timeout_seconds=0.02).__enter__()
        assert len(held("api")) == 2

    with concurrency("api", occupy=2):
        assert sum(each.slots for each in held("api")) == 2
    with pytest.raises(errors.UsageError, match="can never be had"):
        concurrency("api", occupy=3).__enter__()


def test_a_slot_is_given_back_whatever_the_block_raises(limit: Limit, keeper: str):
    limit("db", 1)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), concurrency("db", timeout_seconds=SECONDS):
            raise ZeroDivisionError
    assert held("db") == []


def test_a_limit_that_does_not_exist_limits_nothing_and_is_told_once(keeper: str, recorded: Recorded[Any]):
    @flow
    def careless() -> None:
        for _ in range(3):
            with concurrency("nothing"):
                rate_limit("nothing")

    careless()

    told = [each.message for each in recorded(records.LogLine) if "nothing" in each.message]
    assert len(told) == 1
    assert "There is no concurrency limit `nothing`" in told[0]
    with pytest.raises(errors.NotFound):
        concurrency("nothing", strict=True).__enter__()
    with pytest.raises(errors.NotFound):
        rate_limit("nothing", strict=True)


def test_a_name_is_a_text():
    for names in ([], "", [1]):
        with pytest.raises(errors.UsageError, match="named by a text"):
            concurrency(names)  # pyright: ignore[reportArgumentType]  names that are none


def test_a_run_that_waits_shows_for_what_and_whom(limit: Limit, recorded: Recorded[Any]):
    limit("db", 1)
    held_now, may_end = threading.Event(), threading.Event()

    @task
    def first() -> None:
        with concurrency("db"):
            held_now.set()
            may_end.wait(SECONDS)

    @task
    def second() -> None:
        held_now.wait(SECONDS)
        with concurrency("db"):
            pass

    @flow(flow_run_name="otter")
    def both() -> None:
        futures = [first.submit(), second.submit()]
        wait_until(lambda: recorded(TaskRunMoved))
        may_end.set()
        for future in futures:
            future.result()

    both()

    waits, goes_on = recorded(TaskRunMoved)
    assert (waits.type, waits.name) == ("RUNNING", "AwaitingConcurrencySlot")
    assert waits.message is not None
    assert waits.message.startswith("Waits for a slot of `db`, held by run `otter` (task `first-0`) since ")
    assert (goes_on.type, goes_on.name) == ("RUNNING", "Running")


def test_a_flow_that_waits_shows_it_until_its_last_wait_is_over(limit: Limit, recorded: Recorded[Any]):
    limit("db", 0)

    @flow
    async def waits() -> None:
        async def one() -> None:
            async with concurrency("db"):
                pass

        async def lift() -> None:
            await asyncio.to_thread(wait_until, lambda: len(recorded(FlowRunMoved)) == 2)
            await asyncio.to_thread(ask, UpdateConcurrencyLimit(name="db", limit=1))

        await asyncio.gather(one(), one(), lift())

    asyncio.run(waits())

    assert [each.name for each in recorded(FlowRunMoved)] == ["AwaitingConcurrencySlot"] * 2 + ["Running"]


def test_a_rate_is_kept(limit: Limit):
    limit("api", 2, 20)
    began = SYSTEM.elapsed()
    for _ in range(5):
        rate_limit("api")
    took = SYSTEM.elapsed() - began

    assert took >= 0.14, "two at once, then one in 50 ms"


def test_coroutines_keep_to_rates_too(limit: Limit):
    limit("api", 1, 20)

    async def main() -> float:
        began = SYSTEM.elapsed()
        await asyncio.gather(*[rate_limit_async("api") for _ in range(4)])
        return SYSTEM.elapsed() - began

    assert asyncio.run(main()) >= 0.14


def test_what_would_come_too_late_is_refused_at_once(limit: Limit):
    limit("api", 1, 0.01)
    rate_limit("api")

    with pytest.raises(errors.TimedOut, match="Nothing comes through the rate limit `api` within 5 seconds"):
        rate_limit("api", timeout_seconds=5)


# ── by tag ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", ["called", "submitted", "async"])
def test_task_runs_with_a_tag_are_held_without_a_change_to_their_code(limit: Limit, kind: str):
    limit("tag:db", 2)
    gauge = Gauge()

    @task(tags=["db", "other"])
    def work(number: int) -> int:
        with gauge:
            if kind != "called":
                wait_until(lambda: gauge.most > 1)
            return number

    @task(tags=["db"])
    async def work_async(number: int) -> int:
        with gauge:
            await asyncio.to_thread(wait_until, lambda: gauge.most > 1)
            return number

    @flow
    def submitted() -> list[int]:
        return work.map(range(8)).result()

    @flow
    def called() -> list[int]:
        return [work(number) for number in range(8)]

    @flow
    async def gathered() -> list[int]:
        return list(await asyncio.gather(*[work_async(number) for number in range(8)]))

    values = {"called": called, "submitted": submitted, "async": lambda: asyncio.run(gathered())}[kind]()

    assert values == list(range(8))
    assert gauge.most == (1 if kind == "called" else 2)


def test_a_task_run_that_is_held_is_scheduled_until_it_has_a_slot(limit: Limit, recorded: Recorded[Any]):
    limit("tag:db", 1)

    @task(tags=["db"])
    def work() -> None:
        wait_until(lambda: recorded(TaskRunMoved))

    @flow
    def two() -> None:
        for future in [work.submit(), work.submit()]:
            future.result()

    two()

    moves = [(each.type, each.name) for each in recorded(TaskRunMoved)]
    assert moves == [("SCHEDULED", "AwaitingConcurrencySlot"), ("RUNNING", "Running")]
    assert len(recorded(TaskRunBegan)) == 2


def test_a_task_that_is_tried_again_lets_others_in_meanwhile(limit: Limit, recorded: Recorded[Any], keeper: str):
    limit("tag:db", 1)
    seen: list[int] = []

    @task(tags=["db"], retries=1, retry_delay_seconds=0.01)
    def flaky() -> None:
        seen.append(len(held("tag:db")))
        if len(seen) == 1:
            raise ValueError

    @flow
    def once() -> None:
        flaky()

    once()

    assert seen == [1, 1]
    assert held("tag:db") == []


def test_a_task_in_a_process_of_its_own_is_held_and_may_ask_for_slots(limit: Limit, keeper: str):
    limit("tag:db", 1)
    limit("disk", 1)

    @task(tags=["db"])
    def work(number: int) -> int:
        with concurrency("disk", strict=True, timeout_seconds=SECONDS):
            return number

    @flow(task_runner=ProcessPoolTaskRunner(max_workers=2))
    def two() -> list[int]:
        return work.map(range(2)).result()

    assert two() == [0, 1]
    wait_until(lambda: held("disk") == held("tag:db") == [])


def test_a_tag_without_a_limit_costs_no_question(keeper: str, monkeypatch: pytest.MonkeyPatch):
    asked: list[Any] = []
    monkeypatch.setattr(server_bookings, "FRESH_SECONDS", 1000)
    if keeper == "server":
        from penstock.client.orchestrator import HttpOrchestrator

        ask_server = HttpOrchestrator.ask

        def count(self: HttpOrchestrator, request: Any) -> Any:
            asked.append(request)
            return ask_server(self, request)

        monkeypatch.setattr(HttpOrchestrator, "ask", count)

    @task(tags=["free"])
    def work() -> None:
        pass

    @flow
    def many() -> None:
        for _ in range(20):
            work()

    many()

    assert len(asked) <= 1


# ── what may go wrong ────────────────────────────────────────────────────────────────────────────────────────────────

KILLED = """
import sys
from penstock import concurrency, flow

@flow
def holds():
    with concurrency("db"):
        print("held", flush=True)
        sys.stdin.read()

holds()
"""


@pytest.mark.slow
def test_a_killed_run_gives_its_slot_back(limit: Limit, keeper: str):
    if keeper == "server":
        pytest.skip("there, it is free when its lease is over: see tests/orchestration")
    limit("db", 1)
    process = subprocess.Popen([sys.executable, "-c", KILLED], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    process.kill()
    process.communicate()

    with concurrency("db", timeout_seconds=SECONDS):
        pass


@pytest.mark.parametrize(
    "request_", [DeleteConcurrencyLimit(name="db"), ResetConcurrencyLimit(name="db")], ids=["deleted", "reset"]
)
def test_whoever_waits_for_a_limit_goes_on_when_that_is_gone(limit: Limit, keeper: str, request_: Any):
    limit("db", 1)
    done = threading.Event()

    def wait() -> None:
        with concurrency("db", timeout_seconds=SECONDS):
            done.set()

    with concurrency("db"):
        thread = threading.Thread(target=wait)
        thread.start()
        wait_until(lambda: somebody_waits(keeper, "db"))
        ask(request_)
        assert done.wait(SECONDS)
        thread.join(SECONDS)


class Asked:
    """What the server is asked by this process; ``before`` is called with each request first."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from penstock.client.orchestrator import HttpOrchestrator

        self.requests: list[Any] = []
        self.before: Callable[[Any], None] = lambda _: None
        ask_server = HttpOrchestrator.ask

        def count(asker: HttpOrchestrator, request: Any) -> Any:
            self.requests.append(request)
            self.before(request)
            return ask_server(asker, request)

        monkeypatch.setattr(HttpOrchestrator, "ask", count)

    def renewals(self) -> int:
        return sum(isinstance(each, RenewSlots) for each in self.requests)


@pytest.mark.parametrize("keeper", ["server"], indirect=True)
@pytest.mark.parametrize(
    "request_", [DeleteConcurrencyLimit(name="lost"), ResetConcurrencyLimit(name="lost")], ids=["deleted", "reset"]
)
def test_who_has_lost_a_slot_does_not_ask_without_a_pause_while_another_waits(
    limit: Limit, request_: Any, monkeypatch: pytest.MonkeyPatch
):
    limit("lost", 1)
    limit("db", 1)
    done = threading.Event()

    def wait() -> None:
        with concurrency("db", timeout_seconds=SECONDS):
            done.set()

    threads = [threading.Thread(target=wait) for _ in range(2)]
    with concurrency("lost"), concurrency("db"):
        threads[0].start()
        wait_until(lambda: len(waiting("db")) == 1)
        asked = Asked(monkeypatch)
        ask(request_)
        threads[1].start()  # which has the server answer to what it was asked before
        wait_until(lambda: len(waiting("db")) == 2)
        assert not done.wait(1)
        assert asked.renewals() < 8
    for thread in threads:
        thread.join(SECONDS)
    assert done.is_set()


@pytest.mark.parametrize("keeper", ["server"], indirect=True)
def test_a_booking_whose_answer_takes_long_is_not_asked_about_without_a_pause(
    limit: Limit, monkeypatch: pytest.MonkeyPatch
):
    limit("db", 1)
    limit("slow", 1)
    asked = Asked(monkeypatch)
    may_go_on = threading.Event()
    is_asked = threading.Event()

    def hold_up(request: Any) -> None:
        if isinstance(request, BookSlots) and request.limits == ("slow",):
            is_asked.set()
            may_go_on.wait(SECONDS)

    asked.before = hold_up

    def book() -> None:
        with concurrency("slow", timeout_seconds=SECONDS):
            pass

    thread = threading.Thread(target=book)
    thread.start()
    assert is_asked.wait(SECONDS)
    with concurrency("db"):
        assert not may_go_on.wait(1)
        assert asked.renewals() < 8
    may_go_on.set()
    thread.join(SECONDS)


@pytest.mark.parametrize("keeper", ["server"], indirect=True)
def test_a_slot_that_cannot_be_given_back_is_given_back_later_and_not_without_a_pause(
    limit: Limit, monkeypatch: pytest.MonkeyPatch
):
    limit("db", 1)
    asked = Asked(monkeypatch)
    is_full = threading.Event()
    is_full.set()

    def refuse(request: Any) -> None:
        if isinstance(request, ReleaseSlots) and is_full.is_set():
            raise errors.StorageFull("The disk is full")

    asked.before = refuse
    with concurrency("db"):
        pass

    assert not threading.Event().wait(1)
    assert len(asked.requests) < 20
    is_full.clear()
    wait_until(lambda: not held("db"))


def test_a_server_that_begins_counts_the_slots_that_were_taken_before(
    monkeypatch: pytest.MonkeyPatch, home: Path, tmp_path: Path
):
    ask(CreateConcurrencyLimit(name="db", limit=1))
    done = threading.Event()

    def wait() -> None:
        with concurrency("db", timeout_seconds=SECONDS):
            done.set()

    with SqliteStore.open(tmp_path / "server.db", write=True) as store, serving(store) as served:
        keeper = SlotKeeper(store, settings.Settings(home=home))
        served.orchestrator.ask(CreateConcurrencyLimit(name="db", limit=1))
        with concurrency("db"):
            waiting = threading.Thread(target=wait)
            waiting.start()
            wait_until(lambda: somebody_waits("home", "db"))
            monkeypatch.setenv("PENSTOCK_API_URL", served.url)
            monkeypatch.setenv("PENSTOCK_API_KEY", TOKEN)
            busy = keeper.run_once()
            while_held = ask(GetConcurrencyLimit(name="db"))
            with pytest.raises(errors.TimedOut):
                concurrency("db", timeout_seconds=0.1).__enter__()
        keeper.run_once()
        idle = keeper.run_once()
        with concurrency("db", timeout_seconds=SECONDS):
            pass
        monkeypatch.delenv("PENSTOCK_API_URL")
        waiting.join(SECONDS)

    assert done.is_set()
    assert busy < idle
    assert [each.who.startswith("process ") for each in while_held.holders] == [True]


def test_a_server_that_is_away_is_waited_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    with SqliteStore.open(tmp_path / "server.db", write=True) as store:
        with serving(store) as served:
            monkeypatch.setenv("PENSTOCK_API_URL", served.url)
            monkeypatch.setenv("PENSTOCK_API_KEY", TOKEN)
            ask(CreateConcurrencyLimit(name="db", limit=1))
        with pytest.raises(errors.ServerUnreachable):
            concurrency("db", timeout_seconds=0.1).__enter__()


def test_a_flow_that_is_only_drawn_asks_for_nothing(keeper: str):
    @task(viz_return_value=1)
    def work() -> int:
        return 1

    @flow
    def drawn() -> None:
        with concurrency("db", strict=True):
            rate_limit("db", strict=True)
            work()

    assert str(drawn.visualize()) == "<drawing of 'drawn': 1 nodes, 0 edges>"


@pytest.mark.slow
def test_slots_are_given_back_and_waited_for_at_the_port_at_which_the_server_of_the_home_is_back(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
):
    entered, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with concurrency("db"):
            entered.set()
            leave.wait(SECONDS)

    holder = threading.Thread(target=hold)
    home.mkdir(exist_ok=True)
    (home / "token").write_text(TOKEN)
    with SqliteStore.open(tmp_path / "server.db", write=True) as store, Keeping(home, SYSTEM) as keeping:
        with serving(store) as before:
            _tell(keeping, before.url)
            ask(CreateConcurrencyLimit(name="db", limit=1))
            holder.start()
            assert entered.wait(SECONDS)
        with serving(store) as after:
            _tell(keeping, after.url)
            leave.set()
            with concurrency("db", timeout_seconds=SECONDS):
                inside = held("db")
            holder.join(SECONDS)
            wait_until(lambda: not held("db"))

    assert before.url != after.url
    assert len(inside) == 1


def _tell(keeping: Keeping, url: str) -> None:
    keeping.announce(HomeServer(api_url=url, pid=1, started_at=1, home_id="h", store="sqlite", version="0"))
