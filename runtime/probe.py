"""One question to a server of the agency, and why it could not be put: for whoever has to find out what is wrong."""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import time
from typing import Final

from evidence.pki import Role
from runtime import tls

_SECONDS = 5.0
_REFUSAL_SECONDS = 0.3
_ENOUGH = 64 * 1024
_MQTT_TAKEN = b"\x20"  # CONNACK
_MQTT_REASONS = {0x86: "bad user name", 0x87: "not authorised", 0x88: "unavailable", 0x89: "busy", 0x8A: "banned"}
_DATED: Final = {9: "not valid yet", 10: "ended"}  # X509_V_ERR_CERT_NOT_YET_VALID, _HAS_EXPIRED
_ALERTS: Final = {
    "UNKNOWN_CA": "ours-foreign",
    "CERTIFICATE_EXPIRED": "ours-ended",
    "CERTIFICATE_REVOKED": "ours-revoked",
}


class ProbeError(Exception):
    """The question got no answer. `code`: `away`, `foreign`, `dates`, `role`, `refused`, `ours-…`, `silent`."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


def ask(address: tuple[str, int], context: ssl.SSLContext, role: Role, question: bytes) -> bytes:
    """The beginning of the answer to `question` by a server of that role. Raises `ProbeError`."""
    try:
        with socket.create_connection(address, _SECONDS) as plain, context.wrap_socket(plain) as link:
            tls.require_peer(link, role)
            return _early_word(link) or _answer(link, question)
    except ssl.SSLCertVerificationError as error:
        code = "dates" if error.verify_code in _DATED else "foreign"
        raise ProbeError(code, _DATED.get(error.verify_code, error.verify_message)) from error
    except ssl.SSLError as error:  # TLS 1.3 tells a client of its refusal after the handshake
        told = next((code for name, code in _ALERTS.items() if name in str(error.reason)), "refused")
        raise ProbeError(told, str(error.reason or error)) from error
    except tls.PeerError as error:
        raise ProbeError("role", str(error)) from error
    except OSError as error:
        raise ProbeError("away", str(error) or type(error).__name__) from error


def http_date(address: tuple[str, int], context: ssl.SSLContext, role: Role, path: str) -> tuple[str, float]:
    """The server's Date header, and the seconds that its answer took. Raises `ProbeError`."""
    began = time.monotonic()
    question = f"GET {path} HTTP/1.1\r\nHost: {role}\r\nConnection: close\r\n\r\n".encode()
    answer = ask(address, context, role, question)
    found = re.search(rb"(?im)^date:[ \t]*([ -~]{10,40}?)[ \t]*\r$", answer.partition(b"\r\n\r\n")[0] + b"\r")
    if found is None:
        raise ProbeError("silent", "the answer bears no date")
    return found[1].decode(), time.monotonic() - began


def mqtt_connects(address: tuple[str, int], context: ssl.SSLContext, client_id: str) -> None:
    """Greet the agency's broker under a name that disturbs nobody, and leave. Raises `ProbeError`."""
    name = client_id.encode()
    rest = b"\x00\x04MQTT\x05\x02\x00\x05\x00" + len(name).to_bytes(2, "big") + name  # MQTT 5, clean start
    answer = ask(address, context, Role.OFFICE, b"\x10" + bytes([len(rest)]) + rest + b"\xe0\x00")
    if not answer.startswith(_MQTT_TAKEN) or len(answer) < 4:  # noqa: PLR2004 - up to the reason code
        raise ProbeError("silent", "no answer of a broker")
    if answer[3]:
        raise ProbeError("refused", _MQTT_REASONS.get(answer[3], f"reason {answer[3]:#04x}"))


def _early_word(link: ssl.SSLSocket) -> bytes:
    """What the server says unasked, which is that it refuses us: a question sent meanwhile could drown that."""
    link.settimeout(_REFUSAL_SECONDS)
    try:
        data = link.recv(4096)
    except TimeoutError:
        return b""
    finally:
        link.settimeout(_SECONDS)
    if not data:
        raise ProbeError("refused", "it hung up")
    return data


def _answer(link: ssl.SSLSocket, question: bytes) -> bytes:
    link.sendall(question)
    deadline, data = time.monotonic() + _SECONDS, b""
    with contextlib.suppress(TimeoutError, ssl.SSLEOFError):
        while time.monotonic() < deadline and len(data) < _ENOUGH and (more := link.recv(4096)):
            data += more
    if not data:
        raise ProbeError("silent", "connected, and then no answer")
    return data
