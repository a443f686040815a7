"""A server from its start to its end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import NamedTuple

import uvicorn

from penstock import errors, processes
from penstock.api import app
from penstock.api.context import Context
from penstock.client import home_server
from penstock.client.home_server import LOOPBACK, HomeServer, Keeping
from penstock.clock import Clock
from penstock.server.children import Workers
from penstock.server.listening import listening
from penstock.server.memory import give_back_large_blocks
from penstock.server.protocol import PatientProtocol
from penstock.services.canceller import Canceller
from penstock.services.loop import Loop, Service, running
from penstock.services.rescuer import Rescuer
from penstock.services.retention import Retention
from penstock.services.scheduler import Scheduler
from penstock.services.slot_keeper import SlotKeeper
from penstock.services.tailer import Tailer
from penstock.settings import Settings
from penstock.store.interface import Store, Transaction
from penstock.store.opening import open_store
from penstock.version import __version__

GRACE_SECONDS = 5
"""How long requests under way may take when the server is to end."""

MAX_CONNECTIONS = 4000
"""A worker has a few, and a browser one."""


SERVICES = frozenset({"tailer", "scheduler", "rescuer", "canceller", "retention", "slot keeper"})


class Options(NamedTuple):
    """How a server is to be started."""

    host: str = "127.0.0.1"
    port: int = 4200
    allowed_hosts: tuple[str, ...] = ()
    behind_proxy: bool = False
    tls_cert: Path | None = None
    tls_key: Path | None = None
    has_pages: bool = True
    """Whether browsers are let in."""
    services: frozenset[str] = SERVICES
    """What it does by itself."""
    marks_late: bool = True
    """Whether runs that no worker claims are marked as Late."""
    workers: int = 0
    """So many workers are started with it, and ended with it."""


class Started(NamedTuple):
    """What there is to tell of a server that listens."""

    url: str
    api_url: str
    elsewhere: str
    """The API's address for other machines; empty if none of them is answered."""
    link: str
    """It lets a browser in, once, within a minute; empty if none is let in."""
    store: str
    where: str
    home: Path


def serve(settings: Settings, clock: Clock, options: Options, *, started: Callable[[Started], None]) -> None:
    """Serve until a signal says to stop. ``started`` is called once it listens.

    Raises `UsageError` for an address that would let in anybody, `StoreBusy` when a server keeps this home already.
    """
    check_address(options)
    processes.allow_open_files(2 * MAX_CONNECTIONS)
    give_back_large_blocks()
    with (
        Keeping(settings.home, clock) as keeping,
        listening(options.host, options.port) as sockets,
        _store(settings, clock) as store,
        running(_services(settings, clock, options, store), store, clock) as loops,
        asyncio.Runner(loop_factory=_new_loop) as runner,
    ):
        runner.run(_serve(settings, clock, options, store, keeping, sockets, started, loops))


def check_address(options: Options) -> None:
    """Raise `UsageError` for an address at which others could listen in or come in."""
    if options.host in LOOPBACK or options.behind_proxy or options.tls_cert is not None:
        return
    raise errors.UsageError(
        f"Others could read along at this address, as nothing is encrypted: `{options.host}`",
        hint="give `--tls-cert` and `--tls-key`, or `--behind-proxy` if a proxy encrypts; "
        "without `--host`, only this machine comes in",
    )


async def _serve(
    settings: Settings,
    clock: Clock,
    options: Options,
    store: Store,
    keeping: Keeping,
    sockets: Sequence[socket.socket],
    started: Callable[[Started], None],
    loops: list[Loop],
) -> None:
    context = Context(
        store,
        settings,
        clock,
        loops=loops,
        token=home_server.provided_token(settings.home),
        is_encrypted=options.behind_proxy or options.tls_cert is not None,
    )
    url = _url(options, sockets[0])
    workers = Workers(options.workers, f"{url}/api", settings.home, clock)
    server = _Uvicorn(_config(context, options), context, workers)
    kind = "sqlite" if settings.postgres_url is None else "postgres"

    def tell() -> None:
        keeping.announce(
            HomeServer(
                api_url=f"{url}/api",
                pid=os.getpid(),
                started_at=clock.now(),
                home_id=_home_id(store, clock),
                store=kind,
                version=__version__,
            )
        )
        link = f"{url}/login?code={context.sessions.new_code()}" if options.has_pages else ""
        name = {"sqlite": "SQLite", "postgres": "Postgres"}[kind]
        elsewhere = _elsewhere(options, sockets[0])
        started(Started(url, f"{url}/api", elsewhere, link, name, settings.where, settings.home))
        workers.start()

    server.when_listening = tell
    try:
        await server.serve(list(sockets))
    finally:
        await asyncio.get_running_loop().run_in_executor(None, workers.kill)
        context.close()


