"""File keys from keyd, for what may be watched: the port `office.watching.FileKeys`.

Everything that keyd asks for stands in the log and the catalogue: nothing here decides who may watch.
"""

from __future__ import annotations

import socket
from pathlib import Path

from sqlalchemy import select

from evidence import jose
from evidence.errors import EvidenceError
from office.database import Database
from office.errors import OfficeError
from office.keyd_link import ANSWER_LIMIT, CONNECTION_SECONDS, receive, send
from office.log import Log
from office.reel import Closing
from office.viewing_rows import approvals, requests
from office.watching import Pass


class KeydKeys:
    """Asks keyd at its socket; without one, nobody can watch."""

    def __init__(self, path: Path | None, database: Database, log: Log) -> None:
        self._path = path
        self._database = database
        self._log = log

    def file_key(self, given: Pass, segment: int, header: bytes, closing: Closing) -> bytes:
        """As the port. Raises `OfficeError`: "keyd-missing", "keyd-away", and keyd's own codes."""
        if self._path is None:
            raise OfficeError("keyd-missing", "office.toml has no [keyd]: nobody can watch", 503)
        registered, signed = self._approved(given.request)
        asked = {
            "viewer": given.viewer, "segment": segment, "header": jose.b64(header), "approvals": signed,
            "proof": self._log.proof(registered).to_text().decode(), "opening": closing.opening.decode(),
            "line": closing.line.decode(),
        }  # fmt: skip
        return _ask(self._path, asked)

    def _approved(self, request: int) -> tuple[int, list[str]]:
        of = select(approvals.c.jws).where(approvals.c.request == request).order_by(approvals.c.leaf_index)
        with self._database.read() as db:
            registered = db.execute(select(requests.c.registered).where(requests.c.leaf_index == request)).scalar()
            signed = list(db.execute(of).scalars())
        if registered is None:
            raise OfficeError("not-approved", "no registered approval lets you watch this", 403)
        return registered, signed


def _ask(path: Path, asked: jose.Json) -> bytes:
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
            link.settimeout(CONNECTION_SECONDS)
            link.connect(str(path))
            send(link, asked)
            answer = jose.parse_json(receive(link, ANSWER_LIMIT))
    except (OSError, EvidenceError) as error:
        raise OfficeError("keyd-away", f"keyd does not answer at {path} ({error}): is it running?", 503) from error
    if "key" not in answer:
        raise OfficeError(str(answer.get("code")), str(answer.get("message")), int(answer.get("status", 503)))
    return jose.unb64(str(answer["key"]).encode())
