"""keyd's judgement: what holds is granted, and each attack is refused by its own code."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from evidence import age
from evidence.checkpoint import Proof
from office.errors import OfficeError
from office.keyd_judge import Judge, judge
from office.log import Log
from tests.agency import Agency, new_key
from tests.footage import Camera
from tests.keyd_kit import (
    OFFICE_LOG,
    KeydKit,
    Request,
    camera_word,
    header_of,
    new_keyd,
    present,
    roster_of,
    statement,
)

pytestmark = pytest.mark.net


@dataclass
class Bench:
    """A judge with all that he knows, and two recordings of a camera."""

    kit: KeydKit
    camera: Camera
    log: Log
    keys: dict[str, ec.EllipticCurvePrivateKey]
    known: Judge
    one: tuple[str, int]
    other: tuple[str, int]

    def good(self, **changed: Any) -> Request:
        """A request that holds, but for what is changed in the approval."""
        now = present()
        return Request(self.log, self.camera, self.one, [(statement(now, **changed), self.keys["li"])], now)

    def code(self, request: Request, at: timedelta = timedelta()) -> str:
        """What a judge says to it; nothing: he grants it."""
        try:
            judge(self.known, roster_of(self.keys), request.build(), request.now + at)
        except OfficeError as error:
            return error.code
        return ""


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    kit, camera = new_keyd(tmp_path_factory.mktemp("k"))
    one, other = ((camera.start(), 0) for _ in range(2))
    for recording, segment in (one, other):
        camera.film(recording, 1, segment, [0])
    keys = {account: new_key() for account in ("li", "zhao", "zhang", "wang", "qian")}
    log = kit.open_log()
    yield Bench(kit, camera, log, keys, kit.judge(), one, other)
    log.close()


def test_what_holds_is_granted(bench: Bench) -> None:
    request = bench.good()
    granted = judge(bench.known, roster_of(bench.keys), request.build(), request.now)
    assert granted.header == age.parse_header(bench.camera.segments[bench.one])
    assert (granted.viewer, granted.device, (granted.recording, granted.segment)) == ("zhang", "BWC-0001", bench.one)


def _unknown_approver(bench: Bench) -> Request:
    request = bench.good()
    return replace(request, approvals=[(request.approvals[0][0], new_key())])


def _forged(bench: Bench) -> Request:
    """The approver's key id, and a signature by somebody else."""
    request = bench.good()
    (text,) = json.loads(request.build())["approvals"]
    head, payload, signature = text.split(".")
    flipped = ("A" if signature[0] != "A" else "B") + signature[1:]
    return replace(request, asked={"approvals": [f"{head}.{payload}.{flipped}"]})


def _other_approval(bench: Bench) -> Request:
    """An approval of another viewing, of the same people, in the place of the one registered."""
    request = bench.good()
    (text,) = json.loads(bench.good(reason="另一件事").build())["approvals"]
    return replace(request, asked={"approvals": [text]})


def _other_log(bench: Bench) -> Request:
    """The right entry with a proof out of a log of the same name, by another key."""
    request = bench.good()
    fork = Log(bench.kit.office.folder / os.urandom(4).hex(), OFFICE_LOG, Ed25519PrivateKey.generate())
    return replace(request, asked={"proof": json.loads(replace(request, log=fork).build())["proof"]})


def _unlogged(bench: Bench) -> Request:
    """A registration of another keeper than the log holds."""
    request = bench.good()
    built = json.loads(request.build())
    proof = Proof.read(built["proof"].encode())
    other = replace(proof, entry=proof.entry.replace(b'"qian"', b'"sun"')).to_text().decode()
    return replace(request, asked={"approvals": built["approvals"], "proof": other})


def _own_camera(bench: Bench) -> Request:
    """A line that a camera of another agency signed over the header."""
    stranger = Camera(Agency(at=present()), [bench.kit.recipient])
    recording = stranger.start()
    stranger.film(recording, 1, 0, [0])
    return replace(bench.good(), asked=camera_word(stranger, (recording, 0)))


def _stranger_session(bench: Bench) -> Request:
    """A boot that no key of the camera stands behind."""
    stranger = Camera(bench.kit.office.agency, [bench.kit.recipient], signed=False, vouched=False)
    recording = stranger.start()
    stranger.film(recording, 1, 0, [0])
    return replace(bench.good(), asked=camera_word(stranger, (recording, 0)))


def _other_opening(bench: Bench) -> Request:
    """The line of one boot under the opening of another."""
    other = Camera(bench.kit.office.agency, [bench.kit.recipient])
    recording = other.start()
    other.film(recording, 1, 0, [0])
    return replace(bench.good(), asked={"opening": camera_word(other, (recording, 0))["opening"]})


def _other_device(bench: Bench) -> Request:
    """Another camera of the agency that claims the recording."""
    other = Camera(bench.kit.office.agency, [bench.kit.recipient], "BWC-0002")
    other.film(bench.one[0], 1, 0, [0])
    word = camera_word(other, bench.one)
    return replace(bench.good(), asked={**word, "header": header_of(other.segments[bench.one])})


def _one_of_two(bench: Bench) -> Request:
    return bench.good(secrecy="state")


def _twice_the_same(bench: Bench) -> Request:
    request = bench.good(secrecy="state")
    return replace(request, approvals=request.approvals * 2)


def _two_things(bench: Bench) -> Request:
    request = bench.good(secrecy="state")
    said = request.approvals[0][0]
    return replace(request, approvals=[
        *request.approvals, (replace(said, approver="zhao", viewers=["sun"]), bench.keys["zhao"])])  # fmt: skip


def _anothers_name(bench: Bench) -> Request:
    request = bench.good(approver="zhao")
    return replace(request, approvals=[(request.approvals[0][0], bench.keys["li"])])


