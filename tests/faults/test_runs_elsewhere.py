"""Runs that were started by hand on machines of which the server sees nothing but what is sent to it."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest
from tests.lab.figures import Measured
from tests.lab.lab import PENSTOCK, Client, Lab, Machine
from tests.lab.oracle import LEAVING_SECONDS
from tests.lab.proxy import FlakyProxy
from tests.lab.waiting import Stopwatch, last, until

from penstock import processes
from penstock.core.operations.flow_runs import ListFlowRuns
from penstock.core.operations.task_runs import ListTaskRuns
from penstock.core.work import LEASE_SECONDS, RESCUE_SECONDS
from penstock.journal.outbox import Outbox

pytestmark = pytest.mark.slow


def only_run(client: Client) -> str:
    """The id of the one run that there is, once the server knows it."""
    found = until(lambda: client.ask(ListFlowRuns(roots=True)).items, "that the server knows the run")
    assert len(found) == 1
    return found[0].id


def tasks_of(client: Client, run: str) -> int:
    """How many task runs of it the server knows."""
    return len(client.ask(ListTaskRuns(run=run)).items)


def until_sent(machine: Machine) -> None:
    until(lambda: not Outbox(machine.home / "outbox").entries(), "that all is sent")


def test_a_run_is_seen_at_the_server_while_it_is_under_way_and_all_of_it_when_the_program_ends(tmp_path: Path):
    with Lab(tmp_path) as lab:
        lab.start_server()
        client = lab.client()
        gate = lab.gate()
        laptop = lab.machine("laptop")
        program = laptop.start("waits", gate=gate)
        run = only_run(client)
        lab.effects.until([run])
        client.until_state(run, "Running")
        gate.open()
        assert program.wait() == 0

        assert client.run(run).state_name == "Completed"
        assert Outbox(laptop.home / "outbox").entries() == []
        assert "flow_run.completed" in client.events(run)
        assert tasks_of(client, run) == 5
        assert "Completed" in laptop.call("flow-run", "ls").stdout
        assert lab.check().states == {"Completed": 1}


def test_while_the_server_is_away_the_run_goes_on_and_what_it_recorded_is_sent_later(tmp_path: Path):
    with Lab(tmp_path) as lab:
        server = lab.start_server()
        client = lab.client()
        gate, second = lab.gate(), lab.gate()
        laptop = lab.machine("laptop", environ={"PENSTOCK_OFFLINE_GRACE_SECONDS": "0"})
        program = laptop.start("waits_twice", gate=gate, second=second)
        run = only_run(client)
        lab.effects.until([run])

        server.kill()
        gate.open()
        lab.effects.until([run], "began", 2)
        server.start()
        client.until_state(run, "Running")
        until(lambda: tasks_of(client, run) == 3, "that the server has heard of it")
        server.kill()
        second.open()
        watch = Stopwatch()
        assert program.wait() == 0
        left_after = watch.seconds
        said = program.said()
        until(lambda: not laptop.shippers(), "that nobody tries any more")
        refused = laptop.call("flow-run", "ship", "--timeout", "1s")
        doctor = laptop.call("doctor")
        server.start()
        server.until_ready()
        sent = laptop.call("flow-run", "ship")

        assert left_after < 30
        assert "is with the server" in said
        assert "flow-run ship" in said
        assert refused.returncode != 0
        assert "Not sent" in refused.stderr
        assert "outbox" in doctor.stdout
        assert (sent.returncode, Outbox(laptop.home / "outbox").entries()) == (0, [])
        assert client.run(run).state_name == "Completed"
        assert client.events(run).count("flow_run.completed") == 1
        assert client.run(run).attempt == 1
        lab.check()


def test_a_process_that_is_killed_is_known_to_be_dead_at_once_and_its_run_goes_on_where_it_was(
    tmp_path: Path, measured: Measured
):
    with Lab(tmp_path) as lab:
        lab.start_server()
        client = lab.client()
        gate = lab.gate()
        laptop, other = lab.machine("laptop"), lab.machine("other")
        program = laptop.start("waits", gate=gate)
        run = only_run(client)
        lab.effects.until([run])
        beside = at_the_server(lab, "flow-run", "resume", client.run(run).name)

        watch = Stopwatch()
        program.kill()
        crashed = client.until_state(run, "Crashed", seconds=20)
        measured(known_after_seconds=watch.seconds)
        elsewhere = other.call("flow-run", "resume", crashed.name)
        after_it = at_the_server(lab, "flow-run", "rerun", crashed.name, "--from", "effect-0")
        gate.open()
        resumed = laptop.call("flow-run", "resume", crashed.name)
        until_sent(laptop)

        assert "died" in (crashed.state_message or "")
        for refused in (elsewhere, beside, after_it):
            assert refused.returncode != 0
            assert "only there it can go on" in refused.stderr
        assert resumed.returncode == 0, resumed.stderr
        assert (client.run(run).state_name, client.run(run).attempt) == ("Completed", 2)
        assert len(lab.effects.of(run, "effect")) == 5
        lab.reopened[run] += 1
        lab.check()


def at_the_server(lab: Lab, *line: str) -> subprocess.CompletedProcess[str]:
    """A command in the server's own home."""
    environ = lab.environment(lab.servers[0].home, {})
    return subprocess.run([*PENSTOCK, *line], env=environ, capture_output=True, text=True, check=False, timeout=120)


