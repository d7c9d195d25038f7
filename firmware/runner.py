"""The camera's runner: starts and stops its parts, feeds the recorder with what happens, carries out what it decides.

No decision is made here (that is `firmware.capture.recorder`), and no byte of evidence either (that is
`firmware.books` and `firmware.media`).
"""

from __future__ import annotations

import functools
import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any

from firmware.books import Books
from firmware.capture import recorder
from firmware.capture import vocabulary as v
from firmware.capture.part import EncoderChangedError
from firmware.capture.parts import ready
from firmware.capture.state import RUNNING, Phase, State, lamps
from firmware.capture.writer import Run, StorageError
from firmware.dialogue import Dialogue
from firmware.docking import Docking
from firmware.equipment import Parts
from firmware.hal.ports import Control, Frame, Lamps, Look, SoundBlock, SourceFault, Still
from firmware.loop import Loop
from firmware.sources import Sources
from firmware.storage import Storage
from firmware.voice.tone import TONE
from firmware.watch import Watch
from firmware.worker import Worker

_log = logging.getLogger(__name__)

_BACKLOG_NS = 10_000_000_000  # the writer may fall behind so far before the part is given up (slow_storage)
_CHOICE_SECONDS = 4.0
_RENEWAL_SECONDS = 5.0  # what is being said is not cut off
_BUZZ_SECONDS = 0.3  # from one to the next
_FIND_TIMES = 10
_FIND_SECONDS = 1.0  # from one call to the next
_STILLS_AWAITED = 2  # each may take a second: what comes much later is not the moment that was marked
_FAULT_REPEAT_NS = 10_000_000_000  # the same fault is recorded again only after so long
_EVENTS: Mapping[Control, Callable[[int], v.Event]] = {
    Control.RECORD_PRESSED: v.RecordPressed,
    Control.RECORD_RELEASED: v.RecordReleased,
    Control.RECORD_HELD: v.RecordHeld,
    Control.MARK_PRESSED: v.MarkPressed,
    Control.MARK_HELD: v.MarkHeld,
    Control.MARK_RELEASED: v.MarkReleased,
    Control.DOCKED: lambda _: v.Docked(),
    Control.UNDOCKED: lambda _: v.Undocked(),
}


