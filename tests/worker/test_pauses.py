"""Runs of deployments that wait for somebody, by their own code or because somebody wants so."""

from __future__ import annotations

from tests.worker.factory import Factory, until
from tests.worker.test_supervision import PRELUDE, alive

from penstock.core.operations import pauses as ask

STEPS = PRELUDE + (
    "@flow\n"
    "def main():\n"
    "    for number in range(5000):\n"
    "        step(number)\n"
    "        if (here / 'end').exists():\n"
    "            return\n"
    "        time.sleep(0.02)\n"
)


def test_a_run_that_suspends_itself_goes_on_with_its_input_in_a_new_process(factory: Factory):
    source = PRELUDE + (
        "from penstock import suspend_flow_run\n"
        "@flow\n"
        "def main():\n"
        "    step(1)\n"
        "    stamp(f'before {os.getpid()}')\n"
        "    number = suspend_flow_run(int)\n"
        "    stamp(f'got {number}')\n"
    )
    run = factory.create(factory.deploy(source))
    factory.work()
    until(lambda: factory.state(run) == "Suspended" and not alive(run))
    until(lambda: factory.run(run).state_name == "Suspended")
    factory.ask(ask.ResumeFlowRun(run=run, input={"value": 7}, by="ada"))

    ended = factory.ended(run)
    stamps = factory.stamps()
    assert (ended.state_name, ended.attempt, ended.crashes) == ("Completed", 2, 0)
    assert (stamps.count("step 1"), stamps[-1]) == (1, "got 7")
    assert len({each for each in stamps if each.startswith("before")}) == 2


def test_a_run_under_way_is_suspended_and_resumed_where_it_was(factory: Factory):
    run = factory.create(factory.deploy(STEPS))
    factory.work()
    until(lambda: len(factory.stamps()) > 2)
    factory.ask(ask.SuspendFlowRun(run=run, by="ada"))
    until(lambda: factory.state(run) == "Suspended")
    gone = alive(run)
    done = factory.stamps()
    (factory.code / "end").touch()
    factory.ask(ask.ResumeFlowRun(run=run))

    ended = factory.ended(run)
    assert gone == []
    assert (ended.state_name, ended.attempt, ended.crashes) == ("Completed", 2, 0)
    assert len(factory.stamps()) <= len(done) + 2


def test_a_run_under_way_starts_no_new_task_while_it_is_paused(factory: Factory):
    factory.server.heartbeat_seconds, factory.server.lease_seconds = 600, 1200  # what is not waited for
    run = factory.create(factory.deploy(STEPS))
    factory.work()
    until(lambda: len(factory.stamps()) > 2)
    factory.ask(ask.PauseFlowRun(run=run, by="ada"))
    until(lambda: factory.state(run) == "Paused")
    done = factory.stamps()
    lives = alive(run)
    (factory.code / "end").touch()
    factory.ask(ask.ResumeFlowRun(run=run))

    ended = factory.ended(run)
    assert lives != []
    assert (ended.state_name, ended.attempt) == ("Completed", 1)
    assert len(factory.stamps()) <= len(done) + 2
