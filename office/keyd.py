"""`bodycam office keyd`: the process that holds the office's age identity, and gives out one file key at a time.

A process of its own, of a user of its own, on a Unix socket (`office.keyd_link`) that only the office's user gets an
answer from; it has no other way in, no network, and reads nothing that the office's web process can write.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import pwd
import socket
import struct
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509

from evidence import age, jose, shape
from evidence.errors import EvidenceError
from evidence.note import read_verifier_key
from office.config import KeydConfig
from office.errors import OfficeError
from office.keyd_judge import Judge, judge
from office.keyd_link import REQUEST_LIMIT, receive, send
from office.roster import Roster
from runtime import memory
from runtime.disk import sync_folder
from runtime.service import Service

IDENTITY: Final = "identity.age"
LOG_KEY: Final = "log.vkey"
ROSTER: Final = "roster.jsonl"
GIVEN: Final = "given.jsonl"

_PEER = struct.Struct("3i")
_POLL_SECONDS = 0.5
_BACKLOG = 64
_CLOCKS = timedelta(minutes=2)
_log = logging.getLogger(__name__)


class Given:
    """keyd's own record of the file keys it gave: a file of JSON lines that only it writes, and that only grows."""

    def __init__(self, path: Path) -> None:
        """Raises OSError, `OfficeError` ("already-running")."""
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise OfficeError("already-running", f"another keyd runs over {path.parent}: stop it first") from error
        sync_folder(path.parent)
        data = path.read_bytes()
        whole = data.rfind(b"\n") + 1
        os.ftruncate(self._fd, whole)  # a cut tore a line whose key was not given
        self._size = whole
        last = data[:whole].splitlines()[-1:]
        self.latest = datetime.fromisoformat(json.loads(last[0])["at"]) if last else None

    def add(self, note: jose.Json, now: datetime) -> None:
        """Durable when this returns. Raises OSError, with nothing added."""
        line = jose.dump_json({"at": shape.utc_of(now), **note}) + b"\n"
        try:
            view = memoryview(line)
            while view:
                view = view[os.write(self._fd, view) :]
            os.fdatasync(self._fd)
        except OSError:
            os.ftruncate(self._fd, self._size)
            raise
        self._size += len(line)
        self.latest = max(now, self.latest or now)

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._fd)


class Keyd:
    """Identity, roster and record; `answer` is all that it does."""

    def __init__(self, folder: Path, roots: list[x509.Certificate], passphrase: str) -> None:
        """Raises `OfficeError` ("keyd-folder", "passphrase")."""
        try:
            sealed = (folder / IDENTITY).read_bytes()
            origin, log_key = read_verifier_key((folder / LOG_KEY).read_text("utf-8"))
        except (OSError, ValueError, EvidenceError) as error:
            message = f"{folder} is not prepared ({error}): bodycam office keyd prepare"
            raise OfficeError("keyd-folder", message) from error
        try:
            self._identity = age.open_by_passphrase(sealed, passphrase).decode("ascii").strip()
            age.recipient_of(self._identity)
        except (ValueError, EvidenceError) as error:
            raise OfficeError("passphrase", f"{folder / IDENTITY} does not open: {error}") from error
        self.known = Judge(origin, log_key, roots)
        self.roster = Roster(folder / ROSTER)
        self.given = Given(folder / GIVEN)

    def answer(self, asked: bytes, now: datetime) -> jose.Json:
        """`{"key": …}`, noted before it is given; or `{"code": …, "message": …}`."""
        try:
            return {"key": jose.b64(self._give(asked, now))}
        except OfficeError as error:
            _log.warning("refused", extra={"code": error.code, "why": error.message})
            return {"code": error.code, "message": error.message, "status": error.status}
        except OSError as error:
            _log.error("keyd's record cannot be written: %s", error)
            return {"code": "keyd-failing", "message": "keyd's own record cannot be written", "status": 503}

    def _give(self, asked: bytes, now: datetime) -> bytes:
        if self.given.latest is not None and now < self.given.latest - _CLOCKS:
            raise OfficeError("clock-back", "keyd's clock is behind its own record: set it right", 503)
        granted = judge(self.known, self.roster.approvers(), asked, now)
        key = _unwrap(granted.header, self._identity)
        self.given.add(granted.note(), now)
        _log.info("given", extra=granted.note())
        return key


def _unwrap(header: age.Header, identity: str) -> bytes:
    try:
        return age.unwrap(header, identity)
    except EvidenceError as error:
        raise OfficeError("not-for-this-office", f"the file does not open: {error.message}", 422) from error


def run(config: KeydConfig, roots: list[x509.Certificate], passphrase: str, service: Service) -> None:
    """Serve until told to stop. Raises `OfficeError`, OSError."""
    for failed in memory.guard():
        _log.warning("%s", failed)
    keyd = Keyd(config.folder, roots, passphrase)
    peer = _uid(config.peer)
    with contextlib.closing(keyd.given), _listen(config.socket) as listener:
        service.ready(socket=str(config.socket), origin=keyd.known.origin)
        while not service.stopping.is_set():
            service.alive()
            with contextlib.suppress(TimeoutError):
                link, _ = listener.accept()
                with link:
                    _serve(keyd, link, peer)


def _serve(keyd: Keyd, link: socket.socket, peer: int) -> None:
    _, uid, _ = _PEER.unpack(link.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
    if uid != peer:
        _log.warning("a stranger knocks", extra={"uid": uid})
        return
    try:
        asked = receive(link, REQUEST_LIMIT)
        send(link, keyd.answer(asked, datetime.now(UTC)))
    except OSError as error:
        _log.warning("a connection ended early: %s", error)


def _uid(user: str | None) -> int:
    if user is None:
        return os.getuid()
    try:
        return pwd.getpwnam(user).pw_uid
    except KeyError as error:
        raise OfficeError("keyd-peer", f"keyd.peer: this machine has no user {user!r}") from error


@contextlib.contextmanager
def _listen(path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        with contextlib.suppress(FileNotFoundError):
            path.unlink()  # of a run that was cut: two at once are kept apart by the record's lock
        listener.bind(str(path))
        path.chmod(0o666)  # who may ask is asked of the kernel, for each connection
        listener.listen(_BACKLOG)
        listener.settimeout(_POLL_SECONDS)
        try:
            yield listener
        finally:
            path.unlink(missing_ok=True)
