"""The check before use (rule 10): each figure against what the planned shift needs. Pure.

A failed check warns and is recorded; it never refuses a recording that is possible.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from firmware.clock_discipline import trusted
from firmware.hal.ports import Utc
from firmware.health import Storage
from firmware.power import Power


@dataclass(frozen=True, slots=True)
class Tone:
    """What the microphone heard of the camera's own tone."""

    heard: bool
    score_permille: int  # correlation
    room_dbfs: int | None  # level of the room's sound meanwhile


@dataclass(frozen=True, slots=True)
class Found:
    """What the check found out. None: there is no such device, or it was not asked (a recording runs)."""

    picture: bool  # pictures have come
    sound: bool
    view: Mapping[str, Any]  # moving, sharp, lit
    view_prompts: tuple[str, ...]  # what is wrong with it
    tone: Tone | None
    power: Power | None
    gauge_missing: bool  # a fuel gauge is configured and does not answer
    storage: Storage | None
    has_room: bool
    utc: Utc
    certified: bool  # the session key, by the camera's evidence key
    journal_head: int  # number of the last durable record
    journal_torn: int  # torn tails that this boot set aside
    assigned: bool
    planned_minutes: int

    def wrong(self) -> tuple[str, ...]:
        """Prompts of what is wrong, the gravest first."""
        power, storage, planned = self.power, self.storage, self.planned_minutes
        too_weak = power is not None and not power.charging and power.hours * 60 < planned
        too_full = storage is not None and storage.hours * 60 < planned
        found = {
            "camera_fault": not self.picture,
            **dict.fromkeys(self.view_prompts, self.picture),
            "microphone_fault": not self.sound,
            "microphone_silent": self.sound and self.tone is not None and not self.tone.heard,
            "key_fault": not self.certified,
            "storage_low": too_full or not self.has_room,
            "battery_low": too_weak or self.gauge_missing,
            "card_worn": storage is not None and storage.worn,
            "clock_untrusted": not trusted(self.utc),
            "not_assigned": not self.assigned,
        }
        return tuple(key for key, is_wrong in found.items() if is_wrong)

    def figures(self) -> dict[str, Any]:
        """For the `self_check` record."""
        tone: dict[str, Any] = {"tone_heard": None}
        if self.tone is not None:
            tone = {
                "tone_heard": self.tone.heard,
                "tone_score_permille": self.tone.score_permille,
                "room_dbfs": self.tone.room_dbfs,
            }
        return {
            "picture": self.picture,
            "sound": self.sound,
            **self.view,
            **tone,
            **(self.power.figures() if self.power else {"battery_level": None}),
            **(self.storage.figures() if self.storage else {}),
            "free_bytes": self.storage.free_bytes if self.storage else None,
            "clock_source": self.utc.source,
            "clock_error_ms": self.utc.error_ms,
            "key_certified": self.certified,
            "journal_head": self.journal_head,
            "journal_torn": self.journal_torn,
            "assigned": self.assigned,
            "planned_minutes": self.planned_minutes,
        }
