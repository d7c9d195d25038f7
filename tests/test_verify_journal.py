"""Attacks on a journal: lines, keys, torn tails. Read `pictures` first."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from cryptography import x509

from evidence import jose, pki, records, report
from evidence.pki import Role
from tests import evidence_keys as keys
from tests.evidence_builder import Camera
from tests.evidence_keys import Agency
from tests.pictures import JOURNAL, camera, findings, picture, verify

# --- Attacks on the journal ------------------------------------------------------------------------------------------


def test_each_line_deleted() -> None:
    made = camera("STS")
    for file in (0, 1):
        lines = made.files[records.journal_path(file)].splitlines(keepends=True)
        for number in range(len(lines)):
            last = file == 1 and number == len(lines) - 1
            files = {**made.files, records.journal_path(file): b"".join(lines[:number] + lines[number + 1 :])}
            # The chain's end alone cannot be missed from here: that is what `unaccounted` says.
            assert verify(files).ok == last


def test_each_pair_of_lines_swapped() -> None:
    made = camera("SS")
    lines = made.files[JOURNAL].splitlines(keepends=True)
    for one in range(len(lines)):
        for other in range(one):
            swapped = list(lines)
            swapped[one], swapped[other] = swapped[other], swapped[one]
            assert not verify({**made.files, JOURNAL: b"".join(swapped)}).ok


def test_each_line_doubled() -> None:
    made = camera("S")
    lines = made.files[JOURNAL].splitlines(keepends=True)
    for number, line in enumerate(lines):
        doubled = b"".join([*lines[:number], line, *lines[number:]])
        step = 2 if number == 0 else 4  # a file opens once
        assert findings(verify({**made.files, JOURNAL: doubled})).endswith(f"{step}:altered")


def small() -> Camera:
    made = Camera()
    made.boot()
    made.record("H")
    made.line("shutdown", {"clean": True})
    assert made.files[JOURNAL].count(b"\n") == 7
    return made


def assert_each_flip_is_named(name: str, *, every: int) -> None:
    made = small()
    target = next(path for path in made.files if path.startswith(name))
    data = made.files[target]
    lines = [at for at, byte in enumerate(data) if byte in b".\n"]
    for offset in sorted({*range(0, len(data), every), *lines, len(data) - 1}):
        for bit in (0x01, 0x20, 0x80):
            spoiled = data[:offset] + bytes([data[offset] ^ bit]) + data[offset + 1 :]
            found = verify({**made.files, target: spoiled})
            assert not found.ok, f"byte {offset} ^ {bit} of {target}"
            assert any(finding.where.startswith(target) for finding in found.findings)


def test_some_bytes_of_a_journal_flipped() -> None:
    assert_each_flip_is_named("journal/", every=61)


def test_some_bytes_of_a_receipt_flipped() -> None:
    assert_each_flip_is_named("receipts/", every=7)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["journal/", "receipts/"])
def test_every_byte_flipped(name: str) -> None:
    assert_each_flip_is_named(name, every=1)


def sign_instead(made: Camera, number: int, **members: Any) -> None:
    """Put another line in the place of a line, signed by the session's own key, and end the journal there."""
    lines = made.files[JOURNAL].splitlines()
    payload = json.loads(made.records[number].jws.payload)
    private, kid = keys.key(made.session_key), keys.kid(made.session_key)
    text = jose.sign(jose.dump_json({**payload, **members}), private, records.TYP, kid, deterministic=True)
    made.files[JOURNAL] = b"".join(line + b"\n" for line in [*lines[:number], text.encode()])


