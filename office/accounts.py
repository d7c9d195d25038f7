"""Local accounts: a password (argon2id) and a second factor (TOTP, RFC 6238), in files for their owner only.

`<data>/accounts/<SHA-256 of the account>.json`: secrets stand in no catalogue and in no log. An account begins with a
code that the technician hands over once; with it a person chooses the password and takes over the second factor.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import hmac
import json
import os
import secrets
import tempfile
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import pyotp
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerifyMismatchError

from office.errors import OfficeError
from runtime.disk import make_folder, sync_folder

PASSWORD: Final = (12, 128)
"""Characters of a password, both bounds included."""

CODE_LASTS: Final = timedelta(hours=48)
_CODE_BYTES = 10
_TRIES = 5  # in a row, before an account waits
_WAIT = timedelta(minutes=10)
_STEP_SECONDS = 30
_STEPS_BESIDE = 1  # a phone's clock may be off by so many


@dataclass(frozen=True, slots=True)
class _Secrets:
    account: str
    code: str | None = None  # SHA-256 of a code not used yet
    code_until: str | None = None
    password: str | None = None
    factor: str | None = None  # base32
    step: int = 0  # the last one that was used: no code twice
    failures: int = 0
    locked_until: str | None = None


class Accounts:
    """The accounts in `folder`. Safe for several threads; the running office and the technician's commands share it."""

    def __init__(self, folder: Path) -> None:
        make_folder(folder)
        folder.chmod(0o700)
        self._folder = folder
        self._lock = threading.Lock()
        self._hasher = PasswordHasher()

    def invite(self, account: str) -> str:
        """A new code for this account, told once; password and second factor that it had are gone."""
        code = secrets.token_hex(_CODE_BYTES)
        until = (datetime.now(UTC) + CODE_LASTS).isoformat()
        with self._alone():
            self._write(_Secrets(account, hashlib.sha256(code.encode()).hexdigest(), until))
        return code

    def begin(self, account: str, code: str) -> str:
        """The second factor's secret of somebody who has the code. Raises `OfficeError` ("log-in")."""
        with self._alone():
            kept = self._invited(account, code)
            factor = kept.factor or pyotp.random_base32()
            self._write(replace(kept, factor=factor))
        return factor

    def enrol(self, account: str, code: str, password: str, digits: str) -> None:
        """Take over an account. Raises `OfficeError` ("log-in", "password")."""
        if not PASSWORD[0] <= len(password) <= PASSWORD[1]:
            raise OfficeError("password", f"a password has {PASSWORD[0]} to {PASSWORD[1]} characters", 400)
        with self._alone():
            kept = self._invited(account, code)
            step = _step(kept, digits)
            if step is None:
                raise _refused()
            self._write(_Secrets(account, password=self._hasher.hash(_bytes(password)), factor=kept.factor, step=step))

    def check(self, account: str, password: str, digits: str) -> None:
        """Both factors at once: a refusal does not tell which one failed. Raises `OfficeError` ("log-in", "locked")."""
        with self._alone():
            kept = self._read(account)
            now = datetime.now(UTC)
            if kept is not None and kept.locked_until and datetime.fromisoformat(kept.locked_until) > now:
                raise OfficeError("locked", "too many tries: wait ten minutes, or ask the technician", 429)
            known = self._password(kept.password if kept and kept.password else self._nobody, password)
            if kept is None or kept.password is None:
                raise _refused()
            step = _step(kept, digits)
            if known and step is not None:
                self._write(replace(kept, step=step, failures=0, locked_until=None))
                return
            failures = kept.failures + 1
            locked = (now + _WAIT).isoformat() if failures >= _TRIES else None
            self._write(replace(kept, failures=0 if locked else failures, locked_until=locked))
            raise _refused()

    def remove(self, account: str) -> None:
        """There is no log-in with this account any more."""
        with self._alone():
            self._path(account).unlink(missing_ok=True)
            sync_folder(self._folder)

    def ready(self, account: str) -> bool:
        """Whether somebody has taken this account over."""
        kept = self._read(account)
        return kept is not None and kept.password is not None

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        with self._lock:
            fd = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX)
                yield
            finally:
                os.close(fd)

    def _invited(self, account: str, code: str) -> _Secrets:
        kept = self._read(account)
        given = hashlib.sha256(_bytes(code.strip().lower())).hexdigest()
        if kept is None or kept.code is None or kept.code_until is None or not hmac.compare_digest(kept.code, given):
            raise _refused()
        if datetime.fromisoformat(kept.code_until) < datetime.now(UTC):
            raise OfficeError("code-expired", "this code has expired: ask the technician for another", 403)
        return kept

    @cached_property
    def _nobody(self) -> str:
        """An unknown account costs what a known one does."""
        return self._hasher.hash(secrets.token_hex())

    def _password(self, kept: str, told: str) -> bool:
        try:
            return self._hasher.verify(kept, _bytes(told[: PASSWORD[1]]))
        except (VerifyMismatchError, InvalidHashError):
            return False

    def _path(self, account: str) -> Path:
        return self._folder / f"{hashlib.sha256(_bytes(account)).hexdigest()}.json"

    def _read(self, account: str) -> _Secrets | None:
        try:
            members: Mapping[str, Any] = json.loads(self._path(account).read_text("utf-8"))
        except FileNotFoundError:
            return None
        return _Secrets(**members)

    def _write(self, kept: _Secrets) -> None:
        members = {name: getattr(kept, name) for name in _Secrets.__slots__}
        fd, name = tempfile.mkstemp(dir=self._folder)  # for its owner only
        try:
            with os.fdopen(fd, "wb") as file:
                file.write(json.dumps(members).encode())
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(self._path(kept.account))
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        sync_folder(self._folder)


def factor_address(account: str, factor: str, office: str) -> str:
    """The `otpauth://` address that an authenticator takes, for a QR code."""
    return pyotp.TOTP(factor).provisioning_uri(name=account, issuer_name=f"bodycam {office}")


def _step(kept: _Secrets, digits: str) -> int | None:
    """The step whose code these digits are, if it comes after the last one used."""
    if kept.factor is None or not digits.isascii():
        return None
    totp, now = pyotp.TOTP(kept.factor), int(datetime.now(UTC).timestamp()) // _STEP_SECONDS
    steps = range(max(kept.step + 1, now - _STEPS_BESIDE), now + _STEPS_BESIDE + 1)
    return next((step for step in steps if hmac.compare_digest(totp.generate_otp(step), digits)), None)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _refused() -> OfficeError:
    return OfficeError("log-in", "account, password or code is wrong", 403)
