"""The runner: carries out what the recorder decides. One loop takes frames, sound and events in order.

Drivers, speaker, writer and dock port have threads of their own and only put things into the loop's queue. Nothing in
the loop waits for a disk, a loudspeaker or a network, and nothing that goes wrong in it ends it.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import logging
import queue
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from firmware.books import Books
from firmware.capture import recorder
from firmware.capture import vocabulary as v
from firmware.capture.journal_writer import JournalWriter
from firmware.capture.part import EncoderChangedError
from firmware.capture.recovery import OpenRecording
from firmware.capture.writer import Run, StorageError, Writer
from firmware.dialogue import Dialogue
from firmware.dock_port import DockPort
from firmware.docking import Docking
from firmware.hal.ports import (
    Clock, Control, DriverError, Frame, Look, Microphone, Panel, SoundBlock, SourceFault, VideoSource,
)  # fmt: skip
from firmware.handin import HandIn
from firmware.media import Media
from firmware.speaker import Speaker
from firmware.voice.prompts import Prompt
from firmware.worker import Worker
from runtime.disk import Disk

_log = logging.getLogger(__name__)

_BACKLOG_NS = 10_000_000_000  # the writer may fall behind so far before the part is given up (slow_storage)
_HEARTBEAT_SECONDS = 60.0
_SELF_CHECK_SECONDS = 5.0
_RETRY_SECONDS = (2.0, 32.0)  # a refused part is tried again after the first, then ever later up to the second
_SOURCE_RETRY_SECONDS = 5.0
_FAULT_REPEAT_NS = 10_000_000_000  # the same fault is recorded again only after so long
_PICTURE_CAUSES = frozenset({"camera_stall", "camera_lost", "encoder_stall"})
_SOUND_CAUSES = frozenset({"microphone_lost"})
_EVENTS: Mapping[Control, Callable[[int], v.Event]] = {
    Control.RECORD_PRESSED: v.RecordPressed,
    Control.RECORD_HELD: v.RecordHeld,
    Control.MARK_PRESSED: v.MarkPressed,
    Control.MARK_RELEASED: v.MarkReleased,
    Control.DOCKED: lambda _: v.Docked(),
    Control.UNDOCKED: lambda _: v.Undocked(),
}


@dataclass(slots=True)
class Hardware:
    """The drivers, built."""

    clock: Clock
    video: VideoSource
    microphone: Microphone
    panel: Panel


@dataclass(slots=True)
class Parts:
    """What the runner works with, built by `firmware.main`."""

    hardware: Hardware
    disk: Disk
    journal: JournalWriter
    writer: Writer
    media: Media
    speaker: Speaker
    handin: HandIn
    dock_port: DockPort
    prompts: Mapping[str, Prompt]
    cut: OpenRecording | None
    notice_attempts: int
    answer_seconds: int
    confirm_seconds: int
    activity: str | None
    ring_seconds: int
    assigned: Mapping[str, Any]  # the sealed body
    inbox: queue.SimpleQueue[Any] = field(default_factory=queue.SimpleQueue)  # where all threads meet the loop


class Runner:
    """Runs one boot from drivers started to drivers stopped."""

    def __init__(self, parts: Parts, alive: Callable[[], None]) -> None:
        self._p = parts
        self._alive = alive
        hardware = parts.hardware
        self._clock = hardware.clock
        self._queue = parts.inbox
        self._timers: list[tuple[int, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._state = recorder.State(notice_attempts=parts.notice_attempts)
        self._slow = Worker("notice", self.failed)
        self._reviver = Worker("video", self.failed)
        self._books = Books(
            self._clock, parts.disk, parts.journal, parts.writer, parts.media, hardware.video.counts,
            parts.activity, parts.cut, self.post,
        )  # fmt: skip
        self._dialogue = Dialogue(self._clock, self._books, parts.prompts, self._slow, self._after, self.post)
        self._docking = Docking(parts.dock_port, parts.handin, self._books, self.failed)
        self._awake = {"picture": False, "sound": False}
        self._faults: dict[tuple[str, str], int] = {}
        self._storage_failed_ns: int | None = None
        self._storage_pause = _RETRY_SECONDS[0]
        self._exit = False

    # What other threads call.

    def post(self, event: v.Event) -> None:
        """Hand an event to the recorder. Any thread may."""
        self._queue.put(event)

    def said(self, key: str, from_ns: int, to_ns: int) -> None:
        """A prompt was played."""
        _log.info("said", extra={"prompt": key})
        self.post(v.Said(key, from_ns, to_ns))

    def failed(self, where: str, what: str) -> None:
        """A thread met a fault that the journal must know."""
        self._queue.put(lambda: self._fault(where, what))

    def storage_failed(self, error: StorageError) -> None:
        """A part could not be kept."""
        self.failed("storage", str(error))
        self.post(v.StorageFailed(error.cause))

    def _control(self, control: Control, at_ns: int) -> None:
        event = _EVENTS.get(control)
        if event is not None:
            self.post(event(at_ns))

    # The loop.

    def run(self) -> None:
        """Start the drivers, work until `Quit`, stop everything. Raises DriverError if the panel is missing."""
        try:
            self._start()
            while not self._exit:
                self._turn()
        finally:
            self._stop()

    def _start(self) -> None:
        hardware = self._p.hardware
        self._p.writer.start()
        self._p.speaker.start()
        self._slow.start()
        self._reviver.start()
        self._books.record("assigned", self._p.assigned)
        hardware.panel.start(self._control)
        self._start_microphone()
        self._start_video()
        self.post(v.Ready(self._p.cut is not None, hardware.panel.docked()))
        self._docking.start()
        self._after(_SELF_CHECK_SECONDS, self._self_check)
        self._after(_HEARTBEAT_SECONDS, self._heartbeat)

    def _start_video(self) -> None:
        """Losing one of picture and sound never stops the other, not even at the start."""
        try:
            self._p.hardware.video.start(self._queue.put, self._queue.put, self._look)
        except DriverError as error:
            self._source_fault(SourceFault("camera_lost", str(error)))  # which goes on trying

    def _look(self, look: Look) -> None:
        """Called from the driver's thread."""

    def _revive_video(self) -> None:
        """A camera that does not come back by itself is stopped and started, in a thread that may hang with it."""
        if not self._state.picture and not self._exit:
            self._reviver.do(self._p.hardware.video.stop)
            self._reviver.do(lambda: self._p.hardware.video.start(self._queue.put, self._queue.put, self._look))
            self._after(2 * _SOURCE_RETRY_SECONDS, self._revive_video)

    def _start_microphone(self) -> None:
        """Once started, the microphone's driver comes back by itself."""
        try:
            self._p.hardware.microphone.start(self._queue.put, self._queue.put)
        except DriverError as error:
            self._source_fault(SourceFault("microphone_lost", str(error)))
            self._after(_SOURCE_RETRY_SECONDS, self._start_microphone)

    def _turn(self) -> None:
        now = self._clock.boot_ns()
        while self._timers and self._timers[0][0] <= now:
            with self._surviving("timer"):
                heapq.heappop(self._timers)[2]()
        wait = min(1.0, (self._timers[0][0] - now) / 1e9) if self._timers else 1.0
        with contextlib.suppress(queue.Empty):
            item = self._queue.get(timeout=max(wait, 0.0))
            with self._surviving(type(item).__name__):
                self._take(item)
                if self._p.media.recording and self._p.writer.backlog_ns() > _BACKLOG_NS:
                    self._step(v.StorageFailed("slow_storage"))
        self._alive()

    @contextlib.contextmanager
    def _surviving(self, what: str) -> Iterator[None]:
        """Nothing may stop a recording that can still be made: whatever fails is told, and the loop goes on."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - see above
            _log.exception("a step failed; the recorder goes on")
            self._fault("runner", f"{what}: {type(error).__name__}: {error}")

    def _take(self, item: Any) -> None:
        if isinstance(item, Frame):
            self._picture(item)
        elif isinstance(item, SoundBlock):
            self._sound(item)
        elif isinstance(item, SourceFault):
            self._source_fault(item)
        elif callable(item):
            item()
        else:
            self._step(item)

    def _step(self, event: v.Event) -> None:
        before = self._state.phase
        self._state, commands = recorder.step(self._state, event)
        if self._state.phase is not before:
            _log.info("phase", extra={"phase": self._state.phase.value})
        for command in commands:
            with self._surviving(type(command).__name__):
                self._do(command)

    def _after(self, seconds: float, action: Callable[[], None]) -> None:
        at = self._clock.boot_ns() + int(seconds * 1e9)
        heapq.heappush(self._timers, (at, next(self._order), action))

    # Picture and sound.

    def _picture(self, frame: Frame) -> None:
        self._awake["picture"] = True
        if not self._state.picture:
            self._step(v.SourceBack(picture=True))
        try:
            self._p.media.picture(frame)
        except EncoderChangedError:
            self._books.end_part()
            self._books.begin_part(None, "encoder_changed")

    def _sound(self, block: SoundBlock) -> None:
        self._awake["sound"] = True
        if not self._state.sound:
            self._step(v.SourceBack(picture=False))
        self._dialogue.hear(block)
        self._p.media.sound(block)

    def _source_fault(self, fault: SourceFault) -> None:
        self._fault(fault.cause, fault.detail)
        if fault.cause in _PICTURE_CAUSES and self._state.picture:
            self._step(v.SourceLost(picture=True, cause=fault.cause))
            self._after(_SOURCE_RETRY_SECONDS, self._revive_video)
        elif fault.cause in _SOUND_CAUSES and self._state.sound:
            self._step(v.SourceLost(picture=False, cause=fault.cause))

    # Storage.

    def _try_storage_later(self) -> None:
        now = self._clock.boot_ns()
        least, most = _RETRY_SECONDS
        again = self._storage_failed_ns is not None and now - self._storage_failed_ns < 2 * most * 1e9
        self._storage_pause = min(2 * self._storage_pause, most) if again else least
        self._storage_failed_ns = now
        self._after(self._storage_pause, lambda: self._p.writer.submit(Run(self._probe)))

    def _probe(self) -> None:
        """In the writer's order: all that was queued has been written or given up, and records are taken again."""
        back = self._p.writer.make_room()
        self._queue.put(lambda: self._storage_probed(back=back))

    def _storage_probed(self, *, back: bool) -> None:
        if back:
            self._step(v.StorageBack())
        elif not self._state.storage:
            self._after(self._storage_pause, lambda: self._p.writer.submit(Run(self._probe)))

    # Commands.

    def _do(self, command: v.Command) -> None:
        match command:
            case v.BeginPart(pressed_ns, cause):
                self._books.begin_part(pressed_ns, cause)
            case v.EndPart():
                self._books.end_part()
                if not self._state.storage:
                    self._try_storage_later()
            case v.EndRecording(interrupted):
                self._books.end(interrupted)
            case v.Say(key):
                _log.info("say", extra={"prompt": key})
                self._p.speaker.say(self._p.prompts[key])
            case v.CheckNotice(attempt, from_ns, to_ns):
                self._dialogue.check_notice(attempt, from_ns, to_ns)
            case v.ListenForAnswer(from_ns):
                self._dialogue.listen(from_ns, self._p.answer_seconds)
            case v.KeepReason(gap_seq, basis, from_ns, to_ns):
                self._books.keep_reason(gap_seq, basis, from_ns, to_ns)
            case v.Mark(at_ns):
                self._books.mark(at_ns)
            case _:
                self._do_more(command)

    def _do_more(self, command: v.Command) -> None:
        """The commands that have nothing to do with a recording's contents."""
        match command:
            case v.AwaitConfirm(held_ns):
                self._after(self._p.confirm_seconds, lambda: self._step(v.ConfirmOver(held_ns)))
            case v.Show(lamps, buzz):
                self._p.hardware.panel.show(lamps)
                if buzz:
                    self._p.hardware.panel.buzz(0.1)
            case v.Alert(what, detail):
                _log.warning("alert", extra={"what": what, "detail": detail})
                self._books.record("alert", {"what": what, "recording": self._books.recording, "detail": detail})
            case v.Arm():
                self._books.record("armed", {"ring_seconds": self._p.ring_seconds})
            case v.OpenDockPort():
                self._docking.open()
            case v.CloseDockPort():
                self._docking.close()
            case v.Exit():
                self._exit = True

    def _fault(self, where: str, what: str) -> None:
        """Record a fault; the same one over and over is recorded now and then only."""
        _log.error("fault", extra={"where": where, "what": what})
        now, told = self._clock.boot_ns(), self._faults.get((where, what))
        if told is not None and now - told < _FAULT_REPEAT_NS:
            return
        self._faults = {key: at for key, at in self._faults.items() if now - at < _FAULT_REPEAT_NS}
        self._faults[where, what] = now
        self._books.record("fault", {"where": where[:256], "what": what[:1024]})

    # Checks, beats, docking, the end.

    def _self_check(self) -> None:
        """Rule 10: figures for what can be told now; later issues add sharpness, battery and card wear."""
        utc = self._clock.utc()
        checks = {
            "picture": self._awake["picture"],
            "sound": self._awake["sound"],
            "free_bytes": self._p.disk.free(),
            "clock_source": utc.source,
            "clock_error_ms": utc.error_ms,
            "key_certified": bool(self._p.journal.opening.chain),
        }
        wrong = {
            "camera_fault": not checks["picture"],
            "microphone_fault": not checks["sound"],
            "key_fault": not checks["key_certified"],
            "storage_low": not self._p.writer.has_room(),
            "clock_untrusted": utc.source == "none",
        }
        prompts = tuple(key for key, is_wrong in wrong.items() if is_wrong)
        self._books.record("self_check", {"passed": not prompts, "checks": checks})
        _log.info("self-check", extra={"passed": not prompts, **checks})
        self._step(v.SelfChecked(prompts))

    def _heartbeat(self) -> None:
        self._after(_HEARTBEAT_SECONDS, self._heartbeat)
        figures = dict(self._p.hardware.video.counts())
        self._books.record("heartbeat", {"free_bytes": self._p.disk.free(), "figures": figures})

    def _stop(self) -> None:
        hardware = self._p.hardware
        last = Run(lambda: self._p.journal.append("shutdown", {"clean": True}))
        steps: list[Callable[[], object]] = [
            self._reviver.stop,
            hardware.video.stop,
            hardware.microphone.stop,
            self._slow.stop,
            self._p.speaker.stop,
            self._docking.stop,
            lambda: self._p.writer.submit(last),
            self._p.writer.stop,
            hardware.panel.stop,
            self._p.journal.close,
        ]
        for step in steps:
            try:
                step()
            except Exception:  # noqa: BLE001 - the rest must be stopped as well
                _log.exception("something could not be stopped")
