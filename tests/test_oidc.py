"""Log-in by OpenID Connect against a provider on loopback: the code, its proof key, and the signed word are checked."""

from __future__ import annotations

import base64
import hashlib
import json
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from joserfc import jwk, jwt

from office.config import OidcConfig
from office.errors import OfficeError
from office.oidc import BACK, Oidc
from office.people import People
from tests.agency import Holder, new_key
from tests.office_kit import OfficeKit
from tests.site_kit import Browser, SiteKit

pytestmark = pytest.mark.net
SECRET = "s:e cret"  # noqa: S105 - of tests


@dataclass
class Provider:
    """What it says of who comes, and what a test has it say instead."""

    issuer: str = ""
    key: Any = field(default_factory=lambda: jwk.ECKey.generate_key("P-256", {"kid": "one"}, auto_kid=False))
    claims: dict[str, Any] = field(default_factory=dict)
    algorithm: str = "ES256"
    signs_with: Any = None
    codes: dict[str, dict[str, str]] = field(default_factory=dict)

    def authorize(self, address: str) -> dict[str, str]:
        """Somebody logs in there: what the browser brings back."""
        asked = dict(parse_qsl(urlsplit(address).query))
        assert (asked["response_type"], asked["code_challenge_method"]) == ("code", "S256")
        code = f"code-{len(self.codes)}"
        self.codes[code] = asked
        return {"code": code, "state": asked["state"]}

    def token(self, form: dict[str, list[str]], authorization: str) -> dict[str, Any] | None:
        asked = self.codes.pop(form["code"][0], None)
        pair = base64.b64encode(b"bodycam:s%3Ae%20cret").decode()
        if asked is None or authorization != f"Basic {pair}" or form["redirect_uri"][0] != asked["redirect_uri"]:
            return None
        digest = hashlib.sha256(form["code_verifier"][0].encode()).digest()
        if base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != asked["code_challenge"]:
            return None
        now = int(time.time())
        claims = {"iss": self.issuer, "aud": "bodycam", "sub": "7", "exp": now + 300, "iat": now,
                  "nonce": asked["nonce"], "preferred_username": "zhang", **self.claims}  # fmt: skip
        header = {"alg": self.algorithm, "kid": "one"}
        token = jwt.encode(header, claims, self.signs_with or self.key, algorithms=[self.algorithm])
        return {"access_token": "unused", "token_type": "Bearer", "id_token": token}


@pytest.fixture
def provider(tmp_path: Path) -> Iterator[Provider]:
    made = Provider()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/.well-known/openid-configuration":
                self.say({"issuer": made.issuer, "authorization_endpoint": f"{made.issuer}/authorize",
                          "token_endpoint": f"{made.issuer}/token", "jwks_uri": f"{made.issuer}/keys"})  # fmt: skip
            else:
                self.say({"keys": [made.key.as_dict(private=False)]})

        def do_POST(self) -> None:
            form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            told = made.token(form, self.headers["Authorization"])
            self.say(told or {"error": "invalid_grant"}, 200 if told else 400)

        def say(self, told: dict[str, Any], status: int = 200) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(told).encode())

        def log_message(self, *_: object) -> None:
            pass

    key = new_key()
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "provider")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    chain, own = Holder(certificate, key).write(tmp_path, "provider")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, own)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    made.issuer = f"https://127.0.0.1:{server.server_port}"
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    yield made
    server.shutdown()
    server.server_close()
    serving.join()


@pytest.fixture
def config(provider: Provider, tmp_path: Path) -> OidcConfig:
    (tmp_path / "oidc.secret").write_text(f"{SECRET}\n")
    page = "https://archive.example"
    return OidcConfig(provider.issuer, "bodycam", tmp_path / "oidc.secret", page, roots=tmp_path / "provider.pem")


def test_who_comes_back_with_the_code_is_who_the_provider_says(provider: Provider, config: OidcConfig) -> None:
    oidc = Oidc(config)
    address, state = oidc.begin("/recordings")
    assert dict(parse_qsl(urlsplit(address).query))["redirect_uri"] == f"https://archive.example{BACK}"
    came = provider.authorize(address)
    assert came["state"] == state
    assert oidc.finish(came["code"], came["state"]) == ("zhang", "/recordings")
    with pytest.raises(OfficeError, match="log-in"):
        oidc.finish(came["code"], came["state"])


