"""Who may watch which recording: request, review, approval, registration (rules 9, 22, 23 and 25).

    asked → reviewed (director) → approved (leader in charge; two for secrets) → registered (keeper) → ended
          ↘ refused, withdrawn

The four are different people, and who watches is none of the last three. Each step is a leaf of the log; the approval
is signed in the approver's browser (`office.approval`), and keyd asks for it again before it gives a file key.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Row, select

from evidence import jose
from evidence.errors import EvidenceError
from office import approval
from office.approval import SECRECY, Statement
from office.book import Book, Turn
from office.catalogue import utc, utc_now
from office.errors import OfficeError
from office.keyd_judge import TERM_LIMIT
from office.people import Member, approver_key, who
from office.person import Role
from office.roster import read_key
from office.viewing_rows import VIEWABLE, approvals, requests, secrecy_of, viewers_of, viewings

MAY_ASK: Final = (Role.OFFICER, Role.SECTION_HEAD, Role.CASE_LEADER, Role.INSPECTOR, Role.DIRECTOR)
MAY_SUPERVISE: Final = (Role.INSPECTOR, Role.DIRECTOR)
"""Rule 9: office and Party committee, by the same door."""

MAY_END: Final = (Role.KEEPER, Role.DIRECTOR)
MAY_CLASSIFY: Final = (Role.KEEPER, Role.DIRECTOR, Role.SECTION_HEAD)

_SIGNING = timedelta(minutes=15)  # from the page that shows a statement to its signature
_NOTE_LIMIT = 500
_VIEWERS_LIMIT = 5


class Viewing:
    """The viewing flow over the book. `held`: whether the office has a recording of this camera and id."""

    def __init__(self, book: Book, origin: str, held: Callable[[str, str], bool]) -> None:
        self._book = book
        self._origin = origin
        self._held = held

    def ask(
        self, device: str, recording: str, *, by: str, purpose: str, reason: str, case: str | None = None,
        viewers: Sequence[str] = (),
    ) -> int:  # fmt: skip
        """Ask to watch a recording; the request's leaf. `viewers`: only for secrets, which name theirs.

        Raises `OfficeError`: "recording-unknown", "reason", "case", "viewers", "purpose".
        """
        _text("reason", reason)
        if purpose not in approval.PURPOSES:
            raise OfficeError("purpose", f"a purpose is {' or '.join(approval.PURPOSES)}", 400)
        if case is not None or purpose == "case":
            _text("case", case or "")
        if not self._held(device, recording):
            raise OfficeError("recording-unknown", f"the office has no recording {recording} of {device}", 404)
        with self._book.turn() as turn:
            who(turn.db, by).require(*(MAY_SUPERVISE if purpose == "supervision" else MAY_ASK))
            secrecy = secrecy_of(turn.db, device, recording)
            return turn.enter(
                "view-asked", by=by, device=device, recording=recording, purpose=purpose, case=case, reason=reason,
                secrecy=secrecy, viewers=_viewers(turn.db, by, secrecy, viewers),
            )  # fmt: skip

    def review(self, request: int, *, by: str, accepted: bool, note: str = "") -> int:
        """The office director's review."""
        with self._book.turn() as turn:
            row = _open(turn, request, "asked")
            _other(turn, row, who(turn.db, by), Role.DIRECTOR)
            if not accepted:
                return _close(turn, request, by, "refused", note)
            return turn.enter("view-reviewed", by=by, request=request, note=_note(note))

    def statement(self, request: int, *, by: str, until: datetime) -> tuple[Statement, str]:
        """What this person is to sign to approve, and its signing input. Raises `OfficeError` ("no-approver-key")."""
        with self._book.turn() as turn:
            row = _open(turn, request, "reviewed")
            key = _approver(turn, row, by)
            now = datetime.now(UTC)
            _check_term(now, until)
            statement = self._statement(turn.db, row, by, utc(now), utc(until))
            return statement, statement.signing_input(key.kid)

    def approve(self, request: int, jws: str, *, by: str) -> int:
        """The signed approval of the leader in charge. Raises `OfficeError` ("approval-signature", …)."""
        with self._book.turn() as turn:
            row = _open(turn, request, "reviewed")
            key = _approver(turn, row, by)
            signed = _verified(jws, key)
            wanted = self._statement(turn.db, row, by, signed.at, signed.until)
            if signed != wanted:
                raise OfficeError("approval-differs", "what was signed is not what is asked for: read it again", 409)
            at = datetime.fromisoformat(signed.at)
            if abs(datetime.now(UTC) - at) > _SIGNING:
                raise OfficeError("approval-late", "the page was open for too long: approve again", 409)
            _check_term(at, datetime.fromisoformat(signed.until))
            return turn.enter("view-approved", by=by, request=request, approval=jws, until=signed.until)

    def refuse(self, request: int, *, by: str, note: str) -> int:
        """The leader in charge does not approve."""
        with self._book.turn() as turn:
            _other(turn, _open(turn, request, "reviewed", "approved"), who(turn.db, by), Role.CASE_LEADER)
            return _close(turn, request, by, "refused", note)

    def withdraw(self, request: int, *, by: str) -> int:
        """Who asked takes it back. Raises `OfficeError` ("not-yours")."""
        with self._book.turn() as turn:
            row = _open(turn, request, "asked", "reviewed", "approved")
            if row.requester != by:
                raise OfficeError("not-yours", "only who asked takes a request back", 403)
            return _close(turn, request, by, "withdrawn", "")

    def register(self, request: int, *, by: str) -> int:
        """The keeper registers viewers, reason and time: from now until the earliest end that was approved."""
        with self._book.turn() as turn:
            row = _open(turn, request, "approved")
            _other(turn, row, who(turn.db, by), Role.KEEPER)
            _same_secrecy(turn.db, row)
            given = turn.db.execute(
                select(approvals).where(approvals.c.request == request).order_by("leaf_index")
            ).all()
            until = min(one.until for one in given)
            now = utc_now()
            if until <= now:
                raise OfficeError("approval-expired", "the time that was approved is over: ask again", 409)
            # keyd reads this leaf: its members are those of `approval.REGISTERED`
            members = {
                "request": request, "approvals": [approval.sha256(one.jws) for one in given], "device": row.device,
                "recording": row.recording, "viewers": viewers_of(turn.db, request), "from": now, "until": until,
            }  # fmt: skip
            return turn.enter("view-registered", by=by, **members)

    def end(self, request: int, *, by: str, note: str = "") -> int:
        """Keeper or director end a registered viewing before its time."""
        with self._book.turn() as turn:
            who(turn.db, by).require(*MAY_END)
            _open(turn, request, "registered")
            return _close(turn, request, by, "ended", note)

    def begin(self, request: int, *, by: str) -> int:
        """Somebody begins to watch; the leaf, before the first picture. Raises `OfficeError` as `allowed`."""
        with self._book.turn() as turn:
            allowed(turn.db, request, by)
            return turn.enter("viewing", by=by, request=request)

    def finish(self, viewing: int, *, by: str) -> None:
        """He has stopped watching. Known ones change nothing."""
        with self._book.turn() as turn:
            row = turn.db.execute(select(viewings).where(viewings.c.leaf_index == viewing)).one_or_none()
            if row is not None and row.ended is None and row.viewer == by:
                turn.enter("viewing-over", by=by, viewing=viewing)

    def classify(self, device: str, recording: str, secrecy: str, *, by: str) -> int:
        """Put a recording into a secrecy class; never out of one. Raises `OfficeError` ("secrecy")."""
        if secrecy not in SECRECY or secrecy == "open":
            raise OfficeError("secrecy", f"a secrecy class is one of {', '.join(SECRECY)}, and is not taken back", 400)
        if not self._held(device, recording):
            raise OfficeError("recording-unknown", f"the office has no recording {recording} of {device}", 404)
        with self._book.turn() as turn:
            who(turn.db, by).require(*MAY_CLASSIFY)
            return turn.enter("secrecy", by=by, device=device, recording=recording, secrecy=secrecy)

    def _statement(self, db: Connection, row: Row[Any], by: str, at: str, until: str) -> Statement:
        return Statement(
            self._origin, row.leaf_index, row.reviewed, row.device, row.recording, row.purpose, row.case_name,
            row.reason, row.secrecy, row.requester, row.reviewer, viewers_of(db, row.leaf_index), by, at, until,
        )  # fmt: skip


