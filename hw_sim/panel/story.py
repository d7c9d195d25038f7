"""What the panel knows of the camera: told by the camera's own log and journal, by nothing else."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from evidence.records import Record


@dataclass(slots=True)
class Spoken:
    """One thing that the camera says; `over` once it has been heard."""

    key: str
    over: bool = False


@dataclass(slots=True)
class Story:
    """The camera as far as it has told. `phase` is the recorder's word."""

    phase: str = "off"
    quiet: bool = False  # buzzes in place of prompts
    confirming: bool = False  # another hold ends the recording
    recording: str | None = None
    open: bool = False  # the recording has not ended
    recorded_ns: int = 0  # attested: the sum of its fragments
    fragments: int = 0
    markers: int = 0
    gaps: int = 0
    last_gap: str | None = None  # cause
    spoken: deque[Spoken] = field(default_factory=lambda: deque(maxlen=8))

    @property
    def situation(self) -> str:
        """The phase, or what the wearer was asked last: the key of `words.HINTS`."""
        if self.phase in {"recording", "degraded"}:
            if self.confirming:
                return "confirm"
            if self.spoken and self.spoken[-1].key.startswith("ask_reason"):
                return "asked"
        return self.phase

    def hear(self, fact: Mapping[str, Any]) -> None:
        """Take a fact of the program's log."""
        match fact.get("message"):
            case "phase":
                self.phase = str(fact["phase"])
            case "another hold":
                self.confirming = bool(fact["ends"])
            case "say":
                key = str(fact["prompt"])
                self.spoken.append(Spoken(key))
                self.quiet = key == "quiet_on" if key in {"quiet_on", "quiet_off"} else self.quiet
            case "said":
                waiting = [one for one in self.spoken if one.key == fact["prompt"] and not one.over]
                if waiting:
                    waiting[0].over = True

    def read(self, record: Record) -> None:
        """Take a record of the journal."""
        body = record.body
        recording = body.get("recording")
        if record.kind == "recording_started" and recording != self.recording:
            self._begin(str(recording))
        if recording is None or recording != self.recording:
            return
        match record.kind:
            case "fragment":
                self.fragments += 1
                self.recorded_ns += body["to_ns"] - body["from_ns"]
            case "marker":
                self.markers += 1
            case "gap":
                self.gaps += 1
                self.last_gap = body["cause"]
            case "recording_ended":
                self.open = False

    def silence(self, phase: str) -> None:
        """The program is gone: nothing that it was about to say will be heard."""
        self.phase, self.quiet, self.confirming = phase, False, False
        for one in self.spoken:
            one.over = True

    def _begin(self, recording: str) -> None:
        self.recording, self.open = recording, True
        self.recorded_ns = self.fragments = self.markers = self.gaps = 0
        self.last_gap = None
