"""A lab: real servers and workers on this machine, clients that talk to them, and an oracle that judges it all.

::

    with Lab(tmp_path) as lab:
        lab.start_server()
        worker = lab.start_worker()
        client = lab.client()
        run = client.create(lab.deploy("steps"))
        worker.kill_tree()
        …
        lab.check()
"""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar

from tests import shippers
from tests.lab.gates import Gate
from tests.lab.ledgers import Acknowledgements, Effects
from tests.lab.networks import Host
from tests.lab.oracle import Facts, Findings, examine, problems_of_fsck
from tests.lab.programs import Program
from tests.lab.waiting import until
from tests.ports import free_port

from penstock import clock, errors, settings
from penstock.client import home_server
from penstock.client.orchestrator import HttpOrchestrator
from penstock.core.access import EVERYTHING
from penstock.core.deployments import DeploymentSpec, LocalFolder
from penstock.core.operations import Request, api_keys
from penstock.core.operations import deployments as of_deployments
from penstock.core.operations import events as of_events
from penstock.core.operations import flow_runs as of_runs
from penstock.core.operations import work_pools as of_pools
from penstock.core.runs import FlowRun
from penstock.core.states import FINAL, StateType

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

FLOWS = Path(__file__).with_name("flows")
PENSTOCK = (sys.executable, "-m", "penstock")
UNFINISHED = tuple(each for each in StateType if each not in FINAL)


class Lab:
    """Everything of one scenario, or of several that do not disturb each other."""

    def __init__(
        self,
        root: Path,
        *,
        database_url: str | None = None,
        environ: Mapping[str, str] | None = None,
        inside: Host | None = None,
    ) -> None:
        """``inside``: the host of a network in which clients are; see `networks`."""
        self.root = root
        self.database_url = database_url
        self.inside = inside
        self.servers: list[Server] = []
        self.workers: list[Worker] = []
        self.machines: list[Machine] = []
        self.acks = Acknowledgements()
        self.effects = Effects(root / "effects")
        self.reopened: Counter[str] = Counter()
        self._environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith("PENSTOCK_")},
            "LEDGER": str(self.effects.path),
            "PYTHONPATH": "",
            **(environ or {}),
        }
        self._clients: list[Client] = []
        self._key: str | None = None
        self._gates: list[Gate] = []

    # ── programs ────────────────────────────────────────────────────────────────────────────────────────────────────

    def start_server(
        self,
        name: str = "",
        *,
        options: Sequence[str] = (),
        before: Sequence[str] = (),
        environ: Mapping[str, str] | None = None,
        host: str = "127.0.0.1",
        wait: bool = True,
    ) -> Server:
        """Start a server with a home of its own; ``before`` goes before its command line."""
        name = name or f"server-{len(self.servers) + 1}"
        server = Server(self, name, options=options, before=before, environ=environ or {}, host=host)
        self.servers.append(server)
        server.start()
        if wait:
            server.until_ready()
        return server

    def start_worker(
        self,
        name: str = "",
        *,
        server: Server | None = None,
        url: str | None = None,
        at_home: bool = False,
        pool: str = "default",
        options: Sequence[str] = (),
        before: Sequence[str] = (),
        environ: Mapping[str, str] | None = None,
        wait: bool = True,
    ) -> Worker:
        """Start a worker with a home of its own, as on another machine; or ``at_home``, that of the server."""
        server = server or self.servers[0]
        name = name or f"worker-{len(self.workers) + 1}"
        home = server.home if at_home else self.root / name
        given = dict(environ or {})
        if not at_home:
            given["PENSTOCK_API_KEY"] = self.key
        worker = Worker(self, name, home, url or server.url, pool, options=options, before=before, environ=given)
        self.workers.append(worker)
        worker.start()
        if wait:
            worker.until_started()
        return worker

    def machine(self, name: str, *, url: str | None = None, environ: Mapping[str, str] | None = None) -> Machine:
        """A home of its own, as on another machine, whose settings name the server."""
        given = {"PENSTOCK_API_URL": url or self.servers[0].url, "PENSTOCK_API_KEY": self.key, **(environ or {})}
        made = Machine(self, name, given)
        self.machines.append(made)
        return made

    def environment(self, home: Path, more: Mapping[str, str]) -> dict[str, str]:
        """What programs of Penstock find around them."""
        return {**self._environ, "PENSTOCK_HOME": str(home), **more}

    def gate(self) -> Gate:
        """A new gate, which is closed."""
        gate = Gate(self.root / f"gate-{len(self._gates)}")
        self._gates.append(gate)
        return gate

    # ── people ──────────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def key(self) -> str:
        """A key to everything, known in the whole lab, also to servers whose home has another token."""
        if self._key is not None:
            return self._key
        server = self.servers[0]
        with Client(self, server.url, home_server.token(server.home)) as owner:
            made = owner.ask(api_keys.CreateApiKey(name="lab", permissions=tuple(EVERYTHING)))
        self._key = made.key
        return made.key

    def client(self, url: str | None = None, *, patience_seconds: float = 60) -> Client:
        """Somebody who asks, and keeps what was acknowledged."""
        made = Client(self, url or self.servers[0].url, self.key, patience_seconds=patience_seconds)
        self._clients.append(made)
        return made

    def deploy(
        self, flow: str, name: str = "lab", *, file: str = "lab_flows.py", client: Client | None = None, **spec: Any
    ) -> str:
        """Deploy a flow of the lab's; returns the deployment's full name."""
        request = of_deployments.ApplyDeployment(
            spec=DeploymentSpec(
                name=name,
                flow_name=flow.replace("_", "-"),
                entrypoint=f"{file}:{flow}",
                code=LocalFolder(str(FLOWS)),
                **spec,
            )
        )
        return (client or self.client()).ask(request).deployment.full_name

    def make_pool(self, name: str) -> str:
        """A work pool, so that scenarios on one server leave each other's workers alone."""
        self.client().ask(of_pools.CreateWorkPool(name=name))
        return name

    # ── the oracle ──────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def settings(self) -> settings.Settings:
        """Those with which the lab's store is opened."""
        return settings.load(self._settings_of_store)

    @property
    def _settings_of_store(self) -> dict[str, str]:
        more = {} if self.database_url is None else {"PENSTOCK_DATABASE_URL": self.database_url}
        return {"PENSTOCK_HOME": str(self.servers[0].home), **more}

    def fsck(self) -> list[str]:
        """What `penstock fsck` finds wrong."""
        environ = {**self._environ, **self._settings_of_store}
        line = [*PENSTOCK, "fsck", "--output", "json"]
        done = subprocess.run(line, env=environ, capture_output=True, text=True, check=False, timeout=300)
        return problems_of_fsck(done.returncode, done.stdout if done.stdout.strip() else done.stderr)

    def check(self, *, may_go_on: Collection[str] = (), secrets: Sequence[str] = ()) -> Findings:
        """Fail with all that is wrong, if anything is. To be called when nothing happens any more."""
        facts = Facts(
            accepted=self.acks.created,
            effects=self.effects.all(),
            secrets=[*secrets, *([self._key] if self._key else [])],
            folders=sorted({each.home for each in (*self.servers, *self.workers, *self.machines)}),
            reopened=self.reopened,
            may_go_on=frozenset(may_go_on),
        )
        found = examine(self.settings, facts)
        wrong = [*found.wrong, *self.fsck()]
        assert not wrong, "\n".join([f"{len(wrong)} things are wrong:", *wrong[:50]])
        return found

    # ── its end ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def close(self) -> None:
        """End all programs."""
        for client in self._clients:
            client.close()
        for gate in self._gates:
            gate.open()
        for machine in self.machines:
            machine.close()
        for program in (*self.workers, *self.servers):
            program.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            by_hand = [each for machine in self.machines for each in machine.programs]
            for program in (*self.servers, *self.workers, *by_hand):
                print(f"── {program.name} ──", program.log.read_text("utf-8", "replace")[-4000:], sep="\n")
        self.close()


