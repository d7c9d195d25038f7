"""What to do next for one segment of a camera, by what is known of it."""

from __future__ import annotations

import contextlib
import enum
import time

from syncd.link import Blocks

_Key = tuple[str, int]
_BACK_SECONDS = 60.0  # an office that was cut off or started again is back by then, or it is away


class Step(enum.Enum):
    """What to do next for one segment that a camera lists."""

    GIVE = "give"  # hand its receipt to the camera
    FORWARD = "forward"  # spool -> office
    STREAM = "stream"  # camera -> office
    STORE = "store"  # camera -> spool
    WAIT = "wait"


def decide(*, receipt: bool, whole: bool, via_spool: bool, office: bool, begun: bool = False) -> Step:
    """Choose by what is known.

    `receipt`: a verified one is here; `whole`: so is the whole ciphertext; `via_spool`: it was begun there, or is to be
    kept; `office`: the office can be worked with; `begun`: it has a part of this already, and went away only just now.
    """
    if receipt:
        return Step.GIVE
    if whole:
        return Step.FORWARD if office else Step.WAIT
    if via_spool:
        return Step.STORE
    if begun and not office:
        return Step.WAIT  # a cut or a restart: it goes on there in a moment, and nothing leaves the camera twice
    return Step.STREAM if office else Step.STORE


class Begun:
    """Segments of which the office has a part, and when it took the last. For one thread at a time."""

    def __init__(self) -> None:
        self._at: dict[_Key, float] = {}

    def noting(self, key: _Key, blocks: Blocks) -> Blocks:
        """The same blocks; once the next is asked for, the office has one."""
        with contextlib.closing(blocks):
            for block in blocks:
                yield block
                self._at[key] = time.monotonic()

    def forget(self, key: _Key) -> None:
        """It has all of it."""
        self._at.pop(key, None)

    def __contains__(self, key: _Key) -> bool:
        """Whether that was so short a time ago that it is worth waiting for the office."""
        return key in self._at and time.monotonic() < self._at[key] + _BACK_SECONDS