def allowed(db: Connection, request: int, viewer: str) -> Row[Any]:
    """The request under which somebody may watch now. Raises `OfficeError` ("not-approved", "approval-expired")."""
    member = who(db, viewer)
    row = db.execute(select(requests).where(requests.c.leaf_index == request)).one_or_none()
    if row is None or row.state not in VIEWABLE or viewer not in viewers_of(db, request) or not member.active:
        raise OfficeError("not-approved", "no registered approval lets you watch this", 403)
    if row.until <= utc_now():
        raise OfficeError("approval-expired", "the time that was approved is over: ask again", 403)
    _same_secrecy(db, row)
    return row


def _open(turn: Turn, request: int, *states: str) -> Row[Any]:
    row = turn.db.execute(select(requests).where(requests.c.leaf_index == request)).one_or_none()
    if row is None:
        raise OfficeError("request-unknown", f"there is no request {request}", 404)
    if row.state not in states:
        raise OfficeError("request-state", f"request {request} is {row.state}: this step is not next", 409)
    return row


def _other(turn: Turn, row: Row[Any], member: Member, role: Role) -> None:
    """Whoever takes a step has its role, and has no other part in this. Raises `OfficeError` ("same-person")."""
    member.require(role)
    given = select(approvals.c.approver).where(approvals.c.request == row.leaf_index)
    approvers = set(turn.db.execute(given).scalars())
    if member.account in {row.requester, row.reviewer, *approvers, *viewers_of(turn.db, row.leaf_index)}:
        raise OfficeError("same-person", "who asks, watches, reviews, approves and registers are different people", 403)


