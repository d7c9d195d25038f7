"""What is known at this moment of each bay, gathered from those who do the work; nothing here decides anything.

`WatchedCamera` sees what comes from a camera, `WatchedEvents` what is told of hand-ins; `Board` makes a `DockStatus`
of it. All of it may be lost: the work goes on from what the files say.
"""

from __future__ import annotations

import collections
import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from syncd.camera import ANSWER_SECONDS, Camera, CameraState, Listed
from syncd.errors import AwayError
from syncd.events import Events, State
from syncd.gate import RED
from syncd.link import Blocks
from syncd.status import BayStatus, Lamp
from syncd.status import State as BayState
from syncd.words import WAITING

_Key = tuple[str, int]
_RATE_SECONDS = 10
_MOVING_SECONDS = 3.0

Due = Callable[[str, _Key], int | None]
Objections = Callable[[str], Sequence[str]]


class Rate:
    """Bytes a second over the last ten seconds, or since the first of them."""

    def __init__(self) -> None:
        self._buckets: collections.deque[list[int]] = collections.deque(maxlen=_RATE_SECONDS)  # second, bytes
        self._last = float("-inf")

    def add(self, size: int, now: float) -> None:
        """So many bytes have come."""
        if not self._buckets or self._buckets[-1][0] != int(now):
            self._buckets.append([int(now), 0])
        self._buckets[-1][1] += size
        self._last = now

    def moving(self, now: float) -> bool:
        """Whether bytes came just now."""
        return now - self._last < _MOVING_SECONDS

    def per_second(self, now: float) -> int:
        """Bytes a second, none if nothing comes."""
        recent = [(second, size) for second, size in self._buckets if now - second <= _RATE_SECONDS]
        if not recent or not self.moving(now):
            return 0
        return round(sum(size for _, size in recent) / max(1.0, now - recent[0][0]))


class Seat:
    """One bay from contact to contact. Guarded by its board's lock."""

    def __init__(self, name: str, now: float, *, contact: bool) -> None:
        self.name = name
        self.began: float | None = now if contact else None  # a fixed address tells of no contact
        self.device: str | None = None  # who is here, or was last
        self.present = False
        self.ended = False
        self.told_done = False
        self.away: str | None = None  # code of why the camera cannot be worked with
        self.faults: dict[str, str] = {}  # code, by what it is about
        self.sizes: dict[_Key, int] = {}
        self.at: dict[_Key, int] = {}  # bytes that have left the camera
        self.receipts: set[_Key] = set()
        self.rate = Rate()

    def enter(self, device: str) -> None:
        """A camera answers here."""
        if device != self.device or not self.present:
            self.device, self.present, self.told_done, self.away = device, True, False, None
            self.faults, self.sizes, self.at, self.receipts = {}, {}, {}, set()

    def listed(self, segments: Iterable[Listed]) -> None:
        """The camera holds these; what it held before and not now, it has released."""
        now = {one.key: one.size for one in segments}
        self.receipts |= self.sizes.keys() - now.keys()
        self.sizes |= now

    def off(self, key: _Key) -> int:
        """Bytes of a segment that have left the camera."""
        return self.sizes[key] if key in self.receipts else min(self.at.get(key, 0), self.sizes[key])

    @property
    def done(self) -> bool:
        """Everything is handed in."""
        return self.told_done and self.sizes.keys() <= self.receipts

    @property
    def all_off(self) -> bool:
        """Everything has left the camera."""
        return all(self.off(key) == size for key, size in self.sizes.items())


