"""Runs under the care of a worker: whatever becomes of their processes, the server hears of it."""

from __future__ import annotations

import os
import platform
import re
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.worker.factory import Factory, until
from tests.worker.test_git import Origin

from penstock import processes
from penstock.core.deployments import GitRepository
from penstock.core.operations import flow_runs as of_runs
from penstock.core.operations.work import Heartbeat

PRELUDE = """
import os, pathlib, signal, subprocess, sys, time
from penstock import flow, task

here = pathlib.Path(__file__).parent

def stamp(text, name="stamps"):
    with open(here / name, "a") as file:
        file.write(f"{text}\\n")

@task
def step(number):
    stamp(f"step {number}")
    return number

"""


def alive(run_id: str) -> list[int]:
    """The processes that say they belong to a run."""
    return [pid for attempt in range(1, 6) for pid in processes.of_attempt(processes.Mark(run_id, attempt))]


# ── code and parameters ──────────────────────────────────────────────────────────────────────────────────────────────


def test_a_flow_that_does_not_import_is_a_run_that_failed_and_says_why(factory: Factory):
    run = factory.create(factory.deploy("import nothing_like_this\n"))
    factory.work()

    ended = factory.ended(run)
    assert (ended.state_name, ended.attempt, ended.flow_name) == ("Failed", 1, "main")
    assert "No module named 'nothing_like_this'" in (ended.state_message or "")
    assert any("Traceback" in line and "flows.py" in line for line in factory.logs(run))


def test_a_flow_that_is_not_there_is_a_run_that_failed(factory: Factory):
    run = factory.create(factory.deploy(PRELUDE, entrypoint="nowhere.py:main"))
    factory.work()

    ended = factory.ended(run)
    assert ended.state_name == "Failed"
    assert "There is no file of flows: `nowhere.py`" in (ended.state_message or "")


def test_parameters_that_do_not_fit_fail_the_run_before_its_code(factory: Factory):
    source = PRELUDE + "@flow\ndef main(number: int) -> None:\n    stamp('ran')\n"
    deployment = factory.deploy(source, enforce_parameter_schema=False)
    wrong = factory.create(deployment, parameters={"number": "x"})
    unknown = factory.create(deployment, parameters={"number": 1, "other": 2})
    factory.work()

    assert "number" in (factory.ended(wrong).state_message or "")
    assert "has no parameter `other`" in (factory.ended(unknown).state_message or "")
    assert {factory.state(wrong), factory.state(unknown)} == {"Failed"}
    assert factory.stamps() == []


def test_parameters_are_what_the_type_hints_make_of_them(factory: Factory):
    source = PRELUDE + (
        "import datetime\n@flow\ndef main(day: datetime.date, names: set[str]) -> None:\n"
        "    stamp(f'{day!r} {names!r}')\n"
    )
    run = factory.create(factory.deploy(source), parameters={"day": "2026-01-02", "names": ["a"]})
    factory.work()

    assert factory.ended(run).state_name == "Completed"
    assert factory.stamps() == ["datetime.date(2026, 1, 2) {'a'}"]


@pytest.mark.parametrize(
    "body",
    [
        "@flow\nasync def main():\n    stamp('ran')\n    return 1\n",
        "@flow\ndef main():\n    yield 1\n    stamp('ran')\n",
        "@flow\nasync def main():\n    yield 1\n    stamp('ran')\n",
    ],
    ids=["async", "generator", "async generator"],
)
def test_flows_of_every_kind_are_run(factory: Factory, body: str):
    run = factory.create(factory.deploy(PRELUDE + body))
    factory.work()

    assert factory.ended(run).state_name == "Completed"
    assert factory.stamps() == ["ran"]


def test_a_run_knows_what_it_is(factory: Factory):
    source = PRELUDE + (
        "from penstock import runtime\nimport lib.beside\n@flow\ndef main(x=1):\n"
        "    run, is_root = runtime.flow_run, os.getcwd() == str(here.parent)\n"
        "    stamp(f'{run.name} {run.attempt} {sorted(run.tags)} {is_root}')\n"
        "    made = runtime.deployment\n"
        "    stamp(f'{made.name} {made.flow_run_id == run.id} {made.parameters} {run.scheduled_start_time}')\n"
    )
    (factory.code / "lib").mkdir()
    (factory.code / "lib" / "beside.py").write_text("")
    (factory.code / "sub").mkdir()
    deployment = factory.deploy("", entrypoint="sub/inner.py:main", tags=("nightly",))
    (factory.code / "sub" / "inner.py").write_text(source)
    due_at = 1_767_225_600_000_000
    run = factory.create(deployment, name="one", tags=("extra",), due_at=due_at)
    factory.work()

    assert factory.ended(run).state_name == "Completed", factory.logs(run)
    assert factory.stamps("sub/stamps") == [
        "one 1 ['extra', 'nightly'] True",
        "d True {} 2026-01-01 00:00:00+00:00",
    ]


