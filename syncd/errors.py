"""What can go wrong at a dock. Nothing of it releases a segment; all of it is told and tried again."""

from __future__ import annotations

import os


class DockError(Exception):
    """One thing could not be done. `code` is stable (docs/configuration.md, Dock); the text says what to do."""

    exit_status = os.EX_TEMPFAIL  # 75: it is tried again

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class AwayError(DockError):
    """The other end cannot be worked with at present: not reachable, not who it must be, or 5xx.

    `side` is "camera" or "office"; `retry_after` is how many seconds it asked to be left alone. `answers`: it has
    answered on this connection, so that what it was asked last may be to blame.
    """

    def __init__(
        self, side: str, code: str, message: str, retry_after: float | None = None, *, answers: bool = True
    ) -> None:
        super().__init__(f"{side}-{code}", message)
        self.side = side
        self.retry_after = retry_after
        self.answers = answers


class RefusedError(DockError):
    """The other end answered 4xx; `reason` is the stable code of its answer."""

    def __init__(self, side: str, status: int, reason: str, message: str) -> None:
        super().__init__(f"{side}-refused", f"{status} {reason}: {message}")
        self.side = side
        self.status = status
        self.reason = reason


class Stopped(Exception):  # noqa: N818 - the program ends; nothing is wrong
    """The dock is to stop: what is under way is left where it is and goes on at the next start."""
