"""JWS and strict JSON: what is accepted is the one form, and it says the same to another library."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

from evidence import jose
from evidence.errors import EvidenceError
from tests.evidence_keys import key, kid

KEY, KID = key("jose"), kid("jose")
TEXT = jose.sign(b'{"v":1}', KEY, "test", KID, deterministic=True)
quick = settings(max_examples=80, deadline=None)

numbers = st.integers(-(2**63), 2**63 - 1)
texts = st.text(st.characters(exclude_categories=["Cs"]))
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


def test_signs_and_verifies() -> None:
    for deterministic in (True, False):
        text = jose.sign(b'{"v":1}', KEY, "test", KID, deterministic=deterministic)
        jws = jose.parse(text, "test")
        jws.verify(KEY.public_key())
        assert (jws.payload, jws.kid) == (b'{"v":1}', KID)
    assert jose.sign(b'{"v":1}', KEY, "test", KID, deterministic=True) == TEXT


def test_a_signature_has_one_form_so_its_bearer_cannot_change_the_hash_of_a_line() -> None:
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    head, payload, signature = TEXT.split(".")
    raw = jose.unb64(signature.encode())
    s = int.from_bytes(raw[32:], "big")
    assert s <= order // 2
    other = jose.b64(raw[:32] + (order - s).to_bytes(32, "big"))
    with pytest.raises(EvidenceError) as caught:
        jose.parse(f"{head}.{payload}.{other}", "test").verify(KEY.public_key())
    assert caught.value.code == "jws-signature"


def test_another_key_does_not_verify() -> None:
    with pytest.raises(EvidenceError) as caught:
        jose.parse(TEXT, "test").verify(ec.generate_private_key(ec.SECP256R1()).public_key())
    assert caught.value.code == "jws-signature"


@pytest.mark.parametrize("part", [b"\0" * 64, b"\xff" * 64, b"\0" * 32 + b"\1" * 32])
def test_numbers_that_are_no_signature(part: bytes) -> None:
    forged = TEXT.rpartition(".")[0] + "." + jose.b64(part)
    with pytest.raises(EvidenceError) as caught:
        jose.parse(forged, "test").verify(KEY.public_key())
    assert caught.value.code == "jws-signature"


@pytest.mark.parametrize("offset", range(len(TEXT)))
def test_each_byte_of_a_jws_matters(offset: int) -> None:
    for mask in (0x01, 0x20, 0x80):
        spoiled = bytearray(TEXT.encode())
        spoiled[offset] ^= mask
        with pytest.raises(EvidenceError):
            jose.parse(bytes(spoiled), "test").verify(KEY.public_key())


def test_typ_keeps_uses_apart() -> None:
    with pytest.raises(EvidenceError) as caught:
        jose.parse(TEXT, "other")
    assert caught.value.code == "jws-header"


def test_text_and_bytes_are_alike_and_bounded() -> None:
    assert jose.parse(TEXT, "test") == jose.parse(TEXT.encode(), "test")
    for long in ("A" * (jose.LINE_LIMIT + 1), TEXT + "\udcff"):
        with pytest.raises(EvidenceError) as caught:
            jose.parse(long, "test")
        assert caught.value.code == "jws-form"


@quick
@given(st.binary(max_size=300) | st.from_regex(rb"[A-Za-z0-9_=-]{0,40}(\.[A-Za-z0-9_=-]{0,90}){0,3}"))
def test_any_bytes_are_a_jws_or_refused(data: bytes) -> None:
    with pytest.raises(EvidenceError):
        jose.parse(data, "test")


@quick
@given(st.binary(max_size=40))
def test_base64url_has_one_text_for_each_value(data: bytes) -> None:
    text = jose.b64(data).encode()
    assert jose.unb64(text) == data
    for other in (text + b"=", text + b"\n", text + b" ", b"\n" + text):
        with pytest.raises(EvidenceError):
            jose.unb64(other)


@quick
@given(st.dictionaries(texts, values, max_size=4))
def test_json_goes_there_and_back(value: dict[str, Any]) -> None:
    data = jose.dump_json(value)
    assert json.loads(data) == value
    try:
        assert jose.parse_json(data) == value
    except EvidenceError as error:
        assert "deeply" in error.message  # noqa: PT017 - the one reason to refuse


@quick
@given(st.binary(max_size=80) | st.text(max_size=80).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes_are_json_or_refused(data: bytes) -> None:
    try:
        assert isinstance(jose.parse_json(data), dict)
    except EvidenceError as error:
        assert error.code == "json-form"  # noqa: PT017 - accepted or refused, both are right


@pytest.mark.parametrize(
    "text",
    [
        "", "1", "[]", "null", '{"a":1,"a":1}', '{"a":{"b":1,"b":2}}', '{"a":1.0}', '{"a":1e2}', '{"a":-Infinity}',
        '{"a":NaN}', f'{{"a":{2**63}}}', f'{{"a":{-(2**63) - 1}}}', f'{{"a":{"9" * 5000}}}', '{"a":"\\ud800"}',
        '{"\\udfff":1}', '{"a":1} {}', "{'a':1}", "[" * 5000 + "]" * 5000, '{"a":' * 5000 + "1" + "}" * 5000,
        '{"a":' * 8 + "1" + "}" * 8,
    ],
)  # fmt: skip
def test_json_that_is_refused(text: str) -> None:
    with pytest.raises(EvidenceError) as caught:
        jose.parse_json(text.encode())
    assert caught.value.code == "json-form"


def test_json_at_its_bounds() -> None:
    assert jose.parse_json(f'{{"a":{2**63 - 1},"b":{-(2**63)}}}'.encode()) == {"a": 2**63 - 1, "b": -(2**63)}
    assert jose.parse_json(b'{"a":' * 7 + b"1" + b"}" * 7)