# ── processes that go away ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
def test_a_run_whose_process_is_killed_goes_on_without_doing_again_what_was_done(factory: Factory):
    source = PRELUDE + (
        "@flow\ndef main():\n    step(1)\n    step(2)\n"
        "    if not (here / 'again').exists():\n        (here / 'again').touch()\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n    step(3)\n"
    )
    run = factory.create(factory.deploy(source))
    worker = factory.work()

    ended = factory.ended(run)
    assert (ended.state_name, ended.attempt) == ("Completed", 2), (factory.logs(run), worker.said)
    assert factory.stamps() == ["step 1", "step 2", "step 3"]


@pytest.mark.slow
def test_a_run_that_kills_its_process_again_and_again_is_set_aside_and_the_worker_serves_others(factory: Factory):
    poison = factory.deploy("import os, signal; os.kill(os.getpid(), signal.SIGKILL)\n", name="poison")
    (factory.code / "flows.py").rename(factory.code / "poison.py")
    poison = factory.deploy("", name="poison", entrypoint="poison.py:main")
    good = factory.deploy(PRELUDE + "@flow\ndef main():\n    return 1\n", name="good")
    bad = factory.create(poison)
    factory.work(limit=1)

    assert factory.ended(factory.create(good)).state_name == "Completed"
    ended = factory.ended(bad)
    assert (ended.state_name, ended.state_type, ended.attempt) == ("Poison", "CRASHED", 3)
    assert "signal 9 (SIGKILL)" in (ended.state_message or "")


@pytest.mark.slow
def test_runs_whose_fork_server_died_go_on_with_another(factory: Factory):
    source = PRELUDE + (
        "@flow\ndef main():\n    step(1)\n    stamp(os.getpid(), 'pids')\n"
        "    while not (here / 'go').exists():\n        time.sleep(0.01)\n"
    )
    run = factory.create(factory.deploy(source))
    worker = factory.work()
    until(lambda: factory.stamps("pids"))
    os.kill(worker.worker._place.launcher.pid, signal.SIGKILL)
    until(lambda: len(factory.stamps("pids")) == 2)
    (factory.code / "go").touch()

    ended = factory.ended(run)
    assert (ended.state_name, ended.attempt, ended.crashes) == ("Completed", 2, 0)
    assert factory.stamps() == ["step 1"]


@pytest.mark.slow
def test_a_run_that_kills_its_parent_harms_nobody_else(factory: Factory):
    source = PRELUDE + (
        "@flow\ndef main(kills: bool):\n    if kills:\n        os.kill(os.getppid(), signal.SIGKILL)\n"
        "        time.sleep(600)\n"
        "    stamp('up')\n    while not (here / 'go').exists():\n        time.sleep(0.01)\n"
    )
    deployment = factory.deploy(source)
    innocent = factory.create(deployment, parameters={"kills": False})
    factory.work()
    until(factory.stamps)
    guilty = factory.ended(factory.create(deployment, parameters={"kills": True}))
    (factory.code / "go").touch()

    assert (guilty.state_name, guilty.attempt) == ("Poison", 3)
    ended = factory.ended(innocent)
    assert (ended.state_name, ended.attempt) == ("Completed", 1)


def test_a_process_that_leaves_without_a_word_is_a_crash(factory: Factory):
    run = factory.create(factory.deploy(PRELUDE + "@flow\ndef main():\n    os._exit(7)\n", on_crash="fail"))
    factory.work()

    ended = factory.ended(run)
    assert (ended.state_name, ended.state_type) == ("Crashed", "CRASHED")
    assert ended.state_message == "Its process exited with code 7, before the run had ended"


