"""Who may watch now, for what shows the pictures: the port `office.watching.Viewings` over the viewing flow."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from sqlalchemy import Row, select

from office.catalogue import utc_now
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

    def passes(self, viewer: str) -> Sequence[Pass]:
        """Those that hold now, the one that ends first in front."""
        mine = select(requests.c.leaf_index).join(viewers, viewers.c.request == requests.c.leaf_index)
        mine = mine.where(viewers.c.account == viewer, requests.c.state.in_(VIEWABLE), requests.c.until > utc_now())
        found = []
        with self._database.read() as db:
            for request in db.execute(mine.order_by(requests.c.until)).scalars():
                with contextlib.suppress(OfficeError):
                    found.append(_pass(viewer, allowed(db, request, viewer)))
        return found

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
