"""Notices reach people: a real mail server, a real HTTP server, retries, and nothing in them that must not go out."""

from __future__ import annotations

import base64
import contextlib
import email
import email.policy
import http.server
import json
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from sqlalchemy import insert, update

from office import statements
from office.channels import sign
from office.notices import LONGEST_SECONDS, Notice, Notices
from office.notify import Notifier
from office.notify_config import MailConfig, NotifyConfig, WebhookConfig
from office.statements import About
from office.viewing_rows import requests
from runtime.config import ConfigError, fill
from runtime.keys import CredentialError
from tests.agency import Agency, Holder, new_key
from tests.casework_kit import ONE, Unit
from tests.office_kit import free_port, running, wait_for

pytestmark = pytest.mark.net
SECRET = b"0123456789abcdef"


class Mailbox:
    """What a mail server takes; `refuse`: what it answers instead."""

    def __init__(self) -> None:
        self.taken: list[email.message.EmailMessage] = []
        self.refuse: str | None = None
        self.user: LoginPassword | None = None

    async def handle_DATA(self, _: SMTP, session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        if self.refuse:
            return self.refuse
        self.user = session.auth_data
        self.taken.append(email.message_from_bytes(envelope.content, policy=email.policy.default))
        return "250 OK"


class Hook(http.server.BaseHTTPRequestHandler):
    """A program that takes notices."""

    taken: list[tuple[dict[str, str], bytes]]
    status = 200

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        type(self).taken.append(({name.lower(): value for name, value in self.headers.items()}, body))
        self.send_response(type(self).status)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@contextlib.contextmanager
def mail_server(box: Mailbox, **settings: Any) -> Iterator[int]:
    server = Controller(box, "127.0.0.1", free_port(), **settings)
    server.start()
    try:
        yield server.port
    finally:
        server.stop()


@contextlib.contextmanager
def web_server() -> Iterator[tuple[type[Hook], int]]:
    hook = type("OwnHook", (Hook,), {"taken": [], "status": 200})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), hook)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield hook, server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def secret(folder: Path, text: str) -> Path:
    path = folder / "secret"
    path.touch(0o600)
    path.write_text(text + "\n")
    return path


def plain_mail(port: int) -> MailConfig:
    return MailConfig("127.0.0.1", "office@bureau.example", ("keeper@bureau.example",), port, "none")


@pytest.fixture
def unit(tmp_path: Path, agency: Agency) -> Iterator[Unit]:
    """An alert, a camera that never came back, a statement that waits."""
    unit = Unit(tmp_path, agency)
    unit.issue("BWC-0009", ONE, 60, 50)
    unit.camera().line("alert", what="battery_low", recording=None, detail="张某某在场")
    unit.hand_in("BWC-0001")
    statements.state_unrecorded(unit.book, "zhang", About(unit.enter(6, 5)), "urgent", "现场起火", "依据", "wang")
    yield unit
    with contextlib.suppress(Exception):
        unit.archive.close()


@contextlib.contextmanager
def notifier(unit: Unit, **channels: Any) -> Iterator[Notifier]:
    found = Notifier(unit.archive, NotifyConfig(**channels))
    try:
        yield found
    finally:
        found.stop()


def test_each_thing_is_told_once_by_mail(unit: Unit) -> None:
    box = Mailbox()
    with mail_server(box) as port, notifier(unit, mail=plain_mail(port)) as told:
        assert told.turn() == 0
        assert told.turn() == 0
        (message,) = box.taken
        text = message.get_content()
        assert "3 项" in message["Subject"]
        for words in ("报警：电量不足", "BWC-0001", "逾期未移交", "BWC-0009", "未记录说明待审阅"):
            assert words in text
        unit.camera().line("alert", what="heat", recording=None, detail="")
        unit.hand_in("BWC-0001")
        told.turn()
    assert "报警：过热" in box.taken[1].get_content()
    assert message["To"] == "keeper@bureau.example"


def test_no_notice_tells_what_was_recorded_said_or_by_whom(unit: Unit) -> None:
    box = Mailbox()
    with mail_server(box) as port, notifier(unit, mail=plain_mail(port)) as told:
        told.turn()
    text = box.taken[0].get_content()
    assert not [words for words in ("张某某", "zhang", "wang", "起火", ONE) if words in text]


def test_a_server_that_is_away_or_refuses_gets_it_later(unit: Unit) -> None:
    box, port = Mailbox(), free_port()
    now = time.time()
    with notifier(unit, mail=plain_mail(port)) as told:
        assert told.turn(now) == 3
        server = Controller(box, "127.0.0.1", port)
        server.start()
        try:
            box.refuse = "451 not now"
            assert told.turn(now + 1) == 3
            assert told.turn(now + 11) == 3
            box.refuse = None
            assert told.turn(now + 12) == 3
            assert told.turn(now + 60) == 0
        finally:
            server.stop()
    assert len(box.taken) == 1


def test_what_waits_outlives_the_office(unit: Unit) -> None:
    now = time.time()
    with notifier(unit, mail=plain_mail(free_port())) as told:
        assert told.turn(now) == 3
    box = Mailbox()
    with mail_server(box) as port, notifier(unit, mail=plain_mail(port)) as told:
        assert told.turn(now + LONGEST_SECONDS) == 0
    assert len(box.taken) == 1


def own_certificate(folder: Path) -> tuple[Path, Path]:
    """A mail server's certificate for this address, and its key."""
    key = new_key()
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "mail")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Holder(certificate, key).write(folder, "mail")


