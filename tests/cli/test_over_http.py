"""Every command that looks at runs says the same, whether it asks a server or the home."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.api.serving import TOKEN
from tests.cli.conftest import Journals, Kept, Task

from penstock import clock, errors
from penstock.client.home_server import HomeServer, Keeping
from penstock.client.orchestrator import HttpOrchestrator
from penstock.core import records
from penstock.core.deployments import DeploymentSpec, LocalFolder
from penstock.core.operations.deployments import ApplyDeployment, RunDeployment
from penstock.core.operations.flow_runs import FollowFlowRun
from penstock.core.operations.work import ClaimFlowRuns, RegisterWorker, ReportExit
from penstock.core.work import ExitReason

Call = Callable[..., Any]


@pytest.fixture
def run(journals: Journals) -> str:
    return journals.run(
        "quiet-otter",
        state="FAILED",
        message="Boom",
        tasks=(Task("clean-1"), Task("clean-2", "FAILED", "Boom")),
        logs=((20, "Hello"), (40, "Boom")),
        artifacts=(("markdown", "report", "# Hello"),),
        parameters={"year": 2021},
        tags=("nightly",),
    )


LINES = (
    "flow ls",
    "flow inspect etl",
    "flow ls --json",
    "flow-run ls",
    "flow-run ls --json",
    "flow-run ls --state failed --flow etl --tag nightly --name quiet --roots",
    "flow-run ls --state Late --state Timed-Out --state crashed",
    "flow-run ls --since 2h -n 1",
    "flow-run ls --due",
    "flow-run inspect quiet-otter",
    "flow-run inspect quiet-otter --json",
    "flow-run inspect no-otter",
    "flow-run logs quiet-otter",
    "flow-run logs quiet-otter --tail 1 --json",
    "flow-run logs quiet-otter --head 1",
    "flow-run logs quiet-otter -f",
    "flow-run why quiet-otter",
    "flow-run why quiet-otter -o json",
    "task-run ls quiet-otter",
    "task-run ls quiet-otter --state failed",
    "task-run inspect {task}",
    "task-run why {task}",
    "artifact ls --run quiet-otter",
    "artifact inspect report",
    "work-pool ls",
    "work-pool inspect default --json",
    "work-queue ls",
    "deployment ls",
    "worker ls",
)


@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize("tty", [False, True], ids=["piped", "terminal"])
def test_a_server_is_asked_what_else_the_home_is(
    penstock: Call, remote: Call, kept: Kept, journals: Journals, run: str, line: str, tty: bool
):
    kept.fold()
    words = line.format(task=journals.task_run_id(run, 1)).split()

    assert remote(*words, tty=tty) == penstock(*words, tty=tty)


def test_a_log_is_followed_over_http_until_the_run_has_ended(remote: Call, kept: Kept, journals: Journals):
    run_id = journals.run("quiet-otter", state=None, logs=((20, "one"),), lives=True)
    kept.fold()
    ran: list[Any] = []
    thread = threading.Thread(target=lambda: ran.append(remote("flow-run", "logs", "-f", "quiet-otter")))
    thread.start()

    writer = journals.writer(run_id)
    writer.append(records.LogLine(clock.SYSTEM.now(), run_id, None, 30, "penstock", "two"))
    kept.fold()
    writer.append(records.FlowRunEnded(clock.SYSTEM.now(), run_id, "COMPLETED", "Completed"))
    kept.fold()
    thread.join(30)

    assert [line.split("\t")[3] for line in ran[0].out.splitlines()] == ["one", "two"]


def test_an_answer_to_who_follows_comes_when_something_is_recorded(remote: Call, kept: Kept, journals: Journals):
    run_id = journals.run("quiet-otter", state=None, lives=True)
    kept.fold()
    asking = HttpOrchestrator(kept.url, TOKEN, clock.SYSTEM)
    seen = asking.ask(FollowFlowRun(run=run_id))

    def say() -> None:
        journals.writer(run_id).append(records.LogLine(clock.SYSTEM.now(), run_id, None, 30, "penstock", "now"))
        kept.fold()

    began = clock.SYSTEM.elapsed()
    saying = threading.Timer(0.2, say)
    saying.start()
    progress = asking.ask(FollowFlowRun(run=run_id, after=seen.next, wait_seconds=20))
    took = clock.SYSTEM.elapsed() - began
    asking.close()
    saying.join()

    assert [line.message for line in progress.logs] == ["now"]
    assert took < 15  # it would have waited for 20


def test_who_watches_a_run_finds_the_server_of_the_home_when_it_is_back_at_another_port(
    penstock: Call, kept: Kept, journals: Journals, home: Path, still: Any, monkeypatch: pytest.MonkeyPatch
):
    journals.run("quiet-otter")
    kept.fold()
    (home / "token").write_text(TOKEN)
    before = kept.url.replace("127.0.0.1", "localhost")
    real = HttpOrchestrator.ask

    def ask_now(self: HttpOrchestrator, request: Any, **options: Any) -> Any:
        if self.url == before and isinstance(request, FollowFlowRun):
            raise errors.ServerUnreachable("The server cannot be reached")
        return real(self, request, **options)

    monkeypatch.setattr(HttpOrchestrator, "ask", ask_now)
    told = HomeServer(api_url=before, pid=1, started_at=1, home_id="h", store="sqlite", version="0")
    with Keeping(home, clock.SYSTEM) as keeping:
        keeping.announce(told)
        still.meanwhile = [lambda: keeping.announce(msgspec.structs.replace(told, api_url=kept.url))]
        ran = penstock("flow-run", "watch", "quiet-otter")

    assert (ran.code, "Flow run 'quiet-otter' is Completed" in ran.err) == (0, True)


def test_without_a_server_it_is_said_that_nobody_hears_of_a_run_and_with_one_it_is_not(
    penstock: Call, remote: Call, kept: Kept
):
    spec = DeploymentSpec(name="nightly", flow_name="etl", entrypoint="etl.py:etl", code=LocalFolder("/flows"))
    kept.orchestrator.ask(ApplyDeployment(spec=spec))
    assert remote("deployment", "run", "etl/nightly", "--flow-run-name", "quiet-otter").err == ""
    kept.orchestrator.ask(RegisterWorker(id="w", name="ada", pool="default"))

    assert "a worker claims it at any moment" in remote("flow-run", "why", "quiet-otter").out
    why = penstock("flow-run", "why", "quiet-otter").out
    assert "No server runs here, so no worker hears of it: `penstock server start` starts one." in why
    assert "at any moment" not in why

    kept.orchestrator.ask(ClaimFlowRuns(worker_id="w", pool="default"))
    assert "what worker `ada` does is known when one does" in penstock("flow-run", "why", "quiet-otter").out
    assert remote("flow-run", "cancel", "quiet-otter").out.endswith("is Cancelling: worker ada ends its processes\n")
    assert "Worker `ada` hears of it when a server runs here" in penstock("flow-run", "why", "quiet-otter").out


def test_with_a_server_the_end_of_a_cancelled_run_is_waited_for(remote: Call, kept: Kept):
    spec = DeploymentSpec(name="nightly", flow_name="etl", entrypoint="etl.py:etl", code=LocalFolder("/flows"))
    kept.orchestrator.ask(ApplyDeployment(spec=spec))
    run = kept.orchestrator.ask(RunDeployment(deployment="etl/nightly", name="quiet-otter"))
    kept.orchestrator.ask(RegisterWorker(id="w", name="ada", pool="default"))
    kept.orchestrator.ask(ClaimFlowRuns(worker_id="w", pool="default"))
    asking = HttpOrchestrator(kept.url, TOKEN, clock.SYSTEM)
    seen = asking.ask(FollowFlowRun(run=run.id))
    ran: list[Any] = []
    thread = threading.Thread(target=lambda: ran.append(remote("flow-run", "cancel", "quiet-otter", "--wait")))
    thread.start()

    asking.ask(FollowFlowRun(run=run.id, after=seen.next, wait_seconds=20))  # until it is Cancelling
    asking.close()
    kept.orchestrator.ask(ReportExit(run_id=run.id, worker_id="w", attempt=1, reason=ExitReason.CANCELLED))
    thread.join(30)

    assert ran == [(0, "Flow run 'quiet-otter' is Cancelled\n", "")]


def test_pools_and_queues_are_made_at_the_server(remote: Call, penstock: Call):
    assert remote("work-pool", "create", "gpu").code == 0
    assert remote("work-queue", "create", "fast", "-p", "gpu").code == 0

    assert "fast\tgpu" in penstock("work-queue", "ls").out


def test_a_server_that_is_not_there_is_told(penstock: Call):
    ran = penstock("flow-run", "ls", PENSTOCK_API_URL="http://127.0.0.1:9/api")

    assert ran.code == 5
    assert "The server cannot be reached" in ran.err


def test_an_address_without_the_path_of_the_api_is_told(remote: Call, kept: Kept):
    ran = remote("flow-run", "ls", PENSTOCK_API_URL=kept.url.removesuffix("/api"))

    assert ran.code == 3
    assert "hint: the API's addresses begin with `/api`, as PENSTOCK_API_URL is to end" in ran.err


def test_what_looks_at_this_machine_says_so_where_the_api_is_of_another(remote: Call):
    for line in (("fsck",), ("db", "status"), ("flow-run", "resume", "quiet-otter")):
        assert "This is about the home of this machine, and not what is kept at http://" in remote(*line).err
