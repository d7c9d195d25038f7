"""RFC 3161 stamps: ours verify by `openssl ts`, what is wrong is refused by both, and nothing raises anything else."""

from __future__ import annotations

import random
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from evidence import pki, timestamp
from evidence.checkpoint import Checkpoint
from evidence.errors import EvidenceError
from evidence.pki import Role
from office.authority import OwnAuthority
from tests import stamp_maker
from tests.agency import Agency, Holder, rebuild
from tests.office_log_kit import LOG_KEY, bought

NOTE = Checkpoint("bodycam/AGENCY-1/OFFICE-1", 7, bytes(32)).sign(LOG_KEY)


@dataclass
class Desk:
    """An agency with its own authority, and folders for `openssl`."""

    tmp: Path
    agency: Agency
    stamp: Holder

    @property
    def roots(self) -> list[x509.Certificate]:
        return [self.agency.root.certificate]

    @property
    def pool(self) -> list[x509.Certificate]:
        return [self.agency.issuing.certificate]

    def stamped(self, data: bytes = NOTE, by: Holder | None = None) -> bytes:
        authority = OwnAuthority(*(by or self.stamp).write(self.tmp, "stamp"), error_ms=1_500)
        return authority.answer(timestamp.ask(data).der)

    def openssl(
        self, token: bytes, data: bytes, root: x509.Certificate, *above: x509.Certificate, at: datetime | None = None
    ) -> bool:
        """Whether `openssl ts -verify` accepts it, now or `at` another time."""
        for name, content in {"token": token, "data": data, "root": pki.to_pem(root)}.items():
            (self.tmp / name).write_bytes(content)
        (self.tmp / "above").write_bytes(pki.to_pem(*above or self.pool))
        command = ["openssl", "ts", "-verify", "-in", "token", "-data", "data", "-CAfile", "root"]
        command += ["-untrusted", "above", "-attime", str(int((at or datetime.now(UTC)).timestamp()))]
        done = subprocess.run(command, cwd=self.tmp, capture_output=True, check=False)
        return done.returncode == 0


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    agency = Agency(at=datetime.now(UTC))
    return Desk(tmp_path_factory.mktemp("desk"), agency, agency.issue(Role.STAMP, "OFFICE-1"))


def test_a_stamp_of_the_agency_itself_says_so_and_openssl_agrees(desk: Desk) -> None:
    before = datetime.now(UTC)
    token = desk.stamped()
    stamp = timestamp.read(token, NOTE, desk.roots, desk.pool)
    assert stamp.self_stamped
    assert stamp.authority.startswith("CN=stamp/OFFICE-1")
    latest = datetime.fromtimestamp(stamp.latest_ms / 1000, UTC)
    assert before + timedelta(milliseconds=1_500) <= latest <= datetime.now(UTC) + timedelta(milliseconds=2_500)
    assert desk.openssl(token, NOTE, *desk.roots)


def _flipped(token: bytes, place: int) -> bytes:
    return token[:place] + bytes([token[place] ^ 1]) + token[place + 1 :]


@pytest.mark.parametrize(
    ("attack", "code"),
    [
        ("other data", "stamp-imprint"),
        ("other agency", "stamp-unknown"),
        ("signed by the office's document key", "stamp-form"),
        ("a certificate that it gave to itself", "stamp-unknown"),
        ("time moved", "stamp-untrusted"),
        ("signature flipped", "stamp-untrusted"),
        ("refusal", "stamp-refused"),
        ("nothing", "stamp-form"),
        ("a page", "stamp-form"),
    ],
)
def test_what_openssl_refuses_is_refused_here(desk: Desk, attack: str, code: str) -> None:
    token, data, roots = desk.stamped(), NOTE, desk.roots
    if attack == "other data":
        data += b"\n"
    elif attack == "other agency":
        roots = [Agency(at=datetime.now(UTC)).root.certificate]
    elif attack == "signed by the office's document key":
        with pytest.raises(Exception, match="stamp-failing"):
            desk.stamped(by=desk.agency.issue(Role.SIGNER, "OFFICE-1"))
        token = b""
    elif attack == "a certificate that it gave to itself":
        other = desk.agency.issue(Role.STAMP, "OFFICE-1")
        certificate = rebuild(other.certificate, other.key)
        token = desk.stamped(by=Holder(certificate, other.key))
    elif attack == "time moved":
        year = token.index(datetime.now(UTC).strftime("%Y%m%d").encode())
        token = _flipped(token, year + 3)
    elif attack == "signature flipped":
        token = _flipped(token, len(token) - 5)
    elif attack == "refusal":
        token = bytes.fromhex("30053003020102")
    else:
        token = {"nothing": b"", "a page": b"<html>"}[attack]
    with pytest.raises(EvidenceError) as caught:
        timestamp.read(token, data, roots, desk.pool)
    assert caught.value.code == code
    assert not desk.openssl(token, data, *roots)


def test_footage_outlives_certificates(desk: Desk) -> None:
    """A check two years later: dates are judged at the token's time. Stamped after the term, it is nothing."""
    then = datetime.now(UTC) - timedelta(days=2 * 365)
    old = Agency(at=then)
    holder, above = old.issue(Role.STAMP, "OFFICE-1"), old.issuing.certificate
    late = desk.stamped(by=holder)
    token = stamp_maker.stamp(NOTE, holder.certificate, holder.key, then)
    stamp = timestamp.read(token, NOTE, [old.root.certificate], [above])
    assert abs(stamp.latest_ms / 1000 - then.timestamp()) < 4
    assert desk.openssl(token, NOTE, old.root.certificate, above, at=then)
    with pytest.raises(EvidenceError, match="certificate has expired"):
        timestamp.read(late, NOTE, [old.root.certificate], [above])
    assert not desk.openssl(late, NOTE, old.root.certificate, above)


def test_an_authority_of_its_own_counts_only_if_its_root_is_given(desk: Desk) -> None:
    """As one buys it: RSA, a root and an authority below it that know nothing of agencies."""
    root, authority = bought()
    token = desk.stamped(by=authority)
    with pytest.raises(EvidenceError) as caught:
        timestamp.read(token, NOTE, desk.roots, desk.pool)
    assert caught.value.code == "stamp-unknown"
    with pytest.raises(EvidenceError) as caught:  # nor if it lies among what helps to build chains
        timestamp.read(token, NOTE, desk.roots, [*desk.pool, root], desk.roots)
    assert caught.value.code == "stamp-untrusted"
    stamp = timestamp.read(token, NOTE, desk.roots, desk.pool, [root])
    assert not stamp.self_stamped
    assert stamp.authority == "CN=Time Stamps"
    assert desk.openssl(token, NOTE, root)


def test_any_bytes_are_taken_or_refused_and_what_is_taken_says_the_same(desk: Desk) -> None:
    random.seed(7)
    token = desk.stamped()
    good = timestamp.read(token, NOTE, desk.roots, desk.pool)
    for _ in range(400):
        data = bytearray(token)
        for _ in range(random.choice((1, 1, 3))):
            data[random.randrange(len(data))] = random.randrange(256)
        cut = bytes(data[: random.choice((len(data), len(data), random.randrange(len(data))))])
        try:
            assert timestamp.read(cut, NOTE, desk.roots, desk.pool) == good
        except EvidenceError as error:
            assert error.code.startswith("stamp-")  # noqa: PT017 - the code is what is asked about
