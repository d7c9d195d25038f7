"""Who may watch now, for what shows the pictures: the port `office.watching.Viewings` over the viewing flow."""

from __future__ import annotations

import contextlib

from sqlalchemy import Row, select

from office.database import Database
from office.errors import OfficeError
from office.viewing import Viewing, allowed
from office.viewing_rows import VIEWABLE, requests, viewers
from office.watching import Pass


class Passes:
    """The passes that registered approvals are."""

    def __init__(self, database: Database, viewing: Viewing) -> None:
        self._database = database
        self._viewing = viewing

    def find(self, viewer: str, device: str, recording: str) -> Pass | None:
        """The pass that holds longest, if there is one."""
        of = (requests.c.device == device) & (requests.c.recording == recording) & requests.c.state.in_(VIEWABLE)
        mine = select(requests.c.leaf_index).join(viewers, viewers.c.request == requests.c.leaf_index)
        mine = mine.where(of, viewers.c.account == viewer).order_by(requests.c.until.desc())
        with self._database.read() as db:
            for request in db.execute(mine).scalars():
                with contextlib.suppress(OfficeError):
                    return _pass(viewer, allowed(db, request, viewer))
        return None

    def check(self, given: Pass) -> None:
        """Raises `OfficeError` ("not-approved", "approval-expired", "secrecy-changed")."""
        with self._database.read() as db:
            allowed(db, given.request, given.viewer)

    def begin(self, given: Pass) -> int:
        """As `Viewing.begin`."""
        return self._viewing.begin(given.request, by=given.viewer)

    def finish(self, given: Pass, viewing: int) -> None:
        """As `Viewing.finish`."""
        self._viewing.finish(viewing, by=given.viewer)


def _pass(viewer: str, row: Row[tuple[object, ...]]) -> Pass:
    return Pass(viewer, row.leaf_index, row.device, row.recording, row.until)
