"""Records, sealed bodies and documents: built, parsed, and refused."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evidence import age, jose, records, sealed, shape
from evidence.documents import Configuration, Receipt, TimeAnchor
from evidence.errors import EvidenceError
from evidence.records import BODIES, Chain, Stamp
from tests.evidence_builder import Camera
from tests.evidence_keys import AGENCY, Stream, identity, key, kid, recipients, sha256

ROOT = Path(__file__).parent.parent
SPECIFICATION = (ROOT / "docs" / "spec" / "evidence.md").read_text(encoding="utf-8")
KEY, KID = key("records"), kid("records")
STAMP = Stamp(1, 1_795_500_000_000, "dock", 20)
OFFICE = identity("office")
quick = settings(max_examples=80, deadline=None)


def chain() -> Chain:
    return Chain("BWC-0001", "11" * 16, KEY, KID, seq=0, prev=records.GENESIS)


def refused(code: str) -> Any:
    return pytest.raises(EvidenceError, match=rf"^{code}: ")


# --- Records ---------------------------------------------------------------------------------------------------------


def test_lines_chain() -> None:
    made = chain()
    lines = [made.append("docked", {"docked": True}, STAMP) for _ in range(3)]
    found = [records.parse(line) for line in lines]
    assert [record.seq for record in found] == [0, 1, 2]
    assert [record.prev for record in found] == [records.GENESIS, sha256(lines[0]), sha256(lines[1])]
    assert found[0].clock == STAMP
    for record in found:
        record.jws.verify(KEY.public_key())


def test_a_body_that_the_format_does_not_have_is_never_signed() -> None:
    made = chain()
    for body in ({}, {"docked": 1}, {"docked": True, "more": 1}):
        with refused("shape"):
            made.append("docked", body, STAMP)
    assert made.seq == 0


def test_every_kind_is_in_the_specification() -> None:
    named = set(re.findall(r"`([a-z0-9_]+)`", SPECIFICATION))
    assert BODIES.keys() <= named
    assert {member.rstrip("?") for members in BODIES.values() for member in members} <= named
    assert {*records.CAUSES, *records.ACTIVITIES} <= named


def test_every_error_code_is_in_the_specification() -> None:
    """And the specification has none that the code does not."""
    raised = re.compile(r'EvidenceError\(\s*"([^"]+)"|bech32\.decode\([^)]*"([a-z-]+)"\)')
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "evidence").glob("*.py")]
    codes = {one or other for text in sources for one, other in raised.findall(text)}
    section = SPECIFICATION.partition("## 9. Errors")[2].partition("## 10.")[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    assert codes == {code for row in rows for code in re.findall(r"`([^`]+)`", row)}
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", code) for code in codes)


@pytest.mark.parametrize(
    ("check", "right", "wrong"),
    [
        (shape.identifier, ["ABC", "BWC-0001", "A" * 32], ["AB", "a-b", "A" * 33, "BWC-0001\n", None, 1]),
        (shape.recording_id, ["0123abcd-1", "ffffffff-1234567890"],
         ["0123abcd-0", "0123abcd-01", "0123abcd-", "0123ABCD-1"]),
        (shape.utc, ["2026-11-24T06:00:00.000Z", "2028-02-29T23:59:59.999Z"],
         ["2026-11-24T06:00:00Z", "2027-02-29T00:00:00.000Z", "2026-11-24T24:00:00.000Z", 0]),
        (shape.SHA256, ["ab" * 32], ["AB" * 32, "ab" * 31, "ab" * 32 + "\n", None]),
        (shape.number(), [0, 2**63 - 1], [-1, 2**63, True, 1.0, "1", None]),
        (shape.text, ["", "字" * 4096], ["字" * 4097, None]),
        (shape.list_of(shape.boolean, 1, 2), [[True], [True, False]], [[], [1], [True] * 3, (True,), "x"]),
        (shape.optional(shape.boolean), [None, False], [0]),
        (shape.one_of("a"), ["a"], ["b", None, ["a"]]),
    ],
)  # fmt: skip
def test_types(check: shape.Check, right: list[Any], wrong: list[Any]) -> None:
    assert [value for value in right if not check(value)] == []
    assert [value for value in wrong if check(value)] == []


@pytest.mark.parametrize("ms", [0, 999, 1_795_500_000_123, 253_402_300_799_999])
def test_utc_goes_there_and_back(ms: int) -> None:
    assert shape.utc(shape.utc_text(ms))
    assert shape.utc_ms(shape.utc_text(ms)) == ms


def test_a_clock_out_of_range_is_held_at_its_bounds() -> None:
    assert shape.utc_text(-1) == "1970-01-01T00:00:00.000Z"
    assert shape.utc_text(2**62) == "9999-12-31T23:59:59.999Z"


GOOD = json.loads(records.parse(chain().append("docked", {"docked": True}, STAMP)).jws.payload)
anything = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=4,
)


@quick
@given(st.sampled_from([*GOOD, "more"]), anything)
def test_any_member_is_accepted_or_refused(name: str, value: Any) -> None:
    parse({**GOOD, name: value})


@quick
@given(st.sampled_from(sorted(BODIES)), st.data())
def test_any_body_is_accepted_or_refused(kind: str, data: st.DataObject) -> None:
    body = {name.rstrip("?"): data.draw(anything) for name in BODIES[kind]}
    parse({**GOOD, "kind": kind, "body": body})


def parse(payload: dict[str, Any]) -> None:
    try:
        line = jose.sign(jose.dump_json(payload), KEY, records.TYP, KID).encode()
    except UnicodeEncodeError:
        return  # no such line can be written
    try:
        record = records.parse(line)
    except EvidenceError:
        return
    shape.require(record.kind, record.body, BODIES[record.kind])


def test_paths() -> None:
    assert records.journal_path(7) == "journal/00000007.jws"
    assert records.segment_path("0123abcd-1", 7) == "segments/0123abcd-1/00007.mp4.age"
    assert records.receipt_path("0123abcd-1", 7) == "receipts/0123abcd-1/00007.jws"


# --- Sealed bodies ---------------------------------------------------------------------------------------------------

BODY = {"officer_number": "012345", "officer_name": "示例", "unit": "执法一中队"}


@pytest.mark.parametrize("who", ["office", "recovery"])
def test_sealed_body_opens(who: str) -> None:
    made = sealed.seal("assigned", BODY, recipients())
    assert sealed.open_sealed("assigned", made, identity(who)) == BODY
    line = chain().append("assigned", made, STAMP)
    assert sealed.open_sealed("assigned", records.parse(line).body, identity(who)) == BODY


def test_hash_of_a_sealed_body_tells_nothing() -> None:
    """The same officer twice: neither hash nor length says so, nor can a list of officers be tried."""
    first, second = sealed.seal("assigned", BODY, recipients()), sealed.seal("assigned", BODY, recipients())
    other = sealed.seal("assigned", {**BODY, "officer_name": "某某某"}, recipients())
    assert first["sha256"] != second["sha256"]
    assert {len(made["sealed"]) for made in (first, second, other)} == {len(first["sealed"])}


def test_sealed_body_that_is_not_what_the_record_says() -> None:
    one, other = (sealed.seal("assigned", BODY, recipients()) for _ in range(2))
    with refused("sealed-hash"):
        sealed.open_sealed("assigned", {**one, "sealed": other["sealed"]}, OFFICE)
    with refused("shape"):
        sealed.open_sealed("position", one, OFFICE)
    with refused("age-identity"):
        sealed.open_sealed("assigned", one, identity("stranger"))
    cut = jose.b64(jose.unb64(one["sealed"].encode())[:-1])
    with refused("age-chunk"):
        sealed.open_sealed("assigned", {**one, "sealed": cut}, OFFICE)


@pytest.mark.parametrize(
    ("plain", "code"),
    [
        (b"", "json-form"),
        (b'{"v":2}', "unknown-version"),
        (b'{"v":1,"kind":"assigned","salt":"AA","body":{}}', "sealed-form"),
        (b'{"v":1,"kind":"assigned","salt":"!","body":{}}', "jws-form"),
        (b'{"v":1,"kind":"assigned","salt":"' + b"A" * 43 + b'","body":{}}', "shape"),
        (b" " * 20_000, "sealed-form"),
    ],
)
def test_sealed_plaintext_is_refused(plain: bytes, code: str) -> None:
    with refused(code):
        sealed.check_plain("assigned", plain, sha256(plain))


def test_what_is_not_sealed() -> None:
    with refused("sealed-form"):
        sealed.seal("marker", {}, recipients())
    with refused("shape"):
        sealed.seal("assigned", {"officer_name": "示例"}, recipients())
    with refused("sealed-form"):
        sealed.seal("assigned", dict.fromkeys(BODY, "字" * 4096), recipients())


@quick
@given(st.binary(max_size=120))
def test_any_plaintext_is_a_sealed_body_or_refused(plain: bytes) -> None:
    made = {
        "sealed": jose.b64(age.seal_small(plain or b" ", recipients(), Stream("x"))),
        "sha256": sha256(plain or b" "),
    }
    with pytest.raises(EvidenceError):
        sealed.open_sealed("position", made, OFFICE)


# --- Documents -------------------------------------------------------------------------------------------------------


def documents() -> list[Receipt | TimeAnchor | Configuration]:
    camera = Camera()
    camera.boot()
    camera.record("S")
    anchor = camera.anchor().body["anchor"]
    return [
        Receipt.read(camera.receipt(camera.recording, 0), SIGNER),
        TimeAnchor.read(anchor, SIGNER),
        Configuration.read(camera.configuration(), SIGNER),
    ]


SIGNER = AGENCY.key("signer").public_key()
DOCUMENTS = documents()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: type(document).__name__)
def test_document_goes_there_and_back(document: Any) -> None:
    text = document.sign(KEY, KID)
    assert type(document).read(text, KEY.public_key()) == document
    with refused("jws-signature"):
        type(document).read(text, SIGNER)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: type(document).__name__)
def test_no_document_passes_for_another(document: Any) -> None:
    text = document.sign(KEY, KID)
    for kind in (Receipt, TimeAnchor, Configuration):
        if kind is not type(document):
            with refused("jws-header"):
                kind.read(text, KEY.public_key())
    with refused("jws-header"):
        records.parse(text.encode())


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: type(document).__name__)
def test_document_of_another_version_or_with_other_members(document: Any) -> None:
    payload = jose.parse_json(jose.parse(document.sign(KEY, KID), document.TYP).payload)
    for changed, code in (
        ({"v": 2}, "unknown-version"),
        ({"v": True}, "shape"),
        ({"more": 1}, "shape"),
        ({"device": "bwc"}, "shape"),
    ):
        with refused(code):
            type(document).from_payload(jose.dump_json({**payload, **changed}))
    for name in payload.keys() - {"v"}:
        with refused("shape"):
            type(document).from_payload(jose.dump_json({key: item for key, item in payload.items() if key != name}))


@pytest.mark.parametrize("told", [[], ["age1"], [OFFICE], recipients() * 9])
def test_configuration_without_usable_recipients(told: list[str]) -> None:
    payload = jose.parse_json(jose.parse(DOCUMENTS[2].sign(KEY, KID), Configuration.TYP).payload)
    with refused("shape"):
        Configuration.from_payload(jose.dump_json({**payload, "recipients": told}))
