"""Who has to know is told: of alerts, overdue hand-ins, statements and requests that wait (rules 15, 19, 22).

A thread of the running office. What is told says which and where to look; nothing out of a recording, no person's name:
mail goes through servers that are not the office's.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import select

from office import alerts, statements
from office.archive import Archive
from office.catalogue import utc
from office.channels import Channel, ChannelError, mail, webhook
from office.deadlines import State
from office.duties import deadlines
from office.listing import minute
from office.notices import Notice, Notices
from office.notify_config import NotifyConfig
from office.rows import rows
from office.statements import CONCERNS
from office.viewing_rows import requests

MOST: Final = 50  # notices in one message
_RECENT: Final = timedelta(days=7)  # alerts before that are history, also to an office that was moved here
_NEXT: Final = {"asked": "待审查", "reviewed": "待审批", "approved": "待登记"}
Source = Callable[[Archive, datetime], Iterable[Notice]]

_log = logging.getLogger(__name__)


def of_alerts(archive: Archive, now: datetime) -> Iterable[Notice]:
    """What cameras have alerted of lately."""
    since = utc(now - _RECENT)
    for row in archive.catalogue.alerts():
        if max(row["told"] or "", row["handed_in"] or "") >= since:
            what = alerts.WHATS.get(row["what"], row["what"])
            lines = f"设备 {row['device']}，时间 {_local(archive, row['at'])}，录像 {row['recording'] or '—'}"
            yield _notice("alert", (row["device"], row["sha256"]), f"报警：{what}", lines)


def of_hand_ins(archive: Archive, now: datetime) -> Iterable[Notice]:
    """What is overdue."""
    config = archive.config
    for one in deadlines(archive.catalogue, now, config.zone, timedelta(hours=config.warn_hours)):
        if one.state is State.OVERDUE and one.due is not None:
            duty = one.duty
            lines = f"设备 {duty.device}，录像 {duty.recording or '整机'}，期限 {_local(archive, utc(one.due))}"
            yield _notice("overdue", (duty.device, duty.recording or "", utc(one.due)), "逾期未移交", lines)


def of_statements(archive: Archive, _: datetime) -> Iterable[Notice]:
    """What waits for a reviewer, or was given back."""
    with archive.database.read() as db:
        rows = statements.latest(db, statements.State.WAITING, statements.State.RETURNED)
    for row in rows:
        words = "待审阅" if row["state"] == statements.State.WAITING else "被退回"
        name = (str(row["leaf_index"]), row["state"])
        yield _notice("statement", name, f"{CONCERNS[row['concerns']]}{words}", f"编号 {row['statement']}")


def of_requests(archive: Archive, _: datetime) -> Iterable[Notice]:
    """Requests to watch that wait for a review, an approval or the keeper's registration (rules 22 and 23)."""
    with archive.database.read() as db:
        found = rows(db, select(requests.c.leaf_index, requests.c.state).where(requests.c.state.in_(_NEXT)))
    for row in found:
        number, state = str(row["leaf_index"]), row["state"]
        yield _notice("request", (number, state), f"调阅申请{_NEXT[state]}", f"编号 {number}")


SOURCES: Final[tuple[Source, ...]] = (of_alerts, of_hand_ins, of_statements, of_requests)
"""Whatever else people wait for is added here."""


class Notifier:
    """Built with the archive. Raises `OfficeError`, `CredentialError`."""

    def __init__(self, archive: Archive, config: NotifyConfig) -> None:
        self._archive = archive
        self._look_seconds = config.look_seconds
        self._channels: dict[str, Channel] = {}
        if config.mail is not None:
            self._channels["mail"] = mail(config.mail, archive.office)
        if config.webhook is not None:
            self._channels["webhook"] = webhook(config.webhook, archive.office)
        self._notices = Notices(archive.config.data / "notices.sqlite")
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="notify")

    def start(self) -> None:
        """Work until `stop`."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        self._notices.close()

    def turn(self, now: float | None = None) -> int:
        """Look once, and send what is due; how many notices wait afterwards."""
        at = time.time() if now is None else now
        found = [one for source in SOURCES for one in source(self._archive, datetime.fromtimestamp(at, UTC))]
        self._notices.add(found, self._channels, at)
        for name, send in self._channels.items():
            if batch := self._notices.due(name, at, MOST):
                self._send(name, send, batch, at)
        return self._notices.waiting()

    def _send(self, name: str, send: Channel, batch: list[Notice], now: float) -> None:
        try:
            send(batch)
        except ChannelError as error:
            _log.warning("notices wait: %s", error, extra={"channel": name, "notices": len(batch)})
            self._notices.failed(name, batch, now)
        else:
            self._notices.done(name, batch, now)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self.turn()
            except Exception:  # noqa: BLE001 - whatever it is, the next look may do better
                _log.exception("notices could not be made")
            self._stopping.wait(self._look_seconds)


def _notice(kind: str, name: tuple[str, ...], subject: str, text: str) -> Notice:
    return Notice(hashlib.sha256("\n".join((kind, *name)).encode()).hexdigest(), subject, text)


def _local(archive: Archive, text: str) -> str:
    return minute(datetime.fromisoformat(text), archive.config.zone)
