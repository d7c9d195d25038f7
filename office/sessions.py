"""Who is logged in. Sessions live in memory only: a restart ends them, and nobody finds one in a file or backup."""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

IDLE_SECONDS: Final = 20 * 60
LAST_SECONDS: Final = 10 * 3600
_MOST = 20  # of one account: an earlier one makes way


@dataclass(slots=True)
class Session:
    """One log-in. `name` tells it from others without being its token; `epoch` is its account's, as it was then."""

    name: str
    account: str
    epoch: int
    began: float
    seen: float


class Sessions:
    """Sessions by the SHA-256 of their token. Safe for several threads; `clock`: seconds that only rise."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._sessions: dict[str, Session] = {}

    def open(self, account: str, epoch: int = 0) -> tuple[str, Session]:
        """A new session with its token, which only the browser keeps."""
        token, now = secrets.token_urlsafe(32), self._clock()
        session = Session(secrets.token_hex(8), account, epoch, now, now)
        with self._lock:
            self._forget_old(now)
            mine = sorted((one.seen, key) for key, one in self._sessions.items() if one.account == account)
            for _, key in mine[: max(len(mine) + 1 - _MOST, 0)]:
                del self._sessions[key]
            self._sessions[_hash(token)] = session
        return token, session

    def get(self, token: str) -> Session | None:
        """The session of a token, which is used now; None: there is none, or its time is over."""
        now = self._clock()
        with self._lock:
            self._forget_old(now)
            session = self._sessions.get(_hash(token))
            if session is not None:
                session.seen = now
            return session

    def close(self, token: str) -> Session | None:
        """End a session; it, if it was one."""
        with self._lock:
            return self._sessions.pop(_hash(token), None)

    def close_all(self, account: str) -> None:
        """End all sessions of somebody: he has left, or his account was reset."""
        with self._lock:
            for key in [key for key, one in self._sessions.items() if one.account == account]:
                del self._sessions[key]

    def _forget_old(self, now: float) -> None:
        old = [
            key for key, one in self._sessions.items()
            if now - one.seen > IDLE_SECONDS or now - one.began > LAST_SECONDS
        ]  # fmt: skip
        for key in old:
            del self._sessions[key]


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