def test_when_the_process_that_sends_is_killed_another_one_goes_on_and_nothing_is_there_twice(tmp_path: Path):
    with Lab(tmp_path) as lab:
        lab.start_server()
        client = lab.client()
        gate, second = lab.gate(), lab.gate()
        laptop = lab.machine("laptop")
        program = laptop.start("waits_twice", gate=gate, second=second)
        run = only_run(client)
        lab.effects.until([run])

        before = laptop.shippers()
        laptop.signal_shippers(signal.SIGKILL)
        gate.open()
        until(lambda: tasks_of(client, run) == 3, "that another one sends")
        assert set(laptop.shippers()).isdisjoint(before)
        laptop.signal_shippers(signal.SIGKILL)
        second.open()
        assert program.wait() == 0
        until_sent(laptop)

        assert (client.run(run).state_name, client.run(run).attempt) == ("Completed", 1)
        assert "flow_run.crashed" not in client.events(run)
        lab.check()


def test_a_run_is_cancelled_from_the_server_when_its_processes_are_gone(tmp_path: Path):
    with Lab(tmp_path) as lab:
        lab.start_server()
        client = lab.client()
        gate = lab.gate()
        marks = tmp_path / "marks"
        marks.touch()
        laptop = lab.machine("laptop")
        shell = laptop.start("runs_a_shell", marks=marks)
        run = only_run(client)
        lab.effects.until([run])

        at_once = client.cancel(run)
        cancelled = client.until_state(run, "Cancelled")
        shells = set(map(int, marks.read_text().split()))
        left = [each.pid for each in processes.every() if each.pid in shells and not each.is_dead]
        shell.wait(LEAVING_SECONDS)

        assert at_once.state_name == "Cancelling"
        assert "Cancelled by lab" in (cancelled.state_message or "")
        assert left == []
        until_sent(laptop)
        gate.open()
        lab.check()


def test_silence_counts_as_death_until_it_is_over(tmp_path: Path, measured: Measured):
    with Lab(tmp_path) as lab:
        lab.start_server()
        client = lab.client()
        gate = lab.gate()
        lost, cut_off = lab.machine("lost"), lab.machine("cut-off")
        dying = lost.start("waits", gate=gate)
        first = only_run(client)
        lab.effects.until([first])
        waiting = cut_off.start("waits", gate=gate)
        (second,) = until(
            lambda: {each.id for each in client.ask(ListFlowRuns(roots=True)).items} - {first}, "the second run"
        )
        lab.effects.until([first, second])

        watch = Stopwatch()
        lost.signal_shippers(signal.SIGKILL)
        dying.kill_tree()  # the machine is gone
        cut_off.signal_shippers(signal.SIGSTOP)  # the network is
        last(1)
        crashed = [client.until_state(run, "Crashed", seconds=LEASE_SECONDS + 45) for run in (first, second)]
        noticed_after = watch.seconds
        measured(noticed_after_seconds=noticed_after)
        cut_off.signal_shippers(signal.SIGCONT)
        client.until_state(second, "Running")
        gate.open()
        assert waiting.wait() == 0
        resumed = lost.call("flow-run", "resume", first)
        until_sent(lost)

        assert noticed_after < LEASE_SECONDS + RESCUE_SECONDS + 45
        assert ["was not heard of" in (each.state_message or "") for each in crashed] == [True, True]
        assert [client.events(second).count(f"flow_run.{what}") for what in ("crashed", "found", "completed")] == [
            1,
            1,
            1,
        ]
        assert resumed.returncode == 0, resumed.stderr
        assert [(client.run(each).state_name, client.run(each).attempt) for each in (first, second)] == [
            ("Completed", 2),
            ("Completed", 1),
        ]
        lab.reopened.update([first, second])
        lab.check()


def test_what_comes_twice_late_or_out_of_order_or_whose_answer_is_lost_changes_nothing(
    tmp_path: Path, measured: Measured
):
    with Lab(tmp_path) as lab, FlakyProxy([], seed=12) as proxy:
        server = lab.start_server()
        proxy.servers.append(("127.0.0.1", server.port))
        client = lab.client()
        proxy.duplicate = proxy.replay = proxy.drop_response = 0.3
        laptop = lab.machine("laptop", url=proxy.url)
        programs = [laptop.start("chores") for _ in range(6)]
        assert [program.wait() for program in programs] == [0] * 6
        assert laptop.call("flow-run", "ship", "--timeout", "60s").returncode == 0
        proxy.heal()
        found = lab.check()

        runs = client.ask(ListFlowRuns(roots=True)).items
        assert [(each.state_name, each.attempt) for each in runs] == [("Completed", 1)] * 6
        assert (found.effects, found.repeated) == (30, 0)
        assert min(proxy.happened[what] for what in ("duplicate", "replay", "drop_response")) > 0
        measured(**proxy.happened)


def test_a_key_that_is_not_good_is_told_and_nothing_is_lost(tmp_path: Path):
    with Lab(tmp_path) as lab:
        lab.start_server()
        client = lab.client()
        laptop = lab.machine("laptop", environ={"PENSTOCK_API_KEY": "psk_nobody_nothing"})
        program = laptop.start("steps")
        assert program.wait() == 0
        said = program.said()
        laptop.signal_shippers(signal.SIGKILL)
        laptop.environ["PENSTOCK_API_KEY"] = lab.key
        sent = laptop.call("flow-run", "ship")

        assert "does not take what was recorded" in said
        assert sent.returncode == 0, sent.stderr
        assert client.run(only_run(client)).state_name == "Completed"
        assert os.listdir(laptop.home / "journals")
        lab.check()
