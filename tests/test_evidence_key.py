"""The camera's evidence key from enrolment to exchange: made in a token, slow, hanging, gone, come back.

The token is SoftHSM behind the real library (hw_sim/soft_token.py). Nothing waits for it, and the journal tells.
"""

from __future__ import annotations

import dataclasses
import queue
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from evidence import pki, records
from evidence.journal import JournalReader
from evidence.records import Chain, Stamp
from evidence.verify import Verifier
from firmware import identity as identities
from firmware.capture.journal_writer import JournalWriter
from firmware.evidence_key import Certified, EvidenceKey
from hw_sim import soft_token
from hw_sim.soft_token import SoftToken
from provisioning.main import main
from runtime.keys import load_certificates
from runtime.token import TokenConfig, TokenKey, public_keys
from tests.memory_disk import MemoryDisk

CAMERA = ["camera", "BWC-0001", "--agency", "AGENCY", "--office", "OFFICE", "--dir", "CAMERA"]
MEMBERS = {"software": "test", "configuration": "0" * 64, "hardware": {}, "simulated": False}
PATIENCE = 15.0
Provision = Callable[..., int]


@pytest.fixture
def provision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Provision:
    """`bodycam provision` in an empty folder that has an agency and an office."""
    monkeypatch.chdir(tmp_path)
    assert main(["agency", "--dir", "AGENCY", "--name", "局"]) == 0
    assert main(["office", "OFFICE-1", "--agency", "AGENCY", "--dir", "OFFICE"]) == 0
    return lambda *words: main([*CAMERA, *words])


@pytest.fixture
def token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SoftToken:
    made = soft_token.make(tmp_path / "token")
    for name, value in made.environment.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "camera.toml").write_text(made.toml)
    return made


@dataclass
class Boot:
    """One boot of the camera in CAMERA, as far as its journal; `told` is what the evidence key tells."""

    key: EvidenceKey
    journal: JournalWriter
    waited: float  # seconds until the journal could be opened
    told: queue.Queue[Certified | str] = field(default_factory=queue.Queue)

    def follow(self) -> None:
        self.key.follow(self.told.put, lambda _, what: self.told.put(what))

    def next(self) -> Certified | str:
        return self.told.get(timeout=PATIENCE)

    def certify(self) -> None:
        found = self.next()
        assert isinstance(found, Certified)
        self.journal.certify(found.chain, found.key_store)


@contextmanager
def boot(disk: MemoryDisk, token: TokenConfig | None, wait: float = 0.0) -> Iterator[Boot]:
    """Start; `wait` seconds at most for the key before the journal is opened, as long as drivers take to be built."""
    begun = time.monotonic()
    identity, session = identities.load(Path("CAMERA")), identities.new_session()
    key = EvidenceKey(identity, session, token)
    key.start()
    end = time.monotonic() + wait
    while time.monotonic() < end and key.opening("ab" * 16)[1] == "none":
        time.sleep(0.01)
    opening, key_store = key.opening("ab" * 16)
    reader = read(disk)
    head = reader.head or (-1, records.GENESIS)
    chain = Chain(identity.device, session.boot, session.key, session.kid, seq=head[0] + 1, prev=head[1])
    ticks = iter(range(10**9, 10**12, 10**6))
    journal = JournalWriter(disk, chain, opening, lambda: Stamp(next(ticks), 0, "none", None), journals(disk), [])
    journal.boot({**MEMBERS, "key_store": key_store})
    booted = Boot(key, journal, time.monotonic() - begun)
    booted.follow()
    try:
        yield booted
    finally:
        key.stop()
        journal.close()


def journals(disk: MemoryDisk) -> int:
    return len(disk.list("journal"))


def read(disk: MemoryDisk) -> JournalReader:
    """The journal as a dock reads it: it takes no boot that none of the camera's keys stands behind."""
    reader = JournalReader(load_certificates(Path("CAMERA/certs/root.pem")), refuse_strangers=True)
    for file in range(journals(disk)):
        reader.feed(file, disk.read(records.journal_path(file)))
    return reader