def _approver(turn: Turn, row: Row[Any], by: str) -> Row[Any]:
    """The key of somebody who may approve this. Raises `OfficeError`."""
    _other(turn, row, who(turn.db, by), Role.CASE_LEADER)
    _same_secrecy(turn.db, row)
    if (key := approver_key(turn.db, by)) is None:
        raise OfficeError("no-approver-key", "your browser's key is not entered and confirmed yet", 409)
    return key


def _same_secrecy(db: Connection, row: Row[Any]) -> None:
    if secrecy_of(db, row.device, row.recording) != row.secrecy:
        raise OfficeError("secrecy-changed", "the recording has another secrecy class by now: ask again", 409)


def _given(db: Connection, request: int) -> Sequence[Row[Any]]:
    of = select(approvals).where(approvals.c.request == request)
    return db.execute(of.order_by(approvals.c.leaf_index)).all()


def _viewers(db: Connection, by: str, secrecy: str, named: Sequence[str]) -> list[str]:
    if secrecy == "open":
        if set(named) - {by}:
            raise OfficeError("viewers", "who asks watches alone; each viewer asks for himself", 400)
        return [by]
    found = sorted(set(named))
    if not 0 < len(found) <= _VIEWERS_LIMIT:
        raise OfficeError("viewers", f"what is secret names its viewers, 1 to {_VIEWERS_LIMIT} (rule 25)", 400)
    for account in found:
        if not who(db, account).active:
            raise OfficeError("viewers", f"{account} has left", 400)
    return found


def _verified(jws: str, key: Row[Any]) -> Statement:
    try:
        parsed = jose.parse(jws, approval.TYP)
        parsed.verify(read_key(key.spki))
        return Statement.read(parsed.payload)
    except EvidenceError as error:
        raise OfficeError("approval-signature", f"the approval does not hold: {error.message}", 403) from error


def _check_term(at: datetime, until: datetime) -> None:
    if not timedelta() < until - at <= TERM_LIMIT:
        raise OfficeError("term", f"an approval ends after it begins, within {TERM_LIMIT.days} days", 400)


def _text(code: str, text: str) -> None:
    if not approval.short_text(text):
        raise OfficeError(code, f"{code}: 1 to {approval.REASON_LIMIT} characters", 400)


def _note(note: str) -> str:
    if len(note) > _NOTE_LIMIT or not approval.no_controls(note):
        raise OfficeError("note", f"a note has {_NOTE_LIMIT} characters at most", 400)
    return note


def _close(turn: Turn, request: int, by: str, how: str, note: str) -> int:
    return turn.enter("view-closed", by=by, request=request, how=how, note=_note(note))
