"""A key in a PKCS#11 token: an HSM, a TPM or a secure element behind its maker's library.

Each deed is a process of its own (`runtime.token_child`), at most `timeout_seconds` long: a token that hangs, or whose
library crashes, holds nobody up. A camera needs its token once a boot, so that nothing of it stays in memory.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NoReturn

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils

from evidence import jose, shape
from evidence.errors import EvidenceError
from runtime import token_child
from runtime.config import Between
from runtime.keys import CredentialError

_HALF = 32  # bytes of r and of s
_POINT = shape.text  # whether it is one of P-256, `_of_point` says
_ANSWERS: dict[str, dict[str, shape.Check]] = {
    "list": {"points": shape.list_of(_POINT, at_most=1000)},
    "make": {"point": _POINT},
    "destroy": {"destroyed": shape.number()},
    "sign": {"signature": shape.hexadecimal(4 * _HALF), "guarded": shape.boolean},
}
_FAILED: dict[str, shape.Check] = {
    "error": shape.one_of(token_child.MISSING, token_child.PIN, token_child.TOKEN),
    "message": shape.long_text,
}


@dataclass(frozen=True, slots=True)
class TokenConfig:
    """`module`: the token's PKCS#11 library. `label`: the token's own. `key`: label of the evidence key in it.

    `pin_file`: its one line is the user PIN; for its owner only.
    """

    module: Path
    label: str
    key: str
    pin_file: Path
    timeout_seconds: Annotated[float, Between(0.1, 120)] = 10.0


class TokenError(CredentialError):
    """A token, or its library, does not do what is asked. `again`: trying later may help.

    After a refused PIN it does not: each try brings the token nearer to locking itself for good.
    """

    exit_status = os.EX_UNAVAILABLE  # 69

    def __init__(self, message: str, *, again: bool = True) -> None:
        super().__init__(message)
        self.again = again


def public_keys(config: TokenConfig) -> list[ec.EllipticCurvePublicKey]:
    """The public keys that the token holds under the name `config.key`. Raises `TokenError`."""
    return [_of_point(point) for point in _ask(config, "list")["points"]]


def make_key(config: TokenConfig) -> ec.EllipticCurvePublicKey:
    """Make a P-256 key in the token that cannot leave it; its public key. Raises `TokenError`."""
    return _of_point(_ask(config, "make")["point"])


def destroy_others(config: TokenConfig, kept: ec.EllipticCurvePublicKey) -> int:
    """Destroy the keys named `config.key` but `kept`; how many they were. Raises `TokenError`."""
    return int(_ask(config, "destroy", point=_point(kept))["destroyed"])


class TokenKey(ec.EllipticCurvePrivateKey):
    """The private key whose public key is given. It signs, and does nothing else: the rest is the token's secret."""

    def __init__(self, config: TokenConfig, public: ec.EllipticCurvePublicKey) -> None:
        self._config = config
        self._public = public
        self.guarded = False  # whether the token said, when it signed last, that this key cannot leave it

    def sign(self, data: Any, signature_algorithm: ec.EllipticCurveSignatureAlgorithm) -> bytes:
        """Sign with SHA-256. Raises `TokenError`."""
        if not isinstance(signature_algorithm.algorithm, hashes.SHA256):
            self._refuse()
        digest = hashlib.sha256(data).hexdigest()
        answer = _ask(self._config, "sign", point=_point(self._public), digest=digest)
        raw = bytes.fromhex(answer["signature"])
        signature = utils.encode_dss_signature(int.from_bytes(raw[:_HALF], "big"), int.from_bytes(raw[_HALF:], "big"))
        self.guarded = bool(answer["guarded"])
        return signature

    def public_key(self) -> ec.EllipticCurvePublicKey:
        """Return its public key."""
        return self._public

    @property
    def curve(self) -> ec.EllipticCurve:
        """Always P-256."""
        return self._public.curve

    @property
    def key_size(self) -> int:
        """In bits."""
        return self._public.key_size

    def exchange(self, algorithm: ec.ECDH, peer_public_key: ec.EllipticCurvePublicKey) -> bytes:
        """Refused."""
        _ = algorithm, peer_public_key
        self._refuse()

    def private_numbers(self) -> ec.EllipticCurvePrivateNumbers:
        """Refused."""
        self._refuse()

    def private_bytes(
        self,
        encoding: serialization.Encoding,
        format: serialization.PrivateFormat,  # noqa: A002 - the interface's name
        encryption_algorithm: serialization.KeySerializationEncryption,
    ) -> bytes:
        """Refused."""
        _ = encoding, format, encryption_algorithm
        self._refuse()

    def __copy__(self) -> TokenKey:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> TokenKey:
        return self

    def _refuse(self) -> NoReturn:
        raise TypeError("a key in a token signs with ECDSA and SHA-256, and nothing else")


def _ask(config: TokenConfig, deed: str, **more: str) -> dict[str, Any]:
    named = {"module": str(config.module), "label": config.label, "key": config.key}
    request = json.dumps(
        {"do": deed, "pin": _pin(config.pin_file), "seconds": 2 * config.timeout_seconds, **named, **more}
    ).encode()
    where = f"token {config.label!r} behind {config.module}"
    try:
        done = subprocess.run(
            [sys.executable, "-P", str(Path(token_child.__file__))],
            input=request,
            capture_output=True,
            check=False,
            timeout=config.timeout_seconds,
        )
    except subprocess.TimeoutExpired as error:
        raise TokenError(f"{where}: no answer within {config.timeout_seconds} s") from error
    except OSError as error:
        raise TokenError(f"{where}: its process cannot be started: {error}") from error
    return _read(where, deed, done.stdout, done.returncode)


def _read(where: str, deed: str, told: bytes, status: int) -> dict[str, Any]:
    """The answer in what the process printed: foreign machine code prints there, too, before and after it."""
    answer: dict[str, Any] = {}
    for line in told.splitlines():
        with contextlib.suppress(EvidenceError):
            found = jose.parse_json(line)
            answer = shape.require("answer", found, _FAILED if "error" in found else _ANSWERS[deed])
    if not answer:
        raise TokenError(f"{where}: its library ended with status {status} and no answer")
    if "error" in answer:
        raise TokenError(f"{where}: {answer['message']}", again=answer["error"] == token_child.TOKEN)
    return answer


def _pin(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise TokenError(f"{path}: the token's PIN cannot be read ({error})", again=False) from error


def _point(public: ec.EllipticCurvePublicKey) -> str:
    return public.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint).hex()


def _of_point(point: str) -> ec.EllipticCurvePublicKey:
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), bytes.fromhex(point))
    except ValueError as error:
        raise TokenError(f"the token holds something else than a P-256 key ({error})", again=False) from error