class Runner:
    """Runs one boot from drivers started to drivers stopped."""

    def __init__(self, parts: Parts, alive: Callable[[], None]) -> None:
        self._p = parts
        self._alive = alive
        hardware, told = parts.hardware, parts.told
        self._clock = hardware.clock
        self._loop = loop = Loop(self._clock, self._take, self._fault)
        self._state = State(notice_attempts=told.notice_attempts, default_activity=told.activity, quiet=told.quiet)
        self._slow = Worker("notice", self.failed)
        self._reviver = Worker("video", self.failed)
        self._stills = Worker("stills", self.failed)
        self._books = books = Books(
            self._clock,
            parts.disk,
            parts.journal,
            parts.writer,
            parts.media,
            hardware.video.counts,
            parts.cut,
            self.post,
        )
        self._dialogue = Dialogue(self._clock, books, parts.prompts, self._slow, loop.after, self.post)
        self._docking = Docking(parts.dock_port, parts.handin, books, self.failed)
        self._sources = Sources(
            hardware.video,
            hardware.microphone,
            loop.put,
            self._look,
            lambda: self._state,
            self._step,
            loop.after,
            self._fault,
            self._reviver,
        )
        self._storage = Storage(self._clock.boot_ns, parts.writer, loop, lambda: not self._state.storage)
        self._watch = Watch(
            parts, books, self._sources, self._dialogue, loop, lambda: self._state, self._step, self._fault, self._say
        )
        self._deeds = self._table()
        self._faults: dict[tuple[str, str], int] = {}
        self._exit = False
        self._renewing = False  # whether a newer configuration waits for another boot
        self.renewed = False  # whether it is what the camera has stopped for
        self._stills_awaited = 0

    # What other threads call.

    def post(self, event: v.Event) -> None:
        """Hand an event to the recorder. Any thread may."""
        self._loop.put(event)

    def said(self, key: str, from_ns: int, to_ns: int) -> None:
        """A prompt was played."""
        _log.info("said", extra={"prompt": key})
        self._dialogue.said(from_ns, to_ns)
        self.post(v.Said(key, from_ns, to_ns))

    def buzz(self, count: int) -> None:
        """Buzz that often instead of speaking."""
        buzz = functools.partial(self._p.hardware.panel.buzz, _BUZZ_SECONDS / 2)
        for number in range(count):
            self._loop.put(functools.partial(self._loop.after, number * _BUZZ_SECONDS, buzz))

    def find(self) -> None:
        """Blink and buzz for a while, so that whoever stands before twenty bays sees which camera is meant."""

        def call_out() -> None:
            for number in range(_FIND_TIMES):
                self._loop.after(number * _FIND_SECONDS, self._call_out)
            self._loop.after(_FIND_TIMES * _FIND_SECONDS, lambda: self._p.hardware.panel.show(lamps(self._state)))

        _log.info("find")
        self._loop.put(call_out)

    def _call_out(self) -> None:
        if self._state.phase not in RUNNING:  # red means that it records, and nothing else
            self._p.hardware.panel.show(Lamps("blinking", "blinking", "blinking"))
        self._p.hardware.panel.buzz(_BUZZ_SECONDS)

    def failed(self, where: str, what: str) -> None:
        """A thread met a fault that the journal must know."""
        self._loop.put(lambda: self._fault(where, what))

    def storage_failed(self, error: StorageError) -> None:
        """A part could not be kept."""
        self.failed("storage", str(error))
        self.post(v.StorageFailed(error.cause))

    def configured(self) -> None:
        """A newer configuration waits for the next boot: begin it once nothing keeps the camera. Any thread may."""
        self._loop.put(self._await_renewal)

    def fitness(self) -> Mapping[str, Any]:
        """How fit the camera is for its next shift. Any thread may."""
        return self._watch.fitness()

    def _control(self, control: Control, at_ns: int) -> None:
        self.post(_EVENTS[control](at_ns))

    def _look(self, look: Look) -> None:
        """Called from the driver's thread."""
        self._watch.view.look(look)

    # The loop.

    def run(self) -> None:
        """Start the drivers, work until `Quit`, stop everything. Raises DriverError if the panel is missing."""
        threading.excepthook = self._thread_died
        try:
            self.start()
            while not self._exit:
                self._loop.turn()
                self._alive()
        finally:
            self.stop()

    def start(self) -> None:
        """Start the threads and the drivers."""
        self._p.writer.start()
        self._p.speaker.quiet = self._state.quiet
        self._p.speaker.start()
        self._slow.start()
        self._reviver.start()
        self._stills.start()
        self._books.record("assigned", self._p.assigned)
        self._p.hardware.panel.start(self._control)
        self._sources.start()
        self.post(ready(self._p.cut, docked=self._p.hardware.panel.docked()))
        self._docking.start()
        self._watch.start()

    def _take(self, item: Any) -> None:
        if isinstance(item, Frame):
            self._picture(item)
        elif isinstance(item, SoundBlock):
            self._sound(item)
        elif isinstance(item, SourceFault):
            self._sources.failed(item)
        elif callable(item):
            item()
        else:
            self._step(item)
            if isinstance(item, v.Said) and item.key == TONE.key:
                self._watch.tone_said(item.from_ns, item.to_ns)
        if self._p.media.recording and self._p.writer.backlog_ns() > _BACKLOG_NS:
            self._step(v.StorageFailed("slow_storage"))

    def _step(self, event: v.Event) -> None:
        before = self._state
        self._state, commands = recorder.step(self._state, event)
        if self._renewing and (isinstance(event, v.HandedIn) or self._state.phase is not before.phase):
            self._await_renewal()
        if self._state.phase is not before.phase:
            _log.info("phase", extra={"phase": self._state.phase.value})
        if (ends := self._state.hold_ns is not None) != (before.hold_ns is not None):
            _log.info("another hold", extra={"ends": ends})
        for command in commands:
            with self._loop.surviving(type(command).__name__):
                self._deeds[type(command)](command)

    def _await_renewal(self) -> None:
        self._renewing = True
        self._loop.after(_RENEWAL_SECONDS, self._renew)

    def _renew(self) -> None:
        """Not while it is worn or records: an officer must find it armed. It may be handed out again at once."""
        if self._state.phase is Phase.DOCKED and self._p.handin.complete:
            self.renewed = True
            self._step(v.Quit())

    def _picture(self, frame: Frame) -> None:
        self._sources.came(picture=True)
        try:
            self._p.media.picture(frame)
        except EncoderChangedError:
            self._books.end_part()
            self._books.begin_part(v.BeginPart(None, "encoder_changed", self._state.mode, self._state.activity))

    def _sound(self, block: SoundBlock) -> None:
        self._sources.came(picture=False)
        self._dialogue.hear(block)
        self._watch.hear(block)
        self._p.media.sound(block)

    # Commands.

    def _table(self) -> Mapping[type[v.Command], Callable[[Any], None]]:
        """What carries out each command."""
        books, dialogue, docking, loop = self._books, self._dialogue, self._docking, self._loop
        return {
            v.BeginPart: books.begin_part,
            v.EndPart: lambda _: self._end_part(),
            v.EndRecording: lambda c: books.end(c.interrupted, c.ground),
            v.KeepStop: lambda c: books.keep_stop(c.ground, c.at_ns),
            v.KeepActivity: lambda c: books.keep_activity(c.activity),
            v.Say: lambda c: self._say(c.key, *c.more),
            v.CheckNotice: lambda c: dialogue.check_notice(c.attempt, c.from_ns, c.to_ns),
            v.ListenForAnswer: lambda c: dialogue.listen(c.from_ns, self._p.told.answer_seconds),
            v.KeepReason: lambda c: books.keep_reason(c.gap_seq, c.basis, c.from_ns, c.to_ns),
            v.Mark: lambda c: self._mark(c.at_ns, still=c.still),
            v.AwaitConfirm: lambda c: loop.after(self._p.confirm_seconds, lambda: self._step(v.ConfirmOver(c.held_ns))),
            v.AwaitChoice: lambda c: loop.after(_CHOICE_SECONDS, lambda: self._step(v.ChoiceOver(c.chosen_ns))),
            v.TellStatus: lambda c: self._watch.check(status=True) if c.check else self._watch.tell(),
            v.Quiet: lambda c: self._quiet(on=c.on),
            v.Alert: lambda c: self._alert(c.what, c.detail),
            v.Arm: lambda _: self._arm(),
            v.OpenDockPort: lambda _: docking.open(),
            v.CloseDockPort: lambda _: docking.close(),
            v.Show: self._show,
            v.Exit: lambda _: self._leave(),
        }

    def _end_part(self) -> None:
        self._books.end_part()
        if not self._state.storage:
            self._storage.try_later()

    def _say(self, *keys: str) -> None:
        for key in keys:
            _log.info("say", extra={"prompt": key})
        self._p.speaker.say(*(self._p.prompts[key] for key in keys))

    def _quiet(self, *, on: bool) -> None:
        self._p.speaker.quiet = on

    def _mark(self, at_ns: int, *, still: bool) -> None:
        self._books.mark(at_ns)
        if not still:
            return
        if self._stills_awaited == _STILLS_AWAITED:
            self._fault("still", "not taken: the camera has not given those before it yet")
            return
        self._stills_awaited += 1
        recording = self._books.recording
        self._stills.do(lambda: self._take_still(recording))

    def _take_still(self, recording: str | None) -> None:
        still: Still | None = None
        try:
            still = self._p.hardware.video.still()
        finally:
            self._loop.put(lambda: self._keep_still(recording, still))

    def _keep_still(self, recording: str | None, still: Still | None) -> None:
        self._stills_awaited -= 1
        now = self._books.recording
        if None not in (recording, now) and recording != now:
            self._fault("still", "not kept: its recording has ended")
        elif still is not None:
            self._p.media.still(still)

    def _alert(self, what: str, detail: str) -> None:
        _log.warning("alert", extra={"what": what, "detail": detail})
        self._books.record("alert", {"what": what, "recording": self._books.recording, "detail": detail})

    def _arm(self) -> None:
        self._p.media.forget()
        self._books.record("armed", {"ring_seconds": self._p.told.pre_event_seconds})

    def _show(self, command: v.Show) -> None:
        self._p.hardware.panel.show(command.lamps)
        if command.buzz:
            self._p.hardware.panel.buzz(0.1)

    def _leave(self) -> None:
        self._exit = True

    # Faults, and the end.

    def _fault(self, where: str, what: str) -> None:
        """Record a fault; the same one over and over is recorded now and then only."""
        _log.error("fault", extra={"where": where, "what": what})
        now, told = self._clock.boot_ns(), self._faults.get((where, what))
        if told is not None and now - told < _FAULT_REPEAT_NS:
            return
        self._faults = {key: at for key, at in self._faults.items() if now - at < _FAULT_REPEAT_NS}
        self._faults[where, what] = now
        self._books.record("fault", {"where": where[:256], "what": what[:1024]})

    def _thread_died(self, died: threading.ExceptHookArgs) -> None:
        """No thread dies silently, a library's neither: the watchdogs start again what it had done."""
        name = died.thread.name if died.thread else "a thread"
        _log.error("thread died", extra={"dead": name}, exc_info=died.exc_value)
        self.failed("thread", f"{name}: {died.exc_type.__name__}: {died.exc_value}")

    def stop(self) -> None:
        """Stop the drivers, write the last record, end the threads."""
        hardware = self._p.hardware
        last = Run(lambda: self._p.journal.append("shutdown", {"clean": True}))
        steps: list[Callable[[], object]] = [
            lambda: self._reviver.do(hardware.video.stop),  # there it may hang and keep nothing from being stopped
            self._stills.stop,
            self._watch.stop,
            hardware.microphone.stop,
            self._slow.stop,
            self._p.speaker.stop,
            self._docking.stop,
            lambda: self._p.writer.submit(last),
            self._p.writer.stop,
            hardware.panel.stop,
            self._reviver.stop,
            self._p.journal.close,
        ]
        for step in steps:
            try:
                step()
            except Exception:  # noqa: BLE001 - the rest must be stopped as well
                _log.exception("something could not be stopped")
