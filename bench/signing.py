"""What signatures cost a recorded hour, with the evidence key in a file and in a PKCS#11 token.

An hour of journal lines (7,200 fragments, 60 segments, 60 heartbeats), signed by the boot's session key, which the
evidence key certifies once. Against the same lines with no signature, and against a token that signs each line itself,
as a recorder without session keys would. The token is SoftHSM: each signature of a real one takes 10 to 500 ms more,
which `--delays` injects below the library to see what waits for it.

    scripts/bench signing [--rounds N] [--delays MS[,MS…]]

CPU is user + system, children included. This machine is not a Pi.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import queue
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pkcs11
from _measured import lacks, measure
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils

from evidence import pki
from evidence.documents import Configuration
from evidence.pki import Role
from evidence.records import GENESIS, Chain, Stamp
from firmware.evidence_key import EvidenceKey
from firmware.identity import Identity, new_session
from hw_sim import soft_token
from hw_sim.soft_token import SoftToken
from runtime import token as tokens
from runtime.keys import create_secret, private_pem, replace_file
from runtime.token import TokenKey

ES256 = ec.ECDSA(hashes.SHA256())
BOOT, DEVICE = "ab" * 16, "BWC-0001"
FRAGMENTS, SEGMENTS = 7_200, 60
NAMES = {
    "nothing": "the same lines, hashed and not signed",
    "file": "session key, certified by a key in a file",
    "token": "session key, certified by a token",
    "token lines": "a token that signs each line (SoftHSM, kept open)",
}
Key = ec.EllipticCurvePrivateKey


def main() -> int:
    """Measure, print a table and, as the last line, the same as JSON."""
    parser = argparse.ArgumentParser(prog="scripts/bench signing", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="turns of each (default 5)")
    parser.add_argument("--delays", default="0,10,100,500", help="ms that a token takes (default 0,10,100,500)")
    told = parser.parse_args()
    if lacks("softhsm2-util", "gcc"):
        return os.EX_UNAVAILABLE
    with tempfile.TemporaryDirectory(prefix="bench-signing-") as name:
        token = soft_token.make(Path(name) / "token")
        os.environ.update(token.environment)
        in_file = Evidence(Path(name) / "file", ec.generate_private_key(ec.SECP256R1()))
        in_token = Evidence(Path(name) / "camera", TokenKey(token.config, tokens.make_key(token.config)))
        opened = Opened(token)
        ways: dict[str, Callable[[], None]] = {
            "nothing": lambda: sign_hour(Constant()),
            "file": lambda: sign_hour(in_file.certify()),
            "token": lambda: sign_hour(in_token.certify()),
            "token lines": lambda: sign_hour(opened),
        }
        measured = measure(ways, told.rounds)
        waits = {int(delay): wait(token, in_token, int(delay)) for delay in told.delays.split(",")}
        report(measured, waits)
    return 0


class Evidence:
    """A camera's credentials in a folder, with the evidence key that is given."""

    def __init__(self, folder: Path, key: Key) -> None:
        self.key = key
        root, issuing, link = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
        now = datetime.now(UTC)
        term = (now - timedelta(hours=1), now + timedelta(days=1))
        top = pki.make_root(root, "AGENCY-1", "bench", *term)
        middle = pki.make_certificate(Role.ISSUING, "AGENCY-1", issuing.public_key(), top, root, *term)
        self.certificate = pki.make_certificate(Role.EVIDENCE, DEVICE, key.public_key(), middle, issuing, *term)
        camera = pki.make_certificate(Role.CAMERA, DEVICE, link.public_key(), middle, issuing, *term)
        for role, certificate in (("evidence", self.certificate), ("camera", camera)):
            replace_file(folder / "certs" / f"{role}.pem", pki.to_pem(certificate, middle))
        create_secret(folder / "keys" / "camera.key.pem", private_pem(link))
        told = Configuration("OFFICE-1", DEVICE, "bench", "", "", "", "", None, ())
        self.identity = Identity(folder, told, "", (top,), {})

    def certify(self) -> Key:
        """A boot: a session key, and its certificate."""
        session = ec.generate_private_key(ec.SECP256R1())
        pki.make_session_certificate(self.certificate, self.key, session.public_key(), BOOT)
        return session