class Board:
    """All bays. Safe for several threads."""

    def __init__(self, names: Iterable[str], now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._lock = threading.RLock()
        self._seats = {name: Seat(name, now(), contact=False) for name in names}
        self.office_code: str | None = None
        self.read_bytes = 0
        self.segments = 0
        self.faults: collections.Counter[str] = collections.Counter()

    def seat(self, name: str, *, contact: bool) -> Seat:
        """Begin anew at a bay."""
        with self._lock:
            self._seats[name] = Seat(name, self._now(), contact=contact)
            return self._seats[name]

    # --- what is seen and told

    def entered(self, seat: Seat, device: str) -> None:
        """A camera answers at `seat`; where it was before, it is not missed any more."""
        with self._lock:
            seat.enter(device)
            for other in self._seats.values():
                if other is not seat and other.device == device and not other.present:
                    other.device = None

    def listed(self, seat: Seat, state: CameraState) -> None:
        """A camera has said what it holds."""
        with self._lock:
            seat.listed(state.segments)

    def moved(self, seat: Seat, size: int, key: _Key | None = None, end: int = 0) -> None:
        """So many bytes have come from a camera; of a segment, up to `end`."""
        with self._lock:
            # The journal's few bytes say nothing of how fast footage will leave.
            seat.rate.add(0 if key is None else size, self._now())
            self.read_bytes += size
            if key is not None:
                seat.at[key] = end

    def left(self, seat: Seat, code: str | None = None, *, ended: bool = False) -> None:
        """The camera at `seat` is not worked with any more; `ended`: nor will another be."""
        with self._lock:
            seat.present, seat.ended, seat.away = False, seat.ended or ended, code or seat.away

    def told(self, device: str, state: State, facts: dict[str, Any]) -> None:
        """What `Events.handin` was told."""
        with self._lock:
            key = (facts.get("recording"), facts.get("segment"))
            if state == "fault":
                self._fault(device, facts["code"], facts.get("where", ""))
            if state in {"progress", "done"}:
                self.office_code = None
            self.segments += state == "progress"
            for seat in self._seats.values():
                if seat.device == device:
                    self._told(seat, state, key)

    def _fault(self, device: str, code: str, where: str) -> None:
        self.faults[code] += 1
        if code.startswith("office-") and not where:
            self.office_code = code
            return
        for seat in self._seats.values():
            if seat.device == device and seat.present:
                seat.faults[where] = code
            elif seat.device == device:  # why it is not worked with, told after the connection was given up
                seat.away = code

    def _told(self, seat: Seat, state: State, key: Any) -> None:
        if state in {"progress", "receipt"}:
            for what in (f"{key[0]}/{key[1]}", f"upload-{key[0]}/{key[1]}", "journal-upload"):
                seat.faults.pop(what, None)
            if key in seat.sizes:
                seat.at[key] = seat.sizes[key]
        if state == "receipt":
            seat.receipts.add(key)
        if state == "done":
            seat.told_done, seat.faults, seat.receipts = True, {}, set(seat.sizes)

    # --- what is shown

    def bays(
        self, due: Due = lambda _device, _key: None, objections: Objections = lambda _device: ()
    ) -> tuple[BayStatus, ...]:
        """How each bay stands.

        `due`: UTC in ms at which a segment's time limit ends; `objections`: codes of why a camera that has handed in
        everything may not be issued yet.
        """
        with self._lock:
            return tuple(self._status(name, seat, due, objections) for name, seat in self._seats.items())

    def _status(self, name: str, seat: Seat, due: Due, objections: Objections) -> BayStatus:
        now = self._now()
        state, code = self._judge(seat, now)
        if state == "done":
            code = next(iter(objections(seat.device or "")), None)
        if state in {"empty", "connecting"} or seat.device is None:
            return BayStatus(name, state, _lamp(state, code), code=code)
        total, off = sum(seat.sizes.values()), sum(map(seat.off, seat.sizes))
        rate = seat.rate.per_second(now)
        open_keys = seat.sizes.keys() - seat.receipts
        limits = [at for at in (due(seat.device, key) for key in open_keys) if at is not None]
        return BayStatus(
            name,
            state,
            _lamp(state, code),
            seat.device,
            total,
            off,
            len(seat.sizes),
            len(seat.receipts & seat.sizes.keys()),
            rate,
            -(-(total - off) // rate) if rate and off < total else None,
            min(limits, default=None),
            code,
        )

    def _judge(self, seat: Seat, now: float) -> tuple[BayState, str | None]:
        if not seat.present:
            return self._judge_absent(seat, now)
        grave = [code for code in seat.faults.values() if code not in WAITING]
        if grave:
            return "fault", grave[0]
        if seat.done:
            return "done", None
        code = next(iter(seat.faults.values()), self.office_code)
        if code is None or seat.rate.moving(now):
            return "handing_in", None
        return ("waiting" if code in WAITING else "fault"), code

    def _judge_absent(self, seat: Seat, now: float) -> tuple[BayState, str | None]:
        if seat.away not in {None, "camera-lost"}:
            return "fault", seat.away
        if seat.device is not None and not seat.done and not seat.all_off:
            return "fault", "camera-lost"
        if seat.began is None or seat.ended:
            return "empty", None
        return ("connecting", None) if now - seat.began < ANSWER_SECONDS else ("fault", "camera-silent")


def _lamp(state: BayState, code: str | None) -> Lamp:
    """Green: may be issued. Amber: not yet, and nothing need be done. Red: somebody must come."""
    if state == "done":
        return "red" if code in RED else "amber" if code else "green"
    lamps: dict[BayState, Lamp] = {"empty": "off", "fault": "red"}
    return lamps.get(state, "amber")


class WatchedCamera(Camera):
    """A camera whose bay is shown. The board hears of a contact's end by `cut`."""

    def watch(self, board: Board, seat: Seat) -> WatchedCamera:
        """Tell `board` what comes and goes at `seat`."""
        self._board, self._seat = board, seat
        return self

    def connect(self) -> str:
        """As `Camera.connect`."""
        try:
            device = super().connect()
        except AwayError as away:
            self._board.left(self._seat, away.code)
            raise
        self._board.entered(self._seat, device)
        return device

    def close(self) -> None:
        """As `Camera.close`."""
        super().close()
        self._board.left(self._seat)

    def cut(self, reason: Callable[[], Exception]) -> None:
        """As `Camera.cut`."""
        super().cut(reason)
        self._board.left(self._seat, ended=True)

    def state(self) -> CameraState:
        """As `Camera.state`."""
        state = super().state()
        self._board.listed(self._seat, state)
        return state

    def journal(self, file: int, start: int, stop: int) -> Blocks:
        """As `Camera.journal`."""
        with contextlib.closing(super().journal(file, start, stop)) as blocks:
            for block in blocks:
                self._board.moved(self._seat, len(block))
                yield block

    def segment(self, listed: Listed, start: int) -> Blocks:
        """As `Camera.segment`."""
        end = start
        with contextlib.closing(super().segment(listed, start)) as blocks:
            for block in blocks:
                end += len(block)
                self._board.moved(self._seat, len(block), listed.key, end)
                yield block


class WatchedEvents(Events):
    """Events that the board hears of, too."""

    def watch(self, board: Board) -> WatchedEvents:
        """Tell `board` how hand-ins go."""
        self._board = board
        return self

    def handin(self, device: str, state: State, **facts: str | int) -> None:
        """As `Events.handin`."""
        self._board.told(device, state, facts)
        super().handin(device, state, **facts)
