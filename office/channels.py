"""How notices go out: mail, and a signed webhook. Whether it is tried again is for the caller."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import http.client
import json
import smtplib
import ssl
import time
from collections.abc import Callable, Sequence
from email.message import EmailMessage
from email.utils import formatdate
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from office.notices import Notice
from office.notify_config import MailConfig, WebhookConfig
from runtime.keys import CredentialError, exposure

SECONDS: Final = 15.0
_MARK: Final = "whsec_"  # before a secret in Base64
Channel = Callable[[Sequence[Notice]], None]


class ChannelError(Exception):
    """The other end has not taken it."""


def mail(config: MailConfig, origin: str) -> Channel:
    """Sends all notices of a turn in one message. Raises `CredentialError`."""
    password = _line(config.password_file) if config.password_file else None

    def send(notices: Sequence[Notice]) -> None:
        message = EmailMessage()
        message["From"], message["To"] = config.sender, ", ".join(config.to)
        more = f" 等 {len(notices)} 项" if len(notices) > 1 else ""
        message["Subject"] = f"【执法音像档案】{notices[0].subject}{more}"
        message["Date"] = formatdate()
        message["Message-ID"] = f"<{_name(notices)}@{origin.lower()}.bodycam>"
        message["Auto-Submitted"] = "auto-generated"
        message.set_content("\n\n".join(f"{one.subject}\n{one.text}" for one in notices) + "\n")
        try:
            with _server(config) as server:
                if config.user is not None and password is not None:
                    server.login(config.user, password)
                server.send_message(message)
        except (OSError, smtplib.SMTPException) as error:
            raise ChannelError(f"mail: {config.host}: {error}") from error

    return send


def webhook(config: WebhookConfig, origin: str) -> Channel:
    """Posts all notices of a turn as JSON, signed. Raises `CredentialError`."""
    secret = _secret(_line(config.secret_file))
    address = urlsplit(config.address)
    context = ssl.create_default_context(cafile=str(config.roots) if config.roots else None)

    def send(notices: Sequence[Notice]) -> None:
        told = {"type": "bodycam.notices", "office": origin, "notices": [_plain(one) for one in notices]}
        body = json.dumps(told, ensure_ascii=False).encode()
        name, at = f"msg_{_name(notices)}", str(int(time.time()))
        headers = {
            "Content-Type": "application/json", "webhook-id": name, "webhook-timestamp": at,
            "webhook-signature": sign(secret, name, at, body),
        }  # fmt: skip
        host, port = address.hostname or "", address.port
        link: http.client.HTTPConnection
        if address.scheme == "https":
            link = http.client.HTTPSConnection(host, port, timeout=SECONDS, context=context)
        else:
            link = http.client.HTTPConnection(host, port, timeout=SECONDS)
        try:
            link.request("POST", f"{address.path or '/'}{f'?{address.query}' if address.query else ''}", body, headers)
            status = link.getresponse().status
        except (OSError, http.client.HTTPException) as error:
            raise ChannelError(f"webhook: {host}: {error}") from error
        finally:
            link.close()
        if not 200 <= status < 300:  # noqa: PLR2004 - HTTP's successes; a redirect is none
            raise ChannelError(f"webhook: {host} answers {status}")

    return send


def sign(secret: bytes, name: str, at: str, body: bytes) -> str:
    """The signature over id, time and body, as standardwebhooks.com has it."""
    digest = hmac.new(secret, f"{name}.{at}.".encode() + body, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"


def _server(config: MailConfig) -> smtplib.SMTP:
    context = ssl.create_default_context(cafile=str(config.roots) if config.roots else None)
    if config.security == "tls":
        return smtplib.SMTP_SSL(config.host, config.port, timeout=SECONDS, context=context)
    server = smtplib.SMTP(config.host, config.port, timeout=SECONDS)
    if config.security == "starttls":
        try:
            server.starttls(context=context)
        except BaseException:
            server.close()
            raise
    return server


def _name(notices: Sequence[Notice]) -> str:
    """One and the same for the same notices: the other end can tell what came twice."""
    return hashlib.sha256("\n".join(one.id for one in notices).encode()).hexdigest()[:32]


def _plain(notice: Notice) -> dict[str, str]:
    return {"id": notice.id, "subject": notice.subject, "text": notice.text}


def _line(path: Path) -> str:
    if (wrong := exposure(path)) is not None:
        raise CredentialError(wrong)
    try:
        return path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise CredentialError(f"{path}: cannot be read: {error}") from error


def _secret(line: str) -> bytes:
    if not line.startswith(_MARK):
        return line.encode()
    try:
        return base64.b64decode(line.removeprefix(_MARK), validate=True)
    except binascii.Error as error:
        raise CredentialError(f"webhook: its secret is no Base64 behind {_MARK}") from error