@pytest.mark.parametrize(
    ("members", "found"),
    [
        ({"v": 2}, "1:unknown version"),
        ({"kind": "footnote"}, "1:altered"),
        ({"body": {"recording": "00000000-1", "at_ns": 1, "more": 1}}, "1:altered"),
        ({"boot": "00" * 16}, "2:altered"),
        ({"seq": 4}, "4:altered"),
        ({"prev": "00" * 32}, "4:altered"),
        ({"clock": {"boot_ns": 9, "utc": "0001-01-01T00:00:00.000Z", "source": "rtc", "error_ms": 1}}, "1:altered"),
        ({"device": "BWC-0002"}, "4:foreign"),
        ({"clock": {"boot_ns": 0, "utc": "2026-11-24T06:00:00.000Z", "source": "dock", "error_ms": 1}}, "4:altered"),
    ],
)
def test_a_line_that_the_session_key_signed_and_must_not_have(members: dict[str, Any], found: str) -> None:
    made = Camera()
    made.boot()
    for _ in range(3):
        made.line("docked", {"docked": True})
    sign_instead(made, 2, **members)
    assert findings(verify(made.files)) == found


def test_a_line_longer_than_a_line() -> None:
    made = small()
    made.files[JOURNAL] += b"A" * (jose.LINE_LIMIT + 1) + b"\n"
    assert findings(verify(made.files)) == "1:altered"


def test_a_file_longer_than_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    made = small()
    monkeypatch.setattr(records, "FILE_LIMIT", len(made.files[JOURNAL]) - 1)
    assert "1:altered" in findings(verify(made.files))


# --- Keys ------------------------------------------------------------------------------------------------------------


def test_downgrade_to_a_key_that_nothing_certifies() -> None:
    found = verify(camera("SS", signed=False).files)
    assert (picture(found), findings(found)) == ("uu", "2:unsigned")
    assert report.to_json(found)["recordings"][0]["key"] == {
        "certified": False, "store": "none", "valid_from": None, "valid_to": None, "revoked": None,
    }  # fmt: skip


def test_another_agency_of_the_same_name() -> None:
    found = verify(camera("S", agency=Agency("another")).files)
    assert findings(found).startswith("13:foreign 2:foreign")


class Thief(Agency):
    """Holds another camera's evidence key, and lets it certify sessions of a camera it was not made for."""

    def session(self, device: str, boot: str, session_key: str) -> list[x509.Certificate]:
        return super().session(device.replace("0001", "0666"), boot, session_key)


def test_session_certified_by_another_cameras_key() -> None:
    assert "2:foreign" in findings(verify(camera("S", agency=Thief()).files))


class Impostor(Agency):
    """Certifies a session in the name of another camera with an evidence key that is not that camera's."""

    def session(self, device: str, boot: str, session_key: str) -> list[x509.Certificate]:
        evidence = self.evidence("BWC-0666")
        return [
            pki._make(
                Role.SESSION, pki.subject(Role.SESSION, device, "示例执法局"), keys.key(session_key).public_key(),
                evidence, self.key("evidence BWC-0666"), (keys.FIRST, keys.LAST), serial=int(boot, 16),
                rfc6979=True,
            ),
            evidence,
            self.issuing,
        ]  # fmt: skip


def test_evidence_key_certifies_in_anothers_name() -> None:
    assert "2:altered" in findings(verify(camera("S", agency=Impostor()).files))


class Replay(Agency):
    """Brings the certificate of an earlier boot's session."""

    def session(self, device: str, boot: str, session_key: str) -> list[x509.Certificate]:
        return super().session(device, boot[::-1], session_key)


def test_session_certificate_of_another_boot() -> None:
    assert "2:foreign" in findings(verify(camera("S", agency=Replay()).files))


@pytest.mark.parametrize("signed", [True, False], ids=["certified", "not certified"])
def test_summary_with_another_key(signed: bool) -> None:
    made = Camera()
    made.boot()
    made.signed = signed
    made.session_key = "agency session BWC-0001 99"
    spare = Camera()
    spare.boot()
    made._chain._key, made._chain._kid = keys.key(made.session_key), keys.kid(made.session_key)
    made.summary()
    assert findings(verify(made.files)) == "2:altered"


