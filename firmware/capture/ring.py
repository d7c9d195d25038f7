"""The pre-event ring: encoded pictures of the last seconds before the button, bounded in time and in bytes."""

from __future__ import annotations

from collections import deque

from firmware.hal.ports import Frame

STALE_NS = 2_000_000_000
"""After so long without a picture, those before are another moment's."""


class Ring:
    """Holds whole groups of pictures, each beginning with a key frame; the newest group is always kept."""

    def __init__(self, seconds: int, limit_bytes: int) -> None:
        self._span_ns = seconds * 1_000_000_000
        self._limit = limit_bytes
        self._groups: deque[list[Frame]] = deque()
        self._bytes = 0

    def add(self, frame: Frame) -> None:
        """Take the next picture and forget what is too old or too much, or was before an outage."""
        if self._groups and frame.boot_ns - self._groups[-1][-1].boot_ns > STALE_NS:
            self.take()
        if frame.keyframe:
            self._groups.append([])
        if not self._groups:
            return  # nothing can be decoded before the first key frame
        self._groups[-1].append(frame)
        self._bytes += len(frame.data)
        while len(self._groups) > 1 and (self._bytes > self._limit or self._too_old(frame.boot_ns)):
            self._bytes -= sum(len(old.data) for old in self._groups.popleft())

    def _too_old(self, now_ns: int) -> bool:
        # The second group must itself reach back far enough before the first may go.
        return now_ns - self._groups[1][0].boot_ns >= self._span_ns

    def take(self) -> tuple[list[Frame], list[Frame]]:
        """Empty the ring: the pictures before the last key frame, and those from it on, where live begins."""
        live = self._groups.pop() if self._groups else []
        before = [frame for group in self._groups for frame in group] if self._span_ns else []
        self._groups.clear()
        self._bytes = 0
        return before, live