WRONG: dict[str, dict[str, Any]] = {
    "issuer": {"iss": "https://elsewhere.example"}, "client": {"aud": "other"}, "expired": {"exp": 1_000_000_000},
    "another log-in's": {"nonce": "other"}, "another party": {"azp": "other"}, "nobody": {"preferred_username": None},
    "no term": {"exp": None},
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_a_word_that_does_not_hold_lets_nobody_in(provider: Provider, config: OidcConfig, what: str) -> None:
    oidc = Oidc(config)
    provider.claims = WRONG[what]
    came = provider.authorize(oidc.begin("/")[0])
    with pytest.raises(OfficeError, match="log-in"):
        oidc.finish(came["code"], came["state"])


def test_a_word_under_another_key_or_a_shared_secret_lets_nobody_in(provider: Provider, config: OidcConfig) -> None:
    oidc = Oidc(config)
    provider.signs_with = jwk.ECKey.generate_key("P-256", {"kid": "one"}, auto_kid=False)
    came = provider.authorize(oidc.begin("/")[0])
    with pytest.raises(OfficeError, match="log-in"):
        oidc.finish(came["code"], came["state"])
    provider.signs_with, provider.algorithm = jwk.OctKey.import_key(b"k" * 32), "HS256"
    came = provider.authorize(oidc.begin("/")[0])
    with pytest.raises(OfficeError, match="log-in"):
        oidc.finish(came["code"], came["state"])


def test_a_code_of_another_log_in_is_not_taken(provider: Provider, config: OidcConfig) -> None:
    oidc = Oidc(config)
    stolen = provider.authorize(oidc.begin("/")[0])
    mine = provider.authorize(oidc.begin("/")[0])
    with pytest.raises(OfficeError, match="log-in"):
        oidc.finish(stolen["code"], mine["state"])  # its proof key is another
    with pytest.raises(OfficeError, match="log-in"):
        oidc.finish(mine["code"], "state of nobody")


def test_a_provider_that_is_away_or_another_is_told(provider: Provider, config: OidcConfig, tmp_path: Path) -> None:
    provider.issuer += "/other"
    with pytest.raises(OfficeError, match="oidc-away"):
        Oidc(config).begin("/")
    (tmp_path / "no.pem").write_text("")
    with pytest.raises(OfficeError, match="oidc"):
        Oidc(OidcConfig(config.issuer, "bodycam", config.secret_file, config.page, roots=tmp_path / "no.pem"))
    with pytest.raises(OfficeError, match="oidc-away"):
        Oidc(OidcConfig(config.issuer, "bodycam", config.secret_file, config.page)).begin("/")  # unknown roots


def test_the_page_lets_in_who_is_entered_and_nobody_else(
    provider: Provider, config: OidcConfig, tmp_path: Path
) -> None:
    office = OfficeKit(tmp_path / "o")
    with office.config.open("a") as file:
        file.write(f'[oidc]\nissuer = "{config.issuer}"\nclient = "bodycam"\npage = "{config.page}"\n')
        file.write(f'secret_file = "{config.secret_file}"\nroots = "{config.roots}"\n')
    site = SiteKit(office, sessions=lambda archive: archive.gate)
    people: People = site.archive.people
    people.add("zhang", "张三", "执法一科", by="root", machine=True)
    people.ask_roles("zhang", ["officer"], by="root", machine=True)
    with site.serving():
        browser = Browser(site, None)
        assert "/log-in/oidc" in browser.get("/log-in").text
        sent = browser.get("/log-in/oidc?next=/recordings")
        assert sent.headers["location"].startswith(f"{config.issuer}/authorize?")
        came = provider.authorize(sent.headers["location"])
        back = f"{BACK}?code={came['code']}&state={came['state']}"
        assert browser.get(back).status == 403  # another browser than began it
        browser.cookies["__Host-oidc"] = came["state"]
        done = browser.get(back)
        assert (done.status, done.headers["location"]) == (303, "/recordings")
        assert [(leaf["by"], leaf["how"]) for _, leaf in site.archive.log.entries("log-in")] == [("zhang", "oidc")]
        provider.claims = {"preferred_username": "stranger"}
        came = provider.authorize(browser.get("/log-in/oidc").headers["location"])
        browser.cookies["__Host-oidc"] = came["state"]
        assert browser.get(f"{BACK}?code={came['code']}&state={came['state']}").status == 403
