"""Keys that were taken back, or whose certificates ended: what of their evidence still holds, and by whose word.

Pictures as in `pictures`. A revocation's times are counted in hours from the boot; receipts of H come one hour after
their segment.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from bodycam.verify import main as verify_command
from evidence import pki, revocation
from evidence.errors import EvidenceError
from evidence.report import Report, to_json
from evidence.revocation import REASONS, Entry
from evidence.verify import Verifier
from provisioning.main import main as provision
from runtime.keys import load_certificates
from tests.evidence_builder import START_UTC_MS, Camera, MemoryFolder
from tests.evidence_keys import AGENCY, Agency
from tests.pictures import camera, findings, picture, verify

START = datetime.fromtimestamp(START_UTC_MS / 1000, UTC)
EVIDENCE = AGENCY.evidence("BWC-0001")


def hours(count: float) -> datetime:
    return START + timedelta(hours=count)


def crl(
    certificate: x509.Certificate,
    at: float,
    *,
    lost: float | None = None,
    reason: str = "key-compromise",
    by: str = "issuing",
    agency: Agency = AGENCY,
    number: int = 1,
) -> bytes:
    """A list with one entry, PEM."""
    entry = Entry(certificate.serial_number, hours(at), REASONS[reason], None if lost is None else hours(lost))
    issuer = getattr(agency, by)
    made = revocation.make_list(issuer, agency.key(by), [entry], number, hours(at + number))
    return made.public_bytes(serialization.Encoding.PEM)


def judged(made: Camera, *lists: bytes) -> Report:
    return verify({**made.files, **{f"certs/{number}.crl": data for number, data in enumerate(lists)}})


def notes(found: Report) -> str:
    return " ".join(sorted({f"{note.step}:{note.verdict}" for note in found.notes if note.step != 11}))


@pytest.mark.parametrize(
    ("story", "how", "expected"),
    [
        ("HHS", {"at": 2}, "iix"),  # handed in before, but for the last
        ("HHS", {"at": 0.5}, "xxx"),
        ("HHS", {"at": 2, "lost": 0.5}, "xxx"),  # it was lost long before anybody noticed
        ("HHS", {"at": 2, "lost": 1.5}, "iix"),
        ("HTS", {"at": 2}, "itx"),  # cut: attested as far as it goes, and the finding names it
        ("RHH", {"at": 2}, "rii"),
        ("HHH", {"at": 2, "reason": "superseded"}, "iii"),
        ("SSS", {"at": 2, "reason": "superseded"}, "xxx"),
    ],
)
def test_evidence_key_revoked(story: str, how: dict[str, Any], expected: str) -> None:
    made = camera(story)
    found = judged(made, crl(EVIDENCE, **how))
    assert picture(found) == expected
    assert findings(found) == ("2:revoked" if "x" in expected else "")
    assert ("2:revoked" in notes(found)) == bool({"i", "r"} & set(expected))
    assert verify(made.files).ok, "without a list nobody knows"


def test_a_head_that_the_office_held_before_the_revocation_proves_it_too() -> None:
    made = Camera()
    made.boot()
    made.record("SS")
    made.anchor()
    made.record("S")
    assert picture(judged(made, crl(EVIDENCE, at=1))) == "iix"


def test_the_report_names_certificate_dates_and_list() -> None:
    found = to_json(judged(camera("S"), crl(EVIDENCE, at=2, lost=1)))
    assert found["recordings"][0]["key"]["revoked"] == {
        "certificate": "evidence/BWC-0001",
        "revoked": "2026-11-24T08:00:00.000Z",
        "since": "2026-11-24T07:00:00.000Z",
        "reason": "keyCompromise",
    }
    (told,) = found["revocation_lists"]
    assert (told["number"], told["as_of"]) == (1, "2026-11-24T09:00:00.000Z")
    (finding,) = found["findings"]
    assert (finding["attack"], finding["segment"], finding["footage"]["from_ms"]) == ("revoked-key", 0, 0)


def test_a_stolen_issuing_key_leaves_the_office_no_word() -> None:
    """Who has it makes signers and receipts as well."""
    found = judged(camera("HH"), crl(AGENCY.issuing, at=5, by="root"))
    assert (picture(found), findings(found)) == ("xx", "10:revoked 2:revoked")


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ({"at": 5}, "10:revoked"),  # a thief writes any date
        ({"at": 5, "reason": "superseded"}, ""),
        ({"at": 0.5, "reason": "superseded"}, "10:altered"),
    ],
)
def test_signer_revoked(how: dict[str, Any], expected: str) -> None:
    found = judged(camera("H"), crl(AGENCY.signer, **how))
    assert (picture(found), findings(found)) == ("i", expected)
    assert bool(found.receipts) == (not expected)


def test_a_stolen_signer_is_not_hidden_by_a_certificate_above_it_that_ended_earlier() -> None:
    """The agency renewed its issuing key, and learnt later that the office's had been stolen."""
    lists = crl(AGENCY.issuing, at=3, by="root", reason="superseded"), crl(AGENCY.signer, at=5)
    found = judged(camera("H"), *lists)
    assert "10:revoked" in findings(found)
    assert not found.receipts


