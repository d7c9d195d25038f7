"""The runner: carries out what the recorder decides. One loop takes frames, sound and events in order.

Drivers, speaker, writer and dock port have threads of their own and only put things into the loop's queue. Nothing in
the loop waits for a disk, a loudspeaker or a network.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import queue
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from evidence import records
from evidence.errors import EvidenceError
from evidence.records import Stamp
from firmware.capture import recorder, recovery
from firmware.capture import vocabulary as v
from firmware.capture.journal_writer import JournalWriter
from firmware.capture.part import EncoderChangedError
from firmware.capture.recovery import OpenRecording
from firmware.capture.writer import Run, StorageError, Writer
from firmware.dock_port import DockPort
from firmware.hal.ports import Clock, Control, Frame, Microphone, Panel, SoundBlock, SourceFault, VideoSource
from firmware.handin import HandIn
from firmware.listening import Hearing
from firmware.media import Media, PartPlan
from firmware.speaker import Speaker
from firmware.voice import notice
from firmware.voice.prompts import Prompt
from runtime.disk import Disk

_log = logging.getLogger(__name__)

_BACKLOG_NS = 10_000_000_000  # the writer may fall behind so far before the part is given up (slow_storage)
_HEARTBEAT_SECONDS = 60.0
_STORAGE_RETRY_SECONDS = 2.0
_NOTICE_MARGIN_NS = 700_000_000  # the room's and the card's delay after the loudspeaker is done
_SILENT_SECONDS = 5.0  # no sound at all by then: the notice was not heard
_PICTURE_CAUSES = frozenset({"camera_stall", "camera_lost", "encoder_stall"})
_SOUND_CAUSES = frozenset({"microphone_lost"})


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


class Runner:
    """Runs one boot from drivers started to drivers stopped."""

    def __init__(self, parts: Parts, alive: Callable[[], None]) -> None:
        self._p = parts
        self._alive = alive
        self._clock = parts.hardware.clock
        self._queue: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._timers: list[tuple[int, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._state = recorder.State(notice_attempts=parts.notice_attempts)
        self._hearing = Hearing()
        self._recording: str | None = None
        self._recordings = itertools.count(1)
        self._part = 0
        self._next_segment = 0
        self._last_ns = 0
        self._cut = parts.cut
        self._started = threading.Event()
        self._exit = False
        self._awake = {"picture": False, "sound": False}

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
        """The writer was refused."""
        self.failed("storage", str(error))
        self.post(v.StorageFailed(error.cause))

    def _control(self, control: Control, at_ns: int) -> None:
        events: dict[Control, v.Event] = {
            Control.RECORD_PRESSED: v.RecordPressed(at_ns),
            Control.RECORD_HELD: v.RecordHeld(at_ns),
            Control.MARK_PRESSED: v.MarkPressed(at_ns),
            Control.MARK_RELEASED: v.MarkReleased(at_ns),
            Control.DOCKED: v.Docked(),
            Control.UNDOCKED: v.Undocked(),
        }
        if control in events:
            self.post(events[control])

    # The loop.

    def run(self) -> None:
        """Start the drivers, work until `Quit`, stop everything."""
        hardware = self._p.hardware
        self._p.speaker.start()
        hardware.panel.start(self._control)
        hardware.microphone.start(self._queue.put, self._queue.put)
        hardware.video.start(self._queue.put, self._queue.put)
        self.post(v.Ready(self._cut is not None, hardware.panel.docked()))
        self._after(5.0, self._self_check)
        self._after(_HEARTBEAT_SECONDS, self._heartbeat)
        try:
            while not self._exit:
                self._turn()
        finally:
            self._stop()

    def _turn(self) -> None:
        now = self._clock.boot_ns()
        while self._timers and self._timers[0][0] <= now:
            heapq.heappop(self._timers)[2]()
        wait = min(1.0, (self._timers[0][0] - now) / 1e9) if self._timers else 1.0
        try:
            item = self._queue.get(timeout=max(wait, 0.0))
        except queue.Empty:
            self._alive()
            return
        try:
            self._take(item)
        except (EvidenceError, OSError) as error:
            _log.exception("a step failed; the recorder goes on")
            self._fault("runner", f"{type(item).__name__}: {error}")
        self._alive()

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
            self._end_part()
            self._begin_part(None, "encoder_changed")
        if self._p.media.recording and self._p.writer.backlog_ns() > _BACKLOG_NS:
            self._step(v.StorageFailed("slow_storage"))

    def _sound(self, block: SoundBlock) -> None:
        self._awake["sound"] = True
        if not self._state.sound:
            self._step(v.SourceBack(picture=False))
        self._hearing.add(block)
        self._p.media.sound(block)

    def _source_fault(self, fault: SourceFault) -> None:
        self._fault(fault.cause, fault.detail)
        if fault.cause in _PICTURE_CAUSES and self._state.picture:
            self._step(v.SourceLost(picture=True, cause=fault.cause))
        elif fault.cause in _SOUND_CAUSES and self._state.sound:
            self._step(v.SourceLost(picture=False, cause=fault.cause))

    # Commands.

    def _do(self, command: v.Command) -> None:
        match command:
            case v.BeginPart(pressed_ns, cause):
                self._begin_part(pressed_ns, cause)
            case v.EndPart():
                self._end_part()
            case v.EndRecording(interrupted):
                self._end_recording(interrupted)
            case v.Say(key):
                _log.info("say", extra={"prompt": key})
                self._p.speaker.say(self._p.prompts[key])
            case v.CheckNotice(attempt, from_ns, to_ns):
                self._await_sound(to_ns + _NOTICE_MARGIN_NS, lambda: self._check_notice(attempt, from_ns, to_ns))
            case v.ListenForAnswer():
                from_ns = self._clock.boot_ns()
                self._after(self._p.answer_seconds, lambda: self._answer_over(from_ns))
            case v.AwaitConfirm():
                self._after(self._p.confirm_seconds, lambda: self._step(v.ConfirmOver()))
            case v.Show(lamps, buzz):
                self._p.hardware.panel.show(lamps)
                if buzz:
                    self._p.hardware.panel.buzz(0.1)
            case v.OpenDockPort():
                self._open_dock_port()
            case v.CloseDockPort():
                self._close_dock_port()
            case _:
                self._note(command)

    def _note(self, command: v.Command) -> None:
        """The commands that only write a record, and the last one."""
        recording = self._recording
        match command:
            case v.Exit():
                self._exit = True
            case v.Arm():
                self._record("armed", {"ring_seconds": self._p.ring_seconds})
            case v.Mark(at_ns) if recording:
                self._record("marker", {"recording": recording, "at_ns": at_ns})
            case v.KeepReason(gap_seq, basis, from_ns, to_ns) if recording:
                body = {"recording": recording, "gap_seq": gap_seq, "basis": basis, "from_ns": from_ns, "to_ns": to_ns}
                self._record("gap_reason", body)
            case v.Alert(what, detail):
                _log.warning("alert", extra={"what": what, "detail": detail})
                self._record("alert", {"what": what, "recording": recording, "detail": detail})

    def _record(self, kind: str, body: Mapping[str, Any]) -> None:
        """Queue a record behind what is recorded so far; the writer's thread makes it durable."""
        self._p.writer.submit(Run(lambda: self._append(kind, body)))

    def _append(self, kind: str, body: Mapping[str, Any]) -> int:
        return self._p.journal.append(kind, body)

    def _fault(self, where: str, what: str) -> None:
        _log.error("fault", extra={"where": where, "what": what})
        self._record("fault", {"where": where[:4096], "what": what[:4096]})

    # Recording.

    def _begin_part(self, pressed_ns: int | None, cause: str | None) -> None:
        cut, self._cut = self._cut, None
        if cut is not None:
            self._recording, self._part, self._next_segment = cut.id, cut.part, cut.next_segment
            cause = "crash" if cut.kernel_boot == self._clock.kernel_boot else "power_cut"
        resumed = self._recording is not None
        if self._recording is None:
            self._recording = records.recording_id(self._p.journal.chain.boot, next(self._recordings))
            self._part, self._next_segment = 0, 0
        self._part += 1
        recording, part, last_ns = self._recording, self._part, self._last_ns
        _log.info("recording", extra={"recording": recording, "part": part})

        def began(start_ns: int, ring_from_ns: int | None) -> None:
            body = {
                "recording": recording,
                "part": part,
                "resumed": resumed,
                "activity": cut.activity if cut else self._p.activity,
                "pressed_ns": pressed_ns,
                "ring_from_ns": ring_from_ns,
            }
            self._append("recording_started", body)
            gap = self._gap(cut, recording, part, cause or "unknown", last_ns, start_ns) if resumed else None
            self.post(v.PartBegan(gap))
            if cut is not None:
                self._p.writer.submit(Run(lambda: self._close_books(cut, cause or "unknown")), later=True)

        sound_from_ns = 0 if resumed or pressed_ns is None else pressed_ns
        plan = PartPlan(recording, part, self._next_segment, sound_from_ns, began)
        self._p.media.begin(plan, with_ring=not resumed)

    def _gap(
        self, cut: OpenRecording | None, recording: str, part: int, cause: str, last_ns: int, first_ns: int
    ) -> int:
        kernel_boot = self._clock.kernel_boot
        same_clock = cut is None or cut.kernel_boot == kernel_boot
        if cut is None:
            least = greatest = max(0, first_ns - last_ns) // 1_000_000
        else:
            last_ns = cut.last_ns
            least, bound = recovery.gap_bounds(cut, first_ns, self.stamp(), kernel_boot)
            greatest = -1 if bound is None else bound
        body = {
            "recording": recording,
            "after_part": part - 1,
            "before_part": part,
            "cause": cause,
            "last_ns": last_ns,
            "first_ns": first_ns,
            "same_clock": same_clock,
            "min_ms": least,
            "max_ms": None if greatest < 0 else greatest,
        }
        return self._append("gap", body)

    def _close_books(self, cut: OpenRecording, cause: str) -> None:
        """Step R5: late records for what a cut left open, when the live part is safe."""
        for unfinished in cut.unfinished:
            self._append("segment", recovery.late_segment(self._p.disk, unfinished))
        for hole in cut.holes:
            length = (hole.first_ns - hole.last_ns) // 1_000_000
            body = {
                "recording": cut.id,
                "after_part": hole.part,
                "before_part": hole.part,
                "cause": cause,
                "last_ns": hole.last_ns,
                "first_ns": hole.first_ns,
                "same_clock": True,
                "min_ms": length,
                "max_ms": length,
            }
            self._append("gap", body)

    def _end_part(self) -> None:
        ended = self._p.media.end()
        if ended is not None:
            self._last_ns, self._next_segment = ended
        if self._state.cause in ("storage_full", "storage_failing", "slow_storage"):
            self._after(_STORAGE_RETRY_SECONDS, self._retry_storage)

    def _end_recording(self, interrupted: str | None) -> None:
        recording, self._recording = self._recording, None
        if recording is None:
            return
        ended = self._p.media.end()
        if ended is not None:
            self._last_ns, self._next_segment = ended
        counts = self._p.hardware.video.counts()
        body = {
            "recording": recording,
            "parts": self._part,
            "segments": self._next_segment,
            "frames_delivered": counts["delivered"],
            "frames_encoded": counts["encoded"],
            "frames_dropped": counts["dropped"],
        }
        if interrupted is not None and ended is None:
            gap = {
                "recording": recording,
                "after_part": self._part,
                "before_part": None,
                "cause": interrupted,
                "last_ns": self._last_ns,
                "first_ns": None,
                "same_clock": True,
                "min_ms": 0,
                "max_ms": None,
            }
            self._record("gap", gap)
        self._p.writer.submit(Run(self._settle))
        self._record("recording_ended", body)

    def _settle(self) -> None:
        """Close the books of segments that the disk refused to close, before their recording ends."""
        found = recovery.recover(self._p.disk).recording
        for unfinished in found.unfinished if found else ():
            self._append("segment", recovery.late_segment(self._p.disk, unfinished))

    def _retry_storage(self) -> None:
        if self._state.phase is not recorder.Phase.INTERRUPTED:
            return
        if self._p.writer.backlog_ns() == 0 and self._p.writer.has_room():
            self._p.writer.submit(Run(self._settle))
            self._step(v.StorageBack())
        else:
            self._after(_STORAGE_RETRY_SECONDS, self._retry_storage)

    # Notice and answer.

    def _await_sound(self, until_ns: int, action: Callable[[], None]) -> None:
        """Do `action` when the microphone has delivered sound up to `until_ns`, or has been silent for too long."""
        deadline = until_ns + int(_SILENT_SECONDS * 1e9)

        def look() -> None:
            if self._hearing.latest_ns >= until_ns or self._clock.boot_ns() > deadline:
                action()
            else:
                self._after(0.1, look)

        look()

    def _check_notice(self, attempt: int, from_ns: int, to_ns: int) -> None:
        sound, first_ns = self._hearing.span(from_ns, to_ns + _NOTICE_MARGIN_NS)
        prompt = self._p.prompts["notice"]
        recording = self._recording

        def look() -> None:
            found = notice.find(sound, np.frombuffer(prompt.pcm, np.int16), prompt.rate)
            start_ns = first_ns + found.offset_samples * 1_000_000_000 // 48_000
            body = {
                "recording": recording,
                "attempt": attempt,
                "heard": found.heard,
                "score_permille": round(found.score * 1000),
                "from_ns": start_ns if found.heard else from_ns,
                "to_ns": start_ns + len(prompt.pcm) // 2 * 1_000_000_000 // prompt.rate if found.heard else to_ns,
            }
            if recording is not None:
                self._record("notice", body)
            _log.info("notice", extra={"heard": found.heard, "score": round(found.score, 3), "attempt": attempt})
            self.post(v.NoticeChecked(found.heard))

        # A second of arithmetic on a slow board: not in the loop that takes the frames.
        threading.Thread(target=look, name="notice", daemon=True).start()

    def _answer_over(self, from_ns: int) -> None:
        to_ns = self._clock.boot_ns()
        self._step(v.AnswerOver(self._hearing.spoken(from_ns, to_ns), from_ns, to_ns))

    # Checks, beats, docking, the end.

    def _self_check(self) -> None:
        """Rule 10: figures for what can be told now; later issues add sharpness, battery and card wear."""
        utc = self._clock.utc()
        free = self._p.disk.free()
        checks = {
            "picture": self._awake["picture"],
            "sound": self._awake["sound"],
            "free_bytes": free,
            "clock_source": utc.source,
            "clock_error_ms": utc.error_ms,
            "key_certified": bool(self._p.journal.opening.chain),
        }
        prompts = [
            key
            for key, wrong in (
                ("camera_fault", not checks["picture"]),
                ("microphone_fault", not checks["sound"]),
                ("key_fault", not checks["key_certified"]),
                ("storage_low", not self._p.writer.has_room()),
                ("clock_untrusted", utc.source == "none"),
            )
            if wrong
        ]
        self._record("self_check", {"passed": not prompts, "checks": checks})
        _log.info("self-check", extra={"passed": not prompts, **checks})
        self._step(v.SelfChecked(tuple(prompts)))

    def _heartbeat(self) -> None:
        figures = dict(self._p.hardware.video.counts())
        self._record("heartbeat", {"free_bytes": self._p.disk.free(), "figures": figures})
        self._after(_HEARTBEAT_SECONDS, self._heartbeat)

    def _open_dock_port(self) -> None:
        self._p.handin.docked()
        self._record("docked", {"docked": True})
        self._p.dock_port.start()

    def _close_dock_port(self) -> None:
        self._record("docked", {"docked": False})
        # Stopping waits for requests in flight: not in the loop.
        threading.Thread(target=self._p.dock_port.stop, name="dock-port-stop", daemon=True).start()

    def stamp(self) -> Stamp:
        """Both clocks now."""
        utc = self._clock.utc()
        return Stamp(self._clock.boot_ns(), utc.ms, utc.source, utc.error_ms)

    def _stop(self) -> None:
        hardware = self._p.hardware
        hardware.video.stop()
        hardware.microphone.stop()
        self._p.speaker.stop()
        self._p.dock_port.stop()
        self._record("shutdown", {"clean": True})
        self._p.writer.stop()
        hardware.panel.stop()
        self._p.journal.close()
