"""age files: written and read by us and by pyrage, and whatever bytes a disk or an attacker may bring."""

from __future__ import annotations

import contextlib

import pyrage
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evidence import age, bech32
from evidence.errors import EvidenceError
from tests.evidence_keys import Stream, identity, recipients

OFFICE = identity("office")
PUBLIC = age.recipient_of(OFFICE)
SMALL = age.seal_small(b"evidence", recipients(), Stream("small"))
quick = settings(max_examples=60, deadline=None)


def write(plain: bytes, to: list[str] | None = None) -> bytes:
    """A file of any length, as the format's writer makes it."""
    writer = age.Encryptor(to or recipients(), Stream(f"write {len(plain)}"))
    whole = max(len(plain) - 1, 0) // age.CHUNK * age.CHUNK
    return writer.header + bytes(writer.seal(plain[:whole])) + writer.finish(plain[whole:])


def plain(length: int) -> bytes:
    return Stream(f"plain {length}")(length)


@pytest.mark.parametrize("length", [1, 8, age.CHUNK - 1, age.CHUNK, age.CHUNK + 1, 2 * age.CHUNK + 8])
@pytest.mark.parametrize("who", ["office", "recovery"])
def test_pyrage_reads_what_we_write(length: int, who: str) -> None:
    data = write(plain(length))
    assert pyrage.decrypt(data, [pyrage.x25519.Identity.from_str(identity(who))]) == plain(length)
    assert age.open_file(data, identity(who)) == age.Opened(plain(length), complete=True, bad_chunk=None)


@pytest.mark.parametrize("length", [1, age.CHUNK, age.CHUNK + 1])
def test_we_read_what_pyrage_writes(length: int) -> None:
    """It also adds a stanza of its own invention, which readers have to pass over."""
    data = pyrage.encrypt(plain(length), [pyrage.x25519.Recipient.from_str(age.recipient_of(OFFICE))])
    assert age.open_file(data, OFFICE).plain == plain(length)


def test_keys_are_those_of_other_programs() -> None:
    made = pyrage.x25519.Identity.generate()
    assert age.recipient_of(str(made)) == str(made.to_public())
    assert str(pyrage.x25519.Identity.from_str(OFFICE).to_public()) == age.recipient_of(OFFICE)
    assert age.is_recipient(str(made.to_public()))


def test_identities_are_new_each_time() -> None:
    assert age.generate_identity() != age.generate_identity()


@pytest.mark.parametrize(
    "text", ["", "age1", OFFICE, OFFICE.lower(), PUBLIC.upper(), PUBLIC[:-1], PUBLIC + "q", None, 7]
)
def test_what_is_no_recipient(text: object) -> None:
    assert not age.is_recipient(text)


@pytest.mark.parametrize("text", ["", OFFICE.lower(), OFFICE[:-1], recipients()[0], "AGE-SECRET-KEY-1É"])
def test_what_is_no_identity(text: str) -> None:
    with pytest.raises(EvidenceError) as caught:
        age.recipient_of(text)
    assert caught.value.code == "age-identity"


def test_a_recipient_of_low_order_is_refused() -> None:
    nobody = bech32.encode("age", bytes(32))
    with pytest.raises(EvidenceError) as caught:
        age.Encryptor([nobody])
    assert caught.value.code == "age-recipients"


def test_nobody_to_encrypt_to() -> None:
    with pytest.raises(EvidenceError) as caught:
        age.Encryptor([])
    assert caught.value.code == "age-recipients"


@pytest.mark.parametrize("cut", [0, 1, 100, age.CIPHER_CHUNK - 1, age.CIPHER_CHUNK, age.CIPHER_CHUNK + 5])
def test_a_cut_file_gives_a_correct_prefix(cut: int) -> None:
    data = write(plain(2 * age.CHUNK + 8))
    header = age.parse_header(data).size
    opened = age.open_file(data[: header + cut], OFFICE)
    whole = cut // age.CIPHER_CHUNK * age.CHUNK
    assert opened == age.Opened(plain(2 * age.CHUNK + 8)[:whole], complete=False, bad_chunk=None)


@pytest.mark.parametrize("chunk", [0, 1, 2])
def test_an_altered_chunk_is_named_and_nothing_after_it_is_given(chunk: int) -> None:
    data = write(plain(3 * age.CHUNK))
    spoiled = bytearray(data)
    spoiled[age.parse_header(data).size + chunk * age.CIPHER_CHUNK + 9] ^= 1
    opened = age.open_file(bytes(spoiled), OFFICE)
    assert (opened.plain, opened.bad_chunk) == (plain(3 * age.CHUNK)[: chunk * age.CHUNK], chunk)