class Server(Program):
    """``penstock server start``, at the same port each time."""

    def __init__(
        self,
        lab: Lab,
        name: str,
        *,
        options: Sequence[str],
        before: Sequence[str],
        environ: Mapping[str, str],
        host: str,
    ) -> None:
        self.lab = lab
        self.home = lab.root / name
        self.host = host
        self.port = free_port()
        self.url = f"http://{host}:{self.port}/api"
        if lab.database_url is not None:
            environ = {"PENSTOCK_DATABASE_URL": lab.database_url, **environ}
        line = [*before, *PENSTOCK, "server", "start", "--host", host, "--port", str(self.port), *options]
        super().__init__(name, line, lab.environment(self.home, environ), lab.root / f"{name}.log")

    def until_ready(self, *, seconds: float = 60) -> None:
        """Return once it answers, and its store does. Fails when it ends instead."""

        def probe() -> bool:
            assert self.is_running, f"{self.name} has ended: {self.said()[-3000:]}"
            return call_inside(self.lab.inside, is_ready, self.host, self.port)

        until(probe, f"that {self.name} is ready", seconds=seconds, pause_seconds=0.02)


class Worker(Program):
    """``penstock worker start``."""

    def __init__(
        self,
        lab: Lab,
        name: str,
        home: Path,
        url: str,
        pool: str,
        *,
        options: Sequence[str],
        before: Sequence[str],
        environ: Mapping[str, str],
    ) -> None:
        self.home = home
        line = [*before, *PENSTOCK, "worker", "start", "--pool", pool, "--name", name, *options]
        environ = lab.environment(home, {"PENSTOCK_API_URL": url, **environ})
        super().__init__(name, line, environ, lab.root / f"{name}.log")

    def until_started(self, *, seconds: float = 60) -> None:
        """Return once it looks for work."""
        self.until_it_says("started! Looking for work", seconds=seconds)