def standings(disk: MemoryDisk) -> list[str]:
    """How the key of each boot is kept, by what was proven of it."""
    verified = Verifier(disk, load_certificates(Path("CAMERA/certs/root.pem"))).run()
    assert {finding.verdict for finding in verified.findings} <= {"unsigned"}, verified.findings
    return [session.key_store for session in verified.reader.sessions.values()]


def test_enrolled_in_a_token_it_signs_there_and_is_never_a_file(provision: Provision, token: SoftToken) -> None:
    assert provision("--config", "camera.toml") == 0
    assert not list(Path("CAMERA/keys").glob("evidence*"))
    (evidence, *_) = load_certificates(Path("CAMERA/certs/evidence.pem"))
    assert public_keys(token.config) == [pki.public_key(evidence)]
    assert provision("--config", "camera.toml") == 0
    assert load_certificates(Path("CAMERA/certs/evidence.pem"))[0] == evidence, "each step may be repeated"
    disk = MemoryDisk()
    with boot(disk, token.config, wait=PATIENCE) as booted:
        booted.journal.append("docked", {"docked": True})
    assert standings(disk) == ["token"]
    session = read(disk).session
    assert session is not None
    assert session.chain is not None
    leaf, *above, root = session.chain.certificates
    for name, certificates in (("leaf", [leaf]), ("above", above), ("root", [root])):
        Path(f"{name}.pem").write_bytes(pki.to_pem(*certificates))
    check = ["openssl", "verify", "-x509_strict", "-CAfile", "root.pem", "-untrusted", "above.pem", "leaf.pem"]
    assert subprocess.run(check, capture_output=True, check=False).returncode == 0


def test_a_slow_token_delays_nothing_and_its_certificate_is_a_record(provision: Provision, token: SoftToken) -> None:
    """500 ms are what a TPM takes. The journal is open before, and all that the boot signed is certified after."""
    provision("--config", "camera.toml")
    disk = MemoryDisk()
    token.fault("slow 500")
    with boot(disk, token.config) as booted:
        assert booted.waited < 0.4
        booted.journal.append("docked", {"docked": True})
        assert standings(disk) == ["none"]
        booted.certify()
        assert standings(disk) == ["token"]
        booted.journal._size = 1 << 30  # the next line opens the next file
        booted.journal.append("docked", {"docked": False})
    assert standings(disk) == ["token"]
    assert [record.kind for record in map(records.parse, lines(disk))] == [
        "boot", "docked", "certified", "summary", "docked",
    ]  # fmt: skip


def lines(disk: MemoryDisk) -> list[bytes]:
    return [line for file in range(journals(disk)) for line in disk.read(records.journal_path(file)).splitlines()]


def test_a_token_that_hangs_is_given_up_and_asked_again(provision: Provision, token: SoftToken) -> None:
    provision("--config", "camera.toml")
    disk = MemoryDisk()
    token.fault("hang")
    with boot(disk, dataclasses.replace(token.config, timeout_seconds=0.5)) as booted:
        assert booted.waited < 0.4
        assert "no answer within 0.5 s" in str(booted.next())
        assert standings(disk) == ["none"]
        token.fault(None)
        booted.certify()
    assert standings(disk) == ["token"]


def test_a_token_lost_in_mid_shift_costs_the_next_boot_its_standing_until_it_is_back(
    provision: Provision, token: SoftToken
) -> None:
    provision("--config", "camera.toml")
    disk = MemoryDisk()
    with boot(disk, token.config, wait=PATIENCE) as booted:
        token.remove()
        booted.journal.append("docked", {"docked": False})  # the session lives on
    with boot(disk, token.config) as booted:
        assert "NoSuchToken" in str(booted.next())
        booted.journal.append("docked", {"docked": True})
        assert standings(disk) == ["token", "none"]
    with boot(disk, token.config) as booted:
        assert "NoSuchToken" in str(booted.next())
        token.put_back()
        booted.certify()
    assert standings(disk) == ["token", "none", "token"], "a session whose key is gone can be certified by nobody"


