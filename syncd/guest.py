"""One camera as a bay works with it: handed in, or to quarantine; brought its papers; judged for the next shift."""

from __future__ import annotations

import hashlib
import math
import threading
from datetime import UTC, datetime

from evidence.standing import Standing
from syncd.camera import Camera, CameraPapers
from syncd.errors import AwayError
from syncd.gate import EMPTY, Seen, judge
from syncd.handin import Dock, HandIn
from syncd.office import Office
from syncd.quarantine import Quarantine
from syncd.returns import Returns

_UNJUDGED = judge(Seen(Standing.GOOD, handed_in=False, papers=None, lists=None, link_seconds=math.inf))
"""Of a camera that has just come: it is not offered before it was looked at."""


class Guest:
    """The camera `handin.device`, whichever bay it is in. One thread works on it at a time."""

    def __init__(self, handin: HandIn, dock: Dock) -> None:
        self.handin = handin
        self.device = handin.device
        self._lists = dock.lists
        tries = handin.tries
        self._returns = None if dock.lists is None else Returns(self.device, dock.lists, tries)
        self._quarantine = (
            None if dock.lists is None else Quarantine(self.device, dock.name, dock.roots, dock.lists.now, tries)
        )
        self.standing = Standing.GOOD
        self.offer = EMPTY
        self._lock = threading.Lock()
        self._host: object = None  # the bay that saw it last

    def begin(self, host: object) -> None:
        """The camera has come to the bay `host`."""
        with self._lock:
            self._host = host
            if self._returns is not None and self._quarantine is not None:
                self._returns.begin()
                self._quarantine.begin()
                self.offer = _UNJUDGED
            self.handin.begin()

    def lost(self, away: AwayError, host: object) -> None:
        """The camera has gone from `host`, or cannot be worked with. If another bay has it by now, nothing is lost."""
        with self._lock:
            if self._host is host:
                self.offer = EMPTY
                self.handin.lost(away)

    def visit(self, camera: Camera, office: Office) -> None:
        """Do all that can be done now. Raises `AwayError` of the camera, and `Stopped`."""
        if self._returns is None or self._quarantine is None:
            self.handin.visit(camera, office)
            return
        standing = self._returns.standing(camera, office)
        complete = standing is Standing.GOOD and not self.handin.barred and self.handin.visit(camera, office)
        if standing is Standing.GOOD and self.handin.barred:
            standing = Standing.REVOKED
        self.standing = standing
        if standing is not Standing.GOOD:
            self._quarantine.visit(camera, office, standing)
        papers = self._returns.bring(camera, office) if complete else None
        self.offer = judge(self._seen(camera, papers, complete=complete))

    def _seen(self, camera: Camera, papers: CameraPapers | None, *, complete: bool) -> Seen:
        lists = self._lists.now().bundle if self._lists else b""
        left = camera.certificate().not_valid_after_utc - datetime.now(UTC)
        digest = hashlib.sha256(lists).hexdigest() if lists else None
        return Seen(self.standing, complete, papers, digest, left.total_seconds())
