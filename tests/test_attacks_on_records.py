"""Attacks on the journal and on what the office signed, each named by the verifier. Read `attacked` first."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from evidence import jose, pki, records
from evidence.documents import TimeAnchor
from evidence.pki import Role
from evidence.session import make_voucher
from tests import evidence_keys as keys
from tests.attacked import (
    Attack,
    Do,
    check,
    cut_and_go_on,
    cut_back,
    headed,
    lines,
    link_certificate,
    number_of,
    payload_of,
    put_lines,
    record,
    signed,
)
from tests.evidence_builder import Camera
from tests.evidence_keys import AGENCY, FIRST, LAST, Agency

# --- Who has no key --------------------------------------------------------------------------------------------------


def edit_line(made: Camera) -> None:
    """Other footage in a fragment's record: well formed, and only the signature is that of the old one."""
    at = number_of(made, "fragment", 1)
    payload = payload_of(made.records[at])
    payload["body"]["frames"] = 0
    header, _, signature = lines(made)[at].split(b".")
    put_lines(made, [*lines(made)[:at], b".".join([header, jose.b64(jose.dump_json(payload)).encode(), signature]),
                     *lines(made)[at + 1 :]])  # fmt: skip


def delete_lines(kind: str, nth: int, count: int) -> Do:
    def do(made: Camera) -> None:
        at = number_of(made, kind, nth)
        put_lines(made, [*lines(made)[:at], *lines(made)[at + count :]])

    return do


def delete_file(made: Camera) -> None:
    del made.files[records.journal_path(1)]


def reorder_lines(made: Camera) -> None:
    at, have = number_of(made, "fragment", 1), lines(made)
    put_lines(made, [*have[:at], have[at + 1], have[at], *have[at + 2 :]])


def replay_line(made: Camera) -> None:
    at, have = number_of(made, "fragment"), lines(made)
    put_lines(made, [*have[: at + 3], have[at], *have[at + 3 :]])


def replay_boot(made: Camera) -> None:
    """The whole first file once more, under the next number."""
    made.files[records.journal_path(1)] = made.files[records.journal_path(0)]


def line_of_another_camera(made: Camera) -> None:
    other, at = record("SSS", device="BWC-0002"), number_of(made, "fragment", 1)
    put_lines(made, [*lines(made)[:at], lines(other)[at], *lines(made)[at + 1 :]])


def journal_of_another_camera(made: Camera) -> None:
    made.files[records.journal_path(1)] = record("S", device="BWC-0002").files[records.journal_path(0)]


def another_header(header: dict[str, Any]) -> Do:
    def do(made: Camera) -> None:
        at = number_of(made, "fragment", 1)
        own = json.loads(jose.unb64(lines(made)[at].partition(b".")[0]))
        spoiled = headed(lines(made)[at], jose.dump_json({**own, **header}))
        put_lines(made, [*lines(made)[:at], spoiled, *lines(made)[at + 1 :]])

    return do


def public_key_as_secret(made: Camera) -> None:
    """The classic: HS256, with the public key that everybody has as its secret. It verifies, for who asks the line."""
    at = number_of(made, "fragment", 1)
    form = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    secret = keys.key(made.session_key).public_key().public_bytes(*form)
    payload = payload_of(made.records[at])
    payload["body"]["frames"] = 0
    header = {"alg": "HS256", "kid": keys.kid(made.session_key), "typ": records.TYP}
    text = ".".join(jose.b64(jose.dump_json(part)) for part in (header, payload)).encode()
    mac = hmac.digest(secret, text, hashlib.sha256)
    put_lines(made, [*lines(made)[:at], text + b"." + jose.b64(mac).encode() + b"\n", *lines(made)[at + 1 :]])


def key_in_the_header(made: Camera) -> None:
    """A line of the forger's own, signed by his own key, which its header brings along."""
    at, own = number_of(made, "fragment", 1), keys.key("forger")
    numbers = own.public_key().public_numbers()
    jwk = {"kty": "EC", "crv": "P-256", "x": jose.b64(numbers.x.to_bytes(32, "big")),
           "y": jose.b64(numbers.y.to_bytes(32, "big"))}  # fmt: skip
    header = {"alg": "ES256", "kid": keys.kid("forger"), "typ": records.TYP, "jwk": jwk}
    made.records[at].jws.verify(keys.key(made.session_key).public_key())
    put_lines(made, [*lines(made)[:at], headed(signed(made, payload_of(made.records[at]), own), jose.dump_json(header)),
                     *lines(made)[at + 1 :]])  # fmt: skip


def receipt_as_a_line(made: Camera) -> None:
    at = number_of(made, "fragment", 1)
    text = made.receipt(made.recording, 0).encode() + b"\n"
    put_lines(made, [*lines(made)[:at], text, *lines(made)[at + 1 :]])