# --- Torn tails ------------------------------------------------------------------------------------------------------


def torn(tail: bytes) -> Camera:
    made = Camera()
    made.boot()
    made.start()
    made.segment(cut=True)
    made.resume(torn=tail)
    made.stop()
    return made


@pytest.mark.parametrize(
    "attack", [lambda t: b"B" + t, lambda t: t + b"A", lambda t: b"B" + t[1:], lambda t: t + b"\n"]
)
def test_torn_tail_altered(attack: Callable[[bytes], bytes]) -> None:
    made = torn(b"eyJhbGciOi")
    assert verify(made.files).ok
    made.files[JOURNAL] = made.files[JOURNAL].removesuffix(b"eyJhbGciOi") + attack(b"eyJhbGciOi")
    assert findings(verify(made.files)) == "5:altered"


@pytest.mark.parametrize("left", [0, 3])
def test_torn_tail_that_the_disk_lost(left: int) -> None:
    """It was read from memory and never durable; or this is a copy, which need not hold it."""
    made = torn(b"eyJhbGciOi")
    made.files[JOURNAL] = made.files[JOURNAL].removesuffix(b"eyJhbGciOi") + b"eyJhbGciOi"[:left]
    found = verify(made.files)
    assert (found.ok, [note.verdict for note in found.notes if note.step == 5]) == (True, ["torn"])


def declaring(*tails: tuple[int, int, int, str]) -> Camera:
    """A second boot that declares these tails of the first: file, offset from the end, length, hash."""

    class Declarer(Camera):
        def line(self, kind: str, body: Any) -> records.Record:
            if kind == "boot" and self.file:
                end = len(self.files[JOURNAL])
                told = [{"file": f, "offset": end + at, "length": n, "sha256": digest} for f, at, n, digest in tails]
                body = {**body, "torn": told}
            return super().line(kind, body)

    made = Declarer()
    made.boot()
    made.boot()
    return made


def test_a_torn_tail_declared_twice() -> None:
    nothing = keys.sha256(b"")
    assert verify(declaring((0, 0, 0, nothing)).files).ok
    twice = declaring((0, 0, 0, nothing), (0, 0, 5, "00" * 32))
    assert findings(verify(twice.files)) == "5:altered"


def test_an_opening_longer_than_an_opening() -> None:
    class Long(Camera):
        def line(self, kind: str, body: Any) -> records.Record:
            return super().line(kind, {**body, "hardware": {"much": "x" * 50_000}} if kind == "boot" else body)

    made = Long()
    made.boot()
    assert findings(verify(made.files)) == "2:altered"


def test_torn_tail_that_nobody_declares() -> None:
    made = camera("TS")
    made.files[JOURNAL] += b"eyJhb"
    assert findings(verify(made.files)) == "5:altered"


def test_torn_tail_of_the_last_file_cannot_be_told_from_an_altered_line() -> None:
    made = camera("S")
    made.files[JOURNAL] += b"eyJhb"
    assert findings(verify(made.files)) == "5:unaccounted"


def test_torn_tail_declared_to_hide_a_line() -> None:
    """A forged opening in a later file cannot make the verifier skip records in silence."""
    made = camera("S")
    offset = len(made.files[JOURNAL].rpartition(b"\n")[0].rpartition(b"\n")[0]) + 1
    forger = Camera()
    forger.boot()
    forger.file = 0
    forger.records = made.records[:-1]
    forger.boot(signed=False)
    payload = json.loads(forger.records[-1].jws.payload)
    payload["body"]["torn"] = [{"file": 0, "offset": offset, "length": 1, "sha256": "00" * 32}]
    line = jose.sign(jose.dump_json(payload), keys.key("x"), records.TYP, keys.kid("x"))
    made.files[records.journal_path(1)] = line.encode() + b"\n"
    assert "2:altered" in findings(verify(made.files))