def lines() -> Iterator[tuple[str, dict[str, Any]]]:
    """The records of an hour."""
    sha = "0" * 64
    where = {"recording": "abababab-1", "part": 1}
    counts = dict.fromkeys(("plain_offset", "plain_len", "cipher_len", "frames", "samples", "drops"), 1_000_000)
    for number in range(FRAGMENTS):
        segment = {**where, "segment": number // 120, "index": number % 120}
        span = {"from_ns": number * 500_000_000, "to_ns": (number + 1) * 500_000_000, "starts_with_idr": True}
        yield "fragment", {**segment, **counts, "plain_sha256": sha, "cipher_sha256": sha, **span}
    for number in range(SEGMENTS):
        sums = dict.fromkeys(("fragments", "frames", "samples", "from_ns", "to_ns", "plain_len", "attested_len"), 1_000)
        sums |= {"file_size": 1_000_000, "stanzas": 2}
        hashes = dict.fromkeys(("plain_sha256", "attested_sha256", "file_sha256", "header_sha256"), sha)
        yield "segment", {**where, "segment": number, "closed": True, **sums, **hashes, "recipients": [sha, sha]}
        yield "heartbeat", {"free_bytes": 1 << 34, "figures": {"delivered": number}}


def sign_hour(session: Any) -> None:
    """As the journal does it."""
    chain = Chain(DEVICE, BOOT, session, pki.key_id(session.public_key()), seq=0, prev=GENESIS)
    for number, (kind, body) in enumerate(lines()):
        chain.append(kind, body, Stamp(number, number, "dock", 100))


class Constant:
    """A key that has signed before, and gives that signature again: what is left is the work around it."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._signature = self._key.sign(b"", ES256)

    def sign(self, _data: bytes, _algorithm: object) -> bytes:
        """The signature of something else."""
        return self._signature

    def public_key(self) -> ec.EllipticCurvePublicKey:
        """Its public key."""
        return self._key.public_key()


class Opened(Constant):
    """A key in a token whose session is kept open in this process, which the product never does."""

    def __init__(self, token: SoftToken) -> None:
        super().__init__()
        config = token.config
        self._library = pkcs11.lib(str(soft_token.module()))
        pin = config.pin_file.read_text(encoding="ascii").strip()
        self._session = self._library.get_token(token_label=config.label).open(user_pin=pin)
        self._private = self._session.get_key(object_class=pkcs11.ObjectClass.PRIVATE_KEY, label=config.key)

    def sign(self, data: bytes, _algorithm: object) -> bytes:
        """Sign in the token."""
        raw = self._private.sign(hashlib.sha256(data).digest(), mechanism=pkcs11.Mechanism.ECDSA)
        return utils.encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))


def wait(token: SoftToken, evidence: Evidence, milliseconds: int) -> tuple[float, float]:
    """Of a boot whose token takes so long: ms until the journal can be opened, and until the session is certified."""
    token.fault(f"slow {milliseconds}")
    certified: queue.Queue[object] = queue.Queue()
    began = time.monotonic()
    key = EvidenceKey(evidence.identity, new_session(), token.config)
    key.start()
    key.opening(BOOT)
    opened = time.monotonic() - began
    key.follow(certified.put, lambda _, what: sys.stderr.write(f"{what}\n"))
    certified.get(timeout=60)
    token.fault(None)
    return opened * 1000, (time.monotonic() - began) * 1000


def report(measured: dict[str, list[float]], waits: dict[int, tuple[float, float]]) -> None:
    """A table for people, a line of JSON for programs."""
    median = {name: statistics.median(values) for name, values in measured.items()}
    print(f"{FRAGMENTS + 2 * SEGMENTS} lines, {len(measured['file'])} turns; not on a Pi")
    print(f"{'way':<56}{'CPU s per recorded hour':>24}")
    for name, seconds in median.items():
        print(f"{NAMES[name]:<56}{seconds:>24.2f}")
    signing = [one - other for one, other in zip(measured["file"], measured["nothing"], strict=True)]
    pairs = (("token", "file"), ("token lines", "file"))
    ratios = {
        f"{mine} / {theirs}": statistics.median(
            own / least for own, least in zip(measured[mine], measured[theirs], strict=True)
        )
        for mine, theirs in pairs
    }
    print(f"signatures alone, by the session key: {statistics.median(signing):.2f} s")
    for name, ratio in ratios.items():
        print(f"{name}: {ratio:.2f}")
    print(f"{'a token that takes':<20}{'journal open after':>22}{'certified after':>20}")
    for delay, (opened, certified) in waits.items():
        print(f"{delay:>17} ms{opened:>19.1f} ms{certified:>17.0f} ms")
    figures = {
        "bench": "signing",
        "on_a_pi": False,
        "cpu_seconds_an_hour": {name: round(value, 3) for name, value in median.items()},
        "ratios": {name: round(value, 3) for name, value in ratios.items()},
        "journal_open_ms": {delay: round(opened, 1) for delay, (opened, _) in waits.items()},
        "certified_ms": {delay: round(certified) for delay, (_, certified) in waits.items()},
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    raise SystemExit(main())
