"""The port through which the page learns who asks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from office.person import Person

COOKIE = "__Host-session"
"""Holds the session's token: secret, of at least 128 bits, HttpOnly."""


@dataclass(frozen=True, slots=True)
class Session:
    """Someone is logged in. `id` names the session without opening it: it may stand in logs and tables."""

    id: str
    person: Person


class Sessions(Protocol):
    """Who is logged in. Called by several threads."""

    def find(self, token: str) -> Session | None:
        """The session of a token as it is now: ended, expired or of an account that was shut, it is None."""
