"""Watching: who watches what right now, at addresses that are his session's alone and live minutes.

Two ports lead to what decides: `Viewings` (may he, and the log's entries) and `FileKeys` (the keys of what he may).
"""

from __future__ import annotations

import contextlib
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, Protocol

from sqlalchemy import select

from office import axis
from office.archive import Archive
from office.errors import OfficeError
from office.film import Film, Plain
from office.reel import Closing, Reel, Reels
from office.schema import SEGMENTS

IDLE_SECONDS: Final = 10 * 60
"""An address that nobody asks for so long is no longer one."""

_PLAYS_LIMIT = 8  # of one session: an earlier one makes way


@dataclass(frozen=True, slots=True)
class Pass:
    """A registered approval: `viewer` may watch this recording under `request` until then (UTC as records write it)."""

    viewer: str
    request: int
    device: str
    recording: str
    until: str


class Viewings(Protocol):
    """Who may watch, and what is logged of it. Called by several threads; all raise `OfficeError`."""

    def passes(self, viewer: str) -> Sequence[Pass]:
        """Those that hold now, the one that ends first in front."""

    def check(self, given: Pass) -> None:
        """It still holds. Raises `OfficeError`. Called for each byte range: cheap."""

    def begin(self, given: Pass) -> int:
        """Log that he begins to watch; the leaf. Before the first picture."""

    def finish(self, given: Pass, viewing: int) -> None:
        """Log that he has stopped. Known ones change nothing."""


class FileKeys(Protocol):
    """The keys of what may be watched."""

    def file_key(self, given: Pass, segment: int, header: bytes, closing: Closing) -> bytes:
        """The 16 bytes that open one segment: `header` with its nonce, as the camera's `closing` attests it.

        Raises `OfficeError`. Called by several threads.
        """


@dataclass(slots=True)
class Showing:
    """One recording that is shown: its line, and its films by part."""

    given: Pass
    viewing: int
    reel: Reel
    line: axis.Axis
    plain: Plain
    held: frozenset[int]
    _films: dict[int, Film] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def film(self, part: int) -> Film:
        """The film of a part. Raises `OfficeError` ("film-unknown", "film-empty")."""
        if part not in self.reel.parts:
            raise OfficeError("film-unknown", f"there is no part {part}", 404)
        with self._lock:
            if part not in self._films:
                self._films[part] = Film(self.reel, self.reel.parts[part], self.held, self.plain)
            return self._films[part]

    def still(self, number: int) -> bytes:
        """The JPEG of a still. Raises `OfficeError` ("still-unknown")."""
        stills = [record for record in self.reel.moments if record.kind == "still"]
        if not 0 <= number < len(stills) or stills[number].body["segment"] not in self.held:
            raise OfficeError("still-unknown", f"there is no still {number}", 404)
        body = stills[number].body
        return b"".join(self.plain.read(body["segment"], body["plain_offset"], body["size"]))


@dataclass(slots=True)
class Play:
    """What one session watches together, at one address."""

    token: str
    session: str
    showings: tuple[Showing, ...]
    used: float


class Plays:
    """All that is watched right now. Safe for several threads; `clock`: seconds that only rise."""

    def __init__(
        self, archive: Archive, viewings: Viewings, keys: FileKeys, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.viewings = viewings
        self.reels = Reels(archive)
        self._archive = archive
        self._keys = keys
        self._clock = clock
        self._plays: dict[str, Play] = {}
        self._lock = threading.Lock()

    def begin(self, session: str, viewer: str, wanted: Sequence[tuple[str, str]]) -> Play:
        """Begin to watch recordings, by device and id; the log says so. Raises `OfficeError` ("not-approved", …)."""
        held = {(one.device, one.recording): one for one in self.viewings.passes(viewer)}
        if not {*wanted} <= held.keys():
            raise OfficeError("not-approved", "no registered approval lets you watch this now", 403)
        showings = tuple(self._showing(held[one]) for one in wanted)
        play = Play(secrets.token_urlsafe(32), session, showings, self._clock())
        with self._lock:
            self._plays[play.token] = play
            mine = sorted((one for one in self._plays.values() if one.session == session), key=lambda one: one.used)
        for early in mine[:-_PLAYS_LIMIT]:
            self._end(early)
        return play

    def find(self, token: str, session: str) -> Play:
        """What is watched at an address, by this session; it counts as used. Raises `OfficeError` ("play-over", …).

        Of another session, it is no address at all.
        """
        self.sweep()
        with self._lock:
            play = self._plays.get(token)
            if play is None or not secrets.compare_digest(play.session, session):
                raise OfficeError("play-over", "this address is over, or was never yours: begin again", 404)
            play.used = self._clock()
        for showing in play.showings:
            self.check(showing.given)
        return play

    def check(self, given: Pass) -> None:
        """What it lets watch may be watched still. Raises `OfficeError`."""
        if datetime.fromisoformat(given.until) <= datetime.now(UTC):
            raise OfficeError("approval-expired", "the time that was approved is over: ask again", 403)
        self.viewings.check(given)

    def watched(self, showing: Showing, film: Film, start: int, end: int) -> Iterator[bytes]:
        """Bytes of a film, for as long as it may be watched. Raises as `check` and `Film.read`."""
        for data in film.read(start, end):
            self.check(showing.given)
            yield data

    def end(self, token: str, session: str) -> None:
        """He has stopped. What is no address changes nothing."""
        with self._lock:
            play = self._plays.get(token)
        if play is not None and secrets.compare_digest(play.session, session):
            self._end(play)

    def end_session(self, session: str) -> None:
        """All of a session that is over."""
        with self._lock:
            found = [play for play in self._plays.values() if play.session == session]
        for play in found:
            self._end(play)

    def sweep(self) -> None:
        """End what nobody asks for any more."""
        late = self._clock() - IDLE_SECONDS
        with self._lock:
            old = [play for play in self._plays.values() if play.used < late]
        for play in old:
            self._end(play)

    def close(self) -> None:
        """End all."""
        with self._lock:
            found = [*self._plays.values()]
        for play in found:
            self._end(play)

    def _end(self, play: Play) -> None:
        with self._lock:
            if self._plays.pop(play.token, None) is None:
                return
        for showing in play.showings:
            with contextlib.suppress(OfficeError):
                self.viewings.finish(showing.given, showing.viewing)

    def _showing(self, given: Pass) -> Showing:
        self.check(given)
        told = self.reels.get(given.device, given.recording)
        held = held_segments(self._archive, given.device, given.recording) & told.closings.keys()
        viewing = self.viewings.begin(given)

        def cipher(segment: int, start: int, size: int) -> bytes:
            return stored(self._archive, given.device, given.recording, segment, start, size)

        def key_of(segment: int, header: bytes) -> bytes:
            self.check(given)
            return self._keys.file_key(given, segment, header, told.closings[segment])

        return Showing(given, viewing, told, axis.lay(told, held), Plain(cipher, key_of), frozenset(held))


def held_segments(archive: Archive, device: str, recording: str) -> set[int]:
    """The segments that the archive has a receipt for."""
    of = (SEGMENTS.c.device == device) & (SEGMENTS.c.recording == recording) & SEGMENTS.c.received.is_not(None)
    return {row["segment"] for row in archive.catalogue.rows(select(SEGMENTS.c.segment).where(of))}


def stored(archive: Archive, device: str, recording: str, segment: int, start: int, size: int) -> bytes:
    """Bytes of a segment as they are stored, fewer at its end. Raises OSError, `OfficeError`."""
    with archive.store.open_segment(device, recording, segment, start, size) as file:
        return file.read()
