"""What cameras tell directly, before they are handed in: alerts, each judged alone, by the agency's root.

A message is two lines of the camera's journal: the opening of a session and an `alert` that this session signed. What
does not hold is refused by a stable code, and kept nowhere.
"""

from __future__ import annotations

from collections.abc import Sequence

from cryptography import x509

from evidence import records
from evidence.errors import EvidenceError
from evidence.jose import LINE_LIMIT
from evidence.records import Record
from evidence.revoked import Revoked
from evidence.session import Session, accepting, open_session

_MESSAGE_LIMIT = 2 * LINE_LIMIT


def judge(device: str, payload: bytes, roots: Sequence[x509.Certificate], revoked: Revoked) -> tuple[Record, Session]:
    """The alert of a message on the topic of `device`, and the session that signed it.

    Raises `EvidenceError`: "not-alert" for any other record, "foreign" for a line of another camera or session,
    "certificate-revoked" for a session behind which a key stands that was taken back, or a code of the evidence format.
    """
    opening_line, _, line = payload.partition(b"\n")
    if len(payload) > _MESSAGE_LIMIT:
        raise EvidenceError("jws-form", "the message is too long")
    opening, record = records.parse(opening_line), records.parse(line)
    if opening.kind not in ("boot", "summary") or record.kind != "alert":
        raise EvidenceError("not-alert", f"{opening.kind} and {record.kind} are not an opening and its alert")
    if opening.device != device or record.device != device:
        raise EvidenceError("foreign", f"the lines are of {opening.device} and {record.device}")
    session = open_session(opening.body, device, opening.boot, roots)
    if session.stranger:
        raise EvidenceError("session-stranger", "no key of this camera stands behind the session")
    accepting(revoked)(session)
    for one in (opening, record):
        if (one.boot, one.kid) != (session.boot, session.kid):
            raise EvidenceError("foreign", "the alert is not of the session that the opening tells of")
        one.jws.verify(session.key)
    return record, session


def line_of(payload: bytes) -> bytes:
    """The line of a message that names it: its hash is the id that is acknowledged."""
    return payload.rpartition(b"\n")[2]
