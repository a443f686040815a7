"""A server and workers without HTTP between them: a real store, the real use cases, real processes."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
from msgspec.structs import replace

from penstock import clock, errors, settings
from penstock.client.connection import HttpServer
from penstock.client.server import Piece, Receipt, Server
from penstock.core.deployments import Code, DeploymentSpec, LocalFolder
from penstock.core.operations import Request
from penstock.core.operations import deployments as of_deployments
from penstock.core.operations import flow_runs as of_runs
from penstock.core.operations.work import Registered
from penstock.core.runs import FlowRun
from penstock.orchestration import handlers
from penstock.orchestration.fold import JournalKey, as_piece, fold
from penstock.store.sqlite import SqliteStore
from penstock.worker.worker import Teller, Wanted, Worker

R = TypeVar("R")
T = TypeVar("T")

DEADLINE = 60.0


def until(probe: Callable[[], T], what: str = "what was waited for") -> T:
    """Ask again and again until the answer is one. Fails when that takes too long."""
    ends_at = clock.SYSTEM.elapsed() + DEADLINE
    while not (answer := probe()):
        if clock.SYSTEM.elapsed() > ends_at:
            pytest.fail(f"{what} did not happen")
        threading.Event().wait(0.005)
    return answer


class StoreServer:
    """`client.server.Server` over a store: what HTTP would carry is a call. Tests may have it away for a while."""

    url = "http://server.test/api"

    def __init__(self, store: SqliteStore, results: Path) -> None:
        self.store = store
        self.results = results
        self.is_away = False
        self.is_deaf: set[type[Request[Any]]] = set()
        """Requests that it does not answer."""
        self.loses_answer_to: set[type[Request[Any]]] = set()
        """Requests that it carries out, and whose answer is lost, the next time that there is one."""
        self.heartbeat_seconds = 5.0
        self.lease_seconds = 30.0
        self.asked: list[Request[Any]] = []
        self.answers: list[tuple[Request[Any], Any]] = []
        self.refused: list[Piece] = []
        self._kept: dict[str | None, Any] = {}
        self._woken = threading.Condition()
        store.subscribe(lambda _: self._wake())

    def _wake(self) -> None:
        with self._woken:
            self._woken.notify_all()

    def _refuse_if_away(self) -> None:
        if self.is_away:
            raise errors.ServerUnreachable("The server cannot be reached (away): `http://server.test/api`")

    def ask(self, request: Request[R], *, key: str | None = None) -> R:
        self._refuse_if_away()
        if type(request) in self.is_deaf:
            raise errors.ServerUnreachable("The server does not answer that: `http://server.test/api`")
        if key in self._kept:
            return self._kept[key]
        self.asked.append(request)
        ends_at = clock.SYSTEM.elapsed() + getattr(request, "wait_seconds", 0)
        while True:
            answer: Any = handlers.answer(self.store, request)
            self._refuse_if_away()
            if isinstance(answer, Registered):
                answer = replace(answer, heartbeat_seconds=self.heartbeat_seconds, lease_seconds=self.lease_seconds)
            if answer or request.topic() is None or clock.SYSTEM.elapsed() > ends_at:
                self.answers.append((request, answer))
                if key is not None and answer:
                    self._kept[key] = answer
                if type(request) in self.loses_answer_to:
                    self.loses_answer_to.remove(type(request))
                    raise errors.ServerUnreachable("The connection broke: `http://server.test/api`")
                return answer
            with self._woken:
                self._woken.wait(0.05)
            self._refuse_if_away()

    def send_journal(self, pieces: list[Piece]) -> list[Receipt]:
        self._refuse_if_away()
        receipts: list[Receipt] = []
        for piece in pieces:
            key = JournalKey(piece.run_id, piece.attempt, piece.writer)
            found = as_piece(piece.data, piece.start)
            folded = self.store.run(lambda tx, key=key, found=found: fold(tx, key, found))
            receipts.append(Receipt(folded.outcome.value, folded.end))
            if folded.outcome.value == "superseded":
                self.refused.append(piece)
        return receipts

    def journal(self, run_id: str) -> list[Piece]:
        self._refuse_if_away()
        with self.store.reading() as tx:
            cursors = tx.journals.cursors(run_id)
            return [
                Piece(run_id, cursor.attempt, cursor.writer, segment.start, tx.journals.frames(segment))
                for cursor in sorted(cursors, key=lambda each: (each.attempt, each.writer != "main"))
                for segment in tx.journals.segments(run_id, attempt=cursor.attempt, writer=cursor.writer)
            ]

    def put_result(self, location: str, path: Path) -> None:
        self._refuse_if_away()
        (self.results / location).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, self.results / location)

    def get_result(self, location: str, path: Path) -> None:
        if not (self.results / location).exists():
            raise errors.MissingResult(f"There is no result: `{location}`")
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(self.results / location, path)

    def get_bundle(self, digest: str, path: Path) -> None:
        raise errors.NotFound(f"There is no bundle: `{digest}`")

    def close(self) -> None:
        return

    def end(self) -> None:
        return


class Running:
    """A worker in this process, which serves the default pool."""

    def __init__(
        self,
        server: Server,
        chosen: settings.Settings,
        environ: dict[str, str],
        *,
        pool: str = "default",
        **wanted: Any,
    ) -> None:
        self.said: list[str] = []
        self.warned: list[str] = []
        self.shown: list[str] = []
        self.trouble: list[Exception] = []
        self.started = threading.Event()
        teller = Teller(self._say, self.shown.append, self.started.set)
        plan = Wanted(pool, "w", **wanted)
        self.worker = Worker(plan, server, chosen, time=clock.SYSTEM, teller=teller, environ=environ)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _say(self, level: str, _: str, text: str) -> None:
        (self.warned if level == "WARNING" else self.said).append(text)

    def _run(self) -> None:
        try:
            self.worker.run()
        except Exception as error:  # noqa: BLE001  looked at by the test
            self.trouble.append(error)

    def stop(self) -> None:
        self.worker.stop()

    def join(self) -> None:
        self._thread.join(DEADLINE)
        if self._thread.is_alive():
            pytest.fail("the worker did not stop")


class Factory:
    """A server with a store, flows to deploy, and workers, each with a home of its own."""

    def __init__(self, root: Path, environ: dict[str, str]) -> None:
        self.root = root
        self.code = root / "code"
        self.code.mkdir()
        self.store = SqliteStore.in_memory()
        self.server = StoreServer(self.store, root / "server-results")
        self.environ = environ
        self.workers: list[Running] = []

    def ask(self, request: Request[R]) -> R:
        return handlers.answer(self.store, request)

    def deploy(self, source: str, *, name: str = "d", flow: str = "main", code: Code | None = None, **spec: Any) -> str:
        """Write a file of flows and deploy one of it; returns the deployment's full name."""
        (self.code / "flows.py").write_text(source)
        request = of_deployments.ApplyDeployment(
            spec=DeploymentSpec(
                name=name,
                flow_name=flow,
                entrypoint=spec.pop("entrypoint", f"flows.py:{flow}"),
                code=code or LocalFolder(str(self.code)),
                **spec,
            )
        )
        self.ask(request)
        return f"{flow}/{name}"

    def create(self, deployment: str, **given: Any) -> str:
        """A run of a deployment; returns its id."""
        return self.ask(of_deployments.RunDeployment(deployment=deployment, **given)).id

    def work(self, home: str = "w", *, url: str | None = None, key: str = "", **wanted: Any) -> Running:
        """Start a worker; with a URL, one that asks over HTTP."""
        environ = {**self.environ, "PENSTOCK_HOME": str(self.root / home)}
        if url is not None:
            environ |= {"PENSTOCK_API_URL": url, "PENSTOCK_API_KEY": key}
        chosen = settings.load(environ)
        server = self.server if url is None else HttpServer(chosen, clock.SYSTEM)
        running = Running(server, chosen, environ, **wanted)
        self.workers.append(running)
        return running

    def run(self, run_id: str) -> FlowRun:
        return self.ask(of_runs.GetFlowRun(run=run_id))

    def ended(self, run_id: str) -> FlowRun:
        """The run once it has ended."""
        until(lambda: self.run(run_id).is_final, "the end of the run")
        return self.run(run_id)

    def stamps(self, name: str = "stamps") -> list[str]:
        """The lines that flows have written into a file of this name, beside their code."""
        path = self.code / name
        return path.read_text().splitlines() if path.exists() else []

    def state(self, run_id: str) -> str:
        return self.run(run_id).state_name

    def logs(self, run_id: str) -> list[str]:
        with self.store.reading() as tx:
            return [row.message for row in tx.logs.page([run_id], limit=1000)]

    def stop_workers(self) -> None:
        for running in self.workers:
            running.stop()
        for running in self.workers:
            running.join()

    def close(self) -> None:
        self.stop_workers()
        self.store.close()