def test_mail_goes_over_tls_with_a_password_or_not_at_all(unit: Unit, tmp_path: Path) -> None:
    chain, key = own_certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)
    box = Mailbox()

    def known(*arguments: Any) -> AuthResult:
        found = arguments[-1]
        good = isinstance(found, LoginPassword) and (found.login, found.password) == (b"office", b"word")
        return AuthResult(success=good, auth_data=found)

    password = secret(tmp_path, "word")
    settings = {"tls_context": context, "require_starttls": True, "authenticator": known, "auth_required": True}
    with mail_server(box, **settings) as port:
        config = MailConfig("127.0.0.1", "office@bureau.example", ("keeper@bureau.example",), port, "starttls", chain,
                            "office", password)  # fmt: skip
        with notifier(unit, mail=replace(config, roots=None)) as told:
            assert told.turn() == 3  # who answers there is unknown: the password was not sent
        assert box.user is None
        with notifier(unit, mail=config) as told:
            assert told.turn(time.time() + 60) == 0
    assert len(box.taken) == 1
    assert box.user == LoginPassword(b"office", b"word")


def test_a_webhook_is_signed_over_id_time_and_body(unit: Unit, tmp_path: Path) -> None:
    with web_server() as (hook, port):
        file = secret(tmp_path, f"whsec_{base64.b64encode(SECRET).decode()}")
        config = WebhookConfig(f"http://127.0.0.1:{port}/notices?x=1", file)
        with notifier(unit, webhook=config) as told:
            hook.status = 503
            now = time.time()
            assert told.turn(now) == 3
            hook.status = 204
            assert told.turn(now + 11) == 0
    first, second = hook.taken
    headers, body = second
    assert headers["webhook-signature"] == sign(SECRET, headers["webhook-id"], headers["webhook-timestamp"], body)
    assert first[0]["webhook-id"] == headers["webhook-id"]
    told_of = json.loads(body)
    assert (told_of["office"], len(told_of["notices"])) == ("OFFICE-1", 3)
    assert abs(int(headers["webhook-timestamp"]) - datetime.now(UTC).timestamp()) < 60


def test_a_signature_is_that_of_the_standards_own_example() -> None:
    """The example of the Standard Webhooks specification's libraries."""
    key = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    signed = sign(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", b'{"test": 2432232314}')
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_request_to_watch_that_waits_is_told_at_each_step(unit: Unit) -> None:
    with unit.archive.database.begin() as db:
        row = {"leaf_index": 99, "requester": "zhang", "device": "BWC-0001", "recording": "0-1", "purpose": "case",
               "reason": "核对", "secrecy": "none", "at": unit.text(1), "state": "asked"}  # fmt: skip
        db.execute(insert(requests).values(**row))
    box = Mailbox()
    with mail_server(box) as port, notifier(unit, mail=plain_mail(port)) as told:
        told.turn()
        with unit.archive.database.begin() as db:
            db.execute(update(requests).values(state="reviewed"))
        told.turn()
    assert "调阅申请待审查\r\n编号 99" in box.taken[0].get_content()
    assert "调阅申请待审批" in box.taken[1].get_content()
    assert "zhang" not in box.taken[0].get_content()


def test_one_channel_that_fails_holds_up_no_other(unit: Unit, tmp_path: Path) -> None:
    box = Mailbox()
    hook = WebhookConfig(f"http://127.0.0.1:{free_port()}/", secret(tmp_path, "x"))
    with mail_server(box) as port, notifier(unit, mail=plain_mail(port), webhook=hook) as told:
        assert told.turn() == 3
    assert len(box.taken) == 1


def test_a_secret_that_others_may_read_is_refused(unit: Unit, tmp_path: Path) -> None:
    file = secret(tmp_path, "x")
    file.chmod(0o644)
    with pytest.raises(CredentialError):
        Notifier(unit.archive, NotifyConfig(webhook=WebhookConfig("http://127.0.0.1/", file)))


@pytest.mark.parametrize(
    "told",
    [
        {"mail": {"host": "h", "sender": "no address", "to": ["a@b"]}},
        {"mail": {"host": "h", "sender": "a@b", "to": []}},
        {"mail": {"host": "h", "sender": "a@b", "to": ["a@b"], "user": "u"}},
        {"mail": {"host": "h", "sender": "a@b", "to": ["a@b"], "user": "u", "password_file": "p", "security": "none"}},
        {"webhook": {"address": "ftp://h", "secret_file": "s"}},
    ],
)
def test_a_configuration_that_could_leak_or_reach_nobody_is_refused(told: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        fill(NotifyConfig, told, tmp_path / "office.toml")


def test_old_notices_are_forgotten(tmp_path: Path) -> None:
    notices = Notices(tmp_path / "n.sqlite")
    notices.add([Notice("1", "a", "b")], ["mail"], 0)
    notices.add([Notice("2", "a", "b")], ["mail"], 100 * 24 * 3600)
    assert [one.id for one in notices.due("mail", 1e9, 9)] == ["2"]
    notices.close()


def test_the_running_office_tells(unit: Unit) -> None:
    box = Mailbox()
    unit.archive.close()
    with mail_server(box) as port:
        with unit.kit.config.open("a") as config:
            config.write(
                f'[notify]\nlook_seconds = 1\n[notify.mail]\nhost = "127.0.0.1"\nport = {port}\nsecurity = "none"\n'
                'sender = "office@bureau.example"\nto = ["keeper@bureau.example"]\n'
            )
        with running(unit.kit):
            wait_for(lambda: box.taken)
    assert "逾期未移交" in box.taken[0].get_content()
