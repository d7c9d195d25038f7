"""What to do next for one segment of a camera, by what is known of it. Pure."""

from __future__ import annotations

import enum


class Step(enum.Enum):
    """What to do next for one segment that a camera lists."""

    GIVE = "give"  # hand its receipt to the camera
    FORWARD = "forward"  # spool -> office
    STREAM = "stream"  # camera -> office
    STORE = "store"  # camera -> spool
    WAIT = "wait"


def decide(*, receipt: bool, whole: bool, via_spool: bool, office: bool) -> Step:
    """Choose by what is known.

    `receipt`: a verified one is here; `whole`: so is the whole ciphertext; `via_spool`: it was begun there, or is to be
    kept; `office`: the office can be worked with.
    """
    if receipt:
        return Step.GIVE
    if whole:
        return Step.FORWARD if office else Step.WAIT
    return Step.STREAM if office and not via_spool else Step.STORE