def test_once_the_issuing_key_is_taken_back_the_offices_word_proves_nothing_whatever_else_was_before() -> None:
    found = judged(camera("H"), crl(EVIDENCE, at=2), crl(AGENCY.issuing, at=5, by="root", reason="superseded"))
    assert (picture(found), findings(found)) == ("x", "2:revoked")


@pytest.mark.parametrize(("held", "expected"), [(False, "2:revoked"), (True, "")])
def test_who_has_a_revoked_key_cannot_end_a_recording_of_before(held: bool, expected: str) -> None:
    """A boot of its own records nothing, and tells how a recording ended that was cut back: that, too, has a date."""
    made = Camera()
    made.boot()
    made.record("HH", stop=False)
    made.boot()
    made.stop()
    if held:
        made.anchor()
    found = judged(made, crl(EVIDENCE, at=2))
    assert (picture(found), findings(found)) == ("ii", expected)
    assert {finding.recording for finding in found.findings} <= {made.recording}
    assert "2:revoked" in notes(found)


def test_of_two_lists_the_later_counts() -> None:
    """The agency learnt that the key had been lost earlier; who leaves the new list out has the old one's verdict."""
    old, new = crl(EVIDENCE, at=2), crl(EVIDENCE, at=2, lost=0.5, number=2)
    assert picture(judged(camera("HH"), old)) == "ii"
    for lists in ((old, new), (new, old)):
        assert picture(judged(camera("HH"), *lists)) == "xx"


def test_of_two_lists_of_one_second_the_one_with_the_greater_number_counts() -> None:
    """Dates are whole seconds, and an agency may revoke twice in one."""
    issuer, key = AGENCY.issuing, AGENCY.key("issuing")
    entry = Entry(EVIDENCE.serial_number, hours(2), REASONS["key-compromise"], None)
    first, second = (
        revocation.make_list(issuer, key, entries, number, hours(3)).public_bytes(serialization.Encoding.PEM)
        for number, entries in ((1, []), (2, [entry]))
    )
    assert picture(judged(camera("SS"), first, second)) == "xx"
    assert picture(judged(camera("SS"), second, first)) == "xx"


def altered(data: bytes) -> bytes:
    crl_ = x509.load_pem_x509_crl(data)
    der = bytearray(crl_.public_bytes(serialization.Encoding.DER))
    der[-1] ^= 1
    return bytes(der)


def of_changes_only(data: bytes) -> bytes:
    old = x509.load_pem_x509_crl(data)
    builder = x509.CertificateRevocationListBuilder(old.issuer, old.last_update_utc, old.next_update_utc)
    builder = builder.add_extension(x509.DeltaCRLIndicator(1), critical=True)
    for entry in old:
        builder = builder.add_revoked_certificate(entry)
    return builder.sign(AGENCY.key("issuing"), hashes.SHA256()).public_bytes(serialization.Encoding.DER)


@pytest.mark.parametrize(
    "forge",
    [
        lambda _: crl(EVIDENCE, at=0, agency=Agency("another")),  # of an agency of the same name
        lambda _: crl(EVIDENCE, at=0, by="signer"),  # by a key that may not
        altered,
        of_changes_only,
        lambda data: data[:-40],
        lambda _: b"",
        lambda _: b"-----BEGIN X509 CRL-----\n-----END X509 CRL-----",
    ],
)
def test_a_list_that_its_issuer_did_not_sign_revokes_nothing(forge: Callable[[bytes], bytes]) -> None:
    found = judged(camera("S"), forge(crl(EVIDENCE, at=0)))
    assert (found.ok, picture(found), notes(found)) == (True, "i", "2:foreign")


def test_a_root_takes_back_what_it_issued_and_nothing_else() -> None:
    found = judged(camera("S"), crl(EVIDENCE, at=0, by="root"))
    assert (found.ok, picture(found), notes(found)) == (True, "i", "")


