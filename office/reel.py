"""What the journal tells of one recording, as far as it takes to play it: parts, fragments, and what happened when.

Lines are not verified again: the archive keeps none that did not hold when it was handed in (`office.journals`).
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from evidence import jose, mp4, records
from evidence.records import Record
from office.archive import Archive
from office.errors import OfficeError

_KEPT: Final = 8
MOMENTS: Final = ("marker", "still", "notice", "gap", "gap_reason", "view_quality", "activity", "stopped")
"""Kinds of records that tell what happened when."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A fragment as it lies in its segment's plaintext; times on the clock of its boot. `key`: a player may begin."""

    segment: int
    offset: int
    length: int
    from_ns: int
    to_ns: int
    key: bool


@dataclass(frozen=True, slots=True)
class Closing:
    """The camera's word for a segment's header: its `segment` line, and the line that opens the signing session."""

    line: bytes
    opening: bytes


@dataclass(slots=True)
class Part:
    """What one boot contributed, its fragments in the order of time."""

    number: int
    started: Record
    pieces: list[Piece] = field(default_factory=list)

    @property
    def begins_ns(self) -> int:
        """Where its media times count from."""
        ring_ns = self.started.body["ring_from_ns"]
        return int(ring_ns) if ring_ns is not None else self.pieces[0].from_ns

    @property
    def sound_only(self) -> bool:
        """Whether it has no pictures."""
        return bool(self.started.body["mode"] == "sound_only")


@dataclass(slots=True)
class Reel:
    """A recording. `stills`: by segment, where their boxes lie in its plaintext (from, to) and when they were taken."""

    device: str
    recording: str
    parts: dict[int, Part] = field(default_factory=dict)
    closings: dict[int, Closing] = field(default_factory=dict)
    moments: list[Record] = field(default_factory=list)
    stills: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    ended: Record | None = None

    @property
    def told(self) -> bool:
        """Whether nothing more is to come: it has ended, and the books of each of its segments are closed."""
        pieces = (piece.segment for part in self.parts.values() for piece in part.pieces)
        return self.ended is not None and self.closings.keys() >= {*pieces}

    def take(self, told: jose.Json, line: bytes, opening: bytes) -> None:
        """Take in the next record. Of fragments, which are most of them, no more is read than is needed here."""
        body, kind = told["body"], told["kind"]
        if body.get("recording") != self.recording:
            return
        if kind == "fragment":
            self._fragment(body)
            return
        record = records.parse(line)
        match kind:
            case "recording_started":
                self.parts.setdefault(body["part"], Part(body["part"], record))
            case "segment":
                self.closings.setdefault(body["segment"], Closing(line, opening))
            case "recording_ended":
                self.ended = record
            case _ if kind in MOMENTS:
                self.moments.append(record)
        if kind == "still":
            begin = body["plain_offset"] - mp4.STILL_HEAD
            self.stills.setdefault(body["segment"], []).append((begin, body["plain_offset"] + body["size"]))

    def _fragment(self, body: jose.Json) -> None:
        if body["part"] in self.parts:
            self.parts[body["part"]].pieces.append(
                Piece(
                    body["segment"], body["plain_offset"], body["plain_len"], body["from_ns"], body["to_ns"],
                    body["starts_with_idr"],
                )
            )  # fmt: skip


class Reels:
    """Reads recordings from the cameras' journals; the last few are kept. Safe for several threads."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._kept: dict[tuple[str, str], Reel] = {}
        self._lock = threading.Lock()

    def get(self, device: str, recording: str) -> Reel:
        """A recording as far as it is handed in. Raises `OfficeError` ("recording-unknown")."""
        key = (device, recording)
        with self._lock:
            if (kept := self._kept.get(key)) is not None:
                return kept
        reel = self._read(*key)
        if reel.told:  # nothing can come to it any more
            with self._lock:
                self._kept[key] = reel
                while len(self._kept) > _KEPT:
                    del self._kept[next(iter(self._kept))]
        return reel

    def _read(self, device: str, recording: str) -> Reel:
        reel, begun = Reel(device, recording), False
        for number in self._archive.store.journal_files(device):
            mine = False
            for line, opening in _lines(self._archive, device, number):
                value = jose.parse_json(jose.parse(line, records.TYP).payload)
                if not begun and not value["boot"].startswith(recording.partition("-")[0]):
                    break  # a file is of one boot, and this one is of another
                begun = mine = True
                reel.take(value, line, opening)
            if mine and reel.told:
                break
        for part in reel.parts.values():
            part.pieces.sort(key=lambda piece: (piece.from_ns, piece.segment, piece.offset))
        if not reel.parts:
            raise OfficeError("recording-unknown", f"no recording {recording} of {device} was handed in", 404)
        return reel


def _lines(archive: Archive, device: str, number: int) -> Iterator[tuple[bytes, bytes]]:
    """Lines of a journal file, and the one that opened its session."""
    opening = b""
    with archive.store.journal(device, number).open("rb") as file:
        for whole in file:
            if not whole.endswith(b"\n"):
                return  # is just being appended
            line = whole[:-1]
            opening = opening or line
            yield line, opening
