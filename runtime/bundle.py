"""A bundle of logs and facts for whoever helps: no key, no PIN, no footage, whatever the files were taken for.

Only what is named goes in; and everything that goes in is text, searched for secrets once more on its way.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import importlib.metadata
import io
import json
import os
import platform
import re
import subprocess
import tarfile
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives import serialization

_LISTED = 20_000
_LOG_BYTES = 4 * 1024**2
_LEFT_OUT: Final = b"<left out>"
_SECRET_NAME = re.compile(r"pin$|pass|secret|token$", re.IGNORECASE)
_SECRET_FILE = re.compile(r"key|pin|secret", re.IGNORECASE)
_SECRET = re.compile(
    rb"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|\Z)"
    rb"|AGE-SECRET-KEY-1[A-Z0-9]+"
    rb"|(?<=://)[^\s/@]+:[^\s/@]+(?=@)",  # a password in an address
    re.DOTALL | re.IGNORECASE,
)


class BundleError(Exception):
    """No bundle was made. The text says why."""

    exit_status = os.EX_CANTCREAT  # 73


def pack(path: Path, unit: str, logs: Iterable[Path], facts: Mapping[str, bytes], secrets: Iterable[Path] = ()) -> None:
    """Write a new `.tar.gz` for its owner only. `secrets`: files whose content must not be in it, however written.

    `unit`: the systemd unit whose journal is taken, if there is one. Raises `BundleError`.
    """
    files = {**facts, "versions.txt": _versions(), "system.txt": _system(), **_logs(unit, logs)}
    guarded = [needle for secret in secrets for needle in _needles(secret)]
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as stream, tarfile.open(fileobj=stream, mode="w:gz") as archive:
            for name, data in files.items():
                clean = scrubbed(data, guarded)
                member = tarfile.TarInfo(f"bodycam/{name}")
                member.size, member.mtime, member.mode = len(clean), int(time.time()), 0o644
                archive.addfile(member, io.BytesIO(clean))
    except OSError as error:
        raise BundleError(f"{path}: cannot be written: {error.strerror}; name a new file") from error


def scrubbed(data: bytes, guarded: Iterable[bytes] = ()) -> bytes:
    """`data` without secrets; what is not text is left out whole: footage is not."""
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return b"<left out: not text>"
    if b"\0" in data:
        return b"<left out: not text>"
    clean = _SECRET.sub(_LEFT_OUT, data)
    for needle in guarded:
        clean = clean.replace(needle, _LEFT_OUT)
    return clean


def described(settings: Any) -> bytes:
    """A configuration as JSON, without the values whose names tell of a secret. Comments stay behind in its file."""
    return json.dumps(_plain(settings), ensure_ascii=False, indent=1, default=str).encode()


def listing(folder: Path) -> bytes:
    """Sizes and names of the files below a folder."""
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return "".join(f"{path.stat().st_size:>12} {path.relative_to(folder)}\n" for path in paths[-_LISTED:]).encode()


def secret_files(settings: Any) -> Iterator[Path]:
    """Files that a configuration names as keys or PINs."""
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if isinstance(value, Path) and _SECRET_FILE.search(field.name):
            yield value
        elif dataclasses.is_dataclass(value):
            yield from secret_files(value)


def _plain(value: Any, name: str = "") -> Any:
    if dataclasses.is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name), field.name) for field in dataclasses.fields(value)}
    if isinstance(value, (list, tuple)):
        return [_plain(one, name) for one in value]
    if isinstance(value, dict):
        return {key: _plain(one, str(key)) for key, one in value.items()}
    return _LEFT_OUT.decode() if isinstance(value, str) and _SECRET_NAME.search(name) else value


def _needles(path: Path) -> Iterator[bytes]:
    """A secret file's content, line by line, and a key in the forms in which it might have been written down."""
    with contextlib.suppress(OSError):
        data = path.read_bytes()
        yield from (line.strip() for line in data.splitlines() if len(line.strip()) >= 4 and b"-----" not in line)  # noqa: PLR2004
        with contextlib.suppress(ValueError, TypeError):
            key = serialization.load_pem_private_key(data, password=None)
            numbers = getattr(key, "private_numbers", None)
            if numbers is not None:
                scalar = numbers().private_value
                raw = scalar.to_bytes(32, "big")
                yield from (raw.hex().encode(), raw.hex().upper().encode(), str(scalar).encode())
                yield from (base64.b64encode(raw), base64.urlsafe_b64encode(raw).rstrip(b"="))


def _logs(unit: str, logs: Iterable[Path]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for number, path in enumerate(logs, 1):
        try:
            with path.open("rb") as stream:
                stream.seek(max(0, path.stat().st_size - _LOG_BYTES))
                found[f"logs/{number}-{path.name}"] = _from_line(stream.read())
        except OSError as error:
            found[f"logs/{number}-{path.name}"] = f"<cannot be read: {error.strerror}>".encode()
    found["logs/journal.txt"] = _said("journalctl", "-u", unit, "-o", "short-iso", "-n", "20000", "--no-pager")
    return found


def _from_line(data: bytes) -> bytes:
    """The same without what may be the rest of a line, or of a character."""
    return data.partition(b"\n")[2] if len(data) == _LOG_BYTES else data


def _versions() -> bytes:
    found = sorted({f"{one.name}=={one.version}" for one in importlib.metadata.distributions()}, key=str.lower)
    return "\n".join([f"python {platform.python_version()}", platform.platform(), *found, ""]).encode()


def _system() -> bytes:
    commands = (("date", "-Ins"), ("uptime",), ("df", "-h"), ("free", "-m"), ("ip", "-br", "link"), ("timedatectl",))
    return b"".join(b"$ " + " ".join(command).encode() + b"\n" + _said(*command) + b"\n" for command in commands)


def _said(*command: str) -> bytes:
    """What a program of the system says; it may be missing."""
    try:
        done = subprocess.run(command, capture_output=True, check=False, timeout=20)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"<{error}>".encode()
    return (done.stdout + done.stderr)[-_LOG_BYTES:].decode("utf-8", "replace").encode()