def _config(context: Context, options: Options) -> uvicorn.Config:
    return uvicorn.Config(
        app.build(context, hosts=_names(options), has_pages=options.has_pages),
        http=PatientProtocol,
        lifespan="off",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=GRACE_SECONDS,
        limit_concurrency=MAX_CONNECTIONS,
        ssl_certfile=options.tls_cert,
        ssl_keyfile=options.tls_key,
    )


class _Uvicorn(uvicorn.Server):
    """uvicorn, with a word when it listens; and signals that end first the workers, then who waits, then the rest."""

    def __init__(self, config: uvicorn.Config, context: Context, workers: Workers) -> None:
        super().__init__(config)
        self.when_listening: Callable[[], None] = lambda: None
        self._context = context
        self._workers = workers
        self._stopping: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        await asyncio.get_running_loop().run_in_executor(None, self.when_listening)

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.stop)
        try:
            yield
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)

    def stop(self) -> None:
        """Stop in good order; at once when it is said a second time."""
        if self._stopping is None:
            self._stopping = asyncio.get_running_loop().create_task(self._stop())
            return
        self.force_exit = self.should_exit = True
        self._context.wakes.stop()

    async def _stop(self) -> None:
        # Workers tell the server what becomes of their runs, so they end before it does.
        await asyncio.get_running_loop().run_in_executor(None, self._workers.stop)
        self.should_exit = True
        self._context.wakes.stop()


@contextlib.contextmanager
def _store(settings: Settings, clock: Clock) -> Generator[Store]:
    store = open_store(settings, clock, write=True, wait=False, upgrade=True, purpose="server")
    try:
        store.listen()
        yield store
    finally:
        store.close()


def _services(settings: Settings, clock: Clock, options: Options, store: Store) -> list[Service]:
    """What this server does by itself."""
    all_of_them: list[Service] = [
        Tailer(store, settings, clock),
        Scheduler(store),
        Rescuer(store, marks_late=options.marks_late),
        Canceller(store, settings, clock),
        Retention(store, settings, clock),
        SlotKeeper(store, settings),
    ]
    return [each for each in all_of_them if each.name in options.services]


def _names(options: Options) -> set[str]:
    """The names by which the server may be called."""
    return {*LOOPBACK, options.host, *options.allowed_hosts} - {"0.0.0.0", "::"}  # noqa: S104  these are nobody's name


def _url(options: Options, listening: socket.socket) -> str:
    scheme = "https" if options.tls_cert is not None else "http"
    # Who listens everywhere is found on this machine, too; others know a name.
    host = {"localhost": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(options.host, options.host)  # noqa: S104  a name
    return f"{scheme}://{_bracketed(host)}:{listening.getsockname()[1]}"


def _elsewhere(options: Options, listening: socket.socket) -> str:
    if options.behind_proxy:
        return "".join([f"https://{_bracketed(name)}/api" for name in options.allowed_hosts[:1]])
    names = [*options.allowed_hosts, *_names(options) - LOOPBACK]
    if options.tls_cert is None or options.host in LOOPBACK or not names:
        return ""
    return f"https://{_bracketed(names[0])}:{listening.getsockname()[1]}/api"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _home_id(store: Store, clock: Clock) -> str:
    """What tells this store from all others; made when it is first asked for."""

    def work(tx: Transaction) -> str:
        tx.lock("home_id")
        known = tx.meta.value("home_id")
        if known is None:
            known = clock.new_id()
            tx.meta.put("home_id", known)
        return known

    return store.run(work)


def _new_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop  # noqa: PLC0415  not on every system
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()
