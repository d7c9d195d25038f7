"""What the camera looks after by itself: the check before use (rule 10), beats, reminders, and the status on demand."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from evidence import shape
from firmware.books import Books
from firmware.capture.state import RUNNING, State
from firmware.capture.vocabulary import Event, SelfChecked, Warned
from firmware.care import Care
from firmware.clock_discipline import Believable, trusted
from firmware.dialogue import Dialogue
from firmware.equipment import Parts
from firmware.hal.ports import SoundBlock
from firmware.loop import Loop
from firmware.reminders import Facts, Reminders, Surroundings
from firmware.self_check import Found, Tone
from firmware.sources import Sources
from firmware.view_watch import ViewWatch
from firmware.voice import phrases
from firmware.voice.tone import TONE
from firmware.whereabouts import Whereabouts
from firmware.worker import Worker

_HEARTBEAT_SECONDS = 60.0
_SELF_CHECK_SECONDS = 5.0
_TONE_SECONDS = 8.0  # a tone that was not said by then will not be
_NOT_FITNESS = frozenset(
    {"battery_low", "storage_low", "clock_untrusted", "not_assigned"}  # told as they are now, not as they were then
    | {"camera_black", "lens_blocked", "view_blurred", "view_dark", "view_sky", "view_tilted"}  # of the place, a bay
)
_log = logging.getLogger(__name__)


class Watch:
    """Called from the loop, `view.look` from the lens's thread. `say(*keys)` says a phrase."""

    def __init__(
        self, parts: Parts, books: Books, sources: Sources, dialogue: Dialogue, loop: Loop, state: Callable[[], State],
        step: Callable[[Event], None], fault: Callable[[str, str], None], say: Callable[..., None],
    ) -> None:  # fmt: skip
        self._p = parts
        self._books = books
        self._sources = sources
        self._dialogue = dialogue
        self._loop = loop
        self._state = state
        self._step = step
        self._say = say
        hardware = parts.hardware
        self._clock = hardware.clock

        def failed(where: str, what: str) -> None:
            loop.put(lambda: fault(where, what))

        self._senses, self._eye = Worker("senses", failed), Worker("eye", failed)
        self._surroundings = Surroundings()
        self.view = ViewWatch(
            books, loop, self._eye, self._surroundings, self._sees, sources.blind, step, self._clock.boot_ns
        )
        self._care = Care(
            self._clock, parts.disk, hardware.battery, hardware.board, loop, self._senses, step, fault,
            lambda: books.recording, reserve_bytes=parts.reserve_bytes,
            planned_bytes_per_second=parts.planned_bytes_per_second,
        )  # fmt: skip
        believable = Believable.since(shape.utc_ms(parts.told.issued))
        self._whereabouts = Whereabouts(
            self._clock, hardware.receiver, hardware.place, believable, parts.told.recipients, books, loop, fault
        )
        self._reminders = Reminders(parts.reminders)
        self._held_since_ms: int | None = None
        self._checks = 0
        self._waiting: int | None = None  # the number of the check that waits for its tone
        self._status = False
        self._wrong: tuple[str, ...] | None = None  # what the last check found; None: there was none yet

    def start(self) -> None:
        """Check the camera once its drivers have had time to give something, and look after it from then on."""
        self._senses.start()
        self._eye.start()
        self._care.start()
        self.view.start()
        self._whereabouts.start()
        self._loop.after(_SELF_CHECK_SECONDS, lambda: self.check(status=False))
        self._loop.every(_HEARTBEAT_SECONDS, self._beat)
        self._senses.do(self._ask_held)

    def stop(self) -> None:
        """End the threads."""
        self._whereabouts.stop()
        self._eye.stop()
        self._senses.stop()

    def hear(self, block: SoundBlock) -> None:
        """Take the next block of the microphone's sound; the camera's own voice is none of the surroundings'."""
        if self._p.speaker.speaking_since_ns is None:
            self._surroundings.hear(block)

    def _sees(self) -> bool:
        """Whether the view matters now: a camera that lies on a table or records sound only tells nothing of it."""
        state = self._state()
        return state.phase in RUNNING and state.mode == "picture_and_sound"

    # The check.

    def check(self, *, status: bool) -> None:
        """Check the camera; `status`: tell afterwards what battery, storage and clock still give."""
        self._status |= status
        if self._waiting is not None:
            return  # one is under way
        state = self._state()
        if state.phase in RUNNING or state.quiet or not state.sound:
            self._conclude(None)  # a recording is not disturbed, and its notice tells the same
            return
        self._checks += 1
        number = self._waiting = self._checks
        self._p.speaker.say(TONE)
        unheard = Tone(heard=False, score_permille=0, room_dbfs=None)
        self._loop.after(_TONE_SECONDS, lambda: self._tone_found(number, unheard))

    def tone_said(self, from_ns: int, to_ns: int) -> None:
        """The tone was played."""
        number = self._waiting
        if number is not None and to_ns - from_ns < TONE.seconds * 1e9:
            self._waiting = None
            self._conclude(None)  # it was cut short by something more urgent, or not played at all
        elif number is not None:
            self._dialogue.find_tone(
                from_ns, to_ns, lambda tone: self._loop.put(lambda: self._tone_found(number, tone))
            )

    def _tone_found(self, number: int, tone: Tone) -> None:
        if number == self._waiting:
            self._waiting = None
            self._conclude(tone)

    def _conclude(self, tone: Tone | None) -> None:
        state, awake = self._state(), self._sources.awake
        found = Found(
            picture=awake["picture"] and state.picture,
            sound=awake["sound"] and state.sound,
            view=self.view.figures(),
            view_prompts=self.view.prompts(),
            tone=tone,
            power=self._care.power,
            gauge_missing=self._care.gauge_missing,
            storage=self._care.storage,
            has_room=self._care.has_room,
            utc=self._clock.utc(),
            certified=bool(self._p.journal.opening.chain),
            journal_head=self._p.journal.head()[0],
            journal_torn=self._p.torn,
            assigned=self._p.told.assigned,
            planned_minutes=self._p.told.planned_shift_minutes,
        )
        wrong, figures = found.wrong(), found.figures()
        self._wrong = wrong
        self._books.record("self_check", {"passed": not wrong, "checks": figures})
        _log.info("self-check", extra={"passed": not wrong, "wrong": wrong, **figures})
        self._step(SelfChecked(wrong))
        if self._status:
            self._status = False
            self.tell()

    def fitness(self) -> dict[str, Any]:
        """How fit the camera is for its next shift (docs/spec/dock.md §6). For any thread."""
        power, storage, utc = self._care.power, self._care.storage, self._clock.utc()
        return {
            "wrong": None if self._wrong is None else [key for key in self._wrong if key not in _NOT_FITNESS],
            "battery_percent": None if power is None else round(power.percent),
            "battery_minutes": None if power is None else round(power.hours * 60),
            "charging": None if power is None else power.charging,
            "storage_minutes": None if storage is None else round(storage.hours * 60),
            "clock_trusted": trusted(utc),
            "assigned": self._p.told.assigned,
            "planned_minutes": self._p.told.planned_shift_minutes,
        }

    def tell(self) -> None:
        """Say for how long battery and storage last, and whether the clock is right."""
        care = self._care
        self._say(
            *phrases.status(
                care.power.hours if care.power else None,
                care.storage.hours if care.storage else None,
                clock_trusted=trusted(self._clock.utc()),
            )
        )

    # Beats and reminders.

    def _beat(self) -> None:
        backlog_ms = self._p.writer.backlog_ns() // 1_000_000
        figures = {**self._p.hardware.video.counts(), **self._care.figures(), "backlog_ms": backlog_ms}
        self._books.record("heartbeat", {"free_bytes": self._care.free_bytes(), "figures": figures})
        self._senses.do(self._ask_held)
        for prompt in self._reminders.tick(self._facts()):
            self._step(Warned(prompt))

    def _ask_held(self) -> None:
        held = self._p.handin.held_since_ms()
        self._loop.put(lambda: self._set_held(held))

    def _set_held(self, held_since_ms: int | None) -> None:
        self._held_since_ms = held_since_ms

    def _facts(self) -> Facts:
        state, utc = self._state(), self._clock.utc()
        fix, now = self._whereabouts.fix, self._clock.boot_ns()
        return Facts(
            now,
            assigned=self._p.told.assigned,
            docked=state.docked,
            recording_from_ns=self._books.began_ns,
            speed_mps=fix.speed_mps if fix else None,
            motion_levels=self._surroundings.motion_levels(now),
            loudness_dbfs=self._surroundings.loudness_dbfs(now),
            utc_ms=utc.ms if trusted(utc) else None,
            held_since_ms=self._held_since_ms,
        )
