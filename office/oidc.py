"""Log-in by OpenID Connect: an identity provider of the county says who somebody is (authorization code, PKCE).

It says who, and nothing else: what he may do stands in the office's log. Two factors are the provider's matter.
"""

from __future__ import annotations

import base64
import json
import secrets
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, urlencode

from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from joserfc import jwk, jwt
from joserfc.errors import JoseError

from office.config import OidcConfig
from office.errors import OfficeError

BACK: Final = "/log-in/oidc/back"
"""Where the provider sends people back to, behind the page's own address."""

_ALGORITHMS = ["RS256", "PS256", "ES256"]
_PENDING_SECONDS = 600.0
_PENDING_LIMIT = 1000
_ANSWER_LIMIT = 1 << 20
_ANSWER_SECONDS = 10
_LEEWAY_SECONDS = 60


@dataclass(frozen=True, slots=True)
class _Pending:
    nonce: str
    verifier: str
    to: str
    began: float


class Oidc:
    """One provider. Safe for several threads."""

    def __init__(self, config: OidcConfig) -> None:
        """Raises `OfficeError` ("oidc") if its files cannot be read."""
        self._config = config
        try:
            self._secret = config.secret_file.read_text("utf-8").strip()
            self._tls = ssl.create_default_context(cafile=config.roots)
        except (OSError, ValueError) as error:
            raise OfficeError("oidc", f"oidc: its files cannot be read ({error})") from error
        self._pending: dict[str, _Pending] = {}
        self._lock = threading.Lock()

    def begin(self, to: str) -> tuple[str, str]:
        """Where to send a browser, and the state that it must come back with. Raises `OfficeError` ("oidc-away")."""
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        address = prepare_grant_uri(
            self._provider()["authorization_endpoint"], self._config.client, "code", redirect_uri=self._back,
            scope="openid profile", state=state, nonce=nonce, code_challenge=create_s256_code_challenge(verifier),
            code_challenge_method="S256",
        )  # fmt: skip
        now = time.monotonic()
        with self._lock:
            fresh = {key: one for key, one in self._pending.items() if now - one.began < _PENDING_SECONDS}
            self._pending = dict([*fresh.items()][-_PENDING_LIMIT:])
            self._pending[state] = _Pending(nonce, verifier, to, now)
        return str(address), state

    def finish(self, code: str, state: str) -> tuple[str, str]:
        """The account of who comes back, and where he wanted to. Raises `OfficeError` ("log-in", "oidc-away")."""
        with self._lock:
            pending = self._pending.pop(state, None)
        if pending is None or time.monotonic() - pending.began > _PENDING_SECONDS:
            raise OfficeError("log-in", "this log-in was not begun here, or took too long", 403)
        provider = self._provider()
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": self._back,
                "code_verifier": pending.verifier}  # fmt: skip
        given = self._ask(provider["token_endpoint"], form)
        claims = self._claims(str(given.get("id_token", "")), provider, pending.nonce)
        account = claims.get(self._config.claim)
        if not isinstance(account, str) or not account:
            raise OfficeError("log-in", f"the provider tells no {self._config.claim}", 403)
        return account, pending.to

    @property
    def _back(self) -> str:
        return self._config.page.rstrip("/") + BACK

    def _provider(self) -> dict[str, Any]:
        issuer = self._config.issuer
        found = self._ask(f"{issuer.rstrip('/')}/.well-known/openid-configuration")
        places = [found.get(name) for name in ("authorization_endpoint", "token_endpoint", "jwks_uri")]
        if found.get("issuer") != issuer or not all(
            isinstance(one, str) and one.startswith("https://") for one in places
        ):
            raise OfficeError("oidc-away", f"what stands at {issuer} is not this provider's description", 503)
        return found

    def _claims(self, token: str, provider: Mapping[str, Any], nonce: str) -> Mapping[str, Any]:
        claims = jwt.JWTClaimsRegistry(
            leeway=_LEEWAY_SECONDS, iss={"essential": True, "value": self._config.issuer},
            aud={"essential": True, "value": self._config.client}, exp={"essential": True},
            nonce={"essential": True, "value": nonce},
        )  # fmt: skip
        try:
            keys = jwk.KeySet.import_key_set(self._ask(provider["jwks_uri"]))  # type: ignore[arg-type] # checked there
            found = jwt.decode(token, keys, algorithms=_ALGORITHMS)
            claims.validate(found.claims)
        except (JoseError, ValueError, KeyError, TypeError) as error:
            raise OfficeError("log-in", f"the provider's word does not hold: {error}", 403) from error
        if found.claims.get("azp", self._config.client) != self._config.client:
            raise OfficeError("log-in", "the provider's word is for another client", 403)
        return found.claims

    def _ask(self, address: str, form: Mapping[str, str] | None = None) -> dict[str, Any]:
        request = urllib.request.Request(address)  # noqa: S310 - https, as configuration and `_provider` see to
        request.add_header("Accept", "application/json")
        if form is not None:
            pair = f"{quote(self._config.client, safe='')}:{quote(self._secret, safe='')}"
            request.add_header("Authorization", "Basic " + base64.b64encode(pair.encode()).decode())
            request.data = urlencode(form).encode()
        try:
            with urllib.request.urlopen(request, timeout=_ANSWER_SECONDS, context=self._tls) as answer:  # noqa: S310
                told = json.loads(answer.read(_ANSWER_LIMIT))
        except urllib.error.HTTPError as error:
            if form is not None and error.code in (400, 401):
                raise OfficeError("log-in", "the provider does not take this code", 403) from error
            raise OfficeError("oidc-away", f"{address}: {error}", 503) from error
        except (OSError, ValueError) as error:
            raise OfficeError("oidc-away", f"{address}: {error}", 503) from error
        if not isinstance(told, dict):
            raise OfficeError("oidc-away", f"{address}: not an object", 503)
        return told