class Machine:
    """A machine on which somebody starts runs by hand."""

    def __init__(self, lab: Lab, name: str, environ: Mapping[str, str]) -> None:
        self.lab = lab
        self.name = name
        self.home = lab.root / name
        self.environ = lab.environment(self.home, environ)
        self.programs: list[Program] = []

    def start(self, flow: str, *, file: str = "lab_flows.py", **parameters: object) -> Program:
        """``penstock run``, which goes on by itself."""
        given = [word for name, value in parameters.items() for word in ("-p", f"{name}={value}")]
        line = [*PENSTOCK, "run", f"{FLOWS / file}:{flow}", *given]
        name = f"{self.name}-{len(self.programs) + 1}"
        program = Program(name, line, self.environ, self.lab.root / f"{name}.log")
        self.programs.append(program)
        program.start()
        return program

    def call(self, *line: str) -> subprocess.CompletedProcess[str]:
        """A command, until it has ended."""
        return subprocess.run(
            [*PENSTOCK, *line], env=self.environ, capture_output=True, text=True, check=False, timeout=120
        )

    def shippers(self) -> list[int]:
        """The processes that send what this home holds."""
        return shippers.of(self.home)

    def signal_shippers(self, number: signal.Signals) -> None:
        shippers.tell(self.home, number)

    def close(self) -> None:
        for program in self.programs:
            program.close()
        shippers.end(self.home)


class Client:
    """What somebody's program does: it asks, is patient, and keeps what it was told."""

    def __init__(self, lab: Lab, url: str, key: str | None, *, patience_seconds: float = 60) -> None:
        self.lab = lab
        self._server = HttpOrchestrator(url, key, clock.SYSTEM, patience_seconds=patience_seconds)

    def ask(self, request: Request[R]) -> R:
        """Ask anything."""
        return call_inside(self.lab.inside, self._server.ask, request)

    def create(self, deployment: str, **given: Any) -> str:
        """A run; its id, which is acknowledged by now."""
        try:
            run_id = self.ask(of_deployments.RunDeployment(deployment=deployment, **given)).id
        except errors.PenstockError as error:
            self.lab.acks.fail(f"create: {error}")
            raise
        self.lab.acks.create(run_id)
        return run_id

    def cancel(self, run_id: str) -> FlowRun:
        cancelled = self.ask(of_runs.CancelFlowRun(run=run_id, by="lab"))
        self.lab.acks.cancel(run_id)
        return cancelled

    def run(self, run_id: str) -> FlowRun:
        return self.ask(of_runs.GetFlowRun(run=run_id))

    def events(self, run_id: str) -> list[str]:
        return [each.event for each in self.ask(of_events.ListEvents(run=run_id, limit=200)).items]

    def noticed_at(self, run_id: str, event: str) -> int:
        """When that happened to the run first, in microseconds since 1970."""
        found = self.ask(of_events.ListEvents(run=run_id, name=event, limit=200)).items
        return found[0].at

    def until_state(self, run_id: str, *names: str, seconds: float = 60) -> FlowRun:
        """The run, once it is in one of these states."""
        seen: list[FlowRun] = []

        def probe() -> bool:
            seen[:] = [self.run(run_id)]
            return seen[0].state_name in names

        try:
            until(probe, f"that {run_id} is {' or '.join(names)}", seconds=seconds, pause_seconds=0.03)
        except BaseException:
            print(seen)
            raise
        return seen[0]

    def until_ended(self, run_ids: Sequence[str], *, seconds: float = 60) -> dict[str, FlowRun]:
        """These runs, once all have ended."""
        ended: dict[str, FlowRun] = {}

        def probe() -> bool:
            for run_id in run_ids:
                if run_id not in ended:
                    run = self.run(run_id)
                    if not run.is_final:
                        return False
                    ended[run_id] = run
            return True

        until(probe, f"the end of {len(run_ids)} runs", seconds=seconds, pause_seconds=0.03)
        return ended

    def all_runs(self, deployment: str | None = None) -> list[FlowRun]:
        """All runs that there are."""
        found: list[FlowRun] = []
        after: str | None = None
        while True:
            page = self.ask(of_runs.ListFlowRuns(deployment=deployment, limit=200, after=after))
            found += page.items
            after = page.next
            if after is None:
                return found

    def is_idle(self) -> bool:
        """Whether there is no run that has not ended."""
        return not self.ask(of_runs.ListFlowRuns(state=UNFINISHED, limit=1)).items

    def until_idle(self, *, seconds: float) -> None:
        """Return once there is no run that has not ended."""
        until(self.is_idle, "the end of all runs", seconds=seconds, pause_seconds=0.2)

    def close(self) -> None:
        call_inside(self.lab.inside, self._server.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def call_inside(host: Host | None, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call it, in the network of a host if there is one."""
    return work(*args, **kwargs) if host is None else host.call(work, *args, **kwargs)


def is_ready(host: str, port: int) -> bool:
    """Whether a server answers, and its store too."""
    connection = http.client.HTTPConnection(host, port, timeout=5)
    try:
        connection.request("GET", "/api/ready")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