@pytest.fixture
def small_memory() -> Iterator[Path]:
    """A control group with little memory, to be entered by writing a process id into its file."""
    root = Path("/sys/fs/cgroup/memory")
    if not os.access(root, os.W_OK) or not (root / "memory.limit_in_bytes").exists():
        pytest.skip("needs the right to make control groups (version 1)")
    group = root / f"penstock-{os.getpid()}"
    group.mkdir()
    (group / "memory.limit_in_bytes").write_text(str(64 << 20))
    yield group / "cgroup.procs"
    until(lambda: not (group / "cgroup.procs").read_text())
    group.rmdir()


@pytest.mark.slow
def test_a_run_that_takes_too_much_memory_says_so(factory: Factory, small_memory: Path):
    source = PRELUDE + (
        f"@flow\ndef main():\n    pathlib.Path({str(small_memory)!r}).write_text(str(os.getpid()))\n"
        "    held = [bytearray(os.urandom(1 << 20)) for _ in range(200)]\n"
    )
    run = factory.create(factory.deploy(source, on_crash="fail"))
    factory.work()

    ended = factory.ended(run)
    assert ended.state_name == "Crashed"
    assert (ended.state_message or "").startswith(
        "Its process was ended by signal 9 (SIGKILL); the system was out of memory"
    )


# ── cancelling ───────────────────────────────────────────────────────────────────────────────────────────────────────

