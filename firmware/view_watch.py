"""What the lens sees is judged in a thread of its own (rule 17); what that means is told to loop and journal."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from firmware.books import Books
from firmware.capture.vocabulary import Event, Warned
from firmware.hal.ports import Look
from firmware.loop import Loop
from firmware.reminders import Surroundings
from firmware.view import ViewChange, ViewJudge
from firmware.worker import Worker

_TOLD_AGAIN_NS = 60_000_000_000  # a wearer who cannot help it is told once a minute at most
_AGAIN_SECONDS = 2.0
_BLIND: Final = ("camera_frozen", "camera_black")
_PROMPTS: Final = {
    "covered": "lens_blocked",
    "dark": "view_dark",
    "blurred": "view_blurred",
    "tilted": "view_tilted",
    "sky": "view_sky",
}


class ViewWatch:
    """`look` is called from the driver's thread, the rest from the loop. `wanted` tells if the view matters now."""

    def __init__(
        self, books: Books, loop: Loop, worker: Worker, surroundings: Surroundings, wanted: Callable[[], bool],
        blind: Callable[[str | None], None], step: Callable[[Event], None], now_ns: Callable[[], int],
    ) -> None:  # fmt: skip
        self._books = books
        self._loop = loop
        self._worker = worker
        self._surroundings = surroundings
        self._wanted = wanted
        self._blind = blind
        self._step = step
        self._now_ns = now_ns
        self._judge = ViewJudge()
        self._busy = threading.Event()
        self._present: dict[str, Mapping[str, float | int]] = {}  # findings that last, and their figures
        self._recording: str | None = None
        self._recorded: set[str] = set()  # findings that this recording knows of
        self._told_ns: int | None = None

    def start(self) -> None:
        """Go on telling as long as a finding lasts, and what lasts already when a recording begins."""
        self._loop.every(_AGAIN_SECONDS, self._tell)

    def look(self, look: Look) -> None:
        """Judge a look, unless the one before is not judged yet: a slow board must not pile them up."""
        if not self._busy.is_set():
            self._busy.set()
            self._worker.do(lambda: self._see(look))

    def figures(self) -> Mapping[str, Any]:
        """Moving, sharp, lit: the last look's figures, for the self-check."""
        judge = self._judge
        return {
            "view_motion_permille": round(judge.motion * 1000),
            "view_sharpness_permille": round(judge.sharpness * 1000),
            "view_brightness": round(judge.brightness),
            "view_findings": sorted(self._present),
        }

    def prompts(self) -> tuple[str, ...]:
        """What is wrong with the view now, as prompts."""
        return tuple(_PROMPTS.get(finding, finding) for finding in sorted(self._present))

    def _see(self, look: Look) -> None:
        try:
            self._surroundings.see(look)
            changes = self._judge.look(look)
        finally:
            self._busy.clear()
        if changes:
            self._loop.put(lambda: self._changed(changes))

    def _changed(self, changes: Sequence[ViewChange]) -> None:
        for change in changes:
            if change.finding in _BLIND:
                self._blind(change.finding if change.begins else None)
            if change.begins:
                self._present[change.finding] = change.figures
            else:
                self._present.pop(change.finding, None)
                if change.finding in self._recorded:
                    self._recorded.discard(change.finding)
                    self._record(f"{change.finding}_passed", change.figures)
        self._tell()

    def _tell(self) -> None:
        """Record what is new to the recording, and tell the wearer of what he can help."""
        recording = self._books.recording
        if not self._wanted() or recording is None:
            return
        if recording != self._recording:
            self._recording, self._recorded = recording, set()
        for finding in sorted(self._present.keys() - self._recorded):
            self._recorded.add(finding)
            self._record(finding, self._present[finding])
        now = self._now_ns()
        found = [_PROMPTS[finding] for finding in sorted(self._present) if finding in _PROMPTS]
        if found and (self._told_ns is None or now - self._told_ns >= _TOLD_AGAIN_NS):
            self._told_ns = now
            self._step(Warned(found[0]))

    def _record(self, finding: str, figures: Mapping[str, float | int]) -> None:
        """Numbers in records are whole: thousandths."""
        whole = {f"{name}_permille": round(value * 1000) for name, value in figures.items()}
        self._books.record("view_quality", {"recording": self._books.recording, "finding": finding, "figures": whole})
