"""A boot of the camera whose lens and officer go on while its disk takes its time; what the writer gets is noted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from firmware.capture import vocabulary as v
from firmware.capture.writer import Job, WriteFragment, Writer
from firmware.hal.ports import Still, Utc
from runtime.disk import PosixDisk
from tests.camera_rig import FRAME, MS, BootClock, Camera, Owner
from tests.powercut.machine import Machine
from tests.powercut.timeline import Timeline


class SettableClock(BootClock):
    """Goes on from what it was set to, until the power goes."""

    _set: tuple[int, int, str, int] | None = None

    def utc(self) -> Utc:
        if self._set is None:
            return super().utc()
        at_ns, ms, source, error_ms = self._set
        return Utc(ms + (self.boot_ns() - at_ns) // MS, source, error_ms)

    def set_utc(self, ms: int, source: str, error_ms: int) -> None:
        self._set = (self.boot_ns(), ms, source, error_ms)


@dataclass(frozen=True, slots=True)
class Given:
    """A live fragment that was cut and given to the writer, on the boot clock; the disk's busy time until then."""

    recording: str
    part: int
    from_ns: int
    to_ns: int
    at_ns: int
    busy_ns: int


class _WatchedWriter(Writer):
    def __init__(self, *arguments: Any, told: Callable[[Job], None], **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._told = told

    def submit(self, *jobs: Job, later: bool = False) -> None:
        super().submit(*jobs, later=later)
        for job in () if later else jobs:
            self._told(job)


class TimedCamera(Camera):
    """`settle` lets the writer work; whatever happens while it does is only queued for it."""

    def __init__(
        self, owner: Owner, machine: Machine, timeline: Timeline, clock: SettableClock, busy_ns: Callable[[], int]
    ) -> None:
        self.given: list[Given] = []
        self.began: list[int] = []  # when each part of this boot was begun
        self.taken: list[tuple[int, Still]] = []  # stills, and when they were handed in
        self._timeline, self._busy_ns = timeline, busy_ns
        self._working = self._on = False
        self.new_writer = self._watched  # type: ignore[assignment]
        super().__init__(owner, PosixDisk(machine.root), timeline.world, clock)

    def _watched(self, *arguments: Any, **options: Any) -> Writer:
        return _WatchedWriter(*arguments, told=self._note, **options)

    def _note(self, job: Job) -> None:
        if isinstance(job, WriteFragment):
            place, fragment = job.place, job.fragment
            now = self.clock.boot_ns()
            self.given.append(
                Given(place.recording, place.part, fragment.from_ns, fragment.to_ns, now, self._busy_ns())
            )

    def step(self, event: v.Event) -> None:
        if not self._on:  # the recorder runs from here on, and the lens gives pictures
            self._on = True
            self._next_block_ns = self.clock.boot_ns()
            self._timeline.at(self.world.now_ns + FRAME, self._picture)
        super().step(event)

    def _picture(self) -> None:
        self._timeline.at(self.world.now_ns + FRAME, self._picture)
        self.arrive()

    def settle(self) -> None:
        if self._working:
            return
        self._working = True
        try:
            super().settle()
        finally:
            self._working = False

    @contextmanager
    def journal_in_use(self) -> Iterator[None]:
        """Another thread writes to the journal: what the writer's thread has to do comes afterwards."""
        self._working = True
        try:
            yield
        finally:
            self._working = False
        self.settle()

    def still(self) -> None:
        self.taken.append((self.clock.boot_ns(), self.take_still()))

    def _do(self, command: v.Command) -> None:
        if isinstance(command, v.BeginPart):
            self.began.append(self.clock.boot_ns())
        super()._do(command)