CANCELLED = {
    "import": "stamp('up')\ntime.sleep(600)\n@flow\ndef main(): ...\n",
    "sleep": "@flow\ndef main():\n    stamp('up')\n    time.sleep(600)\n",
    "async": "import asyncio\n@flow\nasync def main():\n    stamp('up')\n    await asyncio.sleep(600)\n",
    "threads": (
        "@task\ndef wait(n):\n    stamp('up')\n    time.sleep(600)\n@flow\ndef main():\n    wait.map(range(4)).wait()\n"
    ),
    "shell tree": (
        "@flow\ndef main():\n    stamp('up')\n    subprocess.run('sleep 600 & sleep 600 & wait', shell=True)\n"
    ),
    "daemon": (
        "@flow\ndef main():\n"
        "    subprocess.Popen(['sleep', '600'], start_new_session=True)\n    stamp('up')\n    time.sleep(600)\n"
    ),
    "forked daemon": (
        "@flow\ndef main():\n    if os.fork() == 0:\n        os.setsid()\n"
        "        if os.fork():\n            os._exit(0)\n"
        "        stamp('up')\n        time.sleep(600)\n    time.sleep(600)\n"
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("body", CANCELLED.values(), ids=CANCELLED)
def test_cancelled_means_gone(factory: Factory, body: str):
    run = factory.create(factory.deploy(PRELUDE + body))
    factory.work()
    until(factory.stamps)
    before = alive(run)
    factory.ask(of_runs.CancelFlowRun(run=run, by="me"))

    ended = factory.ended(run)
    assert before
    assert (ended.state_name, ended.state_type) == ("Cancelled", "CANCELLED")
    assert alive(run) == []


@pytest.mark.slow
def test_a_run_that_does_not_want_to_end_is_killed_after_its_time(factory: Factory):
    source = PRELUDE + (
        "@flow\ndef main():\n    signal.signal(signal.SIGTERM, signal.SIG_IGN)\n    stamp('up')\n"
        "    while True:\n        try:\n            time.sleep(600)\n        except BaseException:\n            pass\n"
    )
    factory.environ["PENSTOCK_WORKER_GRACE_SECONDS"] = "0.2"
    run = factory.create(factory.deploy(source))
    factory.work()
    until(factory.stamps)
    factory.ask(of_runs.CancelFlowRun(run=run))

    assert factory.ended(run).state_name == "Cancelled"
    assert alive(run) == []


@pytest.mark.slow
def test_hooks_of_a_cancelled_run_are_those_for_cancellation(factory: Factory):
    source = PRELUDE + (
        "def cancelled(flow, run, state):\n    stamp(f'cancelled {state.name}')\n"
        "def crashed(flow, run, state):\n    stamp('crashed')\n"
        "@flow(on_cancellation=[cancelled], on_crashed=[crashed])\ndef main():\n    stamp('up')\n    time.sleep(600)\n"
    )
    run = factory.create(factory.deploy(source))
    factory.work()
    until(factory.stamps)
    factory.ask(of_runs.CancelFlowRun(run=run))

    assert factory.ended(run).state_name == "Cancelled"
    assert factory.stamps() == ["up", "cancelled Cancelled"]


@pytest.mark.slow
def test_a_time_limit_is_kept_from_outside(factory: Factory):
    source = PRELUDE + "@flow\ndef main():\n    stamp('up')\n    subprocess.run(['sleep', '600'])\n"
    run = factory.create(factory.deploy(source, timeout_seconds=0.3))
    factory.work()

    ended = factory.ended(run)
    assert (ended.state_name, ended.state_type) == ("TimedOut", "FAILED")
    assert ended.state_message == "Flow run exceeded its time limit of 0.3 seconds"
    assert alive(run) == []


@pytest.mark.slow
def test_what_a_run_leaves_behind_ends_with_it(factory: Factory):
    source = PRELUDE + "@flow\ndef main():\n    subprocess.Popen(['sleep', '600'], start_new_session=True)\n"
    run = factory.create(factory.deploy(source))
    factory.work()

    assert factory.ended(run).state_name == "Completed"
    until(lambda: alive(run) == [], "the end of what the run left behind")


# ── stopping the worker ──────────────────────────────────────────────────────────────────────────────────────────────

WAITS = PRELUDE + (
    "@flow(retries=0)\ndef main():\n    step(1)\n    stamp('up', 'pids')\n"
    "    while not (here / 'go').exists():\n        time.sleep(0.01)\n    step(2)\n"
)


@pytest.mark.slow
def test_a_worker_that_stops_hands_its_runs_to_others_at_once(factory: Factory):
    runs = [factory.create(factory.deploy(WAITS)) for _ in range(3)]
    first = factory.work("one")
    until(lambda: len(factory.stamps("pids")) == 3)
    first.stop()
    first.join()
    states = {factory.state(run) for run in runs}
    (factory.code / "go").touch()
    factory.work("two")

    assert states == {"Resuming"}
    for run in runs:
        ended = factory.ended(run)
        assert (ended.state_name, ended.attempt, ended.crashes) == ("Completed", 2, 0)
    assert sorted(factory.stamps()) == ["step 1"] * 3 + ["step 2"] * 3
    assert sorted(os.listdir(factory.root / "one" / "journals")) == []


@pytest.mark.slow
def test_a_worker_that_stops_gets_none_of_its_runs_again_before_the_server_has_heard_that_it_stops(factory: Factory):
    runs = [factory.create(factory.deploy(WAITS)) for _ in range(3)]
    first = factory.work("one")
    until(lambda: len(factory.stamps("pids")) == 3)
    factory.server.is_deaf.add(Heartbeat)
    first.stop()
    first.join()
    factory.server.is_deaf.clear()
    (factory.code / "go").touch()
    factory.work("two")

    assert [factory.ended(run).attempt for run in runs] == [2, 2, 2]


@pytest.mark.slow
def test_a_worker_that_is_told_twice_does_not_wait(factory: Factory):
    source = PRELUDE + (
        "@flow\ndef main():\n    signal.signal(signal.SIGTERM, signal.SIG_IGN)\n    stamp('up')\n    time.sleep(600)\n"
    )
    run = factory.create(factory.deploy(source))
    worker = factory.work()
    until(factory.stamps)
    worker.stop()
    worker.stop()
    worker.join()

    assert factory.state(run) == "Resuming"
    assert alive(run) == []


@pytest.mark.slow
def test_a_worker_that_runs_once_takes_what_is_due_and_stops(factory: Factory):
    deployment = factory.deploy(PRELUDE + "@flow\ndef main():\n    return 1\n")
    runs = [factory.create(deployment) for _ in range(2)]
    later = factory.create(deployment, in_seconds=3600)
    worker = factory.work(run_once=True)
    worker.join()

    assert [factory.state(run) for run in runs] == ["Completed", "Completed"]
    assert factory.state(later) == "Scheduled"


@pytest.mark.slow
def test_a_worker_executes_no_more_runs_at_once_than_its_limit(factory: Factory):
    source = PRELUDE + (
        "@flow\ndef main():\n    (here / f'{os.getpid()}.up').touch()\n    stamp(len(list(here.glob('*.up'))))\n"
        "    time.sleep(0.05)\n    (here / f'{os.getpid()}.up').unlink()\n"
    )
    runs = [factory.create(factory.deploy(source)) for _ in range(6)]
    factory.work(limit=2)

    assert {factory.ended(run).state_name for run in runs} == {"Completed"}
    assert max(map(int, factory.stamps())) <= 2


# ── the server is away, or has other ideas ───────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
def test_an_outage_holds_up_nothing_and_loses_nothing(factory: Factory):
    source = PRELUDE + (
        "@flow(log_prints=True)\ndef main():\n    step(1)\n    stamp('up', 'pids')\n"
        "    while not (here / 'go').exists():\n        time.sleep(0.01)\n"
        "    print('during the outage')\n    step(2)\n    stamp('done', 'pids')\n"
    )
    run = factory.create(factory.deploy(source))
    worker = factory.work()
    until(lambda: factory.state(run) == "Running" and factory.stamps("pids"))
    factory.server.is_away = True
    (factory.code / "go").touch()
    until(lambda: len(factory.stamps("pids")) == 2)
    state = factory.state(run)
    until(lambda: worker.warned)
    factory.server.is_away = False

    assert state == "Running"
    ended = factory.ended(run)
    assert (ended.state_name, ended.attempt) == ("Completed", 1)
    assert "during the outage" in factory.logs(run)
    until(lambda: any("The server answers" in line for line in worker.said))
    (warned,) = worker.warned
    assert "cannot be reached" in warned
    assert "Runs under way go on" in warned


@pytest.mark.slow
def test_no_task_starts_without_a_live_lease(factory: Factory):
    source = PRELUDE + (
        "@flow\ndef main():\n    for number in range(100000):\n        step(number)\n"
        "        if (here / 'go').exists():\n            return\n        time.sleep(0.02)\n"
    )
    factory.server.heartbeat_seconds, factory.server.lease_seconds = 0.1, 5.5
    run = factory.create(factory.deploy(source))
    factory.work()
    until(lambda: len(factory.stamps()) > 3)
    factory.server.is_deaf.add(Heartbeat)
    until(lambda: any("no new task starts" in line for line in factory.logs(run)), "the run's word that it waits")
    waiting_at = len(factory.stamps())
    beats = len(factory.server.asked)
    until(lambda: len(factory.server.asked) >= beats)
    still_at = len(factory.stamps())
    (factory.code / "go").touch()
    factory.server.is_deaf.clear()

    assert factory.ended(run).state_name == "Completed"
    assert still_at == waiting_at
    assert len(factory.stamps()) == waiting_at + 1


@pytest.mark.slow
def test_a_run_whose_server_is_away_for_too_long_stops_itself_and_goes_on_later(factory: Factory):
    source = PRELUDE + (
        "@flow\ndef main():\n    step(1)\n    stamp('up', 'pids')\n"
        "    while not (here / 'go').exists():\n        time.sleep(0.01)\n    step(2)\n"
    )
    factory.environ["PENSTOCK_OFFLINE_GRACE_SECONDS"] = "0.2"
    factory.server.heartbeat_seconds, factory.server.lease_seconds = 0.1, 5.5
    run = factory.create(factory.deploy(source))
    factory.work()
    until(lambda: factory.stamps("pids"))
    factory.server.is_away = True
    until(lambda: alive(run) == [], "the end of the attempt")
    (factory.code / "go").touch()
    factory.server.is_away = False

    ended = factory.ended(run)
    assert (ended.state_name, ended.attempt) == ("Completed", 2)
    assert factory.stamps() == ["step 1", "step 2"]


@pytest.mark.slow
def test_an_attempt_that_was_superseded_is_ended_and_records_nothing_more(factory: Factory):
    source = PRELUDE + (
        "@flow\ndef main():\n    step(1)\n    stamp(os.getpid(), 'pids')\n"
        "    while not (here / 'go').exists():\n        time.sleep(0.01)\n"
    )
    factory.server.heartbeat_seconds = 0.1
    run = factory.create(factory.deploy(source))
    worker = factory.work()
    until(lambda: factory.state(run) == "Running" and factory.stamps("pids"))
    with factory.store.transaction() as tx:  # its lease ran out, and another worker has it
        work = tx.work.row(run)
        assert work is not None
        work.attempt += 1
        work.worker_id = "another"
        tx.work.save(work)

    until(lambda: alive(run) == [], "the end of the attempt")
    until(lambda: not worker.worker._supervisors, "the end of its supervision")
    assert os.listdir(factory.root / "w" / "journals") == []
    assert factory.state(run) == "Running"


# ── going on elsewhere ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
def test_a_run_goes_on_in_another_home_with_results_that_are_files(factory: Factory):
    source = PRELUDE + (
        "@task\ndef large():\n    stamp('large')\n    return bytes(200_000)\n"
        "@flow\ndef main():\n    data = large()\n    stamp('up', 'pids')\n"
        "    while not (here / 'go').exists():\n        time.sleep(0.01)\n    return len(data)\n"
    )
    run = factory.create(factory.deploy(source))
    first = factory.work("one")
    until(lambda: factory.stamps("pids"))
    first.stop()
    first.join()
    (factory.code / "go").touch()
    factory.work("two")

    assert (factory.ended(run).state_name, factory.run(run).attempt) == ("Completed", 2)
    assert factory.stamps() == ["large"]


@pytest.mark.slow
def test_a_run_keeps_the_commit_that_it_began_with_though_the_branch_has_moved(factory: Factory, tmp_path: Path):
    origin = Origin(tmp_path / "origin")
    source = WAITS.replace("pathlib.Path(__file__).parent", f"pathlib.Path({str(factory.code)!r})")
    commit = origin.commit(flows=source)
    run = factory.create(factory.deploy("", code=GitRepository(origin.url, ref="main")))
    first = factory.work("one")
    until(lambda: factory.stamps("pids"))
    origin.commit(flows="raise ValueError('the branch has moved')")
    first.stop()
    first.join()
    (factory.code / "go").touch()
    factory.work("two")

    ended = factory.ended(run)
    assert (ended.state_name, ended.attempt) == ("Completed", 2), factory.logs(run)
    assert factory.stamps() == ["step 1", "step 2"]
    assert f"The code is that of commit {commit}" in factory.logs(run)


# ── output and surroundings ──────────────────────────────────────────────────────────────────────────────────────────


def test_what_a_run_prints_is_in_its_log_and_shown_with_the_time_and_its_name(factory: Factory):
    source = PRELUDE + (
        "@flow\ndef main():\n    print('plain')\n    print('to stderr', file=sys.stderr)\n"
        "    subprocess.run('echo from a child; printf \"no newline\"', shell=True)\n"
        "    sys.stdout.buffer.write(b'\\xff\\x00binary\\n')\n"
    )
    run = factory.create(factory.deploy(source))
    worker = factory.work()

    assert factory.ended(run).state_name == "Completed"
    until(lambda: any(line.endswith("\\xff\\x00binary") for line in factory.logs(run)), "the last line")
    assert {"plain", "to stderr", "from a child"} <= set(factory.logs(run))
    name = factory.run(run).name
    begins = re.compile(rf"\d\d:\d\d:\d\d\.\d{{3}} \| INFO    \| Flow run {name!r} - ")
    shown = [line for text in worker.shown for line in text.split("\n")]
    assert [line for line in shown if not begins.match(line)] == []
    assert {"plain", "to stderr", "from a child"} <= {begins.sub("", line) for line in shown}


def test_a_run_finds_the_environment_that_it_was_given_and_no_keys(factory: Factory):
    source = PRELUDE + (
        "@flow\ndef main():\n"
        "    for name in ('A', 'B', 'C', 'PENSTOCK_API_KEY', 'PENSTOCK_RUN_ID', 'PENSTOCK_JOB'):\n"
        "        stamp(f'{name}={os.environ.get(name)}')\n    stamp(os.getcwd())\n"
        "    stamp(pathlib.Path(os.environ['PENSTOCK_JOB']).exists())\n"
        "    line = ['sh', '-c', 'echo $A$PENSTOCK_API_KEY']\n"
        "    stamp(subprocess.run(line, capture_output=True, text=True).stdout.strip())\n"
    )
    factory.environ.update(A="worker's", B="worker's", C="worker's", PENSTOCK_API_KEY="secret")
    deployment = factory.deploy(source, infrastructure={"env": {"A": "deployment's", "B": None}, "working_dir": "/usr"})
    run = factory.create(deployment)
    factory.work()

    assert factory.ended(run).state_name == "Completed", factory.logs(run)
    a, b, c, key, run_id, _, folder, job, inner = factory.stamps()
    assert (a, b, c) == ("A=deployment's", "B=None", "C=worker's")
    assert (key, run_id, folder, job, inner) == (
        "PENSTOCK_API_KEY=None",
        f"PENSTOCK_RUN_ID={run}",
        "/usr",
        "False",
        "deployment's",
    )


@pytest.mark.slow
@pytest.mark.parametrize("how", ["python", "command", "env"])
def test_a_run_may_be_executed_in_an_interpreter_of_its_own(factory: Factory, how: str):
    import sys

    given = {
        "python": {"python": sys.executable},
        "command": {"command": [sys.executable, "-X", "dev", "-m", "penstock.worker.entrypoint"]},
        "env": {"env": {"PYTHONHASHSEED": "7"}},
    }[how]
    source = PRELUDE + "@flow\ndef main():\n    stamp(f'{sys.flags.dev_mode} {hash(\"x\")} {sys.orig_argv[-1]}')\n"
    run = factory.create(factory.deploy(source, infrastructure=given))
    factory.work()

    assert factory.ended(run).state_name == "Completed", factory.logs(run)
    assert factory.stamps()[0].endswith("penstock.worker.entrypoint")
    assert factory.stamps()[0].startswith(str(how == "command"))


def test_infrastructure_that_cannot_be_is_told_and_crashes_the_run(factory: Factory):
    deployment = factory.deploy(PRELUDE, infrastructure={"comand": "x"}, on_crash="fail")
    run = factory.create(deployment)
    factory.work()

    ended = factory.ended(run)
    assert ended.state_name == "Crashed"
    assert "has no field: `comand`" in (ended.state_message or "")


def test_a_folder_that_the_worker_does_not_have_is_told_with_the_machine_and_what_to_do(
    factory: Factory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from penstock.core.deployments import LocalFolder
    from penstock.worker import lacking

    monkeypatch.setattr(lacking, "LEFT_SECONDS", 0.5)
    deployment = factory.deploy(PRELUDE, code=LocalFolder(str(tmp_path / "nowhere")))
    run = factory.create(deployment)
    worker = factory.work()

    told = (
        f"There is no such folder on the worker's machine, {platform.node()}: `{tmp_path / 'nowhere'}` "
        "(put it there, start a worker where it is, or deploy with a git repository or `--upload`, "
        "which any worker can get)"
    )
    assert factory.ended(run).state_message == f"Set aside after 3 attempts without progress. The last: {told}"
    assert told in factory.logs(run)
    assert any(text.endswith(f"Flow run {factory.run(run).name!r} - {told}") for text in worker.shown)


# ── a worker that died ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
def test_what_a_dead_worker_has_left_is_finished_by_the_next_one_in_its_home(factory: Factory):
    run = factory.create(factory.deploy(WAITS))
    first = factory.work()
    until(lambda: factory.stamps("pids"))
    factory.server.is_away = True  # so that the first worker can tell nobody
    left = factory.root / "left"
    shutil.copytree(factory.root / "w", left)  # as the disk was when it died: nobody holds a lock there
    first.stop()
    first.stop()
    first.join()
    (factory.code / "go").touch()
    factory.server.is_away = False
    second = factory.work("left")

    ended = factory.ended(run)
    assert (ended.state_name, ended.attempt) == ("Completed", 2)
    assert any("whose worker has died" in line for line in second.said)
    assert factory.stamps() == ["step 1", "step 2"]


def test_results_that_no_run_has_used_for_long_are_removed(tmp_path: Path):
    from penstock import settings
    from penstock.worker import leftovers

    chosen = settings.load({"PENSTOCK_HOME": str(tmp_path), "PENSTOCK_RETENTION_DAYS": "2"})
    for name, days in (("aa/old", 3), ("aa/new", 1), ("cache/entry", 9)):
        path = chosen.results / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
        os.utime(path, (0, 10 * 86400 - days * 86400))

    assert leftovers.forget_results(chosen, 10 * 86400 * 1_000_000) == 1
    assert sorted(path.name for path in chosen.results.glob("*/*")) == ["entry", "new"]


def test_journals_of_runs_started_by_hand_are_left_alone(factory: Factory, tmp_path: Path):
    from penstock import clock, settings
    from penstock.engine import attempt

    chosen = settings.load({"PENSTOCK_HOME": str(tmp_path / "w")})
    by_hand = attempt.open_attempt(chosen, clock.SYSTEM, None)
    by_hand.close()
    run = factory.create(factory.deploy(PRELUDE + "@flow\ndef main():\n    return 1\n"))
    worker = factory.work()
    assert factory.ended(run).state_name == "Completed"
    until(lambda: not worker.worker._supervisors)

    assert os.listdir(chosen.journals) == [by_hand.run_id]
