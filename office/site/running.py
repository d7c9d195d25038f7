"""The page in the running office: its people, what they watch, and its own listener."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator

import uvicorn
from starlette.types import ASGIApp

from office.archive import Archive
from office.keyd_client import KeydKeys
from office.passes import Passes
from office.site.app import Site, application
from office.site.listener import context, settings
from office.watching import Plays

Listen = Callable[[str, int], contextlib.AbstractContextManager[socket.socket]]


def site(archive: Archive) -> Site:
    """The page over an archive: who may watch is the viewing flow's affair, the keys are keyd's."""
    keyd = archive.config.keyd
    keys = KeydKeys(keyd.socket if keyd else None, archive.database, archive.log)
    plays = Plays(archive, Passes(archive.database, archive.viewing), keys)
    return application(archive, archive.gate, archive.gate.refused, plays=plays)


class Page:
    """Its server, on a socket that listens."""

    def __init__(self, archive: Archive, listener: socket.socket, server: Callable[[uvicorn.Config], uvicorn.Server],
                 grace_seconds: int) -> None:  # fmt: skip
        """Raises `CredentialError`."""
        config = archive.config
        if config.page_certificate is None or config.page_key is None:
            raise ValueError("the configuration has seen to it that both are there")
        tls = context(config.page_certificate, config.page_key)
        self._listener = listener
        self._site = site(archive)
        app: ASGIApp = self._site
        self._server = server(settings(app, tls, grace_seconds))

    @property
    def place(self) -> str:
        """Where it listens."""
        host, port = self._listener.getsockname()[:2]
        return f"{host}:{port}"

    async def serve(self) -> None:
        """Until it is stopped."""
        await self._server.serve(sockets=[self._listener])

    def stop(self) -> None:
        """End what is watched, and the server."""
        self._site.stop()
        self._server.should_exit = True


@contextlib.contextmanager
def listening(archive: Archive, listen: Listen, server: Callable[[uvicorn.Config], uvicorn.Server],
              grace_seconds: int) -> Iterator[Page | None]:  # fmt: skip
    """The page, if the configuration has one. Raises `OfficeError` ("port-busy"), `CredentialError`."""
    config = archive.config
    if config.page_address is None:
        yield None
        return
    with listen(config.page_address, config.page_port) as listener:
        yield Page(archive, listener, server, grace_seconds)