def test_a_list_is_read_or_refused_by_the_one_error() -> None:
    whole = x509.load_pem_x509_crl(crl(EVIDENCE, at=0, lost=0)).public_bytes(serialization.Encoding.DER)
    for place in range(len(whole)):
        for data in (whole[:place], whole[:place] + bytes([whole[place] ^ 0x41]) + whole[place + 1 :]):
            try:
                revocation.parse_lists(data)[0].is_by(AGENCY.issuing)
            except EvidenceError as error:
                assert error.code == "revocation-form"  # noqa: PT017 - most places are refused, some are dates


# --- with the product's own commands, and openssl ---------------------------------------------------------------------


@pytest.fixture
def agency(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """`bodycam provision` at START, in a folder with an agency, an office and two cameras."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str, now: datetime = START) -> int:
        return provision(list(words), now)

    assert run("agency", "--dir", "AGENCY", "--name", "局") == 0
    assert run("office", "OFFICE-1", "--agency", "AGENCY", "--dir", "OFFICE") == 0
    for name in ("BWC-0001", "BWC-0002"):
        assert run("camera", name, "--agency", "AGENCY", "--office", "OFFICE", "--dir", name) == 0
    return run


def openssl(*words: str) -> str:
    done = subprocess.run(["openssl", *words], capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def checked(name: str, at: datetime = START) -> str:
    """What openssl says of a camera's evidence certificate, given the agency's list."""
    ca = ["-CAfile", "AGENCY/certs/root.pem", "-untrusted", "AGENCY/certs/issuing.pem"]
    against = ["-crl_check", "-CRLfile", "AGENCY/certs/issuing.crl", "-attime", str(int(at.timestamp()))]
    return openssl("verify", "-x509_strict", *ca, *against, f"{name}/certs/evidence.pem")


def test_openssl_takes_the_list_as_we_do(agency: Callable[..., int]) -> None:
    lost = "2026-11-20T08:00:00Z"
    assert agency("revoke", "evidence/BWC-0001", "--agency", "AGENCY", "--reason", "key-compromise") == 0
    assert agency("revoke", "camera/BWC-0001", "--agency", "AGENCY", "--reason", "cessation", "--out", "LIST") == 0
    again = ["revoke", "evidence/BWC-0001", "--agency", "AGENCY", "--reason", "key-compromise"]
    assert agency(*again, "--since", lost, "--out", "LIST", now=START + timedelta(days=1)) == 0
    assert "certificate revoked" in checked("BWC-0001", START + timedelta(days=2))
    assert "OK" in checked("BWC-0002", START + timedelta(days=2))
    text = openssl("crl", "-in", "LIST/issuing.crl", "-CAfile", "AGENCY/certs/issuing.pem", "-noout", "-text")
    for told in ("verify OK", "CRL Number: \n                3", "Key Compromise", "Cessation Of Operation"):
        assert told in text
    assert "Invalidity Date: \n                Nov 20 08:00:00 2026 GMT" in text
    assert "Revocation Date: Nov 24 06:00:00 2026 GMT" in text, "learning more does not move the date"
    (issuing,) = load_certificates(Path("AGENCY/certs/issuing.pem"))
    (ours,) = revocation.parse_lists(Path("LIST/issuing.crl").read_bytes())
    assert ours.is_by(issuing)
    evidence = load_certificates(Path("BWC-0001/certs/evidence.pem"))[0].serial_number
    assert f"{ours.entries[evidence].since:%Y-%m-%dT%H:%M:%SZ}" == lost


def test_a_revoked_key_is_certified_no_more_and_a_new_one_is(agency: Callable[..., int]) -> None:
    enrol = ["camera", "BWC-0001", "--agency", "AGENCY", "--office", "OFFICE", "--dir", "BWC-0001"]
    assert agency("revoke", "evidence/BWC-0001", "--agency", "AGENCY", "--reason", "key-compromise") == 0
    assert agency(*enrol) == 77
    assert agency(*enrol, "--new-evidence-key") == 0
    assert agency("revoke", "evidence/BWC-0001", "--agency", "AGENCY", "--reason", "superseded") == 64, "which key?"
    assert "OK" in checked("BWC-0001")


def test_a_revocation_is_of_all_certificates_that_a_key_had(agency: Callable[..., int]) -> None:
    enrol = ["camera", "BWC-0001", "--agency", "AGENCY", "--office", "OFFICE", "--dir", "BWC-0001"]
    first = load_certificates(Path("BWC-0001/certs/evidence.pem"))[0]
    assert agency(*enrol, now=START + timedelta(days=1000)) == 0
    second = load_certificates(Path("BWC-0001/certs/evidence.pem"))[0]
    assert pki.public_key(first) == pki.public_key(second)
    assert first != second
    assert agency("revoke", "evidence/BWC-0001", "--agency", "AGENCY", "--reason", "key-compromise") == 0
    (found,) = revocation.parse_lists(Path("AGENCY/certs/issuing.crl").read_bytes())
    assert {first.serial_number, second.serial_number} <= found.entries.keys()


def test_an_office_takes_a_list_of_its_agency_and_no_older_one(agency: Callable[..., int]) -> None:
    take = ["office", "OFFICE-1", "--dir", "OFFICE", "--install", "LIST"]
    revoke = ["revoke", "--agency", "AGENCY", "--reason", "key-compromise", "--out", "LIST"]
    assert agency(*revoke, "evidence/BWC-0001") == 0
    assert agency(*take) == 0
    old = Path("OFFICE/certs/issuing.crl").read_bytes()
    assert agency(*revoke, "evidence/BWC-0002", now=START + timedelta(days=1)) == 0
    assert agency(*take) == 0
    new = Path("OFFICE/certs/issuing.crl").read_bytes()
    assert new != old
    Path("LIST/issuing.crl").write_bytes(old)
    agency(*take)
    assert Path("OFFICE/certs/issuing.crl").read_bytes() == new, "who plays an old list back takes no revocation back"
    Path("LIST/issuing.crl").write_bytes(crl(EVIDENCE, at=0))
    assert agency(*take) == 65


def test_verify_takes_a_list_by_crl(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = camera("HS")
    for name, data in made.files.items():
        (tmp_path / "evidence" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "evidence" / name).write_bytes(data)
    (tmp_path / "root.pem").write_bytes(pki.to_pem(AGENCY.root))
    (tmp_path / "list.crl").write_bytes(crl(EVIDENCE, at=2))
    words = [str(tmp_path / "evidence"), "--trust", str(tmp_path / "root.pem")]
    assert verify_command(words) == 0
    capsys.readouterr()
    assert verify_command([*words, "--crl", str(tmp_path / "list.crl"), "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert [one["verdict"] for one in told["recordings"][0]["segments"]] == ["intact", "revoked"]
    assert verify_command([*words, "--crl", str(tmp_path / "list.crl")]) == 1
    assert "not believed since 2026-11-24T08:00:00.000Z" in capsys.readouterr().out
    (tmp_path / "list.crl").write_bytes(b"nothing")
    assert verify_command([*words, "--crl", str(tmp_path / "list.crl")]) == 66


# --- two years later --------------------------------------------------------------------------------------------------

PAST = Agency("past", (datetime(2019, 11, 1, tzinfo=UTC), datetime(2024, 11, 1, tzinfo=UTC)))


def past(utc: datetime) -> Camera:
    """A camera of an agency all of whose certificates ended in 2024, which recorded and handed in at that time."""
    made = Camera(agency=PAST)
    made.utc_ms = int(utc.timestamp() * 1000)
    made.boot()
    made.anchor()
    made.record("HS")
    made.line("shutdown", {"clean": True})
    return made


def test_a_check_two_years_after_every_certificate_has_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Dates are judged at the evidence's own time. openssl says the same, when it is told that time."""
    made = past(datetime(2024, 10, 1, tzinfo=UTC))
    found = Verifier(MemoryFolder(made.files), [PAST.root]).run()
    assert (found.ok, picture(found), notes(found)) == (True, "ii", "")
    assert to_json(found)["recordings"][0]["key"]["valid_to"] == "2024-11-01T00:00:00.000Z"
    session = found.reader.sessions[made.boot_id].chain
    assert session is not None
    leaf, *above, root = session.certificates
    for name, certificates in (("leaf", [leaf]), ("above", above), ("root", [root])):
        (tmp_path / f"{name}.pem").write_bytes(pki.to_pem(*certificates))
    files = ["-CAfile", "root.pem", "-untrusted", "above.pem", "leaf.pem"]
    monkeypatch.chdir(tmp_path)
    assert "certificate has expired" in openssl("verify", "-x509_strict", *files)
    assert openssl("verify", "-x509_strict", "-attime", str(made.utc_ms // 1000), *files) == "leaf.pem: OK\n"


def test_what_was_recorded_after_the_certificate_had_ended_is_told_and_no_finding() -> None:
    made = past(datetime(2024, 10, 31, 23, 59, 55, tzinfo=UTC))
    for _ in range(20):
        made.utc_ms += 60_000
        made.boot()
        made.record("S")
    found = Verifier(MemoryFolder(made.files), [PAST.root]).run()
    assert (picture(found)[-1], notes(found)) == ("i", "2:expired")
    assert findings(found) == "10:altered", "the receipt that came an hour later is by an ended signer"