REST = "@0.5-"  # from the second segment on nothing is proven
WITHOUT_A_KEY = {
    "line edited": Attack("SSS", "i", f"3 edited 0 {REST}\n13 undeclared 1 {REST}\n13 inserted", edit_line),
    "line deleted": Attack(
        "SSS", "i", f"4 deleted 0 {REST}\n13 undeclared 1 {REST}\n13 inserted", delete_lines("fragment", 1, 1)
    ),
    "middle deleted, a segment's lines and all": Attack(
        "SSS", "i", f"4 deleted 0 {REST}\n13 undeclared 1 {REST}\n13 inserted", delete_lines("fragment", 1, 2)
    ),
    "first line deleted": Attack("S", "", "2 deleted\n13 inserted", delete_lines("boot", 0, 1)),
    "journal file deleted": Attack("STTS", "it", "2 deleted 1 @1.0-\n13 undeclared 2 @1.0-\n13 inserted", delete_file),
    "lines reordered": Attack("SSS", "i", f"4 reordered 0 {REST}\n13 undeclared 1 {REST}\n13 inserted", reorder_lines),
    "line replayed": Attack("SSS", "it", "4 replayed 1 @1.0-\n13 undeclared 2 @1.0-", replay_line),
    "boot replayed": Attack("SS", "ii", "2 replayed", replay_boot),
    "line of another camera": Attack(
        "SSS", "i", f"2 other-camera 0 {REST}\n13 undeclared 1 {REST}\n13 inserted", line_of_another_camera
    ),
    "journal of another camera": Attack("SS", "ii", "2 other-camera", journal_of_another_camera),
    "algorithm none": Attack(
        "SSS", "i", f"1 algorithm-confusion 0 {REST}\n13 undeclared 1 {REST}\n13 inserted",
        another_header({"alg": "none"}),
    ),
    "public key as the secret of HS256": Attack(
        "SSS", "i", f"1 algorithm-confusion 0 {REST}\n13 undeclared 1 {REST}\n13 inserted", public_key_as_secret
    ),
    "key in the header": Attack(
        "SSS", "i", f"1 algorithm-confusion 0 {REST}\n13 undeclared 1 {REST}\n13 inserted", key_in_the_header
    ),
    "receipt passed off as a line": Attack(
        "SSS", "i", f"1 passed-off 0 {REST}\n13 undeclared 1 {REST}\n13 inserted", receipt_as_a_line
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WITHOUT_A_KEY)
def test_who_has_no_key(name: str) -> None:
    check(WITHOUT_A_KEY[name])


# --- Who has a key of the camera, or of somebody else ----------------------------------------------------------------


def rewrite(kind: str, nth: int, **members: Any) -> Do:
    """The session's own key signs another record in the place of one, and everything after it again."""

    def do(made: Camera) -> None:
        at = number_of(made, kind, nth)
        payloads = [payload_of(one) for one in made.records[at:]]
        payloads[0] |= {k: v for k, v in members.items() if k in payloads[0]}
        payloads[0]["body"] |= {k: v for k, v in members.items() if k in payloads[0]["body"]}
        new: list[bytes] = []
        for payload in payloads:
            if new:
                payload["prev"] = records.line_sha256(new[-1].strip())
            new.append(signed(made, payload))
        put_lines(made, [*lines(made)[:at], *new])

    return do


class LinkThief(Agency):
    """Holds a camera's link key, and lets it certify a session, as an evidence key does."""

    def session(self, device: str, boot: str, session_key: str) -> list[x509.Certificate]:
        link = link_certificate(device)
        profile = pki.subject(Role.SESSION, device, "示例执法局")
        public = keys.key(session_key).public_key()
        window, serial = (FIRST, LAST), int(boot, 16)
        leaf = pki._make(Role.SESSION, profile, public, link, AGENCY.key("link"), window, serial=serial, rfc6979=True)
        return [leaf, link, AGENCY.issuing]


def rewritten_with_the_link_key(made: Camera) -> None:
    cut_and_go_on(made, number_of(made, "recording_started"), LinkThief())


def vouched_for_by_the_link_key(made: Camera) -> None:
    """What a camera does that has lost its evidence key: the thief says that this one has."""

    class Forger(Camera):
        def line(self, kind: str, body: Any) -> records.Record:
            if kind == "boot":
                chain = [link_certificate(self.device), AGENCY.issuing]
                told = make_voucher(AGENCY.key("link"), chain, self.device, self.boot_id, body["session_key"])
                body = {**body, "voucher": told}
            return super().line(kind, body)

    cut_back(made, number_of(made, "recording_started"))
    forger = Forger()
    forger.__dict__ |= made.__dict__
    forger.boot(signed=False)
    forger.record("SS")
    made.__dict__ |= forger.__dict__


def uncertified(made: Camera) -> None:
    cut_back(made, number_of(made, "recording_started"))
    made.boot(signed=False)
    made.record("SS")


def of_another_agency(made: Camera) -> None:
    cut_and_go_on(made, number_of(made, "recording_started"), Agency("another"))


class Neighbour(Agency):
    """Another camera's evidence key certifies a session in this camera's name."""

    def session(self, device: str, boot: str, session_key: str) -> list[x509.Certificate]:
        other = self.evidence("BWC-0666")
        subject, public = pki.subject(Role.SESSION, device, "示例执法局"), keys.key(session_key).public_key()
        key, serial = self.key("evidence BWC-0666"), int(boot, 16)
        leaf = pki._make(Role.SESSION, subject, public, other, key, (FIRST, LAST), serial=serial, rfc6979=True)
        return [leaf, other, self.issuing]


def by_another_cameras_key(made: Camera) -> None:
    cut_and_go_on(made, number_of(made, "recording_started"), Neighbour())


def signed_by_another_key(made: Camera) -> None:
    """A line of the forger's own under the session's name, and one under the forger's."""
    at, have = number_of(made, "fragment", 1), lines(made)
    own = keys.key("forger")
    text = jose.sign(jose.dump_json(payload_of(made.records[at])), own, records.TYP, keys.kid("forger"))
    put_lines(made, [*have[:at], text.encode() + b"\n", *have[at + 1 :]])


def replay_anchor(made: Camera) -> None:
    """The camera's own session key signs an old anchor into the chain a second time, to set the clock back."""
    made.line("time_anchor", {"anchor": made.records[1].body["anchor"], "stepped_ms": -3_600_000})


def old_anchor(made: Camera) -> None:
    """An anchor of an earlier docking that never reached the chain: kept back, and brought after a later one."""
    head = made.records[0]
    told = TimeAnchor("OFFICE-1", made.device, "5" * 32, head.seq, head.sha256, "2026-11-24T06:00:01.000Z", 20)
    made.anchor()
    made.line("time_anchor", {"anchor": made.sign(told), "stepped_ms": None})


def set_the_clock_back(made: Camera) -> None:
    """Whoever holds the camera sets its clock back by a day, with the best of bounds, and records."""
    made.utc_ms -= 86_400_000
    made.record("SS")


def set_the_clock_on(made: Camera) -> None:
    """To tomorrow; the office takes the footage today, and its receipts say so."""
    hour = 3_600_000
    made.utc_ms += 24 * hour
    made.record("S")
    made.utc_ms -= 24 * hour
    made.hand_in(made.recording, 0, release=False)


TAIL = "13 undeclared 1 @0.5-\n13 inserted"
WITH_A_KEY = {
    "downgraded version": Attack("SSS", "i", f"1 downgraded 0 {REST}\n{TAIL}", rewrite("fragment", 1, v=0)),
    "version of tomorrow": Attack("SSS", "i", f"1 downgraded 0 {REST}\n{TAIL}", rewrite("fragment", 1, v=2)),
    "another key": Attack("SSS", "i", f"2 forged-key 0 {REST}\n{TAIL}", signed_by_another_key),
    "two histories": Attack("SSS", "i", f"4 fork 0 {REST}\n{TAIL}", rewrite("fragment", 1, prev="ab" * 32)),
    "boot clock set back": Attack(
        "SSS", "i", f"4 backdated 0 {REST}\n{TAIL}",
        rewrite("fragment", 1, clock={"boot_ns": 1, "utc": "1970-01-01T00:00:00.000Z", "source": "none",
                                      "error_ms": None}),
    ),
    "records that contradict": Attack("SSS", "iii", "7 contradiction 1 @0.5-1.0", rewrite("segment", 1, frames=0)),
    "a time left out": Attack(
        "SSS", "iii", "7 contradiction 1 @0.5-0.903\n8 time-hole @0.5-0.5",
        rewrite("fragment", 1, from_ns=1_600_000_000),
    ),
    "rewritten with a stolen link key": Attack("SS", "", "2 link-key\n13 inserted\n13 inserted",
                                               rewritten_with_the_link_key),
    "vouched for by a stolen link key": Attack("SS", "uu", "2 link-key 0 @0.0-1.0", vouched_for_by_the_link_key),
    "no key at all": Attack("SS", "uu", "2 uncertified 0 @0.0-1.0", uncertified),
    "key of another agency": Attack("SS", "", "2 other-agency\n13 inserted\n13 inserted", of_another_agency),
    "key of another camera": Attack("SS", "", "2 other-camera\n13 inserted\n13 inserted", by_another_cameras_key),
    "clock set back by a day": Attack("SS", "ii ii", "10 backdated 0 @0.0-0.5", set_the_clock_back),
    "clock set to tomorrow": Attack("SS", "ii i", "10 backdated 0 @0.0-0.5", set_the_clock_on),
    "time anchor replayed": Attack("SS", "ii", "10 replayed", replay_anchor),
    "time anchor kept back": Attack("SS", "ii", "10 replayed", old_anchor),
}  # fmt: skip


@pytest.mark.parametrize("name", WITH_A_KEY)
def test_who_has_a_key(name: str) -> None:
    check(WITH_A_KEY[name])
