"""What a cut cost of a recording: fragment, picture and commit latency told apart (specification 4.9)."""

from __future__ import annotations

import bisect
from dataclasses import dataclass

from tests.camera_rig import FRAGMENT, FRAME
from tests.powercut.timed_camera import Given, TimedCamera

_WAIT = 2_000_000_000  # how long sound waits for the first picture of a part (`firmware.capture.part`)


@dataclass(frozen=True, slots=True)
class Loss:
    """Nanoseconds of what had reached the recorder and is not in the evidence.

    `fragment`: of the oldest fragment that is not, or of the one that was not cut yet. `frame`: from its end until the
    picture that ended it was there. `commit`: what was recorded while the disk made it durable, which is at most
    `busy`: how long the disk was at work since then.
    """

    fragment: int
    frame: int
    commit: int
    busy: int
    first: bool = False  # the first of a part, which waits for the first picture that can be decoded

    @property
    def total(self) -> int:
        return self.fragment + self.frame + self.commit

    @property
    def allowed(self) -> bool:
        """Whether it is within what was promised: one fragment, one picture, and the commit latency."""
        fragment = _WAIT if self.first else FRAGMENT + FRAME  # it is cut at the first picture after its time
        return self.fragment <= fragment and self.frame <= FRAME and self.commit <= self.busy


def at_cut(camera: TimedCamera, durable: set[tuple[str, int, int]], busy_ns: int, *, running: bool) -> Loss | None:
    """None: nothing was being recorded. `durable`: recording, part and begin of the fragments that are there."""
    now = camera.delivered_ns
    waiting = [one for one in camera.given if (one.recording, one.part, one.from_ns) not in durable]
    if waiting:
        return _of_waiting(min(waiting, key=lambda one: one.at_ns), camera, now, busy_ns)
    if not running:
        return None
    begun = camera.began[-1]
    last = max([one.to_ns for one in camera.given if one.at_ns >= begun], default=begun)
    held = max(0, now - max(last, begun))
    frame = min(held, FRAME)
    return Loss(held - frame, frame, 0, 0, first=last <= begun)


def _of_waiting(first: Given, camera: TimedCamera, now: int, busy_ns: int) -> Loss:
    """Pictures of the ring from before the part was begun are a gift, and no loss."""
    begun = camera.began[bisect.bisect_right(camera.began, first.at_ns) - 1]
    from_ns, to_ns = max(first.from_ns, begun), max(first.to_ns, begun)
    part = (first.recording, first.part)
    is_first = all(one.from_ns >= first.from_ns for one in camera.given if (one.recording, one.part) == part)
    commit = max(0, now - first.at_ns)
    return Loss(to_ns - from_ns, first.at_ns - to_ns, commit, busy_ns - first.busy_ns, first=is_first)