def _by(account: str) -> Callable[[Bench], Request]:
    def make(bench: Bench) -> Request:
        request = bench.good(approver=account)
        return replace(request, approvals=[(request.approvals[0][0], bench.keys[account])])

    return make


def _changed(asked: dict[str, Any] | None = None, registered: dict[str, Any] | None = None, **changed: Any) -> Any:
    def make(bench: Bench) -> Request:
        return replace(bench.good(**changed), asked=asked or {}, registration=registered or {})

    return make


REFUSED: dict[str, tuple[str, Callable[[Bench], Request]]] = {
    "no approval": ("approval-missing", lambda bench: replace(bench.good(), approvals=[])),
    "an approver that nobody let in": ("approver-unknown", _unknown_approver),
    "a forged signature": ("approval-signature", _forged),
    "the name of another approver": ("approval-signature", _anothers_name),
    "an approval by who asks": ("own-approval", _by("zhang")),
    "an approval by who reviewed": ("reviewer-approves", _by("wang")),
    "a review by who asks": ("own-review", _changed(reviewer="zhang")),
    "a keeper who approved": ("keeper-takes-part", _changed(registered={"by": "li"})),
    "a keeper who asks": ("keeper-takes-part", _changed(registered={"by": "zhang"})),
    "a viewer who approves": ("viewer-takes-part", _changed(viewers=["zhang", "li"])),
    "another viewer": ("viewer-not-named", _changed({"viewer": "sun"})),
    "a viewer whom nobody registered": ("viewer-not-named", _changed(registered={"viewers": ["sun"]})),
    "no proof": ("proof-missing", _changed({"proof": None})),
    "no proof at all": ("proof-refused", _changed({"proof": ""})),
    "a proof of another log": ("proof-refused", _other_log),
    "an entry that the log does not hold": ("proof-refused", _unlogged),
    "the registration of another recording": ("proof-of-another", _changed(registered={"recording": "9f9f9f9f-9"})),
    "the registration of another camera": ("proof-of-another", _changed(registered={"device": "BWC-0009"})),
    "the registration of another request": ("proof-of-another", _changed(registered={"request": 1})),
    "an approval that is not the registered one": ("proof-of-another", _other_approval),
    "a review after the registration": ("proof-of-another", _changed(review=10**6)),
    "a leaf that is no registration": ("proof-refused", _changed(registered={"act": "view-asked"})),
    "another office's approval": ("approval-differs", _changed(origin="bodycam/AGENCY-1/OFFICE-2")),
    "one approval of a secret": ("approval-missing", _one_of_two),
    "the same approver twice": ("approval-missing", _twice_the_same),
    "two approvals of different things": ("approval-differs", _two_things),
    "an approval for a month": ("term-too-long", _changed(until="2099-01-01T00:00:00.000Z")),
    "an approval of tomorrow": ("not-yet", _changed(at="2099-01-01T00:00:00.000Z", until="2099-01-01T01:00:00.000Z")),
    "an approval of last year": ("approval-expired", _changed(
        at="2025-01-01T00:00:00.000Z", until="2025-01-02T00:00:00.000Z")),
    "a registration that is over": ("approval-expired", _changed(registered={"until": "2025-01-02T00:00:00.000Z"})),
    "a registration that has not begun": ("not-yet", _changed(registered={"from": "2099-01-01T00:00:00.000Z"})),
    "a camera of another agency": ("header-unproven", _own_camera),
    "a boot of nobody": ("header-unproven", _stranger_session),
    "the opening of another boot": ("header-unproven", _other_opening),
    "another camera that claims the recording": ("header-of-another", _other_device),
    "a header that is none": ("header-unproven", _changed({"header": "YWJj"})),
    "another segment's number": ("header-of-another", _changed({"segment": 1})),
    "a member too many": ("keyd-request", _changed({"identity": "please"})),
}  # fmt: skip


@pytest.mark.parametrize("attack", REFUSED)
def test_refused(bench: Bench, attack: str) -> None:
    code, make = REFUSED[attack]
    assert bench.code(make(bench)) == code


def test_the_header_of_another_recording_is_refused(bench: Bench) -> None:
    """Whatever is put together of two recordings that the same camera made."""
    other_header = header_of(bench.camera.segments[bench.other])
    other_word = camera_word(bench.camera, bench.other)
    for asked in ({"header": other_header}, other_word, {"header": other_header, **other_word}):
        assert bench.code(replace(bench.good(), asked=asked)) == "header-of-another"


def test_an_approval_is_over_when_its_time_is(bench: Bench) -> None:
    assert bench.code(bench.good(), timedelta(minutes=59)) == ""
    assert bench.code(bench.good(), timedelta(minutes=61)) == "approval-expired"


def test_two_approve_a_secret(bench: Bench) -> None:
    request = bench.good(secrecy="state")
    said = request.approvals[0][0]
    second = (replace(said, approver="zhao"), bench.keys["zhao"])
    assert bench.code(replace(request, approvals=[*request.approvals, second])) == ""


def test_footage_of_a_boot_that_only_the_link_key_vouched_for_is_watched_too(bench: Bench) -> None:
    camera = Camera(bench.kit.office.agency, [bench.kit.recipient], signed=False)
    recording = camera.start()
    camera.film(recording, 1, 0, [0])
    assert bench.code(replace(bench.good(), camera=camera, key=(recording, 0))) == ""


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"\xff" * 100, b'{"viewer": 1}', b"[" * 10_000])
def test_rubbish_is_refused(bench: Bench, data: bytes) -> None:
    with pytest.raises(OfficeError, match="keyd-request"):
        judge(bench.known, {}, data, present())