def test_a_refused_pin_is_tried_once_a_boot(provision: Provision, token: SoftToken) -> None:
    provision("--config", "camera.toml")
    token.config.pin_file.write_text("161803")
    token.config.pin_file.chmod(0o644)
    with boot(MemoryDisk(), token.config) as booted:
        assert "chmod 600" in str(booted.next())
        assert "PinIncorrect" in str(booted.next())
        with pytest.raises(queue.Empty):
            booted.told.get(timeout=1.5)  # what may help is tried again after a second
    assert provision("--config", "camera.toml", "--new-evidence-key") == 77


def test_the_key_in_a_file_signs_at_once_and_others_rights_to_it_are_told(provision: Provision) -> None:
    provision()
    disk = MemoryDisk()
    Path("CAMERA/keys/evidence.key.pem").chmod(0o640)
    with boot(disk, None) as booted:
        assert "0640 let others at it" in str(booted.next())
    assert standings(disk) == ["extractable"]
    assert provision() == 77
    Path("CAMERA/keys/evidence.key.pem").unlink()
    with boot(disk, None) as booted:
        assert "cannot be read as a private key" in str(booted.next())
    assert standings(disk) == ["extractable", "none"]


@pytest.mark.parametrize("where", ["file", pytest.param("token", marks=pytest.mark.slow), "file to token"])
def test_a_new_key_takes_the_place_of_the_old_whose_evidence_still_verifies(
    provision: Provision, token: SoftToken, where: str
) -> None:
    named = ["--config", "camera.toml"]
    before, after = ([] if where.startswith("file") else named), ([] if where == "file" else named)
    assert provision(*before) == 0
    disk = MemoryDisk()
    with boot(disk, token.config if before else None, wait=PATIENCE):
        pass
    (old, *_) = load_certificates(Path("CAMERA/certs/evidence.pem"))
    assert provision(*after, "--new-evidence-key") == 0
    (new, *_) = load_certificates(Path("CAMERA/certs/evidence.pem"))
    assert pki.public_key(new) != pki.public_key(old)
    with boot(disk, token.config if after else None, wait=PATIENCE):
        pass
    kept = {"file": "extractable", "token": "token"}
    assert standings(disk) == [kept[where.split(" to ", maxsplit=1)[0]], kept[where.rsplit(" to ", maxsplit=1)[-1]]]
    held = public_keys(token.config)
    assert held == ([pki.public_key(new)] if after else [])
    files = sorted(path.name for path in Path("CAMERA/keys").glob("evidence*"))
    assert files == ([] if after else ["evidence.key.pem"])


def test_an_exchange_cut_short_leaves_a_key_that_signs(provision: Provision) -> None:
    """The certificate is there and the new key's file has not got its name yet: the certificate tells which it is."""
    provision()
    old = Path("CAMERA/keys/evidence.key.pem").read_bytes()
    provision("--new-evidence-key")
    Path("CAMERA/keys/evidence.key.pem").rename("CAMERA/keys/evidence.next.key.pem")
    Path("CAMERA/keys/evidence.key.pem").write_bytes(old)
    Path("CAMERA/keys/evidence.key.pem").chmod(0o600)
    disk = MemoryDisk()
    with boot(disk, None):
        pass
    assert standings(disk) == ["extractable"]
    provision()
    assert not Path("CAMERA/keys/evidence.next.key.pem").exists()


def test_a_certificate_record_certifies_its_own_session_once(provision: Provision, token: SoftToken) -> None:
    """Taken from another boot, put in again, or put in where the opening had one: the journal ends there."""
    provision("--config", "camera.toml")
    assert TokenKey(token.config, public_keys(token.config)[0]).key_size == 256
    first = MemoryDisk()
    with boot(first, token.config, wait=PATIENCE) as booted:
        stolen = booted.journal.opening.chain
        booted.journal.certify(stolen, "token")
    with pytest.raises(Exception, match="certified before"):
        read(first)
    second = MemoryDisk()
    token.remove()
    with boot(second, token.config) as booted:
        booted.journal.certify(stolen, "token")
    with pytest.raises(Exception, match="for another camera or another boot"):
        read(second)
