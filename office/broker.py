"""The message broker: the distribution's `mosquitto` as a child, with a generated configuration.

Mutual TLS 1.3, the certificate's common name as user name, and two access rules: a dock or camera reads and writes
below its own name, and reads what is told to it; the office everywhere. A dead broker is started again, ever more
slowly; it ends with its parent, even if that is killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import socket
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from office.config import OfficeConfig
from office.errors import OfficeError
from runtime.disk import make_folder

_log = logging.getLogger(__name__)
_START_SECONDS = 10.0
_RELEASE_SECONDS = 3.0  # a predecessor whose parent was killed takes a moment to end
_STOP_SECONDS = 10.0
_POLL_SECONDS = 0.05
_BACK_OFF_SECONDS = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
_STEADY_SECONDS = 60.0
_LAST_WORDS = 5
_LISTS = "revoked.crl"


def settings(config: OfficeConfig, folder: Path, *, as_root: bool, lists: bool = False) -> str:
    """The broker's configuration file. `lists`: revocation lists lie in `folder`."""
    lines = [
        f"listener {config.broker_port} {config.broker_address}",
        f"cafile {config.roots}",
        f"certfile {config.certificate}",
        f"keyfile {config.key}",
        "tls_version tlsv1.3",
        "require_certificate true",
        "use_identity_as_username true",
        "use_username_as_clientid true",  # or one dock could take another's session, or the office's, by its name
        "allow_anonymous false",
        f"acl_file {folder / 'acl'}",
        "persistence true",
        f"persistence_location {folder}/",
        "autosave_interval 30",
        "persistent_client_expiration 30d",
        "max_packet_size 1048576",
        "log_dest stderr",
        "log_type error",
        "log_type warning",
        "connection_messages false",
    ]
    if lists:
        lines.append(f"crlfile {folder / _LISTS}")
    if as_root:
        # Otherwise it becomes user `mosquitto`, who can read neither the link key nor this folder, and should not.
        lines.append("user root")
    return "\n".join(lines) + "\n"


def access(office: str, desks: Sequence[str]) -> str:
    """The broker's access rules (docs/spec/messages.md §1). `desks`: who else of the office may read and command."""
    lines = [f"user office/{office}", "topic readwrite bodycam/v1/#", ""]
    for desk in desks:
        lines += [f"user desk/{desk}", "topic read bodycam/v1/#", "topic write bodycam/v1/to/dock/+/command", ""]
    # What the office tells a dock has a tree of its own, because a rule cannot take back what a wider one gave.
    lines += ["pattern readwrite bodycam/v1/%u/#", "pattern read bodycam/v1/to/%u/#", ""]
    return "\n".join(lines)


class Broker:
    """Supervises the child. Built and used in one event loop, that of the main thread."""

    def __init__(self, config: OfficeConfig, office: str) -> None:
        self._config = config
        self._office = office
        self._folder = (config.data / "broker").absolute()
        self._lists = b""
        self._words: deque[str] = deque(maxlen=_LAST_WORDS)
        self._process: asyncio.subprocess.Process | None = None
        self._watch: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        return self._process.pid if self._process and self._process.returncode is None else None

    async def start(self, lists: bytes = b"") -> None:
        """Return when it accepts connections. Raises `OfficeError`, with nothing left running. `lists`: as `heed`."""
        make_folder(self._folder)
        (self._folder / "acl").write_text(access(self._office, self._config.desks))
        (self._folder / "acl").chmod(0o600)
        self._configure(lists)
        await self._port_free()
        await self._spawn()
        self._watch = asyncio.create_task(self._keep())

    def heed(self, lists: bytes) -> None:
        """Refuse whom these revocation lists name (PEM, with one by the issuing key; or empty).

        It reads them when it begins, so it ends and is begun anew, which costs nobody a message.
        """
        if lists != self._lists and self._process is not None and self._process.returncode is None:
            _log.info("the broker begins anew, with other revocation lists")
            self._configure(lists)
            self._process.terminate()

    def _configure(self, lists: bytes) -> None:
        self._lists = lists
        (self._folder / _LISTS).write_bytes(lists)
        text = settings(self._config, self._folder, as_root=os.geteuid() == 0, lists=bool(lists))
        (self._folder / "mosquitto.conf").write_text(text)

    async def stop(self) -> None:
        """End it; it saves what it holds."""
        if self._watch:
            self._watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watch
        await self._end()

    async def _end(self) -> None:
        process = self._process
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), _STOP_SECONDS)
        except TimeoutError:
            process.kill()
            await process.wait()

    async def _spawn(self) -> None:
        self._words.clear()
        self._process = await asyncio.create_subprocess_exec(
            *_command(self._folder / "mosquitto.conf"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        words = asyncio.create_task(self._listen(self._process))
        deadline = time.monotonic() + _START_SECONDS
        try:
            # Nobody tells when another program listens, so ask.
            while not (await self._accepts() or self._process.returncode is not None or time.monotonic() > deadline):  # noqa: ASYNC110
                await asyncio.sleep(_POLL_SECONDS)
        except BaseException:
            await self._end()
            raise
        if self._process.returncode is not None:
            await words
            raise OfficeError("broker", f"mosquitto does not start: {'; '.join(self._words) or 'no reason given'}")
        if time.monotonic() >= deadline:
            await self._end()
            raise OfficeError("broker", f"mosquitto accepts no connection within {_START_SECONDS:.0f} s")

    async def _listen(self, process: asyncio.subprocess.Process) -> None:
        if process.stderr is None:
            return
        async for line in process.stderr:
            text = line.decode(errors="replace").strip().partition(": ")[2]
            self._words.append(text)
            _log.warning("broker: %s", text)

    async def _keep(self) -> None:
        failures = 0
        while self._process is not None:
            started = time.monotonic()
            status = await self._process.wait()
            failures = 0 if time.monotonic() - started > _STEADY_SECONDS else failures
            while True:
                pause = _BACK_OFF_SECONDS[min(failures, len(_BACK_OFF_SECONDS) - 1)]
                failures += 1
                _log.error("the broker died, it is started again", extra={"status": status, "pause_s": pause})
                await asyncio.sleep(pause)
                try:
                    await self._spawn()
                    break
                except OfficeError as error:
                    _log.error("%s", error)

    async def _accepts(self) -> bool:
        try:
            _, writer = await asyncio.open_connection(self._config.broker_address, self._config.broker_port)
        except OSError:
            return False
        writer.close()
        return True

    async def _port_free(self) -> None:
        deadline = time.monotonic() + _RELEASE_SECONDS
        while not _can_bind(self._config.broker_address, self._config.broker_port):
            if time.monotonic() > deadline:
                where = f"{self._config.broker_address}:{self._config.broker_port}"
                raise OfficeError("port-busy", f"broker_port: {where} is in use or not of this machine")
            await asyncio.sleep(_POLL_SECONDS)


def _command(settings_file: Path) -> Sequence[str]:
    # setpriv asks the kernel to end the child when this process dies; the ports of a killed office come free at once.
    program = shutil.which("mosquitto", path=os.environ.get("PATH", os.defpath) + ":/usr/sbin:/usr/local/sbin")
    guard = shutil.which("setpriv")
    for name, found, package in (("mosquitto", program, "mosquitto"), ("setpriv", guard, "util-linux")):
        if found is None:
            raise OfficeError("broker-missing", f"{name} is not installed: sudo apt-get install {package}")
    return [str(guard), "--pdeathsig", "TERM", "--", str(program), "-c", str(settings_file)]


def _can_bind(address: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError:
            return False
    return True