def test_swapped_chunks_are_named() -> None:
    data = write(plain(3 * age.CHUNK))
    head = age.parse_header(data).size
    one, two, three = (data[head + n * age.CIPHER_CHUNK : head + (n + 1) * age.CIPHER_CHUNK] for n in range(3))
    assert age.open_file(data[:head] + two + one + three, OFFICE).bad_chunk == 0
    assert age.open_file(data[:head] + one + three, OFFICE).bad_chunk == 1


def test_random_access_reads_a_chunk_by_its_number() -> None:
    data = write(plain(3 * age.CHUNK))
    header = age.parse_header(data[:400])
    reader = age.Decryptor(age.unwrap(header, OFFICE), header.nonce)
    at = header.size + age.CIPHER_CHUNK
    assert (
        reader.chunk(1, data[at : at + age.CIPHER_CHUNK], last=False) == plain(3 * age.CHUNK)[age.CHUNK : 2 * age.CHUNK]
    )
    for wrong in ({"index": 0, "last": False}, {"index": 1, "last": True}, {"index": 2**88, "last": False}):
        with pytest.raises(EvidenceError):
            reader.chunk(data=data[at : at + age.CIPHER_CHUNK], **wrong)  # type: ignore[arg-type]


def test_the_writer_refuses_pieces_that_would_break_the_file() -> None:
    writer = age.Encryptor(recipients())
    for wrong in (lambda: writer.seal(b"x"), lambda: writer.finish(b""), lambda: writer.finish(bytes(age.CHUNK + 1))):
        with pytest.raises(ValueError, match="chunk"):
            wrong()


def test_a_header_has_bounds() -> None:
    lines = SMALL.split(b"\n")
    stanza = b"\n".join(lines[1:3]) + b"\n"
    for hostile in (
        lines[0] + b"\n" + stanza * 17,
        lines[0] + b"\n" + b"-> X25519 " + b"A" * age.HEADER_LIMIT,
        lines[0] + b"\n-> X25519 AA\n" + (b"A" * 64 + b"\n") * 400,
    ):
        with pytest.raises(EvidenceError) as caught:
            age.parse_header(hostile)
        assert caught.value.code == "age-header"


@quick
@given(st.binary(max_size=400))
def test_any_bytes_are_a_header_or_refused(data: bytes) -> None:
    for attempt in (data, b"age-encryption.org/v1\n" + data):
        try:
            header = age.parse_header(attempt)
        except EvidenceError:
            continue
        assert attempt.startswith(header.raw + header.nonce)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, len(SMALL) - 1), st.integers(1, 255))
def test_one_byte_changed_anywhere_gives_no_other_plaintext(offset: int, mask: int) -> None:
    data = bytearray(SMALL)
    data[offset] ^= mask
    try:
        opened = age.open_file(bytes(data), OFFICE)
    except EvidenceError:
        return
    assert opened == age.Opened(b"", complete=False, bad_chunk=None)


@quick
@given(st.text(max_size=80))
def test_any_text_is_a_key_or_refused(text: str) -> None:
    for attempt in (text, "age1" + text, "AGE-SECRET-KEY-1" + text):
        with contextlib.suppress(EvidenceError):
            assert age.recipient_of(attempt).startswith("age1")
        assert age.is_recipient(attempt) in (True, False)


@quick
@given(st.binary(min_size=32, max_size=32))
def test_bech32_goes_there_and_back(data: bytes) -> None:
    text = bech32.encode("age", data)
    assert bech32.decode("age", text, "age-recipients") == data


def test_a_passphrase_seals_as_other_programs_of_age_do() -> None:
    ours = age.seal_by_passphrase("口令封存".encode(), "一二三四", log_n=10)
    assert pyrage.passphrase.decrypt(ours, "一二三四") == "口令封存".encode()
    theirs = pyrage.passphrase.encrypt(b"sealed elsewhere", "five six")
    assert age.open_by_passphrase(theirs, "five six") == b"sealed elsewhere"


def test_another_passphrase_opens_nothing() -> None:
    sealed = age.seal_by_passphrase(b"secret", "right", log_n=4)
    with pytest.raises(EvidenceError, match="age-identity"):
        age.open_by_passphrase(sealed, "wrong")
    mac = sealed.index(b"--- ") + 4
    altered = sealed[:mac] + (b"B" if sealed[mac : mac + 1] == b"A" else b"A") + sealed[mac + 1 :]
    with pytest.raises(EvidenceError, match="age-mac"):
        age.open_by_passphrase(altered, "right")
    with pytest.raises(EvidenceError, match="age-header"):
        age.open_by_passphrase(age.seal_small(b"secret", recipients()), "right")
    with pytest.raises(EvidenceError, match="age-header"):
        age.open_by_passphrase(sealed.replace(b" 4\n", b" 21\n"), "right")
