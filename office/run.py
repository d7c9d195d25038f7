"""`bodycam office run`: one process, one broker child, until SIGTERM."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import resource
import socket
import ssl
from collections.abc import Callable, Iterator

import uvicorn
import uvloop

from evidence.standing import Standing
from office.alone import alone
from office.archive import Archive
from office.broker import Broker
from office.caretaker import Caretaker
from office.config import OfficeConfig
from office.desk import Desk
from office.errors import OfficeError
from office.events import Subscriber
from office.ingest import Ingest
from office.notify import Notifier
from office.papers import Papers
from office.peer import protocol
from office.quarantine import Quarantine
from office.site.running import Page, listening
from office.stamps import Stamper
from office.tus import Upload
from office.web import Pages
from runtime import tls
from runtime.service import Service

_QUARANTINE = "/v1/quarantine/uploads"
_BACKLOG = 128
_DESCRIPTORS = 65_536
_GRACE_SECONDS = 10
_STOP_POLL_SECONDS = 0.1


def run(config: OfficeConfig, service: Service) -> None:
    """Serve until told to stop. Raises `OfficeError`, `CredentialError`, `PeerError`; nothing is left running."""
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    context = tls.server_context(config.certificate, config.key, config.roots)
    _allow_connections()
    with (
        alone(config.data),
        contextlib.closing(Archive(config)) as archive,
        _listen(config.address, config.port) as listener,
        listening(archive, _listen, _Server, _GRACE_SECONDS) as page,
        # It reads TLS records in C; asyncio does so one by one in Python, which costs more than to decrypt them.
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        runner.run(_Office(config, service, archive, page).serve(listener, context))


class _Office:
    def __init__(self, config: OfficeConfig, service: Service, archive: Archive, page: Page | None) -> None:
        self._page = page
        self._config = config
        self._service = service
        self._archive = archive
        self._broker = Broker(config, archive.office)
        self._desk = Desk(archive)
        self._subscriber = Subscriber(config, archive, self._desk)
        self._ingest = Ingest(archive)
        self._register = archive.register
        self._quarantine = Quarantine(archive)
        self._quarantined = Ingest(self._quarantine)
        self._stamper = Stamper(archive.stamps, config.stamp_seconds)
        self._notifier = Notifier(archive, config.notify) if config.notify else None
        self._caretaker = Caretaker(archive)

    async def serve(self, listener: socket.socket, context: ssl.SSLContext) -> None:
        await self._broker.start(self._lists())
        try:
            await asyncio.to_thread(self._ingest.recover)
            await asyncio.to_thread(self._quarantined.recover)
            await asyncio.to_thread(self._archive.disposals.recover)
            self._subscriber.start()
            self._desk.start(self._subscriber)
            self._stamper.start()
            if self._notifier:
                self._notifier.start()
            self._caretaker.start()
            try:
                await self._serve_pages(listener, context)
            finally:
                self._quarantine.close()
                if self._notifier:
                    await asyncio.to_thread(self._notifier.stop)
                await asyncio.to_thread(self._caretaker.stop)
                await asyncio.to_thread(self._stamper.stop)
                await asyncio.to_thread(self._desk.stop)
                await asyncio.to_thread(self._subscriber.stop)
        finally:
            await self._broker.stop()

    async def _serve_pages(self, listener: socket.socket, context: ssl.SSLContext) -> None:
        archive, stall = self._archive, self._config.stall_seconds
        pages = Pages(self._ingest, archive.office, stall, self._alive, self._admit)
        apart = Pages(self._quarantined, archive.office, stall, self._alive, self._quarantine.admit, _QUARANTINE)
        papers = Papers(self._register, self._quarantine, lambda: archive.revoked.now, archive.log)
        server = _Server(
            uvicorn.Config(
                pages.application(*apart.uploads(), *papers.routes()),
                http=protocol(lambda: archive.revoked.now),
                ws="none",
                lifespan="off",
                loop="none",
                log_config=None,
                access_log=False,
                server_header=False,
                ssl_context_factory=lambda *_: context,
                timeout_graceful_shutdown=_GRACE_SECONDS,
            )
        )
        server.on_started = lambda: self._say_ready(listener)
        serving = [asyncio.create_task(server.serve(sockets=[listener]))]
        if self._page is not None:
            serving.append(asyncio.create_task(self._page.serve()))
        await self._until_stopped(serving)
        server.should_exit = True
        if self._page is not None:
            await asyncio.to_thread(self._page.stop)
        await asyncio.gather(*serving)

    def _say_ready(self, listener: socket.socket) -> None:
        host, port = listener.getsockname()[:2]
        log_key = self._archive.log.verifier_key
        self._service.ready(
            office=self._archive.office, https=f"{host}:{port}", broker_pid=self._broker.pid, log=log_key,
            page=self._page.place if self._page else None,
        )  # fmt: skip

    async def _until_stopped(self, serving: list[asyncio.Task[None]]) -> None:
        pause = self._service.watchdog_seconds or 1.0
        while not self._service.stopping.is_set() and not any(one.done() for one in serving):
            self._service.alive()
            self._broker.heed(self._lists())
            await asyncio.to_thread(self._service.stopping.wait, min(pause, 1.0))

    def _admit(self, upload: Upload) -> None:
        """Cameras that are lost or unassigned hand in to quarantine. Raises `OfficeError`."""
        if (standing := self._register.marked(upload.device)) is not Standing.GOOD:
            raise OfficeError("quarantine", f"{upload.device} is {standing}: it hands in to quarantine", 409)

    def _lists(self) -> bytes:
        """For the broker, which looks at the links' own certificates."""
        issuers = self._archive.signer_chain[1:]
        return b"".join(map(self._archive.revoked.now.lists_for, issuers))

    def _alive(self) -> dict[str, bool]:
        return {
            "broker": self._broker.pid is not None,
            "events": self._subscriber.connected,
            "stamps": not self._stamper.failing,
            "store": self._caretaker.healthy,
        }


class _Server(uvicorn.Server):
    on_started: Callable[[], None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept connections, then say so."""
        await super().startup(sockets)
        if self.on_started is not None:
            self.on_started()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the service's: its broker child must end too."""
        yield


def _allow_connections() -> None:
    """Ask for file descriptors: each stranger may hold one until the handshake is due, and a dock needs one, too."""
    now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _DESCRIPTORS if most == resource.RLIM_INFINITY else min(_DESCRIPTORS, most)
    if now != resource.RLIM_INFINITY and now < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


@contextlib.contextmanager
def _listen(address: str, port: int) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((address, port))
        except OSError as error:
            where = f"{address}:{port}"
            raise OfficeError("port-busy", f"port: {where} cannot be used ({error.strerror})") from error
        listener.listen(_BACKLOG)
        yield listener
